//! What a resource is called: group, version, kind, name and namespace.

use std::{collections::HashMap, fmt, rc::Rc, sync::OnceLock};

/// Where resources stand that no namespace holds.
pub(crate) const CLUSTER: &str = "_non_namespaceable_";
const DEFAULT: &str = "default";

/// A selector of kinds; empty parts select everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gvk {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
}

impl Gvk {
    pub(crate) fn of(api: &str, kind: &str) -> Self {
        let (group, version) = split_api(api);
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// Returns whether this selector selects a kind (`x.IsSelected(&selector)`).
    pub(crate) fn selects(&self, api: &str, kind: &str) -> bool {
        if !self.kind.is_empty() && self.kind != kind {
            return false;
        }
        if self.group.is_empty() && self.version.is_empty() {
            return true;
        }
        let (group, version) = split_api(api);
        (self.group.is_empty() || self.group == group) && (self.version.is_empty() || self.version == version)
    }

    pub(crate) fn selects_gvk(&self, other: &Gvk) -> bool {
        (self.kind.is_empty() || self.kind == other.kind)
            && (self.group.is_empty() || self.group == other.group)
            && (self.version.is_empty() || self.version == other.version)
    }

    /// Kinds that others are made of come first, as everywhere in kustomize.
    pub(crate) fn rank(&self) -> (i32, String) {
        (rank(&self.kind), stable(&self.group, &self.version, &self.kind))
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &str, none: &'static str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
        write!(f, "{}.{}.{}", or(&self.kind, "[noKind]"), or(&self.version, "[noVer]"), or(&self.group, "[noGrp]"))
    }
}

/// `group_version_kind` with signs for what is missing.
pub(crate) fn stable(group: &str, version: &str, kind: &str) -> String {
    let or = |text: &str, none: &'static str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
    format!("{}_{}_{}", or(group, "~G"), or(version, "~V"), or(kind, "~K"))
}

pub(crate) fn split_api(api: &str) -> (&str, &str) {
    api.split_once('/').unwrap_or(("", api))
}

/// A resource's name among others; the namespace is the one that it is compared by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    pub(crate) api: Rc<str>,
    pub(crate) kind: Rc<str>,
    pub(crate) name: Rc<str>,
    /// As compared: `default` for none, [`CLUSTER`] for kinds without namespaces.
    pub(crate) namespace: Rc<str>,
    /// As written.
    pub(crate) written: Rc<str>,
}

impl Id {
    pub(crate) fn is_cluster(&self) -> bool {
        &*self.namespace == CLUSTER
    }

    pub(crate) fn same(&self, other: &Id) -> bool {
        self.name == other.name && self.kind == other.kind && self.api == other.api && self.namespace == other.namespace
    }

    /// What two ids that are the same have in common.
    pub(crate) fn key(&self) -> (Rc<str>, Rc<str>, Rc<str>, Rc<str>) {
        (self.api.clone(), self.kind.clone(), self.name.clone(), self.namespace.clone())
    }

    pub(crate) fn gvk(&self) -> Gvk {
        Gvk::of(&self.api, &self.kind)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "[noName]" } else { &self.name };
        let namespace = if self.written.is_empty() { "[noNs]" } else { &self.written };
        write!(f, "{}/{name}.{namespace}", self.gvk())
    }
}

/// Returns the namespace that a resource is compared by.
pub(crate) fn effective(written: &Rc<str>, cluster: bool) -> Rc<str> {
    thread_local! {
        static NAMES: (Rc<str>, Rc<str>) = (CLUSTER.into(), DEFAULT.into());
    }
    if cluster {
        NAMES.with(|names| names.0.clone())
    } else if written.is_empty() {
        NAMES.with(|names| names.1.clone())
    } else {
        written.clone()
    }
}

