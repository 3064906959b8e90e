//! Which schemas `apiextensions.k8s.io/v1` accepts: the checks, in Kubernetes' words.

use serde_json::{Map, Value, json};

use super::{Level, MAX_DEPTH, join, strings};
use crate::{
    model::{Kind, Node},
    validate::{self, Broken, Cause},
};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// What is wrong with a schema.
pub(super) struct Checked {
    pub(super) problems: Vec<Cause>,
    /// Whether it is structural: what else is wrong with it says nothing of its types.
    pub(super) structural: bool,
}

/// Finds every problem of a schema.
pub(super) fn check(schema: &Value) -> Checked {
    let mut checker = Checker { problems: Vec::new(), looks: Looks::Structure, read: true };
    checker.place(schema, "", Level::Root, Around { metadata: false, depth: 0 });
    let Checker { mut problems, read, .. } = checker;
    if !read {
        // What has no structure is not blamed for it.
        problems.retain(|(_, looks)| *looks != Looks::Structure);
    }
    let structural = read && problems.iter().all(|(_, looks)| *looks != Looks::Structure);
    Checked { problems: problems.into_iter().map(|(problem, _)| problem).collect(), structural }
}

/// Finds the defaults that their own places refuse.
pub(super) fn check_all_defaults(root: &Node, problems: &mut Vec<Cause>) {
    if root.default.is_none() {
        return check_defaults(root, "", problems);
    }
    // An object says what it is.
    let required = ["apiVersion", "kind"].into_iter().map(str::to_owned).chain(root.required.iter().cloned());
    check_defaults(&Node { required: required.collect(), ..root.clone() }, "", problems);
}

fn check_defaults(node: &Node, path: &str, problems: &mut Vec<Cause>) {
    if let Some(default) = &node.default {
        let at = join(path, "default");
        let plain = Node { default: None, ..node.clone() };
        if !validate::unknown(&mut default.clone(), &plain, false).is_empty() {
            problems.push(Cause::invalid(&at, default, "must not have unknown fields"));
        }
        let mut filled = default.clone();
        validate::default(&mut filled, &plain);
        for Broken { cause, .. } in validate::check_custom(&filled, &plain) {
            let nameless = cause.field.is_empty() || cause.field == "<nil>";
            let field = if nameless { at.clone() } else { format!("{at}.{}", cause.field) };
            problems.push(Cause { field, ..cause });
        }
    }
    for (name, field) in &node.properties {
        check_defaults(field, &join(path, &format!("properties[{name}]")), problems);
    }
    match &node.kind {
        Kind::Map(values) => check_defaults(values, &join(path, "additionalProperties"), problems),
        Kind::Array(items) => check_defaults(items, &join(path, "items"), problems),
        _ => {}
    }
}

#[derive(Clone, Copy)]
struct Around {
    /// Within the metadata of an object.
    metadata: bool,
    depth: usize,
}

/// What a check looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looks {
    /// Whether the schema is structural.
    Structure,
    /// What the API allows beyond.
    Usage,
}

struct Checker {
    problems: Vec<(Cause, Looks)>,
    looks: Looks,
    /// It has no part that a structural schema has no place for.
    read: bool,
}

