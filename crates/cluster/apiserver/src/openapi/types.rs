//! The types that a document describes: those that its operations name, and all that these
//! refer to. It never writes an operation: [`super::operations`] does.

use std::collections::BTreeMap;

use schema::{
    model,
    openapi::{
        self,
        published::{self, Version, described_reference},
        v2, words,
    },
};
use serde_json::{Map, Value, json};

use crate::{
    discovery::of_subresource,
    kinds::Served,
    registry::{Gvk, Resource},
};

/// Where Kubernetes' common types lie.
pub(super) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The types of one document.
pub(super) struct Types<'a> {
    served: &'a Served,
    version: Version,
    written: BTreeMap<String, Value>,
    /// Named and not written yet.
    named: Vec<String>,
    kinds: BTreeMap<String, Vec<Value>>,
}

impl<'a> Types<'a> {
    pub(super) fn new(served: &'a Served, version: Version) -> Types<'a> {
        Types { served, version, written: BTreeMap::new(), named: Vec::new(), kinds: kinds_of_types(served) }
    }

    /// Returns the schema that refers to a type; it becomes part of the document.
    pub(super) fn refer(&mut self, name: &str) -> Value {
        self.named.push(name.to_owned());
        match self.version {
            Version::V2 => v2::reference(name),
            Version::V3 => json!({"$ref": format!("#/components/schemas/{name}")}),
        }
    }

    /// Returns the name of a kind's type, and writes it if it is a custom one.
    pub(super) fn kind(&mut self, resource: &Resource) -> String {
        let name = name_of(resource);
        if resource.custom && !self.written.contains_key(&name) {
            let (own, list) = self.custom(resource, &name);
            self.written.insert(name_of_list(resource), list);
            self.written.insert(name.clone(), own);
        }
        name
    }

    fn custom(&mut self, resource: &Resource, name: &str) -> (Value, Value) {
        let defined = self.served.defined_version(resource);
        let mut own = published::publish(
            defined.map_or(&Value::Null, |version| &version["schema"]["openAPIV3Schema"]),
            self.version,
        );
        let list_meta = format!("{META}.ListMeta");
        self.named.extend([format!("{META}.ObjectMeta"), list_meta.clone()]);
        let items = self.refer(name);
        let mut list = json!({"type": "object", "required": ["items"],
        "description": format!("{} is a list of {}", resource.list_kind, resource.gvk.kind),
        "properties": {
            "apiVersion": {"type": "string", "description": words::API_VERSION},
            "kind": {"type": "string", "description": words::KIND},
            "metadata": described_reference(&list_meta, words::LIST_METADATA, self.version),
            "items": {"type": "array", "items": items, "description": format!("The {} of the list.", resource.plural)},
        }});
        own["x-kubernetes-group-version-kind"] = json!([gvk(&resource.gvk, &resource.gvk.kind)]);
        list["x-kubernetes-group-version-kind"] = json!([gvk(&resource.gvk, &resource.list_kind)]);
        let selectable = defined.map_or(&Value::Null, |version| &version["selectableFields"]);
        if let Some(fields) = selectable.as_array().filter(|fields| !fields.is_empty()) {
            let path = |field: &Value| json!({"fieldPath": field["jsonPath"].as_str().unwrap_or_default().trim_start_matches('.')});
            let fields: Vec<Value> = fields.iter().map(path).collect();
            own["x-kubernetes-selectable-fields"] = fields.clone().into();
            list["x-kubernetes-selectable-fields"] = fields.into();
        }
        (own, list)
    }

    /// Returns all types, with everything that they refer to.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        for schema in self.written.values() {
            references(schema, &mut self.named);
        }
        while let Some(name) = self.named.pop() {
            if self.written.contains_key(&name) {
                continue;
            }
            let schema = self.builtin(&name);
            references(&schema, &mut self.named);
            self.written.insert(name, schema);
        }
        self.written.into_iter().collect()
    }

    fn builtin(&self, name: &str) -> Value {
        let mut schema = match (model::builtin(name), self.version) {
            (Some(node), Version::V2) => v2::schema(node),
            (Some(node), Version::V3) => openapi::schema(node),
            (None, _) => v2::plain(name),
        };
        let kinds = self.kinds.get(name);
        if let Some(fields) = schema["properties"].as_object_mut() {
            for (field, place) in fields {
                let said = match field.as_str() {
                    _ if name.ends_with(".ObjectMeta") => words::of_metadata(field),
                    "apiVersion" if kinds.is_some() => Some(words::API_VERSION),
                    "kind" if kinds.is_some() => Some(words::KIND),
                    "metadata" if kinds.is_some() && name.ends_with("List") => Some(words::LIST_METADATA),
                    "metadata" if kinds.is_some() => Some(words::METADATA),
                    _ => None,
                };
                if let (Some(said), Some(place)) = (said, place.as_object_mut()) {
                    place.insert("description".into(), said.into());
                }
            }
        }
        if let Some(kinds) = kinds {
            schema["x-kubernetes-group-version-kind"] = kinds.clone().into();
        }
        schema
    }
}

