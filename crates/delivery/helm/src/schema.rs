//! `values.schema.json`: JSON Schema as far as charts use it.
//!
//! A keyword that is not checked is refused by name.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

use super::{Error, chart::Chart};
use gotmpl::Value;

/// Checks the values of a chart and of its children.
pub(super) fn check(chart: &Chart, values: &Value) -> Result<(), Error> {
    let mut lines = String::new();
    collect(chart, values, &mut lines)?;
    if lines.is_empty() { Ok(()) } else { Err(Error::Schema { reason: lines }) }
}

fn collect(chart: &Chart, values: &Value, lines: &mut String) -> Result<(), Error> {
    if let Some(text) = &chart.schema {
        let schema: Json = serde_json::from_str(text)
            .map_err(|error| Error::Load { reason: format!("{}: values.schema.json: {error}", chart.name) })?;
        let mut checker = Checker { root: &schema, mistakes: Vec::new() };
        checker
            .check(&schema, &values.to_json(), "", 0)
            .map_err(|reason| Error::Load { reason: format!("{}: values.schema.json: {reason}", chart.name) })?;
        if !checker.mistakes.is_empty() {
            let _ = writeln!(lines, "{}:", chart.name);
            for (path, mistake) in checker.mistakes {
                let _ = writeln!(lines, "- at '{path}': {mistake}");
            }
        }
    }
    for child in &chart.children {
        if let Some(own) = values.get(&child.name) {
            collect(child, &own, lines)?;
        }
    }
    Ok(())
}

struct Checker<'a> {
    root: &'a Json,
    mistakes: Vec<(String, String)>,
}

type Checked = Result<(), String>;

