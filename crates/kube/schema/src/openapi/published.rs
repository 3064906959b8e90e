//! Makes the schema of a definition what is published of it: with `apiVersion`, `kind` and
//! `metadata`, and reduced to what each version of OpenAPI can say. Pure: a value in, a
//! value out. It never checks a schema: [`crate::crd`] does.

use serde_json::{Map, Value, json};

use super::words;

/// Which version of OpenAPI is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Clients of this version know no alternatives and no `null`.
    V2,
    /// The schema as it is.
    V3,
}

/// What is kept of a place, besides what is looked at one by one.
const KEPT: &[&str] = &[
    "type",
    "title",
    "description",
    "default",
    "example",
    "externalDocs",
    "nullable",
    "format",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "enum",
    "maxProperties",
    "minProperties",
    "required",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
];

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

/// Returns what is published of a schema; `Null` publishes an object of which nothing is said.
pub fn publish(schema: &Value, version: Version) -> Value {
    let open = json!({"type": "object"});
    if !schema.is_object() {
        return open;
    }
    let mut root = place(schema, version);
    let Some(map) = root.as_object_mut() else { return open };
    // A client of version 2 takes every field that is not listed for a mistake.
    if version == Version::V2 && flag(schema, PRESERVE) {
        return open;
    }
    object_fields(map, version);
    root
}

/// Returns a reference to a built-in type, with what is said of the place that refers to it.
pub fn described_reference(name: &str, description: &str, version: Version) -> Value {
    match version {
        Version::V2 => json!({"$ref": format!("{}{name}", super::v2::PREFIX), "description": description}),
        Version::V3 => {
            json!({"allOf": [{"$ref": format!("#/components/schemas/{name}")}], "description": description})
        }
    }
}

fn flag(schema: &Value, name: &str) -> bool {
    schema[name] == true
}

fn object_fields(map: &mut Map<String, Value>, version: Version) {
    let properties = map.entry("properties").or_insert_with(|| json!({}));
    let Some(properties) = properties.as_object_mut() else { return };
    properties.insert("apiVersion".into(), json!({"type": "string", "description": words::API_VERSION}));
    properties.insert("kind".into(), json!({"type": "string", "description": words::KIND}));
    let metadata = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    properties.insert("metadata".into(), described_reference(metadata, words::METADATA, version));
}

/// Returns one place, with everything in it.
fn place(schema: &Value, version: Version) -> Value {
    let Some(map) = schema.as_object() else { return json!({}) };
    let mut out = Map::new();
    for name in KEPT {
        if let Some(value) = map.get(*name).filter(|value| says_something(value)) {
            out.insert((*name).to_owned(), value.clone());
        }
    }
    let reduced = version == Version::V2;
    let hides = reduced && (flag(schema, "nullable") || flag(schema, PRESERVE));
    if let Some(properties) = map.get("properties").and_then(Value::as_object).filter(|_| !hides) {
        let fields = properties.iter().map(|(name, field)| (name.clone(), place(field, version)));
        out.insert("properties".into(), fields.collect::<Map<_, _>>().into());
    }
    if let Some(items) = map.get("items").filter(|items| items.is_object() && !hides) {
        out.insert("items".into(), place(items, version));
    }
    match map.get("additionalProperties") {
        Some(Value::Bool(allows)) => drop(out.insert("additionalProperties".into(), (*allows).into())),
        Some(values @ Value::Object(_)) => drop(out.insert("additionalProperties".into(), place(values, version))),
        _ => {}
    }
    if reduced {
        reduce(schema, &mut out);
    } else {
        for name in ["allOf", "anyOf", "oneOf"] {
            if let Some(list) = map.get(name).and_then(Value::as_array).filter(|list| !list.is_empty()) {
                out.insert(name.into(), list.iter().map(rule).collect());
            }
        }
        if let Some(not) = map.get("not").filter(|not| not.is_object()) {
            out.insert("not".into(), rule(not));
        }
        if flag(schema, INT_OR_STRING) {
            tell_both(&mut out);
        }
    }
    if flag(schema, EMBEDDED) && !(reduced && flag(schema, PRESERVE)) {
        object_fields(&mut out, version);
        let required = out.entry("required").or_insert_with(|| json!([]));
        if let Some(required) = required.as_array_mut() {
            for name in ["kind", "apiVersion"] {
                if !required.iter().any(|had| had == name) {
                    required.push(name.into());
                }
            }
        }
    }
    out.into()
}

/// Returns whether a value is more than the one that stands where none is given.
fn says_something(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
        && value != ""
        && value.as_array().is_none_or(|list| !list.is_empty())
}

