//! A document with the names that it says twice: `fieldValidation` tells them, and a plain
//! tree keeps the last of them alone.

use std::{collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// A document's tree and the paths of what it says twice.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) value: Value,
    /// Relative paths: `.spec.replicas`, `[0].name`.
    twice: Vec<String>,
    /// The same as readers of YAML tell it.
    lines: Vec<String>,
}

/// What a body says twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Twice {
    /// Paths of the fields, as Kubernetes writes them.
    pub(crate) fields: Vec<String>,
    /// Of a body in YAML, what its reader says of each.
    pub(crate) lines: Vec<String>,
}

impl Told {
    /// Returns what is said twice.
    pub(crate) fn twice(&self) -> Twice {
        let fields = self.twice.iter().map(|path| path.trim_start_matches('.').to_owned()).collect();
        Twice { fields, lines: self.lines.clone() }
    }

    /// Looks up the lines of what is said twice in the text, if something is.
    pub(crate) fn with_lines(self, text: &str, options: serde_saphyr::Options) -> Told {
        if self.twice.is_empty() {
            return self;
        }
        let lines = serde_saphyr::from_str_with_options::<Lines>(text, options).map(|found| found.0);
        Told { lines: lines.unwrap_or_default(), ..self }
    }
}

impl From<Value> for Told {
    fn from(value: Value) -> Told {
        Told { value, ..Told::default() }
    }
}

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Told, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Told;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Told, E> {
        Ok(Value::Bool(value).into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Told, E> {
        Ok(Value::from(value).into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Told, E> {
        Ok(Value::from(value).into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Told, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number).into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Told, E> {
        Ok(Value::from(value).into())
    }

    fn visit_string<E>(self, value: String) -> Result<Told, E> {
        Ok(Value::String(value).into())
    }

    fn visit_none<E>(self) -> Result<Told, E> {
        Ok(Told::default())
    }

    fn visit_unit<E>(self) -> Result<Told, E> {
        Ok(Told::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Told, D::Error> {
        Told::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Told, A::Error> {
        let (mut list, mut twice) = (Vec::new(), Vec::new());
        while let Some(item) = items.next_element::<Told>()? {
            twice.extend(item.twice.iter().map(|path| format!("[{}]{path}", list.len())));
            list.push(item.value);
        }
        Ok(Told { value: Value::Array(list), twice, ..Told::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Told, A::Error> {
        let (mut map, mut twice) = (Map::new(), Vec::new());
        while let Some(name) = entries.next_key::<String>()? {
            let entry: Told = entries.next_value()?;
            twice.extend(entry.twice.iter().map(|path| format!(".{name}{path}")));
            if map.contains_key(&name) {
                twice.push(format!(".{name}"));
            }
            map.insert(name, entry.value);
        }
        Ok(Told { value: Value::Object(map), twice, ..Told::default() })
    }
}

/// What a reader of YAML says of each name that comes again: the line is that of its value.
#[derive(Default)]
struct Lines(Vec<String>);

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lines, D::Error> {
        deserializer.deserialize_any(LineReader)
    }
}

struct LineReader;

impl<'de> Visitor<'de> for LineReader {
    type Value = Lines;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of YAML")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Lines, E> {
        Ok(Lines::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Lines, E> {
        Ok(Lines::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Lines, E> {
        Ok(Lines::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Lines, E> {
        Ok(Lines::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Lines, E> {
        Ok(Lines::default())
    }

    fn visit_none<E>(self) -> Result<Lines, E> {
        Ok(Lines::default())
    }

    fn visit_unit<E>(self) -> Result<Lines, E> {
        Ok(Lines::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Lines, D::Error> {
        Lines::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Lines, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = items.next_element::<Lines>()? {
            found.extend(item.0);
        }
        Ok(Lines(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Lines, A::Error> {
        let (mut found, mut names) = (Vec::new(), BTreeSet::new());
        while let Some(name) = entries.next_key::<String>()? {
            let entry: Spanned<Lines> = entries.next_value()?;
            found.extend(entry.value.0);
            if names.contains(&name) {
                found.push(format!("line {}: key {name:?} already set in map", entry.referenced.line()));
            }
            names.insert(name);
        }
        Ok(Lines(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_twice_is_named_by_its_path() {
        let text = r#"{"a": 1, "spec": {"x": [{"n": 1}, {"n": 1, "n": 2}], "y": 1, "y": {}}, "a": 2.5}"#;
        let told: Told = serde_json::from_str(text).unwrap();
        assert_eq!(told.twice().fields, ["spec.x[1].n", "spec.y", "a"]);
        let plain: Value = serde_json::from_str(text).unwrap();
        assert_eq!(told.value, plain);
    }

    #[test]
    fn numbers_stay_what_they_are() {
        let text = "[1, -1, 18446744073709551615, 1.0, 1e3, null, true, \"1\"]";
        let told: Told = serde_json::from_str(text).unwrap();
        assert_eq!(told.value.to_string(), serde_json::from_str::<Value>(text).unwrap().to_string());
    }
}
