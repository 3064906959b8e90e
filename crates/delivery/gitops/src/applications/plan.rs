//! What is wanted against what is there: what to apply, what to prune. Pure.

use std::{cmp::Ordering, collections::BTreeSet};

use kube::api::ApiResource;
use serde_json::{Map, Value};

/// Which object: API group, kind, namespace, name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ref {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Ref {
    /// Argo CD's tracking id: `app:group/kind:namespace/name`.
    pub(crate) fn tracking_id(&self, application: &str) -> String {
        format!("{application}:{}/{}:{}/{}", self.group, self.kind, self.namespace, self.name)
    }
}

/// An object that is wanted, placed in the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Desired {
    pub(crate) id: Ref,
    pub(crate) resource: ApiResource,
    pub(crate) object: Value,
}

impl Desired {
    pub(crate) fn wave(&self) -> i64 {
        wave(&self.object)
    }
}

/// Returns the sync wave of an object.
pub(crate) fn wave(object: &Value) -> i64 {
    annotation(object, "argocd.argoproj.io/sync-wave").and_then(|wave| wave.parse().ok()).unwrap_or(0)
}

pub(crate) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"].get(name).and_then(Value::as_str)
}

/// Returns whether an object has a sync option such as `Prune=false`.
pub(crate) fn has_option(object: &Value, option: &str) -> bool {
    annotation(object, "argocd.argoproj.io/sync-options")
        .is_some_and(|all| all.split(',').any(|one| one.trim() == option))
}

/// An object that the application made, as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) id: Ref,
    pub(crate) resource: ApiResource,
    pub(crate) object: Value,
}

/// What would make the cluster as wanted.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Indexes into what is wanted, in the order to apply: those that differ.
    pub(crate) apply: Vec<usize>,
    /// Objects that left the source, in the order to delete.
    pub(crate) prune: Vec<Live>,
}

/// Compares. `live` returns an object as it is now, `owned` are all that carry the application's mark.
pub(crate) fn plan(desired: &[Desired], live: impl Fn(&Ref) -> Option<Value>, owned: Vec<Live>) -> Plan {
    let mut order: Vec<usize> = (0..desired.len()).collect();
    order.sort_by(|a, b| sync_order(&desired[*a].object, &desired[*b].object));
    let apply = order
        .into_iter()
        .filter(|index| {
            let wanted = &desired[*index];
            live(&wanted.id).is_none_or(|there| differs(&wanted.object, &there))
        })
        .collect();
    let wanted: BTreeSet<&Ref> = desired.iter().map(|one| &one.id).collect();
    let mut prune: Vec<Live> = owned.into_iter().filter(|one| !wanted.contains(&one.id)).collect();
    prune.sort_by(|a, b| sync_order(&b.object, &a.object));
    Plan { apply, prune }
}

/// Argo CD's order: wave, then kind, then namespace and name.
pub(crate) fn sync_order(a: &Value, b: &Value) -> Ordering {
    let text = |object: &Value, key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    let rank = |object: &Value| {
        let kind = object["kind"].as_str().unwrap_or_default();
        KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len())
    };
    (wave(a), rank(a), text(a, "namespace"), text(a, "name")).cmp(&(
        wave(b),
        rank(b),
        text(b, "namespace"),
        text(b, "name"),
    ))
}

const KINDS: [&str; 34] = [
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
];

/// The name that fields are applied under.
pub(crate) const MANAGER: &str = "argocd-controller";

/// Returns whether applying `wanted` would change `live`: a field of it is missing or different there, or one that was
/// applied before is wanted no more. What others added is theirs.
pub(crate) fn differs(wanted: &Value, live: &Value) -> bool {
    let wanted = normalised(wanted);
    !covers(&wanted, live) || owns_more(&wanted, live)
}

