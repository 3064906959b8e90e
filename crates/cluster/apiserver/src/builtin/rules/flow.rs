//! Rules of `flowcontrol.apiserver.k8s.io`: flow schemas and priority levels.

use std::collections::BTreeSet;

use schema::validate::Cause;
use serde_json::{Value, json};

use super::check::{Causes, LABEL, SUBDOMAIN, each, given, invalid, list, text};
use crate::bootstrap::flow::{mandatory_level, mandatory_schema};
use base::names::{is_dns_label, is_dns_subdomain};

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const MOST_QUEUES: i64 = 10_000_000;
/// The bits of a hash that a flow's hand is dealt by.
const HASH_BITS: f64 = 60.0;

pub(in crate::builtin) fn flow_schema(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    let name = text(&value["metadata"], "name");
    let precedence = &spec["matchingPrecedence"];
    let number = precedence.as_i64().unwrap_or_default();
    let mut wrong = |why: &str| invalid("spec.matchingPrecedence", &json!(number), why, causes);
    if number <= 0 {
        wrong("must be a positive value");
    }
    if number > 10_000 {
        wrong("must not be greater than 10000");
    }
    if number == 1 && name != "exempt" {
        wrong("only the schema named 'exempt' may have matchingPrecedence 1");
    }
    let by = &spec["distinguisherMethod"];
    if by.is_object() && !matches!(text(by, "type"), "ByUser" | "ByNamespace") {
        causes.push(Cause::not_supported("spec.distinguisherMethod.type", by, &["ByNamespace", "ByUser"]));
    }
    let level = text(&spec["priorityLevelConfiguration"], "name");
    let at = "spec.priorityLevelConfiguration.name";
    if level.is_empty() {
        causes.push(Cause::required(at, "must reference a priority level"));
    } else if !is_dns_subdomain(level) {
        invalid(at, &json!(level), SUBDOMAIN, causes);
    }
    for (at, rules) in each(spec, "rules", "spec") {
        policy_rules(rules, &at, causes);
    }
    if mandatory_schema(name).is_some_and(|wanted| wanted != *spec) {
        invalid("spec", spec, &format!("spec of '{name}' must equal the fixed value"), causes);
    }
    conditions(value, causes);
}

fn policy_rules(rules: &Value, at: &str, causes: &mut Causes) {
    if list(rules, "subjects").is_empty() {
        causes.push(Cause::required(format!("{at}.subjects"), "subjects must contain at least one value"));
    }
    for (at, one) in each(rules, "subjects", at) {
        subject(one, &at, causes);
    }
    if list(rules, "resourceRules").is_empty() && list(rules, "nonResourceRules").is_empty() {
        causes.push(Cause::required(at, "at least one of resourceRules and nonResourceRules has to be non-empty"));
    }
    for (at, rule) in each(rules, "resourceRules", at) {
        verbs(rule, &at, causes);
        for (name, least, other) in [
            ("apiGroups", "resource rules must supply at least one api group", "api groups"),
            ("resources", "resource rules must supply at least one resource", "resources"),
        ] {
            all_or_some(rule, name, &at, least, other, causes);
        }
        let field = format!("{at}.namespaces");
        let namespaces = list(rule, "namespaces");
        if namespaces.is_empty() && rule["clusterScope"] != true {
            let why = "resource rules that are not cluster scoped must supply at least one namespace";
            causes.push(Cause::required(field, why));
        } else if namespaces.iter().any(|namespace| namespace == "*") {
            if namespaces.len() > 1 {
                let why = "if '*' is present, must not specify other namespaces";
                invalid(field, &rule["namespaces"], why, causes);
            }
        } else {
            for (at, namespace) in each(rule, "namespaces", &at) {
                if !is_dns_label(namespace.as_str().unwrap_or_default()) {
                    let why = format!("each member of this list must be '*' or a DNS-1123 label; {LABEL}");
                    invalid(at, namespace, &why, causes);
                }
            }
        }
    }
    for (at, rule) in each(rules, "nonResourceRules", at) {
        verbs(rule, &at, causes);
        let least = "nonResourceURLs must contain at least one value";
        if all_or_some(rule, "nonResourceURLs", &at, least, "non-resource URLs", causes) {
            for (at, path) in each(rule, "nonResourceURLs", &at) {
                if let Some(why) = wrong_path(path.as_str().unwrap_or_default()) {
                    invalid(at, path, why, causes);
                }
            }
        }
    }
}

