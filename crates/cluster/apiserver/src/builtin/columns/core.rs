//! Columns of the core group, and of events in both of theirs.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    age, at, count, first, images, int, joined, labels, list, name, names, number, of, or, or_none, since, text, wide,
};
use crate::registry::Column;

pub(in crate::builtin) fn namespace() -> Vec<Column> {
    vec![of("Status", |value| text(&value["status"], "phase").into()), age()]
}

pub(in crate::builtin) fn pod() -> Vec<Column> {
    vec![
        of("Ready", |pod| super::workloads::pod_ready(pod).into()),
        of("Status", |pod| super::workloads::pod_status(pod).into()),
        at("Restarts", 0, |pod, now| super::workloads::pod_restarts(pod, now).into()),
        age(),
        wide("IP", |pod| or_none(pod["status"]["podIPs"][0]["ip"].as_str().unwrap_or_default())),
        wide("Node", |pod| or_none(text(&pod["spec"], "nodeName"))),
        wide("Nominated Node", |pod| or_none(text(&pod["status"], "nominatedNodeName"))),
        wide("Readiness Gates", readiness_gates),
    ]
}

fn readiness_gates(pod: &Value) -> Value {
    let gates = list(&pod["spec"], "readinessGates");
    if gates.is_empty() {
        return "<none>".into();
    }
    let open = gates.iter().filter(|gate| {
        list(&pod["status"], "conditions")
            .iter()
            .any(|condition| condition["type"] == gate["conditionType"] && condition["status"] == "True")
    });
    format!("{}/{}", open.count(), gates.len()).into()
}

pub(in crate::builtin) fn pod_template() -> Vec<Column> {
    vec![
        of("Containers", |value| names(&value["template"])),
        of("Images", |value| images(&value["template"])),
        of("Pod Labels", |value| labels(&value["template"]["metadata"]["labels"])),
    ]
}

pub(in crate::builtin) fn replication_controller() -> Vec<Column> {
    vec![
        number("Desired", |value| int(&value["spec"]["replicas"])),
        number("Current", |value| int(&value["status"]["replicas"])),
        number("Ready", |value| int(&value["status"]["readyReplicas"])),
        age(),
        wide("Containers", |value| names(&value["spec"]["template"])),
        wide("Images", |value| images(&value["spec"]["template"])),
        wide("Selector", |value| labels(&value["spec"]["selector"])),
    ]
}

pub(in crate::builtin) fn service() -> Vec<Column> {
    vec![
        of("Type", |value| value["spec"]["type"].clone()),
        of("Cluster-IP", |value| or_none(value["spec"]["clusterIPs"][0].as_str().unwrap_or_default())),
        of("External-IP", external),
        of("Port(s)", |value| or_none(&joined(list(&value["spec"], "ports").iter().map(port)))),
        age(),
        wide("Selector", |value| labels(&value["spec"]["selector"])),
    ]
}

fn port(port: &Value) -> String {
    let node = port["nodePort"].as_i64().filter(|node| *node > 0).map_or(String::new(), |node| format!(":{node}"));
    format!("{}{node}/{}", port["port"], text(port, "protocol"))
}

fn external(service: &Value) -> Value {
    let spec = &service["spec"];
    let given = joined(list(spec, "externalIPs").iter().filter_map(Value::as_str));
    match text(spec, "type") {
        "ClusterIP" | "NodePort" => or_none(&given),
        "LoadBalancer" => {
            let all: Vec<String> =
                [super::balancer(&service["status"]), given].into_iter().filter(|text| !text.is_empty()).collect();
            or(&all.join(","), "<pending>")
        }
        "ExternalName" => text(spec, "externalName").into(),
        _ => "<unknown>".into(),
    }
}

pub(in crate::builtin) fn endpoints() -> Vec<Column> {
    vec![
        of("Endpoints", |value| {
            let mut all = Vec::new();
            for subset in list(value, "subsets") {
                let addresses = || list(subset, "addresses").iter().map(|address| text(address, "ip"));
                if list(subset, "ports").is_empty() {
                    all.extend(addresses().map(str::to_owned));
                }
                for port in list(subset, "ports") {
                    all.extend(addresses().map(|address| {
                        if address.contains(':') {
                            format!("[{address}]:{}", port["port"])
                        } else {
                            format!("{address}:{}", port["port"])
                        }
                    }));
                }
            }
            first(&all, 3, if list(value, "subsets").is_empty() { "<none>" } else { "" }).into()
        }),
        age(),
    ]
}

