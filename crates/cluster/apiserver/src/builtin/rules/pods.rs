//! Rules of pods, and of the pods in templates.

use std::collections::BTreeSet;

use schema::validate::Cause;
use serde_json::{Value, json};

use super::{
    check::{
        Causes, container_resource, dns_label, dns_subdomain, each, entries, given, invalid, ip, join, labels, list,
        not_negative, one_of, port, port_name, port_or_name, qualified_name, quantity, text,
    },
    env::env,
    scheduling::{affinity, spread, tolerations},
    volumes::{self, inside},
};

const UPDATE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(in crate::builtin) fn pod(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    match old {
        None => {
            pod_spec(&value["spec"], "spec", causes);
            let mirror = &value["metadata"]["annotations"][MIRROR];
            if !mirror.is_null() && text(&value["spec"], "nodeName").is_empty() {
                let why = "must set spec.nodeName if mirror pod annotation is set";
                invalid(format!("metadata.annotations[{MIRROR}]"), mirror, why, causes);
            }
            for (index, container) in list(&value["spec"], "containers").iter().enumerate() {
                trimmed(container, &format!("spec.containers[{index}]"), causes);
            }
        }
        Some(old) => {
            kept_annotations(&value["metadata"]["annotations"], &old["metadata"]["annotations"], causes);
            pod_update(&value["spec"], &old["spec"], causes);
        }
    }
}

const MIRROR: &str = "kubernetes.io/config.mirror";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// What some annotations say holds for a pod's whole life.
fn kept_annotations(new: &Value, old: &Value, causes: &mut Causes) {
    let what = |key: &str| match key {
        MIRROR => Some("mirror pod annotation"),
        _ if key.starts_with(APP_ARMOR) => Some("AppArmor annotations"),
        _ => None,
    };
    for (key, value) in old.as_object().into_iter().flatten() {
        if let Some(what) = what(key).filter(|_| new[key] != *value) {
            let why = format!("may not remove or update {what}");
            causes.push(Cause::forbidden(format!("metadata.annotations[{key}]"), &why));
        }
    }
    for (key, _) in new.as_object().into_iter().flatten() {
        if let Some(what) = what(key).filter(|_| old[key].is_null()) {
            causes.push(Cause::forbidden(format!("metadata.annotations[{key}]"), &format!("may not add {what}")));
        }
    }
}

/// Containers that are processes of a Windows host: all of them or none, and in the host's network.
fn host_processes(spec: &Value, at: &str, causes: &mut Causes) {
    let of_pod = spec["securityContext"]["windowsOptions"]["hostProcess"] == true;
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let containers: Vec<&Value> = lists.into_iter().flat_map(|name| list(spec, name)).collect();
    let is = |container: &&&Value| {
        let own = &container["securityContext"]["windowsOptions"]["hostProcess"];
        own.as_bool().unwrap_or(of_pod)
    };
    let count = containers.iter().filter(is).count();
    if count == 0 {
        return;
    }
    if count != containers.len() {
        let why = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        invalid(at, &json!(""), why, causes);
    }
    if spec["hostNetwork"] != true {
        let why = "hostNetwork must be true if pod contains any hostProcess containers";
        invalid(format!("{at}.hostNetwork"), &json!(false), why, causes);
    }
}

/// A container that sees all of `/proc` is in a user namespace of its own.
fn whole_proc(spec: &Value, at: &str, causes: &mut Causes) {
    for name in ["containers", "initContainers"].into_iter().filter(|_| spec["hostUsers"] != false) {
        for (at, container) in each(spec, name, at) {
            if container["securityContext"]["procMount"] == "Unmasked" {
                let why = "`hostUsers` must be false to use `Unmasked`";
                invalid(format!("{at}.securityContext.procMount"), &json!("Unmasked"), why, causes);
            }
        }
    }
}

/// A pod of its own has no blanks around its images; in a template they are let through, as Kubernetes does.
fn trimmed(container: &Value, at: &str, causes: &mut Causes) {
    let image = text(container, "image");
    if !image.is_empty() && image.trim() != image {
        invalid(format!("{at}.image"), &container["image"], "must not have leading or trailing whitespace", causes);
    }
}

