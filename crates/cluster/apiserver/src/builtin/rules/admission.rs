//! Rules of `admissionregistration.k8s.io`. What its expressions say is checked by the
//! admission that evaluates them, not here.

use admission::policies::{Policy, condition_problems};
use base::names::{is_dns_label, is_dns_subdomain};
use schema::validate::Cause;
use serde_json::{Value, json};

use super::check::{
    Causes, dns_subdomain, each, given, invalid, join, label_selector, list, one_of, qualified_name, text,
};

pub(in crate::builtin) fn webhooks(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let mut names = std::collections::BTreeSet::new();
    for (at, hook) in each(value, "webhooks", "") {
        webhook(hook, &at, causes);
        let before = old.map(|old| &old["webhooks"]).and_then(Value::as_array).into_iter().flatten();
        let kept = before.clone().any(|old| old["matchConditions"] == hook["matchConditions"]);
        if !kept {
            condition_problems(&hook["matchConditions"], &format!("{at}.matchConditions"), causes);
        }
        if !text(hook, "name").is_empty() && !names.insert(text(hook, "name")) {
            causes.push(Cause::duplicate(format!("{at}.name"), &hook["name"]));
        }
    }
}

fn webhook(hook: &Value, at: &str, causes: &mut Causes) {
    let name = text(hook, "name");
    if given(hook, "name", at, causes) {
        dns_subdomain(&hook["name"], format!("{at}.name"), causes);
        if is_dns_subdomain(name) && name.split('.').count() < 3 {
            let why = "should be a domain with at least three segments separated by dots";
            invalid(format!("{at}.name"), &hook["name"], why, causes);
        }
    }
    for (at, rule) in each(hook, "rules", at) {
        operations(rule, &at, causes);
    }
    one_of(&hook["failurePolicy"], format!("{at}.failurePolicy"), &["Fail", "Ignore"], causes);
    one_of(&hook["matchPolicy"], format!("{at}.matchPolicy"), &["Equivalent", "Exact"], causes);
    if hook["sideEffects"].is_null() {
        let why = "must specify one of None, NoneOnDryRun";
        causes.push(Cause::required(format!("{at}.sideEffects"), why));
    }
    one_of(&hook["sideEffects"], format!("{at}.sideEffects"), &["None", "NoneOnDryRun"], causes);
    if hook["timeoutSeconds"].as_i64().is_some_and(|seconds| !(1..=30).contains(&seconds)) {
        let why = "the timeout value must be between 1 and 30 seconds";
        invalid(format!("{at}.timeoutSeconds"), &hook["timeoutSeconds"], why, causes);
    }
    one_of(&hook["reinvocationPolicy"], format!("{at}.reinvocationPolicy"), &["IfNeeded", "Never"], causes);
    for name in ["namespaceSelector", "objectSelector"] {
        label_selector(&hook[name], &format!("{at}.{name}"), causes);
    }
    crate::admission::client_config(&hook["clientConfig"], &format!("{at}.clientConfig"), causes);
    conditions(hook, at, causes);
    versions(hook, at, causes);
}

fn operations(rule: &Value, at: &str, causes: &mut Causes) {
    let known = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    if list(rule, "operations").is_empty() {
        causes.push(Cause::required(format!("{at}.operations"), ""));
    }
    let all = list(rule, "operations");
    if all.len() > 1 && all.iter().any(|operation| operation == "*") {
        let why = "if '*' is present, must not specify other operations";
        invalid(format!("{at}.operations"), &rule["operations"], why, causes);
    }
    for (at, operation) in each(rule, "operations", at) {
        one_of(operation, at, &known, causes);
    }
    resources(rule, &format!("{at}.resources"), causes);
    for name in ["apiGroups", "apiVersions", "resources"] {
        if list(rule, name).is_empty() {
            causes.push(Cause::required(format!("{at}.{name}"), ""));
        }
        let all = list(rule, name);
        if name != "resources" && all.len() > 1 && all.iter().any(|one| one == "*") {
            let what = if name == "apiGroups" { "API groups" } else { "API versions" };
            let why = format!("if '*' is present, must not specify other {what}");
            invalid(format!("{at}.{name}"), &rule[name], &why, causes);
        }
        for (at, one) in each(rule, name, at) {
            if one == "" && name != "apiGroups" {
                causes.push(Cause::required(at, ""));
            }
        }
    }
    one_of(&rule["scope"], format!("{at}.scope"), &["*", "Cluster", "Namespaced"], causes);
}

