//! Rules of persistent volumes and claims, `storage.k8s.io`, `scheduling.k8s.io` and
//! `node.k8s.io`.

use std::collections::BTreeSet;

use schema::validate::Cause;
use serde_json::{Value, json};

use super::{
    check::{
        Causes, LABEL, dns_subdomain, each, entries, given, immutable, invalid, label_selector, labels, list,
        not_negative, one_of, qualified, qualified_name, quantity, text,
    },
    core::overhead,
    scheduling::{node_selector, tolerations},
    volumes,
};

const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

fn access_modes(spec: &Value, causes: &mut Causes) {
    let given = list(spec, "accessModes");
    for mode in given {
        one_of(mode, "spec.accessModes", MODES, causes);
    }
    if given.len() > 1 && given.iter().any(|mode| mode == "ReadWriteOncePod") {
        causes.push(Cause::forbidden("spec.accessModes", "may not use ReadWriteOncePod with other access modes"));
    }
}

const NOT_SOURCES: &[&str] = &[
    "capacity",
    "accessModes",
    "claimRef",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "mountOptions",
    "volumeMode",
    "nodeAffinity",
    "volumeAttributesClassName",
];

pub(in crate::builtin) fn persistent_volume(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    if list(spec, "accessModes").is_empty() {
        causes.push(Cause::required("spec.accessModes", ""));
    }
    access_modes(spec, causes);
    let capacity = &spec["capacity"];
    if capacity.as_object().is_none_or(serde_json::Map::is_empty) {
        causes.push(Cause::required("spec.capacity", ""));
    }
    if capacity["storage"].is_null() || capacity.as_object().is_some_and(|all| all.len() > 1) {
        causes.push(Cause::not_supported("spec.capacity", capacity, &["storage"]));
    }
    for (name, amount) in entries(spec, "capacity").filter(|(name, _)| *name == "storage") {
        let field = format!("spec.capacity[{name}]");
        let Some(size) = quantity(amount) else { continue };
        if size.sign() < 0 {
            // The value is shown as a number here.
            let message = format!("Invalid value: {}: must be a valid resource quantity", size.whole());
            causes.push(Cause { reason: "FieldValueInvalid", message, field: field.clone() });
        }
        if size.sign() <= 0 {
            invalid(field, amount, "must be greater than zero", causes);
        }
    }
    let policies = ["Delete", "Recycle", "Retain"];
    one_of(&spec["persistentVolumeReclaimPolicy"], "spec.persistentVolumeReclaimPolicy", &policies, causes);
    if spec["nodeAffinity"]["required"].is_object() {
        node_selector(&spec["nodeAffinity"]["required"], "spec.nodeAffinity.required", causes);
    } else if spec["nodeAffinity"].is_object() {
        causes.push(Cause::required("spec.nodeAffinity.required", "must specify required node constraints"));
    }
    if volumes::source(spec, "spec", NOT_SOURCES, causes) == 0 {
        causes.push(Cause::required("spec", "must specify a volume type"));
    }
    class_and_mode(spec, causes);
    if let Some(old) = old {
        let source = |value: &Value| {
            let mut spec = value["spec"].clone();
            if let Some(spec) = spec.as_object_mut() {
                spec.retain(|name, _| !NOT_SOURCES.contains(&name.as_str()));
            }
            spec
        };
        if source(value) != source(old) {
            causes.push(Cause::forbidden(
                "spec.persistentvolumesource",
                "spec.persistentvolumesource is immutable after creation",
            ));
        }
        if old["spec"]["volumeMode"] != spec["volumeMode"] {
            // Kubernetes names the field without the spec that it stands in.
            invalid("volumeMode", &spec["volumeMode"], "field is immutable", causes);
        }
        if !old["spec"]["nodeAffinity"].is_null() && old["spec"]["nodeAffinity"] != spec["nodeAffinity"] {
            immutable(value, Some(old), "spec.nodeAffinity", causes);
        }
    }
}

