//! `values.schema.json` as a list of values, and values drawn from it.

use proptest::{strategy::ValueTree, test_runner::TestRunner};
use regex::Regex;
use serde_json::{Map, Value, json};

use super::{below, text, word, yaml};

/// A value that the schema describes: one that has no values below it.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) path: Vec<String>,
    pub(crate) schema: Value,
    /// What stands in `values.yaml`.
    pub(crate) default: Option<Value>,
}

impl Leaf {
    pub(crate) fn name(&self) -> String {
        self.path.join(".")
    }

    /// Returns values with this one alone.
    pub(crate) fn with(&self, value: Value) -> Value {
        self.path.iter().rev().fold(value, |below, key| json!({ key: below }))
    }
}

pub(crate) fn schema() -> Value {
    serde_json::from_str(&text("content/charts/microservice/values.schema.json")).unwrap()
}

pub(crate) fn defaults() -> Value {
    yaml(&text("content/charts/microservice/values.yaml"))
}

/// Follows a reference; what stands beside it stays.
pub(crate) fn resolved(root: &Value, schema: &Value) -> Value {
    let Some(name) = schema["$ref"].as_str() else { return schema.clone() };
    let mut resolved = root.pointer(name.strip_prefix('#').unwrap()).unwrap().clone();
    if let Some(description) = schema.get("description") {
        resolved["description"] = description.clone();
    }
    resolved
}

/// Every value of the schema and the groups that they stand in, in its order.
pub(crate) fn walk(visit: &mut dyn FnMut(&Leaf, Kind)) {
    let (root, defaults) = (schema(), defaults());
    below_of(&root, &root, Some(&defaults), &mut Vec::new(), visit);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Group,
    Leaf,
}

fn below_of(
    root: &Value,
    schema: &Value,
    defaults: Option<&Value>,
    path: &mut Vec<String>,
    visit: &mut dyn FnMut(&Leaf, Kind),
) {
    for (name, schema) in schema["properties"].as_object().unwrap() {
        path.push(name.clone());
        let schema = resolved(root, schema);
        let default = defaults.and_then(|values| values.get(name));
        let leaf = Leaf { path: path.clone(), schema, default: default.cloned() };
        if leaf.schema.get("properties").is_some() {
            visit(&leaf, Kind::Group);
            below_of(root, &leaf.schema, default, path, visit);
        } else {
            visit(&leaf, Kind::Leaf);
        }
        path.pop();
    }
}

/// Every value but `global`, which other charts read.
pub(crate) fn leaves() -> Vec<Leaf> {
    let mut leaves = Vec::new();
    walk(&mut |leaf, kind| {
        if kind == Kind::Leaf && leaf.path[0] != "global" {
            leaves.push(leaf.clone());
        }
    });
    leaves
}

/// Draws a value that the schema allows and that is not the default.
pub(crate) fn draw(root: &Value, schema: &Value, default: Option<&Value>) -> Value {
    for _ in 0..100 {
        let drawn = once(root, &resolved(root, schema), default);
        if Some(&drawn) != default && drawn != "" {
            return drawn;
        }
    }
    panic!("no other value than {default:?} is found for {schema}");
}

fn once(root: &Value, schema: &Value, default: Option<&Value>) -> Value {
    if let Some(choice) = schema["enum"].as_array() {
        return choice[below(choice.len())].clone();
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    if types.contains(&"integer") {
        // Near the default, so that what hangs together still does.
        let from = default.and_then(Value::as_u64).or(schema["minimum"].as_u64()).unwrap_or(0);
        return json!(from + 1 + below(9) as u64);
    }
    match types.first() {
        Some(&"boolean") => json!(default != Some(&json!(true))),
        Some(&"array") => json!([draw(root, &schema["items"], None)]),
        Some(&"object") => json!(object(root, schema)),
        Some(&"string") => json!(string(schema)),
        // Any value will do.
        _ => json!(word()),
    }
}

fn object(root: &Value, schema: &Value) -> Map<String, Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let names: Vec<&str> = required.iter().filter_map(Value::as_str).collect();
    if names.is_empty() && schema["additionalProperties"] != json!(false) {
        return Map::from_iter([(word(), json!(word()))]);
    }
    let properties = schema["properties"].as_object();
    let all = properties.into_iter().flat_map(Map::keys).map(String::as_str);
    let names: Vec<&str> = if names.is_empty() { all.collect() } else { names };
    names.into_iter().map(|name| (name.to_owned(), draw(root, &schema["properties"][name], None))).collect()
}

fn string(schema: &Value) -> String {
    let Some(pattern) = schema["pattern"].as_str() else { return word() };
    let candidate = word();
    if Regex::new(pattern).unwrap().is_match(&candidate) {
        return candidate;
    }
    let rest = if pattern.ends_with('$') { String::new() } else { word() };
    let inner = pattern.trim_start_matches('^').trim_end_matches('$');
    let strategy = proptest::string::string_regex(inner).unwrap();
    let drawn = proptest::strategy::Strategy::new_tree(&strategy, &mut TestRunner::default()).unwrap().current();
    drawn + &rest
}
