//! Writes built-in types as OpenAPI v2 schemas, as Kubernetes publishes them: a type is a
//! reference, and so is a scalar with a form of its own (a time, a quantity). It never
//! writes the types of definitions: [`super::published`] does.

use serde_json::{Map, Value, json};

use super::{put, strategy};
use crate::model::{Kind, ListType, MapType, Node};

/// Where definitions lie in a document.
pub const PREFIX: &str = "#/definitions/";

const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/// Returns a reference to a definition.
pub fn reference(name: &str) -> Value {
    json!({"$ref": format!("{PREFIX}{name}")})
}

/// Returns the schema of one place.
pub fn schema(node: &Node) -> Value {
    let mut map = Map::new();
    if let Some(name) = name_of(node) {
        put(&mut map, "$ref", &format!("{PREFIX}{name}"));
    } else {
        inline(node, &mut map);
    }
    facts(node, &mut map);
    map.into()
}

/// Returns the name of the definition that stands at a place, if one does.
pub fn name_of(node: &Node) -> Option<&str> {
    match (&node.kind, node.format.as_deref()) {
        (Kind::Ref(name), _) => Some(name),
        (Kind::IntOrString, _) => Some(INT_OR_STRING),
        (Kind::String, Some("quantity")) => Some(QUANTITY),
        (Kind::String, Some("date-time")) => Some(TIME),
        (Kind::String, Some("micro-time")) => Some(MICRO_TIME),
        _ => node.named.as_deref(),
    }
}

/// Returns the definition of a type that has no fields, by its name.
pub fn plain(name: &str) -> Value {
    match name {
        TIME | MICRO_TIME => json!({"format": "date-time", "type": "string"}),
        QUANTITY => json!({"type": "string"}),
        INT_OR_STRING => json!({"format": "int-or-string", "type": "string"}),
        // Anything may stand where a schema's own values stand.
        _ if name.contains(".JSON") => json!({}),
        _ => json!({"type": "object"}),
    }
}

fn inline(node: &Node, map: &mut Map<String, Value>) {
    match &node.kind {
        Kind::String => put(map, "type", "string"),
        Kind::Integer => put(map, "type", "integer"),
        Kind::Number => put(map, "type", "number"),
        Kind::Boolean => put(map, "type", "boolean"),
        Kind::Object => put(map, "type", "object"),
        Kind::Map(values) => {
            put(map, "type", "object");
            map.insert("additionalProperties".into(), schema(values));
        }
        Kind::Array(items) => {
            put(map, "type", "array");
            map.insert("items".into(), schema(items));
        }
        Kind::IntOrString | Kind::Any | Kind::Ref(_) => {}
    }
    if let Some(format) = &node.format {
        put(map, "format", format);
    }
    if !node.properties.is_empty() {
        let properties: Map<String, Value> =
            node.properties.iter().map(|(name, field)| (name.clone(), schema(field))).collect();
        map.insert("properties".into(), properties.into());
    }
    if !node.required.is_empty() {
        map.insert("required".into(), node.required.clone().into());
    }
}

fn facts(node: &Node, map: &mut Map<String, Value>) {
    match &node.list {
        ListType::Map(keys) => {
            put(map, "x-kubernetes-list-type", "map");
            map.insert("x-kubernetes-list-map-keys".into(), keys.clone().into());
        }
        ListType::Set => put(map, "x-kubernetes-list-type", "set"),
        ListType::Atomic if node.list_told => put(map, "x-kubernetes-list-type", "atomic"),
        ListType::Atomic => {}
    }
    if node.map == MapType::Atomic && !node.preserve_unknown {
        put(map, "x-kubernetes-map-type", "atomic");
    }
    if let Some(key) = &node.merge_key {
        put(map, "x-kubernetes-patch-merge-key", key);
    }
    if let Some(strategy) = strategy(node) {
        put(map, "x-kubernetes-patch-strategy", strategy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::builtin;

    #[test]
    fn a_type_refers_to_others_and_to_scalars_with_a_form() {
        let container = schema(builtin("io.k8s.api.core.v1.Container").unwrap());
        assert_eq!(
            container["properties"]["ports"],
            json!({"type": "array", "items": {"$ref": "#/definitions/io.k8s.api.core.v1.ContainerPort"},
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
                "x-kubernetes-patch-merge-key": "containerPort", "x-kubernetes-patch-strategy": "merge"})
        );
        assert_eq!(
            container["properties"]["args"],
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"})
        );
        let metadata = schema(builtin("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").unwrap());
        assert_eq!(metadata["properties"]["creationTimestamp"], reference(TIME));
        let requirements = schema(builtin("io.k8s.api.core.v1.ResourceRequirements").unwrap());
        assert_eq!(requirements["properties"]["limits"]["additionalProperties"], reference(QUANTITY));
        let spec = schema(builtin("io.k8s.api.apps.v1.DeploymentSpec").unwrap());
        assert_eq!(
            spec["properties"]["strategy"],
            json!({"$ref": "#/definitions/io.k8s.api.apps.v1.DeploymentStrategy", "x-kubernetes-patch-strategy": "retainKeys"})
        );
    }
}
