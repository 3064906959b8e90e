//! JSON patches (RFC 6902) as `evanphx/json-patch` v4 applies them.

use serde_json::{Map, Value};

use crate::fail::{Fail, Step};

/// Reads operations: JSON, or YAML of it.
pub(crate) fn read(text: &str) -> Step<Vec<Value>> {
    if text.is_empty() {
        return Err(Fail::said("empty json patch operations"));
    }
    let json: Value = if text.starts_with('[') {
        // Flow lists of YAML start alike, but kustomize takes JSON alone.
        serde_json::from_str(text).map_err(|error| Fail::said(error.to_string()))?
    } else {
        crate::decode::read(text)?.map_or(Value::Null, |node| crate::decode::json(&node))
    };
    match json {
        Value::Array(items) if items.iter().all(|item| item.is_object() || item.is_null()) => Ok(items),
        Value::Null => Ok(Vec::new()),
        other => {
            let what = match other {
                Value::Object(_) => "object",
                Value::String(_) => "string",
                Value::Number(_) => "number",
                Value::Bool(_) => "bool",
                _ => "array",
            };
            Err(Fail::said(format!("json: cannot unmarshal {what} into Go value of type jsonpatch.Patch")))
        }
    }
}

/// Applies operations one after the other.
pub(crate) fn apply(document: &mut Value, operations: &[Value]) -> Step<()> {
    for operation in operations {
        let text = |field: &str| operation.get(field).and_then(Value::as_str);
        match text("op").unwrap_or("unknown") {
            "add" => add(document, &pointer(operation)?, operation.get("value").cloned().unwrap_or(Value::Null))?,
            "remove" => remove(document, &pointer(operation)?)?,
            "replace" => {
                replace(document, &pointer(operation)?, operation.get("value").cloned().unwrap_or(Value::Null))?;
            }
            "move" => {
                let from = from(operation)?;
                let value = get(document, &from).map_err(|fail| fail.under("error in move for path"))?.clone();
                remove(document, &from)?;
                add(document, &pointer(operation)?, value)?;
            }
            "copy" => {
                let from = from(operation)?;
                let value = get(document, &from)?.clone();
                add(document, &pointer(operation)?, value)?;
            }
            "test" => test(document, &pointer(operation)?, operation.get("value"))?,
            other => return Err(Fail::build(format!("Unexpected kind: {other}"))),
        }
    }
    Ok(())
}

fn pointer(operation: &Value) -> Step<String> {
    let path = operation.get("path").and_then(Value::as_str);
    path.map(str::to_owned).ok_or_else(|| Fail::build("operation missing path field: missing value"))
}

fn from(operation: &Value) -> Step<String> {
    let from = operation.get("from").and_then(Value::as_str);
    from.map(str::to_owned).ok_or_else(|| Fail::build("operation, missing from field: missing value"))
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// Returns what a path's last part stands in, and that part.
fn parent<'a>(document: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let mut parts = path.split('/');
    parts.next()?;
    let parts: Vec<String> = parts.map(unescape).collect();
    let (last, before) = parts.split_last()?;
    let mut here = document;
    for part in before {
        here = match here {
            Value::Object(map) => map.get_mut(part)?,
            Value::Array(items) => {
                let at = position(part, items.len())?;
                items.get_mut(at)?
            }
            _ => return None,
        };
    }
    (here.is_object() || here.is_array()).then(|| (here, last.clone()))
}

fn position(part: &str, len: usize) -> Option<usize> {
    let at: i64 = part.parse().ok()?;
    if at < 0 { usize::try_from(at + len as i64).ok() } else { usize::try_from(at).ok() }
}

fn missing(what: &str, path: &str) -> Fail {
    Fail::build(format!("{what} operation does not apply: doc is missing path: {path:?}: missing value"))
}

