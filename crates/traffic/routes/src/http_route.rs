//! `HTTPRoute`: to which listeners it is attached, its rules, its status.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    compile::Draft,
    condition::{Condition, written},
    crds::{GATEWAY_GROUP, HTTP_ROUTE},
    endpoints::Backends,
    gateway::Gateway,
    hosts::intersect,
    matching::{Match, NameMatch, PathMatch, Pattern, TextMatch},
    objects::{CONTROLLER, Kind, Objects, created, duration_ms, generation, list, port, text},
    snapshot::{
        Action, Forward, HeaderEdits, PathRewrite, Redirect, Rewrite, RouteKey, Rule, Scheme, Unserved, Weighted,
    },
    supported::refused,
};

/// Puts a route's rules into `draft` and returns the status that it should have, or `None` if no parent is ours.
pub(crate) fn attach(
    route: &Value,
    objects: &Objects,
    gateways: &mut [Gateway<'_>],
    backends: &mut Backends<'_>,
    draft: &mut Draft,
    now: &str,
) -> Option<Value> {
    let key = key(route);
    let spec = &route["spec"];
    let parents: Vec<_> =
        list(spec, "parentRefs").iter().filter_map(|parent| Some((parent, ours(parent, &key, gateways)?))).collect();
    let others = list(&route["status"], "parents").iter().filter(|parent| text(parent, "controllerName") != CONTROLLER);
    if parents.is_empty() {
        // A parent that was ours and is no longer: what we said of it goes.
        let stale = list(&route["status"], "parents").iter().any(|parent| text(parent, "controllerName") == CONTROLLER);
        return stale.then(|| json!({"parents": others.collect::<Vec<_>>()}));
    }
    let (rules, unresolved) = match rules(spec, &key, objects, backends) {
        Ok((rules, unresolved)) => (Ok(rules), unresolved),
        Err(why) => (Err(Condition::bad("Accepted", "UnsupportedValue", why)), None),
    };
    let mut said: Vec<Value> = others.cloned().collect();
    for (parent, gateway) in parents {
        let accepted = match &rules {
            Ok(rules) => bind(parent, &mut gateways[gateway], spec, &key, rules, created(route), draft),
            Err(refused) => refused.clone(),
        };
        let resolved = unresolved.clone().unwrap_or_else(|| Condition::good("ResolvedRefs"));
        let before = list(&route["status"], "parents")
            .iter()
            .find(|before| text(before, "controllerName") == CONTROLLER && &before["parentRef"] == parent);
        said.push(json!({
            "parentRef": parent,
            "controllerName": CONTROLLER,
            "conditions": written(before.map(|before| &before["conditions"]), &[accepted, resolved], generation(route), now),
        }));
    }
    Some(json!({"parents": said}))
}

fn key(route: &Value) -> RouteKey {
    RouteKey {
        kind: "HTTPRoute".to_owned(),
        namespace: text(&route["metadata"], "namespace").to_owned(),
        name: text(&route["metadata"], "name").to_owned(),
    }
}

fn or<'a>(value: &'a str, default: &'a str) -> &'a str {
    if value.is_empty() { default } else { value }
}

/// Returns which of our gateways a parent reference names.
fn ours(parent: &Value, key: &RouteKey, gateways: &[Gateway<'_>]) -> Option<usize> {
    if or(text(parent, "group"), GATEWAY_GROUP) != GATEWAY_GROUP || or(text(parent, "kind"), "Gateway") != "Gateway" {
        return None;
    }
    let namespace = or(text(parent, "namespace"), &key.namespace);
    gateways.iter().position(|gateway| gateway.namespace == namespace && gateway.name == text(parent, "name"))
}

/// Attaches the rules to the listeners that a parent reference names and that allow it.
fn bind(
    parent: &Value,
    gateway: &mut Gateway<'_>,
    spec: &Value,
    key: &RouteKey,
    rules: &[Rule],
    created: &str,
    draft: &mut Draft,
) -> Condition {
    let section = text(parent, "sectionName");
    let wanted_port = port(parent, "port");
    let hostnames: Vec<_> = list(spec, "hostnames").iter().filter_map(Value::as_str).collect();
    let hostnames = if hostnames.is_empty() { vec!["*"] } else { hostnames };
    let serves = gateway.serves();
    let (mut named, mut allowed, mut bound) = (false, false, false);
    for listener in &mut gateway.listeners {
        if (!section.is_empty() && section != listener.name) || wanted_port.is_some_and(|port| port != listener.port) {
            continue;
        }
        named = true;
        if !listener.all_namespaces && gateway.namespace != key.namespace {
            continue;
        }
        allowed = true;
        let hosts: BTreeSet<_> = hostnames.iter().filter_map(|host| intersect(listener.hostname, host)).collect();
        if hosts.is_empty() {
            continue;
        }
        bound = true;
        listener.attached += 1;
        if serves && listener.serves() {
            for host in hosts {
                draft.add(listener.scheme, listener.hostname, &host, rules.iter().cloned(), created);
            }
        }
    }
    match (named, allowed, bound) {
        (false, ..) => {
            Condition::bad("Accepted", "NoMatchingParent", "the gateway has no listener of this sectionName and port")
        }
        (_, false, _) => Condition::bad(
            "Accepted",
            "NotAllowedByListeners",
            format!("the listeners take no routes from namespace {}", key.namespace),
        ),
        (.., false) => {
            Condition::bad("Accepted", "NoMatchingListenerHostname", "no listener serves one of the hostnames")
        }
        _ => Condition::good("Accepted"),
    }
}

fn rules(
    spec: &Value,
    key: &RouteKey,
    objects: &Objects,
    backends: &mut Backends<'_>,
) -> Result<(Vec<Rule>, Option<Condition>), String> {
    if let Some(why) = refused(spec, &HTTP_ROUTE, "spec") {
        return Err(why);
    }
    let mut rules = Vec::new();
    let mut unresolved = None;
    for (at, rule) in list(spec, "rules").iter().enumerate() {
        let path = format!("spec.rules[{at}]");
        let filters = filters(rule, &path)?;
        let action = match filters.redirect {
            Some(redirect) => Action::Redirect(redirect),
            None => Action::Forward(forward(rule, key, objects, backends, &mut unresolved)),
        };
        let timeout = match rule.pointer("/timeouts/request").and_then(Value::as_str) {
            Some(text) => {
                Some(duration_ms(text).ok_or_else(|| format!("{path}.timeouts.request: {text:?} is not a duration"))?)
            }
            None => None,
        };
        let everything = [json!({})];
        let matches = list(rule, "matches");
        for wanted in if matches.is_empty() { &everything[..] } else { matches } {
            rules.push(Rule {
                route: key.clone(),
                matches: matched(wanted, &path)?,
                request_headers: filters.request.clone(),
                response_headers: filters.response.clone(),
                rewrite: filters.rewrite.clone(),
                action: action.clone(),
                timeout_ms: timeout.filter(|timeout| *timeout > 0),
            });
        }
    }
    Ok((rules, unresolved))
}

fn matched(wanted: &Value, path: &str) -> Result<Match, String> {
    let text_match = |value: &Value| -> Result<TextMatch, String> {
        let wanted = text(value, "value");
        match text(value, "type") {
            "RegularExpression" => pattern(wanted, path).map(TextMatch::Regex),
            _ => Ok(TextMatch::Exact(wanted.to_owned())),
        }
    };
    let path_value = or(wanted.pointer("/path/value").and_then(Value::as_str).unwrap_or_default(), "/").to_owned();
    let kind = wanted.pointer("/path/type").and_then(Value::as_str).unwrap_or("PathPrefix");
    if kind != "RegularExpression" && !path_value.starts_with('/') {
        return Err(format!("{path}.matches: path {path_value:?} has to begin with /"));
    }
    Ok(Match {
        path: match kind {
            "Exact" => PathMatch::Exact(path_value),
            "RegularExpression" => PathMatch::Regex(pattern(&path_value, path)?),
            _ => PathMatch::Elements(path_value),
        },
        method: wanted.get("method").and_then(Value::as_str).map(|method| TextMatch::Exact(method.to_owned())),
        headers: named(wanted, "headers", str::to_ascii_lowercase, &text_match)?,
        query: named(wanted, "queryParams", str::to_owned, &text_match)?,
    })
}

fn named(
    wanted: &Value,
    field: &str,
    spelled: fn(&str) -> String,
    value: &impl Fn(&Value) -> Result<TextMatch, String>,
) -> Result<Vec<NameMatch>, String> {
    let mut seen = BTreeSet::new();
    list(wanted, field)
        .iter()
        // Of entries with equal names only the first counts.
        .filter(|entry| seen.insert(spelled(text(entry, "name"))))
        .map(|entry| Ok(NameMatch { name: spelled(text(entry, "name")), value: value(entry)? }))
        .collect()
}

/// Compiles a regular expression, or says where it is wrong.
pub(crate) fn pattern(text: &str, path: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| {
        let last = error.to_string();
        format!(
            "{path}: {text:?} is not a regular expression that is served: {}",
            last.lines().last().unwrap_or_default().trim()
        )
    })
}

#[derive(Default)]
struct Filters {
    request: HeaderEdits,
    response: HeaderEdits,
    rewrite: Rewrite,
    redirect: Option<Redirect>,
}

fn filters(rule: &Value, path: &str) -> Result<Filters, String> {
    let mut filters = Filters::default();
    let mut seen = BTreeSet::new();
    for filter in list(rule, "filters") {
        let kind = text(filter, "type");
        if !seen.insert(kind) {
            return Err(format!("{path}.filters: {kind} stands there twice"));
        }
        match kind {
            "RequestHeaderModifier" => filters.request = header_edits(&filter["requestHeaderModifier"]),
            "ResponseHeaderModifier" => filters.response = header_edits(&filter["responseHeaderModifier"]),
            "URLRewrite" => {
                let rewrite = &filter["urlRewrite"];
                filters.rewrite = Rewrite { host: owned(rewrite, "hostname"), path: path_rewrite(rewrite) };
            }
            _ => {
                let redirect = &filter["requestRedirect"];
                filters.redirect = Some(Redirect {
                    scheme: scheme(redirect),
                    host: owned(redirect, "hostname"),
                    port: port(redirect, "port"),
                    path: path_rewrite(redirect),
                    status: port(redirect, "statusCode").unwrap_or(302),
                });
            }
        }
    }
    if let Some(malformed) = filters.request.malformed().or(filters.response.malformed()) {
        return Err(format!("{path}.filters: {malformed:?} is not a header name or value"));
    }
    if seen.contains("RequestRedirect") && (seen.contains("URLRewrite") || !list(rule, "backendRefs").is_empty()) {
        return Err(format!("{path}: RequestRedirect cannot stand beside URLRewrite or backendRefs"));
    }
    Ok(filters)
}

fn owned(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// Returns the scheme that a redirect names.
pub(crate) fn scheme(redirect: &Value) -> Option<Scheme> {
    match text(redirect, "scheme") {
        "http" => Some(Scheme::Http),
        "https" => Some(Scheme::Https),
        _ => None,
    }
}

fn path_rewrite(value: &Value) -> Option<PathRewrite> {
    let path = value.get("path")?;
    Some(match text(path, "type") {
        "ReplaceFullPath" => PathRewrite::Full(or(text(path, "replaceFullPath"), "/").to_owned()),
        _ => PathRewrite::Prefix(text(path, "replacePrefixMatch").to_owned()),
    })
}

fn header_edits(value: &Value) -> HeaderEdits {
    let pairs = |field| {
        list(value, field)
            .iter()
            .map(|entry| (text(entry, "name").to_ascii_lowercase(), text(entry, "value").to_owned()))
            .collect()
    };
    HeaderEdits {
        set: pairs("set"),
        add: pairs("add"),
        remove: list(value, "remove").iter().filter_map(Value::as_str).map(str::to_ascii_lowercase).collect(),
    }
}

fn forward(
    rule: &Value,
    key: &RouteKey,
    objects: &Objects,
    backends: &mut Backends<'_>,
    unresolved: &mut Option<Condition>,
) -> Forward {
    let backends = list(rule, "backendRefs")
        .iter()
        .map(|reference| {
            let namespace = or(text(reference, "namespace"), &key.namespace);
            let name = text(reference, "name");
            let backend = if namespace != key.namespace && !granted(objects, &key.namespace, namespace, name) {
                Err(Unserved {
                    reason: "RefNotPermitted".to_owned(),
                    message: format!(
                        "no ReferenceGrant in {namespace} lets routes of {} use Service {name}",
                        key.namespace
                    ),
                })
            } else if port(reference, "port").is_none() {
                Err(Unserved {
                    reason: "UnsupportedValue".to_owned(),
                    message: format!("the reference to Service {name} names no port"),
                })
            } else {
                backends.find(namespace, name, port(reference, "port"))
            };
            if let Err(unserved) = &backend {
                unresolved
                    .get_or_insert_with(|| Condition::bad("ResolvedRefs", &unserved.reason, unserved.message.clone()));
            }
            let weight = reference
                .get("weight")
                .and_then(Value::as_u64)
                .and_then(|weight| u32::try_from(weight).ok())
                .unwrap_or(1);
            Weighted { weight, backend }
        })
        .collect();
    Forward { backends }
}

fn granted(objects: &Objects, from: &str, to: &str, service: &str) -> bool {
    objects.all(Kind::ReferenceGrant).filter(|((namespace, _), _)| namespace == to).any(|(_, grant)| {
        let spec = &grant["spec"];
        list(spec, "from").iter().any(|entry| {
            text(entry, "group") == GATEWAY_GROUP
                && text(entry, "kind") == "HTTPRoute"
                && text(entry, "namespace") == from
        }) && list(spec, "to").iter().any(|entry| {
            text(entry, "group").is_empty()
                && text(entry, "kind") == "Service"
                && (text(entry, "name").is_empty() || text(entry, "name") == service)
        })
    })
}
