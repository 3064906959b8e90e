//! Server-side apply (KEP-555): what an object is after it, who owns what then, and which other
//! owner it would take a field from.

use serde_json::Value;

use crate::{
    fields::{self, Set, Shape, Step, key_of, shape},
    model::Node,
    owners::{self, Manager, Writer},
};

/// A field that another manager owns with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The owner, as Kubernetes words it: `"name"`, or `"name" using apps/v1` of one that does not apply.
    pub owner: String,
    /// The field, for example `.spec.replicas`.
    pub field: String,
}

/// Where `kubectl apply` without `--server-side` keeps what it sent.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Returns the object after `writer` applied `config` to `live`, with its owners.
///
/// For `kubectl` it goes on from what a client-side apply left behind: no conflict with what
/// that sent, and its annotation is kept true.
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
    let kubectl = writer.name == "kubectl";
    let nothing = Set::default();
    let merged = match merged(live, &config, node, writer, if force { None } else { Some(&nothing) }) {
        Err(conflicts) if kubectl => {
            let allowed = last_applied(live, node, writer.api_version).ok_or(conflicts)?;
            merged(live, &config, node, writer, Some(&allowed))
        }
        other => other,
    };
    let mut merged = merged?;
    if kubectl && merged["metadata"]["annotations"][LAST_APPLIED].as_str().is_some_and(|text| !text.is_empty()) {
        merged["metadata"]["annotations"][LAST_APPLIED] = as_last_applied(&config).into();
    }
    Ok(merged)
}

/// Merges, and refuses what others own but for the fields of `allowed`; `None` allows all.
fn merged(
    live: &Value,
    config: &Value,
    node: &Node,
    writer: Writer<'_>,
    allowed: Option<&Set>,
) -> Result<Value, Vec<Conflict>> {
    let mut wanted = fields::of(config, node);
    owners::disown(&mut wanted);
    let mut owners = owners::before_apply(live, node, &writer);
    let is_mine = |owner: &Manager| {
        owner.name == writer.name && owner.operation == "Apply" && owner.subresource == writer.subresource
    };
    let before = owners.iter().find(|owner| is_mine(owner)).map(|owner| owner.fields.clone()).unwrap_or_default();
    let mut merged = merge(live, config, Some(node));
    let others =
        owners.iter().filter(|owner| !is_mine(owner)).fold(Set::default(), |set, owner| set.union(&owner.fields));
    let given_up = before.difference(&wanted).difference(&others);
    // What was given up may hold what is wanted now: `spec: {}` before, `spec: {size: 5}` after.
    remove(&mut merged, &given_up, &others.union(&wanted), Some(node));

    let changes = owners::changes(live, &merged, node);
    let written = changes.modified.union(&changes.added);
    let mut conflicts = Vec::new();
    for owner in owners.iter_mut().filter(|owner| !is_mine(owner)) {
        let lost = owner.fields.intersection(&written);
        if let Some(allowed) = allowed {
            let described = owner.described();
            let refused = lost.difference(allowed).paths().into_iter();
            conflicts.extend(refused.map(|field| Conflict { owner: described.clone(), field }));
        }
        owner.fields = owner.fields.difference(&lost).difference(&changes.removed);
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let unchanged = written.is_empty() && changes.removed.is_empty();
    match owners.iter_mut().find(|owner| is_mine(owner)) {
        Some(owner) => {
            if !unchanged || owner.fields != wanted || owner.api_version != writer.api_version {
                owner.time = Some(writer.time.to_owned());
            }
            owner.fields = wanted;
            writer.api_version.clone_into(&mut owner.api_version);
        }
        None => owners.insert(0, Manager { fields: wanted, ..Manager::of(&writer, "Apply") }),
    }
    owners::set_managers(&mut merged, &owners);
    Ok(merged)
}

/// Returns what a client-side apply sent and is as it sent it: its client may go on with that by a server-side apply.
fn last_applied(live: &Value, node: &Node, api_version: &str) -> Option<Set> {
    let text = live["metadata"]["annotations"][LAST_APPLIED].as_str().filter(|text| !text.is_empty())?;
    let sent: Value = serde_json::from_str(text).ok()?;
    if sent["apiVersion"] != api_version {
        return None;
    }
    let changes = owners::changes(&sent, live, node);
    let differs = changes.added.union(&changes.modified).union(&changes.removed);
    Some(fields::of(&sent, node).difference(&differs))
}

/// Returns a configuration as `kubectl apply` keeps it.
fn as_last_applied(config: &Value) -> String {
    let mut sent = config.clone();
    if let Some(annotations) = sent["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    // As Go writes JSON.
    let text = sent.to_string().replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
    format!("{text}\n")
}

/// Returns `live` with `config` laid over it, as an apply merges them; nobody owns anything by it.
///
/// # Errors
///
/// The paths at which `config` would replace a list, map or structure that is one value: what it does not name would be
/// lost.
pub fn overlay(live: &Value, config: &Value, node: &Node) -> Result<Value, Vec<String>> {
    let mut found = Vec::new();
    whole_values(config, Some(node), "", &mut found);
    if found.is_empty() { Ok(merge(live, config, Some(node))) } else { Err(found) }
}

fn whole_values(config: &Value, node: Option<&Node>, path: &str, found: &mut Vec<String>) {
    match (config, shape(config, node)) {
        (Value::Object(_) | Value::Array(_), Shape::Leaf) => found.push(path.to_owned()),
        (Value::Object(map), _) => {
            for (name, inner) in map {
                whole_values(inner, node.and_then(|node| node.field(name)), &format!("{path}.{name}"), found);
            }
        }
        (Value::Array(list), Shape::Keyed(keys)) => {
            for item in list {
                let at = fields::Set::of_item(item, keys).paths().concat();
                whole_values(item, node.and_then(Node::items), &format!("{path}{at}"), found);
            }
        }
        _ => {}
    }
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
    use crate::{
        model::builtin,
        owners::{before, created, managers, updated},
    };

    fn by(name: &str) -> Writer<'_> {
        Writer { name, api_version: "apps/v1", subresource: "", time: "2026-01-01T00:00:00Z", reset: &["status"] }
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
        created(&before(deployment(), &Value::Null), &mut new, deployment(), by("one"));
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
        assert_eq!(conflicts[0].owner, "\"one\"");
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
        updated(&live, managers(&live), &mut new, deployment(), by("scaler"));
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
