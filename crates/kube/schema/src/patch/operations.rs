//! The operations of a JSON patch (RFC 6902), with what kube-apiserver takes beyond it: an
//! index below zero counts from the end, and `replace` puts a field where none was.

use serde_json::Value;

use super::{Error, MAX_COPIED};

/// Why an operation does not fit the object.
type Misfit = &'static str;

/// A test does not hold.
pub(super) const TEST: Misfit = "its test fails";
const MISSING: Misfit = "there is nothing at its path";

/// Applies operations one after the other; none of them is undone when a later one fails.
pub(super) fn apply(object: &mut Value, operations: &[Value]) -> Result<(), Error> {
    let mut copied = 0;
    for operation in operations {
        if operation["op"] == "copy" {
            let source = operation["from"].as_str().and_then(|from| find(object, from));
            copied += source.map_or(0, |value| value.to_string().len());
            if copied > MAX_COPIED {
                return Err(Error::CopiesTooMuch { copied });
            }
        }
        one(object, operation).map_err(|why| Error::Operation { why })?;
    }
    Ok(())
}

fn one(object: &mut Value, operation: &Value) -> Result<(), Misfit> {
    let text = |name: &str| operation[name].as_str().ok_or("it lacks a field");
    let (op, path) = (text("op")?, text("path")?);
    let value = operation.get("value").cloned().unwrap_or_default();
    match op {
        "add" => add(object, path, value),
        "remove" => remove(object, path).map(drop),
        "replace" => replace(object, path, value),
        "test" => (find(object, path).unwrap_or(&Value::Null) == &value).then_some(()).ok_or(TEST),
        "move" => {
            let value = remove(object, text("from")?)?;
            add(object, path, value)
        }
        "copy" => {
            let value = find(object, text("from")?).ok_or(MISSING)?.clone();
            add(object, path, value)
        }
        _ => Err("no such operation is known"),
    }
}

fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// Returns where an item of a list of this length is.
fn index(step: &str, length: usize) -> Option<usize> {
    let at: i64 = step.parse().ok()?;
    let at = if at < 0 { at.checked_add(i64::try_from(length).ok()?)? } else { at };
    usize::try_from(at).ok().filter(|at| *at < length)
}

fn find<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(object);
    }
    path.strip_prefix('/')?.split('/').try_fold(object, |place, step| match place {
        Value::Object(map) => map.get(&unescaped(step)),
        Value::Array(list) => index(step, list.len()).map(|at| &list[at]),
        _ => None,
    })
}

/// Returns what holds the place at `path`, and the last step to it.
fn holder<'a>(object: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), Misfit> {
    let (parents, last) =
        path.strip_prefix('/').map(|path| path.rsplit_once('/').unwrap_or(("", path))).ok_or(MISSING)?;
    let steps = parents.split('/').filter(|_| !parents.is_empty());
    let place = steps.into_iter().try_fold(object, |place, step| match place {
        Value::Object(map) => map.get_mut(&unescaped(step)),
        Value::Array(list) => index(step, list.len()).and_then(|at| list.get_mut(at)),
        _ => None,
    });
    Ok((place.ok_or(MISSING)?, unescaped(last)))
}

fn add(object: &mut Value, path: &str, value: Value) -> Result<(), Misfit> {
    let (place, last) = holder(object, path)?;
    match place {
        Value::Object(map) => drop(map.insert(last, value)),
        Value::Array(list) if last == "-" => list.push(value),
        // A place behind the last item is one too.
        Value::Array(list) => list.insert(index(&last, list.len() + 1).ok_or(MISSING)?, value),
        _ => return Err(MISSING),
    }
    Ok(())
}

fn remove(object: &mut Value, path: &str) -> Result<Value, Misfit> {
    let (place, last) = holder(object, path)?;
    match place {
        Value::Object(map) => map.remove(&last).ok_or(MISSING),
        Value::Array(list) => index(&last, list.len()).map(|at| list.remove(at)).ok_or(MISSING),
        _ => Err(MISSING),
    }
}

fn replace(object: &mut Value, path: &str, value: Value) -> Result<(), Misfit> {
    if path.is_empty() {
        if !value.is_object() {
            return Err("an object is replaced by an object alone");
        }
        *object = value;
        return Ok(());
    }
    let (place, last) = holder(object, path)?;
    match place {
        Value::Object(map) => drop(map.insert(last, value)),
        Value::Array(list) => {
            let at = index(&last, list.len()).ok_or(MISSING)?;
            list[at] = value;
        }
        _ => return Err(MISSING),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "tables read better without ampersands")]
    fn check(patch: Value, expected: Option<Value>) {
        let mut object = json!({"a": {"x/y": 1}, "l": [1, 2, 3]});
        let done = apply(&mut object, patch.as_array().unwrap());
        assert_eq!(done.is_ok().then_some(object), expected, "{patch}");
    }

    #[test]
    fn operations_do_what_kubernetes_lets_them_do() {
        let with = |list: Value| Some(json!({"a": {"x/y": 1}, "l": list}));
        check(json!([{"op": "add", "path": "/l/-", "value": 4}]), with(json!([1, 2, 3, 4])));
        check(json!([{"op": "add", "path": "/l/3", "value": 4}]), with(json!([1, 2, 3, 4])));
        check(json!([{"op": "add", "path": "/l/-1", "value": 4}]), with(json!([1, 2, 3, 4])));
        check(json!([{"op": "add", "path": "/l/9", "value": 4}]), None);
        check(json!([{"op": "remove", "path": "/l/-1"}]), with(json!([1, 2])));
        check(json!([{"op": "move", "from": "/l/0", "path": "/l/1"}]), with(json!([2, 1, 3])));
        check(
            json!([{"op": "copy", "from": "/l/0", "path": "/a/x~1y"}, {"op": "test", "path": "/a/x~1y", "value": 1}]),
            with(json!([1, 2, 3])),
        );
        check(json!([{"op": "test", "path": "/l/0", "value": 2}]), None);
        check(json!([{"op": "test", "path": "/none", "value": null}]), with(json!([1, 2, 3])));
        check(json!([{"op": "replace", "path": "/a", "value": {"x/y": 1}}]), with(json!([1, 2, 3])));
        check(
            json!([{"op": "replace", "path": "/b", "value": 1}, {"op": "remove", "path": "/b"}]),
            with(json!([1, 2, 3])),
        );
        check(json!([{"op": "replace", "path": "", "value": {}}]), Some(json!({})));
        for wrong in [
            json!({}),
            json!({"op": "sing", "path": "/a"}),
            json!({"op": "add", "path": "a", "value": 1}),
            json!({"op": "add", "path": "/a/b/c", "value": 1}),
            json!({"op": "remove", "path": "/none"}),
        ] {
            check(json!([wrong]), None);
        }
    }
}
