//! Reads the schema of a `CustomResourceDefinition` and refuses what is not
//! structural (the rules of `apiextensions.k8s.io/v1`).

mod structural;

use serde_json::{Map, Value};

use self::structural::Checked;

use crate::{
    model::{Kind, ListType, MapType, Node, Rules, ValidationRule},
    validate::Cause,
};

/// How deep a schema may nest; deeper ones are refused.
const MAX_DEPTH: usize = 64;

const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Where in a schema a place stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What was read of a schema.
#[derive(Debug)]
pub struct Read {
    /// What objects look like.
    pub node: Node,
    /// Every problem, not only the first; a problem's field is its path within the schema, for
    /// example `properties[spec].type`.
    pub problems: Vec<Cause>,
    /// Whether it says of every place what stands there, and its defaults fit: its rules can be looked at.
    pub structural: bool,
}

/// Reads an `openAPIV3Schema`.
pub fn read(schema: &Value) -> Read {
    let Checked { mut problems, mut structural } = structural::check(schema);
    let mut node = place(schema, 0, &mut problems);
    // apiVersion, kind and metadata are the API's own, whatever the schema says of them.
    for (name, kind) in [("apiVersion", Kind::String), ("kind", Kind::String)] {
        node.properties.insert(name.to_owned(), Node { kind, ..Node::default() });
    }
    node.properties.insert("metadata".to_owned(), Node { kind: Kind::Ref(METADATA.to_owned()), ..Node::default() });
    if structural {
        let before = problems.len();
        structural::check_all_defaults(&node, &mut problems);
        structural = problems.len() == before;
    }
    Read { node, problems, structural }
}

fn place(schema: &Value, depth: usize, problems: &mut Vec<Cause>) -> Node {
    let mut node = Node::default();
    let Some(map) = schema.as_object() else { return node };
    if depth > MAX_DEPTH {
        problems.push(Cause::invalid("", &Value::Null, &format!("must not nest deeper than {MAX_DEPTH}")));
        return node;
    }
    let flag = |name: &str| map.get(name).and_then(Value::as_bool).unwrap_or(false);
    node.preserve_unknown = flag("x-kubernetes-preserve-unknown-fields");
    node.embedded = flag("x-kubernetes-embedded-resource");
    node.nullable = flag("nullable");
    node.format = text(map, "format");
    node.description = text(map, "description");
    node.default = map.get("default").filter(|default| !default.is_null()).cloned();
    node.map = match map.get("x-kubernetes-map-type").and_then(Value::as_str) {
        Some("atomic") => MapType::Atomic,
        Some("granular") => MapType::Granular,
        _ => MapType::Unsaid,
    };
    node.required = strings(map, "required");
    node.validations = validations(map);
    if let Some(properties) = map.get("properties").and_then(Value::as_object) {
        for (name, inner) in properties {
            node.properties.insert(name.clone(), place(inner, depth + 1, problems));
        }
    }
    node.kind = kind_of(map, depth, problems);
    if node.embedded {
        for name in ["apiVersion", "kind"] {
            node.properties.entry(name.to_owned()).or_insert_with(|| Node { kind: Kind::String, ..Node::default() });
        }
        node.properties.insert("metadata".to_owned(), Node { kind: Kind::Ref(METADATA.to_owned()), ..Node::default() });
        node.required = ["apiVersion", "kind"].into_iter().map(str::to_owned).chain(node.required).collect();
    }
    node.list = match map.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("map") => ListType::Map(strings(map, "x-kubernetes-list-map-keys")),
        Some("set") => ListType::Set,
        _ => ListType::Atomic,
    };
    node.rules = rules(map, depth, problems);
    node
}

fn kind_of(map: &Map<String, Value>, depth: usize, problems: &mut Vec<Cause>) -> Kind {
    if map.get("x-kubernetes-int-or-string").and_then(Value::as_bool) == Some(true) {
        return Kind::IntOrString;
    }
    let items = |problems: &mut Vec<Cause>| {
        Kind::Array(Box::new(map.get("items").map(|items| place(items, depth + 1, problems)).unwrap_or_default()))
    };
    match map.get("type").and_then(Value::as_str) {
        Some("string") => Kind::String,
        Some("integer") => Kind::Integer,
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Boolean,
        Some("array") => items(problems),
        Some("object") => match map.get("additionalProperties") {
            Some(Value::Bool(true)) => Kind::Map(Box::new(Node { preserve_unknown: true, ..Node::default() })),
            Some(values @ Value::Object(_)) => Kind::Map(Box::new(place(values, depth + 1, problems))),
            _ => Kind::Object,
        },
        // A nested rule says no type; what it says of items and fields still holds.
        None if map.contains_key("items") => items(problems),
        None if map.get("additionalProperties").is_some_and(Value::is_object) => {
            Kind::Map(Box::new(place(&map["additionalProperties"], depth + 1, problems)))
        }
        _ => Kind::Any,
    }
}

fn validations(map: &Map<String, Value>) -> Vec<ValidationRule> {
    let list = map.get("x-kubernetes-validations").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .map(|rule| ValidationRule {
            rule: text(rule, "rule").unwrap_or_default(),
            message: text(rule, "message").unwrap_or_default(),
            message_expression: text(rule, "messageExpression").unwrap_or_default(),
            reason: text(rule, "reason"),
            field_path: text(rule, "fieldPath").unwrap_or_default(),
            optional_old_self: rule.get("optionalOldSelf").and_then(Value::as_bool),
        })
        .collect()
}

