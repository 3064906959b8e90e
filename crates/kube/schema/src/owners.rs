//! Who owns which field of an object: `metadata.managedFields` as it is read, written and kept by
//! creations, updates and the `scale` subresource. What an apply does is in [`crate::apply`].

use serde_json::{Map, Value};

use crate::{
    fields::{self, Set, Step},
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
    /// The top-level fields that its path leaves as they are: nobody owns them by writing there.
    pub reset: &'a [&'a str],
}

/// How many writers that update are kept apart; beyond them the oldest become one.
const MOST_UPDATERS: usize = 10;
/// What those are called.
const ANCIENT: &str = "ancient-changes";
/// Who owns what was there before the first apply of an object that nobody is known to own.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// Where the wanted count stands in a `Scale`.
const SCALE_REPLICAS: &[&str] = &["spec", "replicas"];

impl Manager {
    /// Returns a writer's own entry without fields.
    pub(crate) fn of(writer: &Writer<'_>, operation: &str) -> Manager {
        Manager {
            name: writer.name.to_owned(),
            operation: operation.to_owned(),
            api_version: writer.api_version.to_owned(),
            subresource: writer.subresource.to_owned(),
            time: Some(writer.time.to_owned()),
            fields: Set::default(),
        }
    }

    /// Returns whether both are entries of one writer: an applier is one whatever version it writes.
    fn is_same(&self, other: &Manager) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == "Apply" || self.api_version == other.api_version)
    }

    /// Returns how Kubernetes calls it in a conflict: `"name" with subresource "status" using apps/v1`.
    pub(crate) fn described(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text = format!("{text} with subresource {:?}", self.subresource);
        }
        if self.operation == "Update" { format!("{text} using {}", self.api_version) } else { text }
    }
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

/// Returns the owners that an object names whose writer sends them along, if they make sense and are any: it may change
/// them as it likes.
pub fn given(object: &Value) -> Option<Vec<Manager>> {
    let list = object["metadata"]["managedFields"].as_array().filter(|list| !list.is_empty())?;
    let makes_sense = |entry: &Value| {
        matches!(entry["operation"].as_str(), Some("Apply" | "Update"))
            && matches!(entry["fieldsType"].as_str(), Some("FieldsV1"))
            && (entry["fieldsV1"].is_object() || entry["fieldsV1"].is_null())
    };
    list.iter().all(makes_sense).then(|| managers(object))
}

/// Returns whether a writer asks that nobody is known to own anything from now on.
pub fn is_reset(object: &Value) -> bool {
    object["metadata"]["managedFields"]
        .as_array()
        .is_some_and(|list| list.len() == 1 && list[0].as_object().is_some_and(Map::is_empty))
}

/// Sets the owner of a new object: its creator owns all that it brings about, `before` being what was there ([`before`]).
pub fn created(before: &Value, new: &mut Value, node: &Node, writer: Writer<'_>) {
    let owner = Manager { fields: brought_about(before, new, node, &writer), ..Manager::of(&writer, "Update") };
    set_managers(new, &[owner]);
}

/// Sets the owners of `new`, which `writer` made of `old`: it owns what it changed, and the `owners` of before own the
/// rest. Where nobody is known to own anything, that stays so until somebody applies.
pub fn updated(old: &Value, mut owners: Vec<Manager>, new: &mut Value, node: &Node, writer: Writer<'_>) {
    if owners.is_empty() {
        return set_managers(new, &[]);
    }
    let changes = changes(old, new, node);
    let touched = changes.added.union(&changes.modified);
    let gone = changes.removed.union(&touched);
    let me = Manager::of(&writer, "Update");
    if !gone.is_empty() {
        for owner in &mut owners {
            owner.fields = owner.fields.difference(&gone);
        }
    }
    if !touched.is_empty() {
        if let Some(owner) = owners.iter_mut().find(|owner| owner.is_same(&me)) {
            owner.fields = std::mem::take(&mut owner.fields).union(&touched);
            owner.time = me.time;
        } else {
            owners.push(Manager { fields: touched, ..me });
        }
    }
    cap(&mut owners);
    set_managers(new, &owners);
}