fn verbs(rule: &Value, at: &str, causes: &mut Causes) {
    let least = "verbs must contain at least one value";
    if all_or_some(rule, "verbs", at, least, "verbs", causes)
        && list(rule, "verbs").iter().any(|verb| !VERBS.contains(&verb.as_str().unwrap_or_default()))
    {
        causes.push(Cause::not_supported(format!("{at}.verbs"), &rule["verbs"], VERBS));
    }
}

/// Checks a list that holds a star alone, or names; returns whether it holds names.
fn all_or_some(rule: &Value, name: &str, at: &str, least: &str, other: &str, causes: &mut Causes) -> bool {
    let items = list(rule, name);
    let field = format!("{at}.{name}");
    if items.is_empty() {
        causes.push(Cause::required(field, least));
        return false;
    }
    let star = items.iter().any(|item| item == "*");
    if star && items.len() > 1 {
        invalid(field, &rule[name], &format!("if '*' is present, must not specify other {other}"), causes);
    }
    !star
}

fn wrong_path(path: &str) -> Option<&'static str> {
    let stars = path.matches('*').count();
    match path {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !path.starts_with('/') => Some("must start with slash"),
        _ if path.contains(' ') => Some("must not contain white-space"),
        _ if path.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || (stars == 1 && !path.ends_with("/*")) => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}