fn pod_update(new: &Value, old: &Value, causes: &mut Causes) {
    let mut allowed = new.clone();
    for name in ["containers", "initContainers"] {
        let count = list(new, name).len();
        if count != list(old, name).len() {
            return causes
                .push(Cause::forbidden(format!("spec.{name}"), "pod updates may not add or remove containers"));
        }
        for index in 0..count {
            if let Some(image) = old[name][index].get("image") {
                if text(&new[name][index], "image").is_empty() {
                    causes.push(Cause::required(format!("spec.{name}[{index}].image"), ""));
                }
                allowed[name][index]["image"] = image.clone();
            }
        }
    }
    let (after, before) = (&new["activeDeadlineSeconds"], old["activeDeadlineSeconds"].as_i64());
    match (after.as_i64(), before) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            invalid("spec.activeDeadlineSeconds", after, "must be between 0 and 2147483647, inclusive", causes);
        }
        (Some(seconds), Some(before)) if seconds > before => {
            invalid("spec.activeDeadlineSeconds", after, "must be less than or equal to previous value", causes);
        }
        (None, Some(_)) => {
            invalid(
                "spec.activeDeadlineSeconds",
                after,
                "must not update from a positive integer to nil value",
                causes,
            );
        }
        _ => {}
    }
    // A toleration may be made longer or shorter, and others may be added.
    let bare = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.as_object_mut().map(|map| map.remove("tolerationSeconds"));
        toleration
    };
    let kept: Vec<Value> = list(new, "tolerations").iter().map(bare).collect();
    if list(old, "tolerations").iter().any(|toleration| !kept.contains(&bare(toleration))) {
        causes.push(Cause::forbidden(
            "spec.tolerations",
            "existing toleration can not be modified except its tolerationSeconds",
        ));
    }
    tolerations(new, "spec", causes);
    for name in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"] {
        match old.get(name) {
            Some(before) => allowed[name] = before.clone(),
            None => drop(allowed.as_object_mut().and_then(|map| map.remove(name))),
        }
    }
    if &allowed != old {
        causes.push(Cause::forbidden("spec", UPDATE));
    }
}

/// A template of pods.
pub(in crate::builtin) fn template(value: &Value, at: &str, causes: &mut Causes) {
    labels(&value["metadata"]["labels"], &format!("{at}.metadata.labels"), causes);
    for (key, _) in entries(&value["metadata"], "annotations") {
        qualified_name(&json!(key.to_lowercase()), &format!("{at}.metadata.annotations"), causes);
    }
    pod_spec(&value["spec"], &format!("{at}.spec"), causes);
}

pub(in crate::builtin) fn pod_template(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    template(&value["template"], "template", causes);
}

/// What a pod is to be.
pub(in crate::builtin) fn pod_spec(spec: &Value, at: &str, causes: &mut Causes) {
    let volumes = volumes::all(spec, at, causes);
    if list(spec, "containers").is_empty() {
        causes.push(Cause::required(format!("{at}.containers"), ""));
    }
    containers(spec, at, &volumes, causes);
    host_processes(spec, at, causes);
    whole_proc(spec, at, causes);
    let policies = ["Always", "OnFailure", "Never"];
    if given(spec, "restartPolicy", at, causes) {
        one_of(&spec["restartPolicy"], format!("{at}.restartPolicy"), &policies, causes);
    }
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    if given(spec, "dnsPolicy", at, causes) {
        one_of(&spec["dnsPolicy"], format!("{at}.dnsPolicy"), &policies, causes);
    }
    labels(&spec["nodeSelector"], &format!("{at}.nodeSelector"), causes);
    security(&spec["securityContext"], &format!("{at}.securityContext"), causes);
    affinity(&spec["affinity"], &format!("{at}.affinity"), causes);
    dns(spec, at, causes);
    for (at, gate) in each(spec, "readinessGates", at) {
        qualified_name(&gate["conditionType"], &format!("{at}.conditionType"), causes);
    }
    spread(spec, at, causes);
    if !text(spec, "serviceAccountName").is_empty() {
        dns_subdomain(&spec["serviceAccountName"], format!("{at}.serviceAccountName"), causes);
    }
    for name in ["nodeName", "priorityClassName", "runtimeClassName"] {
        if !text(spec, name).is_empty() {
            dns_subdomain(&spec[name], format!("{at}.{name}"), causes);
        }
    }
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64()
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let field = format!("{at}.activeDeadlineSeconds");
        invalid(field, &spec["activeDeadlineSeconds"], "must be between 1 and 2147483647, inclusive", causes);
    }
    for name in ["hostname", "subdomain"] {
        if !text(spec, name).is_empty() {
            dns_label(&spec[name], format!("{at}.{name}"), causes);
        }
    }
    tolerations(spec, at, causes);
    for (at, alias) in each(spec, "hostAliases", at) {
        ip(&alias["ip"], format!("{at}.ip"), causes);
        for (at, name) in each(alias, "hostnames", &at) {
            dns_subdomain(name, at, causes);
        }
    }
    for (at, secret) in each(spec, "imagePullSecrets", at) {
        given(secret, "name", &at, causes);
    }
}