/// Returns the owners of an object as an apply finds them: where nobody is known, what is there belongs to one who
/// wrote it before.
pub(crate) fn before_apply(live: &Value, node: &Node, writer: &Writer<'_>) -> Vec<Manager> {
    let owners = managers(live);
    let is_new = live["metadata"]["uid"].as_str().unwrap_or_default().is_empty();
    if !owners.is_empty() || is_new {
        return owners;
    }
    let fields = brought_about(&before(node, &Value::Null), live, node, writer);
    let nobody = Writer { name: BEFORE_FIRST_APPLY, ..*writer };
    vec![Manager { fields, ..Manager::of(&nobody, "Update") }]
}

fn brought_about(before: &Value, object: &Value, node: &Node, writer: &Writer<'_>) -> Set {
    let changes = changes(before, object, node);
    let mut fields = changes.added.union(&changes.modified);
    for name in writer.reset {
        fields.remove_below(&[name]);
    }
    fields
}

/// Makes one of the oldest writers that update, of each version, until there are no more than are kept apart.
fn cap(owners: &mut Vec<Manager>) {
    let updaters = owners.iter().filter(|owner| owner.operation == "Update").count();
    let mut surplus = updaters.saturating_sub(MOST_UPDATERS);
    if surplus == 0 {
        return;
    }
    owners.sort_by(|a, b| (&a.time, &a.name).cmp(&(&b.time, &b.name)));
    let mut buckets: Vec<Manager> = Vec::new();
    let mut kept = Vec::new();
    for owner in owners.drain(..) {
        if owner.operation != "Update" || surplus == 0 {
            kept.push(owner);
            continue;
        }
        match buckets.iter_mut().find(|bucket| bucket.api_version == owner.api_version) {
            Some(bucket) => {
                bucket.fields = std::mem::take(&mut bucket.fields).union(&owner.fields);
                bucket.time = owner.time;
                ANCIENT.clone_into(&mut bucket.name);
                bucket.subresource.clear();
                surplus -= 1;
            }
            // The first of a version stays as it is until another joins it.
            None => buckets.push(owner),
        }
    }
    owners.extend(buckets.into_iter().chain(kept));
}

/// Returns the owners of an object's wanted count, as the owners of its `Scale`. `path` is where the count stands in
/// the object, `versions` are those (`group/version`) in which it stands there.
pub fn of_scale(object: &Value, path: &[&str], versions: &[&str]) -> Vec<Manager> {
    let owners = managers(object).into_iter();
    let counted = owners.filter(|owner| versions.contains(&owner.api_version.as_str()) && owner.fields.has(path));
    counted
        .map(|owner| Manager {
            api_version: "autoscaling/v1".to_owned(),
            fields: Set::of_path(SCALE_REPLICAS),
            ..owner
        })
        .collect()
}

/// Returns the owners of an object after a write to its `Scale`, whose owners are `scale` now: who no longer owns the
/// count there has lost it here, and who is new there owns it here, at `version`.
pub fn after_scale(object: &Value, scale: &[Manager], path: &[&str], version: &str) -> Vec<Manager> {
    let is_one = |owner: &Manager, other: &Manager| {
        owner.name == other.name && owner.operation == other.operation && owner.subresource == other.subresource
    };
    let mut owners = managers(object);
    for owner in &mut owners {
        if owner.fields.has(path) && !scale.iter().any(|kept| is_one(kept, owner)) {
            owner.fields = owner.fields.difference(&Set::of_path(path));
        }
    }
    owners.retain(|owner| !owner.fields.is_empty());
    for new in scale.iter().filter(|new| new.fields.has(SCALE_REPLICAS)) {
        if !owners.iter().any(|owner| is_one(owner, new)) {
            owners.push(Manager {
                api_version: version.to_owned(),
                // As Kubernetes has it: nobody wrote the object itself.
                time: None,
                fields: Set::of_path(path),
                ..new.clone()
            });
        }
    }
    owners
}

