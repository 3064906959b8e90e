//! Rows of the kinds that say who may do what and what is admitted: roles, admission,
//! certificates, flow control, custom kinds.

use std::collections::BTreeMap;

use super::{
    super::{PLAIN, Row, columns, columns::settings, defaults, rules},
    status,
};
use crate::registry::{Grants, NameRule, Rules, Subresource};

const RBAC: Row = Row {
    group: "rbac.authorization.k8s.io",
    name: NameRule::Segment,
    columns: columns::created_at,
    grants: Some(Grants::Role),
    ..PLAIN
};
const ADMISSION: Row = Row {
    group: "admissionregistration.k8s.io",
    categories: &["api-extensions"],
    namespaced: false,
    generation: true,
    ..PLAIN
};
const FLOW: Row =
    Row { group: "flowcontrol.apiserver.k8s.io", namespaced: false, generation: true, subresources: status, ..PLAIN };

pub(super) fn rows() -> Vec<Row> {
    let mut all = roles();
    all.extend(admission());
    all.extend([
        Row {
            group: "certificates.k8s.io",
            kind: "CertificateSigningRequest",
            plural: "certificatesigningrequests",
            short: &["csr"],
            namespaced: false,
            name: NameRule::Segment,
            type_name: "io.k8s.api.certificates.v1.CertificateSigningRequest",
            columns: settings::signing_request,
            selectable: &["spec.signerName"],
            rules: Rules { keep: rules::keep_spec, ..Rules::NONE },
            subresources: || BTreeMap::from([("status", Subresource::Status), ("approval", Subresource::Approval)]),
            ..PLAIN
        },
        Row {
            kind: "FlowSchema",
            plural: "flowschemas",
            type_name: "io.k8s.api.flowcontrol.v1.FlowSchema",
            columns: settings::flow_schema,
            ..FLOW
        },
        Row {
            kind: "PriorityLevelConfiguration",
            plural: "prioritylevelconfigurations",
            type_name: "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
            columns: settings::priority_level,
            ..FLOW
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
            rules: Rules { default: crate::custom::default, validate: crate::custom::validate, ..Rules::NONE },
            subresources: status,
            generation: true,
            defines_kinds: true,
            ..PLAIN
        },
    ]);
    all
}

fn roles() -> Vec<Row> {
    let binding = Rules { default: defaults::binding, validate: rules::binding, ..Rules::NONE };
    vec![
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
            columns: settings::binding,
            rules: binding,
            grants: Some(Grants::Binding),
            ..RBAC
        },
        Row {
            kind: "ClusterRoleBinding",
            plural: "clusterrolebindings",
            namespaced: false,
            type_name: "io.k8s.api.rbac.v1.ClusterRoleBinding",
            columns: settings::binding,
            rules: binding,
            grants: Some(Grants::Binding),
            ..RBAC
        },
    ]
}

fn admission() -> Vec<Row> {
    vec![
        Row {
            kind: "ValidatingWebhookConfiguration",
            plural: "validatingwebhookconfigurations",
            type_name: "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
            columns: settings::webhooks,
            ..ADMISSION
        },
        Row {
            kind: "MutatingWebhookConfiguration",
            plural: "mutatingwebhookconfigurations",
            type_name: "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
            columns: settings::webhooks,
            ..ADMISSION
        },
        Row {
            kind: "ValidatingAdmissionPolicy",
            plural: "validatingadmissionpolicies",
            type_name: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
            columns: settings::validating_policy,
            subresources: status,
            ..ADMISSION
        },
        Row {
            kind: "ValidatingAdmissionPolicyBinding",
            plural: "validatingadmissionpolicybindings",
            type_name: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
            columns: settings::policy_binding,
            ..ADMISSION
        },
        Row {
            kind: "MutatingAdmissionPolicy",
            plural: "mutatingadmissionpolicies",
            type_name: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
            columns: settings::mutating_policy,
            ..ADMISSION
        },
        Row {
            kind: "MutatingAdmissionPolicyBinding",
            plural: "mutatingadmissionpolicybindings",
            type_name: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
            columns: settings::policy_binding,
            ..ADMISSION
        },
    ]
}
