//! Sets of field paths as `metadata.managedFields` stores them (`FieldsV1`), and
//! what of an object such a set names.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::model::{ListType, Node};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A field of an object: `f:name`.
    Field(String),
    /// An item of a list, by its key fields as canonical JSON: `k:{"name":"a"}`.
    Key(String),
    /// An item of a set, as canonical JSON: `v:"a"`.
    Value(String),
}

impl Step {
    fn encode(&self) -> String {
        match self {
            Step::Field(name) => format!("f:{name}"),
            Step::Key(json) => format!("k:{json}"),
            Step::Value(json) => format!("v:{json}"),
        }
    }

    fn decode(text: &str) -> Option<Step> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Step::Field(rest.to_owned())),
            // Written anew so that other writers' spacing and order compare equal.
            "k" => Some(Step::Key(serde_json::from_str::<Value>(rest).ok()?.to_string())),
            "v" => Some(Step::Value(serde_json::from_str::<Value>(rest).ok()?.to_string())),
            _ => None,
        }
    }
}

/// A set of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Paths that end here.
    pub members: BTreeSet<Step>,
    /// Paths that go on.
    pub children: BTreeMap<Step, Set>,
}

impl Set {
    /// Returns whether the set has no path.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(Set::is_empty)
    }

    /// Returns the set of one path of fields.
    pub fn of_path(path: &[&str]) -> Set {
        let mut set = Set::default();
        if let Some((first, rest)) = path.split_first() {
            let step = Step::Field((*first).to_owned());
            if rest.is_empty() {
                set.members.insert(step);
            } else {
                set.children.insert(step, Set::of_path(rest));
            }
        }
        set
    }

    /// Returns the set of one item of a list whose items are told apart by `keys`.
    pub(crate) fn of_item(item: &Value, keys: &[String]) -> Set {
        Set { members: BTreeSet::from([Step::Key(key_of(item, keys))]), children: BTreeMap::new() }
    }

    /// Returns whether a path of fields is in the set.
    pub fn has(&self, path: &[&str]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        let step = Step::Field((*first).to_owned());
        if rest.is_empty() {
            self.members.contains(&step)
        } else {
            self.children.get(&step).is_some_and(|child| child.has(rest))
        }
    }

    /// Reads `fieldsV1`. What cannot be read is left out.
    pub fn from_json(fields: &Value) -> Set {
        let mut set = Set::default();
        for (name, inner) in fields.as_object().into_iter().flatten() {
            let Some(step) = Step::decode(name) else { continue };
            let inner_map = inner.as_object();
            if inner_map.is_none_or(Map::is_empty) || inner_map.is_some_and(|map| map.contains_key(".")) {
                set.members.insert(step.clone());
            }
            let child = Set::from_json(inner);
            if !child.is_empty() {
                set.children.insert(step, child);
            }
        }
        set
    }

    /// Writes `fieldsV1`.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        for step in &self.members {
            map.insert(step.encode(), Value::Object(Map::new()));
        }
        for (step, child) in &self.children {
            if child.is_empty() {
                continue;
            }
            let mut inner = match child.to_json() {
                Value::Object(inner) => inner,
                _ => Map::new(),
            };
            if self.members.contains(step) {
                inner.insert(".".to_owned(), Value::Object(Map::new()));
            }
            map.insert(step.encode(), Value::Object(inner));
        }
        Value::Object(map)
    }

    /// Returns the paths that are in either set.
    #[must_use]
    pub fn union(mut self, other: &Set) -> Set {
        self.members.extend(other.members.iter().cloned());
        for (step, child) in &other.children {
            let mine = self.children.remove(step).unwrap_or_default();
            self.children.insert(step.clone(), mine.union(child));
        }
        self
    }

    /// Returns the paths that are in this set and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Set) -> Set {
        let members = self.members.difference(&other.members).cloned().collect();
        let children = self
            .children
            .iter()
            .map(|(step, child)| {
                let rest = other.children.get(step).map_or_else(|| child.clone(), |theirs| child.difference(theirs));
                (step.clone(), rest)
            })
            .filter(|(_, child)| !child.is_empty())
            .collect();
        Set { members, children }
    }

    /// Returns the paths that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Set) -> Set {
        let members = self.members.intersection(&other.members).cloned().collect();
        let children = self
            .children
            .iter()
            .filter_map(|(step, child)| {
                other.children.get(step).map(|theirs| (step.clone(), child.intersection(theirs)))
            })
            .filter(|(_, child)| !child.is_empty())
            .collect();
        Set { members, children }
    }

    /// Takes out every path that begins with `path`.
    pub fn remove_below(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        let step = Step::Field((*first).to_owned());
        if rest.is_empty() {
            self.members.remove(&step);
            self.children.remove(&step);
        } else if let Some(child) = self.children.get_mut(&step) {
            child.remove_below(rest);
            if child.is_empty() {
                self.children.remove(&step);
            }
        }
    }

    /// Returns only the paths that begin with `path`.
    #[must_use]
    pub fn only_below(&self, path: &[&str]) -> Set {
        let Some((first, rest)) = path.split_first() else { return self.clone() };
        let step = Step::Field((*first).to_owned());
        let mut set = Set::default();
        if rest.is_empty() && self.members.contains(&step) {
            set.members.insert(step.clone());
        }
        if let Some(child) = self.children.get(&step) {
            let child = child.only_below(rest);
            if !child.is_empty() {
                set.children.insert(step, child);
            }
        }
        set
    }

    /// Returns each path as Kubernetes prints it in a conflict: `.spec.ports[port=80,protocol="TCP"].name`.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect("", &mut out);
        out
    }

    fn collect(&self, prefix: &str, out: &mut Vec<String>) {
        let mut steps: BTreeSet<&Step> = self.members.iter().collect();
        steps.extend(self.children.keys());
        for step in steps {
            let path = match step {
                Step::Field(name) => format!("{prefix}.{name}"),
                Step::Key(json) => {
                    let keys: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
                    let inner = keys.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
                    format!("{prefix}[{inner}]")
                }
                Step::Value(json) => format!("{prefix}[={json}]"),
            };
            if self.members.contains(step) {
                out.push(path.clone());
            }
            if let Some(child) = self.children.get(step) {
                child.collect(&path, out);
            }
        }
    }
}

