//! Whether a part of an object fits its type, as server-side apply asks before it owns the
//! part's fields: a field that the type does not declare could be owned by nobody. Pure.

use std::collections::HashSet;

use serde_json::Value;

use crate::{
    fields::Set,
    model::{Kind, ListType, Node},
};

/// Returns what a part says that its type does not know or takes otherwise, in one text as Kubernetes words it.
pub fn unfit(part: &Value, node: &Node) -> Option<String> {
    let mut wrong = Vec::new();
    look(part, node, "", &mut wrong);
    in_one(wrong)
}

fn in_one(mut wrong: Vec<String>) -> Option<String> {
    wrong.sort();
    match wrong.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("errors:\n  {}", many.join("\n  "))),
    }
}

/// Returns why a scalar does not fit, in the words of Kubernetes' typed objects.
fn misfit(value: &Value, node: &Node) -> Option<String> {
    let shown = || match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match &node.kind {
        // Quantities and times have several forms.
        Kind::String if node.format.is_some() => None,
        Kind::String if !value.is_string() => {
            Some(format!("expected string, got &value.valueUnstructured{{Value:{}}}", shown()))
        }
        Kind::Integer | Kind::Number if !value.is_number() => {
            let kind = match value {
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Array(_) => "[]interface {}",
                _ => "map[string]interface {}",
            };
            Some(format!("expected numeric (int or float), got {kind}"))
        }
        Kind::Boolean if !value.is_boolean() => Some(format!("expected boolean, got &{{{}}}", shown())),
        Kind::Array(_) if !value.is_array() => Some(format!("expected list, got &{{{}}}", shown())),
        Kind::Object | Kind::Map(_) if !value.is_object() => Some(format!("expected map, got &{{{}}}", shown())),
        _ => None,
    }
}

fn look(part: &Value, node: &Node, at: &str, wrong: &mut Vec<String>) {
    if part.is_null() {
        return;
    }
    if let Some(why) = misfit(part, node.resolve()) {
        wrong.push(format!("{at}: {why}"));
        return;
    }
    match part {
        Value::Object(map) => {
            let place = node.resolve();
            for (name, inner) in map {
                let here = format!("{at}.{name}");
                match node.field(name) {
                    Some(field) => look(inner, field, &here, wrong),
                    None if place.preserve_unknown || matches!(place.kind, Kind::Any) => {}
                    None => wrong.push(format!("{here}: field not declared in schema")),
                }
            }
        }
        Value::Array(list) => {
            let Some(items) = node.items() else { return };
            let mut seen = HashSet::new();
            for (index, inner) in list.iter().enumerate() {
                // Items that are told apart are called by what tells them apart.
                let step = match &node.list {
                    ListType::Map(keys) => Set::of_item(inner, keys).paths().concat(),
                    ListType::Set => format!("[={inner}]"),
                    ListType::Atomic => format!("[{index}]"),
                };
                look(inner, items, &format!("{at}{step}"), wrong);
                if !seen.insert(step.clone()) {
                    wrong.push(format!("{at}: duplicate entries for key {step}"));
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::builtin;

    #[test]
    fn what_does_not_fit_is_told_at_once() {
        let part = json!({"metadata": {"foo": 1}, "spec": {"bar": 1, "replicas": "x", "paused": 1, "selector": null}});
        let wanted = "errors:\n  .metadata.foo: field not declared in schema\n  .spec.bar: field not declared in schema\n  .spec.paused: expected boolean, got &{1}\n  .spec.replicas: expected numeric (int or float), got string";
        let deployment = builtin("io.k8s.api.apps.v1.Deployment").unwrap();
        assert_eq!(unfit(&part, deployment).as_deref(), Some(wanted));
        assert_eq!(unfit(&json!({"spec": {"replicas": 1}}), deployment), None);
        let twice = json!({"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}}});
        let wanted = ".spec.template.spec.containers: duplicate entries for key [name=\"a\"]";
        assert_eq!(unfit(&twice, deployment).as_deref(), Some(wanted));
    }
}
