//! `Deployment`: rolls from one template to the next through `ReplicaSet`s.
//!
//! `rolling` decides how far each set goes in one step; this file reads, writes and
//! reports.

mod rolling;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet, ReplicaSetSpec},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, Time},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
    runtime::controller::Action,
};
use serde_json::json;

use crate::{Context, Error, owner};
use rolling::{Set, step};

const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

/// Takes a Deployment one step further.
pub async fn reconcile(deployment: Arc<Deployment>, context: Arc<Context>) -> Result<Action, Error> {
    let (name, namespace) = (deployment.name_any(), deployment.namespace().unwrap_or_default());
    let sets: Api<ReplicaSet> = Api::namespaced(context.client.clone(), &namespace);
    let fail = |what: &str| {
        let what = format!("{what} of Deployment {namespace}/{name}");
        move |source| Error::new(what, source)
    };
    let list = sets.list(&ListParams::default()).await.map_err(fail("list the ReplicaSets"))?;
    let mut owned: Vec<ReplicaSet> =
        list.items.into_iter().filter(|set| owner::controls(deployment.as_ref(), set)).collect();
    owned.sort_by_key(revision_of);
    let spec = deployment.spec.clone().unwrap_or_default();
    let mut newest = owned.iter().position(|set| is_of(set, &spec.template));
    if deployment.metadata.deletion_timestamp.is_none() && spec.paused != Some(true) {
        let last = owned.iter().map(revision_of).max().unwrap_or_default();
        if newest.is_none() {
            let set = set_for(&deployment, last + 1);
            owned.push(sets.create(&PostParams::default(), &set).await.map_err(fail("create a ReplicaSet"))?);
            newest = Some(owned.len() - 1);
        }
        if let Some(at) = newest {
            if revision_of(&owned[at]) < last {
                // A rollback: the set of before is the newest again.
                let patch = json!({"metadata": {"annotations": {REVISION: (last + 1).to_string()}}});
                owned[at] = sets
                    .patch(&owned[at].name_any(), &PatchParams::default(), &Patch::Merge(patch))
                    .await
                    .map_err(fail("number a ReplicaSet"))?;
            }
            let view: Vec<Set> = owned.iter().map(view_of).collect();
            for (at, replicas) in step(&rolling::Wanted::of(&spec), &view, at) {
                let patch = json!({"spec": {"replicas": replicas}});
                owned[at] = sets
                    .patch(&owned[at].name_any(), &PatchParams::default(), &Patch::Merge(patch))
                    .await
                    .map_err(fail("scale a ReplicaSet"))?;
            }
            for old in expired(&owned, at, spec.revision_history_limit.unwrap_or(10)) {
                match sets.delete(&old, &DeleteParams::background()).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if status.code == 404 => {}
                    Err(source) => return Err(fail("delete an old ReplicaSet")(source)),
                }
            }
            let revision = revision_of(&owned[at]).to_string();
            if deployment.annotations().get(REVISION) != Some(&revision) {
                let api: Api<Deployment> = Api::namespaced(context.client.clone(), &namespace);
                let patch = json!({"metadata": {"annotations": {REVISION: revision}}});
                api.patch(&name, &PatchParams::default(), &Patch::Merge(patch))
                    .await
                    .map_err(fail("number the revision"))?;
            }
        }
    }
    let (status, next) = summarize(&deployment, &owned, newest, base::clock::now());
    if deployment.status.as_ref() != Some(&status) {
        let api: Api<Deployment> = Api::namespaced(context.client.clone(), &namespace);
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(json!({"status": status})))
            .await
            .map_err(fail("write the status"))?;
    }
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}

fn revision_of(set: &ReplicaSet) -> i64 {
    set.annotations().get(REVISION).and_then(|revision| revision.parse().ok()).unwrap_or_default()
}

fn view_of(set: &ReplicaSet) -> Set {
    let status = set.status.clone().unwrap_or_default();
    Set {
        wanted: set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        running: status.replicas,
        available: status.available_replicas.unwrap_or_default(),
    }
}

