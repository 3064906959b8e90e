//! What an object becomes: three-way merge of the last manifest, the new one and what is live.
//!
//! Fields that the last manifest set and the new one does not go; what others added (a sidecar, a default, a replica
//! count that an autoscaler set where the chart sets none) stays. Lists are merged as strategic merge patch says for
//! built-in kinds; of custom kinds, only what changed between the two manifests is changed, as Helm does it.

use schema::model::{self, Node};
use serde_json::{Map, Value};

/// Returns what the live object should become; `before` is the object of the last manifest.
pub fn desired(before: Option<&Value>, wanted: &Value, live: &Value) -> Value {
    let text = |key: &str| wanted[key].as_str().unwrap_or_default();
    let node = model::of_kind(text("apiVersion"), text("kind"));
    let (Value::Object(wanted_map), Value::Object(live_map)) = (wanted, live) else { return wanted.clone() };
    if node.is_none()
        && let Some(before) = before
    {
        let Some(changes) = patch(before, wanted) else { return live.clone() };
        return schema::patch::merge(live, &changes).unwrap_or_else(|_| wanted.clone());
    }
    let before = before.and_then(Value::as_object);
    Value::Object(objects(before, wanted_map, live_map.clone(), node))
}

fn objects(
    before: Option<&Map<String, Value>>,
    wanted: &Map<String, Value>,
    mut live: Map<String, Value>,
    node: Option<&Node>,
) -> Map<String, Value> {
    for key in before.into_iter().flat_map(Map::keys).filter(|key| !wanted.contains_key(*key)) {
        live.remove(key);
    }
    for (key, value) in wanted {
        let old = before.and_then(|before| before.get(key));
        let field = node.and_then(|node| node.field(key));
        match value {
            Value::Null => {
                live.remove(key);
            }
            _ => {
                let merged = values(old, value, live.remove(key), field);
                live.insert(key.clone(), merged);
            }
        }
    }
    live
}

fn values(before: Option<&Value>, wanted: &Value, live: Option<Value>, node: Option<&Node>) -> Value {
    match (wanted, live) {
        (Value::Object(new), Some(Value::Object(there))) => {
            if node.is_some_and(|node| node.replaces) {
                return wanted.clone();
            }
            let before = before.and_then(Value::as_object);
            let mut merged = objects(before, new, there.clone(), node);
            // A union whose branch changes loses what belonged to the other branch.
            if node.is_some_and(|node| node.retain_keys) && merged != there {
                merged.retain(|key, _| new.contains_key(key));
            }
            Value::Object(merged)
        }
        (Value::Array(new), Some(Value::Array(there))) => {
            let before = before.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            Value::Array(lists(before, new, there, node))
        }
        _ => wanted.clone(),
    }
}

fn lists(before: &[Value], wanted: &[Value], live: Vec<Value>, node: Option<&Node>) -> Vec<Value> {
    let Some(node) = node.filter(|node| node.merge_list) else { return wanted.to_vec() };
    let ids = |list: &[Value]| -> Option<Vec<Value>> {
        let ids: Vec<Value> = list.iter().map(|item| id_of(item, node)).collect::<Option<_>>()?;
        let twice = ids.iter().enumerate().any(|(at, one)| ids[..at].contains(one));
        (!twice).then_some(ids)
    };
    // Two ports of one number (TCP and UDP) share a key: such a list is one value.
    let (Some(new_ids), Some(live_ids), Some(old_ids)) = (ids(wanted), ids(&live), ids(before)) else {
        return wanted.to_vec();
    };
    let mut result: Vec<Value> = wanted
        .iter()
        .zip(&new_ids)
        .map(|(item, id)| {
            let old = old_ids.iter().position(|one| one == id).map(|at| &before[at]);
            let there = live_ids.iter().position(|one| one == id).map(|at| live[at].clone());
            values(old, item, there, node.items())
        })
        .collect();
    // What others added stays behind the item that it followed.
    let mut place = 0;
    for (item, id) in live.into_iter().zip(live_ids) {
        if new_ids.contains(&id) {
            place = result.iter().position(|one| id_of(one, node).as_ref() == Some(&id)).map_or(place, |at| at + 1);
        } else if !old_ids.contains(&id) {
            result.insert(place.min(result.len()), item);
            place += 1;
        }
    }
    result
}

/// What tells an item of a list from the others: its merge key, or itself.
fn id_of(item: &Value, node: &Node) -> Option<Value> {
    match &node.merge_key {
        Some(key) => item.get(key).cloned(),
        None => Some(item.clone()),
    }
}

