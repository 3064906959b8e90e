//! Rules of roles and certificate requests.

use schema::validate::Cause;
use serde_json::{Value, json};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::check::{Causes, dns_subdomain, each, given, invalid, label_selector, list, one_of, text};

const RBAC: &str = "rbac.authorization.k8s.io";

fn rule(rule: &Value, namespaced: bool, at: &str, causes: &mut Causes) {
    if list(rule, "verbs").is_empty() {
        causes.push(Cause::required(format!("{at}.verbs"), "verbs must contain at least one value"));
    }
    if !list(rule, "nonResourceURLs").is_empty() {
        let urls = &rule["nonResourceURLs"];
        let field = format!("{at}.nonResourceURLs");
        if namespaced {
            invalid(&*field, urls, "namespaced rules cannot apply to non-resource URLs", causes);
        }
        if ["apiGroups", "resources", "resourceNames"].iter().any(|name| !list(rule, name).is_empty()) {
            invalid(field, urls, "rules cannot apply to both regular resources and non-resource URLs", causes);
        }
        return;
    }
    if list(rule, "apiGroups").is_empty() {
        let why = "resource rules must supply at least one api group";
        causes.push(Cause::required(format!("{at}.apiGroups"), why));
    }
    if list(rule, "resources").is_empty() {
        causes.push(Cause::required(format!("{at}.resources"), "resource rules must supply at least one resource"));
    }
}

pub(in crate::builtin) fn role(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    for (at, rule) in each(value, "rules", "") {
        self::rule(rule, true, &at, causes);
    }
}

pub(in crate::builtin) fn cluster_role(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    for (at, rule) in each(value, "rules", "") {
        self::rule(rule, false, &at, causes);
    }
    let aggregation = &value["aggregationRule"];
    if aggregation.is_object() {
        if list(aggregation, "clusterRoleSelectors").is_empty() {
            causes.push(Cause::required(
                "aggregationRule.clusterRoleSelectors",
                "at least one clusterRoleSelector required if aggregationRule is non-nil",
            ));
        }
        for (at, selector) in each(aggregation, "clusterRoleSelectors", "aggregationRule") {
            label_selector(selector, &at, causes);
        }
    }
}

pub(in crate::builtin) fn role_binding(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    binding(value, old, &["Role", "ClusterRole"], causes);
}

pub(in crate::builtin) fn cluster_role_binding(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    binding(value, old, &["ClusterRole"], causes);
}

fn binding(value: &Value, old: Option<&Value>, roles: &[&str], causes: &mut Causes) {
    let role = &value["roleRef"];
    if role["apiGroup"] != RBAC {
        causes.push(Cause::not_supported("roleRef.apiGroup", &role["apiGroup"], &[RBAC]));
    }
    one_of(&json!(text(role, "kind")), "roleRef.kind", roles, causes);
    given(role, "name", "roleRef", causes);
    for (at, subject) in each(value, "subjects", "") {
        self::subject(subject, roles.contains(&"Role"), &at, causes);
    }
    if let Some(old) = old
        && old["roleRef"] != *role
    {
        let message = format!(
            "Invalid value: {{\"APIGroup\":{},\"Kind\":{},\"Name\":{}}}: cannot change roleRef",
            role["apiGroup"], role["kind"], role["name"]
        );
        causes.push(Cause { reason: "FieldValueInvalid", message, field: "roleRef".into() });
    }
}

fn subject(subject: &Value, namespaced: bool, at: &str, causes: &mut Causes) {
    given(subject, "name", at, causes);
    match text(subject, "kind") {
        "ServiceAccount" => {
            if !text(subject, "name").is_empty() {
                dns_subdomain(&subject["name"], format!("{at}.name"), causes);
            }
            if !text(subject, "apiGroup").is_empty() {
                causes.push(Cause::not_supported(format!("{at}.apiGroup"), &subject["apiGroup"], &[""]));
            }
            // An account without a namespace is nobody, and a binding of a namespace may name nobody.
            if !namespaced && !text(subject, "name").is_empty() {
                given(subject, "namespace", at, causes);
            }
        }
        "User" | "Group" => {
            if subject["apiGroup"] != RBAC {
                causes.push(Cause::not_supported(format!("{at}.apiGroup"), &subject["apiGroup"], &[RBAC]));
            }
        }
        _ => {
            let kinds = ["ServiceAccount", "User", "Group"];
            causes.push(Cause::not_supported(format!("{at}.kind"), &json!(text(subject, "kind")), &kinds));
        }
    }
}

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

pub(in crate::builtin) fn signing_request(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    if old.is_none() {
        let request = text(spec, "request");
        let bytes = STANDARD.decode(request).unwrap_or_default();
        if !String::from_utf8_lossy(&bytes).contains("-----BEGIN CERTIFICATE REQUEST-----") {
            let given = if request.is_empty() { &Value::Null } else { &spec["request"] };
            invalid("spec.request", given, "PEM block type must be CERTIFICATE REQUEST", causes);
        }
        if list(spec, "usages").is_empty() {
            causes.push(Cause::required("spec.usages", ""));
        }
        for (at, usage) in each(spec, "usages", "spec") {
            one_of(usage, at, USAGES, causes);
        }
        signer(spec, causes);
        if spec["expirationSeconds"].as_i64().is_some_and(|seconds| seconds < 600) {
            let why = "may not specify a duration less than 600 seconds (10 minutes)";
            invalid("spec.expirationSeconds", &spec["expirationSeconds"], why, causes);
        }
    }
    let has = |kind: &str| list(&value["status"], "conditions").iter().any(|held| held["type"] == kind);
    if has("Approved") && has("Denied") {
        let why = "Approved and Denied conditions are mutually exclusive";
        invalid("status.conditions", &json!("Denied"), why, causes);
    }
}

fn signer(spec: &Value, causes: &mut Causes) {
    let name = text(spec, "signerName");
    if name.is_empty() {
        return causes.push(Cause::required("spec.signerName", ""));
    }
    match name.split('/').collect::<Vec<_>>().as_slice() {
        [domain, path] => {
            if domain.split('.').count() < 2 {
                let why = "should be a domain with at least two segments separated by dots";
                invalid("spec.signerName", &spec["signerName"], why, causes);
            }
            dns_subdomain(&json!(domain), "spec.signerName", causes);
            dns_subdomain(&json!(path), "spec.signerName", causes);
        }
        _ => {
            let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
            invalid("spec.signerName", &spec["signerName"], why, causes);
        }
    }
}