/// Returns the paths of everything that stands in `value`.
pub fn of(value: &Value, node: &Node) -> Set {
    let mut set = Set::default();
    if let Value::Object(map) = value {
        for (name, inner) in map {
            add(Step::Field(name.clone()), inner, node.field(name), Inner::Leaves, &mut set);
        }
    }
    set
}

/// Which paths of a value are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inner {
    /// Those of its leaves and of the items of its lists: what a configuration says.
    Leaves,
    /// Those of the maps and lists that hold them too: what came into being or went.
    All,
}

fn add(step: Step, value: &Value, node: Option<&Node>, inner: Inner, set: &mut Set) {
    let shape = shape(value, node);
    let leaf = match (value, &shape) {
        (Value::Object(map), Shape::Granular) => map.is_empty(),
        (Value::Array(list), Shape::Keyed(_) | Shape::Set) => list.is_empty(),
        _ => true,
    };
    if leaf || inner == Inner::All {
        set.members.insert(step.clone());
    }
    if leaf {
        return;
    }
    let child = set.children.entry(step).or_default();
    match (value, shape) {
        (Value::Object(map), _) => {
            for (name, value) in map {
                add(Step::Field(name.clone()), value, node.and_then(|node| node.field(name)), inner, child);
            }
        }
        (Value::Array(list), Shape::Keyed(keys)) => {
            for item in list {
                add_item(item, keys, node.and_then(Node::items), inner, child);
            }
        }
        (Value::Array(list), _) => child.members.extend(list.iter().map(|item| Step::Value(item.to_string()))),
        _ => {}
    }
}

fn add_item(item: &Value, keys: &[String], items: Option<&Node>, inner: Inner, set: &mut Set) {
    let key = Step::Key(key_of(item, keys));
    set.members.insert(key.clone());
    if matches!(shape(item, items), Shape::Leaf) {
        return;
    }
    let child = set.children.entry(key).or_default();
    for (name, value) in item.as_object().into_iter().flatten() {
        add(Step::Field(name.clone()), value, items.and_then(|node| node.field(name)), inner, child);
    }
}

/// How a value at a place is owned.
pub(crate) enum Shape<'a> {
    /// As one value.
    Leaf,
    /// Field by field.
    Granular,
    /// Item by item, told apart by these fields.
    Keyed(&'a [String]),
    /// Item by item.
    Set,
}

pub(crate) fn shape<'a>(value: &Value, node: Option<&'a Node>) -> Shape<'a> {
    let Some(node) = node else {
        return if value.is_object() { Shape::Granular } else { Shape::Leaf };
    };
    match value {
        Value::Object(_) if node.is_atomic() => Shape::Leaf,
        Value::Object(_) => Shape::Granular,
        Value::Array(_) => match &node.list {
            ListType::Map(keys) => Shape::Keyed(keys),
            ListType::Set => Shape::Set,
            ListType::Atomic => Shape::Leaf,
        },
        _ => Shape::Leaf,
    }
}

/// Returns an item's key fields as canonical JSON.
pub(crate) fn key_of(item: &Value, keys: &[String]) -> String {
    let map: Map<String, Value> = keys
        .iter()
        .filter_map(|key| {
            let value = item.get(key).cloned().or_else(|| (key == "protocol").then(|| Value::from("TCP")));
            value.map(|value| (key.clone(), value))
        })
        .collect();
    Value::Object(map).to_string()
}

/// What changed from one object to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// In the new one only.
    pub added: Set,
    /// In both, with another value.
    pub modified: Set,
    /// In the old one only.
    pub removed: Set,
}

/// Compares two objects of one type.
pub fn compare(old: &Value, new: &Value, node: &Node) -> Changes {
    let mut changes = Changes::default();
    if let (Value::Object(old), Value::Object(new)) = (old, new) {
        compare_maps(old, new, Some(node), &mut changes);
    }
    changes
}

