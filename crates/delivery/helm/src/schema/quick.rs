//! Schemas made of common keywords, answered without the library.
//!
//! The library builds the schemas of JSON Schema itself before the first look at a value, which
//! takes longer than most renders. Here a value is only ever found good: everything else (a keyword that
//! is not known here, a mistake in the schema or in the values) is the library's to say.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
};

use regex::Regex;
use serde_json::Value as Json;

/// Deepest way through schemas and values.
const DEEPEST: usize = 64;
/// Most looks at a value: schemas that refer to each other may ask for any number of them.
const MOST_STEPS: u32 = 100_000;
/// Whole numbers below it are the same as floats.
const EXACT: u64 = 1 << 53;

/// Returns whether the schema is sound and the value surely fits it.
pub(super) fn accepts(schema: &Json, value: &Json) -> bool {
    let dialect = match schema.get("$schema").map(Json::as_str) {
        None
        | Some(Some("https://json-schema.org/draft/2020-12/schema" | "https://json-schema.org/draft/2019-09/schema")) => {
            Dialect::New
        }
        Some(Some("http://json-schema.org/draft-07/schema#" | "http://json-schema.org/draft-07/schema")) => {
            Dialect::Old
        }
        _ => return false,
    };
    let root = Root { schema, dialect, steps: Cell::new(0), patterns: RefCell::default() };
    root.is_sound(schema, 0) && root.fits(schema, value, 0) == Some(true)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Draft 7: formats are checked.
    Old,
    /// 2019-09 and 2020-12: formats only tell.
    New,
}

struct Root<'s> {
    schema: &'s Json,
    dialect: Dialect,
    /// Looks at a value so far.
    steps: Cell<u32>,
    /// Patterns that were compiled; nothing for one that is the library's to judge.
    patterns: RefCell<HashMap<&'s str, Option<Regex>>>,
}

