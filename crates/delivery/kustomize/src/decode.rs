//! From a tree to values, with the complaints of Go's `encoding/json`.

use std::collections::BTreeMap;

use gotmpl::{Value, gofmt};

use crate::{
    fail::{Cause, Fail, Step},
    yaml::{Key, Node, Scalar, Style, Tag},
};

/// What happens to fields that nobody knows, and to values of another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Both are refused: a kustomization.
    Strict,
    /// Unknown fields are passed over, numbers are text where text is wanted: a plugin's configuration.
    Lenient,
}

/// A place that is decoded.
#[derive(Clone)]
pub(crate) struct Dec<'a> {
    pub(crate) node: &'a Node,
    /// Go's name of the struct around it, and the fields that lead to it.
    owner: &'static str,
    path: String,
    mode: Mode,
}

impl<'a> Dec<'a> {
    pub(crate) fn root(node: &'a Node, owner: &'static str, mode: Mode) -> Self {
        Self { node, owner, path: String::new(), mode }
    }

    fn fail<T>(&self, wanted: &str) -> Step<T> {
        let what = match self.plain() {
            Plain::Null => "null",
            Plain::Bool(_) => "bool",
            Plain::Number(_) => "number",
            Plain::Text => "string",
            Plain::List => "array",
            Plain::Map => "object",
        };
        let place = if self.path.is_empty() {
            format!("Go value of type {wanted}")
        } else {
            format!("Go struct field {}.{} of type {wanted}", self.owner, self.path)
        };
        Err(Fail::said(format!("json: cannot unmarshal {what} into {place}")))
    }

    fn plain(&self) -> Plain {
        plain(self.node)
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.plain(), Plain::Null)
    }

    /// Calls for each field; the function says whether it knows the field.
    pub(crate) fn object(
        &self,
        name: &'static str,
        wanted: &str,
        known: &[&'static str],
        take: &mut dyn FnMut(&'static str, Dec<'a>) -> Step<()>,
    ) -> Step<()> {
        let Node::Map(map) = self.node else {
            return if self.is_null() { Ok(()) } else { self.fail(wanted) };
        };
        for (key, value) in &map.entries {
            let found = known
                .iter()
                .find(|known| **known == &*key.text)
                .or_else(|| known.iter().find(|known| known.eq_ignore_ascii_case(&key.text)));
            match found {
                Some(field) => take(field, self.child(value, name, field))?,
                None if self.mode == Mode::Strict => {
                    return Err(Fail::said(format!("json: unknown field {:?}", &*key.text)));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn child(&self, node: &'a Node, owner: &'static str, field: &str) -> Dec<'a> {
        let path = if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) };
        Dec { node, owner, path, mode: self.mode }
    }

    pub(crate) fn text(&self) -> Step<String> {
        match self.plain() {
            Plain::Null => Ok(String::new()),
            Plain::Text => Ok(self.node.value().to_owned()),
            Plain::Bool(value) if self.mode == Mode::Lenient => Ok(value.to_string()),
            Plain::Number(text) if self.mode == Mode::Lenient => Ok(text),
            _ => self.fail("string"),
        }
    }

    pub(crate) fn flag(&self) -> Step<bool> {
        match self.plain() {
            Plain::Null => Ok(false),
            Plain::Bool(value) => Ok(value),
            _ => self.fail("bool"),
        }
    }

    pub(crate) fn int(&self, wanted: &str) -> Step<i64> {
        match self.plain() {
            Plain::Null => Ok(0),
            Plain::Number(text) => match text.parse() {
                Ok(value) => Ok(value),
                Err(_) => Err(Fail::said(format!(
                    "json: cannot unmarshal number {text} into Go struct field {}.{} of type {wanted}",
                    self.owner, self.path
                ))),
            },
            _ => self.fail(wanted),
        }
    }

    pub(crate) fn list(&self, wanted: &str) -> Step<Vec<Dec<'a>>> {
        match self.node {
            Node::Seq(seq) => Ok(seq.items.iter().map(|node| Dec { node, ..self.clone() }).collect()),
            _ if self.is_null() => Ok(Vec::new()),
            _ => self.fail(&format!("[]{wanted}")),
        }
    }

    pub(crate) fn texts(&self) -> Step<Vec<String>> {
        self.list("string")?.iter().map(Dec::text).collect()
    }

    pub(crate) fn map(&self) -> Step<BTreeMap<String, String>> {
        match self.node {
            Node::Map(map) => map
                .entries
                .iter()
                .map(|(key, value)| Ok((key_text(key), Dec { node: value, ..self.clone() }.text()?)))
                .collect(),
            _ if self.is_null() => Ok(BTreeMap::new()),
            _ => self.fail("map[string]string"),
        }
    }
}

enum Plain {
    Null,
    Bool(bool),
    Number(String),
    Text,
    List,
    Map,
}

/// What a node is to YAML 1.1, in JSON's words.
fn plain(node: &Node) -> Plain {
    let scalar = match node {
        Node::Map(_) => return Plain::Map,
        Node::Seq(_) => return Plain::List,
        Node::Scalar(scalar) => scalar,
    };
    if scalar.style != Style::Plain || (scalar.tagged && scalar.tag == Tag::Str) {
        return Plain::Text;
    }
    let bytes = scalar.value.as_bytes();
    match bytes.first() {
        Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'~') | None => {}
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O') if bytes.len() <= 5 => {}
        Some(_) => return Plain::Text,
    }
    match gotmpl::yaml::plain(&scalar.value) {
        Value::Nil => Plain::Null,
        Value::Bool(value) => Plain::Bool(value),
        Value::Int(value) | Value::Int64(value) => Plain::Number(value.to_string()),
        Value::Float(value) => Plain::Number(gofmt::float_json(value)),
        _ => Plain::Text,
    }
}

/// What a field is called in JSON: `y:` is `true` to YAML 1.1.
fn key_text(key: &Key) -> String {
    let node = Node::Scalar(Scalar::new(key.text.clone(), Tag::Empty, key.style));
    match plain(&node) {
        Plain::Bool(value) => value.to_string(),
        Plain::Number(text) => text,
        Plain::Null => "null".to_owned(),
        _ => key.text.to_string(),
    }
}

/// Reads a text as `sigs.k8s.io/yaml` does: the first document, the last of repeated fields.
pub(crate) fn read(text: &str) -> Step<Option<Node>> {
    crate::yaml::read::document(text, crate::yaml::read::Repeated::LastWins)
        .map_err(|error| Fail::new(Cause::Yaml, error.to_string()))
}

/// Returns JSON of a tree that YAML 1.1 was read from.
pub(crate) fn json(node: &Node) -> serde_json::Value {
    use serde_json::Value as Json;
    match (node, plain(node)) {
        (Node::Map(map), _) => {
            Json::Object(map.entries.iter().map(|(key, value)| (key_text(key), json(value))).collect())
        }
        (Node::Seq(seq), _) => Json::Array(seq.items.iter().map(json).collect()),
        (_, Plain::Null) => Json::Null,
        (_, Plain::Bool(value)) => Json::Bool(value),
        (_, Plain::Number(text)) => text
            .parse::<i64>()
            .map(Json::from)
            .or_else(|_| text.parse::<f64>().map(Json::from))
            .unwrap_or(Json::String(text)),
        _ => Json::String(node.value().to_owned()),
    }
}
