//! Tables of what is decided for a pod's containers.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn exited(code: i32, second: i64) -> State {
    State::Exited { code, at: at(second) }
}

fn view(name: &str, state: State) -> View {
    View {
        name: name.to_owned(),
        init: name.starts_with('i'),
        attempt: 0,
        state,
        quick_ends: u32::from(matches!(state, State::Exited { .. })),
        unhealthy: false,
        stopping: false,
    }
}

/// Returns the decision for containers `i1`, `i2`, … and `a`, `b`, … at second 100, on one line.
fn decide(policy: Policy, containers: &[(&str, State)]) -> String {
    let containers = containers.iter().map(|(name, state)| view(name, *state)).collect();
    show(&plan(&PodView { policy, ending: false, finished: None, containers }, at(100)))
}

fn show(plan: &Plan) -> String {
    let actions: Vec<String> = plan
        .actions
        .iter()
        .map(|action| match action {
            Action::Start { name, attempt } => format!("start {name}/{attempt}"),
            Action::Stop { name } => format!("stop {name}"),
        })
        .chain(plan.backing_off.iter().map(|(name, wait)| format!("{name} waits {wait:?}")))
        .collect();
    format!("{:?}{}: {}", plan.phase, if plan.over { " over" } else { "" }, actions.join(", "))
}

use Policy::{Always, Never, OnFailure};
use State::{Never as No, Running as Up, Starting};

#[test]
fn containers_start_after_the_init_containers_in_turn() {
    for (containers, expected) in [
        (vec![("a", No), ("b", No)], "Pending: start a/0, start b/0"),
        (vec![("i1", No), ("i2", No), ("a", No)], "Pending: start i1/0"),
        (vec![("i1", Starting), ("i2", No), ("a", No)], "Pending: "),
        (vec![("i1", Up), ("i2", No), ("a", No)], "Pending: "),
        (vec![("i1", exited(0, 99)), ("i2", No), ("a", No)], "Pending: start i2/0"),
        (vec![("i1", exited(0, 99)), ("i2", exited(0, 99)), ("a", No)], "Pending: start a/0"),
        (vec![("i1", exited(1, 99)), ("a", No)], "Pending: start i1/1"),
        (vec![("a", Starting)], "Pending: "),
        (vec![("a", Up), ("b", Starting)], "Running: "),
        (vec![("i1", exited(0, 9)), ("a", Up)], "Running: "),
    ] {
        assert_eq!(decide(Always, &containers), expected, "{containers:?}");
    }
    assert_eq!(decide(Never, &[("i1", exited(1, 99)), ("a", No)]), "Failed over: ");
}

#[test]
fn the_restart_policy_decides_what_an_end_means() {
    for (policy, code, expected) in [
        (Always, 0, "Running: start a/1"),
        (Always, 1, "Running: start a/1"),
        (OnFailure, 0, "Succeeded over: "),
        (OnFailure, 1, "Running: start a/1"),
        (Never, 0, "Succeeded over: "),
        (Never, 1, "Failed over: "),
    ] {
        assert_eq!(decide(policy, &[("a", exited(code, 99))]), expected, "{policy:?} {code}");
    }
    assert_eq!(decide(Never, &[("a", exited(0, 99)), ("b", Up)]), "Running: ");
    assert_eq!(decide(Never, &[("a", exited(0, 99)), ("b", exited(2, 99))]), "Failed over: ");
}

#[test]
fn a_container_that_keeps_ending_waits_longer_each_time_up_to_five_minutes() {
    let waits: Vec<u64> = (0..10).map(|n| back_off(n).as_secs()).collect();
    assert_eq!(waits, [0, 0, 10, 20, 40, 80, 160, 300, 300, 300]);
    let mut crashed = view("a", exited(1, 95));
    crashed.quick_ends = 2;
    crashed.attempt = 1;
    let mut pod = PodView { policy: Always, ending: false, finished: None, containers: vec![crashed] };
    let waiting = plan(&pod, at(100));
    assert_eq!((show(&waiting).as_str(), waiting.wake_after), ("Running: a waits 10s", Some(Duration::from_secs(5))));
    assert_eq!(show(&plan(&pod, at(105))), "Running: start a/2");
    pod.ending = true;
    assert_eq!(show(&plan(&pod, at(105))), "Failed over: ");
}

#[test]
fn a_long_run_forgets_the_crashes_before_it() {
    let run = |start, end| (at(start), at(end));
    assert_eq!(quick_ends(&[]), 0);
    assert_eq!(quick_ends(&[run(0, 1), run(2, 3)]), 2);
    assert_eq!(quick_ends(&[run(0, 1), run(2, 700)]), 0);
    assert_eq!(quick_ends(&[run(0, 1), run(2, 700), run(701, 702)]), 1);
}

#[test]
fn an_unhealthy_container_is_stopped_once() {
    let mut sick = view("a", Up);
    sick.unhealthy = true;
    let mut pod = PodView { policy: Always, ending: false, finished: None, containers: vec![sick] };
    assert_eq!(show(&plan(&pod, at(100))), "Running: stop a");
    pod.containers[0].stopping = true;
    assert_eq!(show(&plan(&pod, at(100))), "Running: ");
}

#[test]
fn an_ending_pod_stops_what_runs_and_starts_nothing() {
    let pod = |states: &[(&str, State)]| PodView {
        policy: Always,
        ending: true,
        finished: None,
        containers: states.iter().map(|(name, state)| view(name, *state)).collect(),
    };
    assert_eq!(show(&plan(&pod(&[("a", Up), ("b", exited(1, 9))]), at(100))), "Running: stop a");
    assert_eq!(show(&plan(&pod(&[("a", exited(0, 9)), ("b", exited(0, 9))]), at(100))), "Succeeded over: ");
    assert_eq!(show(&plan(&pod(&[("a", No)]), at(100))), "Failed over: ");
    assert_eq!(show(&plan(&pod(&[("i1", Up), ("a", No)]), at(100))), "Pending: stop i1");
}

#[test]
fn a_finished_pod_stays_finished() {
    let containers = vec![view("a", exited(0, 9))];
    let pod = PodView { policy: Always, ending: false, finished: Some(Phase::Failed), containers };
    assert_eq!(show(&plan(&pod, at(100))), "Failed over: ");
}