impl<'s> Root<'s> {
    /// Returns whether all in a schema is known here and is as JSON Schema wants it.
    fn is_sound(&self, schema: &'s Json, depth: usize) -> bool {
        let Json::Object(keywords) = schema else { return schema.is_boolean() };
        let below = |schema: &'s Json| self.is_sound(schema, depth + 1);
        let refers = keywords.contains_key("$ref");
        depth < DEEPEST
            && keywords.iter().all(|(keyword, given)| match keyword.as_str() {
                "$schema" => depth == 0 && !refers,
                "$ref" => self.referred(given).is_some(),
                "title" | "description" | "$comment" => given.is_string(),
                "default" => true,
                "examples" => given.is_array(),
                // What stands beside a reference counts in some drafts and not in others.
                _ if refers => false,
                "readOnly" | "writeOnly" | "deprecated" | "uniqueItems" => given.is_boolean(),
                "type" => match given {
                    Json::Array(kinds) => !kinds.is_empty() && all_differ(kinds) && kinds.iter().all(is_kind),
                    kind => is_kind(kind),
                },
                "required" => given.as_array().is_some_and(|names| all_differ(names)),
                "enum" => given.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(is_simple)),
                "const" => is_simple(given),
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => exact(given).is_some(),
                "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" => {
                    given.as_u64().is_some_and(|number| number < EXACT)
                }
                "pattern" => given.as_str().is_some_and(|text| self.matches(text, "").is_some()),
                "format" => self.dialect == Dialect::New && given.is_string(),
                "properties" | "definitions" | "$defs" => {
                    given.as_object().is_some_and(|schemas| schemas.values().all(below))
                }
                "additionalProperties" | "propertyNames" | "not" => below(given),
                "items" => !given.is_array() && below(given),
                "allOf" | "anyOf" | "oneOf" => {
                    given.as_array().is_some_and(|schemas| !schemas.is_empty() && schemas.iter().all(below))
                }
                _ => false,
            })
    }

    fn referred(&self, reference: &Json) -> Option<&'s Json> {
        let path = reference.as_str()?;
        let (place, name) = path.strip_prefix("#/")?.split_once('/')?;
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
        (plain && matches!(place, "definitions" | "$defs")).then(|| self.schema.get(place)?.get(name)).flatten()
    }

    /// Returns whether a value fits a sound schema; nothing where that is not sure.
    fn fits(&self, schema: &'s Json, value: &Json, depth: usize) -> Option<bool> {
        self.steps.set(self.steps.get() + 1);
        if depth > DEEPEST || self.steps.get() > MOST_STEPS {
            return None;
        }
        let Json::Object(keywords) = schema else { return schema.as_bool() };
        let mut fits = true;
        for (keyword, given) in keywords {
            fits &= match (keyword.as_str(), value) {
                ("$ref", _) => self.fits(self.referred(given)?, value, depth + 1)?,
                ("type", _) => match given {
                    Json::Array(kinds) => any(kinds.iter().map(|kind| is_of(kind, value)))?,
                    kind => is_of(kind, value)?,
                },
                ("enum", _) => any(given.as_array()?.iter().map(|one| same(one, value)))?,
                ("const", _) => same(given, value)?,
                ("allOf" | "anyOf" | "oneOf", _) => self.combined(keyword, given.as_array()?, value, depth)?,
                ("not", _) => !self.fits(given, value, depth + 1)?,
                ("pattern", Json::String(text)) => self.matches(given.as_str()?, text)?,
                ("minLength", Json::String(text)) => text.chars().count() as u64 >= given.as_u64()?,
                ("maxLength", Json::String(text)) => text.chars().count() as u64 <= given.as_u64()?,
                ("minimum", Json::Number(_)) => exact(value)? >= exact(given)?,
                ("maximum", Json::Number(_)) => exact(value)? <= exact(given)?,
                ("exclusiveMinimum", Json::Number(_)) => exact(value)? > exact(given)?,
                ("exclusiveMaximum", Json::Number(_)) => exact(value)? < exact(given)?,
                ("minItems", Json::Array(items)) => items.len() as u64 >= given.as_u64()?,
                ("maxItems", Json::Array(items)) => items.len() as u64 <= given.as_u64()?,
                ("uniqueItems", Json::Array(items)) => {
                    given == &Json::Bool(false) || all_differ(items).then_some(true)?
                }
                ("items", Json::Array(items)) => all(items.iter().map(|item| self.fits(given, item, depth + 1)))?,
                ("minProperties", Json::Object(entries)) => entries.len() as u64 >= given.as_u64()?,
                ("maxProperties", Json::Object(entries)) => entries.len() as u64 <= given.as_u64()?,
                ("required", Json::Object(entries)) => {
                    given.as_array()?.iter().filter_map(Json::as_str).all(|name| entries.contains_key(name))
                }
                ("propertyNames", Json::Object(entries)) => {
                    let mut names = entries.keys().map(|name| Json::String(name.clone()));
                    names.try_fold(true, |so_far, name| Some(so_far & self.fits(given, &name, depth + 1)?))?
                }
                ("properties", Json::Object(entries)) => {
                    let known = given.as_object()?.iter();
                    all(known.filter_map(|(name, schema)| Some(self.fits(schema, entries.get(name)?, depth + 1))))?
                }
                ("additionalProperties", Json::Object(entries)) => {
                    let known = keywords.get("properties").and_then(Json::as_object);
                    let more = entries.iter().filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
                    all(more.map(|(_, value)| self.fits(given, value, depth + 1)))?
                }
                _ => true,
            };
        }
        Some(fits)
    }

    /// Returns whether a text matches a pattern; nothing where the library has to judge.
    fn matches(&self, text: &'s str, value: &str) -> Option<bool> {
        let mut patterns = self.patterns.borrow_mut();
        let compiled = patterns.entry(text).or_insert_with(|| pattern(text));
        compiled.as_ref().map(|pattern| pattern.is_match(value))
    }

    fn combined(&self, how: &str, schemas: &'s [Json], value: &Json, depth: usize) -> Option<bool> {
        let mut count = 0;
        for schema in schemas {
            count += usize::from(self.fits(schema, value, depth + 1)?);
        }
        Some(match how {
            "allOf" => count == schemas.len(),
            "anyOf" => count > 0,
            _ => count == 1,
        })
    }
}

/// Returns whether all are true; nothing if one is not sure.
fn all(mut each: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    each.try_fold(true, |so_far, one| Some(so_far & one?))
}

/// Returns whether one is true; nothing if one is not sure.
fn any(mut each: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    each.try_fold(false, |so_far, one| Some(so_far | one?))
}

fn is_kind(kind: &Json) -> bool {
    matches!(kind.as_str(), Some("array" | "boolean" | "integer" | "null" | "number" | "object" | "string"))
}

fn is_of(kind: &Json, value: &Json) -> Option<bool> {
    Some(match (kind.as_str()?, value) {
        ("integer", Json::Number(number)) => number.is_i64() || number.is_u64() || exact(value)?.fract() == 0.0,
        ("array", Json::Array(_))
        | ("boolean", Json::Bool(_))
        | ("null", Json::Null)
        | ("number", Json::Number(_))
        | ("object", Json::Object(_))
        | ("string", Json::String(_)) => true,
        _ => false,
    })
}

/// Returns whether it is a value that is compared here.
fn is_simple(value: &Json) -> bool {
    match value {
        Json::Number(number) => number.as_i64().is_some_and(|number| number.unsigned_abs() < EXACT),
        Json::Array(_) | Json::Object(_) => false,
        _ => true,
    }
}

