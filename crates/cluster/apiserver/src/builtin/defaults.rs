//! Kubernetes' defaults of the built-in kinds: what a reader finds where a writer
//! said nothing. The order and values are those of `k8s.io/kubernetes` 1.36.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

fn object<'a>(value: &'a mut Value, path: &[&str]) -> Option<&'a mut Map<String, Value>> {
    let mut place = value;
    for step in path {
        place = place.get_mut(*step)?;
    }
    place.as_object_mut()
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

pub(super) fn namespace(value: &mut Value) {
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if let Some(metadata) = object(value, &["metadata"]) {
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        if let (Some(labels), false) = (labels.as_object_mut(), name.is_empty()) {
            labels.insert("kubernetes.io/metadata.name".into(), name.into());
        }
    }
}

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

pub(super) fn pod(value: &mut Value) {
    if let Some(spec) = object(value, &["spec"]) {
        pod_spec(spec);
        // The ServiceAccount admission: a pod runs as somebody.
        set(spec, "serviceAccountName", "default");
        let name = spec["serviceAccountName"].clone();
        spec.insert("serviceAccount".into(), name);
        spec.entry("priority").or_insert_with(|| 0.into());
        set(spec, "preemptionPolicy", "PreemptLowerPriority");
        for list in ["containers", "initContainers"] {
            for container in each(spec, list) {
                limits_are_requests(container);
            }
        }
    }
}

fn limits_are_requests(container: &mut Map<String, Value>) {
    let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let requests = resources.entry("requests").or_insert_with(|| json!({}));
    if let Some(requests) = requests.as_object_mut() {
        for (name, limit) in limits {
            requests.entry(name).or_insert(limit);
        }
    }
}

fn pod_spec(spec: &mut Map<String, Value>) {
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "restartPolicy", "Always");
    set(spec, "schedulerName", "default-scheduler");
    set(spec, "terminationGracePeriodSeconds", 30);
    set(spec, "enableServiceLinks", true);
    spec.entry("securityContext").or_insert_with(|| json!({}));
    if let Some(account) = spec.get("serviceAccount").cloned() {
        set(spec, "serviceAccountName", account);
    }
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        set(spec, "serviceAccount", account);
    }
    for list in ["containers", "initContainers"] {
        for container in each(spec, list) {
            self::container(container);
        }
    }
    for volume in each(spec, "volumes") {
        if volume.len() == 1 {
            volume.insert("emptyDir".into(), json!({}));
        }
        for kind in ["configMap", "secret", "downwardAPI", "projected"] {
            if let Some(source) = volume.get_mut(kind).and_then(Value::as_object_mut) {
                set(source, "defaultMode", 420);
            }
        }
        if let Some(host) = volume.get_mut("hostPath").and_then(Value::as_object_mut) {
            host.entry("type").or_insert_with(|| "".into());
        }
    }
}

fn container(container: &mut Map<String, Value>) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let latest = !image.contains('@') && (last.ends_with(":latest") || !last.contains(':'));
    set(container, "imagePullPolicy", if latest { "Always" } else { "IfNotPresent" });
    set(container, "terminationMessagePath", "/dev/termination-log");
    set(container, "terminationMessagePolicy", "File");
    container.entry("resources").or_insert_with(|| json!({}));
    for port in each(container, "ports") {
        set(port, "protocol", "TCP");
    }
    for variable in each(container, "env") {
        if let Some(field) =
            variable.get_mut("valueFrom").and_then(|from| from.get_mut("fieldRef")).and_then(Value::as_object_mut)
        {
            set(field, "apiVersion", "v1");
        }
        if let Some(field) = variable
            .get_mut("valueFrom")
            .and_then(|from| from.get_mut("resourceFieldRef"))
            .and_then(Value::as_object_mut)
        {
            set(field, "divisor", "0");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name).and_then(Value::as_object_mut) {
            set(probe, "timeoutSeconds", 1);
            set(probe, "periodSeconds", 10);
            set(probe, "successThreshold", 1);
            set(probe, "failureThreshold", 3);
            if let Some(get) = probe.get_mut("httpGet").and_then(Value::as_object_mut) {
                set(get, "path", "/");
                set(get, "scheme", "HTTP");
            }
        }
    }
}

pub(super) fn service(value: &mut Value) {
    let Some(spec) = object(value, &["spec"]) else { return };
    set(spec, "type", "ClusterIP");
    set(spec, "sessionAffinity", "None");
    if spec["type"] != "ExternalName" {
        set(spec, "internalTrafficPolicy", "Cluster");
        spec.entry("ipFamilies").or_insert_with(|| json!(["IPv4"]));
        set(spec, "ipFamilyPolicy", "SingleStack");
    }
    for port in each(spec, "ports") {
        set(port, "protocol", "TCP");
        let number = port.get("port").cloned().unwrap_or_default();
        let absent =
            port.get("targetPort").is_none_or(|target| target.is_null() || target == &json!(0) || target == "");
        if absent {
            port.insert("targetPort".into(), number);
        }
    }
}

pub(super) fn secret(value: &mut Value) {
    let Some(map) = value.as_object_mut() else { return };
    set(map, "type", "Opaque");
    if let Some(Value::Object(texts)) = map.remove("stringData") {
        let data = map.entry("data").or_insert_with(|| json!({}));
        if let Some(data) = data.as_object_mut() {
            for (name, text) in texts {
                data.insert(name, STANDARD.encode(text.as_str().unwrap_or_default()).into());
            }
        }
    }
}

pub(super) fn deployment(value: &mut Value) {
    let Some(spec) = object(value, &["spec"]) else { return };
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
    set(spec, "progressDeadlineSeconds", 600);
    let strategy = spec.entry("strategy").or_insert_with(|| json!({}));
    if let Some(strategy) = strategy.as_object_mut() {
        set(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            let rolling = strategy.entry("rollingUpdate").or_insert_with(|| json!({}));
            if let Some(rolling) = rolling.as_object_mut() {
                set(rolling, "maxSurge", "25%");
                set(rolling, "maxUnavailable", "25%");
            }
        }
    }
    template(value);
}

pub(super) fn replica_set(value: &mut Value) {
    if let Some(spec) = object(value, &["spec"]) {
        set(spec, "replicas", 1);
    }
    template(value);
}

fn template(value: &mut Value) {
    if let Some(spec) = object(value, &["spec", "template", "spec"]) {
        pod_spec(spec);
    }
}

pub(super) fn binding(value: &mut Value) {
    if let Some(role) = object(value, &["roleRef"]) {
        set(role, "apiGroup", "rbac.authorization.k8s.io");
    }
    let Some(map) = value.as_object_mut() else { return };
    for subject in each(map, "subjects") {
        let group = if subject.get("kind").is_some_and(|kind| kind == "ServiceAccount") {
            ""
        } else {
            "rbac.authorization.k8s.io"
        };
        if !group.is_empty() {
            set(subject, "apiGroup", group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_deployment_reads_as_kubernetes_shows_it() {
        let mut value = json!({"metadata": {"name": "a"}, "spec": {"template": {"spec": {"containers": [
            {"name": "c", "image": "nginx", "ports": [{"containerPort": 80}], "readinessProbe": {"httpGet": {"port": 80}}}]}}}});
        deployment(&mut value);
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
        assert_eq!(value, json!({"type": "Opaque", "data": {"a": "Yg=="}}));
        let mut value =
            json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]}});
        pod(&mut value);
        assert_eq!(value["spec"]["containers"][0]["resources"]["requests"]["memory"], "1Gi");
        assert_eq!(qos(&value["spec"]), "Guaranteed");
    }
}
