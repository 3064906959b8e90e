//! Why a value is none of a type, in the words of the other reader that Kubernetes has:
//! the one behind strategic merge patches.

use serde_json::Value;

use crate::{
    model::{Kind, Node},
    validate::MAX_DEPTH,
};

/// Returns a value's type as Go names it, where its text was read without a type.
fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

/// Returns why what a strategic merge patch makes of an object is none of its type; `None` if it is one.
pub fn misfit(value: &Value, node: &Node) -> Option<String> {
    restore(value, node, 0)
}

fn restore(value: &Value, node: &Node, depth: usize) -> Option<String> {
    let place = node.resolve();
    if value.is_null() || depth > MAX_DEPTH {
        return None;
    }
    let found = go_kind(value);
    let integer = || place.format.clone().unwrap_or_else(|| "int64".to_owned());
    match (&place.kind, value) {
        (Kind::Object, Value::Object(map)) => {
            map.iter().find_map(|(name, inner)| restore(inner, place.properties.get(name)?, depth + 1))
        }
        (Kind::Map(values), Value::Object(map)) => map.values().find_map(|inner| restore(inner, values, depth + 1)),
        (Kind::Array(items), Value::Array(list)) => list.iter().find_map(|inner| restore(inner, items, depth + 1)),
        (Kind::Object, _) => Some(format!("cannot restore struct from: {found}")),
        (Kind::Map(_), _) => Some(format!("cannot restore map from {found}")),
        (Kind::Array(_), _) => Some(format!("cannot restore slice from {found}")),
        (Kind::String, _) if place.format.as_deref().is_some_and(|format| format != "byte") => {
            super::problem(value, place, "")
        }
        (Kind::Integer, Value::Number(number)) if number.is_f64() => {
            Some(format!("cannot convert float64 to {}", integer()))
        }
        (Kind::String, Value::Number(_)) => Some(format!("cannot convert {found} to string")),
        (Kind::String, Value::String(_))
        | (Kind::Boolean, Value::Bool(_))
        | (Kind::Integer | Kind::Number, Value::Number(_))
        | (Kind::Any | Kind::Ref(_), _) => None,
        (Kind::IntOrString, _) => super::problem(value, place, ""),
        (Kind::String, _) => Some("unrecognized type: string".to_owned()),
        (Kind::Boolean, _) => Some("unrecognized type: bool".to_owned()),
        (Kind::Integer, _) => Some(format!("unrecognized type: {}", integer())),
        (Kind::Number, _) => Some("unrecognized type: float64".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::builtin;

    const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";

    #[test]
    fn a_patched_object_that_is_none_is_told_by_its_first_fault() {
        let node = builtin(DEPLOYMENT).unwrap();
        for (value, why) in [
            (json!({"spec": "text"}), "cannot restore struct from: string"),
            (json!({"spec": {"template": {"spec": {"containers": "x"}}}}), "cannot restore slice from string"),
            (json!({"metadata": {"labels": []}}), "cannot restore map from slice"),
            (json!({"spec": {"replicas": "many"}}), "unrecognized type: int32"),
            (json!({"spec": {"replicas": 1.5}}), "cannot convert float64 to int32"),
            (json!({"metadata": {"labels": {"a": 1}}}), "cannot convert int64 to string"),
        ] {
            assert_eq!(misfit(&value, node).as_deref(), Some(why));
        }
        assert_eq!(misfit(&json!({"spec": {"replicas": 1, "odd": 1}}), node), None);
    }
}
