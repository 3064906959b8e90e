//! The built-in kinds: one row each in [`resources`]. To serve another kind, add
//! its row; no other file of the server names kinds.

mod columns;
mod defaults;
mod rules;

use std::{collections::BTreeMap, sync::Arc};

use crate::registry::{Column, Grants, Gvk, Resource, Review, Rules, Storage, Subresource, node_of};

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of a kind, as in the specification")]
struct Row {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    categories: &'static [&'static str],
    namespaced: bool,
    type_name: &'static str,
    columns: fn() -> Vec<Column>,
    selectable: &'static [&'static str],
    rules: Rules,
    subresources: fn() -> BTreeMap<&'static str, Subresource>,
    generation: bool,
    graceful: bool,
    addressed: bool,
    defines_kinds: bool,
    grants: Option<Grants>,
    review: Option<Review>,
}

const PLAIN: Row = Row {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    short: &[],
    categories: &[],
    namespaced: true,
    type_name: "",
    columns: columns::age_only,
    selectable: &[],
    rules: Rules { default: |_| {}, validate: |_, _, _| {}, create: |_| {} },
    subresources: BTreeMap::new,
    generation: false,
    graceful: false,
    addressed: false,
    defines_kinds: false,
    grants: None,
    review: None,
};

const RBAC: Row =
    Row { group: "rbac.authorization.k8s.io", columns: columns::created_at, grants: Some(Grants::Role), ..PLAIN };
const AUTHORIZATION: Row = Row { group: "authorization.k8s.io", namespaced: false, ..PLAIN };

fn status() -> BTreeMap<&'static str, Subresource> {
    BTreeMap::from([("status", Subresource::Status)])
}

fn scaled() -> BTreeMap<&'static str, Subresource> {
    let path = |path: &str| path.split('.').map(str::to_owned).collect();
    BTreeMap::from([
        ("status", Subresource::Status),
        (
            "scale",
            Subresource::Scale {
                spec: path("spec.replicas"),
                status: path("status.replicas"),
                selector: Some(path("spec.selector")),
            },
        ),
    ])
}

fn of_pods() -> BTreeMap<&'static str, Subresource> {
    BTreeMap::from([
        ("status", Subresource::Status),
        ("log", Subresource::Log),
        ("binding", Subresource::Binding),
        ("eviction", Subresource::Eviction),
    ])
}

