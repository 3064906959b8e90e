//! From what was compared and done to the status. Pure.

use std::collections::BTreeSet;

use platform::argo::{
    ApplicationCondition, ApplicationStatus, Deployed, OperationState, ResourceStatus, Summary, SyncResult, SyncStatus,
};
use serde_json::Value;

use super::{
    health,
    plan::{Desired, Live, wave},
};

/// What was seen of an application in one pass.
#[derive(Default)]
pub(crate) struct Seen<'a> {
    /// The commits of its sources; empty if they could not be read.
    pub(crate) revisions: Vec<String>,
    pub(crate) several: bool,
    pub(crate) source_type: Option<&'static str>,
    /// What is wanted, with what is there and whether it differs; `None` if it could not be found out.
    pub(crate) wanted: Option<Vec<(&'a Desired, Option<Value>, bool)>>,
    /// What left the source and is still there.
    pub(crate) extra: Vec<&'a Live>,
    pub(crate) conditions: Vec<ApplicationCondition>,
    /// What a sync did, if there was one.
    pub(crate) operation: Option<(&'static str, String)>,
    pub(crate) history: usize,
    pub(crate) now: String,
}

/// Makes the new status out of the old one.
pub(crate) fn summarize(old: &ApplicationStatus, seen: Seen<'_>) -> ApplicationStatus {
    let mut status = old.clone();
    let (revision, revisions) = shape(&seen.revisions, seen.several);
    status.conditions = seen
        .conditions
        .into_iter()
        .map(|mut condition| {
            let before =
                old.conditions.iter().find(|one| one.kind == condition.kind && one.message == condition.message);
            condition.last_transition_time =
                before.and_then(|one| one.last_transition_time.clone()).or_else(|| Some(seen.now.clone()));
            condition
        })
        .collect();
    match &seen.wanted {
        None => {
            // What is there is not looked at: the last that was known of it stays.
            "Unknown".clone_into(&mut status.sync.status);
            if !seen.revisions.is_empty() {
                status.sync = SyncStatus { status: "Unknown".to_owned(), revision, revisions };
            }
            if status.resources.is_empty() {
                status.health = platform::argo::HealthStatus::default();
            }
        }
        Some(wanted) => {
            status.resources = resources(wanted, &seen.extra);
            status.health = health::worst(status.resources.iter().filter_map(|resource| resource.health.as_ref()));
            let in_sync = status.resources.iter().all(|resource| resource.status == "Synced");
            status.sync =
                SyncStatus { status: if in_sync { "Synced" } else { "OutOfSync" }.to_owned(), revision, revisions };
            status.summary = Summary { images: images(wanted.iter().map(|(desired, _, _)| &desired.object)) };
            status.source_type = seen.source_type.map(str::to_owned);
        }
    }
    if let Some((phase, message)) = seen.operation {
        operate(&mut status, old, phase, message, &seen.now, seen.history);
    }
    status.reconciled_at.clone_from(&old.reconciled_at);
    if status != *old {
        status.reconciled_at = Some(seen.now);
    }
    status
}

fn shape(revisions: &[String], several: bool) -> (Option<String>, Vec<String>) {
    if several { (None, revisions.to_vec()) } else { (revisions.first().cloned(), Vec::new()) }
}

fn operate(
    status: &mut ApplicationStatus,
    old: &ApplicationStatus,
    phase: &str,
    message: String,
    now: &str,
    keep: usize,
) {
    let (revision, revisions) = (status.sync.revision.clone(), status.sync.revisions.clone());
    let running = old.operation_state.as_ref().filter(|state| state.phase == "Running");
    status.operation_state = Some(OperationState {
        phase: phase.to_owned(),
        message,
        started_at: running.map_or_else(|| now.to_owned(), |state| state.started_at.clone()),
        finished_at: (phase != "Running").then(|| now.to_owned()),
        sync_result: Some(SyncResult { revision: revision.clone(), revisions: revisions.clone() }),
    });
    let last = status.history.last();
    let new = last.is_none_or(|last| last.revision != revision || last.revisions != revisions);
    if phase == "Succeeded" && new {
        let id = last.map_or(0, |last| last.id + 1);
        status.history.push(Deployed { id, revision, revisions, deployed_at: now.to_owned() });
        let surplus = status.history.len().saturating_sub(keep.max(1));
        status.history.drain(..surplus);
    }
}

fn resources(wanted: &[(&Desired, Option<Value>, bool)], extra: &[&Live]) -> Vec<ResourceStatus> {
    let mut all: Vec<ResourceStatus> = wanted
        .iter()
        .map(|(desired, live, differs)| {
            let health = match live {
                Some(live) => health::of(live),
                None => Some(platform::argo::HealthStatus { status: "Missing".to_owned(), message: None }),
            };
            let mut one = resource(&desired.id, &desired.resource.version, &desired.object);
            if *differs || live.is_none() { "OutOfSync" } else { "Synced" }.clone_into(&mut one.status);
            one.health = health;
            one
        })
        .collect();
    for live in extra {
        let mut one = resource(&live.id, &live.resource.version, &live.object);
        "OutOfSync".clone_into(&mut one.status);
        one.requires_pruning = true;
        all.push(one);
    }
    all.sort_by(|a, b| (&a.group, &a.kind, &a.namespace, &a.name).cmp(&(&b.group, &b.kind, &b.namespace, &b.name)));
    all
}

fn resource(id: &super::plan::Ref, version: &str, object: &Value) -> ResourceStatus {
    ResourceStatus {
        group: id.group.clone(),
        version: version.to_owned(),
        kind: id.kind.clone(),
        namespace: id.namespace.clone(),
        name: id.name.clone(),
        sync_wave: Some(wave(object)).filter(|wave| *wave != 0),
        ..ResourceStatus::default()
    }
}

/// Every image that pod templates name.
fn images<'a>(objects: impl Iterator<Item = &'a Value>) -> Vec<String> {
    let mut images = BTreeSet::new();
    for object in objects {
        let pods = ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];
        for pod in pods.iter().filter_map(|pointer| object.pointer(pointer)) {
            for list in ["containers", "initContainers"] {
                let containers = pod[list].as_array().into_iter().flatten();
                images.extend(containers.filter_map(|container| container["image"].as_str()).map(str::to_owned));
            }
        }
    }
    images.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::applications::{plan::Ref, validate::condition};

    fn desired(name: &str) -> Desired {
        Desired {
            id: Ref { kind: "Deployment".into(), group: "apps".into(), namespace: "n".into(), name: name.into() },
            resource: crate::objects::application(),
            object: json!({"kind": "Deployment", "metadata": {"name": name}, "spec": {"template": {"spec": {"containers": [{"image": "i:1"}]}}}}),
        }
    }

    fn seen<'a>(wanted: Option<Vec<(&'a Desired, Option<Value>, bool)>>, now: &str) -> Seen<'a> {
        Seen { revisions: vec!["abc".into()], wanted, history: 2, now: now.into(), ..Seen::default() }
    }

    #[test]
    fn what_is_missing_or_differs_is_out_of_sync() {
        let (a, b) = (desired("a"), desired("b"));
        let status = summarize(
            &ApplicationStatus::default(),
            seen(Some(vec![(&a, Some(json!({})), false), (&b, None, true)]), "t"),
        );
        assert_eq!((status.sync.status.as_str(), status.health.status.as_str()), ("OutOfSync", "Missing"));
        assert_eq!(status.summary.images, ["i:1"]);
        assert_eq!(status.sync.revision.as_deref(), Some("abc"));
    }

    #[test]
    fn an_unreadable_source_keeps_what_was_known_of_the_objects() {
        let a = desired("a");
        let known = summarize(&ApplicationStatus::default(), seen(Some(vec![(&a, Some(json!({})), false)]), "t1"));
        let mut broken = seen(None, "t2");
        broken.conditions = vec![condition("ComparisonError", "no")];
        let status = summarize(&known, broken);
        assert_eq!(status.sync.status, "Unknown");
        assert_eq!(status.resources, known.resources);
        assert_eq!(status.conditions[0].last_transition_time.as_deref(), Some("t2"));
        let mut again = seen(None, "t3");
        again.conditions = vec![condition("ComparisonError", "no")];
        assert_eq!(summarize(&status, again), status, "nothing changed, so nothing is written");
    }

    #[test]
    fn history_grows_with_revisions_and_is_cut() {
        let a = desired("a");
        let mut status = ApplicationStatus::default();
        for (index, revision) in ["r1", "r2", "r2", "r3"].into_iter().enumerate() {
            let mut one = seen(Some(vec![(&a, Some(json!({})), false)]), &format!("t{index}"));
            one.revisions = vec![revision.into()];
            one.operation = Some(("Succeeded", String::new()));
            status = summarize(&status, one);
        }
        let kept: Vec<_> = status.history.iter().map(|one| (one.id, one.revision.clone().unwrap())).collect();
        assert_eq!(kept, [(1, "r2".into()), (2, "r3".into())]);
    }
}
