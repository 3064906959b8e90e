//! API versions that are gone or on their way out, and kinds that a built-in group does not have.

use std::sync::LazyLock;

use schema::model::{self, of_kind};

use crate::report::{Object, Report};

/// Whether the types of an object are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// They are.
    Yes,
    /// They are not, or the version is gone.
    No,
}

/// A version that is gone or deprecated: group version, kind (`*`: every), the release that dropped it (empty: it is
/// deprecated only), what replaces it.
type Row = (&'static str, &'static str, &'static str, &'static str);

const GONE: &[Row] = &[
    ("extensions/v1beta1", "Ingress", "1.22", "networking.k8s.io/v1"),
    ("extensions/v1beta1", "NetworkPolicy", "1.16", "networking.k8s.io/v1"),
    ("extensions/v1beta1", "PodSecurityPolicy", "1.16", ""),
    ("extensions/v1beta1", "Deployment", "1.16", "apps/v1"),
    ("extensions/v1beta1", "DaemonSet", "1.16", "apps/v1"),
    ("extensions/v1beta1", "ReplicaSet", "1.16", "apps/v1"),
    ("apps/v1beta1", "*", "1.16", "apps/v1"),
    ("apps/v1beta2", "*", "1.16", "apps/v1"),
    ("policy/v1beta1", "PodSecurityPolicy", "1.25", ""),
    ("policy/v1beta1", "*", "1.25", "policy/v1"),
    ("batch/v1beta1", "*", "1.25", "batch/v1"),
    ("batch/v2alpha1", "*", "1.21", "batch/v1"),
    ("autoscaling/v2beta1", "*", "1.25", "autoscaling/v2"),
    ("autoscaling/v2beta2", "*", "1.26", "autoscaling/v2"),
    ("networking.k8s.io/v1beta1", "Ingress", "1.22", "networking.k8s.io/v1"),
    ("networking.k8s.io/v1beta1", "IngressClass", "1.22", "networking.k8s.io/v1"),
    ("rbac.authorization.k8s.io/v1alpha1", "*", "1.22", "rbac.authorization.k8s.io/v1"),
    ("rbac.authorization.k8s.io/v1beta1", "*", "1.22", "rbac.authorization.k8s.io/v1"),
    ("apiextensions.k8s.io/v1beta1", "*", "1.22", "apiextensions.k8s.io/v1"),
    ("apiregistration.k8s.io/v1beta1", "*", "1.22", "apiregistration.k8s.io/v1"),
    ("admissionregistration.k8s.io/v1beta1", "MutatingWebhookConfiguration", "1.22", "admissionregistration.k8s.io/v1"),
    (
        "admissionregistration.k8s.io/v1beta1",
        "ValidatingWebhookConfiguration",
        "1.22",
        "admissionregistration.k8s.io/v1",
    ),
    ("certificates.k8s.io/v1beta1", "CertificateSigningRequest", "1.22", "certificates.k8s.io/v1"),
    ("coordination.k8s.io/v1beta1", "Lease", "1.22", "coordination.k8s.io/v1"),
    ("scheduling.k8s.io/v1alpha1", "PriorityClass", "1.17", "scheduling.k8s.io/v1"),
    ("scheduling.k8s.io/v1beta1", "PriorityClass", "1.22", "scheduling.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "CSIStorageCapacity", "1.27", "storage.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "CSIDriver", "1.22", "storage.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "CSINode", "1.22", "storage.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "StorageClass", "1.22", "storage.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "VolumeAttachment", "1.22", "storage.k8s.io/v1"),
    ("discovery.k8s.io/v1beta1", "*", "1.25", "discovery.k8s.io/v1"),
    ("events.k8s.io/v1beta1", "*", "1.25", "events.k8s.io/v1"),
    ("node.k8s.io/v1beta1", "*", "1.25", "node.k8s.io/v1"),
    ("authentication.k8s.io/v1beta1", "TokenReview", "1.22", "authentication.k8s.io/v1"),
    ("authorization.k8s.io/v1beta1", "*", "1.22", "authorization.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1alpha1", "*", "1.21", "flowcontrol.apiserver.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1beta1", "*", "1.26", "flowcontrol.apiserver.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1beta2", "*", "1.29", "flowcontrol.apiserver.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1beta3", "*", "1.32", "flowcontrol.apiserver.k8s.io/v1"),
    ("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "", "gateway.networking.k8s.io/v1"),
    ("gateway.networking.k8s.io/v1beta1", "*", "", "gateway.networking.k8s.io/v1"),
    ("gateway.networking.k8s.io/v1alpha2", "GatewayClass", "", "gateway.networking.k8s.io/v1"),
    ("gateway.networking.k8s.io/v1alpha2", "Gateway", "", "gateway.networking.k8s.io/v1"),
    ("gateway.networking.k8s.io/v1alpha2", "HTTPRoute", "", "gateway.networking.k8s.io/v1"),
    ("gateway.networking.k8s.io/v1alpha2", "GRPCRoute", "", "gateway.networking.k8s.io/v1"),
    ("v1", "ComponentStatus", "", "the health endpoints of each component"),
    ("v1", "Endpoints", "", "discovery.k8s.io/v1 EndpointSlice"),
];

/// Groups of Kubernetes' own; others that end in `k8s.io` are defined by custom resources.
const GROUPS: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Kinds of `v1` that are files and no objects of a cluster. A Template's objects are whole only once it is processed.
const FILES: &[&str] = &["Template", "Config"];

/// Checks the version and kind of an object.
pub(crate) fn check(object: &Object<'_>, report: &mut Report) -> Served {
    let (version, kind) = (object.api_version, object.kind);
    let at = object.node.key_at("apiVersion");
    let row = GONE.iter().find(|row| row.0 == version && (row.1 == kind || row.1 == "*"));
    if let Some((_, _, release, instead)) = row {
        let (rule, message) = if release.is_empty() {
            ("deprecated-api", format!("{version} {kind} is deprecated"))
        } else {
            ("removed-api", format!("{version} {kind} is not served since Kubernetes {release}"))
        };
        let fix = match *instead {
            "" => "nothing replaces it: use Pod Security Admission, which namespaces ask for by label".to_owned(),
            instead if instead.contains(' ') => format!("use {instead}"),
            instead => format!("write apiVersion: {instead}"),
        };
        report.add(rule, object, at, "apiVersion".to_owned(), message, fix);
    } else if !GROUPS.contains(&object.group()) || (version == "v1" && FILES.contains(&kind)) {
        return Served::No;
    }
    if type_of(version, kind).is_some() {
        return Served::Yes;
    }
    let after = version.rsplit('/').next().unwrap_or_default();
    if row.is_none() && !object.group().is_empty() && (after.contains("alpha") || after.contains("beta")) {
        let settled = format!("{}/v1", object.group());
        let fix = match type_of(&settled, kind) {
            Some(_) => format!("write apiVersion: {settled}"),
            None => "make sure that the cluster serves it".to_owned(),
        };
        let message = format!("{version} {kind} is a preview, which a cluster serves only if it is told to");
        report.add("preview-api", object, at, "apiVersion".to_owned(), message, fix);
    } else if row.is_none() {
        let near = if report.is_full() { None } else { elsewhere(kind) };
        let fix = near.unwrap_or_else(|| "correct apiVersion or kind".to_owned());
        let at = object.node.key_at("kind");
        report.add("unknown-kind", object, at, "kind".to_owned(), format!("{version} has no kind {kind}"), fix);
    }
    Served::No
}

/// Returns the type of a kind, and none for types that are only parts of objects.
pub(crate) fn type_of(version: &str, kind: &str) -> Option<&'static model::Node> {
    of_kind(version, kind)
        .filter(|node| ["apiVersion", "kind", "metadata"].iter().all(|field| node.properties.contains_key(*field)))
}

/// Names of the built-in kinds; and each with its version and the first word of its group.
type Kinds = (Vec<&'static str>, Vec<(&'static str, &'static str, &'static str)>);