impl Checker<'_> {
    fn add(&mut self, path: &str, mistake: impl Into<String>) {
        self.mistakes.push((path.to_owned(), mistake.into()));
    }

    fn passes(&self, schema: &Json, value: &Json, path: &str, depth: usize) -> Result<bool, String> {
        let mut inner = Checker { root: self.root, mistakes: Vec::new() };
        inner.check(schema, value, path, depth + 1)?;
        Ok(inner.mistakes.is_empty())
    }

    fn check(&mut self, schema: &Json, value: &Json, path: &str, depth: usize) -> Checked {
        if depth > 100 {
            return Err("it nests more than 100 levels".to_owned());
        }
        let schema = match schema {
            Json::Bool(true) => return Ok(()),
            Json::Bool(false) => {
                self.add(path, "false schema");
                return Ok(());
            }
            Json::Object(schema) => schema,
            _ => return Err("a schema must be an object or a boolean".to_owned()),
        };
        for (keyword, rule) in schema {
            self.keyword(schema, keyword, rule, value, path, depth)?;
        }
        Ok(())
    }

    fn keyword(
        &mut self,
        schema: &Map<String, Json>,
        keyword: &str,
        rule: &Json,
        value: &Json,
        path: &str,
        depth: usize,
    ) -> Checked {
        let number = |rule: &Json| rule.as_f64();
        let count = |rule: &Json| rule.as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        match keyword {
            "$schema" | "$id" | "$comment" | "$defs" | "definitions" | "title" | "description" | "default"
            | "examples" | "deprecated" | "readOnly" | "writeOnly" | "format" | "then" | "else" => {}
            "$ref" => {
                let reference = rule.as_str().unwrap_or_default();
                let target = match reference.strip_prefix('#') {
                    Some(pointer) => self.root.pointer(pointer),
                    None => {
                        return Err(format!("$ref {reference:?} is not supported, only references within the file"));
                    }
                };
                let Some(target) = target.cloned() else { return Err(format!("$ref {reference:?} leads nowhere")) };
                self.check(&target, value, path, depth + 1)?;
            }
            "type" => {
                let wanted: Vec<&str> = match rule {
                    Json::Array(all) => all.iter().filter_map(Json::as_str).collect(),
                    one => one.as_str().into_iter().collect(),
                };
                if !wanted.iter().any(|wanted| is_type(value, wanted)) {
                    self.add(path, format!("got {}, want {}", type_of(value), wanted.join(" or ")));
                }
            }
            "enum" => {
                let all = rule.as_array().cloned().unwrap_or_default();
                if !all.contains(value) {
                    let shown: Vec<String> = all.iter().map(|one| one.to_string().replace('"', "'")).collect();
                    self.add(path, format!("value must be one of {}", shown.join(", ")));
                }
            }
            "const" => {
                if rule != value {
                    self.add(path, format!("value must be {rule}"));
                }
            }
            "allOf" | "anyOf" | "oneOf" => {
                let all = rule.as_array().cloned().unwrap_or_default();
                if keyword == "allOf" {
                    for one in &all {
                        self.check(one, value, path, depth + 1)?;
                    }
                } else {
                    let mut passed = 0;
                    for one in &all {
                        passed += usize::from(self.passes(one, value, path, depth)?);
                    }
                    if passed == 0 || (keyword == "oneOf" && passed > 1) {
                        self.add(path, format!("'{keyword}' failed, {passed} of {} matched", all.len()));
                    }
                }
            }
            "not" => {
                if self.passes(rule, value, path, depth)? {
                    self.add(path, "'not' failed");
                }
            }
            "if" => {
                let branch = if self.passes(rule, value, path, depth)? { "then" } else { "else" };
                if let Some(branch) = schema.get(branch).cloned() {
                    self.check(&branch, value, path, depth + 1)?;
                }
            }
            "properties"
            | "required"
            | "additionalProperties"
            | "patternProperties"
            | "minProperties"
            | "maxProperties"
            | "propertyNames" => self.object(schema, keyword, rule, value, path, depth)?,
            "items" | "minItems" | "maxItems" | "uniqueItems" => self.array(keyword, rule, value, path, depth)?,
            "minLength" | "maxLength" | "pattern" => {
                let Some(text) = value.as_str() else { return Ok(()) };
                let length = text.chars().count();
                match keyword {
                    "minLength" if length < count(rule) => {
                        self.add(path, format!("minLength: got {length}, want {rule}"));
                    }
                    "maxLength" if length > count(rule) => {
                        self.add(path, format!("maxLength: got {length}, want {rule}"));
                    }
                    "pattern" => {
                        let pattern = rule.as_str().unwrap_or_default();
                        let regex =
                            regex::Regex::new(pattern).map_err(|_| format!("pattern {pattern:?} is not understood"))?;
                        if !regex.is_match(text) {
                            self.add(path, format!("'{text}' does not match pattern '{pattern}'"));
                        }
                    }
                    _ => {}
                }
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
                let (Some(value), Some(bound)) = (number(value), number(rule)) else { return Ok(()) };
                let fits = match keyword {
                    "minimum" => value >= bound,
                    "maximum" => value <= bound,
                    "exclusiveMinimum" => value > bound,
                    "exclusiveMaximum" => value < bound,
                    _ => bound != 0.0 && (value / bound).fract() == 0.0,
                };
                if !fits {
                    self.add(path, format!("{keyword}: got {value}, want {rule}"));
                }
            }
            other => return Err(format!("the keyword {other:?} is not supported")),
        }
        Ok(())
    }

    fn object(
        &mut self,
        schema: &Map<String, Json>,
        keyword: &str,
        rule: &Json,
        value: &Json,
        path: &str,
        depth: usize,
    ) -> Checked {
        let Some(entries) = value.as_object() else { return Ok(()) };
        let bound = rule.as_u64().unwrap_or(0) as usize;
        match keyword {
            "properties" => {
                for (name, inner) in rule.as_object().into_iter().flatten() {
                    if let Some(value) = entries.get(name) {
                        self.check(inner, value, &format!("{path}/{name}"), depth + 1)?;
                    }
                }
            }
            "required" => {
                let missing: Vec<String> = rule
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Json::as_str)
                    .filter(|name| !entries.contains_key(*name))
                    .map(|name| format!("'{name}'"))
                    .collect();
                match missing.as_slice() {
                    [] => {}
                    [one] => self.add(path, format!("missing property {one}")),
                    many => self.add(path, format!("missing properties {}", many.join(", "))),
                }
            }
            "patternProperties" => {
                for (pattern, inner) in rule.as_object().into_iter().flatten() {
                    let regex =
                        regex::Regex::new(pattern).map_err(|_| format!("pattern {pattern:?} is not understood"))?;
                    for (name, value) in entries.iter().filter(|(name, _)| regex.is_match(name)) {
                        self.check(inner, value, &format!("{path}/{name}"), depth + 1)?;
                    }
                }
            }
            "additionalProperties" => {
                let listed = schema.get("properties").and_then(Json::as_object);
                let patterns: Vec<regex::Regex> = schema
                    .get("patternProperties")
                    .and_then(Json::as_object)
                    .into_iter()
                    .flatten()
                    .filter_map(|(pattern, _)| regex::Regex::new(pattern).ok())
                    .collect();
                let extra: Vec<_> = entries
                    .iter()
                    .filter(|(name, _)| !listed.is_some_and(|listed| listed.contains_key(*name)))
                    .filter(|(name, _)| !patterns.iter().any(|pattern| pattern.is_match(name)))
                    .collect();
                if *rule == Json::Bool(false) && !extra.is_empty() {
                    let names: Vec<String> = extra.iter().map(|(name, _)| format!("'{name}'")).collect();
                    self.add(path, format!("additional properties {} not allowed", names.join(", ")));
                } else {
                    for (name, value) in extra {
                        self.check(rule, value, &format!("{path}/{name}"), depth + 1)?;
                    }
                }
            }
            "propertyNames" => {
                for name in entries.keys() {
                    self.check(rule, &Json::String(name.clone()), path, depth + 1)?;
                }
            }
            "minProperties" if entries.len() < bound => {
                self.add(path, format!("minProperties: got {}, want {bound}", entries.len()));
            }
            "maxProperties" if entries.len() > bound => {
                self.add(path, format!("maxProperties: got {}, want {bound}", entries.len()));
            }
            _ => {}
        }
        Ok(())
    }

    fn array(&mut self, keyword: &str, rule: &Json, value: &Json, path: &str, depth: usize) -> Checked {
        let Some(items) = value.as_array() else { return Ok(()) };
        let bound = rule.as_u64().unwrap_or(0) as usize;
        match keyword {
            "items" if rule.is_array() => return Err("a list of schemas under \"items\" is not supported".to_owned()),
            "items" => {
                for (index, item) in items.iter().enumerate() {
                    self.check(rule, item, &format!("{path}/{index}"), depth + 1)?;
                }
            }
            "minItems" if items.len() < bound => self.add(path, format!("minItems: got {}, want {bound}", items.len())),
            "maxItems" if items.len() > bound => self.add(path, format!("maxItems: got {}, want {bound}", items.len())),
            "uniqueItems"
                if *rule == Json::Bool(true)
                    && items.iter().enumerate().any(|(index, item)| items[..index].contains(item)) =>
            {
                self.add(path, "items are not unique");
            }
            _ => {}
        }
        Ok(())
    }
}

fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn is_type(value: &Json, wanted: &str) -> bool {
    match wanted {
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        wanted => type_of(value) == wanted,
    }
}
