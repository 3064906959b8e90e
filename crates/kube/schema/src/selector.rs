//! Label and field selectors.

mod reader;

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Why a selector cannot be read, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// One condition on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
    Greater(String, i64),
    Less(String, i64),
}

/// A label selector; the empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<Requirement>);

impl Labels {
    /// Reads the query form: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.
    pub fn parse(text: &str) -> Result<Labels, Error> {
        reader::read(text).map(Labels)
    }

    /// Reads a `LabelSelector` object (`matchLabels`, `matchExpressions`). `null` matches nothing and is `None`.
    pub fn from_object(selector: &Value) -> Result<Option<Labels>, Error> {
        let Some(selector) = selector.as_object() else { return Ok(None) };
        let mut requirements = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            requirements.push(Requirement::In(key.clone(), vec![value.as_str().unwrap_or_default().to_owned()]));
        }
        for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let key = expression["key"].as_str().unwrap_or_default().to_owned();
            let values: Vec<String> = expression["values"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            requirements.push(match expression["operator"].as_str() {
                Some("In") => Requirement::In(key, values),
                Some("NotIn") => Requirement::NotIn(key, values),
                Some("Exists") => Requirement::Exists(key),
                Some("DoesNotExist") => Requirement::Absent(key),
                other => {
                    return Err(Error(format!("{:?} is not a valid label selector operator", other.unwrap_or(""))));
                }
            });
        }
        Ok(Some(Labels(requirements)))
    }

    /// Writes a `LabelSelector` object in the query form, sorted by key, as Kubernetes prints it.
    pub fn text_of(selector: &Value) -> Result<String, Error> {
        Labels::from_object(selector)?;
        let mut parts: Vec<(&str, String)> = selector["matchLabels"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), format!("{key}={}", value.as_str().unwrap_or_default())))
            .collect();
        for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
            let key = expression["key"].as_str().unwrap_or_default();
            let mut values: Vec<&str> =
                expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            values.sort_unstable();
            let values = values.join(",");
            parts.push(match expression["operator"].as_str() {
                Some("In") => (key, format!("{key} in ({values})")),
                Some("NotIn") => (key, format!("{key} notin ({values})")),
                Some("DoesNotExist") => (key, format!("!{key}")),
                _ => (key, key.to_owned()),
            });
        }
        parts.sort_by_key(|(key, _)| *key);
        Ok(parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(","))
    }

    /// Reads a plain map of labels (a Service's `selector`). An empty map matches everything here: ask first.
    pub fn from_map(labels: &Map<String, Value>) -> Labels {
        Labels(
            labels
                .iter()
                .map(|(key, value)| Requirement::In(key.clone(), vec![value.as_str().unwrap_or_default().to_owned()]))
                .collect(),
        )
    }

    /// Returns whether it matches everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether an object with these labels is selected.
    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        let get = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => get(key).is_some_and(|value| values.iter().any(|wanted| wanted == value)),
            Requirement::NotIn(key, values) => get(key).is_none_or(|value| values.iter().all(|wanted| wanted != value)),
            Requirement::Exists(key) => get(key).is_some(),
            Requirement::Absent(key) => get(key).is_none(),
            Requirement::Greater(key, than) => {
                get(key).and_then(|value| value.parse::<i64>().ok()).is_some_and(|value| value > *than)
            }
            Requirement::Less(key, than) => {
                get(key).and_then(|value| value.parse::<i64>().ok()).is_some_and(|value| value < *than)
            }
        })
    }
}

/// Returns whether `key` is a qualified name: `[prefix/]name`.
pub fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let prefix_fits = prefix.is_none_or(|prefix| {
        !prefix.is_empty()
            && prefix.len() <= 253
            && prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
    });
    prefix_fits && !name.is_empty() && is_label_value(name)
}

/// Returns whether `value` can be a label's value: empty, or at most 63 of `[A-Za-z0-9._-]` with a letter or digit at both ends.
pub fn is_label_value(value: &str) -> bool {
    value.len() <= 63
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && value.bytes().next().is_none_or(|b| b.is_ascii_alphanumeric())
        && value.bytes().last().is_none_or(|b| b.is_ascii_alphanumeric())
}

/// Splits a field selector at its commas.
fn terms(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescaped(text: &str) -> Result<String, Error> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text.chars());
    while let Some(c) = rest.next() {
        match (c, rest.clone().next()) {
            ('\\', Some(next @ ('\\' | ',' | '='))) => {
                rest.next();
                out.push(next);
            }
            ('\\', next) => {
                let next = next.map_or(String::new(), String::from);
                return Err(Error(format!("invalid field selector: invalid escape sequence: \\{next}")));
            }
            ('=', _) => return Err(Error(format!("invalid field selector: unescaped character in value: {c}"))),
            _ => out.push(c),
        }
    }
    Ok(out)
}

/// A field selector: all of these hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<Field>);

