//! JSONPath as kubectl and printer columns write it (not RFC 9535): `.spec.a`,
//! `['a']`, `[0]`, `[*]`, `[?(@.type=="Ready")]`, `\.` in a name.

use serde_json::Value;

/// A step of a path.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    Filter { path: Vec<Step>, equal: bool, value: String },
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct Path(Vec<Step>);

/// Why a path cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSONPath {path:?}: {reason}")]
pub struct Error {
    /// The path.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

impl Path {
    /// Reads a path; the enclosing `{}` and a leading `$` may be left out.
    pub fn parse(text: &str) -> Result<Path, Error> {
        let inner = text.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
        steps(inner).map(Path).map_err(|reason| Error { path: text.to_owned(), reason })
    }

    /// Returns every value that the path leads to.
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        follow(&self.0, value)
    }
}

fn follow<'a>(path: &[Step], value: &'a Value) -> Vec<&'a Value> {
    path.iter().fold(vec![value], |places, step| {
        places
            .into_iter()
            .flat_map(|place| match step {
                Step::Field(name) => place.get(name).into_iter().collect::<Vec<_>>(),
                Step::Index(index) => {
                    let list = place.as_array().map_or(&[][..], Vec::as_slice);
                    let at = if *index < 0 { list.len() as i64 + index } else { *index };
                    usize::try_from(at).ok().and_then(|at| list.get(at)).into_iter().collect()
                }
                Step::All => match place {
                    Value::Array(list) => list.iter().collect(),
                    Value::Object(map) => map.values().collect(),
                    _ => Vec::new(),
                },
                Step::Filter { path, equal, value } => place
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|item| {
                        let found = follow(path, item);
                        found.iter().any(|found| (text(found) == *value) == *equal)
                    })
                    .collect(),
            })
            .collect()
    })
}

/// Returns a value as columns and `jsonpath=` output print it.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn steps(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let end = closing(after).ok_or("a '[' is not closed")?;
            steps.push(bracket(after[..end].trim())?);
            rest = &after[end + 1..];
        } else {
            let after = rest.strip_prefix('.').unwrap_or(rest);
            if after.starts_with('.') {
                return Err("recursive descent is not supported".into());
            }
            let mut name = String::new();
            let mut end = after.len();
            let mut escaped = false;
            for (at, c) in after.char_indices() {
                if escaped {
                    name.push(c);
                    escaped = false;
                } else if c == '\\' {
                    escaped = true;
                } else if c == '.' || c == '[' {
                    end = at;
                    break;
                } else {
                    name.push(c);
                }
            }
            if name == "*" {
                steps.push(Step::All);
            } else if !name.is_empty() {
                steps.push(Step::Field(name));
            } else if end == 0 && after == rest {
                return Err("a name is missing".into());
            }
            rest = &after[end..];
        }
    }
    Ok(steps)
}

fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_u32, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(inner: &str) -> Result<Step, String> {
    if inner == "*" {
        return Ok(Step::All);
    }
    if let Some(filter) = inner.strip_prefix("?(").and_then(|filter| filter.strip_suffix(')')) {
        let (path, equal, value) = if let Some((path, value)) = filter.split_once("==") {
            (path, true, value)
        } else if let Some((path, value)) = filter.split_once("!=") {
            (path, false, value)
        } else {
            return Err(format!("the filter {filter:?} needs == or !="));
        };
        let path = path.trim().strip_prefix('@').ok_or("a filter begins with @")?;
        return Ok(Step::Filter {
            path: steps(path)?,
            equal,
            value: value.trim().trim_matches(['"', '\'']).to_owned(),
        });
    }
    if let Ok(index) = inner.parse() {
        return Ok(Step::Index(index));
    }
    for quote in ['\'', '"'] {
        if let Some(name) = inner.strip_prefix(quote).and_then(|name| name.strip_suffix(quote)) {
            return Ok(Step::Field(name.replace("\\.", ".")));
        }
    }
    Err(format!("{inner:?} is neither an index, a name in quotes nor a filter"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_where_kubectl_leads() {
        let value = json!({"spec": {"a.b": 1, "list": [{"type": "x", "v": 1}, {"type": "Ready", "v": 2}]}});
        let find = |path: &str| Path::parse(path).unwrap().find(&value).into_iter().map(text).collect::<Vec<_>>();
        assert_eq!(find(".spec.list[0].v"), ["1"]);
        assert_eq!(find("{.spec.list[-1].v}"), ["2"]);
        assert_eq!(find(".spec.list[*].v"), ["1", "2"]);
        assert_eq!(find(".spec.list[?(@.type==\"Ready\")].v"), ["2"]);
        assert_eq!(find(".spec.list[?(@.type!='Ready')].v"), ["1"]);
        assert_eq!(find(".spec.a\\.b"), ["1"]);
        assert_eq!(find(".spec['a.b']"), ["1"]);
        assert!(find(".none.at.all").is_empty());
        for bad in [".a[", ".a[b]", ".a[?(@.x)]", "..a"] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }
}