fn compare_maps(old: &Map<String, Value>, new: &Map<String, Value>, node: Option<&Node>, changes: &mut Changes) {
    for (name, value) in new {
        let field = node.and_then(|node| node.field(name));
        let step = Step::Field(name.clone());
        match old.get(name) {
            // What comes into being is owned itself, beside what it holds.
            None => add(step, value, field, Inner::All, &mut changes.added),
            Some(before) => compare_values(step, before, value, field, changes),
        }
    }
    for (name, value) in old {
        if !new.contains_key(name) {
            add(
                Step::Field(name.clone()),
                value,
                node.and_then(|node| node.field(name)),
                Inner::All,
                &mut changes.removed,
            );
        }
    }
}

fn compare_values(step: Step, old: &Value, new: &Value, node: Option<&Node>, changes: &mut Changes) {
    if old == new {
        return;
    }
    // What is null holds nothing, and stands there all the same.
    let (no_map, no_list) = (Value::Object(Map::new()), Value::Array(Vec::new()));
    let old = match (old, new) {
        (Value::Null, Value::Array(list)) if list.is_empty() => {
            changes.modified.members.insert(step);
            return;
        }
        (Value::Null, Value::Object(_)) => &no_map,
        (Value::Null, Value::Array(_)) => &no_list,
        _ => old,
    };
    match (old, new, shape(new, node)) {
        (Value::Object(before), Value::Object(after), Shape::Granular) => {
            nested(&step, changes, |inner| compare_maps(before, after, node, inner));
        }
        (Value::Array(before), Value::Array(after), Shape::Keyed(keys)) => {
            let items = node.and_then(Node::items);
            nested(&step, changes, |inner| {
                for item in after {
                    let key = key_of(item, keys);
                    match before.iter().find(|other| key_of(other, keys) == key) {
                        Some(other) => compare_values(Step::Key(key), other, item, items, inner),
                        None => add_item(item, keys, items, Inner::All, &mut inner.added),
                    }
                }
                for item in before {
                    let key = key_of(item, keys);
                    if !after.iter().any(|other| key_of(other, keys) == key) {
                        add_item(item, keys, items, Inner::All, &mut inner.removed);
                    }
                }
            });
        }
        (Value::Array(before), Value::Array(after), Shape::Set) => nested(&step, changes, |inner| {
            for item in after.iter().filter(|item| !before.contains(item)) {
                inner.added.members.insert(Step::Value(item.to_string()));
            }
            for item in before.iter().filter(|item| !after.contains(item)) {
                inner.removed.members.insert(Step::Value(item.to_string()));
            }
        }),
        _ => {
            add(step, new, node, Inner::Leaves, &mut changes.modified);
        }
    }
}

fn nested(step: &Step, changes: &mut Changes, compare: impl FnOnce(&mut Changes)) {
    let mut inner = Changes::default();
    compare(&mut inner);
    for (outer, inner) in [
        (&mut changes.added, inner.added),
        (&mut changes.modified, inner.modified),
        (&mut changes.removed, inner.removed),
    ] {
        if !inner.is_empty() {
            outer.children.insert(step.clone(), inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::builtin;

    #[test]
    fn a_set_survives_its_json() {
        let pod = builtin("io.k8s.api.core.v1.Pod").unwrap();
        let set = of(
            &json!({"metadata": {"labels": {"a": "b"}, "finalizers": ["x"]}, "spec": {"containers": [
                {"name": "c", "image": "i", "ports": [{"containerPort": 80}]}], "volumes": [{"name": "t", "emptyDir": {}}]}}),
            pod,
        );
        assert_eq!(Set::from_json(&set.to_json()), set);
        let json = set.to_json();
        assert_eq!(json["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"]["f:image"], json!({}));
        assert_eq!(json["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"]["."], json!({}));
        assert_eq!(json["f:metadata"]["f:finalizers"]["v:\"x\""], json!({}));
        assert!(
            set.paths().contains(&".spec.containers[name=\"c\"].ports[containerPort=80,protocol=\"TCP\"]".to_owned())
        );
    }

    #[test]
    fn changes_are_told_apart() {
        let pod = builtin("io.k8s.api.core.v1.Pod").unwrap();
        let changes = compare(
            &json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}], "nodeName": "n"}}),
            &json!({"spec": {"containers": [{"name": "a", "image": "2"}, {"name": "c"}]}, "metadata": {"labels": {"x": "y"}}}),
            pod,
        );
        assert_eq!(changes.modified.paths(), [".spec.containers[name=\"a\"].image"]);
        assert!(changes.removed.paths().contains(&".spec.nodeName".to_owned()));
        assert!(changes.removed.paths().contains(&".spec.containers[name=\"b\"]".to_owned()));
        assert!(changes.added.paths().contains(&".spec.containers[name=\"c\"]".to_owned()));
        assert!(changes.added.paths().contains(&".metadata.labels.x".to_owned()));
    }
}