pub(super) fn gvk(of: &Gvk, kind: &str) -> Value {
    json!({"group": of.group, "version": of.version, "kind": kind})
}

/// Returns the name of a kind's type.
pub(super) fn name_of(resource: &Resource) -> String {
    resource.type_name.map_or_else(|| custom_name(&resource.gvk, &resource.gvk.kind), str::to_owned)
}

/// Returns the name of the type of a kind's lists.
pub(super) fn name_of_list(resource: &Resource) -> String {
    resource.type_name.map_or_else(|| custom_name(&resource.gvk, &resource.list_kind), |name| format!("{name}List"))
}

/// Returns the name of a built-in type by its kind, for example of what a subresource takes.
pub(super) fn builtin_name(group: &str, version: &str, kind: &str) -> String {
    let package = if group.is_empty() { "core" } else { group.split('.').next().unwrap_or_default() };
    format!("io.k8s.api.{package}.{version}.{kind}")
}

fn custom_name(of: &Gvk, kind: &str) -> String {
    let mut parts: Vec<&str> = of.group.split('.').collect();
    parts.reverse();
    format!("{}.{}.{kind}", parts.join("."), of.version)
}

/// Returns which kinds each built-in type is.
fn kinds_of_types(served: &Served) -> BTreeMap<String, Vec<Value>> {
    let mut kinds: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut add = |name: String, kind: Value| {
        let list = kinds.entry(name).or_default();
        if !list.contains(&kind) {
            list.push(kind);
        }
    };
    for versions in served.registry.groups().into_values() {
        for (_, resources) in versions {
            for resource in resources.into_iter().filter(|resource| !resource.custom) {
                add(name_of(resource), gvk(&resource.gvk, &resource.gvk.kind));
                if resource.review.is_none() {
                    add(name_of_list(resource), gvk(&resource.gvk, &resource.list_kind));
                }
                for kind in resource.subresources.values() {
                    let (group, version, kind, _) = of_subresource(resource, kind);
                    let name = builtin_name(group, version, kind);
                    if model::builtin(&name).is_some() {
                        add(name, json!({"group": group, "version": version, "kind": kind}));
                    }
                }
                for kind in ["DeleteOptions", "WatchEvent"] {
                    add(format!("{META}.{kind}"), gvk(&resource.gvk, kind));
                }
            }
        }
    }
    add(format!("{META}.Status"), json!({"group": "", "version": "v1", "kind": "Status"}));
    kinds
}

/// Finds the names of the types that a schema refers to.
fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            for (name, value) in map {
                match value.as_str().filter(|_| name == "$ref").and_then(|path| path.rsplit('/').next()) {
                    Some(name) => found.push(name.to_owned()),
                    None => references(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}
