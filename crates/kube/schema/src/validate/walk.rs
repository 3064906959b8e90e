//! Which rules of its type a value breaks.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Cause, MAX_DEPTH, formats, join};
use crate::model::{Kind, ListType, Node};

/// A broken rule of a definition's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The place whose rule it is.
    pub at: String,
    /// What is said of it, which does not always name the place.
    pub cause: Cause,
}

/// Returns every rule of a built-in type that the value breaks.
pub fn check(value: &Value, node: &Node) -> Vec<Cause> {
    let mut walk = Walk { whose: Whose::Builtin, broken: Vec::new() };
    walk.place(value, node, "", 0);
    walk.broken.into_iter().map(|broken| broken.cause).collect()
}

/// Returns every rule of a definition's schema that the value breaks.
pub fn check_custom(value: &Value, node: &Node) -> Vec<Broken> {
    let mut walk = Walk { whose: Whose::Definition, broken: Vec::new() };
    walk.place(value, node, "", 0);
    walk.broken
}

/// Whose type a value is checked by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Decoding takes null for absent.
    Builtin,
    /// Null is a value that only some places allow.
    Definition,
}

struct Walk {
    whose: Whose,
    broken: Vec<Broken>,
}

impl Walk {
    fn put(&mut self, at: &str, cause: Cause) {
        self.broken.push(Broken { at: at.to_owned(), cause });
    }

    /// Says what is wrong with a place in a sentence that names it itself.
    fn say(&mut self, path: &str, sentence: &str) {
        let field = if self.whose == Whose::Definition { "<nil>" } else { path };
        self.put(path, Cause::invalid(field, &Value::from(""), sentence));
    }

    fn place(&mut self, value: &Value, node: &Node, path: &str, depth: usize) {
        let place = node.resolve();
        if depth > MAX_DEPTH {
            self.put(path, Cause::invalid(path, &Value::Null, "nests too deep"));
            return;
        }
        // Metadata is decoded and checked by the API itself.
        let own = matches!(node.kind, Kind::Ref(_)) && self.whose == Whose::Definition;
        if value.is_null() {
            let typed = !matches!(place.kind, Kind::Any | Kind::Ref(_)) && !own;
            if self.whose == Whose::Definition {
                if !place.nullable && typed {
                    self.put(path, self.mistyped(value, place, path, "null"));
                }
                self.one_of(value, place, path);
            }
            return;
        }
        if !fits(value, place) {
            match self.whose {
                Whose::Builtin => {
                    self.put(path, self.mistyped(value, place, path, value_type(value)));
                    return;
                }
                Whose::Definition => self.mistyped_custom(value, place, path),
            }
        }
        self.rules(value, place, path, depth);
        match value {
            Value::Object(map) => self.fields(map, place, path, depth),
            Value::Array(list) => {
                if let Kind::Array(items) = &place.kind {
                    for (index, inner) in list.iter().enumerate() {
                        self.place(inner, items, &format!("{path}[{index}]"), depth + 1);
                    }
                    self.list(list, &node.list, path);
                }
            }
            _ => {}
        }
    }

    fn mistyped(&self, value: &Value, place: &Node, path: &str, found: &str) -> Cause {
        let detail = format!("{} must be of type {}: \"{found}\"", in_body(path), type_name(place));
        match self.whose {
            Whose::Definition => Cause::wrong_type(path, &found.into(), &detail),
            Whose::Builtin => Cause::wrong_type(path, value, &detail),
        }
    }

    /// A definition that names a format is told the formats that differ.
    fn mistyped_custom(&mut self, value: &Value, place: &Node, path: &str) {
        let format = place.format.as_deref().filter(|format| formats::is_known_format(format, type_name(place)));
        let cause = match (format, value) {
            (Some(_), Value::Array(_)) if place.kind == Kind::String => return,
            (None, _) | (_, Value::Array(_) | Value::String(_)) => self.mistyped(value, place, path, value_type(value)),
            (Some(format), _) => {
                let found = match value {
                    Value::Number(number) if number.is_f64() => "float64",
                    Value::Number(_) => "int64",
                    _ => "",
                };
                let detail = format!("{} must be of type {format}: \"{found}\"", in_body(path));
                Cause::wrong_type(path, &found.into(), &detail)
            }
        };
        self.put(path, cause);
    }

    fn fields(&mut self, map: &Map<String, Value>, place: &Node, path: &str, depth: usize) {
        for name in &place.required {
            // A null that is allowed counts as there.
            let nullable = place.field(name).is_some_and(|field| field.nullable);
            if map.get(name).is_none_or(|value| value.is_null() && !nullable) {
                let field = join(path, name);
                self.put(&field, Cause::required(field.clone(), ""));
            }
        }
        for (name, inner) in map {
            let field = match &place.kind {
                Kind::Map(values) => place.properties.get(name).or(Some(values)),
                _ => place.properties.get(name),
            };
            if let Some(field) = field {
                let step = match self.whose {
                    Whose::Builtin if matches!(place.kind, Kind::Map(_)) => format!("{path}[{name}]"),
                    _ => join(path, name),
                };
                self.place(inner, field, &step, depth + 1);
            }
        }
    }