/// Returns what an object is before somebody sends `given` as it: the structures and lists that Kubernetes' type always
/// has. A list that is sent empty is not there before.
pub fn before(node: &Node, given: &Value) -> Value {
    let mut object = Value::Object(Map::new());
    settle(&mut object, node);
    blank(&mut object, given);
    object
}

fn blank(before: &mut Value, given: &Value) {
    let (Value::Object(before), Value::Object(given)) = (before, given) else { return };
    for (name, value) in before {
        match (&mut *value, given.get(name)) {
            (Value::Array(_), Some(Value::Array(_))) => *value = Value::Null,
            (Value::Object(_), Some(inner)) => blank(value, inner),
            _ => {}
        }
    }
}

/// Returns what changed of what somebody can own.
pub(crate) fn changes(old: &Value, new: &Value, node: &Node) -> fields::Changes {
    let mut changes = fields::compare(old, new, node);
    for set in [&mut changes.added, &mut changes.modified, &mut changes.removed] {
        disown(set);
    }
    changes
}

/// Takes out what belongs to nobody, the metadata as a whole too.
pub(crate) fn disown(set: &mut Set) {
    for path in UNOWNED {
        set.remove_below(path);
    }
    set.members.remove(&Step::Field("metadata".to_owned()));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{apply::apply, model::builtin};

    fn by<'a>(name: &'a str, time: &'a str) -> Writer<'a> {
        Writer { name, api_version: "apps/v1", subresource: "", time, reset: &["status"] }
    }

    fn node() -> &'static Node {
        builtin("io.k8s.api.apps.v1.Deployment").unwrap()
    }

    fn object(replicas: i64) -> Value {
        json!({"metadata": {"name": "a", "uid": "u"}, "spec": {"replicas": replicas, "template": {"spec": {
            "imagePullSecrets": [{"name": "s"}]}}}, "status": {"replicas": 1}})
    }

    fn made(replicas: i64) -> Value {
        let mut new = object(replicas);
        created(&before(node(), &Value::Null), &mut new, node(), by("maker", "2026-01-01T00:00:00Z"));
        new
    }

    fn paths(object: &Value, name: &str) -> Vec<String> {
        managers(object).iter().filter(|owner| owner.name == name).flat_map(|owner| owner.fields.paths()).collect()
    }

    #[test]
    fn a_creator_owns_no_status_and_what_is_one_value_as_one() {
        let pull = ".spec.template.spec.imagePullSecrets";
        let owned = [".spec.replicas".to_owned(), pull.to_owned(), format!("{pull}[name=\"s\"]")];
        assert_eq!(paths(&made(1), "maker"), owned);
    }

    #[test]
    fn an_empty_list_is_owned_by_whoever_sent_it() {
        let node = builtin("io.k8s.api.discovery.v1.EndpointSlice").unwrap();
        for (given, owned) in [(json!({"endpoints": []}), vec![".endpoints"]), (json!({}), vec![])] {
            let mut new = given.clone();
            crate::settle::settle(&mut new, node);
            created(&before(node, &given), &mut new, node, by("maker", "2026-01-01T00:00:00Z"));
            assert_eq!(paths(&new, "maker"), owned, "{given}");
        }
    }

    #[test]
    fn where_nobody_is_known_an_update_is_nobodys_and_an_apply_finds_somebody_before_it() {
        let old = object(1);
        let mut new = object(2);
        updated(&old, managers(&old), &mut new, node(), by("writer", "2026-01-01T00:00:00Z"));
        assert_eq!(new["metadata"]["managedFields"], Value::Null);
        let config = json!({"spec": {"replicas": 3}});
        let conflicts = apply(&new, &config, node(), by("applier", "2026-01-01T00:00:00Z"), false).unwrap_err();
        assert_eq!(conflicts[0].owner, "\"before-first-apply\" using apps/v1");
        let live = apply(&new, &config, node(), by("applier", "2026-01-01T00:00:00Z"), true).unwrap();
        assert_eq!(paths(&live, "applier"), [".spec.replicas"]);
        assert!(!paths(&live, "before-first-apply").contains(&".spec.replicas".to_owned()));
    }

    #[test]
    fn a_writer_may_send_owners_along_or_have_them_forgotten() {
        let mut sent = made(1);
        assert_eq!(given(&sent).map(|owners| owners.len()), Some(1));
        sent["metadata"]["managedFields"][0]["operation"] = "Odd".into();
        assert_eq!(given(&sent), None);
        sent["metadata"]["managedFields"] = json!([{}]);
        assert!(is_reset(&sent) && !is_reset(&made(1)));
    }

    #[test]
    fn the_oldest_of_many_writers_become_one() {
        let mut live = made(0);
        for at in 1..=12 {
            let mut new = live.clone();
            new["metadata"]["labels"][format!("l{at}")] = "x".into();
            let time = format!("2026-01-01T00:00:{at:02}Z");
            updated(&live, managers(&live), &mut new, node(), by(&format!("w{at}"), &time));
            live = new;
        }
        let owners = managers(&live);
        assert_eq!(owners.len(), 10);
        let ancient = owners.iter().find(|owner| owner.name == "ancient-changes").unwrap();
        assert_eq!(ancient.time.as_deref(), Some("2026-01-01T00:00:03Z"));
        assert!(ancient.fields.has(&["spec", "replicas"]) && ancient.fields.has(&["metadata", "labels", "l3"]));
    }

    #[test]
    fn a_scale_takes_the_count_and_nothing_else() {
        let live = made(1);
        let path = ["spec", "replicas"];
        let before = of_scale(&live, &path, &["apps/v1"]);
        assert_eq!((before.len(), before[0].api_version.as_str()), (1, "autoscaling/v1"));
        assert!(of_scale(&live, &path, &["apps/v2"]).is_empty());
        let scaler = Manager { name: "scaler".to_owned(), subresource: "scale".to_owned(), ..before[0].clone() };
        let mut after = live.clone();
        set_managers(&mut after, &after_scale(&live, &[scaler], &path, "apps/v1"));
        assert_eq!(paths(&after, "scaler"), [".spec.replicas"]);
        assert!(!paths(&after, "maker").contains(&".spec.replicas".to_owned()));
        let entry = managers(&after).into_iter().find(|owner| owner.name == "scaler").unwrap();
        assert_eq!((entry.api_version.as_str(), entry.time), ("apps/v1", None));
        // Who kept the count keeps its entry as it is.
        assert_eq!(after_scale(&live, &before, &path, "apps/v1"), managers(&live));
    }

    #[test]
    fn kubectl_goes_on_from_its_own_client_side_apply() {
        let text = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 1}}).to_string();
        let key = "kubectl.kubernetes.io/last-applied-configuration";
        let mut live = object(1);
        live["metadata"]["annotations"][key] = text.into();
        created(&before(node(), &Value::Null), &mut live, node(), by("client-side", "2026-01-01T00:00:00Z"));
        let config =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"replicas": 5}});
        assert!(apply(&live, &config, node(), by("other", "2026-01-01T00:00:00Z"), false).is_err());
        let live = apply(&live, &config, node(), by("kubectl", "2026-01-01T00:00:00Z"), false).unwrap();
        assert_eq!(live["spec"]["replicas"], 5);
        let kept = live["metadata"]["annotations"][key].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(kept).unwrap()["spec"]["replicas"], 5);
        assert!(kept.ends_with("}\n"));
        // What the client-side apply had not sent is still another's.
        let more = json!({"spec": {"template": {"spec": {"imagePullSecrets": [{"name": "t"}]}}, "replicas": 5}, "status": {"replicas": 9}});
        assert!(apply(&live, &more, node(), by("kubectl", "2026-01-01T00:00:00Z"), false).is_ok());
    }
}
