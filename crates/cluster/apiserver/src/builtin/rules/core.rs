//! Rules of the core group's kinds, pods and services aside.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use schema::validate::Cause;
use serde_json::{Value, json};

use super::check::{
    Causes, container_resource, dns_label, each, entries, given, immutable, invalid, ip, label_value, list,
    not_negative, one_of, port, qualified_name, quantity, reachable, text,
};

fn data_keys(value: &Value, names: &[&str], causes: &mut Causes) {
    for name in names {
        for (key, _) in entries(value, name) {
            let why = match key.as_str() {
                "." => "must not be '.'",
                key if key.starts_with("..") && key.len() == 2 => "must not be '..'",
                key if key.starts_with("..") => "must not start with '..'",
                key if key.len() > 253 => "must be no more than 253 bytes",
                key if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) => {
                    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
                }
                _ => continue,
            };
            invalid(format!("{name}[{key}]"), &json!(key), why, causes);
        }
    }
}

fn frozen(value: &Value, old: Option<&Value>, fields: &[&str], causes: &mut Causes) {
    let Some(old) = old.filter(|old| old["immutable"] == true) else { return };
    for field in [&["immutable"], fields].concat() {
        if value[field] != old[field] {
            causes.push(Cause::forbidden(field, "field is immutable when `immutable` is set"));
        }
    }
}

pub(in crate::builtin) fn config_map(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    frozen(value, old, &["data", "binaryData"], causes);
    data_keys(value, &["data"], causes);
    for (key, _) in entries(value, "data") {
        if value["binaryData"].get(key).is_some() {
            invalid(format!("data[{key}]"), &json!(key), "duplicate of key present in binaryData", causes);
        }
    }
    data_keys(value, &["binaryData"], causes);
    let coded = entries(value, "binaryData").map(|(_, text)| decoded_length(text)).sum::<usize>();
    let plain = entries(value, "data").map(|(_, text)| text.as_str().map_or(0, str::len)).sum::<usize>();
    too_long(plain + coded, "[]", causes);
}

/// The most that the data of a ConfigMap or Secret hold together, in bytes.
const MOST_DATA: usize = 1 << 20;

fn decoded_length(text: &Value) -> usize {
    let text = text.as_str().unwrap_or_default().trim_end_matches('=');
    text.len() * 3 / 4
}

fn too_long(length: usize, field: &str, causes: &mut Causes) {
    if length > MOST_DATA {
        let message = format!("Too long: may not be more than {MOST_DATA} bytes");
        causes.push(Cause { reason: "FieldValueTooLong", message, field: field.to_owned() });
    }
}

pub(in crate::builtin) fn secret(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    immutable(value, old, "type", causes);
    frozen(value, old, &["data"], causes);
    data_keys(value, &["data"], causes);
    too_long(entries(value, "data").map(|(_, text)| decoded_length(text)).sum(), "data", causes);
    let mut needs = |name: &str| {
        if value["data"].get(name).is_none() {
            causes.push(Cause::required(format!("data[{name}]"), ""));
        }
    };
    match text(value, "type") {
        "kubernetes.io/tls" => ["tls.crt", "tls.key"].into_iter().for_each(needs),
        "kubernetes.io/basic-auth" if value["data"]["username"].is_null() && value["data"]["password"].is_null() => {
            ["username", "password"].into_iter().for_each(needs);
        }
        "kubernetes.io/ssh-auth" if text(&value["data"], "ssh-privatekey").is_empty() => {
            causes.push(Cause::required("data[ssh-privatekey]", ""));
        }
        "kubernetes.io/dockercfg" => {
            needs(".dockercfg");
            holds_json(value, ".dockercfg", causes);
        }
        "kubernetes.io/dockerconfigjson" => {
            needs(".dockerconfigjson");
            holds_json(value, ".dockerconfigjson", causes);
        }
        "kubernetes.io/service-account-token" => {
            let account = "kubernetes.io/service-account.name";
            if text(&value["metadata"]["annotations"], account).is_empty() {
                causes.push(Cause::required(format!("metadata.annotations[{account}]"), ""));
            }
        }
        _ => {}
    }
}

