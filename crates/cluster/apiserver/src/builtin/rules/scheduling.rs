//! Rules of where a pod may run: affinities, spread, tolerations.

use schema::validate::Cause;
use serde_json::{Value, json};

use super::check::{Causes, dns_label, each, invalid, label_selector, label_value, list, one_of, qualified_name, text};

fn weight(value: &Value, at: &str, causes: &mut Causes) {
    if !value["weight"].as_i64().is_some_and(|weight| (1..=100).contains(&weight)) {
        invalid(format!("{at}.weight"), &value["weight"], "must be in the range 1-100", causes);
    }
}

/// A term that selects nodes.
fn node_term(term: &Value, at: &str, causes: &mut Causes) {
    for name in ["matchExpressions", "matchFields"] {
        for (at, requirement) in each(term, name, at) {
            let values = list(requirement, "values").len();
            match text(requirement, "operator") {
                "In" | "NotIn" if values == 0 => causes.push(Cause::required(
                    format!("{at}.values"),
                    "must be specified when `operator` is 'In' or 'NotIn'",
                )),
                "Exists" | "DoesNotExist" if values > 0 => causes.push(Cause::forbidden(
                    format!("{at}.values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                )),
                "Gt" | "Lt" if values != 1 => causes.push(Cause::required(
                    format!("{at}.values"),
                    "must be specified single value when `operator` is 'Lt' or 'Gt'",
                )),
                "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
                _ => {
                    invalid(
                        format!("{at}.operator"),
                        &requirement["operator"],
                        "not a valid selector operator",
                        causes,
                    );
                }
            }
            qualified_name(&requirement["key"], &format!("{at}.key"), causes);
        }
    }
}

/// What nodes must be.
pub(super) fn node_selector(value: &Value, at: &str, causes: &mut Causes) {
    if list(value, "nodeSelectorTerms").is_empty() {
        causes.push(Cause::required(format!("{at}.nodeSelectorTerms"), "must have at least one node selector term"));
    }
    for (at, term) in each(value, "nodeSelectorTerms", at) {
        node_term(term, &at, causes);
    }
}

/// What nodes and pods a pod wants near it, or far.
pub(super) fn affinity(value: &Value, at: &str, causes: &mut Causes) {
    const MUST: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const SHOULD: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let node = &value["nodeAffinity"];
    if node[MUST].is_object() {
        node_selector(&node[MUST], &format!("{at}.nodeAffinity.{MUST}"), causes);
    }
    for (at, preferred) in each(node, SHOULD, &format!("{at}.nodeAffinity")) {
        weight(preferred, &at, causes);
        node_term(&preferred["preference"], &format!("{at}.preference"), causes);
    }
    for name in ["podAffinity", "podAntiAffinity"] {
        let at = format!("{at}.{name}");
        for (at, term) in each(&value[name], MUST, &at) {
            pod_term(term, &at, causes);
        }
        for (at, preferred) in each(&value[name], SHOULD, &at) {
            weight(preferred, &at, causes);
            pod_term(&preferred["podAffinityTerm"], &format!("{at}.podAffinityTerm"), causes);
        }
    }
}

fn pod_term(term: &Value, at: &str, causes: &mut Causes) {
    for name in ["labelSelector", "namespaceSelector"] {
        label_selector(&term[name], &format!("{at}.{name}"), causes);
    }
    for (at, namespace) in each(term, "namespaces", at) {
        dns_label(namespace, at, causes);
    }
    topology(term, at, causes);
    qualified_name(&term["topologyKey"], &format!("{at}.topologyKey"), causes);
}

fn topology(value: &Value, at: &str, causes: &mut Causes) {
    if text(value, "topologyKey").is_empty() {
        causes.push(Cause::required(format!("{at}.topologyKey"), "can not be empty"));
    }
}

/// How pods are spread.
pub(super) fn spread(spec: &Value, at: &str, causes: &mut Causes) {
    for (at, constraint) in each(spec, "topologySpreadConstraints", at) {
        if constraint["maxSkew"].as_i64().unwrap_or_default() <= 0 {
            invalid(format!("{at}.maxSkew"), &constraint["maxSkew"], "must be greater than zero", causes);
        }
        topology(constraint, &at, causes);
        if !text(constraint, "topologyKey").is_empty() {
            qualified_name(&constraint["topologyKey"], &format!("{at}.topologyKey"), causes);
        }
        let when = text(constraint, "whenUnsatisfiable");
        let known = ["DoNotSchedule", "ScheduleAnyway"];
        one_of(&constraint["whenUnsatisfiable"], format!("{at}.whenUnsatisfiable"), &known, causes);
        if let Some(fewest) = constraint["minDomains"].as_i64() {
            if fewest <= 0 {
                invalid(format!("{at}.minDomains"), &constraint["minDomains"], "must be greater than zero", causes);
            }
            if when != "DoNotSchedule" {
                let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}");
                invalid(format!("{at}.minDomains"), &constraint["minDomains"], &why, causes);
            }
        }
        label_selector(&constraint["labelSelector"], &format!("{at}.labelSelector"), causes);
    }
}

/// What a pod puts up with.
pub(super) fn tolerations(spec: &Value, at: &str, causes: &mut Causes) {
    for (at, toleration) in each(spec, "tolerations", at) {
        let operator = text(toleration, "operator");
        if !text(toleration, "key").is_empty() {
            qualified_name(&toleration["key"], &format!("{at}.key"), causes);
        } else if operator != "Exists" {
            invalid(
                format!("{at}.operator"),
                &toleration["operator"],
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
                causes,
            );
        }
        if !toleration["tolerationSeconds"].is_null() && toleration["effect"] != "NoExecute" {
            invalid(
                format!("{at}.effect"),
                &toleration["effect"],
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
                causes,
            );
        }
        match operator {
            "" | "Equal" => label_value(&json!(text(toleration, "value")), &format!("{at}.operator"), causes),
            "Exists" if !text(toleration, "value").is_empty() => {
                invalid(
                    format!("{at}.operator"),
                    &toleration["value"],
                    "value must be empty when `operator` is 'Exists'",
                    causes,
                );
            }
            "Exists" => {}
            _ => causes.push(Cause::not_supported(
                format!("{at}.operator"),
                &toleration["operator"],
                &["Equal", "Exists"],
            )),
        }
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        one_of(&toleration["effect"], format!("{at}.effect"), &effects, causes);
    }
}
