//! What an eviction has to ask first: the disruption budget that guards the pod, as
//! Kubernetes' eviction subresource asks it. Who counts the pods of a budget is its controller.

use schema::selector::Labels;
use serde_json::{Value, json};

use crate::{items, text};

/// How many pods a budget remembers that were evicted and are not gone yet.
const MOST_DISRUPTED: usize = 2000;
/// The beginning of every refusal of a budget.
const REFUSAL: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

/// What a pod's budgets say.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// No budget has to be asked.
    Unguarded,
    /// No budget has to be asked as long as the pod stays as it is now.
    WhileUnchanged,
    /// The budget of this name allows it, and has this status afterwards.
    Allowed {
        /// The budget.
        budget: String,
        /// Its `status` with one disruption less.
        status: Value,
    },
    /// It is not allowed now: try again, after so many seconds if they are known.
    TooMany {
        /// The sentence.
        message: &'static str,
        /// Why, as the cause `DisruptionBudget`.
        cause: String,
        /// When to try again.
        retry_after: Option<u32>,
    },
    /// The budget of this name is in a state that forbids it.
    Forbidden {
        /// The budget.
        budget: String,
        /// Why.
        why: &'static str,
    },
    /// More than one budget guards the pod, which nobody can decide.
    Several,
}

/// Decides whether `pod` may be evicted, `budgets` being those of its namespace.
pub fn judge(pod: &Value, budgets: &[Value], now: &str) -> Verdict {
    let phase = text(&pod["status"], "phase");
    let leaving = matches!(phase, "Succeeded" | "Failed") || !pod["metadata"]["deletionTimestamp"].is_null();
    if leaving {
        return Verdict::Unguarded;
    }
    if phase == "Pending" {
        return Verdict::WhileUnchanged;
    }
    let guards: Vec<&Value> = budgets.iter().filter(|budget| guards(budget, pod)).collect();
    let budget = match guards.as_slice() {
        [] => return Verdict::Unguarded,
        [budget] => *budget,
        _ => return Verdict::Several,
    };
    let status = &budget["status"];
    let count = |name: &str| status[name].as_i64().unwrap_or_default();
    if !is_ready(pod) {
        let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
        // What does not count as healthy takes nothing from a budget that is kept without it.
        if always || (count("currentHealthy") >= count("desiredHealthy") && count("desiredHealthy") > 0) {
            return Verdict::WhileUnchanged;
        }
    }
    take(pod, budget, now)
}

/// Returns the refusal that tells a client to come again, for a pod that changed while its budget was asked.
pub fn changed(budget: &str) -> Verdict {
    let cause = format!("The disruption budget {budget} is still being processed by the server.");
    Verdict::TooMany { message: REFUSAL, cause, retry_after: Some(10) }
}

fn guards(budget: &Value, pod: &Value) -> bool {
    let selector = &budget["spec"]["selector"];
    // No selector takes nothing, an empty one everything.
    !selector.is_null()
        && matches!(Labels::from_object(selector), Ok(Some(labels)) if labels.matches(pod["metadata"]["labels"].as_object()))
}

fn is_ready(pod: &Value) -> bool {
    items(&pod["status"]["conditions"]).any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn take(pod: &Value, budget: &Value, now: &str) -> Verdict {
    let name = text(&budget["metadata"], "name").to_owned();
    let status = &budget["status"];
    let count = |name: &str| status[name].as_i64().unwrap_or_default();
    if count("observedGeneration") < budget["metadata"]["generation"].as_i64().unwrap_or_default() {
        return changed(&name);
    }
    let allowed = count("disruptionsAllowed");
    if allowed < 0 {
        return Verdict::Forbidden { budget: name, why: "pdb disruptions allowed is negative" };
    }
    if status["disruptedPods"].as_object().is_some_and(|pods| pods.len() > MOST_DISRUPTED) {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Verdict::Forbidden { budget: name, why };
    }
    if allowed == 0 {
        return Verdict::TooMany { message: REFUSAL, cause: exhausted(&name, status), retry_after: None };
    }
    let mut status = status.clone();
    status["disruptionsAllowed"] = (allowed - 1).into();
    if allowed == 1 {
        say_exhausted(&mut status, budget, now);
    }
    status["disruptedPods"][text(&pod["metadata"], "name")] = now.into();
    Verdict::Allowed { budget: name, status }
}

fn exhausted(name: &str, status: &Value) -> String {
    let healthy = |name: &str| status[name].as_i64().unwrap_or_default();
    let said = items(&status["conditions"]).find(|condition| {
        condition["type"] == "DisruptionAllowed"
            && condition["status"] == "False"
            && !text(condition, "message").is_empty()
    });
    match said {
        Some(condition) if text(condition, "reason") == "SyncFailed" => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
            text(condition, "message")
        ),
        _ if healthy("currentHealthy") <= healthy("desiredHealthy") => format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            healthy("desiredHealthy"),
            healthy("currentHealthy")
        ),
        Some(condition) => format!(
            "The disruption budget {name} does not allow evicting pods currently ({}): {}",
            text(condition, "reason"),
            text(condition, "message")
        ),
        None => format!("The disruption budget {name} does not allow evicting pods currently"),
    }
}