fn holds_json(value: &Value, name: &str, causes: &mut Causes) {
    let Some(data) = value["data"][name].as_str() else { return };
    let bytes = STANDARD.decode(data).unwrap_or_default();
    if serde_json::from_slice::<Value>(&bytes).is_ok() {
        return;
    }
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let why = match first {
        None => "unexpected end of JSON input".to_owned(),
        Some(byte) if b"{[\"-0123456789tfn".contains(byte) => "unexpected end of JSON input".to_owned(),
        Some(byte) if byte.is_ascii_graphic() => {
            format!("invalid character '{}' looking for beginning of value", *byte as char)
        }
        Some(byte) => format!("invalid character '\\x{byte:02x}' looking for beginning of value"),
    };
    invalid(format!("data[{name}]"), &json!("<secret contents redacted>"), &why, causes);
}

pub(in crate::builtin) fn node(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let mut seen = BTreeSet::new();
    for (at, taint) in each(&value["spec"], "taints", "metadata") {
        qualified_name(&taint["key"], &format!("{at}.key"), causes);
        label_value(&taint["value"], &format!("{at}.value"), causes);
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        if given(taint, "effect", &at, causes) {
            one_of(&taint["effect"], format!("{at}.effect"), &effects, causes);
        }
        if !seen.insert((text(taint, "key"), text(taint, "effect"))) {
            let shown = format!(
                "Duplicate value: {{\"Key\":{},\"Value\":{:?},\"Effect\":{},\"TimeAdded\":{}}}: taints must be unique by key and effect pair",
                taint["key"],
                text(taint, "value"),
                taint["effect"],
                taint["timeAdded"]
            );
            causes.push(Cause { reason: "FieldValueDuplicate", message: shown, field: at });
        }
    }
    let Some(old) = old else { return };
    let before = text(&old["spec"], "providerID");
    if !before.is_empty() && before != text(&value["spec"], "providerID") {
        causes.push(Cause::forbidden(
            "spec.providerID",
            "node updates may not change providerID except from \"\" to valid",
        ));
    }
    if !list(&old["spec"], "podCIDRs").is_empty() && old["spec"]["podCIDRs"] != value["spec"]["podCIDRs"] {
        causes.push(Cause::forbidden("spec.podCIDRs", "node updates may not change podCIDR except from \"\" to valid"));
    }
}

pub(in crate::builtin) fn endpoints(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    for (at, subset) in each(value, "subsets", "") {
        if list(subset, "addresses").is_empty() && list(subset, "notReadyAddresses").is_empty() {
            causes.push(Cause::required(&at, "must specify `addresses` or `notReadyAddresses`"));
        }
        for name in ["addresses", "notReadyAddresses"] {
            for (at, address) in each(subset, name, &at) {
                ip(&address["ip"], format!("{at}.ip"), causes);
                if !text(address, "hostname").is_empty() {
                    dns_label(&address["hostname"], format!("{at}.hostname"), causes);
                }
                reachable(&address["ip"], &format!("{at}.ip"), causes);
            }
        }
        let several = list(subset, "ports").len() > 1;
        for (at, given_port) in each(subset, "ports", &at) {
            if text(given_port, "name").is_empty() {
                if several {
                    causes.push(Cause::required(format!("{at}.name"), ""));
                }
            } else {
                dns_label(&given_port["name"], format!("{at}.name"), causes);
            }
            port(&given_port["port"], format!("{at}.port"), causes);
            one_of(&given_port["protocol"], format!("{at}.protocol"), &["SCTP", "TCP", "UDP"], causes);
        }
    }
}

const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];

fn is_quota_resource(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "persistentvolumeclaims",
        "configmaps",
        "services.nodeports",
        "services.loadbalancers",
    ];
    NAMES.contains(&name) || name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

