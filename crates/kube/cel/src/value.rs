//! The values that expressions work on.

use std::{cmp::Ordering, collections::BTreeMap, net::IpAddr, sync::Arc};

use schema::quantity::Quantity;
use serde_json::Value as Json;

use crate::{authorizer::Check, error::EvalError};

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// 64 bits with a sign.
    Int(i64),
    /// 64 bits without a sign.
    Uint(u64),
    /// A floating point number.
    Double(f64),
    /// Text.
    String(Arc<str>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A length of time in nanoseconds.
    Duration(i64),
    /// A point in time.
    Timestamp(jiff::Timestamp),
    /// A list.
    List(Arc<List>),
    /// A map, or an object's fields.
    Map(Arc<BTreeMap<Key, Value>>),
    /// A value that may be there.
    Optional(Option<Arc<Value>>),
    /// A type.
    Type(Arc<str>),
    /// A resource quantity.
    Quantity(Quantity),
    /// An IP address.
    Ip(IpAddr),
    /// A range of addresses.
    Cidr(IpAddr, u8),
    /// An absolute URL.
    Url(Arc<crate::text::Url>),
    /// A semantic version.
    Semver(Arc<semver::Version>),
    /// A named format, for example `dns1123Label`.
    Format(&'static str),
    /// A step on the way to asking whether a user may do something.
    Authorizer(Arc<Check>),
}

/// A list, and how it is compared and put together.
#[derive(Debug)]
pub struct List {
    /// The items.
    pub items: Vec<Value>,
    /// `x-kubernetes-list-type`.
    pub kind: ListKind,
}

/// How a list is compared and put together.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum ListKind {
    /// By order.
    #[default]
    Plain,
    /// Each item its own, in any order.
    Set,
    /// Items are told apart by these fields.
    Map(Vec<String>),
}

/// A map's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number above all that fit in an integer.
    Uint(u64),
    /// Text.
    String(Arc<str>),
}

impl Key {
    /// Returns the key that a value is, if it can be one.
    pub(crate) fn of(value: &Value) -> Option<Key> {
        Some(match value {
            Value::Bool(value) => Key::Bool(*value),
            Value::Int(value) => Key::Int(*value),
            Value::Uint(value) => i64::try_from(*value).map_or(Key::Uint(*value), Key::Int),
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => Key::Int(*value as i64),
            Value::String(value) => Key::String(value.clone()),
            _ => return None,
        })
    }

    pub(crate) fn value(&self) -> Value {
        match self {
            Key::Bool(value) => Value::Bool(*value),
            Key::Int(value) => Value::Int(*value),
            Key::Uint(value) => Value::Uint(*value),
            Key::String(value) => Value::String(value.clone()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.into())
    }
}

impl Value {
    /// Returns a list that is compared by order.
    pub fn list(items: Vec<Value>) -> Value {
        Value::List(Arc::new(List { items, kind: ListKind::Plain }))
    }

    /// Returns a map with text as keys.
    pub fn map(pairs: impl IntoIterator<Item = (String, Value)>) -> Value {
        Value::Map(Arc::new(pairs.into_iter().map(|(name, value)| (Key::String(name.into()), value)).collect()))
    }

