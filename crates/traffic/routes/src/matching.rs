//! Whether a request matches: paths, methods, headers and query parameters.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Largest compiled size of one regular expression, in bytes.
const PATTERN_SIZE: usize = 1 << 20;

/// A regular expression that has to match the whole text.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles `text`, or says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        let regex = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(PATTERN_SIZE).build()?;
        Ok(Pattern { text: text.to_owned(), regex })
    }

    /// Returns whether all of `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Returns the expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Pattern::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// How a path is matched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// Leading path elements, as Gateway API counts them: `/a` matches `/a` and `/a/b`, not `/ab`.
    Elements(String),
    /// Leading text, as Istio does: `/a` matches `/ab`.
    Text(String),
    /// A regular expression over the whole path.
    Regex(Pattern),
}

impl PathMatch {
    /// Returns whether `path` matches.
    pub fn is_match(&self, path: &str) -> bool {
        match self {
            PathMatch::Exact(wanted) => path == wanted,
            PathMatch::Elements(prefix) => {
                let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            PathMatch::Text(prefix) => path.starts_with(prefix.as_str()),
            PathMatch::Regex(pattern) => pattern.is_match(path),
        }
    }

    /// Returns the place in the order of precedence: kind first, then length.
    pub(crate) fn rank(&self) -> (u8, usize) {
        match self {
            PathMatch::Exact(text) => (2, text.len()),
            PathMatch::Regex(pattern) => (1, pattern.as_str().len()),
            PathMatch::Elements(text) | PathMatch::Text(text) => (0, text.len()),
        }
    }
}

/// How a value is matched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TextMatch {
    /// The whole value.
    Exact(String),
    /// Its beginning.
    Prefix(String),
    /// A regular expression over the whole value.
    Regex(Pattern),
    /// It is there, whatever it is.
    Present,
}

impl TextMatch {
    fn is_match(&self, value: &str) -> bool {
        match self {
            TextMatch::Exact(wanted) => value == wanted,
            TextMatch::Prefix(prefix) => value.starts_with(prefix.as_str()),
            TextMatch::Regex(pattern) => pattern.is_match(value),
            TextMatch::Present => true,
        }
    }
}

/// A header or query parameter and how its value is matched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NameMatch {
    /// Its name; headers in lower case.
    pub name: String,
    /// What its value has to be.
    pub value: TextMatch,
}

/// All that has to hold of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// Its path.
    pub path: PathMatch,
    /// Its method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<TextMatch>,
    /// Its headers, each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<NameMatch>,
    /// Its query parameters, each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<NameMatch>,
}

/// What of a request is looked at.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Host in lower case, without port.
    pub host: &'a str,
    /// Path as it was sent.
    pub path: &'a str,
    /// What stands behind `?`.
    pub query: Option<&'a str>,
    /// Method.
    pub method: &'a str,
    /// Returns the first value of a header, given its name in lower case.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
}

impl Match {
    /// Returns whether all of it holds of `request`.
    pub fn is_match(&self, request: &Request<'_>) -> bool {
        self.path.is_match(request.path)
            && self.method.as_ref().is_none_or(|method| method.is_match(request.method))
            && self
                .headers
                .iter()
                .all(|wanted| (request.header)(&wanted.name).is_some_and(|value| wanted.value.is_match(value)))
            && self.query.iter().all(|wanted| {
                parameter(request.query.unwrap_or_default(), &wanted.name)
                    .is_some_and(|value| wanted.value.is_match(&value))
            })
    }
}

/// Returns the first value of a query parameter, decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key) == name).then(|| decoded(value))
    })
}

/// Decodes `%xx` and `+`; what is not a valid escape stays as it is.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |offset: usize| bytes.get(at + offset).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[at], hex(1), hex(2)) {
            (b'+', ..) => out.push(b' '),
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_counts_elements_in_gateway_api_and_characters_in_istio() {
        for (prefix, path, elements, text) in [
            ("/", "/", true, true),
            ("/", "/a", true, true),
            ("/a", "/a", true, true),
            ("/a", "/a/", true, true),
            ("/a", "/a/b", true, true),
            ("/a", "/ab", false, true),
            ("/a/", "/a", true, false),
            ("/a/", "/a/b", true, true),
            ("/a", "/b", false, false),
        ] {
            assert_eq!(PathMatch::Elements(prefix.into()).is_match(path), elements, "{prefix} {path}");
            assert_eq!(PathMatch::Text(prefix.into()).is_match(path), text, "{prefix} {path}");
        }
    }

    #[test]
    fn an_expression_matches_the_whole_path() {
        let path = PathMatch::Regex(Pattern::new("/a|/b[0-9]+").unwrap());
        assert!(path.is_match("/a") && path.is_match("/b12"));
        assert!(!path.is_match("/a/x") && !path.is_match("/b"));
    }

    #[test]
    fn all_of_a_match_has_to_hold() {
        let wanted = Match {
            path: PathMatch::Elements("/".into()),
            method: Some(TextMatch::Exact("GET".into())),
            headers: vec![NameMatch { name: "x-env".into(), value: TextMatch::Exact("canary".into()) }],
            query: vec![NameMatch { name: "a b".into(), value: TextMatch::Exact("1&2".into()) }],
        };
        let asked = |method, header: Option<&'static str>, query| {
            wanted.is_match(&Request {
                host: "h",
                path: "/",
                query,
                method,
                header: &|name| header.filter(|_| name == "x-env"),
            })
        };
        assert!(asked("GET", Some("canary"), Some("z=0&a+b=1%262")));
        assert!(!asked("POST", Some("canary"), Some("a+b=1%262")));
        assert!(!asked("GET", None, Some("a+b=1%262")));
        assert!(!asked("GET", Some("canary"), Some("a+b=1")));
        assert!(!asked("GET", Some("canary"), None));
    }
}
