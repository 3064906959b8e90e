//! What a node may do beside its role: `Node` authorization (reading what its pods need and
//! nothing else) and the `NodeRestriction` admission (writing itself and its pods alone).

use http::StatusCode;
use serde_json::Value;

use crate::{
    rbac::{User, Wish, permitted},
    server::Server,
    status::Failure,
    write::{Admission, Operation},
};

/// Returns the node whose credential this is: a user `system:node:NAME` in the group `system:nodes`.
fn node_of(user: &User) -> Option<&str> {
    user.name.strip_prefix("system:node:").filter(|_| user.groups.iter().any(|group| group == "system:nodes"))
}

impl Server {
    /// Returns whether a node may do what it wishes: what the role `system:node` lets it, of its own.
    pub(crate) fn node_allowed(&self, user: &User, wish: &Wish) -> bool {
        let Some(node) = node_of(user) else { return false };
        let policy = self.policy();
        let by_role = || policy.referred("ClusterRole", "", "system:node").is_some_and(|rules| permitted(rules, wish));
        let reads = matches!(wish.verb.as_str(), "get" | "list" | "watch");
        let own = wish.name == node;
        match (wish.group.as_str(), wish.resource.as_str()) {
            ("", kind @ ("secrets" | "configmaps" | "persistentvolumeclaims")) => {
                let named = !wish.name.is_empty() && !wish.namespace.is_empty();
                reads && named && self.node_needs(node, &wish.namespace, &|pod| refers(pod, kind, &wish.name))
            }
            ("", "persistentvolumes") => wish.verb == "get" && self.node_mounts(node, &wish.name),
            ("", "serviceaccounts/token") => {
                wish.verb == "create"
                    && self.node_needs(node, &wish.namespace, &|pod| {
                        pod["spec"]["serviceAccountName"] == wish.name.as_str()
                    })
            }
            ("", "nodes" | "nodes/status") => by_role() && (own || wish.verb == "create" && wish.name.is_empty()),
            ("", "pods") if wish.verb == "get" => {
                self.node_needs(node, &wish.namespace, &|pod| pod["metadata"]["name"] == wish.name.as_str())
            }
            ("coordination.k8s.io", "leases") => {
                wish.namespace == "kube-node-lease" && by_role() && (own || wish.verb == "create")
            }
            ("storage.k8s.io", "csinodes") => by_role() && (own || wish.verb == "create"),
            _ => by_role(),
        }
    }

    /// Returns whether some pod of `namespace` on `node` is as `needs` says.
    fn node_needs(&self, node: &str, namespace: &str, needs: &dyn Fn(&Value) -> bool) -> bool {
        let snapshot = self.store().snapshot();
        let prefix = format!("core/pods/{namespace}/");
        snapshot.range(&prefix, None).any(|(_, entry)| {
            let pod = entry.value();
            pod["spec"]["nodeName"] == node && needs(&pod)
        })
    }

    fn node_mounts(&self, node: &str, volume: &str) -> bool {
        let snapshot = self.store().snapshot();
        let Some(volume) = snapshot.get(&format!("core/persistentvolumes//{volume}")) else { return false };
        let claim = &volume.value()["spec"]["claimRef"];
        let (namespace, name) =
            (claim["namespace"].as_str().unwrap_or_default(), claim["name"].as_str().unwrap_or_default());
        self.node_needs(node, namespace, &|pod| refers(pod, "persistentvolumeclaims", name))
    }

    /// `NodeRestriction`: a node writes itself and its own pods.
    pub(crate) fn node_restricted(&self, admission: Admission<'_>) -> Result<(), Failure> {
        let call = admission.call;
        let Some(node) = node_of(call.user) else { return Ok(()) };
        let (group, plural) = (call.resource.gvk.group.as_str(), call.resource.plural.as_str());
        let why = match (group, plural, call.info.subresource.as_str()) {
            ("", "pods", "" | "status") => pod_refused(node, admission),
            ("", "pods", "eviction") => self.eviction_refused(node, admission),
            ("", "nodes", _) => node_refused(node, admission),
            ("", "serviceaccounts", "token") => self.token_refused(node, admission),
            ("coordination.k8s.io", "leases", _) => lease_refused(node, admission),
            ("storage.k8s.io", "csinodes", _) => (written_name(admission) != node)
                .then(|| format!("can only access CSINode with the same name as the requesting node {node:?}")),
            _ => None,
        };
        why.map_or(Ok(()), |why| Err(Failure::forbidden(call.resource, written_name(admission), &why)))
    }

