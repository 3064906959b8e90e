//! A pod's status from what is seen of its containers. Pure.

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
        ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::lifecycle::{Phase, Plan};
use crate::shim::protocol::{Exit, Started};

/// Conditions that the node keeps; others in the status are left as they are.
const OURS: [&str; 4] = ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"];

/// One attempt of a container.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) started: Option<Started>,
    pub(crate) exit: Option<Exit>,
    /// What it left in its termination message.
    pub(crate) message: Option<String>,
}

/// What is known of a container.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, in any combination")]
pub(crate) struct Record {
    pub(crate) init: bool,
    /// The last attempt.
    pub(crate) last: Option<Attempt>,
    /// The one before it.
    pub(crate) previous: Option<Attempt>,
    /// Start and end of ended attempts, oldest first.
    pub(crate) runs: Vec<(Timestamp, Timestamp)>,
    /// The manifest's digest, once known.
    pub(crate) image_id: String,
    /// Why it does not start, as reason and message.
    pub(crate) waiting: Option<(String, String)>,
    /// Its startup probe succeeded, or it has none.
    pub(crate) up: bool,
    /// Its readiness probe succeeds, or it has none.
    pub(crate) ready: bool,
    pub(crate) unhealthy: bool,
    pub(crate) stopping: bool,
}

impl Record {
    /// Returns whether its process runs.
    pub(crate) fn runs_now(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.started.is_some() && last.exit.is_none())
    }
}

/// What [`summarize`] needs.
pub(crate) struct Summary<'a> {
    pub(crate) pod: &'a Pod,
    /// In the order of the specification, init containers first.
    pub(crate) containers: Vec<(&'a Container, &'a Record)>,
    pub(crate) plan: &'a Plan,
    pub(crate) host_ip: &'a str,
    pub(crate) pod_ip: Option<String>,
    /// Why the whole pod failed, as reason and message.
    pub(crate) failure: Option<(String, String)>,
    pub(crate) now: Timestamp,
}

/// Returns the pod's status.
pub(crate) fn summarize(summary: &Summary<'_>) -> PodStatus {
    let before = summary.pod.status.clone().unwrap_or_default();
    let statuses = |init: bool| {
        let of = summary.containers.iter().filter(move |(_, record)| record.init == init);
        of.map(|(container, record)| status_of(container, record, summary)).collect::<Vec<_>>()
    };
    let (inits, mains) = (statuses(true), statuses(false));
    let finished = matches!(summary.plan.phase, Phase::Succeeded | Phase::Failed);
    let all_ready = !finished && !mains.is_empty() && mains.iter().all(|status| status.ready);
    let gates = summary.pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    let closed: Vec<String> = gates
        .map(|gate| gate.condition_type.clone())
        .filter(|kind| !before.conditions.iter().flatten().any(|c| c.type_ == *kind && c.status == "True"))
        .collect();
    let not_ready: Vec<&str> = mains.iter().filter(|status| !status.ready).map(|status| status.name.as_str()).collect();
    let why = match (finished, not_ready.is_empty()) {
        (true, _) if summary.plan.phase == Phase::Succeeded => Some(("PodCompleted", String::new())),
        (true, _) => Some(("PodFailed", String::new())),
        (false, false) => {
            Some(("ContainersNotReady", format!("containers with unready status: [{}]", not_ready.join(" "))))
        }
        (false, true) => None,
    };
    let gate = (!closed.is_empty()).then(|| {
        ("ReadinessGatesNotReady", format!("readiness gates without a True condition: {}", closed.join(", ")))
    });
    let uninitialized = (!summary.plan.initialized).then(|| {
        let waiting = inits.iter().filter(|s| s.state.as_ref().is_none_or(|s| s.terminated.is_none()));
        let names: Vec<&str> = waiting.map(|status| status.name.as_str()).collect();
        ("ContainersNotInitialized", format!("containers with incomplete status: [{}]", names.join(" ")))
    });
    let mut conditions: Vec<PodCondition> =
        before.conditions.iter().flatten().filter(|c| !OURS.contains(&c.type_.as_str())).cloned().collect();
    let values = [
        (OURS[0], summary.pod_ip.is_some() && !finished, None),
        (OURS[1], summary.plan.initialized, uninitialized),
        (OURS[2], all_ready, why.clone()),
        (OURS[3], all_ready && closed.is_empty(), why.or(gate)),
    ];
    for (kind, value, why) in values {
        conditions.push(condition(&before, kind, value, why.filter(|_| !value), summary.now));
    }
    let (reason, message) = summary.failure.clone().unzip();
    PodStatus {
        phase: Some(format!("{:?}", summary.plan.phase)),
        conditions: Some(conditions),
        container_statuses: Some(mains),
        init_container_statuses: (!inits.is_empty()).then_some(inits),
        host_ip: Some(summary.host_ip.to_owned()),
        host_ips: Some(vec![HostIP { ip: summary.host_ip.to_owned() }]),
        pod_ip: summary.pod_ip.clone(),
        pod_ips: summary.pod_ip.clone().map(|ip| vec![PodIP { ip }]),
        start_time: Some(before.start_time.clone().unwrap_or(Time(seconds(summary.now)))),
        qos_class: before.qos_class.clone(),
        observed_generation: summary.pod.metadata.generation,
        reason,
        message,
        ..PodStatus::default()
    }
}