/// Folds `stringData` into `data`, as the API server does, and drops what it ignores.
fn normalised(wanted: &Value) -> Value {
    let mut wanted = wanted.clone();
    if let Some(root) = wanted.as_object_mut() {
        root.remove("status");
        if root.get("kind").and_then(Value::as_str) == Some("Secret")
            && let Some(Value::Object(text)) = root.remove("stringData")
        {
            let data = root.entry("data").or_insert_with(|| Value::Object(Map::new()));
            for (key, value) in text {
                use base64::Engine as _;
                let packed = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default());
                data[key] = Value::String(packed);
            }
        }
        if let Some(metadata) = root.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("creationTimestamp");
        }
    }
    wanted
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn covers(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => wanted.iter().all(|(key, value)| match live.get(key) {
            Some(there) => covers(value, there),
            None => is_empty(value),
        }),
        (Value::Array(wanted), Value::Array(live)) => {
            if wanted.len() == live.len() {
                return wanted.iter().zip(live).all(|(a, b)| covers(a, b));
            }
            // A list of named things to which somebody added.
            let keyed = |item: &Value| KEYS.iter().any(|key| item.get(key).is_some());
            wanted.len() < live.len()
                && wanted.iter().all(keyed)
                && wanted.iter().all(|item| live.iter().any(|there| same_key(item, there) && covers(item, there)))
        }
        (wanted, live) if is_empty(wanted) && is_empty(live) => true,
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::String(a), Value::String(b)) => a == b || same_quantity(a, b),
        // A whole number where a quantity is expected comes back as text.
        (Value::Number(a), Value::String(b)) => same_quantity(&a.to_string(), b),
        (a, b) => a == b,
    }
}

const KEYS: [&str; 6] = ["name", "containerPort", "port", "mountPath", "type", "key"];

fn same_key(a: &Value, b: &Value) -> bool {
    KEYS.iter().filter(|key| a.get(key).is_some()).all(|key| a.get(key) == b.get(key))
}

/// Returns whether two texts are the same Kubernetes quantity, such as `0.5` and `500m`.
fn same_quantity(a: &str, b: &str) -> bool {
    matches!((quantity(a), quantity(b)), (Some(a), Some(b)) if (a - b).abs() <= a.abs() * 1e-12)
}