fn rows() -> Vec<Row> {
    vec![
        Row {
            kind: "Namespace",
            plural: "namespaces",
            short: &["ns"],
            namespaced: false,
            type_name: "io.k8s.api.core.v1.Namespace",
            columns: columns::namespace,
            selectable: &["status.phase"],
            rules: Rules { default: defaults::namespace, validate: rules::namespace, create: defaults::new_namespace },
            subresources: || BTreeMap::from([("status", Subresource::Status), ("finalize", Subresource::Finalize)]),
            ..PLAIN
        },
        Row {
            kind: "Pod",
            plural: "pods",
            short: &["po"],
            categories: &["all"],
            type_name: "io.k8s.api.core.v1.Pod",
            columns: columns::pod,
            selectable: &[
                "spec.nodeName",
                "spec.restartPolicy",
                "spec.schedulerName",
                "spec.serviceAccountName",
                "spec.hostNetwork",
                "status.phase",
                "status.podIP",
                "status.nominatedNodeName",
            ],
            rules: Rules { default: defaults::pod, validate: rules::pod, create: defaults::new_pod },
            subresources: of_pods,
            generation: true,
            graceful: true,
            ..PLAIN
        },
        Row {
            kind: "Service",
            plural: "services",
            short: &["svc"],
            categories: &["all"],
            type_name: "io.k8s.api.core.v1.Service",
            columns: columns::service,
            selectable: &["spec.clusterIP", "spec.type"],
            rules: Rules { default: defaults::service, validate: rules::service, ..PLAIN.rules },
            subresources: status,
            addressed: true,
            ..PLAIN
        },
        Row {
            kind: "ConfigMap",
            plural: "configmaps",
            short: &["cm"],
            type_name: "io.k8s.api.core.v1.ConfigMap",
            columns: columns::config_map,
            rules: Rules { validate: rules::config_map, ..PLAIN.rules },
            ..PLAIN
        },
        Row {
            kind: "Secret",
            plural: "secrets",
            type_name: "io.k8s.api.core.v1.Secret",
            columns: columns::secret,
            selectable: &["type"],
            rules: Rules { default: defaults::secret, validate: rules::secret, ..PLAIN.rules },
            ..PLAIN
        },
        Row {
            kind: "ServiceAccount",
            plural: "serviceaccounts",
            short: &["sa"],
            type_name: "io.k8s.api.core.v1.ServiceAccount",
            subresources: || BTreeMap::from([("token", Subresource::Token)]),
            columns: columns::service_account,
            ..PLAIN
        },
        Row {
            kind: "Event",
            plural: "events",
            short: &["ev"],
            type_name: "io.k8s.api.core.v1.Event",
            columns: columns::event,
            selectable: &[
                "involvedObject.kind",
                "involvedObject.namespace",
                "involvedObject.name",
                "involvedObject.uid",
                "involvedObject.apiVersion",
                "involvedObject.resourceVersion",
                "involvedObject.fieldPath",
                "reason",
                "reportingComponent",
                "source",
                "type",
            ],
            ..PLAIN
        },
        Row {
            kind: "Node",
            plural: "nodes",
            short: &["no"],
            namespaced: false,
            type_name: "io.k8s.api.core.v1.Node",
            columns: columns::node,
            selectable: &["spec.unschedulable"],
            subresources: status,
            ..PLAIN
        },
        Row {
            group: "apps",
            kind: "Deployment",
            plural: "deployments",
            short: &["deploy"],
            categories: &["all"],
            type_name: "io.k8s.api.apps.v1.Deployment",
            columns: columns::deployment,
            rules: Rules { default: defaults::deployment, validate: rules::deployment, ..PLAIN.rules },
            subresources: scaled,
            generation: true,
            ..PLAIN
        },
        Row {
            group: "apps",
            kind: "ReplicaSet",
            plural: "replicasets",
            short: &["rs"],
            categories: &["all"],
            type_name: "io.k8s.api.apps.v1.ReplicaSet",
            columns: columns::replica_set,
            selectable: &["status.replicas"],
            rules: Rules { default: defaults::replica_set, validate: rules::replica_set, ..PLAIN.rules },
            subresources: scaled,
            generation: true,
            ..PLAIN
        },
        Row {
            group: "discovery.k8s.io",
            kind: "EndpointSlice",
            plural: "endpointslices",
            type_name: "io.k8s.api.discovery.v1.EndpointSlice",
            columns: columns::endpoint_slice,
            generation: true,
            ..PLAIN
        },
        Row {
            group: "coordination.k8s.io",
            kind: "Lease",
            plural: "leases",
            type_name: "io.k8s.api.coordination.v1.Lease",
            columns: columns::lease,
            ..PLAIN
        },
        Row { kind: "Role", plural: "roles", type_name: "io.k8s.api.rbac.v1.Role", ..RBAC },
        Row {
            kind: "ClusterRole",
            plural: "clusterroles",
            namespaced: false,
            type_name: "io.k8s.api.rbac.v1.ClusterRole",
            ..RBAC
        },
        Row {
            kind: "RoleBinding",
            plural: "rolebindings",
            type_name: "io.k8s.api.rbac.v1.RoleBinding",
            columns: columns::binding,
            rules: Rules { default: defaults::binding, validate: rules::binding, ..PLAIN.rules },
            grants: Some(Grants::Binding),
            ..RBAC
        },
        Row {
            kind: "ClusterRoleBinding",
            plural: "clusterrolebindings",
            namespaced: false,
            type_name: "io.k8s.api.rbac.v1.ClusterRoleBinding",
            columns: columns::binding,
            rules: Rules { default: defaults::binding, validate: rules::binding, ..PLAIN.rules },
            grants: Some(Grants::Binding),
            ..RBAC
        },
        Row {
            group: "apiextensions.k8s.io",
            kind: "CustomResourceDefinition",
            plural: "customresourcedefinitions",
            short: &["crd", "crds"],
            categories: &["api-extensions"],
            namespaced: false,
            type_name: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
            columns: columns::created_at,
            rules: Rules { default: crate::custom::default, validate: crate::custom::validate, create: |_| {} },
            subresources: status,
            generation: true,
            defines_kinds: true,
            ..PLAIN
        },
        Row {
            group: "authentication.k8s.io",
            kind: "TokenReview",
            plural: "tokenreviews",
            namespaced: false,
            type_name: "io.k8s.api.authentication.v1.TokenReview",
            review: Some(Review::Token),
            ..PLAIN
        },
        Row {
            group: "authentication.k8s.io",
            kind: "SelfSubjectReview",
            plural: "selfsubjectreviews",
            namespaced: false,
            type_name: "io.k8s.api.authentication.v1.SelfSubjectReview",
            review: Some(Review::OwnSelf),
            ..PLAIN
        },
        Row {
            kind: "SubjectAccessReview",
            plural: "subjectaccessreviews",
            type_name: "io.k8s.api.authorization.v1.SubjectAccessReview",
            review: Some(Review::Subject),
            ..AUTHORIZATION
        },
        Row {
            kind: "LocalSubjectAccessReview",
            plural: "localsubjectaccessreviews",
            namespaced: true,
            type_name: "io.k8s.api.authorization.v1.LocalSubjectAccessReview",
            review: Some(Review::LocalSubject),
            ..AUTHORIZATION
        },
        Row {
            kind: "SelfSubjectAccessReview",
            plural: "selfsubjectaccessreviews",
            type_name: "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
            review: Some(Review::OwnAccess),
            ..AUTHORIZATION
        },
        Row {
            kind: "SelfSubjectRulesReview",
            plural: "selfsubjectrulesreviews",
            type_name: "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
            review: Some(Review::OwnRules),
            ..AUTHORIZATION
        },
    ]
}

/// Returns the built-in kinds.
pub(crate) fn resources() -> Vec<Arc<Resource>> {
    rows().into_iter().map(|row| Arc::new(resource(&row))).collect()
}

fn resource(row: &Row) -> Resource {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let gvk = Gvk { group: row.group.to_owned(), version: row.version.to_owned(), kind: row.kind.to_owned() };
    Resource {
        api_version: gvk.api_version(),
        gvk,
        plural: row.plural.to_owned(),
        singular: row.kind.to_lowercase(),
        list_kind: format!("{}List", row.kind),
        short: owned(row.short),
        categories: owned(row.categories),
        namespaced: row.namespaced,
        storage: Storage {
            group: if row.group.is_empty() { "core".to_owned() } else { row.group.to_owned() },
            version: row.version.to_owned(),
        },
        node: node_of(row.type_name),
        type_name: Some(row.type_name),
        subresources: (row.subresources)(),
        columns: (row.columns)(),
        selectable: owned(row.selectable),
        rules: row.rules,
        generation: row.generation,
        graceful: row.graceful,
        addressed: row.addressed,
        defines_kinds: row.defines_kinds,
        custom: false,
        grants: row.grants,
        review: row.review,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_row_has_a_type_with_its_kind() {
        for resource in super::resources() {
            assert!(resource.node.properties.contains_key("kind"), "{}", resource.gvk.kind);
        }
    }
}
