//! The value that templates work on: Go's `interface{}` as far as charts can see it.
//!
//! Maps are shared and mutable, because `set` on `.Values` is visible to everyone who
//! holds it; lists are shared and immutable, as slices are to Sprig. A value never
//! leaves its thread.

use std::{cell::RefCell, collections::BTreeMap, fmt, rc::Rc};

/// The entries of a map, sorted by key as Go prints and ranges over them.
pub type Entries = BTreeMap<Rc<str>, Value>;

/// What a list or map holds, where Go's static type shows (`%T`, argument checks).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elem {
    /// `interface {}`.
    Any,
    /// `string`.
    Str,
    /// `int`.
    Int,
    /// `[]interface {}`: what `chunk` returns.
    List,
    /// `uint8`: bytes.
    Byte,
    /// `interface {}`, in a map that Go knows as `chartutil.Values`.
    Values,
}

impl Elem {
    /// Returns whether what is held is `interface {}`.
    pub fn is_any(self) -> bool {
        matches!(self, Elem::Any | Elem::Values)
    }
}

/// A Go value with methods or fields of its own, such as `.Files`.
pub trait Object {
    /// Returns Go's name of its type.
    fn type_name(&self) -> &'static str;
    /// Returns the field `name`, or `None` if the type has none.
    fn field(&self, name: &str) -> Option<Value>;
    /// Calls the method `name`, or returns `None` if the type has none.
    fn call(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>>;
    /// Returns the parameters of the method `name` in the letters of [`Function`](crate::Function), if they are to be
    /// checked as those of a function are.
    fn params(&self, _name: &str) -> Option<&'static str> {
        None
    }
    /// Returns what `%v` prints.
    fn text(&self) -> String;
    /// Returns what it is to `toYaml`, `toJson` and `range`.
    fn plain(&self) -> Value;
    /// Returns itself for functions that know its type.
    fn as_any(&self) -> Option<&dyn std::any::Any> {
        None
    }
}

/// A value in a template.
#[derive(Clone)]
pub enum Value {
    /// `nil`.
    Nil,
    /// `bool`.
    Bool(bool),
    /// `int`: constants, `len`, `int`.
    Int(i64),
    /// `int64`: Sprig's arithmetic, `--set`.
    Int64(i64),
    /// `float64`: every number that came through YAML or JSON.
    Float(f64),
    /// `string`.
    Str(Rc<str>),
    /// A slice.
    List(Rc<Vec<Value>>, Elem),
    /// A map with string keys.
    Map(Rc<RefCell<Entries>>, Elem),
    /// A value with methods.
    Object(Rc<dyn Object>),
}

impl Value {
    /// Returns a string value.
    pub fn str(text: impl AsRef<str>) -> Self {
        Value::Str(Rc::from(text.as_ref()))
    }

    /// Returns a `[]interface {}`.
    pub fn list(items: Vec<Value>) -> Self {
        Value::List(Rc::new(items), Elem::Any)
    }

    /// Returns a `[]string`.
    pub fn strings<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Self {
        Value::List(Rc::new(items.into_iter().map(Value::str).collect()), Elem::Str)
    }

    /// Returns a `map[string]interface {}`.
    pub fn map(entries: Entries) -> Self {
        Value::Map(Rc::new(RefCell::new(entries)), Elem::Any)
    }

    /// Returns a map made of pairs.
    pub fn pairs<K: AsRef<str>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Self {
        Value::map(pairs.into_iter().map(|(key, value)| (Rc::from(key.as_ref()), value)).collect())
    }

    /// Returns the text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the shared entries of a map.
    pub fn as_map(&self) -> Option<&Rc<RefCell<Entries>>> {
        match self {
            Value::Map(entries, _) => Some(entries),
            _ => None,
        }
    }

