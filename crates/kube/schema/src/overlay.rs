//! Lays a part of an object over a whole one, as a mutating policy's apply configuration is:
//! the fields of both, with the part's where both say something. Pure. Who owns what is no
//! matter here: [`crate::apply`] sees to that.

use serde_json::Value;

use crate::{
    apply::merge,
    fields::{Shape, shape},
    model::{Kind, Node},
};

/// Returns `live` with `part` laid over it.
///
/// # Errors
///
/// The part has fields that the type does not declare, or an atomic list or map: what it does not name of that would
/// be lost.
pub fn lay(live: &Value, part: &Value, node: &Node) -> Result<Value, String> {
    let (mut wrong, mut atomics) = (Vec::new(), Vec::new());
    look(part, node, "", &mut wrong, &mut atomics);
    if let Some(wrong) = in_one(wrong) {
        return Err(format!("failed to convert patch object to typed object: {wrong}"));
    }
    if !atomics.is_empty() {
        let list = atomics.join(", ");
        return Err(format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {list}"));
    }
    Ok(merge(live, part, Some(node)))
}

/// Returns what a part says that its type does not know or takes otherwise, in one text as Kubernetes words it.
pub fn unfit(part: &Value, node: &Node) -> Option<String> {
    let mut wrong = Vec::new();
    look(part, node, "", &mut wrong, &mut Vec::new());
    in_one(wrong)
}

fn in_one(mut wrong: Vec<String>) -> Option<String> {
    wrong.sort();
    match wrong.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("errors:{}", many.iter().map(|one| format!("\n  {one}")).collect::<String>())),
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

fn look(part: &Value, node: &Node, at: &str, wrong: &mut Vec<String>, atomics: &mut Vec<String>) {
    if part.is_null() {
        return;
    }
    if let Some(why) = misfit(part, node.resolve()) {
        wrong.push(format!("{at}: {why}"));
        return;
    }
    let structured = part.is_object() || part.is_array();
    if structured && !at.is_empty() && matches!(shape(part, Some(node)), Shape::Leaf) {
        atomics.push(at.to_owned());
    }
    match part {
        Value::Object(map) => {
            let place = node.resolve();
            for (name, inner) in map {
                let here = format!("{at}.{name}");
                match node.field(name) {
                    Some(field) => look(inner, field, &here, wrong, atomics),
                    None if place.preserve_unknown || matches!(place.kind, Kind::Any) => {}
                    None => wrong.push(format!("{here}: field not declared in schema")),
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = node.items() {
                for (index, inner) in list.iter().enumerate() {
                    look(inner, items, &format!("{at}[{index}]"), wrong, atomics);
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

    fn laid(part: &Value) -> Result<Value, String> {
        let live = json!({"metadata": {"name": "a", "labels": {"x": "1"}}, "spec": {"replicas": 1, "template": {"spec":
            {"containers": [{"name": "c", "image": "i", "args": ["a"]}]}}}});
        lay(&live, part, builtin("io.k8s.api.apps.v1.Deployment").unwrap())
    }

    #[test]
    fn a_part_is_laid_over_the_whole() {
        let part = json!({"metadata": {"labels": {"y": "2"}}, "spec": {"replicas": 3, "template": {"spec":
            {"containers": [{"name": "c", "image": "j"}, {"name": "d"}]}}}});
        let found = laid(&part).unwrap();
        assert_eq!(found["metadata"]["labels"], json!({"x": "1", "y": "2"}));
        assert_eq!(found["spec"]["replicas"], 3);
        let containers = json!([{"name": "c", "image": "j", "args": ["a"]}, {"name": "d"}]);
        assert_eq!(found["spec"]["template"]["spec"]["containers"], containers);
    }

    #[test]
    fn what_does_not_fit_is_told_at_once() {
        let part = json!({"metadata": {"foo": 1}, "spec": {"bar": 1, "replicas": "x", "paused": 1, "selector": null}});
        let wanted = "errors:\n  .metadata.foo: field not declared in schema\n  .spec.bar: field not declared in schema\n  .spec.paused: expected boolean, got &{1}\n  .spec.replicas: expected numeric (int or float), got string";
        let deployment = builtin("io.k8s.api.apps.v1.Deployment").unwrap();
        assert_eq!(unfit(&part, deployment).as_deref(), Some(wanted));
        assert_eq!(unfit(&json!({"spec": {"replicas": 1}}), deployment), None);
    }

    #[test]
    fn what_would_lose_something_and_what_nobody_declared_is_refused() {
        let atomic = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "args": ["b"]}]}}}});
        assert_eq!(
            laid(&atomic).unwrap_err(),
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.template.spec.containers[0].args"
        );
        assert_eq!(
            laid(&json!({"spec": {"nope": 1}})).unwrap_err(),
            "failed to convert patch object to typed object: .spec.nope: field not declared in schema"
        );
    }
}
