//! Rules of services.

use std::collections::BTreeSet;

use schema::validate::Cause;
use serde_json::{Value, json};

use super::check::{
    Causes, dns_label, dns_subdomain, each, given, labels, list, one_of, port, port_or_name, qualified_name, text,
};

/// What a cluster of this kind does not act on is refused, so that nobody relies on it.
fn not_acted_on(spec: &Value, causes: &mut Causes) {
    for (name, known) in [
        ("type", ["ClusterIP", "ExternalName"].as_slice()),
        ("sessionAffinity", &["None"]),
        ("internalTrafficPolicy", &["Cluster"]),
    ] {
        let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
        let given = text(spec, name);
        if name == "type" && !kinds.contains(&given) {
            one_of(&spec["type"], "spec.type", &kinds, causes);
        } else if !given.is_empty() {
            one_of(&spec[name], format!("spec.{name}"), known, causes);
        }
    }
    for name in
        ["externalIPs", "loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges", "trafficDistribution"]
    {
        let given = &spec[name];
        if !given.is_null() && given != &json!([]) && given != "" {
            causes.push(Cause::forbidden(format!("spec.{name}"), "is not acted on by this cluster"));
        }
    }
}

pub(in crate::builtin) fn service(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    let external = spec["type"] == "ExternalName";
    if list(spec, "ports").is_empty() && !external && spec["clusterIP"] != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    if external {
        if text(spec, "externalName").is_empty() {
            causes.push(Cause::required("spec.externalName", ""));
        } else {
            let bare = json!(text(spec, "externalName").trim_end_matches('.'));
            dns_subdomain(&bare, "spec.externalName", causes);
        }
    }
    ports(spec, causes);
    labels(&spec["selector"], "spec.selector", causes);
    not_acted_on(spec, causes);
    if let Some(old) = old.filter(|old| old["spec"]["type"] == spec["type"])
        && !text(&old["spec"], "clusterIP").is_empty()
        && old["spec"]["clusterIP"] != spec["clusterIP"]
    {
        let given = json!([spec["clusterIP"]]);
        causes.push(Cause::invalid("spec.clusterIPs[0]", &given, "may not change once set"));
    }
}

fn ports(spec: &Value, causes: &mut Causes) {
    let several = list(spec, "ports").len() > 1;
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (at, given_port) in each(spec, "ports", "spec") {
        let name = text(given_port, "name");
        if name.is_empty() {
            if several {
                given(given_port, "name", &at, causes);
            }
        } else {
            dns_label(&given_port["name"], format!("{at}.name"), causes);
            if !names.insert(name) {
                causes.push(Cause::duplicate(format!("{at}.name"), &given_port["name"]));
            }
        }
        port(&given_port["port"], format!("{at}.port"), causes);
        one_of(&given_port["protocol"], format!("{at}.protocol"), &["SCTP", "TCP", "UDP"], causes);
        port_or_name(&given_port["targetPort"], &format!("{at}.targetPort"), causes);
        if let Some(protocol) = given_port["appProtocol"].as_str() {
            qualified_name(&json!(protocol), &format!("{at}.appProtocol"), causes);
        }
    }
    for (at, given_port) in each(spec, "ports", "spec") {
        let (protocol, number) = (text(given_port, "protocol"), given_port["port"].as_i64().unwrap_or_default());
        if !numbers.insert((protocol, number)) {
            // Kubernetes shows the parts that it compares, in its own type's words.
            let message = format!(
                "Duplicate value: {{\"Name\":\"\",\"Protocol\":{protocol:?},\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}"
            );
            causes.push(Cause { reason: "FieldValueDuplicate", message, field: at });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(value: &Value) -> Vec<String> {
        let mut causes = Vec::new();
        service(value, None, &mut causes);
        causes.into_iter().map(|cause| cause.field).collect()
    }

    #[test]
    fn what_a_service_cannot_have_is_refused_by_name() {
        let of = |name: &str, given: Value| {
            let mut value = json!({"metadata": {"name": "s"}, "spec": {"type": "ClusterIP", "ports": [{"port": 80, "targetPort": 80}]}});
            value["spec"][name] = given;
            fields(&value)
        };
        assert!(of("sessionAffinity", json!("None")).is_empty() && of("externalIPs", json!([])).is_empty());
        for (name, given) in [
            ("type", json!("NodePort")),
            ("sessionAffinity", json!("ClientIP")),
            ("internalTrafficPolicy", json!("Local")),
            ("externalIPs", json!(["10.0.0.1"])),
            ("loadBalancerIP", json!("10.0.0.1")),
            ("trafficDistribution", json!("PreferClose")),
        ] {
            assert_eq!(of(name, given), [format!("spec.{name}")]);
        }
    }
}