fn quantity(text: &str) -> Option<f64> {
    let at = text.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(at);
    let factor = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

/// Returns whether an earlier apply of ours set a field that is wanted no more.
fn owns_more(wanted: &Value, live: &Value) -> bool {
    let entries = live["metadata"]["managedFields"].as_array();
    entries
        .into_iter()
        .flatten()
        .filter(|entry| entry["manager"] == MANAGER && entry["operation"] == "Apply")
        .any(|entry| entry["fieldsV1"].as_object().is_some_and(|fields| owned_beyond(fields, wanted, true)))
}

fn owned_beyond(fields: &Map<String, Value>, wanted: &Value, top: bool) -> bool {
    fields.iter().any(|(field, inner)| {
        let inner_fields = inner.as_object().filter(|inner| !inner.is_empty());
        if let Some(name) = field.strip_prefix("f:") {
            let Some(value) = wanted.get(name) else { return !(top && matches!(name, "stringData" | "status")) };
            return inner_fields.is_some_and(|inner| owned_beyond(inner, value, false));
        }
        if let Some(key) = field.strip_prefix("k:") {
            let Ok(Value::Object(key)) = serde_json::from_str::<Value>(key) else { return false };
            let Some(items) = wanted.as_array() else { return true };
            // A key field may have been filled in by default.
            let fits =
                |item: &&Value| key.iter().all(|(name, value)| item.get(name).is_none_or(|there| there == value));
            let Some(item) = items.iter().find(fits) else { return true };
            return inner_fields.is_some_and(|inner| {
                let inner: Map<String, Value> = inner
                    .iter()
                    .filter(|(field, _)| !field.strip_prefix("f:").is_some_and(|name| key.contains_key(name)))
                    .map(|(field, value)| (field.clone(), value.clone()))
                    .collect();
                owned_beyond(&inner, item, false)
            });
        }
        if let Some(text) = field.strip_prefix("v:") {
            let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
            return !wanted.as_array().is_some_and(|items| items.contains(&value));
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_and_additions_of_others_are_no_difference() {
        for (wanted, live, want) in [
            (json!({"a": 1}), json!({"a": 1.0, "b": 2}), false),
            (json!({"a": 1}), json!({"a": 2}), true),
            (json!({"a": {}}), json!({}), false),
            (json!({"a": null, "b": []}), json!({}), false),
            (json!({"cpu": "0.5"}), json!({"cpu": "500m"}), false),
            (json!({"cpu": 1}), json!({"cpu": "1"}), false),
            (json!({"c": [{"name": "x", "image": "i"}]}), json!({"c": [{"name": "x", "image": "i", "d": 1}]}), false),
            (json!({"c": [{"name": "x"}]}), json!({"c": [{"name": "sidecar"}, {"name": "x"}]}), false),
            (json!({"c": ["a"]}), json!({"c": ["a", "b"]}), true),
            (
                json!({"kind": "Secret", "stringData": {"k": "v"}}),
                json!({"kind": "Secret", "data": {"k": "dg=="}}),
                false,
            ),
            (json!({"kind": "X", "status": {"a": 1}}), json!({"kind": "X"}), false),
        ] {
            assert_eq!(differs(&wanted, &live), want, "{wanted} {live}");
        }
    }

    #[test]
    fn a_field_that_was_applied_and_left_the_source_is_a_difference() {
        let live = |fields: Value| json!({"a": 1, "metadata": {"managedFields": [{"manager": MANAGER, "operation": "Apply", "fieldsV1": fields}]}});
        assert!(!differs(&json!({"a": 1}), &live(json!({"f:a": {}}))));
        assert!(differs(&json!({"a": 1}), &live(json!({"f:a": {}, "f:b": {}}))));
        let list = json!({"a": 1, "l": [{"name": "x"}], "metadata": {"managedFields": [{"manager": MANAGER, "operation": "Apply", "fieldsV1": {
            "f:l": {"k:{\"name\":\"x\"}": {".": {}, "f:name": {}}}}}]}});
        assert!(!differs(&json!({"a": 1, "l": [{"name": "x"}]}), &list));
        assert!(differs(&json!({"a": 1}), &list));
    }

    #[test]
    fn order_is_by_wave_then_kind_and_pruning_is_the_reverse() {
        let object = |kind: &str, name: &str, wave: &str| json!({"kind": kind, "metadata": {"name": name, "annotations": {"argocd.argoproj.io/sync-wave": wave}}});
        let resource = crate::objects::application();
        let desired: Vec<Desired> = [
            object("Deployment", "d", "0"),
            object("Service", "s", "0"),
            object("Widget", "w", "-1"),
            object("Namespace", "n", "1"),
        ]
        .into_iter()
        .map(|object| Desired {
            id: Ref { kind: object["kind"].as_str().unwrap().into(), ..Ref::default() },
            resource: resource.clone(),
            object,
        })
        .collect();
        let plan = plan(&desired, |_| None, Vec::new());
        let kinds: Vec<_> = plan.apply.iter().map(|index| desired[*index].id.kind.as_str()).collect();
        assert_eq!(kinds, ["Widget", "Service", "Deployment", "Namespace"]);
    }

    #[test]
    fn what_left_the_source_is_pruned_and_the_rest_is_not() {
        let live = |name: &str| Live {
            id: Ref { kind: "ConfigMap".into(), name: name.into(), ..Ref::default() },
            resource: crate::objects::application(),
            object: json!({"kind": "ConfigMap", "metadata": {"name": name}}),
        };
        let desired =
            [Desired { id: live("kept").id, resource: crate::objects::application(), object: live("kept").object }];
        let plan = plan(&desired, |_| Some(live("kept").object), vec![live("kept"), live("gone")]);
        assert!(plan.apply.is_empty());
        assert_eq!(plan.prune.iter().map(|one| one.id.name.as_str()).collect::<Vec<_>>(), ["gone"]);
    }
}
