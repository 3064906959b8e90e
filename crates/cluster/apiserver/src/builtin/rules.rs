//! Kubernetes' validation of the built-in kinds, with its own fields and reasons.

use std::collections::BTreeSet;

use base::names::is_dns_label;
use schema::{selector::Labels, validate::Cause};
use serde_json::{Value, json};

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn port_number(value: &Value, field: &str, causes: &mut Vec<Cause>) {
    match value.as_i64() {
        Some(1..=65535) => {}
        Some(_) => causes.push(Cause::invalid(field, value, "must be between 1 and 65535, inclusive")),
        None => causes.push(Cause::required(field, "")),
    }
}

fn one_of(value: &Value, field: &str, supported: &[&str], causes: &mut Vec<Cause>) {
    if let Some(text) = value.as_str()
        && !supported.contains(&text)
    {
        causes.push(Cause::not_supported(field, value, supported));
    }
}

fn immutable(new: &Value, old: Option<&Value>, path: &[&str], causes: &mut Vec<Cause>) {
    let Some(old) = old else { return };
    let at =
        |value: &Value| path.iter().try_fold(value, |place, step| place.get(*step)).cloned().unwrap_or(Value::Null);
    if at(new) != at(old) {
        causes.push(Cause::invalid(path.join("."), &at(new), "field is immutable"));
    }
}

/// For kinds whose spec is written by its own path, or once and for all.
pub(super) fn keep_spec(old: &Value, new: &mut Value) {
    new["spec"] = old["spec"].clone();
}

const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

pub(super) fn pod(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    match old {
        None => pod_spec(&value["spec"], "spec", causes),
        Some(old) => pod_update(&value["spec"], &old["spec"], causes),
    }
}

fn pod_update(new: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let mut allowed = new.clone();
    for name in ["containers", "initContainers"] {
        let count = list(new, name).len();
        if count == list(old, name).len() {
            for index in 0..count {
                if let Some(image) = old[name][index].get("image") {
                    allowed[name][index]["image"] = image.clone();
                }
            }
        }
    }
    for name in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"] {
        match old.get(name) {
            Some(before) => allowed[name] = before.clone(),
            None => drop(allowed.as_object_mut().and_then(|map| map.remove(name))),
        }
    }
    if &allowed != old {
        causes.push(Cause::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
}

fn pod_spec(spec: &Value, at: &str, causes: &mut Vec<Cause>) {
    one_of(&spec["restartPolicy"], &format!("{at}.restartPolicy"), &["Always", "OnFailure", "Never"], causes);
    one_of(
        &spec["dnsPolicy"],
        &format!("{at}.dnsPolicy"),
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
        causes,
    );
    let mut volumes = BTreeSet::new();
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        let field = format!("{at}.volumes[{index}].name");
        let name = text(volume, "name");
        if !is_dns_label(name) {
            causes.push(Cause::invalid(field, &volume["name"], LABEL_RULE));
        } else if !volumes.insert(name) {
            causes.push(Cause::duplicate(field, &volume["name"]));
        }
    }
    if list(spec, "containers").is_empty() {
        causes.push(Cause::required(format!("{at}.containers"), ""));
    }
    let mut names = BTreeSet::new();
    for kind in ["initContainers", "containers"] {
        for (index, container) in list(spec, kind).iter().enumerate() {
            let at = format!("{at}.{kind}[{index}]");
            let name = text(container, "name");
            if name.is_empty() {
                causes.push(Cause::required(format!("{at}.name"), ""));
            } else if !is_dns_label(name) {
                causes.push(Cause::invalid(format!("{at}.name"), &container["name"], LABEL_RULE));
            } else if !names.insert(name) {
                causes.push(Cause::duplicate(format!("{at}.name"), &container["name"]));
            }
            container_rules(container, &at, &volumes, causes);
        }
    }
}

