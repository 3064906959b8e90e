//! Rules of roles and bindings.

use schema::validate::Cause;
use serde_json::{Value, json};

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
            let before = causes.len();
            label_selector(selector, &at, causes);
            if causes.len() > before {
                invalid(at, &Value::Null, "invalid label selector.", causes);
            }
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
    if given(role, "name", "roleRef", causes) {
        for why in schema::names::segment_problems(text(role, "name")) {
            invalid("roleRef.name", &role["name"], &why, causes);
        }
    }
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
