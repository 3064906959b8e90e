//! How kustomize merges the lists of built-in types: what of its own OpenAPI leads to them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    io::Read as _,
};

use anyhow::Context;
use flate2::read::GzDecoder;
use serde_json::Value;

/// The module whose schema `kustomize build` merges by.
const MODULE: &str = "sigs.k8s.io/kustomize/kyaml@v0.21.2";
const BUNDLE: &str = "openapi/kubernetesapi/data/kubernetes-openapi-union-v1.21.2.bundle-v1.json.gz";
const OWN: &str = "openapi/kustomizationapi/swagger.json";

/// Returns the table.
pub(crate) fn table() -> anyhow::Result<String> {
    let folder = super::module(MODULE)?;
    let packed = std::fs::File::open(folder.join(BUNDLE)).context("failed to open kustomize's schema")?;
    let mut text = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut text).context("failed to unpack kustomize's schema")?;
    let mut types: BTreeMap<String, Value> = BTreeMap::new();
    for text in [text, std::fs::read(folder.join(OWN)).context("failed to read kustomize's own types")?] {
        let document: Value = serde_json::from_slice(&text).context("failed to parse kustomize's schema")?;
        let definitions = document["definitions"].as_object().context("kustomize's schema has no definitions")?;
        types.extend(definitions.iter().map(|(name, schema)| (name.clone(), schema.clone())));
    }
    let mut tables = Tables { types: &types, leads: HashMap::new(), numbers: HashMap::new(), order: Vec::new() };
    for (name, schema) in &types {
        if schema["x-kubernetes-group-version-kind"].as_array().is_some_and(|kinds| !kinds.is_empty()) {
            tables.number(name);
        }
    }
    let mut out = format!(
        "# How kustomize merges built-in types: made by `cargo xtask codegen` from {MODULE} (Apache-2.0).\n\
         # `= kinds` is a type, counted from 0; ` field place`: a number is a type, [ a list (with the keys of its items, = for\n\
         # scalars, if it is merged), {{ a map, - anything else.\n"
    );
    let mut at = 0;
    while at < tables.order.len() {
        let name = tables.order[at].clone();
        let schema = &types[&name];
        out.push('=');
        for kind in schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            let text = |field: &str| kind[field].as_str().unwrap_or_default();
            let group = if text("group").is_empty() { String::new() } else { format!("{}/", text("group")) };
            write!(out, " {group}{}/{}", text("version"), text("kind"))?;
        }
        out.push('\n');
        let fields: BTreeMap<&String, &Value> = schema["properties"].as_object().into_iter().flatten().collect();
        for (field, schema) in fields {
            let quiet = field == "status" && !tables.leads_of(schema, &mut Vec::new());
            let place = if quiet { Some("-".to_owned()) } else { tables.place(schema) };
            if let Some(place) = place {
                writeln!(out, " {field} {place}")?;
            }
        }
        at += 1;
    }
    Ok(out)
}

struct Tables<'a> {
    types: &'a BTreeMap<String, Value>,
    /// Whether a type leads to a list that is merged.
    leads: HashMap<String, bool>,
    numbers: HashMap<String, usize>,
    order: Vec<String>,
}

impl Tables<'_> {
    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        self.numbers.insert(name.to_owned(), self.order.len());
        self.order.push(name.to_owned());
        self.order.len() - 1
    }

    fn leads(&mut self, name: &str, way: &mut Vec<String>) -> bool {
        if let Some(leads) = self.leads.get(name) {
            return *leads;
        }
        if way.iter().any(|known| known == name) {
            return false;
        }
        way.push(name.to_owned());
        let schema = &self.types[name];
        let leads = self.leads_of(schema, way);
        way.pop();
        // What was cut short by a circle is not the last word.
        if way.is_empty() {
            self.leads.insert(name.to_owned(), leads);
        }
        leads
    }

    fn leads_of(&mut self, schema: &Value, way: &mut Vec<String>) -> bool {
        if let Some(name) = reference(schema) {
            return self.leads(name, way);
        }
        if schema["type"] == "array" {
            return is_merged(schema) || self.leads_of(&schema["items"], way);
        }
        let fields = schema["properties"].as_object().into_iter().flatten().map(|(_, field)| field);
        fields
            .chain(schema["additionalProperties"].is_object().then(|| &schema["additionalProperties"]))
            .any(|inner| self.leads_of(inner, way))
    }

    /// Returns what stands at a place; nothing for scalars.
    fn place(&mut self, schema: &Value) -> Option<String> {
        if let Some(name) = reference(schema) {
            if self.leads(name, &mut Vec::new()) {
                return Some(self.number(name).to_string());
            }
            let target = &self.types[name];
            let has_fields = target["properties"].as_object().is_some_and(|fields| !fields.is_empty());
            return (has_fields || target["type"] == "object" || target["type"].is_null()).then(|| "-".to_owned());
        }
        if schema["type"] == "array" {
            let mut text = format!("[{}", self.place(&schema["items"]).unwrap_or_else(|| "-".to_owned()));
            if is_merged(schema) {
                let keys: Vec<&str> = match schema["x-kubernetes-list-map-keys"].as_array() {
                    Some(keys) => keys.iter().filter_map(Value::as_str).collect(),
                    None => schema["x-kubernetes-patch-merge-key"].as_str().into_iter().collect(),
                };
                text.push(' ');
                text.push_str(&if keys.is_empty() { "=".to_owned() } else { keys.join(",") });
            }
            return Some(text);
        }
        if schema["additionalProperties"].is_object() {
            let inner = self.place(&schema["additionalProperties"]).unwrap_or_else(|| "-".to_owned());
            return Some(format!("{{{inner}"));
        }
        let open = schema["type"] == "object" || schema["type"].is_null() || schema["properties"].is_object();
        open.then(|| "-".to_owned())
    }
}

fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str().and_then(|name| name.rsplit('/').next())
}

fn is_merged(schema: &Value) -> bool {
    schema["x-kubernetes-patch-strategy"].as_str().unwrap_or_default().split(',').any(|part| part == "merge")
}
