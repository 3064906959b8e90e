//! Checks, prunes and defaults a value against its type.
//!
//! [`unknown`] finds (and takes out) fields that a type does not have, [`check`]
//! says which rules a value breaks with Kubernetes' own reasons, [`default`] fills
//! in the defaults of a custom resource's schema.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::model::{Kind, ListType, Node};

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

/// Returns every rule of the type that the value breaks.
pub fn check(value: &Value, node: &Node) -> Vec<Cause> {
    let mut causes = Vec::new();
    walk(value, node, "", 0, &mut causes);
    causes
}

/// Returns every value whose JSON type is not the type's: what cannot be decoded at all.
///
/// For built-in kinds these are refused as 400, before any validation.
pub fn mistyped(value: &Value, node: &Node) -> Vec<Cause> {
    let mut causes = check(value, node);
    causes.retain(|cause| cause.reason == "FieldValueTypeInvalid");
    causes
}

fn walk(value: &Value, node: &Node, path: &str, depth: usize, causes: &mut Vec<Cause>) {
    let place = node.resolve();
    if depth > MAX_DEPTH {
        causes.push(Cause::invalid(path, &Value::Null, "nests too deep"));
        return;
    }
    if value.is_null() {
        // Built-in types decode null as absent; custom ones drop it where a default or nothing stands.
        if !place.nullable && !matches!(place.kind, Kind::Any | Kind::Ref(_)) && !place.rules_are_empty() {
            causes.push(Cause::wrong_type(
                path,
                value,
                &format!("{} must be of type {}: \"null\"", in_body(path), type_name(place)),
            ));
        }
        return;
    }
    let fits = match (&place.kind, value) {
        (Kind::String | Kind::IntOrString, Value::String(_))
        | (Kind::Number, Value::Number(_))
        | (Kind::Boolean, Value::Bool(_))
        | (Kind::Object | Kind::Map(_), Value::Object(_))
        | (Kind::Array(_), Value::Array(_))
        | (Kind::Any | Kind::Ref(_), _) => true,
        (Kind::Integer | Kind::IntOrString, Value::Number(number)) => {
            number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        (Kind::String, Value::Number(_)) => place.format.as_deref() == Some("quantity"),
        _ => false,
    };
    if !fits {
        causes.push(Cause::wrong_type(
            path,
            value,
            &format!("{} must be of type {}: \"{}\"", in_body(path), type_name(place), value_type(value)),
        ));
        return;
    }
    check_rules(value, place, path, depth, causes);
    match value {
        Value::Object(map) => {
            for name in &place.required {
                if !map.contains_key(name) || map.get(name).is_some_and(Value::is_null) {
                    causes.push(Cause::required(join(path, name), ""));
                }
            }
            for (name, inner) in map {
                let field = match &place.kind {
                    Kind::Map(values) => place.properties.get(name).or(Some(values)),
                    _ => place.properties.get(name),
                };
                if let Some(field) = field {
                    let step =
                        if matches!(place.kind, Kind::Map(_)) { format!("{path}[{name}]") } else { join(path, name) };
                    walk(inner, field, &step, depth + 1, causes);
                }
            }
        }
        Value::Array(list) => {
            if let Kind::Array(items) = &place.kind {
                for (index, inner) in list.iter().enumerate() {
                    walk(inner, items, &format!("{path}[{index}]"), depth + 1, causes);
                }
                check_list(list, &node.list, path, causes);
            }
        }
        _ => {}
    }
}

fn check_list(list: &[Value], kind: &ListType, path: &str, causes: &mut Vec<Cause>) {
    let mut seen = HashSet::new();
    for (index, item) in list.iter().enumerate() {
        let key = match kind {
            ListType::Atomic => return,
            ListType::Set => item.to_string(),
            ListType::Map(keys) => keys
                .iter()
                .map(|key| item.get(key).map_or_else(String::new, ToString::to_string))
                .collect::<Vec<_>>()
                .join("\u{0}"),
        };
        if !seen.insert(key) {
            let shown = match kind {
                ListType::Map(keys) => Value::Object(
                    keys.iter()
                        .filter_map(|key| item.get(key).map(|value| (key.clone(), value.clone())))
                        .collect::<Map<_, _>>(),
                ),
                _ => item.clone(),
            };
            causes.push(Cause::duplicate(format!("{path}[{index}]"), &shown));
        }
    }
}

fn check_rules(value: &Value, place: &Node, path: &str, depth: usize, causes: &mut Vec<Cause>) {
    let rules = &place.rules;
    let body = in_body(path);
    let mut bad = |detail: String| causes.push(Cause::invalid(path, value, &detail));
    match value {
        Value::String(text) => {
            let length = text.chars().count() as u64;
            if rules.max_length.is_some_and(|most| length > most) {
                bad(format!("{body} should be at most {} chars long", rules.max_length.unwrap_or_default()));
            }
            if rules.min_length.is_some_and(|fewest| length < fewest) {
                bad(format!("{body} should be at least {} chars long", rules.min_length.unwrap_or_default()));
            }
            if let Some(pattern) = &rules.pattern
                && !regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
            {
                bad(format!("{body} should match '{pattern}'"));
            }
            if place.format.as_deref() == Some("date-time") && !is_date_time(text) {
                bad(format!("{body} must be of type date-time: {value}"));
            }
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            if let Some(lowest) = rules.minimum
                && (number < lowest || (rules.exclusive_minimum && number <= lowest))
            {
                let than = if rules.exclusive_minimum { "greater than" } else { "greater than or equal to" };
                bad(format!("{body} should be {than} {lowest}"));
            }
            if let Some(highest) = rules.maximum
                && (number > highest || (rules.exclusive_maximum && number >= highest))
            {
                let than = if rules.exclusive_maximum { "less than" } else { "less than or equal to" };
                bad(format!("{body} should be {than} {highest}"));
            }
            if let Some(step) = rules.multiple_of
                && step > 0.0
                && (number / step).fract() != 0.0
            {
                bad(format!("{body} should be a multiple of {step}"));
            }
            if place.format.as_deref() == Some("int32") && !(-2_147_483_648.0..=2_147_483_647.0).contains(&number) {
                bad(format!("{body} must be of type int32"));
            }
        }
        Value::Array(list) => {
            if rules.max_items.is_some_and(|most| list.len() as u64 > most) {
                bad(format!("{body} must have at most {} items", rules.max_items.unwrap_or_default()));
            }
            if rules.min_items.is_some_and(|fewest| (list.len() as u64) < fewest) {
                bad(format!("{body} should have at least {} items", rules.min_items.unwrap_or_default()));
            }
            if rules.unique_items && list.iter().enumerate().any(|(index, item)| list[..index].contains(item)) {
                bad(format!("{body} shouldn't contain duplicates"));
            }
        }
        Value::Object(map) => {
            if rules.max_properties.is_some_and(|most| map.len() as u64 > most) {
                bad(format!("{body} must have at most {} properties", rules.max_properties.unwrap_or_default()));
            }
            if rules.min_properties.is_some_and(|fewest| (map.len() as u64) < fewest) {
                bad(format!("{body} should have at least {} properties", rules.min_properties.unwrap_or_default()));
            }
        }
        _ => {}
    }
    if !rules.enumeration.is_empty() && !rules.enumeration.contains(value) {
        let supported: Vec<String> = rules
            .enumeration
            .iter()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect();
        causes.push(Cause::not_supported(path, value, &supported.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    let holds = |node: &Node| {
        let mut inner = Vec::new();
        walk(value, node, path, depth + 1, &mut inner);
        inner.is_empty()
    };
    for node in &rules.all_of {
        walk(value, node, path, depth + 1, causes);
    }
    if !rules.any_of.is_empty() && !rules.any_of.iter().any(holds) {
        causes.push(Cause::invalid(path, value, &format!("{body} must validate at least one schema (anyOf)")));
    }
    if !rules.one_of.is_empty() && rules.one_of.iter().filter(|node| holds(node)).count() != 1 {
        causes.push(Cause::invalid(path, value, &format!("{body} must validate one and only one schema (oneOf)")));
    }
    if rules.not.as_deref().is_some_and(holds) {
        causes.push(Cause::invalid(path, value, &format!("{body} must not validate the schema (not)")));
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
            map.retain(|name, inner| {
                !inner.is_null()
                    || node.properties.get(name).is_none_or(|field| {
                        field.nullable || field.default.is_some() || matches!(field.kind, Kind::Any)
                    })
            });
            for (name, inner) in map.iter_mut() {
                if let Some(field) = node.properties.get(name) {
                    default(inner, field);
                } else if let Kind::Map(values) = &node.kind {
                    default(inner, values);
                }
            }
        }
        Value::Array(list) => {
            if let Kind::Array(items) = &node.kind {
                for inner in list {
                    default(inner, items);
                }
            }
        }
        _ => {}
    }
}

impl Node {
    fn rules_are_empty(&self) -> bool {
        // A null where only a type is said is dropped, as Kubernetes does.
        self.rules.enumeration.is_empty() && self.rules.pattern.is_none()
    }
}

fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.len() >= 20
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && matches!(bytes[10], b'T' | b't')
        && bytes[13] == b':'
        && bytes[16] == b':'
        && [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18].iter().all(|&at| bytes[at].is_ascii_digit())
}

fn in_body(path: &str) -> String {
    if path.is_empty() { "in body".to_owned() } else { format!("{path} in body") }
}

fn type_name(place: &Node) -> &'static str {
    match place.kind {
        Kind::String => "string",
        Kind::Integer => "integer",
        Kind::Number => "number",
        Kind::Boolean => "boolean",
        Kind::Array(_) => "array",
        Kind::IntOrString => "integer,string",
        _ => "object",
    }
}

fn value_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
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
        let (node, problems) = crd::read(
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
            ["spec.name FieldValueInvalid", "spec.name FieldValueInvalid"]
        );
        assert_eq!(reasons(json!({"size": 1, "port": true})), ["spec.port FieldValueTypeInvalid"]);
        assert_eq!(reasons(json!({"size": 1, "set": ["a", "a"]})), ["spec.set[1] FieldValueDuplicate"]);
    }

    #[test]
    fn defaults_are_filled_in_where_their_parent_is() {
        let (node, _) = crd::read(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "string", "default": "x"}, "deep": {"type": "object", "properties": {"b": {"type": "integer", "default": 2}}}}}}}));
        let mut value = json!({"spec": {"deep": {}}});
        default(&mut value, &node);
        assert_eq!(value, json!({"spec": {"a": "x", "deep": {"b": 2}}}));
        let mut value = json!({});
        default(&mut value, &node);
        assert_eq!(value, json!({}));
    }
}
