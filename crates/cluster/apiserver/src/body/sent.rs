//! A body as it was sent: its own order and lines, where an answer tells what is wrong with it.

use std::{collections::HashMap, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

use super::Told;

/// How much of a body an answer repeats.
const SHOWN: usize = 30;

/// The text of a body, and what it says twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    bytes: Bytes,
    /// Written in YAML.
    lines: bool,
    twice: Vec<String>,
}

impl Sent {
    /// Keeps the text that was told.
    pub(crate) fn new(media: &str, bytes: Bytes, told: &Told) -> Sent {
        let lines = media.ends_with("yaml");
        Sent { bytes, lines, twice: told.twice() }
    }

    /// Returns the beginning of the text, as a refusal repeats it.
    pub(crate) fn summary(&self) -> String {
        summary(&self.bytes)
    }

    /// Returns the whole text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Returns the paths of what it says twice.
    pub(crate) fn twice(&self) -> Vec<String> {
        self.twice.clone()
    }

    /// Returns what is unknown and what is said twice, in the order in which it stands there.
    pub(crate) fn strictly(&self, unknown: &[String]) -> Vec<String> {
        let unknown_fields =
            |list: &[String]| list.iter().map(|path| format!("unknown field {path:?}")).collect::<Vec<_>>();
        if self.lines {
            // Its fields come in the order of their names.
            let mut all = self.repeated_lines();
            all.extend(unknown_fields(unknown));
            return all;
        }
        let mut all: Vec<(String, usize)> = unknown.iter().map(|path| (path.clone(), 0)).collect();
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for path in &self.twice {
            let count = seen.entry(path).or_default();
            *count += 1;
            all.push((path.clone(), *count));
        }
        if all.len() > 1 {
            let mut places = Places::default();
            let mut reader = serde_json::Deserializer::from_slice(&self.bytes);
            // It was read before.
            _ = Walk { places: &mut places, path: String::new() }.deserialize(&mut reader);
            all.sort_by_key(|(path, nth)| {
                places.0.get(path).and_then(|found| found.get(*nth)).copied().unwrap_or(usize::MAX)
            });
        }
        let words = |(path, nth): (String, usize)| {
            let what = if nth == 0 { "unknown" } else { "duplicate" };
            format!("{what} field {path:?}")
        };
        all.into_iter().map(words).collect()
    }

    fn repeated_lines(&self) -> Vec<String> {
        if self.twice.is_empty() {
            return Vec::new();
        }
        let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
        let text = std::str::from_utf8(&self.bytes).unwrap_or_default();
        let found: Repeated = serde_saphyr::from_str_with_options(text, options).unwrap_or_default();
        found.0.into_iter().map(|(line, key)| format!("line {line}: key {key:?} already set in map")).collect()
    }

    /// Returns why a reader of YAML that takes nothing twice refuses the text.
    pub(crate) fn repeats(&self) -> Option<String> {
        let lines = if self.lines { self.repeated_lines() } else { Vec::new() };
        (!lines.is_empty()).then(|| format!("yaml: unmarshal errors:\n  {}", lines.join("\n  ")))
    }

    /// Returns the refusal of what is strictly wrong.
    pub(crate) fn strict_error(&self, wrong: &[String]) -> String {
        let (lines, fields): (Vec<&String>, Vec<&String>) =
            wrong.iter().partition(|text| self.lines && text.starts_with("line "));
        let text =
            |list: Vec<&String>, between: &str| list.into_iter().map(String::as_str).collect::<Vec<_>>().join(between);
        let mut parts = Vec::new();
        if !lines.is_empty() {
            parts.push(format!("yaml: unmarshal errors:\n  {}", text(lines, "\n  ")));
        }
        if !fields.is_empty() {
            parts.push(text(fields, ", "));
        }
        format!("strict decoding error: {}", parts.join(", "))
    }
}

/// Returns the beginning of a body, as a refusal repeats it.
pub(crate) fn summary(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(SHOWN)];
    let more = if bytes.len() > SHOWN { " ..." } else { "" };
    match bytes.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(head)),
        Some(_) => format!("{}{more}", hex::encode(head)),
    }
}

/// Where each field stands, counted from the first; of one that stands there again, every place.
#[derive(Default)]
struct Places(HashMap<String, Vec<usize>>, usize);

