//! The patches of the Kubernetes API: JSON patch (RFC 6902), merge patch (RFC 7386)
//! and strategic merge patch. Server-side apply is in [`crate::apply`].

mod operations;

use serde_json::{Map, Value};

use crate::model::Node;

/// Most operations that one JSON patch may have (kube-apiserver's limit).
pub const MAX_OPERATIONS: usize = 10_000;

/// Most bytes that the copies of one JSON patch may add up to (kube-apiserver's limit).
pub const MAX_COPIED: usize = 3 << 20;

/// Why a patch cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The patch is not of its kind's form; the sentence is kube-apiserver's.
    #[error("{0}")]
    Malformed(String),
    /// A strategic patch says what cannot be done with the object; the sentence is kube-apiserver's.
    #[error("{0}")]
    Senseless(String),
    /// It has more operations than are allowed.
    #[error("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {0}")]
    TooMany(usize),
    /// A JSON patch's operation does not fit the object, or its test fails.
    #[error("the server rejected our request due to an error in our request")]
    Operation {
        /// What does not fit.
        why: &'static str,
    },
    /// Its copies would make the object grow without end.
    #[error("the accumulated size increase of copy is {copied}, exceeding the limit {MAX_COPIED}")]
    CopiesTooMuch {
        /// Bytes copied up to the operation that was one too many.
        copied: usize,
    },
}

impl Error {
    /// Returns whether a test of a JSON patch did not hold.
    #[must_use]
    pub fn is_test(&self) -> bool {
        matches!(self, Error::Operation { why } if *why == operations::TEST)
    }
}

/// Returns a value's type as Go's reader of JSON names it.
pub fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Applies a JSON patch (RFC 6902).
pub fn json(object: &Value, patch: &Value) -> Result<Value, Error> {
    if patch.is_null() {
        return Ok(object.clone());
    }
    let Value::Array(operations) = patch else {
        let found = type_of(patch);
        let why = format!(
            "error decoding patch: json: cannot unmarshal {found} into Go value of type []handlers.jsonPatchOp"
        );
        return Err(Error::Malformed(why));
    };
    if let Some(odd) = operations.iter().find(|operation| !operation.is_object()) {
        let found = type_of(odd);
        let why =
            format!("error decoding patch: json: cannot unmarshal {found} into Go value of type handlers.jsonPatchOp");
        return Err(Error::Malformed(why));
    }
    if operations.len() > MAX_OPERATIONS {
        return Err(Error::TooMany(operations.len()));
    }
    let mut object = object.clone();
    operations::apply(&mut object, operations)?;
    Ok(object)
}

/// Applies a merge patch (RFC 7386).
pub fn merge(object: &Value, patch: &Value) -> Result<Value, Error> {
    match patch {
        Value::Object(_) => Ok(merged(object.clone(), patch)),
        Value::Null => Err(Error::Malformed("Invalid JSON Patch".into())),
        other => Err(Error::Malformed(format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            type_of(other)
        ))),
    }
}

fn merged(object: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut map = if let Value::Object(map) = object { map } else { Map::new() };
    for (name, value) in patch {
        if value.is_null() {
            map.remove(name);
        } else {
            let before = map.remove(name).unwrap_or_default();
            map.insert(name.clone(), merged(before, value));
        }
    }
    Value::Object(map)
}

/// Applies a strategic merge patch to an object of the type `node`.
pub fn strategic(object: &Value, patch: &Value, node: &Node) -> Result<Value, Error> {
    if patch.is_null() {
        return Ok(object.clone());
    }
    let Value::Object(patch) = patch else {
        let found = type_of(patch);
        return Err(Error::Malformed(format!(
            "json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
        )));
    };
    let Value::Object(object) = object else {
        return Err(Error::Malformed("the object is not an object".into()));
    };
    Ok(Value::Object(merge_maps(object.clone(), patch, Some(node))?))
}

