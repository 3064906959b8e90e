//! Rules of a container's environment, and of references to a pod's own fields.

use schema::validate::Cause;
use serde_json::{Value, json};

use super::check::{Causes, each, given, invalid, qualified_name, text};

/// The variables of a container.
pub(super) fn env(container: &Value, at: &str, causes: &mut Causes) {
    for (at, variable) in each(container, "env", at) {
        let name = text(variable, "name");
        if given(variable, "name", &at, causes) && !name.chars().all(|c| (c.is_ascii_graphic() || c == ' ') && c != '=')
        {
            invalid(
                format!("{at}.name"),
                &variable["name"],
                "a valid environment variable name must consist only of printable ASCII characters other than '='",
                causes,
            );
        }
        if variable.get("valueFrom").is_some() {
            env_source(variable, &format!("{at}.valueFrom"), causes);
        }
    }
    for (at, source) in each(container, "envFrom", at) {
        let kinds: Vec<&str> =
            ["configMapRef", "secretRef"].into_iter().filter(|name| !source[*name].is_null()).collect();
        // The field is that of the list, as in Kubernetes.
        let whole = at.rsplit_once('[').map_or(&*at, |(list, _)| list).to_owned();
        match kinds.as_slice() {
            [] => invalid(whole, &json!(""), "must specify one of: `configMapRef` or `secretRef`", causes),
            [one] => _ = given(&source[*one], "name", &format!("{at}.{one}"), causes),
            _ => invalid(whole, &json!(""), "may not have more than one field specified at a time", causes),
        }
    }
}

fn env_source(variable: &Value, at: &str, causes: &mut Causes) {
    let from = &variable["valueFrom"];
    let kinds: Vec<&str> = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"]
        .into_iter()
        .filter(|name| !from[*name].is_null())
        .collect();
    match kinds.first() {
        Some(&"fieldRef") => field_ref(&from["fieldRef"], &format!("{at}.fieldRef"), ENV_FIELDS, causes),
        Some(&"resourceFieldRef") => {
            resource_ref(&from["resourceFieldRef"], &format!("{at}.resourceFieldRef"), false, causes);
        }
        Some(name @ (&"configMapKeyRef" | &"secretKeyRef")) => {
            given(&from[*name], "name", &format!("{at}.{name}"), causes);
            given(&from[*name], "key", &format!("{at}.{name}"), causes);
        }
        _ => {}
    }
    if kinds.is_empty() {
        invalid(
            at,
            &json!(""),
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
            causes,
        );
    } else if !text(variable, "value").is_empty() {
        invalid(at, &json!(""), "may not be specified when `value` is not empty", causes);
    } else if kinds.len() > 1 {
        invalid(at, &json!(""), "may not have more than one field specified at a time", causes);
    }
}

const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// A reference to a field of the pod; `known` may be taken here.
pub(super) fn field_ref(value: &Value, at: &str, known: &[&str], causes: &mut Causes) {
    if !given(value, "apiVersion", at, causes) || !given(value, "fieldPath", at, causes) {
        return;
    }
    let path = text(value, "fieldPath");
    let field = format!("{at}.fieldPath");
    if let Some((map, key)) = path.strip_suffix(']').and_then(|path| path.split_once("['")) {
        let key = key.trim_end_matches('\'');
        if !matches!(map, "metadata.annotations" | "metadata.labels") {
            return invalid(
                field,
                &value["fieldPath"],
                &format!("error converting fieldPath: field label does not support subscript: {path}"),
                causes,
            );
        }
        return qualified_name(&json!(key.to_lowercase()), &field, causes);
    }
    let any = ENV_FIELDS.contains(&path) || matches!(path, "metadata.labels" | "metadata.annotations" | "spec.host");
    if !any {
        invalid(
            field,
            &value["fieldPath"],
            &format!("error converting fieldPath: field label not supported: {path}"),
            causes,
        );
    } else if !known.contains(&path) {
        let mut known = known.to_vec();
        known.sort_unstable();
        causes.push(Cause::not_supported(field, &value["fieldPath"], &known));
    }
}

/// A reference to a container's resources.
pub(super) fn resource_ref(value: &Value, at: &str, volume: bool, causes: &mut Causes) {
    if volume && !given(value, "containerName", at, causes) {
        return;
    }
    let resource = text(value, "resource");
    let known = [
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    ];
    if resource.is_empty() {
        causes.push(Cause::required(format!("{at}.resource"), ""));
    } else if !known.contains(&resource) && !resource.contains(".hugepages-") {
        causes.push(Cause::not_supported(format!("{at}.resource"), &value["resource"], &known));
    }
}