fn class_and_mode(spec: &Value, causes: &mut Causes) {
    if !text(spec, "storageClassName").is_empty() {
        dns_subdomain(&spec["storageClassName"], "spec.storageClassName", causes);
    }
    one_of(&spec["volumeMode"], "spec.volumeMode", &["Block", "Filesystem"], causes);
}

const CLAIM: &str =
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

pub(in crate::builtin) fn claim(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    if list(spec, "accessModes").is_empty() {
        causes.push(Cause::required("spec.accessModes", "at least 1 access mode is required"));
    }
    label_selector(&spec["selector"], "spec.selector", causes);
    access_modes(spec, causes);
    let wanted = &spec["resources"]["requests"]["storage"];
    match quantity(wanted) {
        None => causes.push(Cause::required("spec.resources[storage]", "")),
        Some(size) if size.sign() <= 0 => {
            invalid("spec.resources[storage]", wanted, "must be greater than zero", causes);
        }
        Some(_) => {}
    }
    class_and_mode(spec, causes);
    // A source that says nothing is none.
    for name in ["dataSource", "dataSourceRef"] {
        let said = |part: &str| !text(&spec[name], part).is_empty();
        if said("name") || said("kind") || said("apiGroup") {
            for part in ["name", "kind"] {
                given(&spec[name], part, &format!("spec.{name}"), causes);
            }
        }
    }
    if let Some(old) = old {
        claim_update(value, old, causes);
    }
}

