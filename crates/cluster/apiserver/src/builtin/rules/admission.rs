//! Rules of `admissionregistration.k8s.io`. What its expressions say is checked by the
//! admission that evaluates them, not here.

use base::names::is_dns_subdomain;
use schema::validate::Cause;
use serde_json::{Value, json};

use super::check::{
    Causes, dns_subdomain, each, given, invalid, join, label_selector, list, one_of, port, qualified_name, text,
};

pub(in crate::builtin) fn webhooks(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    for (at, hook) in each(value, "webhooks", "") {
        webhook(hook, &at, causes);
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
    target(&hook["clientConfig"], &format!("{at}.clientConfig"), causes);
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

fn target(config: &Value, at: &str, causes: &mut Causes) {
    let (url, service) = (&config["url"], &config["service"]);
    match (url.as_str(), service.is_object()) {
        (None, false) | (Some(_), true) => {
            causes.push(Cause::required(at, "exactly one of url or service is required"));
        }
        (Some(url), false) => {
            let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
            if scheme != "https" {
                let why = "'https' is the only allowed URL scheme; desired format: https://host[/path]";
                invalid(format!("{at}.url"), &json!(scheme), why, causes);
            }
            let rest = url.split_once("://").map_or("", |(_, rest)| rest);
            if rest.is_empty() || rest.starts_with('/') {
                let why = "host must be specified; desired format: https://host[/path]";
                invalid(format!("{at}.url"), &json!(""), why, causes);
            }
        }
        (None, true) => {
            let at = format!("{at}.service");
            for name in ["name", "namespace"] {
                if text(service, name).is_empty() {
                    causes.push(Cause::required(format!("{at}.{name}"), &format!("service {name} is required")));
                }
            }
            if !service["port"].is_null() {
                port(&service["port"], format!("{at}.port"), causes);
            }
        }
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
    } else if !given.iter().any(|version| version == "v1" || version == "v1beta1") {
        invalid(field, &hook["admissionReviewVersions"], "must include at least one of v1, v1beta1", causes);
    }
}

fn policy(spec: &Value, causes: &mut Causes) {
    one_of(&spec["failurePolicy"], "spec.failurePolicy", &["Fail", "Ignore"], causes);
    let kind = &spec["paramKind"];
    if kind.is_object() {
        for name in ["apiVersion", "kind"] {
            given(kind, name, "spec.paramKind", causes);
        }
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
        }
    }
}

pub(in crate::builtin) fn validating_policy(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    policy(spec, causes);
    if list(spec, "validations").is_empty() && list(spec, "auditAnnotations").is_empty() {
        let why = "validations or auditAnnotations must contain at least one item";
        causes.push(Cause::required("spec.validations", why));
        causes.push(Cause::required("spec.auditAnnotations", why));
    }
    for (at, validation) in each(spec, "validations", "spec") {
        if text(validation, "expression").trim().is_empty() {
            causes.push(Cause::required(format!("{at}.expression"), "expression is not specified"));
        }
        let reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
        one_of(&validation["reason"], format!("{at}.reason"), &reasons, causes);
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
        let actions = ["Allow", "Deny"];
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
