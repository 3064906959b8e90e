//! Columns of the network's kinds and of discovery and coordination.

use serde_json::Value;

use super::{age, balancer, first, joined, list, name, of, or_none, selector, text};
use crate::registry::Column;

pub(in crate::builtin) fn ingress() -> Vec<Column> {
    vec![
        of("Class", |value| or_none(text(&value["spec"], "ingressClassName"))),
        of("Hosts", |value| {
            let rules = list(&value["spec"], "rules");
            let (mut hosts, mut more) = (Vec::new(), false);
            for rule in rules {
                more |= hosts.len() == 3;
                if !more && !text(rule, "host").is_empty() {
                    hosts.push(text(rule, "host"));
                }
            }
            match (hosts.is_empty(), more) {
                (true, _) => "*".into(),
                (false, false) => joined(hosts).into(),
                (false, true) => format!("{} + {} more...", joined(hosts), rules.len() - 3).into(),
            }
        }),
        of("Address", |value| balancer(&value["status"]).into()),
        of("Ports", |value| if list(&value["spec"], "tls").is_empty() { "80".into() } else { "80, 443".into() }),
        age(),
    ]
}

pub(in crate::builtin) fn ingress_class() -> Vec<Column> {
    vec![
        name(0, |value| {
            let annotations = &value["metadata"]["annotations"];
            marked(value, annotations["ingressclass.kubernetes.io/is-default-class"] == "true")
        }),
        of("Controller", |value| text(&value["spec"], "controller").into()),
        of("Parameters", |value| {
            let parameters = &value["spec"]["parameters"];
            if parameters.is_null() {
                return "<none>".into();
            }
            let group = parameters["apiGroup"].as_str().map_or(String::new(), |group| format!(".{group}"));
            format!("{}{group}/{}", text(parameters, "kind"), text(parameters, "name")).into()
        }),
        age(),
    ]
}

/// The name, with a word behind that of the default class.
pub(super) fn marked(value: &Value, default: bool) -> Value {
    let name = text(&value["metadata"], "name");
    if default { format!("{name} (default)").into() } else { name.into() }
}

pub(in crate::builtin) fn network_policy() -> Vec<Column> {
    vec![of("Pod-Selector", |value| or_none(&selector(&value["spec"]["podSelector"]))), age()]
}

pub(in crate::builtin) fn service_cidr() -> Vec<Column> {
    vec![of("CIDRs", |value| joined(list(&value["spec"], "cidrs").iter().filter_map(Value::as_str)).into()), age()]
}

pub(in crate::builtin) fn ip_address() -> Vec<Column> {
    vec![of("ParentRef", |value| {
        let parent = &value["spec"]["parentRef"];
        if parent.is_null() {
            return "<none>".into();
        }
        let group = text(parent, "group");
        let kind = text(parent, "resource").to_lowercase();
        let kind = if group.is_empty() { kind } else { format!("{kind}.{}", group.to_lowercase()) };
        let namespace = text(parent, "namespace");
        let namespace = if namespace.is_empty() { String::new() } else { format!("/{namespace}") };
        format!("{kind}{namespace}/{}", text(parent, "name")).into()
    })]
}

pub(in crate::builtin) fn endpoint_slice() -> Vec<Column> {
    vec![
        of("AddressType", |value| value["addressType"].clone()),
        of("Ports", |value| {
            let ports: Vec<String> = list(value, "ports")
                .iter()
                .map(|port| match (port["port"].as_i64(), port["name"].as_str()) {
                    (Some(number), _) => number.to_string(),
                    (None, Some(name)) => name.to_owned(),
                    (None, None) => "*".to_owned(),
                })
                .collect();
            first(&ports, 3, "<unset>").into()
        }),
        of("Endpoints", |value| {
            let addresses: Vec<String> = list(value, "endpoints")
                .iter()
                .flat_map(|endpoint| list(endpoint, "addresses").iter().filter_map(Value::as_str).map(str::to_owned))
                .collect();
            first(&addresses, 3, "<unset>").into()
        }),
        age(),
    ]
}

pub(in crate::builtin) fn lease() -> Vec<Column> {
    vec![of("Holder", |value| text(&value["spec"], "holderIdentity").into()), age()]
}
