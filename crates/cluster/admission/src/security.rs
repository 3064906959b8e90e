//! `PodSecurity`: the three levels of the Pod Security Standards, by a namespace's labels.

mod checks;

use std::fmt;

use serde_json::Value;

use crate::{items, text};

/// The minor version of Kubernetes that `latest` means.
const LATEST: u32 = 36;

const PREFIX: &str = "pod-security.kubernetes.io/";

/// A level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Everything is allowed.
    #[default]
    Privileged,
    /// Known ways to gain privileges are not.
    Baseline,
    /// What is hardened by today's practice alone is.
    Restricted,
}

/// A level at a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Standard {
    /// The level.
    pub level: Level,
    /// The minor version; `None` for the latest.
    pub minor: Option<u32>,
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.minor {
            None => write!(f, "{level}:latest"),
            Some(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

/// What a namespace asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Standards {
    /// What is refused.
    pub enforce: Standard,
    /// What is written to the audit log.
    pub audit: Standard,
    /// What clients are warned of.
    pub warn: Standard,
}

/// Reads the labels of a namespace. Returns what they ask for, and the labels that make no
/// sense (with their values and what is wrong); those ask for `restricted`.
pub fn standards(namespace: &Value) -> (Standards, Vec<(String, String, &'static str)>) {
    let labels = &namespace["metadata"]["labels"];
    let mut wrong = Vec::new();
    let mut read = |mode: &str| -> Standard {
        let (level_key, version_key) = (format!("{PREFIX}{mode}"), format!("{PREFIX}{mode}-version"));
        let mut standard = Standard::default();
        if let Some(value) = labels[&level_key].as_str() {
            standard.level = match value {
                "privileged" => Level::Privileged,
                "baseline" => Level::Baseline,
                "restricted" => Level::Restricted,
                _ => {
                    wrong.push((level_key, value.to_owned(), "must be one of privileged, baseline, restricted"));
                    Level::Restricted
                }
            };
        }
        if let Some(value) = labels[&version_key].as_str().filter(|value| *value != "latest") {
            let minor = value.strip_prefix("v1.").and_then(|minor| minor.parse().ok());
            if minor.is_none() {
                wrong.push((version_key, value.to_owned(), "must be \"latest\" or \"v1.x\""));
            }
            standard.minor = minor;
        }
        standard
    };
    let standards = Standards { enforce: read("enforce"), audit: read("audit"), warn: read("warn") };
    (standards, wrong)
}

/// Returns what of a pod (or pod template) a standard does not allow, as one sentence.
pub fn violations(standard: Standard, metadata: &Value, spec: &Value) -> Option<String> {
    if standard.level == Level::Privileged {
        return None;
    }
    let minor = standard.minor.unwrap_or(LATEST).min(LATEST);
    let found = checks::run(standard.level, minor, metadata, spec);
    if found.is_empty() { None } else { Some(found.join(", ")) }
}

/// What is said of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why it is refused.
    pub refusal: Option<String>,
    /// What to warn of.
    pub warning: Option<String>,
    /// What to write to the audit log.
    pub audit: Option<String>,
}

/// Judges a pod.
pub fn judge_pod(standards: &Standards, pod: &Value) -> Verdict {
    let (metadata, spec) = (&pod["metadata"], &pod["spec"]);
    let refusal = violations(standards.enforce, metadata, spec)
        .map(|found| format!("violates PodSecurity {:?}: {found}", standards.enforce.to_string()));
    let mut verdict = judge_template(standards, metadata, spec);
    // Whoever is refused needs no warning.
    if refusal.is_some() {
        verdict.warning = None;
    }
    Verdict { refusal, ..verdict }
}

/// Judges a pod template: it is never refused.
pub fn judge_template(standards: &Standards, metadata: &Value, spec: &Value) -> Verdict {
    let would = |standard: Standard| {
        violations(standard, metadata, spec)
            .map(|found| format!("would violate PodSecurity {:?}: {found}", standard.to_string()))
    };
    Verdict { refusal: None, warning: would(standards.warn), audit: would(standards.audit) }
}

/// Returns the pod template of an object, if its kind has one: its metadata and spec.
pub fn template<'a>(group: &str, resource: &str, object: &'a Value) -> Option<(&'a Value, &'a Value)> {
    let path = match (group, resource) {
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
        | ("batch", "jobs")
        | ("", "replicationcontrollers") => "/spec/template",
        ("batch", "cronjobs") => "/spec/jobTemplate/spec/template",
        ("", "podtemplates") => "/template",
        _ => return None,
    };
    let template = object.pointer(path)?;
    Some((&template["metadata"], &template["spec"]))
}

