//! A document with the names that it says twice: `fieldValidation` tells them, and a plain
//! tree keeps the last of them alone.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// A document's tree and the paths of what it says twice.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) value: Value,
    /// Relative paths: `.spec.replicas`, `[0].name`.
    twice: Vec<String>,
}

impl Told {
    /// Returns the paths of what is said twice, as Kubernetes writes them.
    pub(crate) fn twice(&self) -> Vec<String> {
        self.twice.iter().map(|path| path.trim_start_matches('.').to_owned()).collect()
    }
}

impl From<Value> for Told {
    fn from(value: Value) -> Told {
        Told { value, twice: Vec::new() }
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
        Ok(Told { value: Value::Array(list), twice })
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
        Ok(Told { value: Value::Object(map), twice })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_twice_is_named_by_its_path() {
        let text = r#"{"a": 1, "spec": {"x": [{"n": 1}, {"n": 1, "n": 2}], "y": 1, "y": {}}, "a": 2.5}"#;
        let told: Told = serde_json::from_str(text).unwrap();
        assert_eq!(told.twice(), ["spec.x[1].n", "spec.y", "a"]);
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