/// Returns whether the set has this template, its own hash label apart.
fn is_of(set: &ReplicaSet, template: &PodTemplateSpec) -> bool {
    let Some(mut own) = set.spec.as_ref().and_then(|spec| spec.template.clone()) else { return false };
    if let Some(labels) = own.metadata.as_mut().and_then(|meta| meta.labels.as_mut()) {
        labels.remove(HASH);
    }
    own == *template
}

fn set_for(deployment: &Deployment, revision: i64) -> ReplicaSet {
    let spec = deployment.spec.clone().unwrap_or_default();
    let hash = hash_of(&spec.template);
    let mut template = spec.template.clone();
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH.to_owned(), hash.clone());
    let set_labels = labels.clone();
    let mut match_labels = spec.selector.match_labels.clone().unwrap_or_default();
    match_labels.insert(HASH.to_owned(), hash.clone());
    let mut annotations: BTreeMap<String, String> = deployment
        .annotations()
        .iter()
        .filter(|(key, _)| !key.starts_with("kubectl.kubernetes.io/"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    annotations.insert(REVISION.to_owned(), revision.to_string());
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", deployment.name_any())),
            namespace: deployment.namespace(),
            labels: Some(set_labels),
            annotations: Some(annotations),
            owner_references: Some(vec![owner::reference(deployment)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(0),
            min_ready_seconds: spec.min_ready_seconds,
            selector: LabelSelector {
                match_labels: Some(match_labels),
                match_expressions: spec.selector.match_expressions,
            },
            template: Some(template),
        }),
        status: None,
    }
}

/// Ten characters that tell templates apart (FNV-1a, 64 bits; not a security boundary).
fn hash_of(template: &PodTemplateSpec) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let text = serde_json::to_string(template).unwrap_or_default();
    let mut hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (0..10)
        .map(|_| {
            let letter = ALPHABET[(hash % ALPHABET.len() as u64) as usize] as char;
            hash /= ALPHABET.len() as u64;
            letter
        })
        .collect()
}

/// Returns the names of old sets beyond the history that is kept.
fn expired(owned: &[ReplicaSet], newest: usize, keep: i32) -> Vec<String> {
    let old: Vec<&ReplicaSet> = owned
        .iter()
        .enumerate()
        .filter(|(at, set)| {
            let view = view_of(set);
            *at != newest && view.wanted == 0 && view.running == 0 && set.metadata.deletion_timestamp.is_none()
        })
        .map(|(_, set)| set)
        .collect();
    let surplus = old.len().saturating_sub(usize::try_from(keep).unwrap_or_default());
    old[..surplus].iter().map(|set| set.name_any()).collect()
}

