//! Columns of what runs pods, of budgets and autoscalers, and the words for a pod's state.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    age, at, boolean, containers, images, int, labels, list, names, number, of, or, or_none, plain, selector, since,
    text, wide,
};
use crate::{registry::Column, table};

/// A container's status in the list that a pod has of its init containers, and whether it goes on running.
fn is_sidecar(pod: &Value, name: &Value) -> bool {
    list(&pod["spec"], "initContainers").iter().any(|init| init["name"] == *name && init["restartPolicy"] == "Always")
}

/// What the containers of a pod say together.
struct Shown {
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<String>,
    reason: String,
}

impl Shown {
    fn restarted(&mut self, status: &Value) {
        self.restarts += status["restartCount"].as_i64().unwrap_or_default();
        let finished = status["lastState"]["terminated"]["finishedAt"].as_str().map(str::to_owned);
        self.last_restart = self.last_restart.take().max(finished);
    }
}

/// Why a container ended, as it is shown.
fn ended(state: &Value) -> String {
    let ended = &state["terminated"];
    match (text(ended, "reason"), ended["signal"].as_i64().unwrap_or_default()) {
        ("", 0) => format!("ExitCode:{}", ended["exitCode"]),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn condition<'a>(value: &'a Value, kind: &str) -> Option<&'a Value> {
    list(&value["status"], "conditions").iter().find(|condition| condition["type"] == kind)
}

fn holds(value: &Value, kind: &str) -> bool {
    condition(value, kind).is_some_and(|condition| condition["status"] == "True")
}

fn shown(pod: &Value) -> Shown {
    let status = &pod["status"];
    let phase = text(status, "phase");
    let mut all = Shown {
        ready: 0,
        total: containers(pod).len(),
        restarts: 0,
        last_restart: None,
        reason: if text(status, "reason").is_empty() { phase } else { text(status, "reason") }.to_owned(),
    };
    if condition(pod, "PodScheduled").is_some_and(|condition| condition["reason"] == "SchedulingGated") {
        "SchedulingGated".clone_into(&mut all.reason);
    }
    let inits = list(&pod["spec"], "initContainers");
    all.total += inits.iter().filter(|init| init["restartPolicy"] == "Always").count();
    let mut sidecars = Shown { ready: 0, total: 0, restarts: 0, last_restart: None, reason: String::new() };
    let mut initializing = false;
    for (index, init) in list(status, "initContainerStatuses").iter().enumerate() {
        all.restarted(init);
        let sidecar = is_sidecar(pod, &init["name"]);
        if sidecar {
            sidecars.restarted(init);
        }
        let state = &init["state"];
        let waits = text(&state["waiting"], "reason");
        if state["terminated"]["exitCode"] == 0 {
            continue;
        }
        if sidecar && init["started"] == true {
            all.ready += usize::from(init["ready"] == true);
            continue;
        }
        all.reason = if state["terminated"].is_object() {
            format!("Init:{}", ended(state))
        } else if !waits.is_empty() && waits != "PodInitializing" {
            format!("Init:{waits}")
        } else {
            format!("Init:{index}/{}", inits.len())
        };
        initializing = true;
        break;
    }
    if !initializing || holds(pod, "Initialized") {
        (all.restarts, all.last_restart) = (sidecars.restarts, sidecars.last_restart);
        mains(pod, &mut all);
    }
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        if status["reason"] == "NodeLost" {
            "Unknown".clone_into(&mut all.reason);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut all.reason);
        }
    }
    all
}

fn mains(pod: &Value, all: &mut Shown) {
    let (mut running, mut error) = (false, None);
    for container in list(&pod["status"], "containerStatuses").iter().rev() {
        all.restarted(container);
        let state = &container["state"];
        let waits = text(&state["waiting"], "reason");
        if !waits.is_empty() {
            waits.clone_into(&mut all.reason);
        } else if state["terminated"].is_object() {
            all.reason = ended(state);
            if state["terminated"]["exitCode"] != 0 {
                error = Some(all.reason.clone());
            }
        } else if container["ready"] == true && state["running"].is_object() {
            running = true;
            all.ready += 1;
        }
    }
    if all.reason == "Completed" {
        if running && holds(pod, "Ready") {
            "Running".clone_into(&mut all.reason);
        } else if let Some(error) = error {
            all.reason = error;
        } else if running {
            "NotReady".clone_into(&mut all.reason);
        }
    }
}

