//! The `NodeRestriction` admission: a node writes itself and its pods alone.

use http::StatusCode;
use serde_json::Value;

use super::{node_of, refers_to_any};
use crate::{
    rbac::Wish,
    server::Server,
    status::Failure,
    write::{Admission, Operation},
};

impl Server {
    /// `NodeRestriction`: a node writes itself and its own pods.
    pub(crate) fn node_restricted(&self, admission: Admission<'_>) -> Result<(), Failure> {
        let call = admission.call;
        let Some(node) = node_of(call.user) else { return Ok(()) };
        let (group, plural) = (call.resource.gvk.group.as_str(), call.resource.plural.as_str());
        let why = match (group, plural, call.info.subresource.as_str()) {
            ("", "pods", "" | "status") => self.pod_refused(node, admission)?,
            ("", "pods", "eviction") => self.eviction_refused(node, admission),
            ("", "pods", part) => {
                Some(format!("unexpected pod subresource {part:?}, only 'status' and 'eviction' are allowed"))
            }
            ("", "persistentvolumeclaims", part) => claim_refused(node, admission, part),
            ("", "nodes", _) => node_refused(node, admission),
            ("coordination.k8s.io", "leases", _) => lease_refused(node, admission),
            ("storage.k8s.io", "csinodes", _) => (written_name(admission) != node)
                .then(|| "can only access CSINode with the same name as the requesting node".to_owned()),
            ("certificates.k8s.io", "certificatesigningrequests", "") if admission.operation == Operation::Create => {
                admission.new.and_then(|request| crate::certificates::node_refused(node, request))
            }
            _ => None,
        };
        why.map_or(Ok(()), |why| Err(Failure::forbidden(call.resource, written_name(admission), &why)))
    }

    /// Refuses a node's request for a token, as it was sent, that is not for one of its pods.
    pub(crate) fn node_token_restricted(&self, admission: Admission<'_>) -> Result<(), Failure> {
        let Some(node) = node_of(admission.call.user) else { return Ok(()) };
        let refused = self.token_refused(node, admission);
        refused.map_or(Ok(()), |why| Err(Failure::forbidden(admission.call.resource, written_name(admission), &why)))
    }

    fn eviction_refused(&self, node: &str, admission: Admission<'_>) -> Option<String> {
        let info = admission.call.info;
        let snapshot = self.store().snapshot();
        let pod = snapshot.get(&format!("core/pods/{}/{}", info.namespace, info.name))?.value();
        (pod["spec"]["nodeName"] != node)
            .then(|| format!("node {node} can only evict pods with spec.nodeName set to itself"))
    }

    fn token_refused(&self, node: &str, admission: Admission<'_>) -> Option<String> {
        let reference = &admission.new?["spec"]["boundObjectRef"];
        if reference["apiVersion"] != "v1"
            || reference["kind"] != "Pod"
            || reference["name"].as_str().is_none_or(str::is_empty)
        {
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
            return Some(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            ));
        }
        if pod["spec"]["nodeName"] != node {
            return Some("node requested token bound to a pod scheduled on a different node".to_owned());
        }
        self.audience_refused(admission, &pod)
    }

    /// A node asks for tokens for those that a pod's volumes name, or as a role lets it.
    fn audience_refused(&self, admission: Admission<'_>, pod: &Value) -> Option<String> {
        let call = admission.call;
        let audiences = admission.new?["spec"]["audiences"].as_array().cloned().unwrap_or_default();
        let audience = match audiences.as_slice() {
            [] => "",
            [one] => one.as_str().unwrap_or_default(),
            _ => return Some("node may only request 0 or 1 audiences".into()),
        };
        let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
        let projected =
            volumes.clone().flat_map(|volume| volume["projected"]["sources"].as_array().into_iter().flatten());
        let named = projected
            .filter(|source| source["serviceAccountToken"].is_object())
            .any(|source| source["serviceAccountToken"]["audience"].as_str().unwrap_or_default() == audience);
        let snapshot = self.store().snapshot();
        let by_driver = || {
            volumes.clone().any(|volume| {
                driver_of(&snapshot, &call.info.namespace, pod, volume).is_some_and(|driver| {
                    let driver =
                        snapshot.get(&format!("storage.k8s.io/csidrivers//{driver}")).map(|found| found.value());
                    let requests = driver.map(|driver| driver["spec"]["tokenRequests"].clone());
                    let requests = requests.as_ref().and_then(Value::as_array).into_iter().flatten();
                    requests.clone().any(|request| request["audience"].as_str().unwrap_or_default() == audience)
                })
            })
        };
        let wish = Wish {
            verb: "request-serviceaccounts-token-audience".into(),
            namespace: call.info.namespace.clone(),
            resource: audience.into(),
            name: call.info.name.clone(),
            ..Wish::default()
        };
        (!named && !by_driver() && !self.allowed(call.user, &wish)).then(|| {
            format!(
                "audience {audience:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
                call.user.name
            )
        })
    }

    fn pod_refused(&self, node: &str, admission: Admission<'_>) -> Result<Option<String>, Failure> {
        let on = |object: Option<&Value>| object.is_some_and(|object| object["spec"]["nodeName"] == node);
        Ok(match (admission.operation, admission.call.info.subresource.as_str()) {
            (Operation::Create, "") => match admission.new {
                Some(pod) => {
                    mirror_refused(node, pod).map_or_else(|| self.owner_refused(node, pod), |why| Ok(Some(why)))?
                }
                None => None,
            },
            (Operation::Delete, _) => (!on(admission.old))
                .then(|| format!("node {node:?} can only delete pods with spec.nodeName set to itself")),
            (Operation::Update, "status") => status_refused(node, admission),
            _ => Some(format!(
                "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
                format!("{:?}", admission.operation).to_uppercase()
            )),
        })
    }

    /// The owner of a mirror pod is its node, as it is now.
    fn owner_refused(&self, node: &str, pod: &Value) -> Result<Option<String>, Failure> {
        let wanted = pod["metadata"]["ownerReferences"][0]["uid"].as_str().unwrap_or_default();
        let snapshot = self.store().snapshot();
        let found = snapshot.get(&format!("core/nodes//{node}")).map(|found| found.value());
        let Some(found) = found else { return Err(Failure::not_found_named("", "nodes", node)) };
        let uid = found["metadata"]["uid"].as_str().unwrap_or_default();
        if uid != wanted {
            return Ok(Some(format!("node {node} UID mismatch: expected {wanted} got {uid}")));
        }
        Ok(referenced(pod).map(|what| format!("node {node:?} can not create pods that reference {what}")))
    }
}