/// Whether a scope says something about a resource.
fn scope_fits(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => resource == "pods",
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => matches!(
            resource,
            "pods" | "cpu" | "memory" | "requests.cpu" | "requests.memory" | "limits.cpu" | "limits.memory"
        ),
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

pub(in crate::builtin) fn resource_quota(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    amounts(&spec["hard"], "spec.hard", causes);
    scopes(spec, causes);
    scope_selector(spec, causes);
    if let Some(old) = old {
        if old["spec"]["scopes"] != spec["scopes"] {
            immutable(value, Some(old), "spec.scopes", causes);
        }
        for name in ["hard", "used"] {
            amounts(&value["status"][name], &format!("status.{name}"), causes);
        }
    }
}

fn amounts(map: &Value, at: &str, causes: &mut Causes) {
    for (name, amount) in map.as_object().into_iter().flatten() {
        let field = format!("{at}[{name}]");
        qualified_name(&json!(name), &field, causes);
        if !name.contains('/') && !is_quota_resource(name) && !name.starts_with("count/") {
            invalid(&*field, &json!(name), "must be a standard resource type or fully qualified", causes);
            invalid(&*field, &json!(name), "must be a standard resource for quota", causes);
        }
        let Some(given) = quantity(amount) else { continue };
        if given.sign() < 0 {
            invalid(&*field, amount, "must be greater than or equal to 0", causes);
        }
        let counted = name.starts_with("count/")
            || matches!(
                name.as_str(),
                "pods"
                    | "resourcequotas"
                    | "services"
                    | "replicationcontrollers"
                    | "secrets"
                    | "persistentvolumeclaims"
                    | "configmaps"
                    | "services.nodeports"
                    | "services.loadbalancers"
            );
        if counted && !given.is_whole() {
            invalid(&*field, amount, "must be an integer", causes);
        }
    }
}

fn scopes(spec: &Value, causes: &mut Causes) {
    let given: BTreeSet<&str> = list(spec, "scopes").iter().filter_map(Value::as_str).collect();
    let all = &spec["scopes"];
    for scope in &given {
        if !SCOPES.contains(scope) {
            invalid("spec.scopes", all, "unsupported scope", causes);
        }
        for (name, _) in entries(spec, "hard") {
            if is_quota_resource(name) && !scope_fits(scope, name) {
                invalid("spec.scopes", all, "unsupported scope applied to resource", causes);
            }
        }
    }
    for (one, other) in [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")] {
        if given.contains(one) && given.contains(other) {
            invalid("spec.scopes", all, "conflicting scopes", causes);
        }
    }
}

fn scope_selector(spec: &Value, causes: &mut Causes) {
    let at = "spec.scopeSelector.matchExpressions";
    for expression in list(&spec["scopeSelector"], "matchExpressions") {
        let (scope, operator) = (text(expression, "scopeName"), text(expression, "operator"));
        if !SCOPES.contains(&scope) {
            invalid(format!("{at}.scopeName"), &expression["scopeName"], "unsupported scope", causes);
        }
        for (name, _) in entries(spec, "hard") {
            if SCOPES.contains(&scope) && is_quota_resource(name) && !scope_fits(scope, name) {
                invalid(at, &spec["scopeSelector"], "unsupported scope applied to resource", causes);
            }
        }
        let existence = !matches!(scope, "PriorityClass" | "VolumeAttributesClass") && SCOPES.contains(&scope);
        if existence && operator != "Exists" {
            invalid(
                format!("{at}.operator"),
                &expression["operator"],
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
                causes,
            );
        }
        let values = list(expression, "values");
        match operator {
            "In" | "NotIn" if values.is_empty() => causes.push(Cause::required(
                format!("{at}.values"),
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                invalid(
                    format!("{at}.values"),
                    &expression["values"],
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
                    causes,
                );
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => invalid(format!("{at}.operator"), &expression["operator"], "not a valid selector operator", causes),
        }
    }
}

pub(in crate::builtin) fn event(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    legacy_event(value, "reportingComponent", causes);
}

fn legacy_event(value: &Value, controller: &str, causes: &mut Causes) {
    let (own, involved) = (text(&value["metadata"], "namespace"), text(&value["involvedObject"], "namespace"));
    let shown = json!(involved);
    let unlike = |causes: &mut Causes| {
        invalid("involvedObject.namespace", &shown, "does not match event.namespace", causes);
    };
    if value["eventTime"].is_null() {
        if (involved.is_empty() && !own.is_empty() && own != "default") || (!involved.is_empty() && own != involved) {
            unlike(causes);
        }
        return;
    }
    if involved.is_empty() && own != "default" && own != "kube-system" {
        unlike(causes);
    }
    if text(value, "reportingComponent").is_empty() {
        causes.push(Cause::required(controller, ""));
    }
    qualified_name(&value["reportingComponent"], controller, causes);
    for (name, most) in [("reportingInstance", 128), ("action", 128), ("reason", 128)] {
        if text(value, name).is_empty() {
            causes.push(Cause::required(name, ""));
        }
        if text(value, name).len() > most {
            invalid(name, &json!(""), &format!("can have at most {most} characters"), causes);
        }
    }
    if text(value, "message").len() > 1024 {
        invalid("message", &json!(""), "can have at most 1024 characters", causes);
    }
}

/// Events of `events.k8s.io`, looked at as they are stored.
pub(in crate::builtin) fn new_event(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let write = crate::builtin::conversion::EVENT.write;
    let new = write(value.clone());
    legacy_event(&new, "reportingController", causes);
    let Some(old) = old.map(|old| write(old.clone())) else {
        series(&new, causes);
        if new["eventTime"].is_null() {
            causes.push(Cause::required("eventTime", ""));
        }
        if !matches!(text(&new, "type"), "Normal" | "Warning") {
            invalid("type", &json!(""), &format!("has invalid value: {}", text(&new, "type")), causes);
        }
        for name in ["firstTimestamp", "lastTimestamp", "count"] {
            if !new[name].is_null() {
                invalid(name, &json!(""), "needs to be unset", causes);
            }
        }
        if new["source"].as_object().is_some_and(|source| !source.is_empty()) {
            invalid("source", &json!(""), "needs to be unset", causes);
        }
        return;
    };
    if new["series"] != old["series"] {
        series(&new, causes);
    }
    for name in [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "reason",
        "type",
        "eventTime",
        "action",
        "related",
    ] {
        immutable(&new, Some(&old), name, causes);
    }
    for (name, shown) in [("reportingComponent", "reportingController"), ("reportingInstance", "reportingInstance")] {
        if new[name] != old[name] {
            invalid(shown, &new[name], "field is immutable", causes);
        }
    }
}

fn series(event: &Value, causes: &mut Causes) {
    let series = &event["series"];
    if series.is_null() {
        return;
    }
    if series["count"].as_i64().unwrap_or_default() < 2 {
        invalid("series.count", &json!(""), "should be at least 2", causes);
    }
    if series["lastObservedTime"].is_null() {
        causes.push(Cause::required("series.lastObservedTime", ""));
    }
}

pub(in crate::builtin) fn overhead(value: &Value, at: &str, causes: &mut Causes) {
    for (name, amount) in value.as_object().into_iter().flatten() {
        let field = format!("{at}[{name}]");
        container_resource(name, &field, causes);
        if quantity(amount).is_some_and(|amount| amount.sign() < 0) {
            not_negative(&json!(-1), field, causes);
        }
    }
}

pub(in crate::builtin) fn account_warnings(value: &Value) -> Vec<String> {
    const STRICT: &str = "kubernetes.io/enforce-mountable-secrets";
    let held = !value["metadata"]["annotations"][STRICT].is_null();
    let why = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
    held.then(|| format!("metadata.annotations[{STRICT}]: {why}")).into_iter().collect()
}