pub(super) fn pod_ready(pod: &Value) -> String {
    let shown = shown(pod);
    format!("{}/{}", shown.ready, shown.total)
}

/// What `kubectl get pods` shows as STATUS: the phase, or why a container waits or ended.
pub(super) fn pod_status(pod: &Value) -> String {
    shown(pod).reason
}

pub(super) fn pod_restarts(pod: &Value, now: Timestamp) -> String {
    let shown = shown(pod);
    match shown.last_restart {
        Some(last) if shown.restarts != 0 => format!("{} ({} ago)", shown.restarts, since(&last.into(), now, "")),
        _ => shown.restarts.to_string(),
    }
}

fn wide_template(columns: &mut Vec<Column>) {
    columns.push(wide("Containers", |value| names(&value["spec"]["template"])));
    columns.push(wide("Images", |value| images(&value["spec"]["template"])));
}

fn selected(columns: &mut Vec<Column>) {
    columns.push(wide("Selector", |value| or_none(&selector(&value["spec"]["selector"]))));
}

pub(in crate::builtin) fn deployment() -> Vec<Column> {
    let mut columns = vec![
        of("Ready", ready),
        of("Up-to-date", |value| int(&value["status"]["updatedReplicas"])),
        of("Available", |value| int(&value["status"]["availableReplicas"])),
        age(),
    ];
    wide_template(&mut columns);
    columns.push(wide("Selector", |value| selector(&value["spec"]["selector"]).into()));
    columns
}

fn ready(value: &Value) -> Value {
    format!("{}/{}", int(&value["status"]["readyReplicas"]), int(&value["spec"]["replicas"])).into()
}

pub(in crate::builtin) fn replica_set() -> Vec<Column> {
    let mut columns = vec![
        number("Desired", |value| int(&value["spec"]["replicas"])),
        number("Current", |value| int(&value["status"]["replicas"])),
        number("Ready", |value| int(&value["status"]["readyReplicas"])),
        age(),
    ];
    wide_template(&mut columns);
    selected(&mut columns);
    columns
}

pub(in crate::builtin) fn stateful_set() -> Vec<Column> {
    let mut columns = vec![of("Ready", ready), age()];
    wide_template(&mut columns);
    columns
}

pub(in crate::builtin) fn daemon_set() -> Vec<Column> {
    let mut columns = vec![
        number("Desired", |value| int(&value["status"]["desiredNumberScheduled"])),
        number("Current", |value| int(&value["status"]["currentNumberScheduled"])),
        number("Ready", |value| int(&value["status"]["numberReady"])),
        number("Up-to-date", |value| int(&value["status"]["updatedNumberScheduled"])),
        number("Available", |value| int(&value["status"]["numberAvailable"])),
        of("Node Selector", |value| labels(&value["spec"]["template"]["spec"]["nodeSelector"])),
        age(),
    ];
    wide_template(&mut columns);
    selected(&mut columns);
    columns
}

pub(in crate::builtin) fn controller_revision() -> Vec<Column> {
    vec![
        of("Controller", |value| {
            let owner = list(&value["metadata"], "ownerReferences").iter().find(|owner| owner["controller"] == true);
            let Some(owner) = owner else { return "<none>".into() };
            let group =
                text(owner, "apiVersion").split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
            format!("{}{group}/{}", text(owner, "kind").to_lowercase(), text(owner, "name")).into()
        }),
        of("Revision", |value| int(&value["revision"])),
        age(),
    ]
}

