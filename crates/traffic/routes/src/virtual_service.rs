//! Istio's `VirtualService` on our gateways: its rules in the order they are written, its status.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    compile::Draft,
    condition::{Condition, written},
    crds::VIRTUAL_SERVICE,
    endpoints::Backends,
    gateway::Gateway,
    hosts::intersect,
    http_route::{pattern, scheme},
    matching::{Match, NameMatch, PathMatch, TextMatch},
    objects::{created, duration_ms, generation, list, port, text},
    snapshot::{Action, Forward, HeaderEdits, PathRewrite, Redirect, Rewrite, RouteKey, Rule, Weighted},
    supported::refused,
};

/// Puts a route's rules into `draft` and returns the status that it should have.
pub(crate) fn attach(
    object: &Value,
    gateways: &mut [Gateway<'_>],
    backends: &mut Backends<'_>,
    draft: &mut Draft,
    now: &str,
) -> Value {
    let key = RouteKey {
        kind: "VirtualService".to_owned(),
        namespace: text(&object["metadata"], "namespace").to_owned(),
        name: text(&object["metadata"], "name").to_owned(),
    };
    let spec = &object["spec"];
    let mut resolved = Condition::good("ResolvedRefs");
    let accepted = match rules(spec, &key, backends, &mut resolved) {
        Ok(rules) => bind(spec, &key, gateways, &rules, created(object), draft),
        Err(why) => Condition::bad("Accepted", "UnsupportedValue", why),
    };
    let generation = generation(object);
    json!({
        "observedGeneration": generation,
        "conditions": written(object.pointer("/status/conditions"), &[accepted, resolved], generation, now),
    })
}

fn bind(
    spec: &Value,
    key: &RouteKey,
    gateways: &mut [Gateway<'_>],
    rules: &[Rule],
    created: &str,
    draft: &mut Draft,
) -> Condition {
    let names: Vec<_> = list(spec, "gateways").iter().filter_map(Value::as_str).collect();
    if names.is_empty() || names.contains(&"mesh") {
        return Condition::bad(
            "Accepted",
            "UnsupportedValue",
            "spec.gateways: traffic inside the mesh is not routed; name a gateway as <namespace>/<name>",
        );
    }
    let hosts: Vec<_> = list(spec, "hosts").iter().filter_map(Value::as_str).collect();
    let mut bound = false;
    for name in names {
        let (namespace, gateway_name) = name.split_once('/').unwrap_or((&key.namespace, name));
        let Some(gateway) =
            gateways.iter_mut().find(|gateway| gateway.namespace == namespace && gateway.name == gateway_name)
        else {
            return Condition::bad(
                "Accepted",
                "NoMatchingParent",
                format!("spec.gateways: there is no gateway {namespace}/{gateway_name} of this proxy"),
            );
        };
        let serves = gateway.serves();
        for listener in &mut gateway.listeners {
            let common: BTreeSet<_> = hosts.iter().filter_map(|host| intersect(listener.hostname, host)).collect();
            if common.is_empty() || (!listener.all_namespaces && gateway.namespace != key.namespace) {
                continue;
            }
            bound = true;
            listener.attached += 1;
            if serves && listener.serves() {
                for host in common {
                    draft.add(listener.scheme, listener.hostname, &host, rules.iter().cloned(), created);
                }
            }
        }
    }
    if bound {
        Condition::good("Accepted")
    } else {
        Condition::bad(
            "Accepted",
            "NoMatchingListenerHostname",
            "no listener serves one of the hosts and takes routes of this namespace",
        )
    }
}

fn rules(
    spec: &Value,
    key: &RouteKey,
    backends: &mut Backends<'_>,
    resolved: &mut Condition,
) -> Result<Vec<Rule>, String> {
    if let Some(why) = refused(spec, &VIRTUAL_SERVICE, "spec") {
        return Err(why);
    }
    let mut rules = Vec::new();
    for (at, route) in list(spec, "http").iter().enumerate() {
        let path = format!("spec.http[{at}]");
        let action = action(route, &path, key, backends, resolved)?;
        let timeout = match route.get("timeout").and_then(Value::as_str) {
            Some(text) => Some(duration_ms(text).ok_or_else(|| format!("{path}.timeout: {text:?} is not a duration"))?),
            None => None,
        };
        let (to, back) = (edits(route.pointer("/headers/request")), edits(route.pointer("/headers/response")));
        if let Some(malformed) = to.malformed().or(back.malformed()) {
            return Err(format!("{path}.headers: {malformed:?} is not a header name or value"));
        }
        let rewrite = &route["rewrite"];
        let template = |matches| Rule {
            route: key.clone(),
            matches,
            request_headers: to.clone(),
            response_headers: back.clone(),
            rewrite: Rewrite {
                host: owned(rewrite, "authority"),
                path: owned(rewrite, "uri").map(PathRewrite::Prefix),
            },
            action: action.clone(),
            timeout_ms: timeout.filter(|timeout| *timeout > 0),
        };
        let matches = list(route, "match");
        if matches.is_empty() {
            rules.push(template(matched(&json!({}), &path)?));
        }
        for wanted in matches {
            rules.push(template(matched(wanted, &path)?));
        }
    }
    Ok(rules)
}

fn action(
    route: &Value,
    path: &str,
    key: &RouteKey,
    backends: &mut Backends<'_>,
    resolved: &mut Condition,
) -> Result<Action, String> {
    let destinations = list(route, "route");
    if let Some(redirect) = route.get("redirect") {
        if !destinations.is_empty() {
            return Err(format!("{path}: redirect cannot stand beside route"));
        }
        return Ok(Action::Redirect(Redirect {
            scheme: scheme(redirect),
            host: owned(redirect, "authority"),
            port: port(redirect, "port"),
            path: owned(redirect, "uri").map(PathRewrite::Full),
            status: port(redirect, "redirectCode").unwrap_or(301),
        }));
    }
    if destinations.is_empty() {
        return Err(format!("{path} has neither route nor redirect"));
    }
    let single = destinations.len() == 1;
    let backends = destinations
        .iter()
        .map(|entry| {
            let destination = &entry["destination"];
            let (namespace, service) = service(text(destination, "host"), &key.namespace);
            let backend = backends.find(namespace, service, port(&destination["port"], "number"));
            if let Err(unserved) = &backend
                && resolved.holds
            {
                *resolved = Condition::bad("ResolvedRefs", &unserved.reason, unserved.message.clone());
            }
            // A single destination gets everything; of several, one without a weight gets nothing.
            let weight = entry.get("weight").and_then(Value::as_u64).and_then(|weight| u32::try_from(weight).ok());
            Weighted { weight: if single { 1 } else { weight.unwrap_or(0) }, backend }
        })
        .collect();
    Ok(Action::Forward(Forward { backends }))
}

/// Returns namespace and name of `name`, `name.namespace`, `name.namespace.svc` and the like.
fn service<'a>(host: &'a str, own: &'a str) -> (&'a str, &'a str) {
    let host = host.strip_suffix(".cluster.local").unwrap_or(host);
    let host = host.strip_suffix(".svc").unwrap_or(host);
    host.split_once('.').map_or((own, host), |(service, namespace)| (namespace, service))
}

fn owned(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn edits(value: Option<&Value>) -> HeaderEdits {
    let Some(value) = value else { return HeaderEdits::default() };
    let pairs = |field| -> Vec<(String, String)> {
        let fields = value.get(field).and_then(Value::as_object);
        fields
            .into_iter()
            .flatten()
            .filter_map(|(name, text)| Some((name.to_ascii_lowercase(), text.as_str()?.to_owned())))
            .collect()
    };
    HeaderEdits {
        set: pairs("set"),
        add: pairs("add"),
        remove: list(value, "remove").iter().filter_map(Value::as_str).map(str::to_ascii_lowercase).collect(),
    }
}

fn matched(wanted: &Value, path: &str) -> Result<Match, String> {
    let uri = &wanted["uri"];
    let path_match = match (owned(uri, "exact"), owned(uri, "prefix"), owned(uri, "regex")) {
        (Some(exact), None, None) => PathMatch::Exact(exact),
        (None, Some(prefix), None) => PathMatch::Text(prefix),
        (None, None, Some(regex)) => PathMatch::Regex(pattern(&regex, path)?),
        (None, None, None) => PathMatch::Text("/".to_owned()),
        _ => return Err(format!("{path}.match.uri: use one of exact, prefix and regex")),
    };
    let named = |field: &str, spelled: fn(&str) -> String| -> Result<Vec<NameMatch>, String> {
        let fields = wanted.get(field).and_then(Value::as_object);
        fields
            .into_iter()
            .flatten()
            .map(|(name, value)| Ok(NameMatch { name: spelled(name), value: text_match(value, path)? }))
            .collect()
    };
    Ok(Match {
        path: path_match,
        method: wanted.get("method").map(|method| text_match(method, path)).transpose()?,
        headers: named("headers", str::to_ascii_lowercase)?,
        query: named("queryParams", str::to_owned)?,
    })
}

fn text_match(value: &Value, path: &str) -> Result<TextMatch, String> {
    match (owned(value, "exact"), owned(value, "prefix"), owned(value, "regex")) {
        (Some(exact), None, None) => Ok(TextMatch::Exact(exact)),
        (None, Some(prefix), None) => Ok(TextMatch::Prefix(prefix)),
        (None, None, Some(regex)) => Ok(TextMatch::Regex(pattern(&regex, path)?)),
        (None, None, None) => Ok(TextMatch::Present),
        _ => Err(format!("{path}.match: use one of exact, prefix and regex")),
    }
}
