//! What objects say of each other: selectors, targets, ports, budgets; and data of Secrets.

use base64::Engine as _;
use schema::selector::Labels;
use serde_json::{Map, Value as Json};

use crate::{
    pods,
    report::{Object, Report},
    shape::join,
    tree::{Data, Node},
};

/// Most pairs of objects that are held against each other.
const MOST_PAIRS: usize = 4_000_000;

/// A workload of the input with the labels of its pods.
struct Workload<'o, 'a> {
    object: &'o Object<'a>,
    labels: Map<String, Json>,
}

/// Checks what objects say of each other.
pub(crate) fn check(objects: &[Object<'_>], report: &mut Report) {
    let workloads: Vec<Workload<'_, '_>> = objects
        .iter()
        .filter_map(|object| {
            let template = pods::template(object)?;
            let labels = template.node.below(&["metadata", "labels"]).map(Node::json);
            let labels = labels.and_then(|labels| labels.as_object().cloned()).unwrap_or_default();
            Some(Workload { object, labels })
        })
        .collect();
    let many =
        |object: &&Object<'_>| matches!(object.kind, "Service" | "HorizontalPodAutoscaler" | "PodDisruptionBudget");
    let askers = objects.iter().filter(many).count();
    if askers.saturating_mul(objects.len()) > MOST_PAIRS
        && let Some(last) = objects.last()
    {
        let message = "selectors and targets of so many objects are not followed".to_owned();
        let fix = "split the input into smaller ones".to_owned();
        report.add("input-too-large", last, last.node.at, String::new(), message, fix);
        return;
    }
    for object in objects {
        match (object.group(), object.kind) {
            ("", "Service") => service(object, &workloads, report),
            ("", "Secret") => secret(object, report),
            ("autoscaling", "HorizontalPodAutoscaler") => autoscaler(object, objects, &workloads, report),
            ("policy", "PodDisruptionBudget") => budget(object, objects, &workloads, report),
            ("networking.k8s.io" | "extensions", "Ingress") => ingress(object, report),
            _ => {}
        }
    }
}

fn service(object: &Object<'_>, workloads: &[Workload<'_, '_>], report: &mut Report) {
    let Some(spec) = object.node.get("spec") else { return };
    if let Some(selector) = spec.get("selector").filter(|selector| !selector.entries().is_empty())
        && !workloads.is_empty()
        && let Json::Object(wanted) = selector.json()
    {
        let labels = Labels::from_map(&wanted);
        let chosen =
            |workload: &Workload<'_, '_>| object.beside(workload.object) && labels.matches(Some(&workload.labels));
        if !workloads.iter().any(chosen) {
            let message = "no pod template of the input has these labels".to_owned();
            let fix = "make the selector match the labels of a pod template".to_owned();
            let at = spec.key_at("selector");
            report.add("selector-matches-nothing", object, at, "spec.selector".to_owned(), message, fix);
        }
    }
    let ports = spec.get("ports").map(Node::items).unwrap_or_default();
    if ports.len() < 2 {
        return;
    }
    for (index, port) in ports.iter().enumerate().filter(|(_, port)| port.get("name").is_none()) {
        let message = "the Service has several ports, and this one has no name".to_owned();
        report.add(
            "unnamed-port",
            object,
            port.at,
            format!("spec.ports[{index}].name"),
            message,
            "add a name".to_owned(),
        );
    }
}

fn secret(object: &Object<'_>, report: &mut Report) {
    for entry in object.node.get("data").map(Node::entries).unwrap_or_default() {
        let Data::Text(text) = &entry.value.data else { continue };
        // Go's decoder leaves line ends aside.
        let packed: String = text.chars().filter(|c| *c != '\n' && *c != '\r').collect();
        if base64::engine::general_purpose::STANDARD.decode(packed).is_err() {
            let message = format!("{} is not base64", entry.key);
            let fix = "encode it with base64, or move it to stringData".to_owned();
            report.add("secret-not-base64", object, entry.value.at, join("data", &entry.key), message, fix);
        }
    }
}

fn autoscaler(object: &Object<'_>, objects: &[Object<'_>], workloads: &[Workload<'_, '_>], report: &mut Report) {
    let Some(target) = object.node.below(&["spec", "scaleTargetRef"]) else { return };
    let found = objects.iter().any(|other| aims_at(target, other) && object.beside(other));
    if !found && !workloads.is_empty() {
        let message = format!("there is no {} {:?} in the input", target.str("kind"), target.str("name"));
        let fix = "name a workload that is there".to_owned();
        report.add("missing-target", object, target.at, "spec.scaleTargetRef".to_owned(), message, fix);
    }
}