/// Writes down that the last disruption that was allowed is taken.
fn say_exhausted(status: &mut Value, budget: &Value, now: &str) {
    let said = json!({"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
        "observedGeneration": budget["status"]["observedGeneration"], "lastTransitionTime": now});
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(list) = status["conditions"].as_array_mut() else { return };
    match list.iter_mut().find(|condition| condition["type"] == "DisruptionAllowed") {
        Some(before) => {
            let since = if before["status"] == "False" { before["lastTransitionTime"].clone() } else { now.into() };
            *before = said;
            before["lastTransitionTime"] = since;
        }
        None => list.push(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn pod(ready: &str) -> Value {
        json!({"metadata": {"name": "p", "labels": {"app": "a"}}, "status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": ready}]}})
    }

    fn budget(allowed: i64, healthy: i64) -> Value {
        json!({"metadata": {"name": "b", "generation": 2}, "spec": {"selector": {"matchLabels": {"app": "a"}}},
            "status": {"observedGeneration": 2, "disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": 2}})
    }

    #[test]
    fn a_budget_gives_as_many_disruptions_as_it_has() {
        let Verdict::Allowed { status, .. } = judge(&pod("True"), &[budget(2, 4)], NOW) else { panic!() };
        assert_eq!((&status["disruptionsAllowed"], &status["conditions"]), (&json!(1), &Value::Null));
        assert_eq!(status["disruptedPods"], json!({"p": NOW}));
        let Verdict::Allowed { status, .. } = judge(&pod("True"), &[budget(1, 3)], NOW) else { panic!() };
        assert_eq!(status["conditions"][0]["reason"], "InsufficientPods");
        let Verdict::TooMany { cause, .. } = judge(&pod("True"), &[budget(0, 2)], NOW) else { panic!() };
        assert_eq!(cause, "The disruption budget b needs 2 healthy pods and has 2 currently");
    }

    #[test]
    fn a_budget_that_was_not_counted_yet_lets_nobody_go() {
        let mut budget = budget(5, 9);
        budget["metadata"]["generation"] = 3.into();
        assert_eq!(judge(&pod("True"), &[budget], NOW), changed("b"));
    }

    #[test]
    fn what_is_not_healthy_needs_no_room_where_the_budget_is_kept() {
        assert_eq!(judge(&pod("False"), &[budget(0, 2)], NOW), Verdict::WhileUnchanged);
        assert!(matches!(judge(&pod("False"), &[budget(0, 1)], NOW), Verdict::TooMany { .. }));
        let mut always = budget(0, 1);
        always["spec"]["unhealthyPodEvictionPolicy"] = "AlwaysAllow".into();
        assert_eq!(judge(&pod("False"), &[always], NOW), Verdict::WhileUnchanged);
    }

    #[test]
    fn budgets_of_others_and_pods_that_have_ended_are_not_asked() {
        let mut other = budget(0, 2);
        other["spec"]["selector"] = json!({"matchLabels": {"app": "other"}});
        assert_eq!(judge(&pod("True"), &[other], NOW), Verdict::Unguarded);
        assert_eq!(judge(&pod("True"), &[budget(1, 3), budget(1, 3)], NOW), Verdict::Several);
        let mut ended = pod("True");
        ended["status"]["phase"] = "Succeeded".into();
        assert_eq!(judge(&ended, &[budget(0, 2)], NOW), Verdict::Unguarded);
    }
}