pub(in crate::builtin) fn config_map() -> Vec<Column> {
    vec![of("Data", |value| (count(value, "data") + count(value, "binaryData")).into()), age()]
}

pub(in crate::builtin) fn secret() -> Vec<Column> {
    vec![of("Type", |value| value["type"].clone()), of("Data", |value| count(value, "data").into()), age()]
}

pub(in crate::builtin) fn event() -> Vec<Column> {
    vec![
        at("Last Seen", 0, |event, now| last_seen(event, now).into()),
        of("Type", |event| text(event, "type").into()),
        of("Reason", |event| text(event, "reason").into()),
        of("Object", |event| {
            let object = either(event, "involvedObject", "regarding");
            let kind = text(object, "kind").to_lowercase();
            if text(object, "name").is_empty() {
                kind.into()
            } else {
                format!("{kind}/{}", text(object, "name")).into()
            }
        }),
        wide("Subobject", |event| text(either(event, "involvedObject", "regarding"), "fieldPath").into()),
        wide("Source", source),
        of("Message", |event| either(event, "message", "note").as_str().unwrap_or_default().trim().into()),
        at("First Seen", 1, |event, now| first_seen(event, now).into()),
        wide("Count", |event| {
            let series = &event["series"]["count"];
            let count = either(event, "count", "deprecatedCount").as_i64().unwrap_or_default();
            series.as_i64().unwrap_or(count.max(1)).into()
        }),
        name(1, |event| event["metadata"]["name"].clone()),
    ]
}

/// A field of an event, which the two groups name differently.
fn either<'a>(event: &'a Value, core: &str, new: &str) -> &'a Value {
    if event[core].is_null() { &event[new] } else { &event[core] }
}

fn first_seen(event: &Value, now: Timestamp) -> String {
    let first = either(event, "firstTimestamp", "deprecatedFirstTimestamp");
    since(if first.is_null() { &event["eventTime"] } else { first }, now, "<unknown>")
}

fn last_seen(event: &Value, now: Timestamp) -> String {
    if event["series"].is_object() {
        return since(&event["series"]["lastObservedTime"], now, "<unknown>");
    }
    let last = either(event, "lastTimestamp", "deprecatedLastTimestamp");
    if last.is_null() { first_seen(event, now) } else { since(last, now, "<unknown>") }
}

fn source(event: &Value) -> Value {
    let source = either(event, "source", "deprecatedSource");
    let reporting = either(event, "reportingComponent", "reportingController");
    let component = Some(text(source, "component")).filter(|text| !text.is_empty());
    let component = component.unwrap_or_else(|| reporting.as_str().unwrap_or_default());
    let host = Some(text(source, "host")).filter(|text| !text.is_empty());
    let host = host.unwrap_or_else(|| text(event, "reportingInstance"));
    if host.is_empty() { component.into() } else { format!("{component}, {host}").into() }
}

pub(in crate::builtin) fn node() -> Vec<Column> {
    vec![
        of("Status", |node| {
            let ready = list(&node["status"], "conditions").iter().rev().find(|condition| condition["type"] == "Ready");
            let base = match ready {
                Some(condition) if condition["status"] == "True" => "Ready",
                Some(_) => "NotReady",
                None => "Unknown",
            };
            let cordoned = if node["spec"]["unschedulable"] == true { ",SchedulingDisabled" } else { "" };
            format!("{base}{cordoned}").into()
        }),
        of("Roles", |node| {
            let mut roles: Vec<&str> = node["metadata"]["labels"]
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                    None if key == "kubernetes.io/role" => value.as_str(),
                    role => role,
                })
                .filter(|role| !role.is_empty())
                .collect();
            roles.sort_unstable();
            roles.dedup();
            or_none(&joined(roles))
        }),
        age(),
        of("Version", |node| text(&node["status"]["nodeInfo"], "kubeletVersion").into()),
        wide("Internal-IP", |node| address(node, "InternalIP")),
        wide("External-IP", |node| address(node, "ExternalIP")),
        wide("OS-Image", |node| or(text(&node["status"]["nodeInfo"], "osImage"), "<unknown>")),
        wide("Kernel-Version", |node| {
            let info = &node["status"]["nodeInfo"];
            let version = or(text(info, "kernelVersion"), "<unknown>");
            let architecture = text(info, "architecture");
            if architecture.is_empty() {
                return version;
            }
            format!("{} ({architecture})", version.as_str().unwrap_or_default()).into()
        }),
        wide("Container-Runtime", |node| or(text(&node["status"]["nodeInfo"], "containerRuntimeVersion"), "<unknown>")),
    ]
}