/// Returns whether an update of a pod changes anything that is judged.
pub fn matters(old: &Value, new: &Value) -> bool {
    let judged = |pod: &Value| {
        let mut spec = pod["spec"].clone();
        for name in
            ["tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "schedulingGates", "nodeName"]
        {
            spec.as_object_mut().map(|spec| spec.remove(name));
        }
        let marks: Vec<(String, Value)> = pod["metadata"]["annotations"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| name.contains("seccomp.security.alpha") || name.contains("apparmor.security.beta"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        (spec, marks)
    };
    judged(old) != judged(new)
}

/// Returns what to warn of when a namespace begins to enforce a standard that pods in it violate.
pub fn existing(namespace: &str, standard: Standard, pods: &[Value]) -> Vec<String> {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    let mut named: Vec<&Value> = pods.iter().collect();
    named.sort_by_key(|pod| text(&pod["metadata"], "name"));
    for pod in named {
        let Some(found) = violations(standard, &pod["metadata"], &pod["spec"]) else { continue };
        // Which container it is does not matter here.
        let reasons: Vec<&str> = found.split("), ").map(|part| part.split(" (").next().unwrap_or(part)).collect();
        let reasons = reasons.join(", ");
        let name = text(&pod["metadata"], "name");
        match groups.iter_mut().find(|(known, _)| *known == reasons) {
            Some((_, names)) => names.push(name),
            None => groups.push((reasons, vec![name])),
        }
    }
    if groups.is_empty() {
        return Vec::new();
    }
    let head = format!(
        "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level {:?}",
        standard.to_string()
    );
    let lines = groups.into_iter().map(|(reasons, names)| match names.len() {
        1 => format!("{}: {reasons}", names[0]),
        2 => format!("{} (and 1 other pod): {reasons}", names[0]),
        more => format!("{} (and {} other pods): {reasons}", names[0], more - 1),
    });
    std::iter::once(head).chain(lines).collect()
}

/// Returns all containers of a pod: initial, plain and ephemeral ones.
fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|name| items(&spec[name]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(level: Level, minor: Option<u32>, spec: &Value) -> String {
        violations(Standard { level, minor }, &Value::Null, spec).unwrap_or_default()
    }

    #[test]
    fn a_plain_pod_is_baseline_and_not_restricted() {
        let spec = json!({"containers": [{"name": "a"}]});
        assert_eq!(found(Level::Baseline, None, &spec), "");
        assert_eq!(
            found(Level::Restricted, None, &spec),
            "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
        );
        // Version 1.7 knew nothing of escalation and capabilities.
        assert_eq!(
            found(Level::Restricted, Some(7), &spec),
            "runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true)"
        );
    }

    #[test]
    fn what_baseline_refuses_is_named() {
        let spec = json!({"hostNetwork": true, "hostPID": true, "volumes": [{"name": "v", "hostPath": {}}, {"name": "w", "hostPath": {}}],
            "securityContext": {"sysctls": [{"name": "net.core.somaxconn"}], "seLinuxOptions": {"user": "u", "type": "t"}},
            "containers": [{"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 443}], "securityContext": {"privileged": true, "capabilities": {"add": ["SYS_ADMIN", "CHOWN"]}, "procMount": "Unmasked"}},
                {"name": "b", "livenessProbe": {"httpGet": {"host": "x"}}, "securityContext": {"seccompProfile": {"type": "Unconfined"}}}]});
        assert_eq!(
            found(Level::Baseline, None, &spec),
            "non-default capabilities (container \"a\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add), host namespaces (hostNetwork=true, hostPID=true), hostPath volumes (volumes \"v\", \"w\"), hostPort (container \"a\" uses hostPorts 443, 80), probe or lifecycle host (container \"b\" uses probe or lifecycle host \"x\"), privileged (container \"a\" must not set securityContext.privileged=true), procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\"), seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"t\"; user may not be set), seccompProfile (container \"b\" must not set securityContext.seccompProfile.type to \"Unconfined\"), forbidden sysctls (net.core.somaxconn)"
        );
        let quiet = json!({"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]});
        assert_eq!(found(Level::Baseline, None, &quiet), "");
    }

    #[test]
    fn a_hardened_pod_is_restricted() {
        let spec = json!({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}, "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [{"name": "a", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}}]});
        assert_eq!(found(Level::Restricted, None, &spec), "");
        let mut bad = spec.clone();
        bad["volumes"] = json!([{"name": "v", "nfs": {}}]);
        bad["containers"][0]["securityContext"]["runAsUser"] = json!(0);
        assert_eq!(
            found(Level::Restricted, None, &bad),
            "restricted volume types (volume \"v\" uses restricted volume type \"nfs\"), runAsUser=0 (container \"a\" must not set runAsUser=0)"
        );
    }

    #[test]
    fn labels_that_make_no_sense_are_named_and_hold_for_the_strictest() {
        let namespace = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "bad", "pod-security.kubernetes.io/warn": "baseline",
            "pod-security.kubernetes.io/warn-version": "v1.20"}}});
        let (standards, wrong) = standards(&namespace);
        assert_eq!(standards.enforce.level, Level::Restricted);
        assert_eq!(standards.warn.to_string(), "baseline:v1.20");
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn pods_that_are_there_are_told_of_by_what_is_wrong_with_them() {
        let pod = |name: &str, spec: Value| json!({"metadata": {"name": name}, "spec": spec});
        let pods = [pod("b", json!({"hostPID": true})), pod("a", json!({"hostPID": true})), pod("c", json!({}))];
        let standard = Standard { level: Level::Baseline, minor: None };
        assert_eq!(
            existing("ns", standard, &pods),
            [
                "existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"baseline:latest\"",
                "a (and 1 other pod): host namespaces"
            ]
        );
    }
}