/// One condition of a field selector.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    path: String,
    equal: bool,
    value: String,
    /// The text of an absent field.
    absent: &'static str,
    /// Where it stands, if not at its path.
    places: &'static [&'static str],
}

impl Fields {
    /// Reads `metadata.name=a,status.phase!=Running`. In a value, a backslash stands before a comma, an equals sign and
    /// itself.
    pub fn parse(text: &str) -> Result<Fields, Error> {
        terms(text)
            .into_iter()
            .filter(|term| !term.is_empty())
            .map(|term| {
                let signs = term.char_indices().find_map(|(at, _)| {
                    ["!=", "==", "="].into_iter().find(|sign| term[at..].starts_with(sign)).map(|sign| (at, sign))
                });
                let Some((at, sign)) = signs else {
                    return Err(Error(format!("invalid selector: '{text}'; can't understand '{term}'")));
                };
                let value = unescaped(&term[at + sign.len()..])?;
                Ok(Field { path: term[..at].to_owned(), equal: sign != "!=", value, absent: "", places: &[] })
            })
            .collect::<Result<_, _>>()
            .map(Fields)
    }

    /// Returns whether it matches everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the paths that it asks for.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|field| field.path.as_str())
    }

    /// Returns the selector for objects whose absent fields read as `text` says of their paths.
    #[must_use]
    pub fn absent_as(mut self, text: impl Fn(&str) -> &'static str) -> Fields {
        for field in &mut self.0 {
            field.absent = text(&field.path);
        }
        self
    }

    /// Returns the value that `path` must have, if it asks for one.
    pub fn exact(&self, path: &str) -> Option<&str> {
        self.0.iter().find(|field| field.equal && field.path == path).map(|field| field.value.as_str())
    }

    /// Returns the selector for objects some of whose fields stand elsewhere: the first of these places that holds
    /// something.
    #[must_use]
    pub fn elsewhere(mut self, places: impl Fn(&str) -> Option<&'static [&'static str]>) -> Fields {
        for field in &mut self.0 {
            field.places = places(&field.path).unwrap_or_default();
        }
        self
    }

    /// Returns whether `object` is selected. An absent field is the empty text, unless [`Fields::absent_as`] said otherwise.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|field| {
            let at = |path: &str| path.split('.').try_fold(object, |place, step| place.get(step));
            let found = match field.places {
                [] => at(&field.path),
                places => places.iter().filter_map(|path| at(path)).find(|value| !value.is_null() && *value != ""),
            };
            let text = match found {
                None | Some(Value::Null) => Cow::Borrowed(field.absent),
                Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
                Some(other) => Cow::Owned(other.to_string()),
            };
            (text == field.value) == field.equal
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn selects(selector: &str, expected: bool) {
        let labels = json!({"app": "web", "tier": "2", "team": "a"});
        assert_eq!(Labels::parse(selector).unwrap().matches(labels.as_object()), expected, "{selector}");
    }

    #[test]
    fn label_selectors_read_as_kubernetes_reads_them() {
        for yes in [
            "",
            "app=web",
            "app==web",
            "app!=db",
            "none!=x",
            "app in (web, db)",
            "app notin (db)",
            "app",
            "!none",
            "tier>1",
            "tier<3",
            "app=web,team in (a,b)",
        ] {
            selects(yes, true);
        }
        for no in ["app=db", "app!=web", "app in (db)", "app notin (web,db)", "none", "!app", "tier>2", "none>1"] {
            selects(no, false);
        }
        for bad in ["a in b", "a in (b", "a b (c)", "-a=b", "a=b c", "a>x"] {
            assert!(Labels::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn selector_objects_match_labels_and_expressions() {
        let selector = json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "team", "operator": "In", "values": ["a"]}]});
        let labels = Labels::from_object(&selector).unwrap().unwrap();
        assert!(labels.matches(json!({"app": "web", "team": "a"}).as_object()));
        assert!(!labels.matches(json!({"app": "web", "team": "b"}).as_object()));
        assert!(Labels::from_object(&json!({"matchExpressions": [{"key": "a", "operator": "Near"}]})).is_err());
    }

    #[test]
    fn field_selectors_compare_text() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n"}});
        for (text, expected) in [
            ("metadata.name=a", true),
            ("metadata.name!=a", false),
            ("spec.nodeName==n,status.phase!=Failed", true),
            ("status.phase=", true),
        ] {
            assert_eq!(Fields::parse(text).unwrap().matches(&pod), expected, "{text}");
        }
        let schedulable = Fields::parse("spec.unschedulable=false").unwrap();
        assert!(!schedulable.matches(&pod) && schedulable.absent_as(|_| "false").matches(&pod));
        let renamed = Fields::parse("source=n").unwrap().elsewhere(|_| Some(&["spec.none", "spec.nodeName"]));
        assert!(renamed.matches(&pod));
    }
}
