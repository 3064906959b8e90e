//! Rules of `networking.k8s.io`, `discovery.k8s.io` and `coordination.k8s.io`.

use std::{collections::BTreeSet, net::IpAddr};

use base::names::{is_dns_label, is_dns_subdomain};
use schema::validate::Cause;
use serde_json::{Value, json};

use super::check::{
    Causes, IP, PREFIXED, bits_of, cidr, dns_label, dns_subdomain, each, given, immutable, invalid, ip, is_masked,
    label_selector, list, must_be_one_of, not_negative, one_of, port_name, port_or_name, qualified_name, reachable,
    text,
};

pub(in crate::builtin) fn ingress(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    if spec["defaultBackend"].is_null() && list(spec, "rules").is_empty() {
        let why = "either `defaultBackend` or `rules` must be specified";
        // Kubernetes shows the rules under the name of the whole.
        causes.push(Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: null: {why}"),
            field: "spec".into(),
        });
    }
    if spec["defaultBackend"].is_object() {
        backend(&spec["defaultBackend"], "spec.defaultBackend", causes);
    }
    for (at, rule) in each(spec, "rules", "spec") {
        host(rule, &at, causes);
        if rule["http"].is_object() {
            if list(&rule["http"], "paths").is_empty() {
                causes.push(Cause::required(format!("{at}.http.paths"), ""));
            }
            for (at, path) in each(&rule["http"], "paths", &format!("{at}.http")) {
                self::path(path, &at, causes);
            }
        }
    }
    for (at, tls) in each(spec, "tls", "spec") {
        for (at, name) in each(tls, "hosts", &at) {
            domain(name, &at, causes);
        }
    }
    if let Some(class) = spec["ingressClassName"].as_str() {
        dns_subdomain(&json!(class), "spec.ingressClassName", causes);
    }
    if old.is_some() {
        for (at, address) in each(&value["status"]["loadBalancer"], "ingress", "status.loadBalancer") {
            if !text(address, "ip").is_empty() {
                ip(&address["ip"], format!("{at}.ip"), causes);
            }
            if !text(address, "hostname").is_empty() {
                dns_subdomain(&address["hostname"], format!("{at}.hostname"), causes);
            }
        }
    }
}

const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

fn domain(value: &Value, field: &str, causes: &mut Causes) {
    let name = value.as_str().unwrap_or_default();
    if name.contains('*') {
        if !name.strip_prefix("*.").is_some_and(is_dns_subdomain) {
            invalid(field, value, WILDCARD, causes);
        }
    } else {
        dns_subdomain(value, field, causes);
    }
}

fn host(rule: &Value, at: &str, causes: &mut Causes) {
    let name = text(rule, "host");
    if name.is_empty() {
        return;
    }
    if name.parse::<IpAddr>().is_ok() {
        invalid(format!("{at}.host"), &rule["host"], "must be a DNS name, not an IP address", causes);
    }
    domain(&rule["host"], &format!("{at}.host"), causes);
}

fn path(path: &Value, at: &str, causes: &mut Causes) {
    let kinds = ["Exact", "ImplementationSpecific", "Prefix"];
    let given_path = text(path, "path");
    match path["pathType"].as_str() {
        None => causes.push(Cause::required(format!("{at}.pathType"), "pathType must be specified")),
        Some("Exact" | "Prefix") => {
            if given_path.starts_with('/') {
                for part in ["//", "/./", "/../", "%2f", "%2F"] {
                    if given_path.contains(part) {
                        invalid(format!("{at}.path"), &path["path"], &format!("must not contain '{part}'"), causes);
                    }
                }
                for ending in ["/..", "/."] {
                    if given_path.ends_with(ending) {
                        invalid(format!("{at}.path"), &path["path"], &format!("cannot end with '{ending}'"), causes);
                    }
                }
            } else {
                invalid(format!("{at}.path"), &json!(given_path), "must be an absolute path", causes);
            }
        }
        Some("ImplementationSpecific") => {
            if !given_path.is_empty() && !given_path.starts_with('/') {
                invalid(format!("{at}.path"), &json!(given_path), "must be an absolute path", causes);
            }
        }
        Some(_) => causes.push(Cause::not_supported(format!("{at}.pathType"), &path["pathType"], &kinds)),
    }
    backend(&path["backend"], &format!("{at}.backend"), causes);
}