/// What stands for all leaves nothing to name beside it.
fn resources(rule: &Value, at: &str, causes: &mut Causes) {
    let all: Vec<&str> = list(rule, "resources").iter().filter_map(Value::as_str).collect();
    let (mut any_part, mut any_resource) = (Vec::new(), Vec::new());
    let mut plain = false;
    for (index, name) in all.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        let Some((resource, part)) = name.split_once('/') else {
            plain = *name != "*";
            continue;
        };
        let field = format!("{at}[{index}]");
        if any_part.contains(&resource) {
            let why = format!("if '{resource}/*' is present, must not specify {name}");
            invalid(&*field, &json!(name), &why, causes);
        }
        if any_resource.contains(&part) {
            let why = format!("if '*/{part}' is present, must not specify {name}");
            invalid(field, &json!(name), &why, causes);
        }
        if part == "*" {
            any_part.push(resource);
        }
        if resource == "*" {
            any_resource.push(part);
        }
    }
    if all.len() > 1 && all.contains(&"*/*") {
        let why = "if '*/*' is present, must not specify other resources";
        invalid(at, &rule["resources"], why, causes);
    }
    if all.contains(&"*") && plain {
        let why = "if '*' is present, must not specify other resources without subresources";
        invalid(at, &rule["resources"], why, causes);
    }
}

fn conditions(value: &Value, at: &str, causes: &mut Causes) {
    let mut names = std::collections::BTreeSet::new();
    for (at, condition) in each(value, "matchConditions", at) {
        given(condition, "expression", &at, causes);
        if given(condition, "name", &at, causes) {
            qualified_name(&condition["name"], &format!("{at}.name"), causes);
            if !names.insert(text(condition, "name")) {
                causes.push(Cause::duplicate(format!("{at}.name"), &condition["name"]));
            }
        }
    }
}

fn versions(hook: &Value, at: &str, causes: &mut Causes) {
    let given = list(hook, "admissionReviewVersions");
    let field = join(at, "admissionReviewVersions");
    if given.is_empty() {
        causes.push(Cause::required(field, "must specify one of v1, v1beta1"));
        return;
    }
    let mut seen = Vec::new();
    for (at, version) in each(hook, "admissionReviewVersions", at) {
        if seen.contains(&version) {
            invalid(at, version, "duplicate version", causes);
            continue;
        }
        seen.push(version);
        if !is_version_label(version.as_str().unwrap_or_default()) {
            invalid(at, version, VERSION_LABEL, causes);
        }
    }
    if !given.iter().any(|version| version == "v1" || version == "v1beta1") {
        invalid(field, &hook["admissionReviewVersions"], "must include at least one of v1, v1beta1", causes);
    }
}

const VERSION_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// Returns whether a text is a label that begins with a letter.
fn is_version_label(text: &str) -> bool {
    is_dns_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase())
}

fn param_kind(kind: &Value, causes: &mut Causes) {
    let at = "spec.paramKind";
    if given(kind, "apiVersion", at, causes) {
        let whole = &kind["apiVersion"];
        let field = format!("{at}.apiVersion");
        let said = text(kind, "apiVersion");
        let (group, version) = said.rsplit_once('/').unwrap_or(("", said));
        if said.matches('/').count() > 1 {
            invalid(field, whole, &format!("unexpected GroupVersion string: {said}"), causes);
        } else {
            if !group.is_empty() {
                dns_subdomain(&json!(group), &*field, causes);
            }
            if version.is_empty() {
                invalid(field, whole, "version must be specified", causes);
            } else if !is_version_label(version) {
                invalid(field, &json!(version), VERSION_LABEL, causes);
            }
        }
    }
    if given(kind, "kind", at, causes) && !is_version_label(&text(kind, "kind").to_lowercase()) {
        let why = format!("may have mixed case, but should otherwise match: {VERSION_LABEL}");
        invalid(format!("{at}.kind"), &kind["kind"], &why, causes);
    }
}

fn policy(spec: &Value, causes: &mut Causes) {
    one_of(&spec["failurePolicy"], "spec.failurePolicy", &["Fail", "Ignore"], causes);
    let kind = &spec["paramKind"];
    if kind.is_object() {
        param_kind(kind, causes);
    }
    let constraints = &spec["matchConstraints"];
    if constraints.is_null() {
        causes.push(Cause::required("spec.matchConstraints", ""));
    } else {
        if list(constraints, "resourceRules").is_empty() {
            causes.push(Cause::required("spec.matchConstraints.resourceRules", ""));
        }
        match_resources(constraints, "spec.matchConstraints", causes);
    }
    conditions(spec, "spec", causes);
}

fn match_resources(value: &Value, at: &str, causes: &mut Causes) {
    one_of(&value["matchPolicy"], format!("{at}.matchPolicy"), &["Equivalent", "Exact"], causes);
    for name in ["namespaceSelector", "objectSelector"] {
        label_selector(&value[name], &format!("{at}.{name}"), causes);
    }
    for name in ["resourceRules", "excludeResourceRules"] {
        for (at, rule) in each(value, name, at) {
            operations(rule, &at, causes);
            let mut seen = std::collections::BTreeSet::new();
            for (at, name) in each(rule, "resourceNames", &at) {
                for why in schema::names::segment_problems(name.as_str().unwrap_or_default()) {
                    invalid(&*at, name, &why, causes);
                }
                if !seen.insert(name.as_str()) {
                    causes.push(Cause::duplicate(at, name));
                }
            }
        }
    }
}