fn containers(spec: &Value, at: &str, volumes: &BTreeSet<&str>, causes: &mut Causes) {
    let mut names = BTreeSet::new();
    for kind in ["containers", "initContainers"] {
        for (at, container) in each(spec, kind, at) {
            let sidecar = container["restartPolicy"] == "Always";
            let name = text(container, "name");
            if given(container, "name", &at, causes) {
                dns_label(&container["name"], format!("{at}.name"), causes);
            }
            self::container(container, &at, volumes, causes);
            if !name.is_empty() && !names.insert(name) {
                causes.push(Cause::duplicate(format!("{at}.name"), &container["name"]));
            }
            if kind == "containers" || sidecar {
                lifecycle(container, &at, causes);
                probes(container, &at, causes);
                continue;
            }
            for name in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if !container[name].is_null() {
                    causes.push(Cause::forbidden(
                        format!("{at}.{name}"),
                        "may not be set for init containers without restartPolicy=Always",
                    ));
                }
            }
        }
    }
}

fn container(container: &Value, at: &str, volumes: &BTreeSet<&str>, causes: &mut Causes) {
    given(container, "image", at, causes);
    let policies = ["File", "FallbackToLogsOnError"];
    one_of(&container["terminationMessagePolicy"], format!("{at}.terminationMessagePolicy"), &policies, causes);
    ports(container, at, causes);
    env(container, at, causes);
    let policies = ["Always", "IfNotPresent", "Never"];
    // In the order of Kubernetes: where it stands among the others is of no account.
    one_of(&container["imagePullPolicy"], format!("{at}.imagePullPolicy"), &policies, causes);
    mounts(container, at, volumes, causes);
    resources(&container["resources"], &format!("{at}.resources"), causes);
    container_security(&container["securityContext"], &format!("{at}.securityContext"), causes);
}

fn ports(container: &Value, at: &str, causes: &mut Causes) {
    let mut names = BTreeSet::new();
    for (at, given_port) in each(container, "ports", at) {
        let name = text(given_port, "name");
        if !name.is_empty() {
            let wrong = port_name(name);
            let field = format!("{at}.name");
            if wrong.is_empty() && !names.insert(name) {
                causes.push(Cause::duplicate(&*field, &given_port["name"]));
            }
            for why in wrong {
                invalid(&*field, &given_port["name"], why, causes);
            }
        }
        if given_port["containerPort"] == 0 {
            causes.push(Cause::required(format!("{at}.containerPort"), ""));
        } else {
            port(&given_port["containerPort"], format!("{at}.containerPort"), causes);
        }
        if !given_port["hostPort"].is_null() {
            port(&given_port["hostPort"], format!("{at}.hostPort"), causes);
        }
        one_of(&given_port["protocol"], format!("{at}.protocol"), &["SCTP", "TCP", "UDP"], causes);
    }
}

fn mounts(container: &Value, at: &str, volumes: &BTreeSet<&str>, causes: &mut Causes) {
    let mut paths = BTreeSet::new();
    let whole = format!("{at}.volumeMounts");
    for (at, mount) in each(container, "volumeMounts", at) {
        given(mount, "name", &at, causes);
        if !volumes.contains(text(mount, "name")) {
            let message = format!("Not found: {:?}", text(mount, "name"));
            causes.push(Cause { reason: "FieldValueNotFound", message, field: format!("{at}.name") });
        }
        let path = text(mount, "mountPath");
        given(mount, "mountPath", &at, causes);
        if !paths.insert(path) {
            invalid(format!("{at}.mountPath"), &mount["mountPath"], "must be unique", causes);
        }
        for name in ["subPath", "subPathExpr"] {
            if !text(mount, name).is_empty() {
                inside(&mount[name], &format!("{whole}.{name}"), causes);
            }
        }
        if !text(mount, "subPath").is_empty() && !text(mount, "subPathExpr").is_empty() {
            invalid(
                format!("{whole}.subPathExpr"),
                &mount["subPathExpr"],
                "subPathExpr and subPath are mutually exclusive",
                causes,
            );
        }
        let ways = ["Bidirectional", "HostToContainer", "None"];
        one_of(&mount["mountPropagation"], format!("{at}.mountPropagation"), &ways, causes);
    }
}