fn backend(value: &Value, at: &str, causes: &mut Causes) {
    let (service, resource) = (&value["service"], &value["resource"]);
    if service.is_object() && resource.is_object() {
        return invalid(at, &json!(""), "cannot set both resource and service backends", causes);
    }
    if resource.is_object() {
        if !text(resource, "apiGroup").is_empty() {
            dns_subdomain(&resource["apiGroup"], format!("{at}.resource.apiGroup"), causes);
        }
        for name in ["kind", "name"] {
            given(resource, name, &format!("{at}.resource"), causes);
        }
        return;
    }
    if service.is_null() {
        return invalid(at, &json!(""), "resource or service backend is required", causes);
    }
    if given(service, "name", &format!("{at}.service"), causes) {
        dns_label(&service["name"], format!("{at}.service.name"), causes);
    }
    let (name, number) = (text(&service["port"], "name"), service["port"]["number"].as_i64().unwrap_or_default());
    match (name.is_empty(), number) {
        (true, 0) => causes.push(Cause::required(at, "port name or number is required")),
        (false, 1..) => invalid(at, &json!(""), "cannot set both port name & port number", causes),
        (false, _) => {
            for why in port_name(name) {
                invalid(format!("{at}.service.port.name"), &service["port"]["name"], why, causes);
            }
        }
        // Kubernetes looks at no more than whether there is a number.
        (true, _) => {}
    }
}

pub(in crate::builtin) fn ingress_class(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    if old.is_some() {
        immutable(value, old, "spec.controller", causes);
    } else if given(spec, "controller", "spec", causes) {
        let controller = text(spec, "controller");
        if controller.len() > 250 {
            let message = "Too long: may not be more than 250 bytes".to_owned();
            causes.push(Cause { reason: "FieldValueTooLong", message, field: "spec.controller".into() });
        }
        if controller.split_once('/').is_none_or(|(domain, path)| !is_dns_subdomain(domain) || path.is_empty()) {
            invalid("spec.controller", &spec["controller"], PREFIXED, causes);
        }
    }
    let parameters = &spec["parameters"];
    if parameters.is_null() {
        return;
    }
    let at = "spec.parameters";
    if !text(parameters, "apiGroup").is_empty() {
        dns_subdomain(&parameters["apiGroup"], format!("{at}.apiGroup"), causes);
    }
    for name in ["kind", "name"] {
        given(parameters, name, at, causes);
    }
    let namespace = text(parameters, "namespace");
    match text(parameters, "scope") {
        "" => causes.push(Cause::required(format!("{at}.scope"), "")),
        "Cluster" if !namespace.is_empty() => {
            causes.push(Cause::forbidden(format!("{at}.namespace"), "`parameters.scope` is set to 'Cluster'"));
        }
        "Namespace" if namespace.is_empty() => {
            causes.push(Cause::required(format!("{at}.namespace"), "`parameters.scope` is set to 'Namespace'"));
        }
        "Namespace" => dns_label(&parameters["namespace"], format!("{at}.namespace"), causes),
        "Cluster" => {}
        _ => causes.push(Cause::not_supported(format!("{at}.scope"), &parameters["scope"], &["Cluster", "Namespace"])),
    }
}

pub(in crate::builtin) fn network_policy(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    label_selector(&spec["podSelector"], "spec.podSelector", causes);
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        for (at, rule) in each(spec, rules, "spec") {
            for (at, port) in each(rule, "ports", &at) {
                policy_port(port, &at, causes);
            }
            for (at, peer) in each(rule, peers, &at) {
                self::peer(peer, &at, causes);
            }
        }
    }
    if list(spec, "policyTypes").len() > 2 {
        let given = &spec["policyTypes"];
        return invalid("spec.policyTypes", given, "may not specify more than two policyTypes", causes);
    }
    for (at, kind) in each(spec, "policyTypes", "spec") {
        one_of(kind, at, &["Egress", "Ingress"], causes);
    }
}