    fn list(&mut self, list: &[Value], kind: &ListType, path: &str) {
        let mut seen: HashMap<String, usize> = HashMap::new();
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
            let times = seen.entry(key).or_default();
            *times += 1;
            // Of a definition's lists an item is told once.
            if *times == 2 || (*times > 2 && self.whose == Whose::Builtin) {
                let shown = match kind {
                    ListType::Map(keys) => Value::Object(
                        keys.iter()
                            .filter_map(|key| item.get(key).map(|value| (key.clone(), value.clone())))
                            .collect::<Map<_, _>>(),
                    ),
                    _ => item.clone(),
                };
                let field = format!("{path}[{index}]");
                self.put(&field, Cause::duplicate(field.clone(), &shown));
            }
        }
    }

    fn rules(&mut self, value: &Value, place: &Node, path: &str, depth: usize) {
        match value {
            Value::String(text) => self.text(value, text, place, path),
            Value::Number(number) => self.number(value, number.as_f64().unwrap_or_default(), place, path),
            Value::Array(list) => {
                self.amount(value, list.len() as u64, [place.rules.min_items, place.rules.max_items], "items", path);
            }
            Value::Object(map) => {
                let limits = [place.rules.min_properties, place.rules.max_properties];
                self.amount(value, map.len() as u64, limits, "properties", path);
            }
            _ => {}
        }
        let rules = &place.rules;
        if let Value::Array(list) = value
            && rules.unique_items
            && list.iter().enumerate().any(|(index, item)| list[..index].contains(item))
        {
            self.bad(path, value, &format!("{} shouldn't contain duplicates", in_body(path)));
        }
        self.one_of(value, place, path);
        self.combined(value, place, path, depth);
    }

    /// The values that a schema lists.
    fn one_of(&mut self, value: &Value, place: &Node, path: &str) {
        let listed = &place.rules.enumeration;
        if listed.is_empty() || listed.contains(value) {
            return;
        }
        let supported: Vec<String> =
            listed.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
        let supported: Vec<&str> = supported.iter().map(String::as_str).collect();
        self.put(path, Cause::not_supported(path, value, &supported));
    }

    fn bad(&mut self, path: &str, value: &Value, detail: &str) {
        self.put(path, Cause::invalid(path, value, detail));
    }

    fn text(&mut self, value: &Value, text: &str, place: &Node, path: &str) {
        let body = in_body(path);
        let length = text.chars().count() as u64;
        let before = self.broken.len();
        // Of a definition's rules the first one that is broken is told.
        let all = self.whose == Whose::Builtin;
        if let Some(most) = place.rules.max_length.filter(|most| length > *most) {
            self.put(path, Cause::too_long(path, most, "byte"));
        }
        if let Some(fewest) = place.rules.min_length.filter(|fewest| length < *fewest)
            && (all || self.broken.len() == before)
        {
            self.bad(path, value, &format!("{body} should be at least {fewest} chars long"));
        }
        if let Some(pattern) = &place.rules.pattern
            && (all || self.broken.len() == before)
            && !crate::pattern::compile(pattern).is_ok_and(|pattern| pattern.is_match(text))
        {
            self.bad(path, value, &format!("{body} should match '{pattern}'"));
        }
        if let Some(format) = place.format.as_deref()
            && !formats::holds(format, text, self.whose == Whose::Definition)
        {
            let detail = format!("{body} must be of type {format}: {value}");
            match self.whose {
                Whose::Builtin => self.bad(path, value, &detail),
                Whose::Definition => self.put(path, Cause::wrong_type(path, value, &detail)),
            }
        }
    }

    fn number(&mut self, value: &Value, number: f64, place: &Node, path: &str) {
        let (body, rules) = (in_body(path), &place.rules);
        // Whole numbers are compared with whole bounds.
        let whole = self.whose == Whose::Definition && value.is_i64();
        let bound = |bound: Option<f64>| bound.map(|bound| if whole { bound.trunc() } else { bound });
        if let Some(lowest) = bound(rules.minimum)
            && (number < lowest || (rules.exclusive_minimum && number <= lowest))
        {
            let than = if rules.exclusive_minimum { "greater than" } else { "greater than or equal to" };
            self.bad(path, value, &format!("{body} should be {than} {lowest}"));
        }
        if let Some(highest) = bound(rules.maximum)
            && (number > highest || (rules.exclusive_maximum && number >= highest))
        {
            let than = if rules.exclusive_maximum { "less than" } else { "less than or equal to" };
            self.bad(path, value, &format!("{body} should be {than} {highest}"));
        }
        if let Some(step) = rules.multiple_of
            && step > 0.0
            && self.whose == Whose::Definition
            && value.is_i64()
            && step.trunc() == 0.0
        {
            // A step that is less than one is none for whole numbers.
            let detail = format!("factor MultipleOf declared for {path} must be positive: 0");
            self.bad(path, &Value::from(0), &detail);
        } else if let Some(step) = rules.multiple_of
            && step > 0.0
            && (number / step).fract() != 0.0
        {
            self.bad(path, value, &format!("{body} should be a multiple of {step}"));
        }
        let (whole, format) = (number.fract() == 0.0, place.format.as_deref());
        let fits = format != Some("int32") || (-2_147_483_648.0..=2_147_483_647.0).contains(&number);
        match self.whose {
            Whose::Builtin if !fits => self.bad(path, value, &format!("{body} must be of type int32")),
            Whose::Definition if place.kind == Kind::Integer && !(whole && fits) => {
                let format = match format {
                    Some(format @ ("int32" | "int64")) => format!("with format {format}"),
                    _ => "(default format)".to_owned(),
                };
                self.say(path, &format!("Checked value must be of type integer {format} in {path}"));
            }
            _ => {}
        }
    }

    fn amount(&mut self, value: &Value, found: u64, [fewest, most]: [Option<u64>; 2], what: &str, path: &str) {
        if let Some(most) = most.filter(|most| found > *most) {
            self.put(path, Cause::too_many(path, found, most));
        }
        if let Some(fewest) = fewest.filter(|fewest| found < *fewest) {
            let shown = if self.whose == Whose::Definition { &Value::from(found) } else { value };
            self.bad(path, shown, &format!("{} should have at least {fewest} {what}", in_body(path)));
        }
    }

    /// `allOf`, `anyOf`, `oneOf` and `not`.
    fn combined(&mut self, value: &Value, place: &Node, path: &str, depth: usize) {
        let rules = &place.rules;
        let whose = self.whose;
        let broken = |node: &Node| {
            let mut inner = Walk { whose, broken: Vec::new() };
            inner.place(value, node, path, depth + 1);
            inner.broken
        };
        let all: Vec<Vec<Broken>> = rules.all_of.iter().map(broken).filter(|broken| !broken.is_empty()).collect();
        if !all.is_empty() {
            let none = if all.len() == rules.all_of.len() { ". None validated" } else { "" };
            self.broken.extend(all.into_iter().flatten());
            self.say(path, &format!("{} must validate all the schemas (allOf){none}", shown(path)));
        }
        if !rules.any_of.is_empty() {
            let each: Vec<Vec<Broken>> = rules.any_of.iter().map(broken).collect();
            if each.iter().all(|broken| !broken.is_empty()) {
                self.say(path, &format!("{} must validate at least one schema (anyOf)", shown(path)));
                self.broken.extend(each.into_iter().min_by_key(Vec::len).into_iter().flatten());
            }
        }
        if !rules.one_of.is_empty() {
            let each: Vec<Vec<Broken>> = rules.one_of.iter().map(broken).collect();
            let detail = "must validate one and only one schema (oneOf)";
            match each.iter().filter(|broken| broken.is_empty()).count() {
                1 => {}
                0 => {
                    self.say(path, &format!("{} {detail}. Found none valid", shown(path)));
                    self.broken.extend(each.into_iter().min_by_key(Vec::len).into_iter().flatten());
                }
                found => self.say(path, &format!("{} {detail}. Found {found} valid alternatives", shown(path))),
            }
        }
        if rules.not.as_deref().is_some_and(|node| broken(node).is_empty()) {
            self.say(path, &format!("{} must not validate the schema (not)", shown(path)));
        }
    }
}

fn fits(value: &Value, place: &Node) -> bool {
    match (&place.kind, value) {
        (Kind::String | Kind::IntOrString, Value::String(_))
        | (Kind::Number, Value::Number(_))
        | (Kind::Boolean, Value::Bool(_))
        | (Kind::Object | Kind::Map(_), Value::Object(_))
        | (Kind::Array(_), Value::Array(_))
        | (Kind::Any | Kind::Ref(_), _) => true,
        (Kind::Integer | Kind::IntOrString, Value::Number(number)) => {
            number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        // Quantities are written as numbers too.
        (Kind::String, Value::Number(_)) => place.format.as_deref() == Some("quantity"),
        _ => false,
    }
}

fn in_body(path: &str) -> String {
    format!("{path} in body")
}

/// Kubernetes names the place of a combined rule in quotation marks.
fn shown(path: &str) -> String {
    format!("{path:?}")
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