fn merge_maps(
    mut object: Map<String, Value>,
    patch: &Map<String, Value>,
    node: Option<&Node>,
) -> Result<Map<String, Value>, Error> {
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => return Ok(without_directives(patch)),
        Some("delete") => return Ok(Map::new()),
        Some("merge") | None => {}
        Some(other) => {
            let shown = go(&Value::Object(patch.clone()));
            return Err(Error::Senseless(format!("unknown patch type: {other} in map: {shown}")));
        }
    }
    if let Some(keep) = patch.get("$retainKeys").and_then(Value::as_array) {
        object.retain(|name, _| keep.iter().any(|kept| kept.as_str() == Some(name)));
    }
    for (name, value) in patch {
        if let Some(field) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = value.as_array().cloned().unwrap_or_default();
            if let Some(Value::Array(list)) = object.get_mut(field) {
                list.retain(|item| !gone.contains(item));
            }
        }
    }
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        let field = node.and_then(|node| node.field(name));
        match value {
            Value::Null => {
                object.remove(name);
            }
            Value::Object(inner) => {
                let before = match object.remove(name) {
                    Some(Value::Object(before)) => before,
                    _ => Map::new(),
                };
                let deleted = inner.get("$patch").and_then(Value::as_str) == Some("delete");
                let merged = merge_maps(before, inner, field)?;
                if !deleted {
                    object.insert(name.clone(), Value::Object(merged));
                }
            }
            Value::Array(list) => {
                let before = match object.remove(name) {
                    Some(Value::Array(before)) => before,
                    _ => Vec::new(),
                };
                object.insert(name.clone(), Value::Array(merge_lists(before, list, field)?));
            }
            other => {
                object.insert(name.clone(), other.clone());
            }
        }
    }
    for (name, order) in patch {
        if let Some(field) = name.strip_prefix("$setElementOrder/")
            && let Some(Value::Array(list)) = object.get_mut(field)
        {
            let key = node.and_then(|node| node.field(field)).and_then(|field| field.merge_key.clone());
            let given = patch.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            fits_order(given, order.as_array().map_or(&[][..], Vec::as_slice), key.as_deref())?;
            reorder(list, order.as_array().map_or(&[][..], Vec::as_slice), key.as_deref());
        }
    }
    Ok(object)
}

/// Writes a value as Go prints one: `map[a:1 b:[x y]]`.
pub fn go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut names: Vec<&String> = map.keys().collect();
            names.sort();
            let each = names.into_iter().map(|name| format!("{name}:{}", go(&map[name])));
            format!("map[{}]", each.collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}

fn merge_lists(mut before: Vec<Value>, patch: &[Value], node: Option<&Node>) -> Result<Vec<Value>, Error> {
    let replaces = |item: &Value| item.get("$patch").and_then(Value::as_str) == Some("replace");
    if node.is_none_or(|node| !node.merge_list) || patch.iter().any(replaces) {
        return Ok(patch
            .iter()
            .filter(|item| !replaces(item))
            .map(|item| item.as_object().map_or_else(|| item.clone(), |map| Value::Object(without_directives(map))))
            .collect());
    }
    let server = before.clone();
    let Some(key) = node.and_then(|node| node.merge_key.as_deref()) else {
        for item in patch {
            if !before.contains(item) {
                before.push(item.clone());
            }
        }
        return Ok(in_order(before, &server, patch, Clone::clone));
    };
    let items = node.and_then(Node::items);
    for item in patch {
        let Value::Object(map) = item else {
            let found = go(item);
            return Err(Error::Senseless(format!("expected a map in a list that is merged by {key:?}, got {found}")));
        };
        let Some(id) = map.get(key) else {
            let shown = go(item);
            return Err(Error::Senseless(format!("map: {shown} does not contain declared merge key: {key}")));
        };
        let at = before.iter().position(|other| other.get(key) == Some(id));
        if map.get("$patch").and_then(Value::as_str) == Some("delete") {
            before.retain(|other| other.get(key) != Some(id));
            continue;
        }
        match at {
            Some(at) => {
                let old = before[at].as_object().cloned().unwrap_or_default();
                before[at] = Value::Object(merge_maps(old, map, items)?);
            }
            None => before.push(Value::Object(merge_maps(Map::new(), map, items)?)),
        }
    }
    Ok(in_order(before, &server, patch, |item| item[key].clone()))
}

/// Orders a merged list as Kubernetes does: what the patch names in the patch's order, the rest in that of the server;
/// where both knew two items, the server's order holds between them, and what is new to it comes first.
fn in_order(merged: Vec<Value>, server: &[Value], patch: &[Value], id: impl Fn(&Value) -> Value) -> Vec<Value> {
    let place = |list: &[Value], wanted: &Value| list.iter().position(|item| id(item) == id(wanted));
    let (mut named, rest): (Vec<Value>, Vec<Value>) = merged.into_iter().partition(|item| place(patch, item).is_some());
    named.sort_by_key(|item| place(patch, item));
    let mut named = named.into_iter().peekable();
    let mut all = Vec::with_capacity(rest.len() + named.len());
    for item in rest {
        let own = place(server, &item);
        while let Some(next) = named.next_if(|next| place(server, next).is_none_or(|at| own.is_none_or(|own| own > at)))
        {
            all.push(next);
        }
        all.push(item);
    }
    all.extend(named);
    all
}