static KINDS: LazyLock<Kinds> = LazyLock::new(|| {
    let kinds: Vec<_> = model::builtins()
        .iter()
        .filter(|(_, node)| node.properties.contains_key("metadata") && node.properties.contains_key("kind"))
        .filter_map(|(name, _)| {
            let mut parts = name.rsplit('.');
            Some((parts.next()?, parts.next()?, parts.next()?))
        })
        .filter(|(name, ..)| !name.ends_with("List"))
        .collect();
    (kinds.iter().map(|(name, ..)| *name).collect(), kinds)
});

/// Says where a kind of this name, or one that is nearly so called, is to be found.
fn elsewhere(kind: &str) -> Option<String> {
    let (names, kinds) = &*KINDS;
    let near = crate::shape::nearest(kind, names)?;
    let mut versions: Vec<String> = kinds
        .iter()
        .filter(|(name, ..)| *name == near)
        .flat_map(|(_, version, group)| {
            GROUPS
                .iter()
                .filter(move |known| match *group {
                    "core" => known.is_empty(),
                    group => known.split('.').next() == Some(group),
                })
                .map(move |group| if group.is_empty() { (*version).to_owned() } else { format!("{group}/{version}") })
        })
        .collect();
    // The longest-settled version first: v1 before v1beta1.
    versions.sort_by_key(|version| (version.len(), version.clone()));
    Some(format!("write apiVersion: {} and kind: {near}", versions.first()?))
}