fn condition(before: &PodStatus, kind: &str, value: bool, why: Option<(&str, String)>, now: Timestamp) -> PodCondition {
    let status = if value { "True" } else { "False" };
    let same = before.conditions.iter().flatten().find(|c| c.type_ == kind && c.status == status);
    let (reason, message) = why.unzip();
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        last_transition_time: Some(same.and_then(|c| c.last_transition_time.clone()).unwrap_or(Time(seconds(now)))),
        reason: reason.map(str::to_owned),
        message: message.filter(|message| !message.is_empty()),
        ..PodCondition::default()
    }
}

fn status_of(container: &Container, record: &Record, summary: &Summary<'_>) -> ContainerStatus {
    let uid = summary.pod.metadata.uid.as_deref().unwrap_or_default();
    let id = |number: u32| format!("roadstead://{uid}/{}/{number}", container.name);
    let ended = |attempt: &Attempt| {
        let exit = attempt.exit.as_ref()?;
        let reason = match exit {
            Exit { failed: Some(_), .. } => "StartError",
            Exit { out_of_memory: true, .. } => "OOMKilled",
            Exit { code: 0, .. } => "Completed",
            _ => "Error",
        };
        Some(ContainerStateTerminated {
            container_id: Some(id(attempt.number)),
            exit_code: exit.code,
            finished_at: Some(Time(seconds(exit.at))),
            started_at: Some(Time(seconds(attempt.started.as_ref().map_or(exit.at, |started| started.at)))),
            message: exit.failed.clone().or_else(|| attempt.message.clone()),
            reason: Some(reason.to_owned()),
            signal: None,
        })
    };
    let waiting = |reason: &str, message: Option<String>| ContainerState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message }),
        ..ContainerState::default()
    };
    let terminated =
        |state: ContainerStateTerminated| ContainerState { terminated: Some(state), ..ContainerState::default() };
    let last = record.last.as_ref();
    let runs = record.runs_now();
    let mut last_state = record.previous.as_ref().and_then(ended).map(terminated);
    let backing_off = summary.plan.backing_off.iter().find(|(name, _)| *name == container.name);
    let finished = summary.plan.over || matches!(summary.plan.phase, Phase::Succeeded | Phase::Failed);
    let state = if runs {
        let at = last.and_then(|last| last.started.as_ref()).map(|started| Time(seconds(started.at)));
        ContainerState { running: Some(ContainerStateRunning { started_at: at }), ..ContainerState::default() }
    } else if let Some((reason, message)) = record.waiting.as_ref().filter(|_| !finished) {
        last_state = last.and_then(ended).map(terminated).or(last_state);
        waiting(reason, Some(message.clone()))
    } else if let Some(state) = last.and_then(ended) {
        if let Some((name, wait)) = backing_off {
            last_state = Some(terminated(state));
            let pod = summary.pod.metadata.name.as_deref().unwrap_or_default();
            let text = format!("back-off {}s restarting failed container={name} pod={pod}", wait.as_secs());
            waiting("CrashLoopBackOff", Some(text))
        } else {
            terminated(state)
        }
    } else if summary.plan.initialized || record.init {
        waiting("ContainerCreating", None)
    } else {
        waiting("PodInitializing", None)
    };
    let done = last.and_then(|last| last.exit.as_ref()).is_some_and(|exit| exit.code == 0);
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_id: record.image_id.clone(),
        container_id: last.filter(|last| last.started.is_some() || last.exit.is_some()).map(|last| id(last.number)),
        ready: if record.init { done } else { runs && record.up && record.ready },
        started: Some(runs && record.up),
        restart_count: last.map_or(0, |last| last.number as i32),
        state: Some(state),
        last_state,
        ..ContainerStatus::default()
    }
}

