//! Ratcheting: an update is not refused for what it leaves as it was.

use serde_json::Value;

use super::{Broken, Cause};
use crate::model::{Kind, ListType, Node};

/// Returns what is said of those broken rules whose value differs from what stood at the same place of `old`.
///
/// A field of an object belongs to the field of that name, an item of a list to the item
/// with the same keys, if its list has keys; the nearest place above that belongs to an old
/// one decides for what does not.
pub fn changed(broken: Vec<Broken>, new: &Value, old: &Value, node: &Node) -> Vec<Cause> {
    broken.into_iter().filter(|broken| !same_at(&broken.at, new, old, node)).map(|broken| broken.cause).collect()
}

fn same_at(field: &str, new: &Value, old: &Value, node: &Node) -> bool {
    let (mut new, mut old, mut node) = (new, old, node);
    let mut rest = field;
    while !rest.is_empty() && rest != "<nil>" {
        let list = node.list.clone();
        node = node.resolve();
        if let Some(after) = rest.strip_prefix('[') {
            let Some((index, after)) = after.split_once(']') else { break };
            let keys = match list {
                ListType::Map(keys) => keys,
                // Items without keys cannot be told to belong together.
                _ if new.is_array() => break,
                _ => Vec::new(),
            };
            rest = after.strip_prefix('.').unwrap_or(after);
            let (next, before) = if new.is_array() {
                let Some(item) = index.parse::<usize>().ok().and_then(|index| new.get(index)) else { break };
                let same = |there: &&Value| keys.iter().all(|key| there.get(key) == item.get(key));
                (item, old.as_array().and_then(|list| list.iter().find(same)))
            } else {
                let Some(value) = new.get(index) else { break };
                (value, old.get(index))
            };
            let Some(before) = before else { return false };
            let (Kind::Array(inner) | Kind::Map(inner)) = &node.kind else { break };
            (new, old, node) = (next, before, inner);
            continue;
        }
        // A name may hold dots: the longest that is there is meant.
        let mut ends = rest.match_indices(['.', '[']).map(|(at, _)| at).chain([rest.len()]);
        let Some(end) = ends.rfind(|end| new.get(&rest[..*end]).is_some()) else { break };
        let name = &rest[..end];
        let (Some(next), Some(before)) = (new.get(name), old.get(name)) else { return false };
        let Some(inner) = node.field(name) else {
            (new, old) = (next, before);
            break;
        };
        (new, old, node) = (next, before, inner);
        rest = rest[end..].strip_prefix('.').unwrap_or(&rest[end..]);
    }
    new == old
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{crd, validate::check_custom};

    #[test]
    fn only_what_changed_is_held_against_an_update() {
        let crd::Read { node, .. } = crd::read(
            &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
                "a": {"type": "integer", "maximum": 5}, "b": {"type": "integer", "maximum": 5},
                "list": {"type": "array", "items": {"type": "integer", "maximum": 5}},
                "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 5}}}},
            }}}}),
        );
        let old = json!({"spec": {"a": 9, "b": 1, "list": [9], "keyed": [{"k": "x", "v": 9}]}});
        let fields = |new: &Value| -> Vec<String> {
            changed(check_custom(new, &node), new, &old, &node).into_iter().map(|cause| cause.field).collect()
        };
        assert!(
            fields(&json!({"spec": {"a": 9, "b": 2, "list": [9], "keyed": [{"k": "y"}, {"k": "x", "v": 9}]}}))
                .is_empty()
        );
        assert_eq!(fields(&json!({"spec": {"a": 8, "b": 7}})), ["spec.a", "spec.b"]);
        assert_eq!(fields(&json!({"spec": {"list": [9, 1]}})), ["spec.list[0]"]);
        assert_eq!(fields(&json!({"spec": {"keyed": [{"k": "x", "v": 8}]}})), ["spec.keyed[0].v"]);
    }
}
