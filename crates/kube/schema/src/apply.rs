//! Server-side apply and field ownership (KEP-555): who owns what after a write,
//! and which other owner an apply would take a field from.

use serde_json::{Map, Value};

use crate::{
    fields::{self, Set, Shape, Step, key_of, shape},
    model::Node,
    settle::settle,
};

/// Paths that belong to nobody.
const UNOWNED: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "deletionTimestamp"],
    &["metadata", "deletionGracePeriodSeconds"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "resourceVersion"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
];

/// One writer's entry of `metadata.managedFields`.
#[derive(Clone, Debug, PartialEq)]
pub struct Manager {
    /// The field manager's name.
    pub name: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// The version the fields are written in.
    pub api_version: String,
    /// `status`, `scale` or empty.
    pub subresource: String,
    /// When it last wrote.
    pub time: Option<String>,
    /// What it owns.
    pub fields: Set,
}

/// Who writes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The field manager's name.
    pub name: &'a str,
    /// The version of the object it sends.
    pub api_version: &'a str,
    /// `status`, `scale` or empty.
    pub subresource: &'a str,
    /// Now, RFC 3339.
    pub time: &'a str,
}

/// A field that another manager owns with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The owner, as Kubernetes words it: `"name" using apps/v1`.
    pub owner: String,
    /// The field, for example `.spec.replicas`.
    pub field: String,
}

/// Reads `metadata.managedFields`.
pub fn managers(object: &Value) -> Vec<Manager> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| Manager {
            name: text(entry, "manager"),
            operation: text(entry, "operation"),
            api_version: text(entry, "apiVersion"),
            subresource: text(entry, "subresource"),
            time: entry["time"].as_str().map(str::to_owned),
            fields: Set::from_json(&entry["fieldsV1"]),
        })
        .collect()
}

/// Writes `metadata.managedFields`, leaving out managers that own nothing: those that applied first, then by time and
/// name, as Kubernetes orders them.
pub fn set_managers(object: &mut Value, managers: &[Manager]) {
    let mut shown: Vec<&Manager> = managers.iter().filter(|manager| !manager.fields.is_empty()).collect();
    shown.sort_by_key(|manager| {
        (&manager.operation, &manager.time, &manager.name, &manager.api_version, &manager.subresource)
    });
    let list: Vec<Value> = shown
        .into_iter()
        .map(|manager| {
            let mut entry = Map::new();
            entry.insert("manager".into(), manager.name.clone().into());
            entry.insert("operation".into(), manager.operation.clone().into());
            entry.insert("apiVersion".into(), manager.api_version.clone().into());
            if let Some(time) = &manager.time {
                entry.insert("time".into(), time.clone().into());
            }
            entry.insert("fieldsType".into(), "FieldsV1".into());
            entry.insert("fieldsV1".into(), manager.fields.to_json());
            if !manager.subresource.is_empty() {
                entry.insert("subresource".into(), manager.subresource.clone().into());
            }
            Value::Object(entry)
        })
        .collect();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        if list.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".into(), Value::Array(list));
        }
    }
}

/// Sets the owners in `new` after a create, update or patch by `writer`: it owns what it changed.
///
/// `new` keeps the owners that stand in `old`, less what the change took from them.
pub fn track_update(old: Option<&Value>, new: &mut Value, node: &Node, writer: Writer<'_>) {
    let mut owners = old.map(managers).unwrap_or_default();
    let before = old.cloned().unwrap_or_else(|| unwritten(node));
    let changes = changes(&before, new, node);
    let touched = changes.added.clone().union(&changes.modified);
    if touched.is_empty() && changes.removed.is_empty() {
        set_managers(new, &owners);
        return;
    }
    let gone = changes.removed.clone().union(&changes.modified);
    for owner in &mut owners {
        owner.fields = owner.fields.difference(&gone);
    }
    if !touched.is_empty() {
        let mine = |owner: &&mut Manager| {
            owner.name == writer.name
                && owner.operation == "Update"
                && owner.subresource == writer.subresource
                && owner.api_version == writer.api_version
        };
        if let Some(owner) = owners.iter_mut().find(mine) {
            owner.fields = std::mem::take(&mut owner.fields).union(&touched);
            owner.time = Some(writer.time.to_owned());
        } else {
            owners.push(Manager {
                name: writer.name.to_owned(),
                operation: "Update".to_owned(),
                api_version: writer.api_version.to_owned(),
                subresource: writer.subresource.to_owned(),
                time: Some(writer.time.to_owned()),
                fields: touched,
            });
        }
    }
    set_managers(new, &owners);
}

