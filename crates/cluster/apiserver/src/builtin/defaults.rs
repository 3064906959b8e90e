//! Kubernetes' defaults of the built-in kinds: what a reader finds where a writer
//! said nothing. The order and values are those of `k8s.io/kubernetes` 1.36.
//!
//! Most belong to a type and hold wherever it stands ([`types`]); here are the walk over
//! an object beside its types, and what only a whole object of a kind is given.

mod types;

use base64::{Engine, engine::general_purpose::STANDARD};
use schema::{
    model::{Kind, Node},
    validate::MAX_DEPTH,
};
use serde_json::{Map, Value, json};

/// Fills in what the types of an object say.
pub(crate) fn by_type(value: &mut Value, node: &Node, type_name: Option<&str>) {
    if let (Some(name), Value::Object(map)) = (type_name, &mut *value) {
        types::apply(name, map);
    }
    walk(value, node.resolve(), 0);
}

/// Outer types come first, as in Kubernetes.
fn walk(value: &mut Value, place: &Node, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    match (&place.kind, value) {
        (Kind::Object, Value::Object(map)) => {
            for (name, field) in &place.properties {
                if let Some(inner) = map.get_mut(name) {
                    enter(inner, field, depth);
                }
            }
        }
        (Kind::Array(items), Value::Array(list)) => list.iter_mut().for_each(|inner| enter(inner, items, depth)),
        (Kind::Map(values), Value::Object(map)) => map.values_mut().for_each(|inner| enter(inner, values, depth)),
        _ => {}
    }
}

fn enter(value: &mut Value, node: &Node, depth: usize) {
    if let (Kind::Ref(name), Value::Object(map)) = (&node.kind, &mut *value) {
        types::apply(name, map);
    }
    walk(value, node.resolve(), depth + 1);
}

fn set(map: &mut Map<String, Value>, name: &str, default: impl Into<Value>) {
    let absent = map.get(name).is_none_or(|value| value.is_null() || value.as_str() == Some(""));
    if absent {
        map.insert(name.to_owned(), default.into());
    }
}

fn each<'a>(map: &'a mut Map<String, Value>, name: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    map.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Returns the structure at `name`, made if it is not there.
fn part<'a>(map: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let place = map.entry(name.to_owned()).or_insert(Value::Null);
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
    place.as_object_mut().expect("it was just made one")
}

fn object<'a>(value: &'a mut Value, path: &[&str]) -> Option<&'a mut Map<String, Value>> {
    let mut place = value;
    for step in path {
        place = place.get_mut(*step)?;
    }
    place.as_object_mut()
}

/// A new namespace is held by what will empty it.
pub(super) fn new_namespace(value: &mut Value) {
    value["spec"] = json!({"finalizers": ["kubernetes"]});
    value["status"] = json!({"phase": "Active"});
}

pub(super) fn new_pod(value: &mut Value) {
    value["status"] = json!({"phase": "Pending", "qosClass": qos(&value["spec"])});
}