fn claim_update(value: &Value, old: &Value, causes: &mut Causes) {
    let (new_spec, old_spec) = (&value["spec"], &old["spec"]);
    let bound = old["status"]["phase"] == "Bound";
    let mut same = new_spec.clone();
    if text(old_spec, "volumeName").is_empty()
        && let Some(same) = same.as_object_mut()
    {
        // Binding names the volume.
        same.remove("volumeName");
    }
    if bound {
        if let Some(requests) = same["resources"].as_object_mut() {
            requests.insert("requests".into(), old_spec["resources"]["requests"].clone());
        }
        same["volumeAttributesClassName"] = old_spec["volumeAttributesClassName"].clone();
        if same["volumeAttributesClassName"].is_null() {
            same.as_object_mut().map(|same| same.remove("volumeAttributesClassName"));
        }
    }
    if same != *old_spec {
        causes.push(Cause::forbidden("spec", CLAIM));
    }
    let size = |value: &Value| quantity(&value["resources"]["requests"]["storage"]);
    let capacity = quantity(&old["status"]["capacity"]["storage"]);
    if let (Some(after), Some(before)) = (size(new_spec), size(old_spec))
        && bound
        && after < before
        && capacity.is_none_or(|held| after <= held)
    {
        causes.push(Cause::forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"));
    }
}

/// A driver's name.
fn driver(value: &Value, name: &str, at: &str, causes: &mut Causes) {
    let field = if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    let text = text(value, name);
    if text.is_empty() {
        return causes.push(Cause::required(field, ""));
    }
    for why in qualified(&text.to_lowercase()) {
        invalid(&*field, &value[name], &why, causes);
    }
}

pub(in crate::builtin) fn storage_class(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    driver(value, "provisioner", "", causes);
    if entries(value, "parameters").any(|(name, _)| name.is_empty()) {
        invalid("parameters", &json!(""), "field can not be empty.", causes);
    }
    one_of(&value["reclaimPolicy"], "reclaimPolicy", &["Delete", "Retain"], causes);
    if value["volumeBindingMode"].is_null() {
        causes.push(Cause::required("volumeBindingMode", ""));
    }
    one_of(&value["volumeBindingMode"], "volumeBindingMode", &["Immediate", "WaitForFirstConsumer"], causes);
    for (at, term) in each(value, "allowedTopologies", "") {
        for (at, requirement) in each(term, "matchLabelExpressions", &at) {
            if list(requirement, "values").is_empty() {
                causes.push(Cause::required(format!("{at}.values"), ""));
            }
            let mut seen = BTreeSet::new();
            for (at, value) in each(requirement, "values", &at) {
                if !seen.insert(value.as_str()) {
                    causes.push(Cause::duplicate(at, value));
                }
            }
            qualified_name(&requirement["key"], &format!("{at}.key"), causes);
        }
    }
    if let Some(old) = old {
        if old["parameters"] != value["parameters"] {
            causes.push(Cause::forbidden("parameters", "updates to parameters are forbidden."));
        }
        for name in ["provisioner", "reclaimPolicy", "volumeBindingMode"] {
            immutable(value, Some(old), name, causes);
        }
    }
}

pub(in crate::builtin) fn attributes_class(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    driver(value, "driverName", "", causes);
    if value["parameters"].as_object().is_none_or(serde_json::Map::is_empty) {
        causes.push(Cause::required("parameters", "must contain at least one key/value pair"));
    }
    if let Some(old) = old {
        if old["driverName"] != value["driverName"] {
            causes.push(Cause::forbidden("driverName", "updates to driverName are forbidden."));
        }
        if old["parameters"] != value["parameters"] {
            causes.push(Cause::forbidden("parameters", "updates to parameters are forbidden."));
        }
    }
}

pub(in crate::builtin) fn attachment(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    if let Some(old) = old {
        if old["spec"] != *spec {
            let source = &spec["source"];
            let message = format!(
                "Invalid value: {{\"Attacher\":{},\"Source\":{{\"PersistentVolumeName\":{},\"InlineVolumeSpec\":{}}},\"NodeName\":{}}}: field is immutable",
                spec["attacher"], source["persistentVolumeName"], source["inlineVolumeSpec"], spec["nodeName"]
            );
            causes.push(Cause { reason: "FieldValueInvalid", message, field: "spec".into() });
        }
        return;
    }
    driver(spec, "attacher", "spec", causes);
    let source = &spec["source"];
    if source["inlineVolumeSpec"].is_null() && source["persistentVolumeName"].is_null() {
        let why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
        causes.push(Cause::required("spec.source", why));
    }
    dns_subdomain(&json!(text(spec, "nodeName")), "spec.nodeName", causes);
}

pub(in crate::builtin) fn csi_driver(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    if old.is_none() {
        driver(&value["metadata"], "name", "metadata", causes);
    }
    one_of(&spec["fsGroupPolicy"], "spec.fsGroupPolicy", &["File", "None", "ReadWriteOnceWithFSType"], causes);
    let mut audiences = BTreeSet::new();
    for (at, request) in each(spec, "tokenRequests", "spec") {
        if !audiences.insert(text(request, "audience")) {
            causes.push(Cause::duplicate(format!("{at}.audience"), &request["audience"]));
        } else if let Some(seconds) = request["expirationSeconds"].as_i64() {
            let field = format!("{at}.expirationSeconds");
            if seconds < 600 {
                let why = "may not specify a duration less than 10 minutes";
                invalid(field, &request["expirationSeconds"], why, causes);
            } else if seconds > 1 << 32 {
                let why = "may not specify a duration larger than 2^32 seconds";
                invalid(field, &request["expirationSeconds"], why, causes);
            }
        }
    }
    for mode in list(spec, "volumeLifecycleModes") {
        one_of(mode, "spec.volumeLifecycleModes", &["Persistent", "Ephemeral"], causes);
    }
    if let Some(old) = old {
        if old["spec"]["attachRequired"] != spec["attachRequired"] {
            // Kubernetes misspells the field.
            invalid("spec.attachedRequired", &spec["attachRequired"], "field is immutable", causes);
        }
        if old["spec"]["volumeLifecycleModes"] != spec["volumeLifecycleModes"] {
            immutable(value, Some(old), "spec.volumeLifecycleModes", causes);
        }
    }
}

/// Which changes of a driver count: those that running pods may feel.
pub(in crate::builtin) fn driver_counts(old: &Value, new: &Value) -> bool {
    ["tokenRequests", "requiresRepublish", "seLinuxMount"].iter().any(|name| old["spec"][*name] != new["spec"][*name])
}

pub(in crate::builtin) fn driver_warnings(value: &Value) -> Vec<String> {
    let spec = &value["spec"];
    let silent = !list(spec, "tokenRequests").is_empty() && spec["serviceAccountTokenInSecrets"].is_null();
    let text = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes";
    if silent { vec![text.to_owned()] } else { Vec::new() }
}

pub(in crate::builtin) fn csi_node(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let mut names = BTreeSet::new();
    for (at, driver) in each(&value["spec"], "drivers", "spec") {
        self::driver(driver, "name", &at, causes);
        given(driver, "nodeID", &at, causes);
        not_negative(&driver["allocatable"]["count"], format!("{at}.allocatable.count"), causes);
        let mut keys = BTreeSet::new();
        for key in list(driver, "topologyKeys") {
            if !keys.insert(key.as_str()) {
                causes.push(Cause::duplicate(&at, key));
            }
            qualified_name(key, &at, causes);
        }
        if !names.insert(text(driver, "name")) {
            causes.push(Cause::duplicate(format!("{at}.name"), &driver["name"]));
        }
    }
    for before in old.into_iter().flat_map(|old| list(&old["spec"], "drivers")) {
        let now = list(&value["spec"], "drivers").iter().find(|driver| driver["name"] == before["name"]);
        if let Some(now) = now.filter(|now| *now != before) {
            let shown = format!(
                "{{\"Name\":{},\"NodeID\":{},\"TopologyKeys\":{},\"Allocatable\":{}}}",
                now["name"],
                now["nodeID"],
                if list(now, "topologyKeys").is_empty() { &Value::Null } else { &now["topologyKeys"] },
                now["allocatable"]
            );
            let message = format!("Invalid value: {shown}: field is immutable");
            causes.push(Cause { reason: "FieldValueInvalid", message, field: "spec.drivers".into() });
        }
    }
}

pub(in crate::builtin) fn capacity(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    label_selector(&value["nodeTopology"], "nodeTopology", causes);
    dns_subdomain(&json!(text(value, "storageClassName")), "storageClassName", causes);
    for name in ["capacity"] {
        if quantity(&value[name]).is_some_and(|size| size.sign() < 0) {
            invalid(name, &value[name], "must be greater than or equal to 0", causes);
        }
    }
    for name in ["nodeTopology", "storageClassName"] {
        immutable(value, old, name, causes);
    }
}

pub(in crate::builtin) fn priority_class(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let name = text(&value["metadata"], "name");
    let number = value["value"].as_i64().unwrap_or_default();
    if let Some(old) = old {
        if old["value"] != value["value"] {
            causes.push(Cause::forbidden("value", "may not be changed in an update."));
        }
        return immutable(value, Some(old), "preemptionPolicy", causes);
    }
    let system = [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
    if name.starts_with("system-") {
        let known = system.iter().find(|(known, _)| *known == name);
        let why = match known {
            None => format!("{name} is not a known system priority class"),
            Some((_, wanted)) if *wanted != number => format!("value of {name} PriorityClass must be {wanted}"),
            Some(_) => String::new(),
        };
        if !why.is_empty() {
            causes.push(Cause::forbidden(
                "metadata.name",
                &format!("priority class names with 'system-' prefix are reserved for system use only. error: {why}"),
            ));
        }
    } else if number > 1_000_000_000 {
        causes.push(Cause::forbidden("value", "maximum allowed value of a user defined priority is 1000000000"));
    }
    let policies = ["PreemptLowerPriority", "Never"];
    one_of(&value["preemptionPolicy"], "preemptionPolicy", &policies, causes);
}

pub(in crate::builtin) fn runtime_class(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    if old.is_some() {
        return immutable(value, old, "handler", causes);
    }
    if !base::names::is_dns_label(text(value, "handler")) {
        invalid("handler", &json!(text(value, "handler")), LABEL, causes);
    }
    overhead(&value["overhead"]["podFixed"], "overhead.limits", causes);
    labels(&value["scheduling"]["nodeSelector"], "scheduling.nodeSelector", causes);
    tolerations(&value["scheduling"], "scheduling", causes);
}
