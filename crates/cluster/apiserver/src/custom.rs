//! Custom resources: what a `CustomResourceDefinition` makes of itself (defaults,
//! checks, accepted names) and the [`Resource`]s that it adds to the table.

mod conversion;
mod definition;
mod embedded;
mod internal;
mod names;
mod objects;

use std::{collections::BTreeMap, sync::Arc};

use schema::crd;
use serde_json::{Map, Value, json};

use crate::registry::{
    ALL_METADATA, Column, Converts, Gvk, NameRule, Resource, Rules, Storage, Subresource, path_column, version_rank,
};
use crate::write::spec_changed;

pub(crate) use definition::validate;
pub(crate) use names::{CLEANUP, marked, status, terminating};
pub(crate) use objects::{Part, check, whole_numbers};

/// The verbs of a custom kind, in the order that discovery names them.
const CUSTOM_VERBS: &[&str] = &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Fills in what a definition leaves out.
pub(crate) fn default(value: &mut Value) {
    let kind = text(&value["spec"]["names"], "kind").to_owned();
    let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let conversion = spec.entry("conversion").or_insert_with(|| json!({"strategy": "None"}));
    let service = conversion.pointer_mut("/webhook/clientConfig/service").and_then(Value::as_object_mut);
    service.map(|service| service.entry("port").or_insert_with(|| 443.into()));
    for version in spec.get_mut("versions").and_then(Value::as_array_mut).into_iter().flatten() {
        for column in version.get_mut("additionalPrinterColumns").and_then(Value::as_array_mut).into_iter().flatten() {
            // The old spelling is read no more.
            if column["priority"] == 0 {
                column.as_object_mut().map(|column| column.remove("priority"));
            }
        }
    }
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) {
        names.entry("singular").or_insert_with(|| kind.to_lowercase().into());
        if !kind.is_empty() {
            names.entry("listKind").or_insert_with(|| format!("{kind}List").into());
        }
    }
    if texts(&value["status"]["storedVersions"]).is_empty() && value["status"].is_object() {
        keep(&Value::Null, value);
    }
}

/// Writes down the version that objects of a new definition are stored at.
pub(crate) fn create(value: &mut Value) {
    keep(&Value::Null, value);
}

/// Writes down the version that objects of a definition are stored at from now on.
pub(crate) fn keep(_: &Value, value: &mut Value) {
    let Some(name) = stored_version(value).map(str::to_owned) else { return };
    let mut stored = texts(&value["status"]["storedVersions"]);
    if !stored.contains(&name) {
        stored.push(name);
        value["status"]["storedVersions"] = stored.into();
    }
}

/// Returns what to warn the creator of a definition of: formats that nothing is known of.
pub(crate) fn warn(value: &Value) -> Vec<String> {
    let internal = internal::Internal::of(&value["spec"]);
    let schemas =
        std::iter::once(&internal.validation).chain(internal.versions.iter().map(|version| &version["schema"]));
    let mut found = Vec::new();
    for schema in schemas {
        unknown_formats(&schema["openAPIV3Schema"], &mut found);
    }
    found.into_iter().map(|format| format!("unrecognized format {format:?}")).collect()
}