    fn eviction_refused(&self, node: &str, admission: Admission<'_>) -> Option<String> {
        let info = admission.call.info;
        let snapshot = self.store().snapshot();
        let pod = snapshot.get(&format!("core/pods/{}/{}", info.namespace, info.name))?.value();
        (pod["spec"]["nodeName"] != node)
            .then(|| format!("node {node:?} can only evict pods with spec.nodeName set to itself"))
    }

    fn token_refused(&self, node: &str, admission: Admission<'_>) -> Option<String> {
        let reference = &admission.new?["spec"]["boundObjectRef"];
        if reference["kind"] != "Pod" || reference["name"].as_str().is_none_or(str::is_empty) {
            return Some("node requested token not bound to a pod".into());
        }
        let name = reference["name"].as_str().unwrap_or_default();
        let Some(uid) = reference["uid"].as_str().filter(|uid| !uid.is_empty()) else {
            return Some("node requested token with a pod binding without a uid".into());
        };
        let snapshot = self.store().snapshot();
        let key = format!("core/pods/{}/{name}", admission.call.info.namespace);
        let Some(pod) = snapshot.get(&key).map(|entry| entry.value()) else {
            return Some(format!("pod {name:?} not found"));
        };
        if pod["metadata"]["uid"] != uid {
            let found = pod["metadata"]["uid"].as_str().unwrap_or_default();
            return Some(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated ({found})"
            ));
        }
        (pod["spec"]["nodeName"] != node)
            .then(|| "node requested token bound to a pod scheduled on a different node".to_owned())
    }
}

fn written_name(admission: Admission<'_>) -> &str {
    if !admission.call.info.name.is_empty() {
        return &admission.call.info.name;
    }
    admission.new.or(admission.old).and_then(|object| object["metadata"]["name"].as_str()).unwrap_or_default()
}