fn address(node: &Value, kind: &str) -> Value {
    let found = list(&node["status"], "addresses").iter().find(|address| address["type"] == kind);
    or_none(found.map_or("", |address| text(address, "address")))
}

pub(in crate::builtin) fn resource_quota() -> Vec<Column> {
    vec![of("Request", |value| quota(value, false).into()), of("Limit", |value| quota(value, true).into()), age()]
}

fn quota(value: &Value, limits: bool) -> String {
    let status = &value["status"];
    let mut all: Vec<String> = status["hard"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.starts_with("limits.") == limits)
        .map(|(name, hard)| {
            let used = status["used"][name].as_str().unwrap_or("0");
            format!("{name}: {used}/{}", hard.as_str().unwrap_or_default())
        })
        .collect();
    all.sort();
    all.join(", ")
}

/// `RWO,ROX,…`, in Kubernetes' order.
fn access_modes(modes: &Value) -> String {
    let short =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let given: Vec<&str> = modes.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    joined(short.iter().filter(|(name, _)| given.contains(name)).map(|(_, short)| short))
}

fn phase(value: &Value) -> Value {
    if value["metadata"]["deletionTimestamp"].is_null() {
        text(&value["status"], "phase").into()
    } else {
        "Terminating".into()
    }
}

fn storage_class(value: &Value) -> Value {
    let old = &value["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
    old.as_str().unwrap_or_else(|| text(&value["spec"], "storageClassName")).into()
}

pub(in crate::builtin) fn persistent_volume() -> Vec<Column> {
    vec![
        of("Capacity", |value| or(text(&value["spec"]["capacity"], "storage"), "0")),
        of("Access Modes", |value| access_modes(&value["spec"]["accessModes"]).into()),
        of("Reclaim Policy", |value| text(&value["spec"], "persistentVolumeReclaimPolicy").into()),
        of("Status", phase),
        of("Claim", |value| {
            let claim = &value["spec"]["claimRef"];
            let shown = format!("{}/{}", text(claim, "namespace"), text(claim, "name"));
            if claim.is_null() { "".into() } else { shown.into() }
        }),
        of("StorageClass", storage_class),
        of("VolumeAttributesClass", |value| or(text(&value["spec"], "volumeAttributesClassName"), "<unset>")),
        of("Reason", |value| text(&value["status"], "reason").into()),
        age(),
        wide("VolumeMode", |value| or(text(&value["spec"], "volumeMode"), "<unset>")),
    ]
}

pub(in crate::builtin) fn persistent_volume_claim() -> Vec<Column> {
    vec![
        of("Status", phase),
        of("Volume", |value| text(&value["spec"], "volumeName").into()),
        of("Capacity", |value| {
            if text(&value["spec"], "volumeName").is_empty() {
                return "".into();
            }
            or(text(&value["status"]["capacity"], "storage"), "0")
        }),
        of("Access Modes", |value| {
            if text(&value["spec"], "volumeName").is_empty() {
                return "".into();
            }
            access_modes(&value["status"]["accessModes"]).into()
        }),
        of("StorageClass", storage_class),
        of("VolumeAttributesClass", |value| or(text(&value["spec"], "volumeAttributesClassName"), "<unset>")),
        age(),
        wide("VolumeMode", |value| or(text(&value["spec"], "volumeMode"), "<unset>")),
    ]
}