fn unknown_formats(schema: &Value, found: &mut Vec<String>) {
    let format = text(schema, "format");
    if !format.is_empty() && !schema::validate::is_known_format(format, text(schema, "type")) {
        found.push(format.to_owned());
    }
    for name in ["items", "not", "additionalProperties"] {
        if schema[name].is_object() {
            unknown_formats(&schema[name], found);
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        schema[name].as_array().into_iter().flatten().for_each(|inner| unknown_formats(inner, found));
    }
    schema["properties"].as_object().into_iter().flatten().for_each(|(_, inner)| unknown_formats(inner, found));
}

fn stored_version(definition: &Value) -> Option<&str> {
    let versions = definition["spec"]["versions"].as_array()?;
    versions.iter().find(|version| version["storage"] == true)?["name"].as_str()
}

/// Returns the kinds that an established definition serves, one for each served version.
pub(crate) fn resources(definition: &Value) -> Vec<Arc<Resource>> {
    let established = definition["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True");
    if !established {
        return Vec::new();
    }
    // What a definition that goes has left is served until it is gone, but nothing new.
    let terminating = !definition["metadata"]["deletionTimestamp"].is_null();
    let spec = &definition["spec"];
    let versions = spec["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(stored) = versions.iter().find(|version| version["storage"] == true) else { return Vec::new() };
    let mut served: Vec<&Value> = versions.iter().filter(|version| version["served"] == true).collect();
    served.sort_by_key(|version| version_rank(text(version, "name")));
    served
        .into_iter()
        .map(|version| {
            let converts = converts(spec, stored).filter(|_| version["storage"] != true);
            Arc::new(Resource { converts, terminating, ..resource(spec, version, text(stored, "name")) })
        })
        .collect()
}

/// Returns what converts the versions of a definition to the one that is stored, if a webhook does.
pub(crate) fn conversion_of(definition: &Value) -> Option<Converts> {
    let spec = &definition["spec"];
    let stored = spec["versions"].as_array()?.iter().find(|version| version["storage"] == true)?;
    converts(spec, stored)
}

/// Returns what converts the other versions of a definition, if a webhook does.
fn converts(spec: &Value, stored: &Value) -> Option<Converts> {
    let conversion = &spec["conversion"];
    (conversion["strategy"] == "Webhook").then(|| Converts {
        config: conversion["webhook"]["clientConfig"].clone(),
        stored: Arc::new(resource(spec, stored, text(stored, "name"))),
    })
}

fn resource(spec: &Value, version: &Value, stored: &str) -> Resource {
    let names = &spec["names"];
    let mut node = crd::read(&version["schema"]["openAPIV3Schema"]).node;
    node.kind = schema::model::Kind::Object;
    let validator = expressions::rules::compile(&node).0.map(Arc::new);
    let deprecation = (version["deprecated"] == true)
        .then(|| version["deprecationWarning"].as_str().map_or_else(|| deprecated(spec, version), str::to_owned));
    let columns: Vec<Column> = match version["additionalPrinterColumns"].as_array() {
        Some(columns) if !columns.is_empty() => columns
            .iter()
            .map(|column| {
                let priority = column["priority"].as_i64().unwrap_or_default();
                path_column(text(column, "name"), text(column, "type"), priority, text(column, "jsonPath")).ok()
            })
            // One that leads nowhere lets go of all.
            .collect::<Option<_>>()
            .unwrap_or_else(age),
        _ => age(),
    };
    let gvk = Gvk {
        group: text(spec, "group").to_owned(),
        version: text(version, "name").to_owned(),
        kind: text(names, "kind").to_owned(),
    };
    Resource {
        api_version: gvk.api_version(),
        gvk,
        plural: text(names, "plural").to_owned(),
        singular: text(names, "singular").to_owned(),
        list_kind: text(names, "listKind").to_owned(),
        short: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        namespaced: text(spec, "scope") == "Namespaced",
        storage: Storage { group: text(spec, "group").to_owned(), version: stored.to_owned() },
        conversion: None,
        converts: None,
        verbs: CUSTOM_VERBS,
        name: NameRule::Subdomain,
        defaults: node.has_defaults(),
        node: Arc::new(node),
        type_name: None,
        subresources: subresources(version["subresources"].as_object()),
        status_keeps: ALL_METADATA,
        columns,
        selectable: version["selectableFields"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|field| text(field, "jsonPath").trim_start_matches('.').to_owned())
            .collect(),
        elsewhere: &[],
        rules: Rules::default(),
        generation: true,
        counts: spec_changed,
        graceful: false,
        addressed: false,
        defines_kinds: false,
        divides_seats: false,
        custom: true,
        validator,
        deprecation,
        terminating: false,
        grants: None,
        confidential: false,
        created_by_updates: false,
        returns_deleted: false,
        unconditional: false,
        review: None,
        measured: None,
    }
}

/// Says that a version is deprecated, and which newer one to use, if one is served that is not.
fn deprecated(spec: &Value, version: &Value) -> String {
    let (group, kind) = (text(spec, "group"), text(&spec["names"], "kind"));
    let said = format!("{group}/{} {kind} is deprecated", text(version, "name"));
    let rank = version_rank(text(version, "name"));
    let versions = spec["versions"].as_array().into_iter().flatten();
    let newer = versions
        .filter(|other| other["served"] == true && other["deprecated"] != true)
        .map(|other| text(other, "name"))
        .filter(|name| version_rank(name) < rank)
        .min_by_key(|name| version_rank(name));
    newer.map_or_else(|| said.clone(), |newer| format!("{said}; use {group}/{newer} {kind}"))
}

/// Returns the column of a kind that says nothing of columns.
fn age() -> Vec<Column> {
    path_column("Age", "date", 0, ".metadata.creationTimestamp").into_iter().collect()
}

fn subresources(declared: Option<&Map<String, Value>>) -> BTreeMap<&'static str, Subresource> {
    let mut map = BTreeMap::new();
    let Some(declared) = declared else { return map };
    let path = |value: &Value| -> Vec<String> {
        value.as_str().unwrap_or_default().trim_start_matches('.').split('.').map(str::to_owned).collect()
    };
    if declared.contains_key("status") {
        map.insert("status", Subresource::Status);
    }
    if let Some(scale) = declared.get("scale").filter(|scale| scale.is_object()) {
        map.insert(
            "scale",
            Subresource::Scale {
                spec: path(&scale["specReplicasPath"]),
                status: path(&scale["statusReplicasPath"]),
                selector: scale.get("labelSelectorPath").map(path),
            },
        );
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Value {
        let mut value = json!({"metadata": {"name": "boats.sea.example"}, "spec": {"group": "sea.example", "scope": "Namespaced",
            "names": {"plural": "boats", "kind": "Boat", "shortNames": ["bt"]},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}},
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}}}]}});
        default(&mut value);
        create(&mut value);
        value
    }

    #[test]
    fn an_established_definition_serves_its_versions() {
        let mut value = definition();
        let mut causes = Vec::new();
        validate(&value, None, &mut causes);
        assert!(causes.is_empty(), "{causes:?}");
        assert!(resources(&value).is_empty());
        value["status"] = status(&value, &[], "now");
        let resources = resources(&value);
        assert_eq!(resources[0].list_kind, "BoatList");
        assert!(resources[0].subresources.contains_key("scale"));
    }
}