pub(in crate::builtin) fn validating_policy(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    policy(spec, causes);
    if old.is_none_or(|old| old["spec"] != *spec) {
        causes.extend(Policy::compile(value).1);
    }
    audit_keys(value, causes);
    for (at, variable) in each(spec, "variables", "spec") {
        let name = text(variable, "name");
        if name.trim().is_empty() {
            causes.push(Cause::required(format!("{at}.name"), "name is not specified"));
        } else if !is_identifier(name) {
            invalid(format!("{at}.name"), &variable["name"], "must be a valid CEL identifier", causes);
        }
    }
    if list(spec, "validations").is_empty() && list(spec, "auditAnnotations").is_empty() {
        let why = "validations or auditAnnotations must contain at least one item";
        causes.push(Cause::required("spec.validations", why));
        causes.push(Cause::required("spec.auditAnnotations", why));
    }
    for (at, validation) in each(spec, "validations", "spec") {
        let message = text(validation, "message");
        if !message.is_empty() && message.trim().is_empty() {
            invalid(format!("{at}.message"), &validation["message"], "must be non-empty if specified", causes);
        } else if message.trim().contains(['\n', '\r']) {
            invalid(format!("{at}.message"), &validation["message"], "must not contain line breaks", causes);
        }
        let reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
        one_of(&validation["reason"], format!("{at}.reason"), &reasons, causes);
    }
}

fn is_identifier(name: &str) -> bool {
    let fits = |(index, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || index > 0 && c.is_ascii_digit();
    !name.is_empty()
        && name.chars().enumerate().all(fits)
        && name != "__proto__"
        && !expressions::schemas::is_reserved(name)
}

/// A policy's annotations are keys behind its name, each once.
fn audit_keys(value: &Value, causes: &mut Causes) {
    let name = text(&value["metadata"], "name");
    let mut seen = std::collections::BTreeSet::new();
    for (at, annotation) in each(&value["spec"], "auditAnnotations", "spec") {
        let key = text(annotation, "key");
        if name.is_empty() {
            invalid(format!("{at}.key"), &json!(key), "requires metadata.name be non-empty", causes);
        } else {
            qualified_name(&json!(format!("{name}/{key}")), &format!("{at}.key"), causes);
        }
        if !seen.insert(key) {
            causes.push(Cause::duplicate(format!("{at}.key"), &json!(key)));
        }
    }
}

pub(in crate::builtin) fn mutating_policy(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    policy(spec, causes);
    if list(spec, "mutations").is_empty() {
        causes.push(Cause::required("spec.mutations", "mutations must contain at least one item"));
    }
    if text(spec, "reinvocationPolicy").is_empty() {
        causes.push(Cause::required("spec.reinvocationPolicy", ""));
    } else {
        one_of(&spec["reinvocationPolicy"], "spec.reinvocationPolicy", &["IfNeeded", "Never"], causes);
    }
}

pub(in crate::builtin) fn policy_binding(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    given(spec, "policyName", "spec", causes);
    let parameters = &spec["paramRef"];
    if parameters.is_object() {
        let (named, selected) = (!text(parameters, "name").is_empty(), parameters["selector"].is_object());
        if named && selected {
            let why = "name and selector are mutually exclusive";
            causes.push(Cause::forbidden("spec.paramRef.name", why));
            causes.push(Cause::forbidden("spec.paramRef.selector", why));
        } else if !named && !selected {
            causes.push(Cause::required("spec.paramRef", "one of name or selector must be specified"));
        }
        let actions = ["Deny", "Allow"];
        let field = "spec.paramRef.parameterNotFoundAction";
        if parameters["parameterNotFoundAction"].is_null() {
            causes.push(Cause::required(field, ""));
        }
        one_of(&parameters["parameterNotFoundAction"], field, &actions, causes);
    }
    if spec["matchResources"].is_object() {
        match_resources(&spec["matchResources"], "spec.matchResources", causes);
    }
}

pub(in crate::builtin) fn validating_binding(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    policy_binding(value, old, causes);
    let actions = list(&value["spec"], "validationActions");
    if actions.is_empty() {
        causes.push(Cause::required("spec.validationActions", "at least one validation action is required"));
    }
    let mut seen = std::collections::BTreeSet::new();
    for (at, action) in each(&value["spec"], "validationActions", "spec") {
        one_of(action, &*at, &["Audit", "Deny", "Warn"], causes);
        if !seen.insert(action.as_str()) {
            causes.push(Cause::duplicate(at, action));
        }
    }
    if seen.contains(&Some("Deny")) && seen.contains(&Some("Warn")) {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        invalid("spec.validationActions", &value["spec"]["validationActions"], why, causes);
    }
}
