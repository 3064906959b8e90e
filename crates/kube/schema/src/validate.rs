//! Checks, prunes and defaults a value against its type.
//!
//! [`unknown`] finds (and takes out) fields that a type does not have, [`check`]
//! says which rules a value breaks with Kubernetes' own reasons, [`default`] fills
//! in the defaults of a custom resource's schema.

mod formats;
mod ratchet;
mod walk;

use serde_json::Value;

use crate::model::{Kind, Node};

pub use crate::pattern::compile as pattern;
pub use formats::is_known_format;
pub use ratchet::changed;
pub use walk::{Broken, check, check_custom};

/// How deep an object may nest; what lies deeper is an error.
pub const MAX_DEPTH: usize = 100;

/// One broken rule, as `Status.details.causes` carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Kubernetes' reason: `FieldValueInvalid`, `FieldValueRequired`, `FieldValueNotSupported`, …
    pub reason: &'static str,
    /// The sentence after the field, for example `Required value`.
    pub message: String,
    /// Path of the field, for example `spec.ports[0].port`.
    pub field: String,
}

impl Cause {
    /// A field that must be there and is not.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        Cause { reason: "FieldValueRequired", message, field: field.into() }
    }

    /// A value that breaks a rule.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {}: {detail}", show(value)),
            field: field.into(),
        }
    }

    /// A value of the wrong type.
    pub fn wrong_type(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Cause {
            reason: "FieldValueTypeInvalid",
            message: format!("Invalid value: {}: {detail}", show(value)),
            field: field.into(),
        }
    }

    /// A value that is none of those that are supported.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let list = supported.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ");
        Cause {
            reason: "FieldValueNotSupported",
            message: format!("Unsupported value: {}: supported values: {list}", show(value)),
            field: field.into(),
        }
    }

    /// A value that is too long.
    pub fn too_long(field: impl Into<String>, most: u64, what: &str) -> Self {
        let plural = if most == 1 { "" } else { "s" };
        Cause {
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {most} {what}{plural}"),
            field: field.into(),
        }
    }

    /// A list or map with too much in it.
    pub fn too_many(field: impl Into<String>, found: u64, most: u64) -> Self {
        let plural = if most == 1 { "" } else { "s" };
        Cause {
            reason: "FieldValueTooMany",
            message: format!("Too many: {found}: must have at most {most} item{plural}"),
            field: field.into(),
        }
    }

    /// A field that may not be used or changed here.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Cause { reason: "FieldValueForbidden", message: format!("Forbidden: {detail}"), field: field.into() }
    }

    /// An item that stands twice.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Cause {
            reason: "FieldValueDuplicate",
            message: format!("Duplicate value: {}", show(value)),
            field: field.into(),
        }
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) => {
            let text = value.to_string();
            if text.len() > 200 { format!("{}…", text.chars().take(200).collect::<String>()) } else { text }
        }
        other => other.to_string(),
    }
}

/// Returns the paths of fields that the type does not have; with `prune` takes them out too.
pub fn unknown(value: &mut Value, node: &Node, prune: bool) -> Vec<String> {
    let mut found = Vec::new();
    walk_unknown(value, node, "", prune, 0, &mut found);
    found
}

fn walk_unknown(value: &mut Value, node: &Node, path: &str, prune: bool, depth: usize, found: &mut Vec<String>) {
    if depth > MAX_DEPTH {
        return;
    }
    let place = node.resolve();
    match (value, &place.kind) {
        (Value::Object(map), Kind::Object) => {
            map.retain(|name, inner| {
                let Some(field) = place.properties.get(name) else {
                    if place.preserve_unknown {
                        return true;
                    }
                    found.push(join(path, name));
                    return !prune;
                };
                walk_unknown(inner, field, &join(path, name), prune, depth + 1, found);
                true
            });
        }
        (Value::Object(map), Kind::Map(values)) => {
            for (name, inner) in map.iter_mut() {
                // A schema may list some names of a map with types of their own.
                let field = place.properties.get(name).unwrap_or(values);
                walk_unknown(inner, field, &join(path, name), prune, depth + 1, found);
            }
        }
        (Value::Array(list), Kind::Array(items)) => {
            for (index, inner) in list.iter_mut().enumerate() {
                walk_unknown(inner, items, &format!("{path}[{index}]"), prune, depth + 1, found);
            }
        }
        (Value::Object(map), Kind::Any) if !place.properties.is_empty() => {
            for (name, inner) in map.iter_mut() {
                if let Some(field) = place.properties.get(name) {
                    walk_unknown(inner, field, &join(path, name), prune, depth + 1, found);
                }
            }
        }
        _ => {}
    }
}