fn same(one: &Json, value: &Json) -> Option<bool> {
    match (one, value) {
        (Json::Number(_), Json::Number(_)) => (is_simple(one) && is_simple(value)).then(|| one == value),
        _ => Some(one == value),
    }
}

/// Returns whether these are texts of which no two are the same.
fn all_differ(texts: &[Json]) -> bool {
    let mut seen = HashSet::new();
    texts.iter().all(|text| text.as_str().is_some_and(|text| seen.insert(text)))
}

/// Returns a number that every way to hold numbers holds exactly.
fn exact(value: &Json) -> Option<f64> {
    value.as_f64().filter(|number| number.abs() < EXACT as f64)
}

/// Compiles a pattern that means the same in ECMAScript and to the library: no classes by letter, nothing that looks around.
fn pattern(text: &str) -> Option<Regex> {
    let mut escaped = false;
    for byte in text.bytes() {
        match byte {
            b'.' | b'*' if escaped => escaped = false,
            _ if escaped => return None,
            b'\\' => escaped = true,
            b' '..=b'~' => {}
            _ => return None,
        }
    }
    // What repeats a repetition is read differently by the two libraries of patterns.
    let odd = ["(?", "*+", "++", "?+", "}+"].iter().any(|part| text.contains(part));
    let plain = text.len() < 200 && !escaped && !odd;
    plain.then(|| Regex::new(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::{Json, accepts};

    /// What is found good here is good to the library too.
    fn check(schema: &Json, value: &Json) -> Result<bool, String> {
        let good = accepts(schema, value);
        if good {
            let validator = jsonschema::options().build(schema).map_err(|error| format!("{schema}: {error}"))?;
            validator.validate(value).map_err(|error| format!("{schema}\n{value}\n{error}"))?;
        }
        Ok(good)
    }

    #[test]
    fn common_schemas_are_answered_and_the_rest_is_left() {
        let (draft7, new) = ("http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema");
        let port = json!({"type": "integer", "minimum": 1, "maximum": 65535});
        for (schema, value, good) in [
            (json!({"$schema": draft7, "type": "object", "required": ["a"]}), json!({"a": 1}), true),
            (json!({"$schema": draft7, "type": "object", "required": ["a"]}), json!({}), false),
            (
                json!({"properties": {"p": {"$ref": "#/definitions/port"}}, "definitions": {"port": port}}),
                json!({"p": 80}),
                true,
            ),
            (
                json!({"properties": {"p": {"$ref": "#/definitions/port"}}, "definitions": {"port": port}}),
                json!({"p": 0}),
                false,
            ),
            (json!({"properties": {"p": {"$ref": "#/definitions/none"}}}), json!({}), false),
            (json!({"pattern": "^[a-z]+\\.x$"}), json!("abc.x"), true),
            (json!({"pattern": "^[a-z]+\\.x$"}), json!("abc_x"), false),
            (json!({"pattern": "\\d"}), json!("1"), false),
            (json!({"pattern": "^\\*\\.a$"}), json!("*.a"), true),
            (json!({"propertyNames": {"pattern": "^[a-z]+$"}}), json!({"abc": 1}), true),
            (json!({"propertyNames": {"pattern": "^[a-z]+$"}}), json!({"abc": 1, "A": 2}), false),
            (json!({"pattern": "("}), json!(1), false),
            (json!({"$schema": new, "format": "email"}), json!("x"), true),
            (json!({"$schema": draft7, "format": "email"}), json!("a@b.example"), false),
            (
                json!({"additionalProperties": {"type": "string"}, "properties": {"n": {"type": "number"}}}),
                json!({"n": 1, "s": "t"}),
                true,
            ),
            (json!({"additionalProperties": false, "properties": {"n": {}}}), json!({"m": 1}), false),
            (json!({"oneOf": [{"type": "string"}, {"type": ["null", "string"]}]}), json!(null), true),
            (json!({"oneOf": [{"type": "string"}, {"type": ["null", "string"]}]}), json!("s"), false),
            (json!({"enum": ["a", 1, null]}), json!(1), true),
            (json!({"enum": ["a", 1, null]}), json!(2), false),
            (json!({"type": "integer"}), json!(1.5), false),
            (json!({"type": "text"}), json!("x"), false),
            (json!({"patternProperties": {}}), json!({}), false),
            (json!({"$schema": "http://json-schema.org/draft-04/schema#"}), json!({}), false),
            (json!({"if": {}}), json!({}), false),
        ] {
            assert_eq!(check(&schema, &value), Ok(good), "{schema} {value}");
        }
    }

    #[test]
    fn the_schema_of_the_golden_chart_is_answered() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../content/charts/microservice");
        let read = |file: &str| std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
        let schema = serde_json::from_str(&read("values.schema.json")).unwrap();
        let values = gotmpl::yaml::read(&read("values.yaml")).unwrap().floats();
        assert_eq!(check(&schema, &crate::record::numbers(&values)), Ok(true));
    }

    #[test]
    fn schemas_that_ask_without_end_are_left() {
        let step = |next: usize| json!({"allOf": [{"$ref": format!("#/$defs/d{next}")}, {"$ref": format!("#/$defs/d{next}")}]});
        let mut all = Map::new();
        for index in 0..40 {
            all.insert(format!("d{index}"), step(index + 1));
        }
        all.insert("d40".to_owned(), json!(true));
        assert!(!accepts(&json!({"$ref": "#/$defs/d0"}), &json!(1)));
        assert!(!accepts(&json!({"allOf": [{"$ref": "#/$defs/d0"}], "$defs": all}), &json!(1)));
        assert!(!accepts(
            &json!({"allOf": [{"$ref": "#/$defs/d"}], "$defs": {"d": {"allOf": [{"$ref": "#/$defs/d"}]}}}),
            &json!(1)
        ));
    }

    fn value() -> impl Strategy<Value = Json> {
        let leaf = prop::sample::select(vec![
            json!(null),
            json!(true),
            json!(0),
            json!(1),
            json!(-3),
            json!(2.5),
            json!(1e300),
            json!(9_007_199_254_740_993_u64),
            json!(""),
            json!("a"),
            json!("abc"),
            json!("\u{fc}x"),
            json!([]),
            json!({}),
            json!(["a", "a"]),
            json!(["a", "b"]),
        ]);
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
                prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|entries| entries.into_iter().collect()),
            ]
        })
    }

    fn schema() -> impl Strategy<Value = Json> {
        let simple = || {
            (
                prop::sample::select(vec![
                    "type",
                    "enum",
                    "const",
                    "minimum",
                    "maximum",
                    "exclusiveMinimum",
                    "exclusiveMaximum",
                    "minLength",
                    "maxLength",
                    "minItems",
                    "maxItems",
                    "minProperties",
                    "maxProperties",
                    "required",
                    "uniqueItems",
                    "pattern",
                    "format",
                    "$ref",
                    "title",
                    "default",
                    "examples",
                    "deprecated",
                    "multipleOf",
                    "$comment",
                    "$id",
                    "dependencies",
                    "contentEncoding",
                ]),
                prop_oneof![
                    3 => prop::sample::select(vec![
                        json!("string"), json!("object"), json!("integer"), json!("number"), json!(["array", "null"]), json!(1), json!(3),
                        json!("^a"), json!("b$"), json!("[a-c]{2}"), json!("a|"), json!("email"), json!("#/$defs/a"), json!("#/definitions/b"),
                        json!(["a"]), json!(["a", "b"]), json!(["a", "a"]), json!([1, "abc", null]), json!(true), json!([[]]), json!(0.5), json!(-1),
                    ]),
                    1 => value(),
                ],
            )
        };
        let object = |pairs: Vec<(&'static str, Json)>| {
            Json::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
        };
        let leaf =
            prop_oneof![prop::collection::vec(simple(), 0..3).prop_map(object), any::<bool>().prop_map(Json::Bool)];
        let nested = leaf.prop_recursive(3, 24, 4, move |inner| {
            let one = prop::sample::select(vec!["additionalProperties", "not", "items", "if", "contains", "propertyNames"]);
            let many = prop::sample::select(vec!["allOf", "anyOf", "oneOf", "items", "prefixItems"]);
            let named = prop::sample::select(vec!["properties", "$defs", "definitions", "patternProperties", "dependentSchemas"]);
            let keyword = prop_oneof![
                3 => simple(),
                2 => (one, inner.clone()),
                2 => (many, prop::collection::vec(inner.clone(), 0..3).prop_map(Json::Array)),
                3 => (named, prop::collection::btree_map("[a-c]", inner, 0..4).prop_map(|all| all.into_iter().collect::<Map<_, _>>().into())),
            ];
            prop::collection::vec(keyword, 0..5).prop_map(object)
        });
        let dialect = prop::sample::select(vec![
            None,
            Some("http://json-schema.org/draft-07/schema#"),
            Some("https://json-schema.org/draft/2019-09/schema"),
            Some("https://json-schema.org/draft/2020-12/schema"),
        ]);
        (nested, dialect).prop_map(|(mut schema, dialect)| {
            if let (Json::Object(keywords), Some(dialect)) = (&mut schema, dialect) {
                keywords.insert("$schema".to_owned(), json!(dialect));
            }
            schema
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(3000), ..ProptestConfig::default() })]

        #[test]
        fn what_is_found_good_is_good_to_the_library(schema in schema(), values in prop::collection::vec(value(), 1..6)) {
            for value in &values {
                check(&schema, value).map_err(TestCaseError::fail)?;
            }
        }
    }
}
