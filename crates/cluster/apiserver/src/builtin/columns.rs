//! The columns that `kubectl get` shows of the built-in kinds.

use schema::jsonpath::Path;
use serde_json::{Value, json};

use crate::registry::{Cell, Column};

fn column(name: &str, kind: &str, priority: i64, cell: Cell) -> Column {
    Column { name: name.to_owned(), kind: kind.to_owned(), priority, cell }
}

fn of(name: &str, cell: fn(&Value) -> Value) -> Column {
    column(name, "string", 0, Cell::Of(cell))
}

fn wide(name: &str, cell: fn(&Value) -> Value) -> Column {
    column(name, "string", 1, Cell::Of(cell))
}

fn number(name: &str, cell: fn(&Value) -> Value) -> Column {
    column(name, "integer", 0, Cell::Of(cell))
}

fn age() -> Column {
    let path = Path::parse(".metadata.creationTimestamp").expect("the path is valid");
    column("Age", "string", 0, Cell::Age(path))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn or_none(text: String) -> Value {
    if text.is_empty() { "<none>".into() } else { text.into() }
}

fn join(values: impl IntoIterator<Item = String>) -> Value {
    or_none(values.into_iter().collect::<Vec<_>>().join(","))
}

fn int(value: &Value) -> Value {
    value.as_i64().unwrap_or_default().into()
}

fn count(value: &Value, name: &str) -> usize {
    value[name].as_object().map_or(0, serde_json::Map::len)
}

pub(super) fn age_only() -> Vec<Column> {
    vec![age()]
}

pub(super) fn created_at() -> Vec<Column> {
    let path = Path::parse(".metadata.creationTimestamp").expect("the path is valid");
    vec![column("Created At", "date", 0, Cell::Path(path))]
}

pub(super) fn namespace() -> Vec<Column> {
    vec![of("Status", |value| value["status"]["phase"].clone()), age()]
}

pub(super) fn pod() -> Vec<Column> {
    vec![
        of("Ready", |pod| {
            let statuses = list(&pod["status"], "containerStatuses");
            let ready = statuses.iter().filter(|status| status["ready"] == true).count();
            format!("{ready}/{}", list(&pod["spec"], "containers").len()).into()
        }),
        of("Status", |pod| pod_status(pod).into()),
        of("Restarts", |pod| {
            let restarts: i64 = list(&pod["status"], "containerStatuses")
                .iter()
                .filter_map(|status| status["restartCount"].as_i64())
                .sum();
            restarts.to_string().into()
        }),
        age(),
        wide("IP", |pod| or_none(pod["status"]["podIP"].as_str().unwrap_or_default().to_owned())),
        wide("Node", |pod| or_none(pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned())),
        wide("Nominated Node", |pod| {
            or_none(pod["status"]["nominatedNodeName"].as_str().unwrap_or_default().to_owned())
        }),
        wide("Readiness Gates", |_| "<none>".into()),
    ]
}

/// What `kubectl get pods` shows as STATUS: the phase, or why a container waits or ended.
fn pod_status(pod: &Value) -> String {
    let status = &pod["status"];
    let mut shown = status["reason"].as_str().or(status["phase"].as_str()).unwrap_or("Unknown").to_owned();
    for (index, init) in list(status, "initContainerStatuses").iter().enumerate() {
        let state = &init["state"];
        if state["terminated"]["exitCode"] == 0 {
            continue;
        }
        let reason = state["terminated"]["reason"].as_str().or(state["waiting"]["reason"].as_str());
        return match reason {
            Some(reason) if reason != "PodInitializing" => format!("Init:{reason}"),
            _ => format!("Init:{index}/{}", list(&pod["spec"], "initContainers").len()),
        };
    }
    let mut running = false;
    for container in list(status, "containerStatuses").iter().rev() {
        let state = &container["state"];
        if let Some(reason) = state["waiting"]["reason"].as_str().or(state["terminated"]["reason"].as_str()) {
            reason.clone_into(&mut shown);
        } else if container["ready"] == true && state.get("running").is_some() {
            running = true;
        }
    }
    if shown == "Completed" && running {
        "Running".clone_into(&mut shown);
    }
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        "Terminating".clone_into(&mut shown);
    }
    shown
}

fn containers(value: &Value) -> &[Value] {
    list(&value["spec"]["template"]["spec"], "containers")
}

fn names(value: &Value) -> Value {
    join(containers(value).iter().map(|container| container["name"].as_str().unwrap_or_default().to_owned()))
}

fn images(value: &Value) -> Value {
    join(containers(value).iter().map(|container| container["image"].as_str().unwrap_or_default().to_owned()))
}

fn selector(selector: &Value) -> Value {
    let labels = selector["matchLabels"].as_object().or(selector.as_object());
    join(labels.into_iter().flatten().filter_map(|(key, value)| value.as_str().map(|value| format!("{key}={value}"))))
}