struct Walk<'a> {
    places: &'a mut Places,
    path: String,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        while items
            .next_element_seed(Walk { places: &mut *self.places, path: format!("{}[{index}]", self.path) })?
            .is_some()
        {
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(name) = entries.next_key::<String>()? {
            let path = if self.path.is_empty() { name } else { format!("{}.{name}", self.path) };
            self.places.1 += 1;
            let at = self.places.1;
            self.places.0.entry(path.clone()).or_default().push(at);
            entries.next_value_seed(Walk { places: &mut *self.places, path })?;
        }
        Ok(())
    }
}

/// The names that a document in YAML says again, with their lines.
#[derive(Default)]
struct Repeated(Vec<(u64, String)>);

impl<'de> Deserialize<'de> for Repeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Repeated, D::Error> {
        deserializer.deserialize_any(Lines)
    }
}

struct Lines;

impl<'de> Visitor<'de> for Lines {
    type Value = Repeated;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of YAML")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Repeated, E> {
        Ok(Repeated::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Repeated, E> {
        Ok(Repeated::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Repeated, E> {
        Ok(Repeated::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Repeated, E> {
        Ok(Repeated::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Repeated, E> {
        Ok(Repeated::default())
    }

    fn visit_unit<E>(self) -> Result<Repeated, E> {
        Ok(Repeated::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Repeated, A::Error> {
        let mut all = Repeated::default();
        while let Some(item) = items.next_element::<Repeated>()? {
            all.0.extend(item.0);
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Repeated, A::Error> {
        let (mut all, mut seen) = (Repeated::default(), std::collections::HashSet::new());
        while let Some(name) = entries.next_key::<String>()? {
            let inner = entries.next_value::<serde_saphyr::Spanned<Repeated>>()?;
            if !seen.insert(name.clone()) {
                // The line is that of the value.
                all.0.push((inner.referenced.line(), name));
            }
            all.0.extend(inner.value.0);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::decode, *};

    fn sent(media: &str, text: &'static str) -> Sent {
        Sent::new(media, Bytes::from_static(text.as_bytes()), &decode(media, text.as_bytes()).unwrap())
    }

    #[test]
    fn what_is_wrong_is_told_in_the_order_in_which_it_stands() {
        let text =
            r#"{"metadata": {"name": "a", "name": "b", "odd": 1}, "data": {"k": "v", "k": "w"}, "colour": "red"}"#;
        let unknown = ["colour".to_owned(), "metadata.odd".to_owned()];
        assert_eq!(
            sent("application/json", text).strictly(&unknown),
            [
                "duplicate field \"metadata.name\"",
                "unknown field \"metadata.odd\"",
                "duplicate field \"data.k\"",
                "unknown field \"colour\""
            ]
        );
        let yaml = sent("application/yaml", "data:\n  k: v\n  k: w\ncolour: red\n");
        let wrong = yaml.strictly(&unknown[..1]);
        assert_eq!(wrong, ["line 3: key \"k\" already set in map", "unknown field \"colour\""]);
        assert_eq!(
            yaml.strict_error(&wrong),
            "strict decoding error: yaml: unmarshal errors:\n  line 3: key \"k\" already set in map, unknown field \"colour\""
        );
    }

    #[test]
    fn what_yaml_says_twice_is_told_with_its_line() {
        let yaml = sent("application/yaml", "kind: ConfigMap\ndata:\n  a: b\n  a: c\n  n: '1'\nkind: ConfigMap\n");
        let lines = ["line 4: key \"a\" already set in map", "line 6: key \"kind\" already set in map"];
        assert_eq!(yaml.strictly(&[]), lines);
        let json = sent("application/apply-patch+yaml", r#"{"a": {"b": 1, "b": 2}}"#);
        assert_eq!(json.strictly(&[]), ["line 1: key \"b\" already set in map"]);
    }

    #[test]
    fn a_refusal_repeats_the_beginning() {
        assert_eq!(summary(b""), "<empty>");
        assert_eq!(summary(b"{\"a\": 1}"), "{\"a\": 1}");
        assert_eq!(summary(b"[]"), "5b5d");
        assert_eq!(summary(&[b'{'; 31]), format!("{} ...", "{".repeat(30)));
    }
}