fn aims_at(target: &Node, object: &Object<'_>) -> bool {
    object.kind == target.str("kind") && object.name == target.str("name")
}

fn budget(object: &Object<'_>, objects: &[Object<'_>], workloads: &[Workload<'_, '_>], report: &mut Report) {
    let Some(spec) = object.node.get("spec") else { return };
    let Some(selector) = spec.get("selector") else { return };
    // A selector that cannot be read is told by its types.
    let Ok(Some(labels)) = Labels::from_object(&selector.json()) else { return };
    let chosen: Vec<&Workload<'_, '_>> = workloads
        .iter()
        .filter(|workload| object.beside(workload.object) && labels.matches(Some(&workload.labels)))
        .collect();
    if chosen.is_empty() {
        if !workloads.is_empty() {
            let message = "no pod template of the input has these labels".to_owned();
            let fix = "make the selector match the labels of a pod template".to_owned();
            report.add("missing-target", object, spec.key_at("selector"), "spec.selector".to_owned(), message, fix);
        }
        return;
    }
    let mut replicas = 0;
    for workload in chosen {
        match replicas_of(workload.object, objects) {
            Some(count) => replicas += count,
            None => return,
        }
    }
    if replicas < 1 {
        return;
    }
    for (field, blocks) in [
        ("minAvailable", spec.get("minAvailable").and_then(|value| portion(value, replicas)).map(|n| n >= replicas)),
        ("maxUnavailable", spec.get("maxUnavailable").and_then(|value| portion(value, replicas)).map(|n| n <= 0)),
    ] {
        if blocks == Some(true) {
            let message = format!("of {replicas} replicas none may be evicted: a drained node waits for ever");
            let fix = "run more replicas, or allow one to be unavailable".to_owned();
            let path = join("spec", field);
            report.add("disruption-budget-blocks", object, spec.key_at(field), path, message, fix);
        }
    }
}

/// Returns how many pods a workload has at least, where that is said.
fn replicas_of(workload: &Object<'_>, objects: &[Object<'_>]) -> Option<i64> {
    if !matches!(workload.kind, "Deployment" | "StatefulSet" | "ReplicaSet" | "ReplicationController") {
        return None;
    }
    let scaled = objects.iter().filter(|other| other.kind == "HorizontalPodAutoscaler").find(|other| {
        other.beside(workload)
            && other.node.below(&["spec", "scaleTargetRef"]).is_some_and(|target| aims_at(target, workload))
    });
    let field = match scaled {
        Some(autoscaler) => autoscaler.node.below(&["spec", "minReplicas"]),
        None => workload.node.below(&["spec", "replicas"]),
    };
    field.map_or(Some(1), Node::int)
}

/// Returns a number, or so many per cent of a number, rounded up.
fn portion(value: &Node, of: i64) -> Option<i64> {
    match &value.data {
        Data::Int(count) => Some(*count),
        Data::Text(text) => {
            let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
            Some(percent.checked_mul(of)?.checked_add(99)?.div_euclid(100))
        }
        _ => None,
    }
}

fn ingress(object: &Object<'_>, report: &mut Report) {
    let Some(spec) = object.node.get("spec") else { return };
    if spec.get("tls").is_none_or(|tls| tls.items().is_empty()) {
        let message = "it serves no TLS".to_owned();
        let fix = "add spec.tls with a Secret of type kubernetes.io/tls".to_owned();
        report.add("ingress-without-tls", object, spec.at, "spec.tls".to_owned(), message, fix);
    }
}
