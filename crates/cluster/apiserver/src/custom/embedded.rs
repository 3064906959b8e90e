//! Whole objects within custom ones: each says its version and kind, and has metadata of its own.

use schema::{
    model::{Kind, Node},
    validate::Cause,
};
use serde_json::Value;

use super::definition::{LABEL_1035, is_label};
use crate::write::embedded_metadata;

/// Checks what stands where a schema has whole objects.
pub(super) fn check(value: &Value, node: &Node, path: &str, causes: &mut Vec<Cause>) {
    match value {
        Value::Object(map) => {
            if node.embedded {
                object(value, path, causes);
            }
            for (name, inner) in map {
                match (node.properties.get(name), &node.kind) {
                    (Some(field), _) => check(inner, field, &join(path, name), causes),
                    (None, Kind::Map(values)) => check(inner, values, &format!("{path}[{name}]"), causes),
                    _ => {}
                }
            }
        }
        Value::Array(list) => {
            let Kind::Array(items) = &node.kind else { return };
            for (index, item) in list.iter().enumerate() {
                check(item, items, &format!("{path}[{index}]"), causes);
            }
        }
        _ => {}
    }
}

fn object(value: &Value, path: &str, causes: &mut Vec<Cause>) {
    for name in ["apiVersion", "kind"] {
        let at = join(path, name);
        match &value[name] {
            // That it is missing, its schema says.
            Value::Null => {}
            Value::String(text) if text.is_empty() => {
                causes.push(Cause::invalid(at, &value[name], "must not be empty"));
            }
            Value::String(text) if name == "apiVersion" => {
                if text.matches('/').count() > 1 {
                    let detail = format!("unexpected GroupVersion string: {text}");
                    causes.push(Cause::invalid(at, &value[name], &detail));
                }
            }
            Value::String(text) => {
                if !is_label(&text.to_lowercase()) {
                    let detail = format!("may have mixed case, but should otherwise match: {LABEL_1035}");
                    causes.push(Cause::invalid(at, &value[name], &detail));
                }
            }
            other => causes.push(Cause::invalid(at, other, "must be a string")),
        }
    }
    for cause in embedded_metadata(&value["metadata"]) {
        causes.push(Cause { field: join(path, &cause.field), ..cause });
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
