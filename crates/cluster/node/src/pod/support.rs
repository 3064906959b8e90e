//! Which fields of a pod this node acts on. A field that is set and not listed here is refused by name.
//!
//! The list is of what is known, so a field that a later Kubernetes adds is refused
//! and not passed over. `docs/spec/Pod.md` says the same for people.

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;

/// Whole subtrees that are acted on here, or by the scheduler and admission before a pod comes here.
const POD: &[&str] = &[
    // The scheduler's and admission's.
    "affinity",
    "automountServiceAccountToken",
    "nodeName",
    "nodeSelector",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "schedulerName",
    "serviceAccount",
    "serviceAccountName",
    "tolerations",
    "topologySpreadConstraints",
    // The node's.
    "activeDeadlineSeconds",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "hostAliases",
    "hostname",
    "imagePullSecrets",
    "os",
    "readinessGates",
    "restartPolicy",
    "securityContext.fsGroup",
    "securityContext.fsGroupChangePolicy",
    "securityContext.runAsGroup",
    "securityContext.runAsNonRoot",
    "securityContext.runAsUser",
    "securityContext.seccompProfile",
    "securityContext.supplementalGroups",
    "subdomain",
    "terminationGracePeriodSeconds",
    "volumes[].configMap",
    "volumes[].downwardAPI",
    "volumes[].emptyDir",
    "volumes[].name",
    "volumes[].projected.defaultMode",
    "volumes[].projected.sources[].configMap",
    "volumes[].projected.sources[].downwardAPI",
    "volumes[].projected.sources[].secret",
    "volumes[].projected.sources[].serviceAccountToken",
    "volumes[].secret",
];

/// The same for containers, relative to each.
const CONTAINER: &[&str] = &[
    "args",
    "command",
    "env",
    "envFrom",
    "image",
    "imagePullPolicy",
    "name",
    "ports[].containerPort",
    "ports[].name",
    "ports[].protocol",
    "resizePolicy",
    "resources.limits.cpu",
    "resources.limits.memory",
    "resources.requests",
    "securityContext.allowPrivilegeEscalation",
    "securityContext.capabilities",
    "securityContext.readOnlyRootFilesystem",
    "securityContext.runAsGroup",
    "securityContext.runAsNonRoot",
    "securityContext.runAsUser",
    "securityContext.seccompProfile",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeMounts[].mountPath",
    "volumeMounts[].name",
    "volumeMounts[].readOnly",
    "volumeMounts[].subPath",
    "workingDir",
];

/// The same for containers that are not init containers.
const MAIN: &[&str] = &[
    "lifecycle.postStart.exec",
    "lifecycle.postStart.httpGet",
    "lifecycle.postStart.sleep",
    "lifecycle.preStop.exec",
    "lifecycle.preStop.httpGet",
    "lifecycle.preStop.sleep",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
];