fn subject(subject: &Value, at: &str, causes: &mut Causes) {
    let parts = [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = text(subject, "kind");
    let Some((_, own)) = parts.iter().find(|(known, _)| *known == kind) else {
        let known = ["Group", "ServiceAccount", "User"];
        return causes.push(Cause::not_supported(format!("{at}.kind"), &json!(kind), &known));
    };
    let here = format!("{at}.{own}");
    let part = &subject[*own];
    if part.is_null() {
        causes.push(Cause::required(here, &format!("{own} is required when subject kind is '{kind}'")));
    } else {
        let named = given(part, "name", &here, causes);
        if *own == "serviceAccount" {
            if named && text(part, "name") != "*" && !is_dns_subdomain(text(part, "name")) {
                invalid(format!("{here}.name"), &part["name"], SUBDOMAIN, causes);
            }
            let namespace = text(part, "namespace");
            if namespace.is_empty() {
                let why = "must specify namespace for service account";
                causes.push(Cause::required(format!("{here}.namespace"), why));
            } else if !is_dns_label(namespace) {
                invalid(format!("{here}.namespace"), &part["namespace"], LABEL, causes);
            }
        }
    }
    for (kind, other) in parts.iter().filter(|(_, name)| name != own) {
        if !subject[*other].is_null() {
            let why = format!("{other} is forbidden when subject kind is not '{kind}'");
            causes.push(Cause::forbidden(format!("{at}.{other}"), &why));
        }
    }
}

pub(in crate::builtin) fn priority_level(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    let name = text(&value["metadata"], "name");
    let kind = text(spec, "type");
    if (name == "exempt") != (kind == "Exempt") {
        invalid("spec.type", &json!(kind), "must be 'Exempt' if and only if `name` is 'exempt'", causes);
    }
    match kind {
        "Exempt" => {
            if !spec["limited"].is_null() {
                causes.push(Cause::forbidden("spec.limited", "must be nil if the type is not Limited"));
            }
            if spec["exempt"].is_object() {
                shares(&spec["exempt"], "spec.exempt", causes);
                lendable(&spec["exempt"], "spec.exempt", causes);
            }
        }
        "Limited" => {
            if !spec["exempt"].is_null() {
                causes.push(Cause::forbidden("spec.exempt", "must be nil if the type is Limited"));
            }
            if spec["limited"].is_null() {
                causes.push(Cause::required("spec.limited", "must not be empty when type is Limited"));
            } else {
                limited(&spec["limited"], causes);
            }
        }
        "" => causes.push(Cause::required("spec.type", "")),
        _ => causes.push(Cause::not_supported("spec.type", &spec["type"], &["Exempt", "Limited"])),
    }
    if let Some(mut wanted) = mandatory_level(name) {
        let except = if name == "exempt" {
            wanted["exempt"] = spec["exempt"].clone();
            " except the 'spec.exempt' field"
        } else {
            ""
        };
        if wanted != *spec {
            invalid("spec", spec, &format!("spec of '{name}'{except} must equal the fixed value"), causes);
        }
    }
    conditions(value, causes);
}

fn shares(part: &Value, at: &str, causes: &mut Causes) {
    let shares = &part["nominalConcurrencyShares"];
    if shares.as_i64().is_some_and(|number| number < 0) {
        invalid(format!("{at}.nominalConcurrencyShares"), shares, "must be a non-negative integer", causes);
    }
}

fn lendable(part: &Value, at: &str, causes: &mut Causes) {
    let percent = &part["lendablePercent"];
    if percent.as_i64().is_some_and(|number| !(0..=100).contains(&number)) {
        invalid(format!("{at}.lendablePercent"), percent, "must be between 0 and 100, inclusive", causes);
    }
}

fn limited(limited: &Value, causes: &mut Causes) {
    let at = "spec.limited";
    shares(limited, at, causes);
    let response = &limited["limitResponse"];
    let field = format!("{at}.limitResponse");
    match text(response, "type") {
        "Reject" if !response["queuing"].is_null() => {
            let why = "must be nil if limited.limitResponse.type is not Limited";
            causes.push(Cause::forbidden(format!("{field}.queuing"), why));
        }
        "Reject" => {}
        "Queue" if response["queuing"].is_null() => {
            let why = "must not be empty if limited.limitResponse.type is Limited";
            causes.push(Cause::required(format!("{field}.queuing"), why));
        }
        "Queue" => queuing(&response["queuing"], &format!("{field}.queuing"), causes),
        "" => causes.push(Cause::required(format!("{field}.type"), "")),
        _ => causes.push(Cause::not_supported(format!("{field}.type"), &response["type"], &["Queue", "Reject"])),
    }
    lendable(limited, at, causes);
    let percent = &limited["borrowingLimitPercent"];
    if percent.as_i64().is_some_and(|number| number < 0) {
        let why = "if specified, must be a non-negative integer";
        invalid(format!("{at}.borrowingLimitPercent"), percent, why, causes);
    }
}

fn queuing(queuing: &Value, at: &str, causes: &mut Causes) {
    let number = |name: &str| queuing[name].as_i64().unwrap_or_default();
    let (queues, hand) = (number("queues"), number("handSize"));
    let mut wrong = |name: &str, why: &str| invalid(format!("{at}.{name}"), &json!(number(name)), why, causes);
    if number("queueLengthLimit") <= 0 {
        wrong("queueLengthLimit", "must be positive");
    }
    if queues <= 0 {
        wrong("queues", "must be positive");
    } else if queues > MOST_QUEUES {
        wrong("queues", &format!("must not be greater than {MOST_QUEUES}"));
    }
    if hand <= 0 {
        wrong("handSize", "must be positive");
    } else if hand > queues {
        wrong("handSize", &format!("should not be greater than queues ({queues})"));
    } else if bits_of_hand(queues, hand) > HASH_BITS {
        let of = format!("deckSize {queues} and handSize {hand}");
        wrong("handSize", &format!("required entropy bits of {of} should not be greater than {HASH_BITS}"));
    }
}

/// Returns how many bits a flow's hand is dealt by.
fn bits_of_hand(queues: i64, hand: i64) -> f64 {
    ((queues as f64).log2() * hand as f64).ceil()
}

fn conditions(value: &Value, causes: &mut Causes) {
    let mut seen = BTreeSet::new();
    for (at, condition) in each(&value["status"], "conditions", "status") {
        if !seen.insert(text(condition, "type")) {
            causes.push(Cause::duplicate(format!("{at}.type"), &condition["type"]));
        }
        given(condition, "type", &at, causes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::flow::seeds;

    #[test]
    fn what_exists_from_the_start_is_fine_and_must_stay_so() {
        for (_, _, plural, mut object) in seeds() {
            let check = if plural == "flowschemas" { flow_schema } else { priority_level };
            let mut causes = Vec::new();
            check(&object, None, &mut causes);
            assert!(causes.is_empty(), "{object} {causes:?}");
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if matches!(name.as_str(), "exempt" | "catch-all") {
                object["spec"]["matchingPrecedence"] = 5000.into();
                check(&object, None, &mut causes);
                assert!(causes.iter().any(|cause| cause.message.contains("must equal the fixed value")), "{name}");
            }
        }
    }
}