/// Returns the status, and when progress would be overdue.
fn summarize(
    deployment: &Deployment,
    owned: &[ReplicaSet],
    newest: Option<usize>,
    now: jiff::Timestamp,
) -> (DeploymentStatus, Option<Duration>) {
    let spec = deployment.spec.clone().unwrap_or_default();
    let wanted = spec.replicas.unwrap_or(1);
    let sum = |of: fn(&k8s_openapi::api::apps::v1::ReplicaSetStatus) -> i32| {
        owned.iter().filter_map(|set| set.status.as_ref().map(of)).sum::<i32>()
    };
    let (total, ready, available) = (
        sum(|s| s.replicas),
        sum(|s| s.ready_replicas.unwrap_or_default()),
        sum(|s| s.available_replicas.unwrap_or_default()),
    );
    let fresh = newest.map(|at| &owned[at]);
    let updated = fresh.and_then(|set| set.status.as_ref()).map_or(0, |status| status.replicas);
    let fresh_available =
        fresh.and_then(|set| set.status.as_ref()).and_then(|status| status.available_replicas).unwrap_or_default();
    let old = deployment.status.clone().unwrap_or_default();
    let some = |count: i32| (count > 0).then_some(count);
    let minimum = wanted - rolling::Wanted::of(&spec).max_unavailable;
    let before = |kind: &str| old.conditions.iter().flatten().find(|condition| condition.type_ == kind);
    let condition = |kind: &str, status: &str, reason: &str, message: String, progressed: bool| {
        let known = before(kind);
        let same = known.filter(|known| known.status == status);
        let moved = same.is_none() || known.is_some_and(|known| known.reason.as_deref() != Some(reason)) || progressed;
        DeploymentCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: same.and_then(|known| known.last_transition_time.clone()).or(Some(Time(now))),
            last_update_time: if moved {
                Some(Time(now))
            } else {
                known.and_then(|known| known.last_update_time.clone())
            },
        }
    };
    let name = deployment.name_any();
    let set_name = fresh.map(kube::ResourceExt::name_any).unwrap_or_default();
    let available_condition = if available >= minimum {
        condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.".into(), false)
    } else {
        condition(
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.".into(),
            false,
        )
    };
    let complete = updated == wanted && total == wanted && fresh_available == wanted;
    let progressed = Some(updated) != old.updated_replicas && old.updated_replicas.is_some()
        || Some(available) != old.available_replicas && old.available_replicas.is_some();
    let deadline = i64::from(spec.progress_deadline_seconds.unwrap_or(600));
    let known = before("Progressing");
    let since = known
        .filter(|known| !progressed && known.reason.as_deref() != Some("NewReplicaSetAvailable"))
        .and_then(|known| known.last_update_time.as_ref())
        .map_or(0, |time| now.as_second() - time.0.as_second());
    let mut next = None;
    let progressing = if complete {
        condition(
            "Progressing",
            "True",
            "NewReplicaSetAvailable",
            format!("ReplicaSet \"{set_name}\" has successfully progressed."),
            false,
        )
    } else if since >= deadline {
        condition(
            "Progressing",
            "False",
            "ProgressDeadlineExceeded",
            format!("ReplicaSet \"{set_name}\" has timed out progressing."),
            false,
        )
    } else {
        next = Some(Duration::from_secs((deadline - since).unsigned_abs() + 1));
        condition(
            "Progressing",
            "True",
            "ReplicaSetUpdated",
            format!("ReplicaSet \"{set_name}\" of Deployment \"{name}\" is progressing."),
            progressed,
        )
    };
    let status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: Some(total),
        updated_replicas: Some(updated),
        ready_replicas: Some(ready),
        available_replicas: Some(available),
        unavailable_replicas: some((total.max(wanted) - available).max(0)).or(Some(0)),
        conditions: Some(vec![available_condition, progressing]),
        collision_count: old.collision_count,
        terminating_replicas: None,
    };
    (status, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(image: &str) -> Deployment {
        serde_json::from_value(json!({"metadata": {"name": "web", "uid": "u", "generation": 1}, "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": image}]}}}})).unwrap()
    }

    #[test]
    fn a_set_is_found_by_its_template() {
        let one = deployment("i:1");
        let set = set_for(&one, 1);
        assert!(is_of(&set, &one.spec.as_ref().unwrap().template));
        let two = deployment("i:2");
        assert!(!is_of(&set, &two.spec.as_ref().unwrap().template));
        assert_ne!(set.name_any(), set_for(&two, 2).name_any());
        assert_eq!(set.spec.unwrap().selector.match_labels.unwrap().len(), 2);
    }

    #[test]
    fn progress_that_stops_is_named_after_its_deadline() {
        let mut web = deployment("i:1");
        web.spec.as_mut().unwrap().progress_deadline_seconds = Some(60);
        let sets = [set_for(&web, 1)];
        let at = |text: &str| -> jiff::Timestamp { text.parse().unwrap() };
        let (status, next) = summarize(&web, &sets, Some(0), at("2026-01-01T00:00:00Z"));
        assert!(next.is_some());
        web.status = Some(status);
        let (status, _) = summarize(&web, &sets, Some(0), at("2026-01-01T00:00:30Z"));
        assert_eq!(web.status.as_ref(), Some(&status), "nothing moved, so nothing is written");
        let (status, _) = summarize(&web, &sets, Some(0), at("2026-01-01T00:01:01Z"));
        let reasons: Vec<_> =
            status.conditions.unwrap().into_iter().map(|condition| condition.reason.unwrap()).collect();
        assert_eq!(reasons, ["MinimumReplicasUnavailable", "ProgressDeadlineExceeded"]);
    }
}