/// Returns whether kustomize knows a kind, and knows that no namespace holds it.
pub(crate) fn known_cluster(api: &str, kind: &str) -> Option<bool> {
    static TABLE: OnceLock<HashMap<(&str, &str), bool>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        SCOPES
            .iter()
            .flat_map(|(api, namespaced, cluster)| {
                let kinds = |text: &'static str, scope: bool| text.split_whitespace().map(move |k| ((*api, k), scope));
                kinds(namespaced, false).chain(kinds(cluster, true))
            })
            .collect()
    });
    table.get(&(api, kind)).copied()
}

/// Kinds that a namespace holds and those that none holds, per version: what kustomize knows.
const SCOPES: &[(&str, &str, &str)] = &[
    (
        "admissionregistration.k8s.io/v1",
        "",
        "MutatingWebhookConfiguration ValidatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding",
    ),
    ("admissionregistration.k8s.io/v1beta1", "", "MutatingWebhookConfiguration ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io/v1", "", "CustomResourceDefinition"),
    ("apiextensions.k8s.io/v1beta1", "", "CustomResourceDefinition"),
    ("apiregistration.k8s.io/v1", "", "APIService"),
    ("apiregistration.k8s.io/v1beta1", "", "APIService"),
    ("apps/v1", "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet", ""),
    ("autoscaling/v1", "HorizontalPodAutoscaler Scale", ""),
    ("autoscaling/v2beta1", "HorizontalPodAutoscaler", ""),
    ("autoscaling/v2beta2", "HorizontalPodAutoscaler", ""),
    ("batch/v1", "CronJob Job", ""),
    ("batch/v1beta1", "CronJob", ""),
    ("certificates.k8s.io/v1", "", "CertificateSigningRequest"),
    ("certificates.k8s.io/v1beta1", "", "CertificateSigningRequest"),
    ("coordination.k8s.io/v1", "Lease", ""),
    ("coordination.k8s.io/v1beta1", "Lease", ""),
    ("discovery.k8s.io/v1", "EndpointSlice", ""),
    ("discovery.k8s.io/v1beta1", "EndpointSlice", ""),
    ("events.k8s.io/v1", "Event", ""),
    ("events.k8s.io/v1beta1", "Event", ""),
    ("extensions/v1beta1", "Ingress", ""),
    ("flowcontrol.apiserver.k8s.io/v1beta1", "", "FlowSchema PriorityLevelConfiguration"),
    ("networking.k8s.io/v1", "Ingress NetworkPolicy", "IngressClass"),
    ("networking.k8s.io/v1beta1", "Ingress", "IngressClass"),
    ("node.k8s.io/v1", "", "RuntimeClass"),
    ("node.k8s.io/v1beta1", "", "RuntimeClass"),
    ("policy/v1", "PodDisruptionBudget", ""),
    ("policy/v1beta1", "PodDisruptionBudget", "PodSecurityPolicy"),
    ("rbac.authorization.k8s.io/v1", "Role RoleBinding", "ClusterRole ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1beta1", "Role RoleBinding", "ClusterRole ClusterRoleBinding"),
    ("scheduling.k8s.io/v1", "", "PriorityClass"),
    ("scheduling.k8s.io/v1beta1", "", "PriorityClass"),
    ("storage.k8s.io/v1", "", "CSIDriver CSINode StorageClass VolumeAttachment"),
    ("storage.k8s.io/v1beta1", "CSIStorageCapacity", "CSIDriver CSINode StorageClass VolumeAttachment"),
    (
        "v1",
        "ConfigMap Endpoints Event LimitRange PersistentVolumeClaim Pod PodAttachOptions PodExecOptions PodPortForwardOptions PodProxyOptions PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount ServiceProxyOptions",
        "ComponentStatus Namespace Node NodeProxyOptions PersistentVolume",
    ),
];

/// Kinds that come first, in their order.
pub(crate) const FIRST: &[&str] = &[
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
/// Kinds that come last, in their order.
pub(crate) const LAST: &[&str] = &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

fn rank(kind: &str) -> i32 {
    if let Some(at) = FIRST.iter().position(|first| *first == kind) {
        return at as i32 - FIRST.len() as i32;
    }
    LAST.iter().position(|last| *last == kind).map_or(0, |at| at as i32 + 1)
}