/// Limits and requests of a container.
pub(super) fn resources(value: &Value, at: &str, causes: &mut Causes) {
    for (name, amount) in entries(value, "limits") {
        amount_of(name, amount, &format!("{at}.limits[{name}]"), causes);
    }
    for (name, amount) in entries(value, "requests") {
        amount_of(name, amount, &format!("{at}.requests[{name}]"), causes);
        let limit = &value["limits"][name];
        if let (Some(wanted), Some(most)) = (quantity(amount), quantity(limit))
            && wanted > most
        {
            invalid(
                format!("{at}.requests"),
                amount,
                &format!("must be less than or equal to {name} limit of {most}"),
                causes,
            );
        }
    }
}

fn amount_of(name: &str, amount: &Value, field: &str, causes: &mut Causes) {
    container_resource(name, field, causes);
    if quantity(amount).is_some_and(|amount| amount.sign() < 0) {
        invalid(field, amount, "must be greater than or equal to 0", causes);
    }
}

fn lifecycle(container: &Value, at: &str, causes: &mut Causes) {
    for name in ["postStart", "preStop"] {
        let handler = &container["lifecycle"][name];
        if handler.is_object() {
            self::handler(
                handler,
                &format!("{at}.lifecycle.{name}"),
                &["exec", "httpGet", "tcpSocket", "sleep"],
                causes,
            );
        }
    }
}

fn probes(container: &Value, at: &str, causes: &mut Causes) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = &container[name];
        if !probe.is_object() {
            continue;
        }
        let at = format!("{at}.{name}");
        handler(probe, &at, &["exec", "httpGet", "tcpSocket", "grpc"], causes);
        for name in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
            not_negative(&probe[name], format!("{at}.{name}"), causes);
        }
        if name != "readinessProbe" && probe["successThreshold"].as_i64().is_some_and(|times| times != 1) {
            invalid(format!("{at}.successThreshold"), &probe["successThreshold"], "must be 1", causes);
        }
    }
}

fn handler(value: &Value, at: &str, kinds: &[&str], causes: &mut Causes) {
    let mut found = 0;
    for kind in kinds.iter().filter(|kind| value[**kind].is_object()) {
        found += 1;
        let at = join(at, kind);
        if found > 1 {
            causes.push(Cause::forbidden(at, "may not specify more than 1 handler type"));
            continue;
        }
        let action = &value[*kind];
        match *kind {
            "exec" if list(action, "command").is_empty() => causes.push(Cause::required(format!("{at}.command"), "")),
            "httpGet" => {
                given(action, "path", &at, causes);
                port_or_name(&action["port"], &format!("{at}.port"), causes);
                one_of(&action["scheme"], format!("{at}.scheme"), &["HTTP", "HTTPS"], causes);
            }
            "tcpSocket" => port_or_name(&action["port"], &format!("{at}.port"), causes),
            "grpc" => port(&action["port"], format!("{at}.port"), causes),
            _ => {}
        }
    }
    if found == 0 {
        causes.push(Cause::required(at, "must specify a handler type"));
    }
}

fn identity(value: &Value, at: &str, names: &[&str], causes: &mut Causes) {
    for name in names {
        if value[*name].as_i64().is_some_and(|id| !(0..=i64::from(i32::MAX)).contains(&id)) {
            invalid(join(at, name), &value[*name], "must be between 0 and 2147483647, inclusive", causes);
        }
    }
}

fn security(value: &Value, at: &str, causes: &mut Causes) {
    identity(value, at, &["fsGroup", "runAsUser", "runAsGroup"], causes);
    for (at, group) in each(value, "supplementalGroups", at) {
        if group.as_i64().is_some_and(|id| !(0..=i64::from(i32::MAX)).contains(&id)) {
            invalid(at, group, "must be between 0 and 2147483647, inclusive", causes);
        }
    }
    for (at, sysctl) in each(value, "sysctls", at) {
        let name = text(sysctl, "name");
        let segment = |part: &str| {
            let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            edge(part.chars().next())
                && edge(part.chars().last())
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c))
        };
        if given(sysctl, "name", &at, causes) && (name.len() > 253 || !name.split(['.', '/']).all(segment)) {
            invalid(
                format!("{at}.name"),
                &sysctl["name"],
                "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
                causes,
            );
        }
    }
    let policies = ["Always", "OnRootMismatch"];
    one_of(&value["fsGroupChangePolicy"], format!("{at}.fsGroupChangePolicy"), &policies, causes);
    profile(value, at, causes);
}

fn profile(value: &Value, at: &str, causes: &mut Causes) {
    let profile = &value["seccompProfile"];
    if profile.is_object() {
        let kinds = ["Localhost", "RuntimeDefault", "Unconfined"];
        one_of(&profile["type"], format!("{at}.seccompProfile.type"), &kinds, causes);
        if profile["type"] == "Localhost" && text(profile, "localhostProfile").is_empty() {
            causes.push(Cause::required(
                format!("{at}.seccompProfile.localhostProfile"),
                "must be set when seccomp type is Localhost",
            ));
        }
    }
}

