//! Reads the schema of a `CustomResourceDefinition` and refuses what is not
//! structural (the rules of `apiextensions.k8s.io/v1`).

use serde_json::{Map, Value};

use crate::model::{Kind, ListType, Node, Rules};

/// How deep a schema may nest; deeper ones are refused.
const MAX_DEPTH: usize = 64;

/// What is wrong with a schema: the path of the place and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path within the schema, for example `properties[spec].type`.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// Reads an `openAPIV3Schema`. Returns the node and every problem found, not only the first.
pub fn read(schema: &Value) -> (Node, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut node = place(schema, "", true, 0, &mut problems);
    // apiVersion, kind and metadata are the API's own, whatever the schema says of them.
    for (name, kind) in [("apiVersion", Kind::String), ("kind", Kind::String)] {
        node.properties.insert(name.to_owned(), Node { kind, ..Node::default() });
    }
    node.properties.insert(
        "metadata".to_owned(),
        Node { kind: Kind::Ref("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta".to_owned()), ..Node::default() },
    );
    (node, problems)
}

fn place(schema: &Value, path: &str, structural: bool, depth: usize, problems: &mut Vec<Problem>) -> Node {
    let mut node = Node::default();
    let Some(map) = schema.as_object() else {
        problems.push(Problem { path: path.to_owned(), message: "must be an object".into() });
        return node;
    };
    if depth > MAX_DEPTH {
        problems.push(Problem { path: path.to_owned(), message: format!("nests deeper than {MAX_DEPTH}") });
        return node;
    }
    let flag = |name: &str| map.get(name).and_then(Value::as_bool).unwrap_or(false);
    let int_or_string = flag("x-kubernetes-int-or-string");
    node.preserve_unknown = flag("x-kubernetes-preserve-unknown-fields");
    node.embedded = flag("x-kubernetes-embedded-resource");
    node.nullable = flag("nullable");
    node.format = text(map, "format");
    node.description = text(map, "description");
    node.default = map.get("default").cloned();
    node.atomic = map.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic");
    node.required = strings(map, "required");
    if let Some(properties) = map.get("properties").and_then(Value::as_object) {
        for (name, inner) in properties {
            let inner = place(inner, &join(path, &format!("properties[{name}]")), structural, depth + 1, problems);
            node.properties.insert(name.clone(), inner);
        }
    }
    node.kind = match map.get("type").and_then(Value::as_str) {
        Some("string") => Kind::String,
        Some("integer") => Kind::Integer,
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Boolean,
        Some("array") => {
            let items = match map.get("items") {
                Some(items) => place(items, &join(path, "items"), structural, depth + 1, problems),
                None => {
                    if structural {
                        problems.push(Problem { path: join(path, "items"), message: "must be specified".into() });
                    }
                    Node::default()
                }
            };
            Kind::Array(Box::new(items))
        }
        Some("object") => match map.get("additionalProperties") {
            Some(Value::Bool(true)) => Kind::Map(Box::default()),
            Some(values @ Value::Object(_)) => {
                Kind::Map(Box::new(place(values, &join(path, "additionalProperties"), structural, depth + 1, problems)))
            }
            _ => Kind::Object,
        },
        Some(other) => {
            problems.push(Problem {
                path: join(path, "type"),
                message: format!(
                    "unsupported value {other:?}: must be one of array, boolean, integer, number, object, string"
                ),
            });
            Kind::Any
        }
        None if int_or_string => Kind::IntOrString,
        None if node.preserve_unknown || !structural => Kind::Any,
        None => {
            problems.push(Problem {
                path: join(path, "type"),
                message: "must not be empty for specified object fields".into(),
            });
            Kind::Any
        }
    };
    if node.embedded {
        for name in ["apiVersion", "kind"] {
            node.properties.entry(name.to_owned()).or_insert_with(|| Node { kind: Kind::String, ..Node::default() });
        }
        node.properties.entry("metadata".to_owned()).or_insert_with(|| Node {
            kind: Kind::Ref("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta".to_owned()),
            ..Node::default()
        });
    }
    node.list = match map.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("map") => ListType::Map(strings(map, "x-kubernetes-list-map-keys")),
        Some("set") => ListType::Set,
        _ => ListType::Atomic,
    };
    if node.list == ListType::Map(Vec::new()) {
        problems.push(Problem {
            path: join(path, "x-kubernetes-list-map-keys"),
            message: "must not be empty if x-kubernetes-list-type is map".into(),
        });
    }
    for refused in ["$ref", "definitions", "dependencies", "deprecated", "patternProperties", "id", "discriminator"] {
        if map.contains_key(refused) {
            problems.push(Problem { path: join(path, refused), message: "is forbidden in a structural schema".into() });
        }
    }
    if let Some(rules) = map.get("x-kubernetes-validations").and_then(Value::as_array)
        && !rules.is_empty()
    {
        problems.push(Problem {
            path: join(path, "x-kubernetes-validations"),
            message: "CEL rules are not acted on by this API server; take them out to use this definition".into(),
        });
    }
    node.rules = rules(map, path, depth, problems);
    node
}