fn policy_port(port: &Value, at: &str, causes: &mut Causes) {
    one_of(&port["protocol"], format!("{at}.protocol"), &["TCP", "UDP", "SCTP"], causes);
    let end = &port["endPort"];
    if port["port"].is_null() {
        if !end.is_null() {
            let why = "may not be specified when `port` is not specified";
            invalid(format!("{at}.endPort"), end, why, causes);
        }
        return;
    }
    port_or_name(&port["port"], &format!("{at}.port"), causes);
    if let Some(last) = end.as_i64() {
        if let Some(first) = port["port"].as_i64() {
            if last < first {
                // The value that Kubernetes shows is that of the port.
                invalid(format!("{at}.endPort"), &port["port"], "must be greater than or equal to `port`", causes);
            }
        } else {
            let why = "may not be specified when `port` is non-numeric";
            invalid(format!("{at}.endPort"), end, why, causes);
        }
        if !(1..=65535).contains(&last) {
            invalid(format!("{at}.endPort"), end, "must be between 1 and 65535, inclusive", causes);
        }
    }
}

fn peer(peer: &Value, at: &str, causes: &mut Causes) {
    let mut count = 0;
    for name in ["podSelector", "namespaceSelector"] {
        if peer[name].is_object() {
            count += 1;
            label_selector(&peer[name], &format!("{at}.{name}"), causes);
        }
    }
    let block = &peer["ipBlock"];
    if block.is_object() {
        count += 1;
        ip_block(block, &format!("{at}.ipBlock"), causes);
    }
    if count == 0 {
        causes.push(Cause::required(at, "must specify a peer"));
    } else if count > 1 && block.is_object() {
        causes.push(Cause::forbidden(at, "may not specify both ipBlock and another peer"));
    }
}

const CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

fn ip_block(block: &Value, at: &str, causes: &mut Causes) {
    if !given(block, "cidr", at, causes) {
        return;
    }
    let Some((network, bits)) = cidr(text(block, "cidr")) else {
        return invalid(format!("{at}.cidr"), &block["cidr"], CIDR, causes);
    };
    for (index, except) in list(block, "except").iter().enumerate() {
        let field = format!("{at}.except[{index}]");
        let Some((other, length)) = cidr(except.as_str().unwrap_or_default()) else {
            invalid(field, except, CIDR, causes);
            continue;
        };
        let shift = 128 - u32::from(bits);
        let within = other.is_ipv4() == network.is_ipv4()
            && bits_of(other).checked_shr(shift).unwrap_or(0) == bits_of(network).checked_shr(shift).unwrap_or(0);
        if !within || length <= bits {
            invalid(field, except, "must be a strict subset of `cidr`", causes);
        }
    }
}

pub(in crate::builtin) fn service_cidr(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    let all = list(spec, "cidrs");
    if let Some(old) = old {
        let before = list(&old["spec"], "cidrs");
        for (index, cidr) in before.iter().enumerate() {
            if all.get(index) != Some(cidr) {
                let now = all.get(index).cloned().unwrap_or_default();
                invalid(format!("spec.cidrs[{index}]"), &now, "field is immutable", causes);
            }
        }
        return;
    }
    if all.is_empty() {
        return causes.push(Cause::required("spec.cidrs", "at least one CIDR required"));
    }
    if all.len() > 2 {
        let message = format!("Invalid value: {{\"CIDRs\":{}}}: may only hold up to 2 values", spec["cidrs"]);
        return causes.push(Cause { reason: "FieldValueInvalid", message, field: "spec.cidrs".into() });
    }
    for (at, given) in each(spec, "cidrs", "spec") {
        match cidr(given.as_str().unwrap_or_default()) {
            None => invalid(at, given, CIDR, causes),
            Some(network) if !is_masked(network) => {
                invalid(at, given, "must not have bits set beyond the prefix length", causes);
            }
            Some(_) => {}
        }
    }
}

