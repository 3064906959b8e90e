//! Rows of the kinds that say who may do what and what is admitted: roles, admission,
//! certificates, flow control, custom kinds.

use std::collections::BTreeMap;

use super::{
    super::{PLAIN, Row, columns, columns::settings, rules},
    status,
};
use crate::registry::{ALL_METADATA, Grants, NameRule, Rules, Subresource};

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
            rules: Rules {
                validate: rules::certificates::signing_request,
                asked_by: crate::certificates::asked_by,
                keep: rules::keep_spec,
                settle: crate::certificates::conditions_kept,
                ..Rules::NONE
            },
            subresources: || BTreeMap::from([("status", Subresource::Status), ("approval", Subresource::Approval)]),
            ..PLAIN
        },
        Row {
            group: "apiextensions.k8s.io",
            kind: "CustomResourceDefinition",
            unconditional: false,
            plural: "customresourcedefinitions",
            short: &["crd", "crds"],
            categories: &["api-extensions"],
            namespaced: false,
            type_name: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
            columns: columns::created_at,
            rules: Rules {
                default: crate::custom::default,
                validate: crate::custom::validate,
                create: crate::custom::create,
                keep: crate::custom::keep,
                warn: crate::custom::warn,
                ..Rules::NONE
            },
            subresources: status,
            generation: true,
            defines_kinds: true,
            ..PLAIN
        },
    ]);
    all
}

fn roles() -> Vec<Row> {
    vec![
        Row {
            kind: "Role",
            created_by_updates: true,
            plural: "roles",
            type_name: "io.k8s.api.rbac.v1.Role",
            rules: Rules { validate: rules::policy::role, ..Rules::NONE },
            ..RBAC
        },
        Row {
            kind: "ClusterRole",
            created_by_updates: true,
            plural: "clusterroles",
            namespaced: false,
            type_name: "io.k8s.api.rbac.v1.ClusterRole",
            rules: Rules { validate: rules::policy::cluster_role, ..Rules::NONE },
            ..RBAC
        },
        Row {
            kind: "RoleBinding",
            created_by_updates: true,
            plural: "rolebindings",
            type_name: "io.k8s.api.rbac.v1.RoleBinding",
            columns: settings::binding,
            rules: Rules { validate: rules::policy::role_binding, ..Rules::NONE },
            grants: Some(Grants::Binding),
            ..RBAC
        },
        Row {
            kind: "ClusterRoleBinding",
            created_by_updates: true,
            plural: "clusterrolebindings",
            namespaced: false,
            type_name: "io.k8s.api.rbac.v1.ClusterRoleBinding",
            columns: settings::binding,
            rules: Rules { validate: rules::policy::cluster_role_binding, ..Rules::NONE },
            grants: Some(Grants::Binding),
            ..RBAC
        },
    ]
}

fn admission() -> Vec<Row> {
    vec![
        Row {
            kind: "ValidatingWebhookConfiguration",
            unconditional: false,
            plural: "validatingwebhookconfigurations",
            type_name: "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
            columns: settings::webhooks,
            rules: Rules { validate: rules::admission::webhooks, ..Rules::NONE },
            ..ADMISSION
        },
        Row {
            kind: "MutatingWebhookConfiguration",
            unconditional: false,
            plural: "mutatingwebhookconfigurations",
            type_name: "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
            columns: settings::webhooks,
            rules: Rules { validate: rules::admission::webhooks, ..Rules::NONE },
            ..ADMISSION
        },
        Row {
            kind: "ValidatingAdmissionPolicy",
            unconditional: false,
            plural: "validatingadmissionpolicies",
            type_name: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
            status_keeps: ALL_METADATA,
            columns: settings::validating_policy,
            subresources: status,
            rules: Rules { validate: rules::admission::validating_policy, ..Rules::NONE },
            ..ADMISSION
        },
        Row {
            kind: "ValidatingAdmissionPolicyBinding",
            unconditional: false,
            plural: "validatingadmissionpolicybindings",
            type_name: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
            columns: settings::policy_binding,
            rules: Rules { validate: rules::admission::validating_binding, ..Rules::NONE },
            ..ADMISSION
        },
        Row {
            kind: "MutatingAdmissionPolicy",
            unconditional: false,
            plural: "mutatingadmissionpolicies",
            type_name: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
            columns: settings::mutating_policy,
            rules: Rules { validate: rules::admission::mutating_policy, ..Rules::NONE },
            ..ADMISSION
        },
        Row {
            kind: "MutatingAdmissionPolicyBinding",
            unconditional: false,
            plural: "mutatingadmissionpolicybindings",
            type_name: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
            columns: settings::policy_binding,
            rules: Rules { validate: rules::admission::policy_binding, ..Rules::NONE },
            ..ADMISSION
        },
    ]
}