/// A rule among alternatives says what it says: nothing in it is published otherwise.
fn rule(schema: &Value) -> Value {
    let mut rule = place(schema, Version::V3);
    if let Some(map) = rule.as_object_mut() {
        map.retain(|name, _| !matches!(name.as_str(), "title" | "description" | "default" | "nullable"));
    }
    rule
}

/// Takes away what a client of version 2 cannot read, and what it would read wrongly.
fn reduce(schema: &Value, out: &mut Map<String, Value>) {
    out.remove("default");
    let kind = schema["type"].as_str().unwrap_or_default();
    if out.remove("nullable").is_some()
        || (flag(schema, PRESERVE) && kind == "object")
        || (kind == "array" && !out.contains_key("items"))
    {
        out.remove("type");
    }
    let nullable = |field: &str| schema["properties"][field]["nullable"] == true;
    let every_value = schema["additionalProperties"]["nullable"] == true;
    let listed = out.contains_key("properties");
    if let Some(required) = out.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !every_value && (!listed || !nullable(name.as_str().unwrap_or_default())));
        if required.is_empty() {
            out.remove("required");
        }
    }
}

/// Says in so many words that a place takes a whole number or a text.
fn tell_both(out: &mut Map<String, Value>) {
    let both = json!([{"type": "integer"}, {"type": "string"}]);
    let in_all = |list: &Value| list[0]["anyOf"] == both;
    if out.get("anyOf") == Some(&both) || out.get("allOf").is_some_and(in_all) {
        return;
    }
    if out.contains_key("anyOf") {
        let all = out.entry("allOf").or_insert_with(|| json!([]));
        if let Some(all) = all.as_array_mut() {
            all.insert(0, json!({"anyOf": both}));
        }
    } else {
        out.insert("anyOf".into(), both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(schema: &Value, version: Version) -> Value {
        let root = publish(&json!({"type": "object", "properties": {"spec": schema}}), version);
        root["properties"]["spec"].clone()
    }

    #[test]
    fn every_object_has_a_kind_and_metadata() {
        let root = publish(&json!({"type": "object", "description": "A boat."}), Version::V2);
        assert_eq!(root["description"], "A boat.");
        assert_eq!(
            root["properties"]["metadata"]["$ref"],
            "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
        );
        let root = publish(&json!({"type": "object"}), Version::V3);
        assert_eq!(
            root["properties"]["metadata"]["allOf"][0]["$ref"],
            "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
        );
    }

    #[test]
    fn what_keeps_unknown_fields_lists_none_to_clients_of_version_2() {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "description": "x",
            "properties": {"a": {"type": "string"}}});
        assert_eq!(publish(&schema, Version::V2), json!({"type": "object"}));
        assert_eq!(publish(&Value::Null, Version::V2), json!({"type": "object"}));
        assert_eq!(
            spec(&schema, Version::V2),
            json!({"description": "x", "x-kubernetes-preserve-unknown-fields": true})
        );
        assert_eq!(spec(&schema, Version::V3), schema);
    }

    #[test]
    fn version_2_loses_alternatives_nulls_and_defaults() {
        let schema = json!({"type": "object", "required": ["a", "b"], "oneOf": [{"required": ["a"]}], "properties": {
            "a": {"type": "array", "nullable": true, "items": {"type": "string"}},
            "b": {"type": "string", "default": "x", "enum": ["x", "y"]}}});
        assert_eq!(
            spec(&schema, Version::V2),
            json!({"type": "object", "required": ["b"], "properties": {"a": {}, "b": {"type": "string", "enum": ["x", "y"]}}})
        );
        assert_eq!(spec(&schema, Version::V3), schema);
    }

    #[test]
    fn a_number_or_text_is_said_to_be_both() {
        let both = json!([{"type": "integer"}, {"type": "string"}]);
        let short = json!({"x-kubernetes-int-or-string": true});
        assert_eq!(spec(&short, Version::V2), short);
        assert_eq!(spec(&short, Version::V3)["anyOf"], both);
        let told = json!({"x-kubernetes-int-or-string": true, "anyOf": both, "pattern": "^x"});
        assert_eq!(spec(&told, Version::V3), told);
        let more = json!({"x-kubernetes-int-or-string": true, "anyOf": [{"minimum": 1}]});
        assert_eq!(spec(&more, Version::V3)["allOf"], json!([{"anyOf": both}]));
    }

    #[test]
    fn an_embedded_object_has_what_objects_have() {
        let schema = json!({"type": "object", "x-kubernetes-embedded-resource": true});
        let found = spec(&schema, Version::V2);
        assert_eq!(found["required"], json!(["kind", "apiVersion"]));
        assert!(found["properties"]["metadata"]["$ref"].is_string());
        let open = json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true});
        assert!(spec(&open, Version::V2)["properties"].is_null());
    }
}