/// Returns the CSI driver of a pod's volume.
fn driver_of(snapshot: &crate::store::Snapshot, namespace: &str, pod: &Value, volume: &Value) -> Option<String> {
    if let Some(driver) = volume["csi"]["driver"].as_str() {
        return Some(driver.to_owned());
    }
    let claim = if volume["ephemeral"]["volumeClaimTemplate"].is_object() {
        format!("{}-{}", pod["metadata"]["name"].as_str()?, volume["name"].as_str()?)
    } else {
        volume["persistentVolumeClaim"]["claimName"].as_str()?.to_owned()
    };
    let claim = snapshot.get(&format!("core/persistentvolumeclaims/{namespace}/{claim}"))?.value();
    let volume = snapshot.get(&format!("core/persistentvolumes//{}", claim["spec"]["volumeName"].as_str()?))?.value();
    volume["spec"]["csi"]["driver"].as_str().map(str::to_owned)
}

fn written_name(admission: Admission<'_>) -> &str {
    if !admission.call.info.name.is_empty() {
        return &admission.call.info.name;
    }
    admission.new.or(admission.old).and_then(|object| object["metadata"]["name"].as_str()).unwrap_or_default()
}

/// Returns what is wrong with a mirror pod of `node`, its owner's uid aside.
fn mirror_refused(node: &str, pod: &Value) -> Option<String> {
    if pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null() {
        return Some(format!(
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node {node:?} can only create mirror pods"
        ));
    }
    if pod["spec"]["nodeName"] != node {
        return Some(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    let owners = pod["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
    let itself = |owner: &Value| owner["apiVersion"] == "v1" && owner["kind"] == "Node" && owner["name"] == node;
    let only =
        |what: &str| Some(format!("node {node:?} can only create pods with {what} owner reference set to itself"));
    match owners {
        [owner] if !itself(owner) => only("an"),
        [owner] if owner["controller"] != true => only("a controller"),
        [owner] if owner["blockOwnerDeletion"] == true => {
            Some(format!("node {node:?} must not set blockOwnerDeletion on an owner reference"))
        }
        [_] => None,
        [] => only("an"),
        _ => only("a single"),
    }
}

/// Returns which kind of object a pod refers to, which no mirror pod may.
fn referenced(pod: &Value) -> Option<&'static str> {
    let spec = &pod["spec"];
    if spec["serviceAccountName"].as_str().is_some_and(|name| !name.is_empty()) {
        return Some("serviceaccounts");
    }
    if refers_to_any(spec, "secrets") {
        return Some("secrets");
    }
    if refers_to_any(spec, "configmaps") {
        return Some("configmaps");
    }
    if spec["resourceClaims"].as_array().is_some_and(|claims| !claims.is_empty()) {
        return Some("resourceclaims");
    }
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        let has = |name: &str| !volume[name].is_null();
        if has("persistentVolumeClaim") || has("ephemeral") {
            return Some("persistentvolumeclaims");
        }
        if has("csi") {
            return Some("csidrivers");
        }
        for source in volume["projected"]["sources"].as_array().into_iter().flatten() {
            let has = |name: &str| !source[name].is_null();
            if has("serviceAccountToken") {
                return Some("serviceaccounts");
            }
            if has("clusterTrustBundle") {
                return Some("clustertrustbundles");
            }
            if has("podCertificate") {
                return Some("podcertificates");
            }
        }
    }
    None
}

fn status_refused(node: &str, admission: Admission<'_>) -> Option<String> {
    let (old, new) = (admission.old?, admission.new?);
    if old["spec"]["nodeName"] != node {
        return Some(format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself"));
    }
    let differ = |parent: &str, name: &str| {
        let shown = |object: &Value| Some(object[parent][name].clone()).filter(|value| !is_nothing(value));
        shown(old) != shown(new)
    };
    if differ("metadata", "labels") {
        return Some(format!("node {node:?} cannot update labels through pod status"));
    }
    if differ("status", "resourceClaimStatuses") {
        return Some(format!("node {node:?} cannot update resource claim statues"));
    }
    differ("status", "extendedResourceClaimStatus")
        .then(|| format!("node {node:?} cannot update extended resource claim status"))
}

fn is_nothing(value: &Value) -> bool {
    value.is_null()
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// A node says how large a volume has become, and nothing else of a claim.
fn claim_refused(node: &str, admission: Admission<'_>, part: &str) -> Option<String> {
    let (Some(old), Some(new), "status") = (admission.old, admission.new, part) else {
        return Some("may only update PVC status".into());
    };
    let rest = |claim: &Value| {
        let mut claim = claim.clone();
        for name in ["resourceVersion", "managedFields"] {
            claim["metadata"].as_object_mut().map(|map| map.remove(name));
        }
        for name in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
            claim["status"].as_object_mut().map(|map| map.remove(name));
        }
        claim
    };
    (rest(old) != rest(new)).then(|| {
        format!("node {node:?} is not allowed to update fields other than status.quantity and status.conditions")
    })
}

fn node_refused(node: &str, admission: Admission<'_>) -> Option<String> {
    let name = written_name(admission);
    if name != node {
        return Some(format!("node {node:?} is not allowed to modify node {name:?}"));
    }
    let (new, old) = (admission.new?, admission.old);
    let labels = |object: &Value, key: &str| object["metadata"]["labels"][key].clone();
    let keys = [Some(new), old].into_iter().flatten().filter_map(|object| object["metadata"]["labels"].as_object());
    let mut changed: Vec<&str> = keys
        .flatten()
        .map(|(key, _)| key.as_str())
        .filter(|key| old.map_or(Value::Null, |old| labels(old, key)) != labels(new, key) && is_restricted(key))
        .collect();
    changed.sort_unstable();
    changed.dedup();
    let source = &new["spec"]["configSource"];
    let Some(old) = old else {
        if !source.is_null() {
            return Some(format!("node {node:?} is not allowed to create pods with a non-nil configSource"));
        }
        let list = changed.join(", ");
        return (!changed.is_empty())
            .then(|| format!("node {node:?} is not allowed to set the following labels: {list}"));
    };
    if !source.is_null() && *source != old["spec"]["configSource"] {
        return Some(format!("node {node:?} is not allowed to update configSource to a new non-nil configSource"));
    }
    let differ = |parent: &str, name: &str| {
        let shown = |object: &Value| Some(object[parent][name].clone()).filter(|value| !is_nothing(value));
        shown(old) != shown(new)
    };
    if differ("spec", "taints") {
        return Some(format!("node {node:?} is not allowed to modify taints"));
    }
    if differ("metadata", "ownerReferences") {
        return Some(format!("node {node:?} is not allowed to modify ownerReferences"));
    }
    (!changed.is_empty()).then(|| format!("is not allowed to modify labels: {}", changed.join(", ")))
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

/// Returns the failure of a token whose bound object is not as it was named.
pub(crate) fn bound_elsewhere(kind: &str, name: &str, uid: &str) -> Failure {
    let why = format!(
        "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
    );
    Failure {
        details: serde_json::json!({"name": name, "kind": kind}),
        ..Failure::new(
            StatusCode::CONFLICT,
            "Conflict",
            format!("Operation cannot be fulfilled on {kind} {name:?}: {why}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