/// Kubernetes' times have no fractions.
fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn attempt(number: u32, exit: Option<i32>) -> Attempt {
        Attempt {
            number,
            started: Some(Started { pid: 1, at: at(10) }),
            exit: exit.map(|code| Exit { code, at: at(20), out_of_memory: false, failed: None }),
            message: None,
        }
    }

    fn plan(phase: Phase) -> Plan {
        Plan { actions: vec![], phase, backing_off: vec![], wake_after: None, over: false, initialized: true }
    }

    fn of(record: &Record, plan: &Plan) -> (PodStatus, String) {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": "p", "uid": "u" },
            "spec": { "containers": [{ "name": "a", "image": "i" }] },
            "status": { "conditions": [{ "type": "PodScheduled", "status": "True" }] },
        }))
        .unwrap();
        let container = pod.spec.as_ref().unwrap().containers[0].clone();
        let status = summarize(&Summary {
            pod: &pod,
            containers: vec![(&container, record)],
            plan,
            host_ip: "10.0.0.1",
            pod_ip: Some("10.0.0.2".into()),
            failure: None,
            now: at(30),
        });
        let one = &status.container_statuses.as_ref().unwrap()[0];
        let state = one.state.clone().unwrap();
        let state = state
            .waiting
            .map(|w| w.reason.unwrap())
            .or(state.running.map(|_| "running".into()))
            .or(state.terminated.map(|t| t.reason.unwrap()))
            .unwrap();
        let last = one.last_state.clone().and_then(|s| s.terminated).map(|t| format!(" after {}", t.exit_code));
        let conditions = status.conditions.iter().flatten();
        let ready = conditions.filter(|c| c.type_ == "Ready").map(|c| c.status.clone()).collect::<String>();
        let text = format!(
            "{} {state}{} x{} ready={ready}",
            status.phase.clone().unwrap(),
            last.unwrap_or_default(),
            one.restart_count
        );
        (status, text)
    }

    #[test]
    fn containers_states_are_those_of_the_kubelet() {
        let record = |last, previous| Record { last, previous, up: true, ready: true, ..Record::default() };
        let mut backing_off = plan(Phase::Running);
        backing_off.backing_off.push(("a".into(), Duration::from_secs(20)));
        for (record, plan, expected) in [
            (record(None, None), plan(Phase::Pending), "Pending ContainerCreating x0 ready=False"),
            (record(Some(attempt(0, None)), None), plan(Phase::Running), "Running running x0 ready=True"),
            (
                Record { ready: false, ..record(Some(attempt(0, None)), None) },
                plan(Phase::Running),
                "Running running x0 ready=False",
            ),
            (
                record(Some(attempt(2, Some(1))), Some(attempt(1, Some(7)))),
                backing_off,
                "Running CrashLoopBackOff after 1 x2 ready=False",
            ),
            (
                record(Some(attempt(2, None)), Some(attempt(1, Some(7)))),
                plan(Phase::Running),
                "Running running after 7 x2 ready=True",
            ),
            (record(Some(attempt(0, Some(0))), None), plan(Phase::Succeeded), "Succeeded Completed x0 ready=False"),
            (record(Some(attempt(0, Some(3))), None), plan(Phase::Failed), "Failed Error x0 ready=False"),
            (
                Record { waiting: Some(("ErrImagePull".into(), "no".into())), ..record(None, None) },
                plan(Phase::Pending),
                "Pending ErrImagePull x0 ready=False",
            ),
        ] {
            assert_eq!(of(&record, &plan).1, expected);
        }
    }

    #[test]
    fn conditions_of_others_stay() {
        let (status, _) = of(&Record::default(), &plan(Phase::Pending));
        let kinds: Vec<&str> = status.conditions.as_ref().unwrap().iter().map(|c| c.type_.as_str()).collect();
        assert_eq!(kinds, ["PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"]);
    }
}