fn add(document: &mut Value, path: &str, value: Value) -> Step<()> {
    let Some((place, key)) = parent(document, path) else { return Err(missing("add", path)) };
    match place {
        Value::Object(map) => {
            map.insert(key, value);
        }
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let wrong = |text: String| Fail::build(format!("error in add for path: '{path}': {text}"));
            let at: i64 = key.parse().map_err(|_| {
                wrong(format!(
                    "value was not a proper array index: '{key}': strconv.Atoi: parsing {key:?}: invalid syntax"
                ))
            })?;
            let len = items.len() as i64;
            if at > len || at < -len - 1 {
                return Err(wrong(format!("Unable to access invalid index: {at}: invalid index referenced")));
            }
            let at = if at < 0 { at + len + 1 } else { at };
            items.insert(usize::try_from(at).unwrap_or(0).min(items.len()), value);
        }
        _ => {}
    }
    Ok(())
}

fn remove(document: &mut Value, path: &str) -> Step<()> {
    let Some((place, key)) = parent(document, path) else { return Err(missing("remove", path)) };
    match place {
        Value::Object(map) => {
            map.remove(&key).ok_or_else(|| {
                Fail::build(format!(
                    "error in remove for path: '{path}': Unable to remove nonexistent key: {key}: missing value"
                ))
            })?;
        }
        Value::Array(items) => {
            let Some(at) = position(&key, items.len()).filter(|at| *at < items.len()) else {
                return Err(Fail::build(format!(
                    "error in remove for path: '{path}': Unable to access invalid index: {key}: invalid index referenced"
                )));
            };
            items.remove(at);
        }
        _ => {}
    }
    Ok(())
}

fn replace(document: &mut Value, path: &str, value: Value) -> Step<()> {
    if path.is_empty() {
        *document = value;
        return Ok(());
    }
    let absent = || Fail::build(format!("replace operation does not apply: doc is missing key: {path}: missing value"));
    let Some((place, key)) = parent(document, path) else {
        return Err(Fail::build(format!(
            "replace operation does not apply: doc is missing path: {path}: missing value"
        )));
    };
    match place {
        // A field need not be there to be replaced.
        Value::Object(map) => {
            map.insert(key, value);
        }
        Value::Array(items) => {
            let at = position(&key, items.len());
            match at.and_then(|at| items.get_mut(at)) {
                Some(place) => *place = value,
                None => return Err(absent()),
            }
        }
        _ => {}
    }
    Ok(())
}

fn get<'a>(document: &'a Value, path: &str) -> Step<&'a Value> {
    if path.is_empty() {
        return Ok(document);
    }
    let absent = || Fail::build(format!("doc is missing path: {path}: missing value"));
    let mut here = document;
    for part in path.split('/').skip(1).map(unescape) {
        here = match here {
            Value::Object(map) => map.get(&part),
            Value::Array(items) => position(&part, items.len()).and_then(|at| items.get(at)),
            _ => None,
        }
        .ok_or_else(absent)?;
    }
    Ok(here)
}

fn test(document: &mut Value, path: &str, wanted: Option<&Value>) -> Step<()> {
    let wanted = wanted.unwrap_or(&Value::Null);
    let found = if path.is_empty() {
        &*document
    } else {
        let Some((place, key)) = parent(document, path) else {
            return Err(Fail::build(format!("test operation does not apply: is missing path: {path}: missing value")));
        };
        match place {
            Value::Object(map) => map.get(&key).unwrap_or(&Value::Null),
            Value::Array(items) => position(&key, items.len()).and_then(|at| items.get(at)).ok_or_else(|| {
                Fail::build(format!(
                    "error in test for path: '{path}': Unable to access invalid index: {key}: invalid index referenced"
                ))
            })?,
            _ => &Value::Null,
        }
    };
    if same(found, wanted) {
        return Ok(());
    }
    Err(Fail::build(format!("testing value {path} failed: test failed")))
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => same_maps(a, b),
        (a, b) => a == b,
    }
}

fn same_maps(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
}