pub(in crate::builtin) fn job() -> Vec<Column> {
    let mut columns = vec![
        of("Status", |job| job_status(job).into()),
        of("Completions", |job| {
            let done = int(&job["status"]["succeeded"]);
            let parallel = job["spec"]["parallelism"].as_i64().unwrap_or_default();
            match job["spec"]["completions"].as_i64() {
                Some(wanted) => format!("{done}/{wanted}"),
                None if parallel > 1 => format!("{done}/1 of {parallel}"),
                None => format!("{done}/1"),
            }
            .into()
        }),
        at("Duration", 0, |job, now| {
            let time = |name: &str| job["status"][name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
            let Some(start) = time("startTime") else { return "".into() };
            table::age(time("completionTime").unwrap_or(now).as_second() - start.as_second()).into()
        }),
        age(),
    ];
    wide_template(&mut columns);
    selected(&mut columns);
    columns
}

fn job_status(job: &Value) -> &'static str {
    let terminating = !job["metadata"]["deletionTimestamp"].is_null();
    match () {
        () if holds(job, "Complete") => "Complete",
        () if holds(job, "Failed") => "Failed",
        () if terminating => "Terminating",
        () if holds(job, "Suspended") => "Suspended",
        () if holds(job, "FailureTarget") => "FailureTarget",
        () if holds(job, "SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

pub(in crate::builtin) fn cron_job() -> Vec<Column> {
    vec![
        of("Schedule", |value| text(&value["spec"], "schedule").into()),
        of("Timezone", |value| or_none(text(&value["spec"], "timeZone"))),
        boolean("Suspend", |value| match value["spec"]["suspend"].as_bool() {
            Some(true) => "True".into(),
            Some(false) => "False".into(),
            None => "<unset>".into(),
        }),
        number("Active", |value| list(&value["status"], "active").len().into()),
        at("Last Schedule", 0, |value, now| since(&value["status"]["lastScheduleTime"], now, "<none>").into()),
        age(),
        wide("Containers", |value| names(&value["spec"]["jobTemplate"]["spec"]["template"])),
        wide("Images", |value| images(&value["spec"]["jobTemplate"]["spec"]["template"])),
        wide("Selector", |value| or_none(&selector(&value["spec"]["jobTemplate"]["spec"]["selector"]))),
    ]
}

pub(in crate::builtin) fn disruption_budget() -> Vec<Column> {
    vec![
        of("Min Available", |value| or_not_given(&value["spec"]["minAvailable"])),
        of("Max Unavailable", |value| or_not_given(&value["spec"]["maxUnavailable"])),
        number("Allowed Disruptions", |value| int(&value["status"]["disruptionsAllowed"])),
        age(),
    ]
}

fn or_not_given(value: &Value) -> Value {
    if value.is_null() { "N/A".into() } else { plain(value).into() }
}

pub(in crate::builtin) fn autoscaler() -> Vec<Column> {
    vec![
        of("Reference", |value| {
            let target = &value["spec"]["scaleTargetRef"];
            format!("{}/{}", text(target, "kind"), text(target, "name")).into()
        }),
        of("Targets", |value| {
            let current = list(&value["status"], "currentMetrics");
            let all: Vec<String> = list(&value["spec"], "metrics")
                .iter()
                .enumerate()
                .map(|(index, metric)| target(metric, current.get(index).unwrap_or(&Value::Null)))
                .collect();
            match all.as_slice() {
                [] => "<none>".into(),
                [one] => one.clone().into(),
                [one, two] => format!("{one}, {two}").into(),
                [one, two, rest @ ..] => format!("{one}, {two} + {} more...", rest.len()).into(),
            }
        }),
        of("MinPods", |value| {
            or(&value["spec"]["minReplicas"].as_i64().map_or(String::new(), |n| n.to_string()), "<unset>")
        }),
        of("MaxPods", |value| int(&value["spec"]["maxReplicas"])),
        of("Replicas", |value| int(&value["status"]["currentReplicas"])),
        age(),
    ]
}

/// `current/target` of one metric.
fn target(metric: &Value, status: &Value) -> String {
    let kind = text(metric, "type");
    let field = match kind {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".to_owned(),
    };
    let (wanted, current) = (&metric[field]["target"], &status[field]["current"]);
    let now = |name: &str| {
        let unit = if name == "averageUtilization" { "%" } else { "" };
        if current[name].is_null() { "<unknown>".to_owned() } else { format!("{}{unit}", plain(&current[name])) }
    };
    match field {
        "resource" | "containerResource" => {
            let name = text(&metric[field], "name");
            if wanted["averageValue"].is_string() {
                format!("{name}: {}/{}", now("averageValue"), plain(&wanted["averageValue"]))
            } else {
                let goal = wanted["averageUtilization"].as_i64().map_or("<auto>".to_owned(), |n| format!("{n}%"));
                format!("{name}: {}/{goal}", now("averageUtilization"))
            }
        }
        "pods" => format!("{}/{}", now("averageValue"), plain(&wanted["averageValue"])),
        _ if wanted["averageValue"].is_string() => {
            format!("{}/{} (avg)", now("averageValue"), plain(&wanted["averageValue"]))
        }
        _ => format!("{}/{}", now("value"), plain(&wanted["value"])),
    }
}