/// Returns the object after `writer` applied `config` to `live`, with its owners.
///
/// # Errors
///
/// Every field that another manager owns with another value, unless `force`: then they lose it.
pub fn apply(
    live: &Value,
    config: &Value,
    node: &Node,
    writer: Writer<'_>,
    force: bool,
) -> Result<Value, Vec<Conflict>> {
    let mut config = config.clone();
    drop_nulls(&mut config);
    let mut wanted = fields::of(&config, node);
    disown(&mut wanted);
    let mut owners = managers(live);
    let is_mine = |owner: &Manager| {
        owner.name == writer.name && owner.operation == "Apply" && owner.subresource == writer.subresource
    };
    let before = owners.iter().find(|owner| is_mine(owner)).map(|owner| owner.fields.clone()).unwrap_or_default();
    let mut merged = merge(live, &config, Some(node));
    let others =
        owners.iter().filter(|owner| !is_mine(owner)).fold(Set::default(), |set, owner| set.union(&owner.fields));
    let given_up = before.difference(&wanted).difference(&others);
    // What was given up may hold what is wanted now: `spec: {}` before, `spec: {size: 5}` after.
    remove(&mut merged, &given_up, &others.union(&wanted), Some(node));

    let changes = changes(live, &merged, node);
    let changed = changes.modified.clone().union(&changes.removed);
    let mut conflicts = Vec::new();
    for owner in owners.iter_mut().filter(|owner| !is_mine(owner)) {
        let lost = owner.fields.intersection(&changed).intersection(&wanted);
        if !lost.is_empty() {
            conflicts.extend(
                lost.paths()
                    .into_iter()
                    .map(|field| Conflict { owner: format!("{:?} using {}", owner.name, owner.api_version), field }),
            );
        }
        owner.fields = owner.fields.difference(&changed.intersection(&wanted)).difference(&changes.removed);
    }
    if !conflicts.is_empty() && !force {
        return Err(conflicts);
    }
    let unchanged = changed.is_empty() && changes.added.is_empty();
    match owners.iter_mut().find(|owner| is_mine(owner)) {
        Some(owner) => {
            if !unchanged || owner.fields != wanted || owner.api_version != writer.api_version {
                owner.time = Some(writer.time.to_owned());
            }
            owner.fields = wanted;
            writer.api_version.clone_into(&mut owner.api_version);
        }
        None => owners.insert(
            0,
            Manager {
                name: writer.name.to_owned(),
                operation: "Apply".to_owned(),
                api_version: writer.api_version.to_owned(),
                subresource: writer.subresource.to_owned(),
                time: Some(writer.time.to_owned()),
                fields: wanted,
            },
        ),
    }
    set_managers(&mut merged, &owners);
    Ok(merged)
}

/// Returns what an object is before anybody writes it: the structures and lists that Kubernetes' type always has.
fn unwritten(node: &Node) -> Value {
    let mut object = Value::Object(Map::new());
    settle(&mut object, node);
    object
}

/// Returns what changed of what somebody can own.
fn changes(old: &Value, new: &Value, node: &Node) -> fields::Changes {
    let mut changes = fields::compare(old, new, node);
    for set in [&mut changes.added, &mut changes.modified, &mut changes.removed] {
        disown(set);
    }
    changes
}