impl Checker {
    /// Looks at what says nothing of the schema's structure.
    fn beyond(&mut self, check: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.looks, Looks::Usage);
        check(self);
        self.looks = before;
    }

    fn push(&mut self, problem: Cause) {
        self.problems.push((problem, self.looks));
    }

    fn required(&mut self, path: &str, field: &str, detail: &str) {
        self.push(Cause::required(join(path, field), detail));
    }

    fn forbidden(&mut self, path: &str, field: &str, detail: &str) {
        self.push(Cause::forbidden(join(path, field), detail));
    }

    fn invalid(&mut self, path: &str, field: &str, value: &Value, detail: &str) {
        self.push(Cause::invalid(join(path, field), value, detail));
    }

    fn place(&mut self, schema: &Value, path: &str, level: Level, around: Around) {
        let Some(map) = schema.as_object() else {
            self.invalid(path, "", schema, "must be an object");
            return;
        };
        if around.depth > MAX_DEPTH {
            return;
        }
        let flag = |name: &str| map.get(name).and_then(Value::as_bool).unwrap_or(false);
        let kind = text(map, "type");
        self.generic(map, path, around);
        self.typed(map, path, level);
        let properties = map.get("properties").and_then(Value::as_object);
        let embedded = flag("x-kubernetes-embedded-resource");
        if kind == "array" {
            match map.get("items") {
                None => self.required(path, "items", "must be specified"),
                Some(Value::Array(_)) => self.unread(path, "items", "items must be a schema object and not an array"),
                Some(_) => {}
            }
        }
        let below = Around { depth: around.depth + 1, ..around };
        if let Some(items @ Value::Object(_)) = map.get("items") {
            self.place(items, &join(path, "items"), Level::Item, below);
        }
        for (name, inner) in properties.into_iter().flatten() {
            let at = join(path, &format!("properties[{name}]"));
            let own = level == Level::Root || embedded;
            if own && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                self.own_field(name, inner, &at, level);
                let below = Around { metadata: true, ..below };
                if name == "metadata" {
                    self.place(inner, &at, Level::Field, below);
                }
                continue;
            }
            self.place(inner, &at, Level::Field, below);
        }
        if let Some(additional) = map.get("additionalProperties") {
            if level == Level::Root {
                self.forbidden(path, "additionalProperties", "must not be used at the root");
            }
            if embedded {
                let detail = "must not be used if x-kubernetes-embedded-resource is set";
                self.forbidden(path, "additionalProperties", detail);
            }
            if properties.is_some_and(|properties| !properties.is_empty()) && *additional != Value::Bool(true) {
                let detail = "additionalProperties and properties are mutual exclusive";
                self.beyond(|checker| checker.forbidden(path, "additionalProperties", detail));
            }
            if additional.is_object() {
                self.place(additional, &join(path, "additionalProperties"), Level::Field, below);
            }
        }
        if embedded && !flag("x-kubernetes-preserve-unknown-fields") && properties.is_none_or(Map::is_empty) {
            let detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            self.required(path, "properties", detail);
        }
        self.beyond(|checker| {
            checker.lists(map, path);
            checker.expressions(map, path);
        });
        self.nested_rules(map, path, below, Skip::of(map));
    }

    /// What no schema may use.
    fn generic(&mut self, map: &Map<String, Value>, path: &str, around: Around) {
        for name in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
            if map.contains_key(name) {
                self.unread(path, name, &format!("{name} is not supported"));
            }
        }
        self.beyond(|checker| {
            if map.get("uniqueItems") == Some(&Value::Bool(true)) {
                let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
                checker.forbidden(path, "uniqueItems", detail);
            }
            let free = "x-kubernetes-preserve-unknown-fields";
            if map.get(free) == Some(&Value::Bool(false)) {
                checker.invalid(path, free, &json!(false), "must be true or undefined");
                checker.read = false;
            }
            if around.metadata && map.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true)) {
                checker.forbidden(path, "x-kubernetes-embedded-resource", "must not be used inside of resource meta");
            }
        });
        self.pattern(map, path);
    }

    /// Refuses a part that a structural schema has no place for.
    fn unread(&mut self, path: &str, field: &str, detail: &str) {
        self.beyond(|checker| checker.forbidden(path, field, detail));
        self.read = false;
    }

    fn pattern(&mut self, map: &Map<String, Value>, path: &str) {
        if let Some(pattern) = map.get("pattern").and_then(Value::as_str)
            && let Err(error) = validate::pattern(pattern)
        {
            let detail = format!("must be a valid regular expression, but isn't: {error}");
            self.invalid(path, "pattern", &pattern.into(), &detail);
        }
    }

    fn typed(&mut self, map: &Map<String, Value>, path: &str, level: Level) {
        let flag = |name: &str| map.get(name).and_then(Value::as_bool).unwrap_or(false);
        let kind = text(map, "type");
        let (free, embedded) = (flag("x-kubernetes-preserve-unknown-fields"), flag("x-kubernetes-embedded-resource"));
        let int_or_string = flag("x-kubernetes-int-or-string");
        self.beyond(|checker| {
            if kind == "null" {
                checker.forbidden(path, "type", "type cannot be set to null, use nullable as an alternative");
            }
            if !kind.is_empty() && !TYPES.contains(&kind) {
                checker.push(Cause::not_supported(join(path, "type"), &kind.into(), &TYPES));
            }
        });
        if int_or_string && free {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            self.invalid(path, "x-kubernetes-preserve-unknown-fields", &json!(true), detail);
        }
        if int_or_string && embedded {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            self.invalid(path, "x-kubernetes-embedded-resource", &json!(true), detail);
        }
        if embedded && kind != "object" {
            let detail = "must be object if x-kubernetes-embedded-resource is true";
            if kind.is_empty() {
                self.required(path, "type", detail);
            } else {
                self.invalid(path, "type", &kind.into(), detail);
            }
        } else if kind.is_empty() && !int_or_string && !free {
            let detail = match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            };
            self.required(path, "type", detail);
        }
        if level == Level::Root && !kind.is_empty() && kind != "object" {
            self.invalid(path, "type", &kind.into(), "must be object at the root");
        }
    }

    fn own_field(&mut self, name: &str, schema: &Value, path: &str, level: Level) {
        let kind = schema["type"].as_str().unwrap_or_default();
        let wanted = if name == "metadata" { "object" } else { "string" };
        if kind != wanted {
            self.invalid(path, "type", &kind.into(), &format!("must be {wanted}"));
        }
        if level == Level::Root && schema.get("default").is_some() {
            self.beyond(|checker| {
                checker.forbidden(path, "default", &format!("must not be set in top-level {name}"));
            });
        }
        if level == Level::Root && name == "metadata" {
            let named = schema["properties"].as_object();
            let others = schema
                .as_object()
                .into_iter()
                .flatten()
                .any(|(key, _)| !matches!(key.as_str(), "type" | "properties" | "default" | "description"));
            let beyond = named.into_iter().flatten().any(|(key, _)| !matches!(key.as_str(), "name" | "generateName"));
            if beyond || (others && named.is_none()) {
                let detail =
                    "must not specify anything other than name and generateName, but metadata is implicitly specified";
                self.push(Cause::forbidden(path, detail));
            }
        }
    }

    fn lists(&mut self, map: &Map<String, Value>, path: &str) {
        let kind = text(map, "type");
        let items = map.get("items").unwrap_or(&Value::Null);
        for (name, wanted, allowed) in [
            ("x-kubernetes-map-type", "object", &["atomic", "granular"][..]),
            ("x-kubernetes-list-type", "array", &["atomic", "set", "map"][..]),
        ] {
            let Some(found) = map.get(name).and_then(Value::as_str) else { continue };
            if kind != wanted {
                let detail = format!("must be {wanted} if {name} is specified");
                if kind.is_empty() {
                    self.required(path, "type", &detail);
                } else {
                    self.invalid(path, "type", &kind.into(), &detail);
                }
            }
            if !allowed.contains(&found) {
                self.push(Cause::not_supported(join(path, name), &found.into(), allowed));
            }
        }
        let list = text(map, "x-kubernetes-list-type");
        let keys = strings(map, "x-kubernetes-list-map-keys");
        if !keys.is_empty() && list != "map" {
            let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
            if list.is_empty() {
                self.required(path, "x-kubernetes-list-type", detail);
            } else {
                self.invalid(path, "x-kubernetes-list-type", &list.into(), detail);
            }
        }
        let at = join(path, "items");
        if matches!(list, "map" | "set") && items["nullable"] == true {
            let detail = format!("cannot be nullable when x-kubernetes-list-type is {list}");
            self.forbidden(&at, "nullable", &detail);
        }
        let item_kind = items["type"].as_str().unwrap_or_default();
        if list == "set" {
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            let nested = items["x-kubernetes-list-type"].as_str();
            if item_kind == "array" && nested.is_some_and(|nested| nested != "atomic") {
                self.invalid(&at, "x-kubernetes-list-type", &items["x-kubernetes-list-type"], detail);
            }
            if item_kind == "object" && items["x-kubernetes-map-type"] != "atomic" {
                self.invalid(&at, "x-kubernetes-map-type", &items["x-kubernetes-map-type"], detail);
            }
        }
        if list == "map" {
            self.map_keys(map, path, &keys);
        }
    }

    fn map_keys(&mut self, map: &Map<String, Value>, path: &str, keys: &[String]) {
        let items = map.get("items").unwrap_or(&Value::Null);
        let at = join(path, "items");
        if keys.is_empty() {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            self.required(path, "x-kubernetes-list-map-keys", detail);
        }
        if items.is_null() {
            self.required(path, "items", "must have a schema if x-kubernetes-list-type is map");
            return;
        }
        if items["type"] != "object" {
            let detail = "must be object if parent array's x-kubernetes-list-type is map";
            self.invalid(&at, "type", &json!(items["type"].as_str().unwrap_or_default()), detail);
            return;
        }
        for (index, key) in keys.iter().enumerate() {
            let property = &items["properties"][key];
            let here = join(&at, &format!("properties[{key}]"));
            if property.is_null() {
                let detail = "entries must all be names of item properties";
                self.invalid(path, "x-kubernetes-list-map-keys", &json!(keys), detail);
            } else {
                if matches!(property["type"].as_str(), Some("array" | "object")) {
                    let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                    self.invalid(&here, "type", &items["type"], detail);
                }
                if property["nullable"] == true {
                    let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
                    self.forbidden(&here, "nullable", detail);
                }
                let required = items["required"].as_array().is_some_and(|list| list.iter().any(|name| name == key));
                if !required && property["default"].is_null() {
                    let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                    self.required(&here, "default", detail);
                }
            }
            if keys[..index].contains(key) {
                let detail = "must not contain duplicate entries";
                self.invalid(path, "x-kubernetes-list-map-keys", &json!(keys), detail);
            }
        }
    }

    /// The parts of `x-kubernetes-validations` that no expression is needed for.
    fn expressions(&mut self, map: &Map<String, Value>, path: &str) {
        let list = map.get("x-kubernetes-validations").and_then(Value::as_array);
        for (index, rule) in list.into_iter().flatten().enumerate() {
            let at = join(path, &format!("x-kubernetes-validations[{index}]"));
            let field = |name: &str| rule[name].as_str();
            let (text, message) = (field("rule").unwrap_or_default().trim(), field("message"));
            if text.is_empty() {
                self.required(&at, "rule", "rule is not specified");
            } else if message.is_some_and(|message| !message.is_empty() && message.trim().is_empty()) {
                self.invalid(&at, "message", &rule["message"], "must be non-empty if specified");
            } else if message.is_some_and(|message| message.trim().contains('\n')) {
                self.invalid(&at, "message", &rule["message"], "must not contain line breaks");
            } else if text.contains('\n') && message.is_none_or(|message| message.trim().is_empty()) {
                self.required(&at, "message", "message must be specified if rule contains line breaks");
            }
            if field("messageExpression").is_some_and(|text| !text.is_empty() && text.trim().is_empty()) {
                self.required(&at, "messageExpression", "messageExpression must be non-empty if specified");
            }
            if field("reason").is_some_and(|reason| !REASONS.contains(&reason)) {
                self.push(Cause::not_supported(join(&at, "reason"), &rule["reason"], &REASONS));
            }
            if field("fieldPath").is_some_and(|text| !text.is_empty() && text.trim().is_empty()) {
                self.invalid(&at, "fieldPath", &rule["fieldPath"], "must be non-empty if specified");
            }
            if field("fieldPath").is_some_and(|text| text.contains('\n')) {
                self.invalid(&at, "fieldPath", &rule["fieldPath"], "must not contain line breaks");
            }
        }
    }

    fn nested_rules(&mut self, map: &Map<String, Value>, path: &str, around: Around, skip: Skip) {
        for name in ["allOf", "anyOf", "oneOf"] {
            for (index, inner) in map.get(name).and_then(Value::as_array).into_iter().flatten().enumerate() {
                if name == "anyOf" && skip == Skip::AnyOf {
                    continue;
                }
                let inside =
                    if name == "allOf" && index == 0 && skip == Skip::FirstAllOf { Skip::AnyOf } else { Skip::No };
                let at = join(path, &format!("{name}[{index}]"));
                self.nested(inner, &at, around, inside, name == "allOf");
            }
        }
        if let Some(inner) = map.get("not") {
            self.nested(inner, &join(path, "not"), around, Skip::No, false);
        }
    }

    /// A rule within a rule may say nothing of types and defaults.
    fn nested(&mut self, schema: &Value, path: &str, around: Around, skip: Skip, expressions: bool) {
        let Some(map) = schema.as_object() else {
            self.invalid(path, "", schema, "must be an object");
            return;
        };
        if around.depth > MAX_DEPTH {
            return;
        }
        self.generic(map, path, around);
        for (name, detail) in [
            ("type", "must be empty to be structural"),
            ("default", "must be undefined to be structural"),
            ("title", "must be empty to be structural"),
            ("description", "must be empty to be structural"),
            ("nullable", "must be false to be structural"),
            ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
            ("x-kubernetes-embedded-resource", "must be false to be structural"),
            ("x-kubernetes-int-or-string", "must be false to be structural"),
            ("x-kubernetes-list-map-keys", "must be empty to be structural"),
            ("x-kubernetes-list-type", "must be undefined to be structural"),
            ("x-kubernetes-map-type", "must be undefined to be structural"),
            ("additionalProperties", "must be undefined to be structural"),
        ] {
            let empty =
                map.get(name).is_none_or(|value| value.is_null() || *value == json!("") || *value == json!(false));
            if !empty {
                self.forbidden(path, name, detail);
            }
        }
        if !expressions
            && map.get("x-kubernetes-validations").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
        {
            self.forbidden(path, "x-kubernetes-validations", "must be empty to be structural");
        }
        self.beyond(|checker| checker.expressions(map, path));
        let below = Around { depth: around.depth + 1, ..around };
        if let Some(items) = map.get("items") {
            self.nested(items, &join(path, "items"), below, Skip::No, expressions);
        }
        for (name, inner) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let at = join(path, &format!("properties[{name}]"));
            if name == "metadata" {
                self.push(Cause::forbidden(&at, "must not be specified in a nested context"));
            }
            self.nested(inner, &at, below, Skip::No, expressions);
        }
        self.nested_rules(map, path, below, skip);
    }
}

/// Where the types of an integer-or-text may stand although they are nested.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Skip {
    No,
    AnyOf,
    FirstAllOf,
}

impl Skip {
    fn of(map: &Map<String, Value>) -> Skip {
        let either = json!([{"type": "integer"}, {"type": "string"}]);
        if map.get("anyOf") == Some(&either) {
            Skip::AnyOf
        } else if map.get("allOf").is_some_and(|all| all[0]["anyOf"] == either) {
            Skip::FirstAllOf
        } else {
            Skip::No
        }
    }
}

fn text<'a>(map: &'a Map<String, Value>, name: &str) -> &'a str {
    map.get(name).and_then(Value::as_str).unwrap_or_default()
}