    /// Returns the entry `key` of a map.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.as_map().and_then(|entries| entries.borrow().get(key).cloned())
    }

    /// Returns whether it is `nil`.
    pub fn is_nil(&self) -> bool {
        matches!(self, Value::Nil)
    }

    /// Returns Go's truth: not the zero of its type, not empty.
    pub fn truth(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Int(value) | Value::Int64(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::List(items, _) => !items.is_empty(),
            Value::Map(entries, _) => !entries.borrow().is_empty(),
            Value::Object(object) => match object.plain() {
                Value::Map(entries, _) if object.type_name() == "engine.files" => !entries.borrow().is_empty(),
                Value::List(items, _) => !items.is_empty(),
                _ => true,
            },
        }
    }

    /// Returns what `%T` prints.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Int64(_) => "int64",
            Value::Float(_) => "float64",
            Value::Str(_) => "string",
            Value::List(_, Elem::Any | Elem::Values) => "[]interface {}",
            Value::List(_, Elem::Str) => "[]string",
            Value::List(_, Elem::Int) => "[]int",
            Value::List(_, Elem::List) => "[][]interface {}",
            Value::List(_, Elem::Byte) => "[]uint8",
            Value::Map(_, Elem::Str) => "map[string]string",
            Value::Map(_, Elem::Values) => "chartutil.Values",
            Value::Map(..) => "map[string]interface {}",
            Value::Object(object) => object.type_name(),
        }
    }

    /// Returns what `kindOf` prints.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Nil => "invalid",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Int64(_) => "int64",
            Value::Float(_) => "float64",
            Value::Str(_) => "string",
            Value::List(..) => "slice",
            Value::Map(..) => "map",
            Value::Object(object) => match object.plain() {
                Value::List(..) => "slice",
                _ if object.type_name() == "engine.files" => "map",
                _ if object.type_name().starts_with('*') => "ptr",
                _ => "struct",
            },
        }
    }

    /// Returns a copy that shares nothing with this value.
    #[must_use]
    pub fn deep_copy(&self) -> Self {
        match self {
            Value::List(items, elem) => Value::List(Rc::new(items.iter().map(Value::deep_copy).collect()), *elem),
            Value::Map(entries, elem) => {
                let copy = entries.borrow().iter().map(|(key, value)| (key.clone(), value.deep_copy())).collect();
                Value::Map(Rc::new(RefCell::new(copy)), *elem)
            }
            other => other.clone(),
        }
    }

    /// Turns every whole number into a float, as reading YAML or JSON into `interface{}` does in Go.
    #[must_use]
    pub fn floats(self) -> Self {
        match self {
            Value::Int(value) | Value::Int64(value) => Value::Float(value as f64),
            Value::List(items, elem) => Value::List(Rc::new(items.iter().cloned().map(Value::floats).collect()), elem),
            Value::Map(entries, elem) => {
                let entries = entries.borrow().iter().map(|(k, v)| (k.clone(), v.clone().floats())).collect();
                Value::Map(Rc::new(RefCell::new(entries)), elem)
            }
            other => other,
        }
    }

    /// Returns the elements to range over if it is a list.
    pub fn items(&self) -> Option<Rc<Vec<Value>>> {
        match self {
            Value::List(items, _) => Some(items.clone()),
            Value::Object(object) => match object.plain() {
                Value::List(items, _) => Some(items),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the JSON value that `json.Marshal` would write.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Value::Nil => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) | Value::Int64(value) => Json::from(*value),
            Value::Float(value) => {
                if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
                    Json::from(*value as i64)
                } else {
                    Json::from(*value)
                }
            }
            Value::Str(text) => Json::String(text.to_string()),
            Value::List(items, _) => Json::Array(items.iter().map(Value::to_json).collect()),
            Value::Map(entries, _) => {
                Json::Object(entries.borrow().iter().map(|(key, value)| (key.to_string(), value.to_json())).collect())
            }
            Value::Object(object) => object.plain().to_json(),
        }
    }

    /// Returns the value that JSON stands for, whole numbers kept apart from others.
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Value::Nil,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(value) => Value::Int64(value),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::str(text),
            Json::Array(items) => Value::list(items.iter().map(Value::from_json).collect()),
            Json::Object(entries) => Value::pairs(entries.iter().map(|(key, value)| (key, Value::from_json(value)))),
        }
    }
}

/// Go's `reflect.DeepEqual`: types have to agree too.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Nil, Value::Nil) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) | (Value::Int64(a), Value::Int64(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Str(a), Value::Str(b)) => a == b,
            (Value::List(a, x), Value::List(b, y)) => x == y && a == b,
            (Value::Map(a, x), Value::Map(b, y)) => x == y && (Rc::ptr_eq(a, b) || *a.borrow() == *b.borrow()),
            (Value::Object(a), Value::Object(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::gofmt::verb_v(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_shares_nothing_and_a_clone_shares_maps() {
        let map = Value::pairs([("a", Value::Int(1))]);
        let (clone, copy) = (map.clone(), map.deep_copy());
        map.as_map().unwrap().borrow_mut().insert("a".into(), Value::Int(2));
        assert_eq!(clone.get("a"), Some(Value::Int(2)));
        assert_eq!(copy.get("a"), Some(Value::Int(1)));
    }

    #[test]
    fn equality_looks_at_types_as_go_does() {
        assert_ne!(Value::Int(1), Value::Int64(1));
        assert_ne!(Value::Int(1), Value::Float(1.0));
        assert_eq!(Value::strings(["a"]), Value::strings(["a"]));
    }
}