fn container_rules(container: &Value, at: &str, volumes: &BTreeSet<&str>, causes: &mut Vec<Cause>) {
    let image = text(container, "image");
    if image.is_empty() {
        causes.push(Cause::required(format!("{at}.image"), ""));
    } else if image.trim() != image {
        causes.push(Cause::invalid(
            format!("{at}.image"),
            &container["image"],
            "must not have leading or trailing whitespace",
        ));
    }
    one_of(
        &container["imagePullPolicy"],
        &format!("{at}.imagePullPolicy"),
        &["Always", "IfNotPresent", "Never"],
        causes,
    );
    for (index, port) in list(container, "ports").iter().enumerate() {
        port_number(&port["containerPort"], &format!("{at}.ports[{index}].containerPort"), causes);
        one_of(&port["protocol"], &format!("{at}.ports[{index}].protocol"), &["SCTP", "TCP", "UDP"], causes);
    }
    for (index, variable) in list(container, "env").iter().enumerate() {
        if text(variable, "name").is_empty() {
            causes.push(Cause::required(format!("{at}.env[{index}].name"), ""));
        }
        if !text(variable, "value").is_empty() && variable.get("valueFrom").is_some() {
            causes.push(Cause::invalid(
                format!("{at}.env[{index}].valueFrom"),
                &json!(""),
                "may not be specified when `value` is not empty",
            ));
        }
    }
    let mut mounted = BTreeSet::new();
    for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
        if !volumes.contains(text(mount, "name")) {
            let field = format!("{at}.volumeMounts[{index}].name");
            causes.push(Cause {
                reason: "FieldValueNotFound",
                message: format!("Not found: {}", mount["name"]),
                field,
            });
        }
        let path = text(mount, "mountPath");
        if path.is_empty() {
            causes.push(Cause::required(format!("{at}.volumeMounts[{index}].mountPath"), ""));
        } else if !mounted.insert(path) {
            causes.push(Cause::invalid(
                format!("{at}.volumeMounts[{index}].mountPath"),
                &mount["mountPath"],
                "must be unique",
            ));
        }
    }
    for (name, probe) in ["livenessProbe", "readinessProbe", "startupProbe"].map(|name| (name, &container[name])) {
        if probe.is_object() && !["httpGet", "tcpSocket", "exec", "grpc"].iter().any(|kind| probe.get(kind).is_some()) {
            causes.push(Cause::required(format!("{at}.{name}"), "must specify a handler type"));
        }
    }
}

pub(super) fn service(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let spec = &value["spec"];
    one_of(&spec["type"], "spec.type", &["ClusterIP", "ExternalName"], causes);
    // What is not acted on is refused, so that nobody relies on it.
    one_of(&spec["sessionAffinity"], "spec.sessionAffinity", &["None"], causes);
    one_of(&spec["internalTrafficPolicy"], "spec.internalTrafficPolicy", &["Cluster"], causes);
    for name in
        ["externalIPs", "loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges", "trafficDistribution"]
    {
        let given = &spec[name];
        if !given.is_null() && given != &json!([]) && given != "" {
            causes.push(Cause::forbidden(format!("spec.{name}"), "is not acted on by this cluster"));
        }
    }
    let external = spec["type"] == "ExternalName";
    if external && text(spec, "externalName").is_empty() {
        causes.push(Cause::required("spec.externalName", ""));
    }
    let ports = list(spec, "ports");
    if ports.is_empty() && !external && spec["clusterIP"] != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    let mut names = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let at = format!("spec.ports[{index}]");
        port_number(&port["port"], &format!("{at}.port"), causes);
        one_of(&port["protocol"], &format!("{at}.protocol"), &["SCTP", "TCP", "UDP"], causes);
        let name = text(port, "name");
        if name.is_empty() && ports.len() > 1 {
            causes.push(Cause::required(format!("{at}.name"), ""));
        } else if !names.insert(name) {
            causes.push(Cause::duplicate(format!("{at}.name"), &port["name"]));
        }
    }
    if old.is_some_and(|old| old["spec"]["type"] == spec["type"]) {
        immutable(value, old, &["spec", "clusterIP"], causes);
    }
}

fn data_keys(value: &Value, names: &[&str], causes: &mut Vec<Cause>) {
    for name in names {
        for key in value[*name].as_object().into_iter().flatten().map(|(key, _)| key) {
            let fits = !key.is_empty()
                && key.len() <= 253
                && key != "."
                && key != ".."
                && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
            if !fits {
                causes.push(Cause::invalid(format!("{name}[{key}]"), &key.clone().into(), "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"));
            }
        }
    }
}

fn frozen(value: &Value, old: Option<&Value>, fields: &[&str], causes: &mut Vec<Cause>) {
    let Some(old) = old.filter(|old| old["immutable"] == true) else { return };
    for field in fields.iter().chain(&["immutable"]) {
        if value[*field] != old[*field] {
            causes.push(Cause::forbidden(*field, "field is immutable when `immutable` is set"));
        }
    }
}

pub(super) fn config_map(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    data_keys(value, &["data", "binaryData"], causes);
    frozen(value, old, &["data", "binaryData"], causes);
}

pub(super) fn secret(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    data_keys(value, &["data"], causes);
    frozen(value, old, &["data"], causes);
    immutable(value, old, &["type"], causes);
}

fn replicated(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let spec = &value["spec"];
    if spec["replicas"].as_i64().is_some_and(|replicas| replicas < 0) {
        causes.push(Cause::invalid("spec.replicas", &spec["replicas"], "must be greater than or equal to 0"));
    }
    let labels = spec["template"]["metadata"]["labels"].as_object();
    match Labels::from_object(&spec["selector"]) {
        Ok(Some(selector)) if selector.is_empty() => {
            causes.push(Cause::invalid("spec.selector", &spec["selector"], "empty selector is invalid for deployment"));
        }
        Ok(Some(selector)) if !selector.matches(labels) => causes.push(Cause::invalid(
            "spec.template.metadata.labels",
            &spec["template"]["metadata"]["labels"],
            "`selector` does not match template `labels`",
        )),
        Ok(Some(_)) => {}
        Ok(None) => causes.push(Cause::required("spec.selector", "")),
        Err(error) => causes.push(Cause::invalid("spec.selector", &spec["selector"], &error.to_string())),
    }
    immutable(value, old, &["spec", "selector"], causes);
    pod_spec(&spec["template"]["spec"], "spec.template.spec", causes);
    if spec["template"]["spec"]["restartPolicy"].as_str().is_some_and(|policy| policy != "Always") {
        causes.push(Cause::not_supported(
            "spec.template.spec.restartPolicy",
            &spec["template"]["spec"]["restartPolicy"],
            &["Always"],
        ));
    }
}