/// Returns each field of `spec` that is set and not acted on; empty if the pod can run.
pub(crate) fn unsupported(spec: &PodSpec) -> Vec<String> {
    let Ok(value) = serde_json::to_value(spec) else { return vec!["spec".to_owned()] };
    let mut found = Vec::new();
    walk(&value, "", "spec", &mut found);
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let medium = volume.empty_dir.as_ref().and_then(|dir| dir.medium.as_deref()).unwrap_or_default();
        if !matches!(medium, "" | "Memory") {
            found.push(format!("spec.volumes[{index}].emptyDir.medium={medium}"));
        }
    }
    if spec.os.as_ref().is_some_and(|os| os.name != "linux") {
        found.push("spec.os.name: this node runs linux".to_owned());
    }
    let contexts = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let profiles = contexts
        .filter_map(|c| c.security_context.as_ref()?.seccomp_profile.as_ref())
        .chain(spec.security_context.as_ref().and_then(|s| s.seccomp_profile.as_ref()));
    if profiles.into_iter().any(|profile| profile.type_ == "Localhost") {
        found.push("seccompProfile.type=Localhost: this node applies no system call filter".to_owned());
    }
    for container in &spec.containers {
        for (name, probe) in [
            ("livenessProbe", &container.liveness_probe),
            ("readinessProbe", &container.readiness_probe),
            ("startupProbe", &container.startup_probe),
        ] {
            if probe.as_ref().is_some_and(|probe| probe.grpc.is_some()) {
                found.push(format!("spec.containers[{}].{name}.grpc", container.name));
            }
            let scheme = probe.as_ref().and_then(|probe| probe.http_get.as_ref()?.scheme.as_deref());
            if scheme.is_some_and(|scheme| !scheme.eq_ignore_ascii_case("http")) {
                found.push(format!("spec.containers[{}].{name}.httpGet.scheme=HTTPS", container.name));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Returns whether some container asks for the runtime's default filter, which this node does not have.
pub(crate) fn asks_for_seccomp(spec: &PodSpec) -> bool {
    let pod = spec.security_context.as_ref().and_then(|s| s.seccomp_profile.as_ref());
    let containers = spec.containers.iter().filter_map(|c| c.security_context.as_ref()?.seccomp_profile.as_ref());
    containers.chain(pod).any(|profile| profile.type_ == "RuntimeDefault")
}

fn is_known(path: &str) -> bool {
    if let Some(rest) = path.strip_prefix("containers[].") {
        return CONTAINER.contains(&rest) || MAIN.contains(&rest);
    }
    if let Some(rest) = path.strip_prefix("initContainers[].") {
        return CONTAINER.contains(&rest);
    }
    POD.contains(&path)
}

fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
    }
}

/// `pattern` has `[]` for every index, `shown` has the index or name.
fn walk(value: &Value, pattern: &str, shown: &str, found: &mut Vec<String>) {
    if is_unset(value) || is_known(pattern) || matches!(pattern, "hostUsers") {
        return;
    }
    let join =
        |parent: &str, field: &str| if parent.is_empty() { field.to_owned() } else { format!("{parent}.{field}") };
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                walk(value, &join(pattern, field), &join(shown, field), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                let name = value.get("name").and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned);
                walk(value, &format!("{pattern}[]"), &format!("{shown}[{name}]"), found);
            }
        }
        _ => {
            // Values that ask for what happens anyway.
            let usual = matches!(
                (pattern.rsplit('.').next().unwrap_or(pattern), value.as_str()),
                ("mountPropagation", Some("None"))
                    | ("recursiveReadOnly", Some("Disabled"))
                    | ("procMount", Some("Default"))
            );
            if !usual {
                found.push(shown.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: Value) -> Vec<String> {
        unsupported(&serde_json::from_value(value).unwrap())
    }

    #[test]
    fn an_ordinary_pod_is_supported() {
        let spec = json!({
            "containers": [{
                "name": "web", "image": "x", "ports": [{ "containerPort": 80, "name": "http", "protocol": "TCP" }],
                "resources": { "limits": { "cpu": "1", "memory": "64Mi" }, "requests": { "cpu": "10m" } },
                "livenessProbe": { "httpGet": { "path": "/", "port": "http", "scheme": "HTTP" }, "periodSeconds": 1 },
                "securityContext": {
                    "runAsNonRoot": true, "privileged": false, "capabilities": { "drop": ["ALL"] },
                    "seccompProfile": { "type": "RuntimeDefault" }, "readOnlyRootFilesystem": true,
                },
                "volumeMounts": [{ "name": "v", "mountPath": "/v", "mountPropagation": "None" }],
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent",
            }],
            "volumes": [{ "name": "v", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } }],
            "hostNetwork": false, "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {},
            "tolerations": [{ "key": "x", "operator": "Exists" }], "schedulerName": "default-scheduler",
        });
        assert_eq!(of(spec), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_acted_on_is_refused_by_name() {
        for (spec, field) in [
            (json!({ "containers": [], "hostNetwork": true }), "spec.hostNetwork"),
            (json!({ "containers": [], "hostPID": true }), "spec.hostPID"),
            (json!({ "containers": [], "shareProcessNamespace": true }), "spec.shareProcessNamespace"),
            (json!({ "containers": [], "runtimeClassName": "gvisor" }), "spec.runtimeClassName"),
            (
                json!({ "containers": [{ "name": "a", "ports": [{ "containerPort": 1, "hostPort": 1 }] }] }),
                "spec.containers[a].ports[0].hostPort",
            ),
            (
                json!({ "containers": [{ "name": "a", "securityContext": { "privileged": true } }] }),
                "spec.containers[a].securityContext.privileged",
            ),
            (
                json!({ "containers": [], "volumes": [{ "name": "h", "hostPath": { "path": "/" } }] }),
                "spec.volumes[h].hostPath.path",
            ),
            (
                json!({ "containers": [], "volumes": [{ "name": "d", "persistentVolumeClaim": { "claimName": "c" } }] }),
                "spec.volumes[d].persistentVolumeClaim.claimName",
            ),
            (
                json!({ "containers": [], "initContainers": [{ "name": "i", "restartPolicy": "Always" }] }),
                "spec.initContainers[i].restartPolicy",
            ),
            (
                json!({ "containers": [{ "name": "a", "livenessProbe": { "grpc": { "port": 1 } } }] }),
                "spec.containers[a].livenessProbe.grpc",
            ),
            (
                json!({ "containers": [], "securityContext": { "sysctls": [{ "name": "n", "value": "1" }] } }),
                "spec.securityContext.sysctls[n].name",
            ),
        ] {
            assert!(of(spec).iter().any(|found| found == field), "{field}");
        }
    }
}