fn qos(spec: &Value) -> &'static str {
    let containers =
        || ["containers", "initContainers"].into_iter().flat_map(|name| spec[name].as_array().into_iter().flatten());
    let (mut any, mut all) = (false, true);
    for container in containers() {
        for resource in ["cpu", "memory"] {
            let limit = &container["resources"]["limits"][resource];
            let request = &container["resources"]["requests"][resource];
            any |= !limit.is_null() || !request.is_null();
            all &= !limit.is_null() && (request.is_null() || request == limit);
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// What is decided of a service's addresses beside the address itself.
pub(super) fn service(value: &mut Value) {
    let Some(spec) = object(value, &["spec"]) else { return };
    if spec.get("type").is_some_and(|kind| kind != "ExternalName") {
        // What leads to no pods of its own is of every family.
        let headless = spec.get("clusterIP").is_some_and(|address| address == "None");
        let selects = spec.get("selector").and_then(Value::as_object).is_some_and(|selector| !selector.is_empty());
        if headless && !selects && !spec.contains_key("ipFamilies") && !spec.contains_key("ipFamilyPolicy") {
            spec.insert("ipFamilies".to_owned(), json!(["IPv4", "IPv6"]));
            set(spec, "ipFamilyPolicy", "RequireDualStack");
        }
        spec.entry("ipFamilies").or_insert_with(|| json!(["IPv4"]));
        set(spec, "ipFamilyPolicy", "SingleStack");
    }
    if spec.get("clusterIP").is_some_and(|address| address == "None") {
        spec.entry("clusterIPs").or_insert_with(|| json!(["None"]));
    }
}

pub(super) fn secret(value: &mut Value) {
    let Some(map) = value.as_object_mut() else { return };
    if let Some(Value::Object(texts)) = map.remove("stringData") {
        let data = map.entry("data").or_insert_with(|| json!({}));
        if let Some(data) = data.as_object_mut() {
            for (name, text) in texts {
                data.insert(name, STANDARD.encode(text.as_str().unwrap_or_default()).into());
            }
        }
    }
}

/// A new volume says since when it is in its phase.
pub(super) fn new_volume(value: &mut Value) {
    let now = value["metadata"]["creationTimestamp"].clone();
    value["status"] = json!({"phase": "Pending", "lastPhaseTransitionTime": now});
}

/// The older and the newer field for where a claim's data comes from say the same.
pub(super) fn new_claim(value: &mut Value) {
    let Some(spec) = object(value, &["spec"]) else { return };
    for (from, to) in [("dataSource", "dataSourceRef"), ("dataSourceRef", "dataSource")] {
        let source = spec.get(from).filter(|source| source["namespace"].is_null()).cloned();
        if let (Some(source), false) = (source, spec.contains_key(to)) {
            spec.insert(to.to_owned(), source);
        }
    }
}

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// A daemon set always says how often its template changed.
pub(super) fn daemon_set(value: &mut Value) {
    if let Some(metadata) = object(value, &["metadata"]) {
        part(metadata, "annotations").entry(TEMPLATE_GENERATION).or_insert_with(|| "0".into());
    }
}

/// A daemon set counts the changes of its template in an annotation.
pub(super) fn new_daemon_set(value: &mut Value) {
    if let Some(metadata) = object(value, &["metadata"]) {
        part(metadata, "annotations").insert(TEMPLATE_GENERATION.into(), "1".into());
    }
}

/// See [`new_daemon_set`].
pub(super) fn changed_daemon_set(old: &Value, new: &mut Value) {
    let before = &old["metadata"]["annotations"][TEMPLATE_GENERATION];
    let mut count: i64 = before.as_str().and_then(|count| count.parse().ok()).unwrap_or_default();
    if old["spec"]["template"] != new["spec"]["template"] {
        count += 1;
    }
    if let Some(metadata) = object(new, &["metadata"]) {
        part(metadata, "annotations").insert(TEMPLATE_GENERATION.into(), count.to_string().into());
    }
}

/// A class that never counts its changes begins to count all the same.
pub(super) fn new_priority_class(value: &mut Value) {
    value["metadata"]["generation"] = 1.into();
}

/// The two fields for a service's address say the same.
pub(super) fn changed_service(old: &Value, new: &mut Value) {
    service(new);
    let address = new["spec"]["clusterIP"].clone();
    let moved = address.is_string() && address != old["spec"]["clusterIP"];
    if moved && new["spec"]["clusterIPs"] == old["spec"]["clusterIPs"] {
        new["spec"]["clusterIPs"] = json!([address]);
    }
}

/// A job that is not told whom to select selects what carries its own identity.
pub(super) fn new_job(value: &mut Value) {
    if value["spec"]["manualSelector"] == true {
        return;
    }
    let (name, uid) = (value["metadata"]["name"].clone(), value["metadata"]["uid"].clone());
    let Some(spec) = object(value, &["spec"]) else { return };
    let labels = part(part(part(spec, "template"), "metadata"), "labels");
    let before = Value::Object(labels.clone());
    let given = [
        ("job-name", &name),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/controller-uid", &uid),
    ];
    for (label, given) in given {
        labels.entry(label).or_insert_with(|| given.clone());
    }
    let after = Value::Object(labels.clone());
    part(part(spec, "selector"), "matchLabels").entry("batch.kubernetes.io/controller-uid").or_insert(uid.clone());
    // Labels that a job has from its template are one with them, as in Kubernetes.
    if value["metadata"]["labels"] == before {
        value["metadata"]["labels"] = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(value: &mut Value, type_name: &str) {
        by_type(value, schema::model::builtin(type_name).unwrap(), Some(type_name));
    }

    #[test]
    fn a_bare_deployment_reads_as_kubernetes_shows_it() {
        let mut value = json!({"metadata": {"name": "a"}, "spec": {"strategy": {}, "template": {"spec": {"containers": [
            {"name": "c", "image": "nginx", "ports": [{"containerPort": 80}], "readinessProbe": {"httpGet": {"port": 80}}}]}}}});
        filled(&mut value, "io.k8s.api.apps.v1.Deployment");
        let spec = &value["spec"];
        assert_eq!(
            spec["strategy"],
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
        );
        let container = &spec["template"]["spec"]["containers"][0];
        assert_eq!(container["imagePullPolicy"], "Always");
        assert_eq!(container["ports"][0]["protocol"], "TCP");
        assert_eq!(container["readinessProbe"]["failureThreshold"], 3);
        assert_eq!(spec["template"]["spec"]["dnsPolicy"], "ClusterFirst");
    }

    #[test]
    fn string_data_becomes_data_and_limits_become_requests() {
        let mut value = json!({"stringData": {"a": "b"}});
        secret(&mut value);
        assert_eq!(value, json!({"data": {"a": "Yg=="}}));
        let mut value =
            json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]}});
        filled(&mut value, "io.k8s.api.core.v1.Pod");
        assert_eq!(value["spec"]["containers"][0]["resources"]["requests"]["memory"], "1Gi");
        assert_eq!(qos(&value["spec"]), "Guaranteed");
    }

    #[test]
    fn what_a_type_is_given_it_is_given_wherever_it_stands() {
        let mut value = json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "x:1"}]}}}}}});
        filled(&mut value, "io.k8s.api.batch.v1.CronJob");
        let container = &value["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    }

    proptest::proptest! {
        #[test]
        fn what_is_filled_in_stays(replicas in proptest::option::of(0..9i32), kind in "(Recreate|RollingUpdate)?", image in "[a-z]{1,5}(:[a-z]{1,6})?") {
            let mut value = json!({"metadata": {"name": "a"}, "spec": {"replicas": replicas, "strategy": {"type": kind},
                "template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
            filled(&mut value, "io.k8s.api.apps.v1.Deployment");
            let once = value.clone();
            filled(&mut value, "io.k8s.api.apps.v1.Deployment");
            proptest::prop_assert_eq!(once, value);
        }
    }
}