fn rules(map: &Map<String, Value>, path: &str, depth: usize, problems: &mut Vec<Problem>) -> Rules {
    let count = |name: &str| map.get(name).and_then(Value::as_u64);
    let number = |name: &str| map.get(name).and_then(Value::as_f64);
    let flag = |name: &str| map.get(name).and_then(Value::as_bool).unwrap_or(false);
    let pattern = text(map, "pattern");
    if let Some(pattern) = &pattern
        && let Err(error) = regex::Regex::new(pattern)
    {
        problems.push(Problem { path: join(path, "pattern"), message: format!("is no regular expression: {error}") });
    }
    let mut several = |name: &str| -> Vec<Node> {
        map.get(name).and_then(Value::as_array).map_or_else(Vec::new, |list| {
            list.iter()
                .enumerate()
                .map(|(index, inner)| {
                    place(inner, &join(path, &format!("{name}[{index}]")), false, depth + 1, problems)
                })
                .collect()
        })
    };
    let (all_of, any_of, one_of) = (several("allOf"), several("anyOf"), several("oneOf"));
    Rules {
        enumeration: map.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
        pattern,
        min_length: count("minLength"),
        max_length: count("maxLength"),
        min_items: count("minItems"),
        max_items: count("maxItems"),
        min_properties: count("minProperties"),
        max_properties: count("maxProperties"),
        minimum: number("minimum"),
        maximum: number("maximum"),
        exclusive_minimum: flag("exclusiveMinimum"),
        exclusive_maximum: flag("exclusiveMaximum"),
        multiple_of: number("multipleOf"),
        unique_items: flag("uniqueItems"),
        all_of,
        any_of,
        one_of,
        not: map.get("not").map(|inner| Box::new(place(inner, &join(path, "not"), false, depth + 1, problems))),
    }
}

fn text(map: &Map<String, Value>, name: &str) -> Option<String> {
    map.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn strings(map: &Map<String, Value>, name: &str) -> Vec<String> {
    map.get(name)
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default()
}

fn join(path: &str, step: &str) -> String {
    if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_that_is_not_structural_is_refused_with_every_problem() {
        let (_, problems) = read(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "a": {"type": "text"}, "b": {}, "c": {"type": "array"}, "d": {"type": "string", "$ref": "x", "pattern": "("}
            }}
        }}));
        let found: Vec<String> = problems.iter().map(|problem| problem.path.clone()).collect();
        for path in ["a].type", "b].type", "c].items", "d].$ref", "d].pattern"] {
            assert!(found.iter().any(|found| found.ends_with(path)), "{path} in {found:?}");
        }
    }

    #[test]
    fn a_schema_bomb_ends() {
        let mut schema = json!({"type": "object"});
        for _ in 0..200 {
            schema = json!({"type": "object", "properties": {"a": schema}});
        }
        assert!(!read(&schema).1.is_empty());
    }
}