fn pod_refused(node: &str, admission: Admission<'_>) -> Option<String> {
    let on = |object: Option<&Value>| object.is_some_and(|object| object["spec"]["nodeName"] == node);
    match (admission.operation, admission.call.info.subresource.as_str()) {
        (Operation::Create, "") => {
            let pod = admission.new?;
            if pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null() {
                return Some(format!(
                    "pod does not have \"kubernetes.io/config.mirror\" annotation, node {node:?} can only create mirror pods"
                ));
            }
            (!on(Some(pod))).then(|| format!("node {node:?} can only create pods with spec.nodeName set to itself"))
        }
        (Operation::Delete, _) => {
            (!on(admission.old)).then(|| format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
        }
        (Operation::Update, "status") => {
            if !on(admission.old) {
                return Some(format!(
                    "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
                ));
            }
            let labels = |object: Option<&Value>| object.map(|object| object["metadata"]["labels"].clone());
            (labels(admission.old) != labels(admission.new))
                .then(|| format!("node {node:?} cannot update labels through pod status"))
        }
        _ => Some(format!("unexpected operation {:?}", admission.operation)),
    }
}

fn node_refused(node: &str, admission: Admission<'_>) -> Option<String> {
    let name = written_name(admission);
    if name != node {
        return Some(format!("node {node:?} is not allowed to modify node {name:?}"));
    }
    let (new, old) = (admission.new?, admission.old);
    let labels = |object: &Value, key: &str| object["metadata"]["labels"][key].clone();
    let both = [Some(new), old];
    let keys = both.into_iter().flatten().filter_map(|object| object["metadata"]["labels"].as_object()).flatten();
    let mut changed: Vec<&str> = keys
        .map(|(key, _)| key.as_str())
        .filter(|key| old.map_or(Value::Null, |old| labels(old, key)) != labels(new, key) && is_restricted(key))
        .collect();
    changed.sort_unstable();
    changed.dedup();
    if !changed.is_empty() {
        return Some(format!("is not allowed to modify labels: {}", changed.join(", ")));
    }
    let old = old?;
    if old["spec"]["taints"] != new["spec"]["taints"] {
        return Some(format!("node {node:?} is not allowed to modify taints"));
    }
    (old["metadata"]["ownerReferences"] != new["metadata"]["ownerReferences"])
        .then(|| format!("node {node:?} is not allowed to modify ownerReferences"))
}

/// Labels that say where a node may be trusted are its administrator's; those of the kubelet are its own.
fn is_restricted(key: &str) -> bool {
    const OWN: &[&str] = &[
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
    ];
    let Some((domain, _)) = key.split_once('/') else { return false };
    let under = |parent: &str| domain == parent || domain.ends_with(&format!(".{parent}"));
    if under("node-restriction.kubernetes.io") {
        return true;
    }
    (under("kubernetes.io") || under("k8s.io"))
        && !OWN.contains(&key)
        && !under("kubelet.kubernetes.io")
        && !under("node.kubernetes.io")
}

fn lease_refused(node: &str, admission: Admission<'_>) -> Option<String> {
    if admission.call.info.namespace != "kube-node-lease" {
        return Some("can only access leases in the \"kube-node-lease\" system namespace".into());
    }
    (written_name(admission) != node)
        .then(|| "can only access node lease with the same name as the requesting node".to_owned())
}

/// Returns whether a pod names this Secret, ConfigMap or claim anywhere.
fn refers(pod: &Value, kind: &str, name: &str) -> bool {
    let (places, direct): (&[&str], &[&str]) = match kind {
        "secrets" => {
            (&["secret", "secretRef", "secretKeyRef", "imagePullSecrets", "nodePublishSecretRef"], &["secretName"])
        }
        "configmaps" => (&["configMap", "configMapRef", "configMapKeyRef"], &[]),
        _ => (&[], &["claimName"]),
    };
    walk(&pod["spec"], "spec", places, direct, name)
}

fn walk(value: &Value, under: &str, places: &[&str], direct: &[&str], name: &str) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(key, value)| {
            let found = value == name && (direct.contains(&key.as_str()) || key == "name" && places.contains(&under));
            found || walk(value, key, places, direct, name)
        }),
        Value::Array(list) => list.iter().any(|value| walk(value, under, places, direct, name)),
        _ => false,
    }
}

/// Returns the failure of a token whose bound object is not as it was named.
pub(crate) fn bound_elsewhere(uid: &str) -> Failure {
    Failure::new(
        StatusCode::CONFLICT,
        "Conflict",
        format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_pod_names_its_node_may_read() {
        let pod = json!({"spec": {"volumes": [{"secret": {"secretName": "a"}}, {"projected": {"sources": [{"configMap": {"name": "b"}}]}},
            {"persistentVolumeClaim": {"claimName": "c"}}], "imagePullSecrets": [{"name": "d"}],
            "containers": [{"name": "e", "env": [{"name": "f", "valueFrom": {"secretKeyRef": {"name": "g", "key": "h"}}}]}]}});
        for (kind, name, expected) in [
            ("secrets", "a", true),
            ("secrets", "d", true),
            ("secrets", "g", true),
            ("secrets", "b", false),
            ("secrets", "e", false),
            ("configmaps", "b", true),
            ("configmaps", "a", false),
            ("persistentvolumeclaims", "c", true),
        ] {
            assert_eq!(refers(&pod, kind, name), expected, "{kind} {name}");
        }
    }

    #[test]
    fn a_node_labels_itself_with_what_is_its_own() {
        for (key, restricted) in [
            ("team", false),
            ("example.com/a", false),
            ("kubernetes.io/hostname", false),
            ("node.kubernetes.io/speed", false),
            ("node-restriction.kubernetes.io/trusted", true),
            ("node-role.kubernetes.io/control-plane", true),
        ] {
            assert_eq!(is_restricted(key), restricted, "{key}");
        }
    }
}