/// Takes out what belongs to nobody, the metadata as a whole too.
fn disown(set: &mut Set) {
    for path in UNOWNED {
        set.remove_below(path);
    }
    set.members.remove(&Step::Field("metadata".to_owned()));
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, inner| !inner.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn merge(live: &Value, config: &Value, node: Option<&Node>) -> Value {
    match (live, config, shape(config, node)) {
        (Value::Object(before), Value::Object(after), Shape::Granular) => {
            let mut merged = before.clone();
            for (name, value) in after {
                let field = node.and_then(|node| node.field(name));
                let value = before.get(name).map_or_else(|| value.clone(), |old| merge(old, value, field));
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(before), Value::Array(after), Shape::Keyed(keys)) => {
            let items = node.and_then(Node::items);
            let mut merged = before.clone();
            for item in after {
                let key = key_of(item, keys);
                match merged.iter_mut().find(|other| key_of(other, keys) == key) {
                    Some(place) => *place = merge(place, item, items),
                    None => merged.push(item.clone()),
                }
            }
            Value::Array(merged)
        }
        (Value::Array(before), Value::Array(after), Shape::Set) => {
            let mut merged = before.clone();
            merged.extend(after.iter().filter(|item| !before.contains(item)).cloned());
            Value::Array(merged)
        }
        _ => config.clone(),
    }
}

/// Takes out what `gone` names, keeping items that hold something of `others`.
fn remove(value: &mut Value, gone: &Set, kept: &Set, node: Option<&Node>) {
    let nobody = Set::default();
    match value {
        Value::Object(map) => {
            for (step, child) in &gone.children {
                let Step::Field(name) = step else { continue };
                let Some(inner) = map.get_mut(name) else { continue };
                let had = !is_hollow(inner);
                let field = node.and_then(|node| node.field(name));
                remove(inner, child, kept.children.get(step).unwrap_or(&nobody), field);
                if had && is_hollow(inner) && !kept.members.contains(step) {
                    map.remove(name);
                }
            }
            for step in &gone.members {
                if let Step::Field(name) = step
                    && kept.children.get(step).is_none_or(Set::is_empty)
                {
                    map.remove(name);
                }
            }
        }
        Value::Array(list) => {
            let keys: &[String] = match shape(&Value::Array(Vec::new()), node) {
                Shape::Keyed(keys) => keys,
                _ => &[],
            };
            let items = node.and_then(Node::items);
            list.retain_mut(|item| {
                let step = if keys.is_empty() { Step::Value(item.to_string()) } else { Step::Key(key_of(item, keys)) };
                if gone.members.contains(&step) && kept.children.get(&step).is_none_or(Set::is_empty) {
                    return false;
                }
                if let Some(child) = gone.children.get(&step) {
                    remove(item, child, kept.children.get(&step).unwrap_or(&nobody), items);
                }
                true
            });
        }
        _ => {}
    }
}

fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::builtin;

    fn by(name: &str) -> Writer<'_> {
        Writer { name, api_version: "apps/v1", subresource: "", time: "2026-01-01T00:00:00Z" }
    }

    fn deployment() -> &'static Node {
        builtin("io.k8s.api.apps.v1.Deployment").unwrap()
    }

    fn with_image(image: &str) -> Value {
        json!({"metadata": {"name": "a"}, "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "c", "image": image}]}}}})
    }

    /// As kube-apiserver writes it down: what a type always has is nobody's, what a writer brings about is its own.
    #[test]
    fn a_creator_owns_what_it_brings_about_and_not_what_the_type_always_has() {
        let mut new = json!({"metadata": {"name": "a", "labels": {"l": "v"}}, "spec": {
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}, "template": {"spec": {"containers": [
                {"name": "c", "resources": {"limits": {"cpu": "1"}}, "env": [{"name": "E", "value": "1"}]}]}}}});
        track_update(None, &mut new, deployment(), by("one"));
        let owned = &new["metadata"]["managedFields"][0]["fieldsV1"];
        assert_eq!(owned["f:metadata"], json!({"f:labels": {".": {}, "f:l": {}}}));
        let spec = &owned["f:spec"];
        assert_eq!(spec["f:strategy"], json!({"f:type": {}, "f:rollingUpdate": {".": {}, "f:maxSurge": {}}}));
        let containers = json!({"k:{\"name\":\"c\"}": {".": {}, "f:name": {},
            "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}}},
            "f:env": {".": {}, "k:{\"name\":\"E\"}": {".": {}, "f:name": {}, "f:value": {}}}}});
        assert_eq!(spec["f:template"]["f:spec"]["f:containers"], containers);
    }

    #[test]
    fn what_was_empty_before_keeps_what_is_in_it_now() {
        let config = |spec: Value| json!({"metadata": {"name": "a"}, "spec": {"template": {"spec": spec}}});
        let live = apply(&json!({"metadata": {}}), &config(json!({})), deployment(), by("one"), false).unwrap();
        let paths = managers(&live)[0].fields.paths();
        assert_eq!(paths, [".spec.template.spec"], "the name is the object's, and nobody owns its metadata");
        let filled = config(json!({"hostname": "h"}));
        let live = apply(&live, &filled, deployment(), by("one"), false).unwrap();
        assert_eq!(live["spec"]["template"]["spec"]["hostname"], "h");
        assert!(apply(&live, &config(json!({"hostname": "g"})), deployment(), by("two"), false).is_err());
        let emptied = apply(&live, &config(json!({})), deployment(), by("one"), false).unwrap();
        assert_eq!(emptied["spec"]["template"]["spec"], json!({}));
    }

    #[test]
    fn a_second_owner_conflicts_unless_it_says_the_same_or_forces() {
        let live = apply(&json!({"metadata": {}}), &with_image("1"), deployment(), by("one"), false).unwrap();
        assert!(apply(&live, &with_image("1"), deployment(), by("two"), false).is_ok());
        let conflicts = apply(&live, &with_image("2"), deployment(), by("two"), false).unwrap_err();
        assert_eq!(conflicts.len(), 1);
        assert_eq!(conflicts[0].owner, "\"one\" using apps/v1");
        assert_eq!(conflicts[0].field, ".spec.template.spec.containers[name=\"c\"].image");
        let forced = apply(&live, &with_image("2"), deployment(), by("two"), true).unwrap();
        assert_eq!(forced["spec"]["template"]["spec"]["containers"][0]["image"], "2");
        let one = managers(&forced).into_iter().find(|owner| owner.name == "one").unwrap();
        assert!(!one.fields.paths().iter().any(|path| path.contains("].image")));
    }

    #[test]
    fn what_an_applier_gives_up_goes_unless_another_owns_it() {
        let config = json!({"metadata": {"labels": {"a": "1", "b": "2"}}});
        let live = apply(&json!({"metadata": {}}), &config, deployment(), by("one"), false).unwrap();
        let live = apply(&live, &json!({"metadata": {"labels": {"b": "2"}}}), deployment(), by("two"), false).unwrap();
        let live = apply(&live, &json!({"metadata": {"labels": {}}}), deployment(), by("one"), false).unwrap();
        assert_eq!(live["metadata"]["labels"], json!({"b": "2"}));
        let live =
            apply(&live, &json!({"metadata": {"annotations": {"x": "y"}}}), deployment(), by("two"), false).unwrap();
        assert!(live["metadata"].get("labels").is_none_or(|labels| labels == &json!({})));
    }

    #[test]
    fn an_update_owns_what_it_changed_and_takes_it_from_others() {
        let live = apply(&json!({"metadata": {}}), &with_image("1"), deployment(), by("one"), false).unwrap();
        let mut new = live.clone();
        new["spec"]["replicas"] = json!(5);
        track_update(Some(&live), &mut new, deployment(), by("scaler"));
        let owners = managers(&new);
        let paths = |name: &str| owners.iter().find(|owner| owner.name == name).unwrap().fields.paths();
        assert_eq!(paths("scaler"), [".spec.replicas"]);
        assert!(!paths("one").contains(&".spec.replicas".to_owned()));
    }

    proptest! {
        #[test]
        fn applying_twice_is_applying_once(labels in proptest::collection::btree_map("[a-c]", "[x-z]", 0..4), image in "[a-z]{1,4}", replicas in 0..9i32) {
            let config = json!({"metadata": {"labels": labels}, "spec": {"replicas": replicas,
                "template": {"spec": {"containers": [{"name": "c", "image": image, "ports": [{"containerPort": 80}]}]}}}});
            let once = apply(&json!({"metadata": {}}), &config, deployment(), by("one"), false).unwrap();
            let twice = apply(&once, &config, deployment(), by("one"), false).unwrap();
            prop_assert_eq!(once, twice);
        }
    }
}