pub(super) fn deployment() -> Vec<Column> {
    vec![
        of("Ready", |value| {
            let ready = value["status"]["readyReplicas"].as_i64().unwrap_or_default();
            format!("{ready}/{}", value["spec"]["replicas"].as_i64().unwrap_or_default()).into()
        }),
        number("Up-to-date", |value| int(&value["status"]["updatedReplicas"])),
        number("Available", |value| int(&value["status"]["availableReplicas"])),
        age(),
        wide("Containers", names),
        wide("Images", images),
        wide("Selector", |value| selector(&value["spec"]["selector"])),
    ]
}

pub(super) fn replica_set() -> Vec<Column> {
    vec![
        number("Desired", |value| int(&value["spec"]["replicas"])),
        number("Current", |value| int(&value["status"]["replicas"])),
        number("Ready", |value| int(&value["status"]["readyReplicas"])),
        age(),
        wide("Containers", names),
        wide("Images", images),
        wide("Selector", |value| selector(&value["spec"]["selector"])),
    ]
}

pub(super) fn service() -> Vec<Column> {
    vec![
        of("Type", |value| value["spec"]["type"].clone()),
        of("Cluster-IP", |value| or_none(value["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned())),
        of("External-IP", |value| or_none(value["spec"]["externalName"].as_str().unwrap_or_default().to_owned())),
        of("Port(s)", |value| {
            join(
                list(&value["spec"], "ports")
                    .iter()
                    .map(|port| format!("{}/{}", port["port"], port["protocol"].as_str().unwrap_or("TCP"))),
            )
        }),
        age(),
        wide("Selector", |value| selector(&value["spec"]["selector"])),
    ]
}

pub(super) fn config_map() -> Vec<Column> {
    vec![number("Data", |value| (count(value, "data") + count(value, "binaryData")).into()), age()]
}

pub(super) fn secret() -> Vec<Column> {
    vec![of("Type", |value| value["type"].clone()), number("Data", |value| count(value, "data").into()), age()]
}

pub(super) fn service_account() -> Vec<Column> {
    vec![number("Secrets", |value| list(value, "secrets").len().into()), age()]
}

pub(super) fn event() -> Vec<Column> {
    let seen = Path::parse(".lastTimestamp").expect("the path is valid");
    vec![
        column("Last Seen", "string", 0, Cell::Age(seen)),
        of("Type", |event| event["type"].clone()),
        of("Reason", |event| event["reason"].clone()),
        of("Object", |event| {
            let object = &event["involvedObject"];
            format!(
                "{}/{}",
                object["kind"].as_str().unwrap_or_default().to_lowercase(),
                object["name"].as_str().unwrap_or_default()
            )
            .into()
        }),
        wide("Subobject", |event| event["involvedObject"]["fieldPath"].clone()),
        wide("Source", |event| event["source"]["component"].clone()),
        of("Message", |event| event["message"].as_str().unwrap_or_default().trim().into()),
        wide("Count", |event| int(&event["count"])),
    ]
}

pub(super) fn node() -> Vec<Column> {
    vec![
        of("Status", |node| {
            let ready =
                list(&node["status"], "conditions").iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
            let base = if ready { "Ready" } else { "NotReady" };
            if node["spec"]["unschedulable"] == true {
                format!("{base},SchedulingDisabled").into()
            } else {
                base.into()
            }
        }),
        of("Roles", |node| {
            join(
                node["metadata"]["labels"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/").map(str::to_owned)),
            )
        }),
        age(),
        of("Version", |node| node["status"]["nodeInfo"]["kubeletVersion"].clone()),
        wide("Internal-IP", |node| {
            let addresses = list(&node["status"], "addresses");
            or_none(
                addresses
                    .iter()
                    .find(|a| a["type"] == "InternalIP")
                    .and_then(|a| a["address"].as_str())
                    .unwrap_or_default()
                    .to_owned(),
            )
        }),
        wide("OS-Image", |node| node["status"]["nodeInfo"]["osImage"].clone()),
        wide("Kernel-Version", |node| node["status"]["nodeInfo"]["kernelVersion"].clone()),
        wide("Container-Runtime", |node| node["status"]["nodeInfo"]["containerRuntimeVersion"].clone()),
    ]
}

pub(super) fn endpoint_slice() -> Vec<Column> {
    vec![
        of("AddressType", |value| value["addressType"].clone()),
        of("Ports", |value| join(list(value, "ports").iter().map(|port| port["port"].to_string()))),
        of("Endpoints", |value| {
            join(
                list(value, "endpoints").iter().flat_map(|endpoint| {
                    list(endpoint, "addresses").iter().filter_map(Value::as_str).map(str::to_owned)
                }),
            )
        }),
        age(),
    ]
}

pub(super) fn lease() -> Vec<Column> {
    vec![of("Holder", |value| value["spec"]["holderIdentity"].clone()), age()]
}

pub(super) fn binding() -> Vec<Column> {
    vec![
        of("Role", |value| {
            let role = &value["roleRef"];
            json!(format!(
                "{}/{}",
                role["kind"].as_str().unwrap_or_default(),
                role["name"].as_str().unwrap_or_default()
            ))
        }),
        age(),
    ]
}
