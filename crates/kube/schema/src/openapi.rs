//! Writes types as OpenAPI schemas, for `kubectl explain` and for clients that
//! validate before they send. This file writes built-in types in version 3, [`v2`] in
//! version 2; [`published`] reduces the schemas of definitions, [`binary`] encodes a
//! document of version 2, [`words`] describes what all objects have.

pub mod binary;
pub mod published;
pub mod v2;
pub mod words;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::model::{Kind, ListType, Node, builtin};

/// Returns the schema of one place. Built-in types become references.
pub fn schema(node: &Node) -> Value {
    let mut map = Map::new();
    match &node.kind {
        Kind::Ref(name) => {
            map.insert("allOf".into(), json!([{"$ref": format!("#/components/schemas/{name}")}]));
        }
        Kind::String => put(&mut map, "type", "string"),
        Kind::Integer => put(&mut map, "type", "integer"),
        Kind::Number => put(&mut map, "type", "number"),
        Kind::Boolean => put(&mut map, "type", "boolean"),
        Kind::Object => put(&mut map, "type", "object"),
        Kind::Map(values) => {
            put(&mut map, "type", "object");
            map.insert("additionalProperties".into(), schema(values));
        }
        Kind::Array(items) => {
            put(&mut map, "type", "array");
            map.insert("items".into(), schema(items));
        }
        Kind::IntOrString => {
            map.insert("oneOf".into(), json!([{"type": "integer"}, {"type": "string"}]));
            map.insert("x-kubernetes-int-or-string".into(), true.into());
        }
        Kind::Any => {}
    }
    match node.format.as_deref() {
        // What is told apart here is one thing to clients.
        None | Some("quantity") => {}
        Some("micro-time") => put(&mut map, "format", "date-time"),
        Some(format) => put(&mut map, "format", format),
    }
    if let Some(description) = &node.description {
        put(&mut map, "description", description);
    }
    if let Some(default) = &node.default {
        map.insert("default".into(), default.clone());
    }
    if !node.rules.enumeration.is_empty() {
        map.insert("enum".into(), node.rules.enumeration.clone().into());
    }
    if !node.properties.is_empty() {
        let properties: Map<String, Value> =
            node.properties.iter().map(|(name, field)| (name.clone(), schema(field))).collect();
        map.insert("properties".into(), properties.into());
    }
    if !node.required.is_empty() {
        map.insert("required".into(), node.required.clone().into());
    }
    match &node.list {
        ListType::Map(keys) => {
            put(&mut map, "x-kubernetes-list-type", "map");
            map.insert("x-kubernetes-list-map-keys".into(), keys.clone().into());
        }
        ListType::Set => put(&mut map, "x-kubernetes-list-type", "set"),
        ListType::Atomic => {}
    }
    if let Some(key) = &node.merge_key {
        put(&mut map, "x-kubernetes-patch-merge-key", key);
    }
    if let Some(strategy) = strategy(node) {
        put(&mut map, "x-kubernetes-patch-strategy", strategy);
    }
    if node.preserve_unknown {
        map.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
    }
    map.into()
}

/// Returns the strategy of a place under strategic merge patch, if it has one of its own.
fn strategy(node: &Node) -> Option<&'static str> {
    match (node.merge_list, node.retain_keys) {
        _ if node.replaces => Some("replace"),
        (true, true) => Some("merge,retainKeys"),
        (true, false) => Some("merge"),
        (false, true) => Some("retainKeys"),
        (false, false) => None,
    }
}

fn put(map: &mut Map<String, Value>, key: &str, value: &str) {
    map.insert(key.to_owned(), value.into());
}

/// Returns the names of the built-in types that `node` reaches.
pub fn reached(node: &Node, found: &mut BTreeSet<String>) {
    match &node.kind {
        Kind::Ref(name) => {
            if found.insert(name.clone())
                && let Some(target) = builtin(name)
            {
                reached(target, found);
            }
        }
        Kind::Map(inner) | Kind::Array(inner) => reached(inner, found),
        _ => {}
    }
    for field in node.properties.values() {
        reached(field, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_holds_every_type_it_refers_to() {
        let mut found = BTreeSet::new();
        reached(builtin("io.k8s.api.apps.v1.Deployment").unwrap(), &mut found);
        assert!(found.contains("io.k8s.api.core.v1.Container"));
        let container = schema(builtin("io.k8s.api.core.v1.Container").unwrap());
        assert_eq!(container["properties"]["env"]["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(
            container["properties"]["resources"]["allOf"][0]["$ref"],
            "#/components/schemas/io.k8s.api.core.v1.ResourceRequirements"
        );
    }
}
