//! Schemas to types, and JSON to values as a schema says.

use std::{collections::BTreeMap, sync::Arc};

use schema::model::{Kind, ListType, Node};
use serde_json::Value as Json;

use crate::{
    text::{parse_day, parse_duration, parse_time},
    types::Type,
    value::{Key, List, ListKind, Value},
};

/// Words that name nothing: the literals, the operator `in`, and those that the language keeps for itself.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Returns whether a word names nothing in an expression.
pub fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}

/// Returns the field that expressions call by this name: the reverse of [`escape`].
pub(crate) fn unescape(name: &str) -> String {
    const MARKS: [(&str, &str); 4] =
        [("__dot__", "."), ("__dash__", "-"), ("__slash__", "/"), ("__underscores__", "__")];
    if let Some(word) = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"))
        && is_reserved(word)
    {
        return word.to_owned();
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(letter) = rest.chars().next() {
        let (shown, taken) = MARKS
            .iter()
            .find(|(mark, _)| rest.starts_with(mark))
            .map_or((&rest[..letter.len_utf8()], letter.len_utf8()), |(mark, sign)| (*sign, mark.len()));
        out.push_str(shown);
        rest = &rest[taken..];
    }
    out
}

/// Returns the name that expressions call a field by, if they can.
pub fn escape(name: &str) -> Option<String> {
    if is_reserved(name) {
        return Some(format!("__{name}__"));
    }
    if name.bytes().next().is_none_or(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(letter) = rest.chars().next() {
        let mut taken = letter.len_utf8();
        match letter {
            '_' if rest.starts_with("__") => {
                out.push_str("__underscores__");
                taken = 2;
            }
            '.' => out.push_str("__dot__"),
            '-' => out.push_str("__dash__"),
            '/' => out.push_str("__slash__"),
            other if other.is_ascii_alphanumeric() || other == '_' => out.push(other),
            _ => return None,
        }
        rest = &rest[taken..];
    }
    Some(out)
}

/// Whether an object is an API object itself, with the metadata that rules may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The object itself.
    Root,
    /// A place within.
    Inner,
}

/// Returns the type that rules see at a place of a custom resource, if they can see it.
pub fn type_of(node: &Node, place: Place) -> Option<Type> {
    let place = if node.embedded { Place::Root } else { place };
    Some(match &node.kind {
        Kind::IntOrString => Type::Dyn,
        Kind::Array(items) => Type::list(type_of(items, Place::Inner)?),
        Kind::Map(values) => Type::map(type_of(values, Place::Inner)?),
        Kind::Object | Kind::Any if place == Place::Root => object_type(node, Place::Root),
        Kind::Object => object_type(node, Place::Inner),
        Kind::String => match node.format.as_deref() {
            Some("byte") => Type::Bytes,
            Some("duration") => Type::Duration,
            Some("date" | "date-time") => Type::Timestamp,
            _ => Type::String,
        },
        Kind::Boolean => Type::Bool,
        Kind::Number => Type::Double,
        Kind::Integer => Type::Int,
        Kind::Any | Kind::Ref(_) => return None,
    })
}

fn object_type(node: &Node, place: Place) -> Type {
    let mut fields: BTreeMap<String, Type> = node
        .properties
        .iter()
        .filter_map(|(name, field)| Some((escape(name)?, type_of(field, Place::Inner)?)))
        .collect();
    if place == Place::Root {
        fields.insert("apiVersion".to_owned(), Type::String);
        fields.insert("kind".to_owned(), Type::String);
        let names = ["name", "generateName"].map(|name| (name.to_owned(), Type::String));
        fields.insert("metadata".to_owned(), Type::object("object", names));
    }
    Type::object("object", fields)
}

/// Returns the value that rules see at a place of a custom resource.
pub fn value_of(json: &Json, node: &Node, place: Place) -> Option<Value> {
    let place = if node.embedded { Place::Root } else { place };
    Some(match (&node.kind, json) {
        (Kind::Any | Kind::Ref(_), _) if place == Place::Inner => return None,
        (_, Json::Null) => Value::Null,
        (Kind::Array(items), Json::Array(list)) => {
            let kind = match &node.list {
                ListType::Atomic => ListKind::Plain,
                ListType::Set => ListKind::Set,
                ListType::Map(keys) => ListKind::Map(keys.clone()),
            };
            let items = list.iter().map(|item| value_of(item, items, Place::Inner)).collect::<Option<Vec<_>>>()?;
            Value::List(Arc::new(List { items, kind }))
        }
        (Kind::Map(values), Json::Object(map)) => {
            let pairs = map.iter().map(|(name, value)| Some((name.clone(), value_of(value, values, Place::Inner)?)));
            Value::map(pairs.collect::<Option<Vec<_>>>()?)
        }
        (Kind::Object | Kind::Any, Json::Object(map)) => {
            let mut fields = BTreeMap::new();
            for (name, value) in map {
                let own = place == Place::Root && matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
                let found = if own {
                    Some(own_field(name, value))
                } else {
                    node.properties.get(name).and_then(|field| value_of(value, field, Place::Inner))
                };
                if let (Some(value), Some(name)) = (found, escape(name)) {
                    fields.insert(Key::String(name.into()), value);
                }
            }
            Value::Map(Arc::new(fields))
        }
        (Kind::Number, Json::Number(number)) => Value::Double(number.as_f64().unwrap_or_default()),
        (Kind::Integer, Json::Number(number)) => {
            number.as_i64().map_or_else(|| Value::Int(number.as_f64().unwrap_or_default() as i64), Value::Int)
        }
        (Kind::String, Json::String(text)) => formatted(text, node.format.as_deref()),
        (_, other) => Value::from_json(other),
    })
}

fn own_field(name: &str, value: &Json) -> Value {
    if name != "metadata" {
        return Value::from_json(value);
    }
    let fields = ["name", "generateName"]
        .into_iter()
        .filter_map(|field| Some((field.to_owned(), Value::from_json(value.get(field)?))));
    Value::map(fields)
}

fn formatted(text: &str, format: Option<&str>) -> Value {
    let special = match format {
        Some("byte") => decode(text).map(|bytes| Value::Bytes(bytes.into())),
        Some("duration") => parse_duration(text).map(Value::Duration),
        Some("date") => parse_day(text).map(Value::Timestamp),
        Some("date-time") => parse_time(text).map(Value::Timestamp),
        _ => None,
    };
    special.unwrap_or_else(|| Value::from(text))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}