    /// Returns the value of JSON that no schema describes.
    pub fn from_json(json: &Json) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => number
                .as_i64()
                .map(Value::Int)
                .or_else(|| number.as_u64().map(Value::Uint))
                .unwrap_or_else(|| Value::Double(number.as_f64().unwrap_or_default())),
            Json::String(text) => Value::String(text.as_str().into()),
            Json::Array(items) => Value::list(items.iter().map(Value::from_json).collect()),
            Json::Object(map) => Value::map(map.iter().map(|(name, value)| (name.clone(), Value::from_json(value)))),
        }
    }

    /// Returns the value as JSON: bytes in base64, times and lengths of time as text.
    ///
    /// # Errors
    ///
    /// JSON has no form for a value of this type.
    pub fn to_json(&self) -> Result<Json, EvalError> {
        use base64::Engine;
        Ok(match self {
            Value::Null => Json::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Uint(value) => (*value).into(),
            Value::Double(value) => (*value).into(),
            Value::String(text) => text.as_ref().into(),
            Value::Bytes(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
            Value::Duration(length) => crate::text::show_duration(*length).into(),
            Value::Timestamp(time) => time.to_string().into(),
            Value::List(list) => list.items.iter().map(Value::to_json).collect::<Result<Vec<_>, _>>()?.into(),
            Value::Map(map) => {
                let fields = map.iter().map(|(key, value)| match key {
                    Key::String(name) => Ok((name.to_string(), value.to_json()?)),
                    other => Err(EvalError::failed(format!(
                        "a key of type {} has no form in JSON",
                        other.value().type_name()
                    ))),
                });
                Json::Object(fields.collect::<Result<_, _>>()?)
            }
            other => {
                return Err(EvalError::failed(format!("a value of type {} has no form in JSON", other.type_name())));
            }
        })
    }

    /// Returns the name of its type, as `type()` and messages give it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::String(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::Duration(_) => "google.protobuf.Duration",
            Value::Timestamp(_) => "google.protobuf.Timestamp",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Optional(_) => "optional_type",
            Value::Type(_) => "type",
            Value::Quantity(_) => "kubernetes.Quantity",
            Value::Ip(_) => "net.IP",
            Value::Cidr(..) => "net.CIDR",
            Value::Url(_) => "kubernetes.URL",
            Value::Semver(_) => "kubernetes.Semver",
            Value::Format(_) => "kubernetes.NamedFormat",
            Value::Authorizer(check) => check.type_name(),
        }
    }

    /// Returns how much of it there is: characters, items, fields.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Value::String(text) => text.len() as u64,
            Value::Bytes(bytes) => bytes.len() as u64,
            Value::List(list) => list.items.len() as u64,
            Value::Map(map) => map.len() as u64,
            _ => 1,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::String(a), Value::String(b)) | (Value::Type(a), Value::Type(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::List(a), Value::List(b)) => lists_equal(a, b),
            (Value::Map(a), Value::Map(b)) => a == b,
            (Value::Optional(a), Value::Optional(b)) => a == b,
            (Value::Quantity(a), Value::Quantity(b)) => a == b,
            (Value::Ip(a), Value::Ip(b)) => a == b,
            (Value::Cidr(a, n), Value::Cidr(b, m)) => a == b && n == m,
            (Value::Url(a), Value::Url(b)) => a == b,
            (Value::Semver(a), Value::Semver(b)) => a.cmp_precedence(b).is_eq(),
            (Value::Format(a), Value::Format(b)) => a == b,
            (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
                compare(self, other) == Some(Ordering::Equal)
            }
            _ => false,
        }
    }
}

fn lists_equal(a: &List, b: &List) -> bool {
    if a.items.len() != b.items.len() {
        return false;
    }
    match (&a.kind, &b.kind) {
        (ListKind::Set, _) | (_, ListKind::Set) => {
            a.items.iter().all(|item| b.items.contains(item)) && b.items.iter().all(|item| a.items.contains(item))
        }
        (ListKind::Map(keys), _) | (_, ListKind::Map(keys)) => {
            a.items.iter().all(|item| b.items.iter().any(|other| same_keys(keys, item, other) && item == other))
        }
        _ => a.items == b.items,
    }
}

fn same_keys(keys: &[String], a: &Value, b: &Value) -> bool {
    let (Value::Map(a), Value::Map(b)) = (a, b) else { return false };
    keys.iter().all(|key| {
        let key = Key::String(crate::schemas::escape(key).unwrap_or_default().into());
        a.get(&key) == b.get(&key)
    })
}

/// Puts two lists together, as the first one's kind does.
pub(crate) fn join_lists(a: &List, b: &List) -> List {
    let mut items = a.items.clone();
    for item in &b.items {
        match &a.kind {
            ListKind::Plain => items.push(item.clone()),
            ListKind::Set => {
                if !items.contains(item) {
                    items.push(item.clone());
                }
            }
            ListKind::Map(keys) => match items.iter_mut().find(|there| same_keys(keys, there, item)) {
                Some(there) => *there = item.clone(),
                None => items.push(item.clone()),
            },
        }
    }
    List { items, kind: a.kind.clone() }
}

/// Orders two values, if values of their types have an order.
pub(crate) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Int(b)) | (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Int(a), Value::Double(b)) => whole_to_double(i128::from(*a), *b),
        (Value::Uint(a), Value::Double(b)) => whole_to_double(i128::from(*a), *b),
        (Value::Double(a), Value::Int(b)) => whole_to_double(i128::from(*b), *a).map(Ordering::reverse),
        (Value::Double(a), Value::Uint(b)) => whole_to_double(i128::from(*b), *a).map(Ordering::reverse),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn whole_to_double(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double >= 1.9e19 {
        return Some(Ordering::Less);
    }
    if double <= -1.9e19 {
        return Some(Ordering::Greater);
    }
    let floor = double.floor();
    let ordering = whole.cmp(&(floor as i128));
    Some(if ordering.is_eq() && double > floor { Ordering::Less } else { ordering })
}