pub(in crate::builtin) fn ip_address(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let parent = &value["spec"]["parentRef"];
    if let Some(old) = old {
        if old["spec"]["parentRef"] != *parent {
            let shown = format!(
                "{{\"Group\":{:?},\"Resource\":{:?},\"Namespace\":{:?},\"Name\":{:?}}}",
                text(parent, "group"),
                text(parent, "resource"),
                text(parent, "namespace"),
                text(parent, "name")
            );
            let message = format!("Invalid value: {shown}: field is immutable");
            causes.push(Cause { reason: "FieldValueInvalid", message, field: "spec.parentRef".into() });
        }
        return;
    }
    let name = &value["metadata"]["name"];
    let canonical = name.as_str().and_then(|name| Some((name, name.parse::<IpAddr>().ok()?)));
    match canonical {
        None if has_leading_zeros(text(&value["metadata"], "name")) => {
            invalid("metadata.name", name, "must not have leading 0s", causes);
        }
        None => invalid("metadata.name", name, IP, causes),
        Some((name, address)) if address.to_string() != name => {
            let why = format!("must be in canonical form ({:?})", address.to_string());
            invalid("metadata.name", &json!(name), &why, causes);
        }
        Some(_) => {}
    }
    if parent.is_null() {
        return causes.push(Cause::required("spec.parentRef", ""));
    }
    for name in ["resource", "name"] {
        given(parent, name, "spec.parentRef", causes);
    }
}

fn has_leading_zeros(name: &str) -> bool {
    name.split('.').count() == 4
        && name.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        && name.split('.').any(|part| part.len() > 1 && part.starts_with('0'))
}

pub(in crate::builtin) fn endpoint_slice(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let kind = text(value, "addressType");
    let mut names = BTreeSet::new();
    if old.is_none() {
        must_be_one_of(&value["addressType"], "addressType", &["FQDN", "IPv4", "IPv6"], causes);
    }
    let start = causes.len();
    // A type that may not change is not what addresses are measured by.
    let kind = old.map_or(kind, |old| text(old, "addressType"));
    for (at, endpoint) in each(value, "endpoints", "") {
        self::endpoint(endpoint, kind, &at, causes);
    }
    let after: Vec<Cause> = causes.drain(start..).collect();
    for (at, port) in each(value, "ports", "") {
        let name = text(port, "name");
        if !name.is_empty() && !is_dns_label(name) {
            dns_label(&port["name"], format!("{at}.name"), causes);
        }
        if !names.insert(name) {
            causes.push(Cause::duplicate(format!("{at}.name"), &port["name"]));
        }
        must_be_one_of(&port["protocol"], format!("{at}.protocol"), &["SCTP", "TCP", "UDP"], causes);
        if let Some(protocol) = port["appProtocol"].as_str() {
            qualified_name(&json!(protocol), &format!("{at}.appProtocol"), causes);
        }
    }
    causes.extend(after);
    immutable(value, old, "addressType", causes);
}

pub(in crate::builtin) fn slice_warnings(value: &Value) -> Vec<String> {
    if value["addressType"] == "FQDN" {
        vec!["spec.addressType: FQDN endpoints are deprecated".to_owned()]
    } else {
        Vec::new()
    }
}

fn endpoint(endpoint: &Value, kind: &str, at: &str, causes: &mut Causes) {
    if list(endpoint, "addresses").is_empty() {
        causes.push(Cause::required(format!("{at}.addresses"), "must contain at least 1 address"));
    }
    for (at, address) in each(endpoint, "addresses", at) {
        match kind {
            "IPv4" | "IPv6" => {
                let parsed = address.as_str().and_then(|text| text.parse::<IpAddr>().ok());
                match parsed {
                    None => ip(address, at, causes),
                    Some(parsed) if parsed.is_ipv4() != (kind == "IPv4") => {
                        invalid(at, address, &format!("must be an {kind} address"), causes);
                    }
                    Some(_) => reachable(address, &at, causes),
                }
            }
            "FQDN" => dns_subdomain(address, at, causes),
            _ => {}
        }
    }
    if !text(endpoint, "nodeName").is_empty() {
        dns_subdomain(&endpoint["nodeName"], format!("{at}.nodeName"), causes);
    }
    if let Some(name) = endpoint["hostname"].as_str() {
        dns_label(&json!(name), format!("{at}.hostname"), causes);
    }
}

pub(in crate::builtin) fn lease(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    if spec["leaseDurationSeconds"].as_i64().is_some_and(|seconds| seconds <= 0) {
        invalid("spec.leaseDurationSeconds", &spec["leaseDurationSeconds"], "must be greater than 0", causes);
    }
    not_negative(&spec["leaseTransitions"], "spec.leaseTransitions", causes);
}