fn container_security(value: &Value, at: &str, causes: &mut Causes) {
    identity(value, at, &["runAsUser", "runAsGroup"], causes);
    one_of(&value["procMount"], format!("{at}.procMount"), &["Default", "Unmasked"], causes);
    profile(value, at, causes);
    if value["allowPrivilegeEscalation"] == false {
        let added = list(&value["capabilities"], "add");
        let admin = added.iter().any(|name| name == "SYS_ADMIN" || name == "CAP_SYS_ADMIN");
        for (wrong, what) in
            [(value["privileged"] == true, "`privileged` to true"), (admin, "`capabilities.Add` CAP_SYS_ADMIN")]
        {
            if wrong {
                let why = format!("cannot set `allowPrivilegeEscalation` to false and {what}");
                causes.push(Cause {
                    reason: "FieldValueInvalid",
                    message: format!("Invalid value: {}: {why}", in_go(value)),
                    field: at.to_owned(),
                });
            }
        }
    }
}

/// A container's security context as Kubernetes prints its own type.
fn in_go(value: &Value) -> String {
    let names = [
        ("Capabilities", "capabilities"),
        ("Privileged", "privileged"),
        ("SELinuxOptions", "seLinuxOptions"),
        ("WindowsOptions", "windowsOptions"),
        ("RunAsUser", "runAsUser"),
        ("RunAsGroup", "runAsGroup"),
        ("RunAsNonRoot", "runAsNonRoot"),
        ("ReadOnlyRootFilesystem", "readOnlyRootFilesystem"),
        ("AllowPrivilegeEscalation", "allowPrivilegeEscalation"),
        ("ProcMount", "procMount"),
        ("SeccompProfile", "seccompProfile"),
        ("AppArmorProfile", "appArmorProfile"),
    ];
    let fields: Vec<String> = names.iter().map(|(go, name)| format!("\"{go}\":{}", value[*name])).collect();
    format!("{{{}}}", fields.join(","))
}

fn dns(spec: &Value, at: &str, causes: &mut Causes) {
    let config = &spec["dnsConfig"];
    let none = spec["dnsPolicy"] == "None";
    if none && config.is_null() {
        return causes
            .push(Cause::required(format!("{at}.dnsConfig"), "must provide `dnsConfig` when `dnsPolicy` is None"));
    }
    let servers = list(config, "nameservers");
    if none && servers.is_empty() {
        causes.push(Cause::required(
            format!("{at}.dnsConfig.nameservers"),
            "must provide at least one DNS nameserver when `dnsPolicy` is None",
        ));
    }
    if servers.len() > 3 {
        invalid(
            format!("{at}.dnsConfig.nameservers"),
            &config["nameservers"],
            "must not have more than 3 nameservers",
            causes,
        );
    }
    for (at, server) in each(config, "nameservers", &format!("{at}.dnsConfig")) {
        ip(server, at, causes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut causes = Vec::new();
        pod(new, old, &mut causes);
        causes.into_iter().map(|cause| cause.field).collect()
    }

    #[test]
    fn a_pod_is_checked_field_by_field() {
        let bad = json!({"spec": {"restartPolicy": "Sometimes", "dnsPolicy": "Default", "containers": [
            {"name": "A", "image": ""}, {"name": "b", "image": "x", "ports": [{"containerPort": 70000}], "volumeMounts": [{"name": "v", "mountPath": "/"}]}]}});
        assert_eq!(
            fields(&bad, None),
            [
                "spec.containers[0].name",
                "spec.containers[0].image",
                "spec.containers[1].ports[0].containerPort",
                "spec.containers[1].volumeMounts[0].name",
                "spec.restartPolicy",
            ]
        );
        assert_eq!(
            fields(&json!({"spec": {"restartPolicy": "Never", "dnsPolicy": "Default"}}), None),
            ["spec.containers"]
        );
    }

    #[test]
    fn only_the_image_of_a_running_pod_changes() {
        let old = json!({"spec": {"containers": [{"name": "a", "image": "1"}]}});
        assert!(fields(&json!({"spec": {"containers": [{"name": "a", "image": "2"}]}}), Some(&old)).is_empty());
        let changed = json!({"spec": {"containers": [{"name": "a", "image": "1", "args": ["x"]}]}});
        assert_eq!(fields(&changed, Some(&old)), ["spec"]);
    }
}