/// Fills in the defaults of a custom resource's schema. Takes out nulls that a default replaces.
pub fn default(value: &mut Value, node: &Node) {
    match value {
        Value::Object(map) => {
            for (name, field) in &node.properties {
                if let Some(default) = &field.default {
                    let absent = map.get(name).is_none_or(|value| value.is_null() && !field.nullable);
                    if absent {
                        map.insert(name.clone(), default.clone());
                    }
                }
            }
            let values = match &node.kind {
                // Of values that may be anything nothing is known.
                Kind::Map(values) if !(values.preserve_unknown && values.kind == Kind::Any) => Some(values.as_ref()),
                _ => None,
            };
            map.retain(|name, inner| {
                !inner.is_null()
                    || node
                        .properties
                        .get(name)
                        .or(values)
                        .is_none_or(|field| field.nullable || field.default.is_some())
            });
            for (name, inner) in map.iter_mut() {
                if let Some(field) = node.properties.get(name).or(values) {
                    fill(inner, field);
                    default(inner, field);
                }
            }
        }
        Value::Array(list) => {
            if let Kind::Array(items) = &node.kind {
                for inner in list {
                    fill(inner, items);
                    default(inner, items);
                }
            }
        }
        _ => {}
    }
}

/// Puts a default in the place of a null that is no value there.
fn fill(value: &mut Value, node: &Node) {
    if value.is_null()
        && !node.nullable
        && let Some(default) = &node.default
    {
        *value = default.clone();
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{crd, model::builtin};

    #[test]
    fn unknown_fields_are_found_at_any_depth_and_pruned() {
        let pod = builtin("io.k8s.api.core.v1.Pod").unwrap();
        let mut value = json!({"kind": "Pod", "spec": {"containers": [{"name": "a", "imagee": "b"}], "nodename": "x"},
            "metadata": {"labels": {"any": "thing"}}});
        let mut found = unknown(&mut value.clone(), pod, false);
        found.sort();
        assert_eq!(found, ["spec.containers[0].imagee", "spec.nodename"]);
        unknown(&mut value, pod, true);
        assert_eq!(value["spec"], json!({"containers": [{"name": "a"}]}));
        assert_eq!(value["metadata"]["labels"]["any"], "thing");
    }

    #[test]
    fn a_custom_resource_is_checked_against_every_rule() {
        let crd::Read { node, problems, .. } = crd::read(
            &json!({"type": "object", "properties": {"spec": {"type": "object", "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "minimum": 1, "maximum": 9}, "tier": {"type": "string", "enum": ["a", "b"]},
                    "name": {"type": "string", "pattern": "^x", "maxLength": 3}, "port": {"x-kubernetes-int-or-string": true},
                    "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            }}}}),
        );
        assert!(problems.is_empty(), "{problems:?}");
        let reasons = |spec: Value| -> Vec<String> {
            check(&json!({"spec": spec}), &node)
                .into_iter()
                .map(|cause| format!("{} {}", cause.field, cause.reason))
                .collect()
        };
        assert!(reasons(json!({"size": 1, "tier": "a", "name": "xy", "port": "http", "set": ["a", "b"]})).is_empty());
        assert_eq!(reasons(json!({})), ["spec.size FieldValueRequired"]);
        assert_eq!(reasons(json!({"size": 0})), ["spec.size FieldValueInvalid"]);
        assert_eq!(reasons(json!({"size": "1"})), ["spec.size FieldValueTypeInvalid"]);
        assert_eq!(reasons(json!({"size": 1, "tier": "c"})), ["spec.tier FieldValueNotSupported"]);
        assert_eq!(
            reasons(json!({"size": 1, "name": "yyyy"})),
            ["spec.name FieldValueTooLong", "spec.name FieldValueInvalid"]
        );
        assert_eq!(reasons(json!({"size": 1, "port": true})), ["spec.port FieldValueTypeInvalid"]);
        assert_eq!(reasons(json!({"size": 1, "set": ["a", "a"]})), ["spec.set[1] FieldValueDuplicate"]);
    }

    #[test]
    fn defaults_are_filled_in_where_their_parent_is() {
        let crd::Read { node, .. } = crd::read(
            &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "string", "default": "x"}, "deep": {"type": "object", "properties": {"b": {"type": "integer", "default": 2}}}}}}}),
        );
        let mut value = json!({"spec": {"deep": {}}});
        default(&mut value, &node);
        assert_eq!(value, json!({"spec": {"a": "x", "deep": {"b": 2}}}));
        let mut value = json!({});
        default(&mut value, &node);
        assert_eq!(value, json!({}));
    }
}