/// Checks that an order names what its patch puts there, and in that order.
fn fits_order(given: &[Value], order: &[Value], key: Option<&str>) -> Result<(), Error> {
    let id = |item: &Value| key.map_or_else(|| item.clone(), |key| item.get(key).cloned().unwrap_or(Value::Null));
    let mut rest = order.iter();
    let kept = given.iter().filter(|item| item.get("$patch").is_none());
    for item in kept {
        if !rest.any(|wanted| id(wanted) == id(item)) {
            let (given, order) = (go(&Value::Array(given.to_vec())), go(&Value::Array(order.to_vec())));
            return Err(Error::Senseless(format!(
                "The order in patch list:\n{given}\n doesn't match $setElementOrder list:\n{order}\n"
            )));
        }
    }
    Ok(())
}

/// Sorts `list` as `order` says; items that it does not name stay behind the one they followed.
fn reorder(list: &mut Vec<Value>, order: &[Value], key: Option<&str>) {
    let id = |item: &Value| key.map_or_else(|| item.clone(), |key| item.get(key).cloned().unwrap_or(Value::Null));
    let rank = |item: &Value| order.iter().position(|wanted| id(wanted) == id(item));
    let mut last = 0;
    let mut ranked: Vec<(usize, usize, Value)> = std::mem::take(list)
        .into_iter()
        .enumerate()
        .map(|(at, item)| {
            if let Some(found) = rank(&item) {
                last = found;
                (found, 0, item)
            } else {
                (last, at + 1, item)
            }
        })
        .collect();
    ranked.sort_by_key(|(rank, at, _)| (*rank, *at));
    *list = ranked.into_iter().map(|(_, _, item)| item).collect();
}

fn without_directives(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter().filter(|(name, _)| !name.starts_with('$')).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::builtin;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "tables read better without ampersands")]
    fn check(object: Value, patch: Value, expected: &Value) {
        let node = builtin("io.k8s.api.core.v1.Pod").unwrap();
        assert_eq!(&strategic(&object, &patch, node).unwrap(), expected);
    }

    #[test]
    fn lists_with_a_merge_key_are_merged_item_by_item() {
        check(
            json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}}),
            json!({"spec": {"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}}),
            &json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}}),
        );
    }

    #[test]
    fn a_json_patch_that_fails_halfway_or_grows_without_end_is_an_error() {
        let object = json!({"a": {"b": 1}});
        let inside = json!([{"op": "replace", "path": "/a", "value": {"a": [1]}}, {"op": "move", "from": "/a", "path": "/a/a/1"}]);
        assert!(matches!(json(&object, &inside), Err(Error::Operation { .. })));
        let double = |at: u32| json!({"op": "copy", "from": "/a", "path": format!("/a/x{at}")});
        let bomb: Vec<Value> = (0..64).map(double).collect();
        assert!(matches!(json(&object, &bomb.into()), Err(Error::CopiesTooMuch { .. })));
    }

    #[test]
    fn directives_delete_replace_and_order() {
        check(
            json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}),
            json!({"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}),
            &json!({"spec": {"containers": [{"name": "b"}]}}),
        );
        check(
            json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}),
            json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "c"}]}}),
            &json!({"spec": {"containers": [{"name": "c"}]}}),
        );
        check(
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}),
            &json!({"metadata": {"finalizers": ["c", "b"]}}),
        );
        check(
            json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}),
            json!({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}], "containers": [{"name": "c"}]}}),
            &json!({"spec": {"containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}]}}),
        );
        check(
            json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
            json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}}]}}),
            &json!({"spec": {"volumes": [{"name": "v", "configMap": {"name": "c"}}]}}),
        );
    }

    #[test]
    fn atomic_lists_are_replaced_and_null_removes() {
        check(
            json!({"spec": {"containers": [{"name": "a", "args": ["1", "2"]}], "nodeName": "n"}}),
            json!({"spec": {"containers": [{"name": "a", "args": ["3"]}], "nodeName": null}}),
            &json!({"spec": {"containers": [{"name": "a", "args": ["3"]}]}}),
        );
    }

    #[test]
    fn a_patch_without_the_merge_key_is_refused() {
        let node = builtin("io.k8s.api.core.v1.Pod").unwrap();
        assert!(strategic(&json!({}), &json!({"spec": {"containers": [{"image": "x"}]}}), node).is_err());
    }
}
