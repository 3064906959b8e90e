//! What to do next with a pod's containers, given its specification and what is seen of them.
//!
//! Pure: time comes in as a value, and nothing is started or stopped here.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// `spec.restartPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Always,
    OnFailure,
    Never,
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

/// What is seen of a container's last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There was no attempt yet.
    Never,
    /// It was asked to start and has not yet.
    Starting,
    Running,
    Exited {
        code: i32,
        at: Timestamp,
    },
}

/// One container as the decision needs it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) init: bool,
    /// The number of the last attempt.
    pub(crate) attempt: u32,
    pub(crate) state: State,
    /// Attempts in a row that ended within [`STABLE`].
    pub(crate) quick_ends: u32,
    /// Whether a probe says that it must be restarted.
    pub(crate) unhealthy: bool,
    /// Whether it is being stopped.
    pub(crate) stopping: bool,
}

/// A pod as the decision needs it.
#[derive(Clone, Debug)]
pub(crate) struct PodView {
    pub(crate) policy: Policy,
    /// It is to be deleted, or its deadline has passed.
    pub(crate) ending: bool,
    /// It has reached its last phase before; it never leaves it.
    pub(crate) finished: Option<Phase>,
    pub(crate) containers: Vec<View>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Start { name: String, attempt: u32 },
    Stop { name: String },
}

/// What to do now, and when to look again by itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) actions: Vec<Action>,
    pub(crate) phase: Phase,
    /// Containers that wait out a back-off, with how long it is in all.
    pub(crate) backing_off: Vec<(String, Duration)>,
    pub(crate) wake_after: Option<Duration>,
    /// Every container has ended and none will start again.
    pub(crate) over: bool,
    /// Every init container succeeded.
    pub(crate) initialized: bool,
}

/// A container that ran this long starts with a short back-off again.
pub(crate) const STABLE: SignedDuration = SignedDuration::from_mins(10);

/// Returns how long a container waits before the next attempt: none at first, then 10 s doubling to 5 min.
pub(crate) fn back_off(quick_ends: u32) -> Duration {
    if quick_ends <= 1 {
        return Duration::ZERO;
    }
    Duration::from_secs((10u64 << (quick_ends - 2).min(5)).min(300))
}

/// Returns how many attempts in a row ended soon, given each attempt's start and end, oldest first.
pub(crate) fn quick_ends(attempts: &[(Timestamp, Timestamp)]) -> u32 {
    attempts.iter().rev().take_while(|(start, end)| end.duration_since(*start) < STABLE).count() as u32
}

/// Decides.
pub(crate) fn plan(pod: &PodView, now: Timestamp) -> Plan {
    let mut plan = Plan {
        actions: Vec::new(),
        phase: Phase::Pending,
        backing_off: Vec::new(),
        wake_after: None,
        over: false,
        initialized: false,
    };
    let alive = |c: &&View| matches!(c.state, State::Running | State::Starting);
    let ended_with = |c: &View| match c.state {
        State::Exited { code, .. } => Some(code),
        _ => None,
    };
    let (inits, mains): (Vec<&View>, Vec<&View>) = pod.containers.iter().partition(|c| c.init);
    plan.initialized = inits.iter().all(|c| ended_with(c) == Some(0)) || mains.iter().any(|c| c.state != State::Never);
    if pod.ending || pod.finished.is_some() {
        let running = pod.containers.iter().filter(alive);
        plan.actions.extend(running.filter(|c| !c.stopping).map(|c| Action::Stop { name: c.name.clone() }));
        plan.over = !pod.containers.iter().any(|c| alive(&c));
        plan.phase = pod.finished.unwrap_or(if plan.over {
            let good = !mains.is_empty() && mains.iter().all(|c| ended_with(c) == Some(0));
            if good { Phase::Succeeded } else { Phase::Failed }
        } else if plan.initialized {
            Phase::Running
        } else {
            Phase::Pending
        });
        return plan;
    }
    for init in &inits {
        match init.state {
            State::Exited { code: 0, .. } => continue,
            State::Exited { .. } if pod.policy == Policy::Never => {
                plan.phase = Phase::Failed;
                plan.over = true;
            }
            State::Exited { .. } | State::Never if !plan.initialized => start(&mut plan, init, now),
            _ => {}
        }
        if !plan.initialized {
            return plan;
        }
    }
    let mut will_run = false;
    for main in &mains {
        match main.state {
            State::Never => start(&mut plan, main, now),
            State::Exited { code, .. } => {
                let again = match pod.policy {
                    Policy::Always => true,
                    Policy::OnFailure => code != 0,
                    Policy::Never => false,
                };
                if !again {
                    continue;
                }
                start(&mut plan, main, now);
            }
            State::Running if main.unhealthy && !main.stopping => {
                plan.actions.push(Action::Stop { name: main.name.clone() });
            }
            State::Running | State::Starting => {}
        }
        will_run = true;
    }
    let ran = mains.iter().all(|c| !matches!(c.state, State::Never | State::Starting));
    plan.phase = match (will_run, ran) {
        (true, true) => Phase::Running,
        (true, false)
            if mains.iter().any(|c| c.attempt > 0 || matches!(c.state, State::Running | State::Exited { .. })) =>
        {
            Phase::Running
        }
        (true, false) => Phase::Pending,
        (false, _) if mains.iter().all(|c| ended_with(c) == Some(0)) => Phase::Succeeded,
        (false, _) => Phase::Failed,
    };
    plan.over = !will_run;
    plan
}

fn start(plan: &mut Plan, container: &View, now: Timestamp) {
    let attempt = match container.state {
        State::Exited { at, .. } => {
            let wait = back_off(container.quick_ends);
            let passed = now.duration_since(at).unsigned_abs();
            if passed < wait {
                let left = wait.saturating_sub(passed);
                plan.backing_off.push((container.name.clone(), wait));
                plan.wake_after = Some(plan.wake_after.map_or(left, |other| other.min(left)));
                return;
            }
            container.attempt + 1
        }
        _ => container.attempt,
    };
    plan.actions.push(Action::Start { name: container.name.clone(), attempt });
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