/// Returns the JSON merge patch that turns `old` into `new`, or `None` if they are equal.
pub fn patch(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return Some(new.clone()) };
    let mut patch = Map::new();
    for (key, value) in new {
        match old.get(key) {
            Some(before) => {
                if let Some(inner) = self::patch(before, value) {
                    patch.insert(key.clone(), inner);
                }
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(spec: &Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": spec})
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "tables read better without ampersands")]
    fn check(before: Value, wanted: Value, live: Value, expected: Value) {
        let made = desired(Some(&deployment(&before)), &deployment(&wanted), &deployment(&live));
        assert_eq!(made["spec"], expected);
        let again = desired(Some(&deployment(&wanted)), &deployment(&wanted), &made);
        assert_eq!(again, made, "applied twice");
    }

    #[test]
    fn what_the_chart_no_longer_says_goes_and_what_others_set_stays() {
        check(
            json!({"paused": true, "minReadySeconds": 3}),
            json!({"minReadySeconds": 5}),
            json!({"paused": true, "minReadySeconds": 3, "replicas": 7, "revisionHistoryLimit": 10}),
            json!({"minReadySeconds": 5, "replicas": 7, "revisionHistoryLimit": 10}),
        );
    }

    #[test]
    fn containers_are_told_apart_by_name() {
        let spec = |containers: Value| json!({"template": {"spec": {"containers": containers}}});
        check(
            spec(json!([{"name": "web", "image": "a:1", "args": ["x"]}, {"name": "old", "image": "o"}])),
            spec(json!([{"name": "web", "image": "a:2"}, {"name": "new", "image": "n"}])),
            spec(json!([
                {"name": "web", "image": "a:1", "args": ["x"], "imagePullPolicy": "IfNotPresent"},
                {"name": "injected", "image": "sidecar"},
                {"name": "old", "image": "o"},
            ])),
            spec(json!([
                {"name": "web", "image": "a:2", "imagePullPolicy": "IfNotPresent"},
                {"name": "injected", "image": "sidecar"},
                {"name": "new", "image": "n"},
            ])),
        );
    }

    #[test]
    fn a_strategy_that_changes_loses_what_belonged_to_the_other() {
        check(
            json!({"strategy": {"type": "RollingUpdate"}}),
            json!({"strategy": {"type": "Recreate"}}),
            json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}),
            json!({"strategy": {"type": "Recreate"}}),
        );
        check(
            json!({"strategy": {"type": "RollingUpdate"}}),
            json!({"strategy": {"type": "RollingUpdate"}}),
            json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}),
            json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}),
        );
    }

    #[test]
    fn lists_that_are_one_value_are_replaced_and_so_are_ports_that_share_a_number() {
        let spec = |container: Value| json!({"template": {"spec": {"containers": [container]}}});
        check(
            spec(json!({"name": "a", "args": ["1", "2"]})),
            spec(json!({"name": "a", "args": ["2"]})),
            spec(json!({"name": "a", "args": ["1", "2", "3"]})),
            spec(json!({"name": "a", "args": ["2"]})),
        );
        let both = json!([{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]);
        check(
            spec(json!({"name": "a", "ports": [{"containerPort": 53}]})),
            spec(json!({"name": "a", "ports": both})),
            spec(json!({"name": "a", "ports": [{"containerPort": 53, "protocol": "TCP"}]})),
            spec(json!({"name": "a", "ports": both})),
        );
    }

    #[test]
    fn of_a_custom_kind_only_what_the_manifests_changed_is_changed() {
        let object = |spec: Value| json!({"apiVersion": "x.example.org/v1", "kind": "Widget", "spec": spec});
        let (before, wanted) = (object(json!({"a": 1, "b": [1], "c": 2})), object(json!({"a": 2, "b": [1]})));
        let live = object(json!({"a": 1, "b": [1, 9], "c": 2, "d": true}));
        assert_eq!(desired(Some(&before), &wanted, &live), object(json!({"a": 2, "b": [1, 9], "d": true})));
        assert_eq!(desired(Some(&before), &before, &live), live, "manifests that say the same change nothing");
    }

    #[test]
    fn a_merge_patch_says_only_what_changed() {
        let old = json!({"a": 1, "b": {"c": [1], "d": 2}, "e": 3});
        let new = json!({"a": 1, "b": {"c": [1, 2], "d": 2}, "f": 4});
        assert_eq!(patch(&old, &new), Some(json!({"b": {"c": [1, 2]}, "e": null, "f": 4})));
        assert_eq!(patch(&old, &old), None);
    }
}