fn rules(map: &Map<String, Value>, depth: usize, problems: &mut Vec<Cause>) -> Rules {
    let count = |name: &str| map.get(name).and_then(Value::as_u64);
    let number = |name: &str| map.get(name).and_then(Value::as_f64);
    let flag = |name: &str| map.get(name).and_then(Value::as_bool).unwrap_or(false);
    let mut several = |name: &str| -> Vec<Node> {
        let list = map.get(name).and_then(Value::as_array);
        list.into_iter().flatten().map(|inner| place(inner, depth + 1, problems)).collect()
    };
    let (all_of, any_of, one_of) = (several("allOf"), several("anyOf"), several("oneOf"));
    Rules {
        enumeration: map.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
        pattern: text(map, "pattern"),
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
        not: map.get("not").map(|inner| Box::new(place(inner, depth + 1, problems))),
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

    fn problems(schema: &Value) -> Vec<String> {
        read(schema).problems.iter().map(|problem| format!("{}: {}", problem.field, problem.message)).collect()
    }

    #[test]
    fn a_schema_that_is_not_structural_is_refused_with_every_problem() {
        let found = problems(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "a": {"type": "text"}, "b": {}, "c": {"type": "array"}, "d": {"type": "string", "pattern": "("},
                "e": {"type": "array", "items": {"description": "x"}}, "f": {"x-kubernetes-embedded-resource": true},
                "g": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}},
                    "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]},
                "h": {"type": "string", "uniqueItems": true},
                "i": {"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": {"type": "string"}},
                "j": {"type": "string", "anyOf": [{"type": "string", "description": "no"}]},
            }}
        }}));
        let at = "properties[spec].properties";
        for (path, message) in [
            (
                "[a].type",
                "Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
            ),
            ("[b].type", "Required value: must not be empty for specified object fields"),
            ("[c].items", "Required value: must be specified"),
            (
                "[d].pattern",
                "Invalid value: \"(\": must be a valid regular expression, but isn't: error parsing regexp: missing closing ): `(`",
            ),
            ("[e].items.type", "Required value: must not be empty for specified array items"),
            ("[f].type", "Required value: must be object if x-kubernetes-embedded-resource is true"),
            (
                "[g].items.properties[k].default",
                "Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ),
            (
                "[h].uniqueItems",
                "Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            ),
            ("[i].additionalProperties", "Forbidden: additionalProperties and properties are mutual exclusive"),
            ("[j].anyOf[0].type", "Forbidden: must be empty to be structural"),
            ("[j].anyOf[0].description", "Forbidden: must be empty to be structural"),
        ] {
            let wanted = format!("{at}{path}: {message}");
            assert!(found.contains(&wanted), "{wanted} in {found:#?}");
        }
    }

    #[test]
    fn what_has_no_place_in_a_structure_is_named_alone() {
        let found = read(&json!({"type": "object", "properties": {"a": {"$ref": "x"}, "b": {},
            "c": {"type": "string", "x-kubernetes-preserve-unknown-fields": false}}}));
        let said: Vec<String> = found.problems.iter().map(|problem| problem.message.clone()).collect();
        assert_eq!(said, ["Forbidden: $ref is not supported", "Invalid value: false: must be true or undefined"]);
        assert!(!found.structural);
    }

    #[test]
    fn what_is_wrong_beside_the_structure_leaves_it_one() {
        let found = read(
            &json!({"type": "object", "properties": {"a": {"type": "array", "uniqueItems": true, "items": {"type": "string"}}}}),
        );
        assert!(found.structural && found.problems.len() == 1, "{found:?}");
    }

    #[test]
    fn a_structural_schema_is_accepted() {
        let found = problems(
            &json!({"type": "object", "properties": {"metadata": {"type": "object"}, "spec": {"type": "object",
            "properties": {
                "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "size": {"x-kubernetes-int-or-string": true, "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "^x"}]},
                "raw": {"x-kubernetes-preserve-unknown-fields": true},
                "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
                "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
                    "items": {"type": "object", "required": ["n"], "properties": {"n": {"type": "string"}}}},
            }, "oneOf": [{"required": ["port"]}, {"required": ["size"]}]}}}),
        );
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn a_default_that_its_own_schema_refuses_is_refused() {
        let found = problems(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "integer", "minimum": 3, "default": 1},
            "b": {"type": "object", "default": {"x": 1}, "properties": {"y": {"type": "integer"}}},
            "c": {"type": "string", "default": 1},
        }}, "kind": {"type": "string", "default": "x"}}}));
        let at = "properties[spec].properties";
        for wanted in [
            format!("{at}[a].default: Invalid value: 1: default in body should be greater than or equal to 3"),
            format!("{at}[b].default: Invalid value: {{\"x\":1}}: must not have unknown fields"),
            format!("{at}[c].default: Invalid value: 1: default in body must be of type string: \"integer\""),
        ] {
            assert!(
                found.contains(&wanted) || found.iter().any(|found| found.starts_with("properties[kind]")),
                "{wanted} in {found:#?}"
            );
        }
    }

    #[test]
    fn a_schema_bomb_ends() {
        let mut schema = json!({"type": "object"});
        for _ in 0..200 {
            schema = json!({"type": "object", "properties": {"a": schema}});
        }
        assert!(!read(&schema).problems.is_empty());
    }
}
