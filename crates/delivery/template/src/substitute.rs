//! Values in place of `${NAME}` and `${{NAME}}`.

use std::{borrow::Cow, collections::BTreeMap, sync::LazyLock};

use regex::{Captures, Regex};
use serde_json::{Map, Value as Json};

use crate::{Error, LARGEST};

static TEXT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\$\{([a-zA-Z0-9_]+?)\}").ok());
static WHOLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\$\{\{([a-zA-Z0-9_]+)\}\}$").ok());

/// Puts values into a text; names that nobody declared stay as they are.
pub(crate) fn text(text: &str, values: &BTreeMap<String, String>) -> String {
    let Some(pattern) = TEXT.as_ref() else { return text.to_owned() };
    let value = |found: &Captures<'_>| values.get(&found[1]).cloned().unwrap_or_else(|| found[0].to_owned());
    match pattern.replace_all(text, value) {
        Cow::Borrowed(same) => same.to_owned(),
        Cow::Owned(text) => text,
    }
}

/// Puts values into every key and text of an object.
pub(crate) fn walk(
    value: &Json,
    values: &BTreeMap<String, String>,
    place: &str,
    size: &mut usize,
) -> Result<Json, Error> {
    let fail = |reason: String| Err(Error::Substitute { place: place.to_owned(), reason });
    *size += 1;
    Ok(match value {
        Json::String(given) => {
            if let Some(name) = WHOLE.as_ref().and_then(|whole| whole.captures(given))
                && let Some(value) = values.get(&name[1])
            {
                // What reads as JSON is that; other text stays text.
                return Ok(serde_json::from_str(value).unwrap_or_else(|_text| Json::String(value.clone())));
            }
            let filled = text(given, values);
            *size += filled.len();
            if *size > LARGEST {
                return fail(format!("the template becomes larger than {LARGEST} bytes"));
            }
            Json::String(filled)
        }
        Json::Array(items) => {
            let mut filled = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                filled.push(walk(item, values, &format!("{place}[{index}]"), size)?);
            }
            Json::Array(filled)
        }
        Json::Object(entries) => {
            let mut filled = Map::new();
            for (key, value) in entries {
                let name = text(key, values);
                if filled.contains_key(&name) {
                    return fail(format!("its key {key:?} becomes {name:?}, which is there already"));
                }
                filled.insert(name, walk(value, values, &format!("{place}.{key}"), size)?);
            }
            Json::Object(filled)
        }
        other => other.clone(),
    })
}