pub(super) fn replica_set(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    replicated(value, old, causes);
}

pub(super) fn deployment(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    replicated(value, old, causes);
    let strategy = &value["spec"]["strategy"];
    one_of(&strategy["type"], "spec.strategy.type", &["Recreate", "RollingUpdate"], causes);
    let rolling = &strategy["rollingUpdate"];
    if strategy["type"] == "Recreate" && rolling.is_object() {
        causes.push(Cause::forbidden(
            "spec.strategy.rollingUpdate",
            "may not be specified when strategy `type` is 'Recreate'",
        ));
    }
    for name in ["maxSurge", "maxUnavailable"] {
        let value = &rolling[name];
        let fits = match value {
            Value::String(text) => text.strip_suffix('%').is_some_and(|number| number.parse::<u32>().is_ok()),
            Value::Number(number) => number.as_i64().is_some_and(|number| number >= 0),
            _ => true,
        };
        if !fits {
            causes.push(Cause::invalid(format!("spec.strategy.rollingUpdate.{name}"), value, "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"));
        }
    }
    let zero = |value: &Value| value == &json!(0) || value == "0%";
    if zero(&rolling["maxSurge"]) && zero(&rolling["maxUnavailable"]) {
        causes.push(Cause::invalid(
            "spec.strategy.rollingUpdate.maxUnavailable",
            &rolling["maxUnavailable"],
            "may not be 0 when `maxSurge` is 0",
        ));
    }
}

pub(super) fn binding(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    one_of(&value["roleRef"]["kind"], "roleRef.kind", &["Role", "ClusterRole"], causes);
    if text(&value["roleRef"], "name").is_empty() {
        causes.push(Cause::required("roleRef.name", ""));
    }
    if let Some(old) = old
        && old["roleRef"] != value["roleRef"]
    {
        causes.push(Cause::invalid("roleRef", &value["roleRef"], "cannot change roleRef"));
    }
    for (index, subject) in list(value, "subjects").iter().enumerate() {
        one_of(&subject["kind"], &format!("subjects[{index}].kind"), &["ServiceAccount", "User", "Group"], causes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(check: fn(&Value, Option<&Value>, &mut Vec<Cause>), new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut causes = Vec::new();
        check(new, old, &mut causes);
        causes.into_iter().map(|cause| cause.field).collect()
    }

    #[test]
    fn a_pod_is_checked_field_by_field() {
        let bad = json!({"spec": {"restartPolicy": "Sometimes", "containers": [
            {"name": "A", "image": ""}, {"name": "b", "image": "x", "ports": [{"containerPort": 70000}], "volumeMounts": [{"name": "v", "mountPath": "/"}]}]}});
        assert_eq!(
            fields(pod, &bad, None),
            [
                "spec.restartPolicy",
                "spec.containers[0].name",
                "spec.containers[0].image",
                "spec.containers[1].ports[0].containerPort",
                "spec.containers[1].volumeMounts[0].name",
            ]
        );
        assert_eq!(fields(pod, &json!({"spec": {}}), None), ["spec.containers"]);
    }

    #[test]
    fn only_the_image_of_a_running_pod_changes() {
        let old = json!({"spec": {"containers": [{"name": "a", "image": "1"}]}});
        assert!(fields(pod, &json!({"spec": {"containers": [{"name": "a", "image": "2"}]}}), Some(&old)).is_empty());
        assert_eq!(
            fields(pod, &json!({"spec": {"containers": [{"name": "a", "image": "1", "args": ["x"]}]}}), Some(&old)),
            ["spec"]
        );
    }

    #[test]
    fn what_a_service_cannot_have_is_refused_by_name() {
        let of = |name: &str, given: Value| {
            let mut value = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
            value["spec"][name] = given;
            fields(service, &value, None)
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

    #[test]
    fn a_deployment_selects_its_own_template() {
        let of = |label: &str| {
            json!({"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": label}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
        };
        assert!(fields(deployment, &of("b"), None).is_empty());
        assert_eq!(fields(deployment, &of("c"), None), ["spec.template.metadata.labels"]);
        let mut other = of("b");
        other["spec"]["selector"]["matchLabels"] = json!({"a": "b", "x": "y"});
        assert!(fields(deployment, &of("b"), Some(&other)).contains(&"spec.selector".to_owned()));
    }
}
