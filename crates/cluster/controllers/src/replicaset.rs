//! `ReplicaSet`: as many pods of one template as are asked for.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{
    apps::v1::{ReplicaSet, ReplicaSetStatus},
    core::v1::Pod,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions},
    runtime::controller::Action,
};
use schema::selector::Labels;

use crate::{Context, Error, owner};

/// How many pods are made or deleted in one go at most.
const BURST: usize = 500;

/// What to do to a set's pods.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Pods to make.
    pub create: usize,
    /// Pods to delete, by name and uid.
    pub delete: Vec<(String, String)>,
}

/// Returns what brings `pods` (those that the set controls) to `wanted`.
///
/// Pods that go first are those that serve least: unscheduled, pending, not ready, then the youngest.
pub fn plan(wanted: usize, pods: &[&Pod]) -> Plan {
    let mut active: Vec<&&Pod> = pods.iter().filter(|pod| is_active(pod)).collect();
    if active.len() <= wanted {
        return Plan { create: (wanted - active.len()).min(BURST), delete: Vec::new() };
    }
    active.sort_by_key(|pod| {
        let assigned = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let running = phase == Some("Running");
        (assigned, running, is_ready(pod), std::cmp::Reverse(pod.creation_timestamp().map(|time| time.0)))
    });
    let surplus = (active.len() - wanted).min(BURST);
    let delete = active[..surplus].iter().map(|pod| (pod.name_any(), pod.uid().unwrap_or_default())).collect();
    Plan { create: 0, delete }
}

/// Returns whether a pod counts: it has not ended and is not going.
pub fn is_active(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Returns whether a pod passes its readiness.
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod).is_some_and(|(status, _)| status == "True")
}

fn condition(pod: &Pod) -> Option<(&str, Option<jiff::Timestamp>)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    Some((&ready.status, ready.last_transition_time.as_ref().map(|time| time.0)))
}

/// Returns the set's status, and when a ready pod becomes available next.
pub fn summarize(set: &ReplicaSet, pods: &[&Pod], now: jiff::Timestamp) -> (ReplicaSetStatus, Option<Duration>) {
    let min_ready = i64::from(set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default());
    let active: Vec<_> = pods.iter().filter(|pod| is_active(pod)).collect();
    let labels = set
        .spec
        .as_ref()
        .and_then(|spec| spec.template.as_ref())
        .and_then(|template| template.metadata.as_ref())
        .and_then(|meta| meta.labels.clone())
        .unwrap_or_default();
    let fully =
        active.iter().filter(|pod| labels.iter().all(|(key, value)| pod.labels().get(key) == Some(value))).count();
    let ready = active.iter().filter(|pod| is_ready(pod)).count();
    let mut next = None;
    let available = active
        .iter()
        .filter(|pod| {
            let Some(("True", since)) = condition(pod) else { return false };
            let waits = since.map_or(0, |since| min_ready - (now.as_second() - since.as_second()));
            if waits > 0 {
                let waits = Duration::from_secs(waits.unsigned_abs());
                next = Some(next.map_or(waits, |other: Duration| other.min(waits)));
            }
            waits <= 0
        })
        .count();
    let status = ReplicaSetStatus {
        replicas: active.len() as i32,
        fully_labeled_replicas: Some(fully as i32),
        ready_replicas: Some(ready as i32),
        available_replicas: Some(available as i32),
        observed_generation: set.metadata.generation,
        conditions: None,
        terminating_replicas: None,
    };
    (status, next)
}

/// Brings a set's pods to the count that is asked for.
pub async fn reconcile(set: Arc<ReplicaSet>, context: Arc<Context>) -> Result<Action, Error> {
    let name = set.name_any();
    let namespace = set.namespace().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    let mut owned = pods_of(&pods, &set, &name).await?;
    let spec = set.spec.clone().unwrap_or_default();
    if set.metadata.deletion_timestamp.is_none() {
        let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or_default();
        let todo = plan(wanted, &owned.iter().collect::<Vec<_>>());
        let made = (0..todo.create).map(|_| async {
            let pod = pod_for(&set);
            pods.create(&PostParams::default(), &pod)
                .await
                .map_err(|source| Error::new(format!("create a pod of ReplicaSet {namespace}/{name}"), source))
        });
        owned.extend(futures::future::try_join_all(made).await?);
        for (pod, uid) in &todo.delete {
            let only = Preconditions { uid: Some(uid.clone()), resource_version: None };
            let options = DeleteParams { preconditions: Some(only), ..DeleteParams::background() };
            match pods.delete(pod, &options).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(source) => return Err(Error::new(format!("delete pod {namespace}/{pod}"), source)),
            }
        }
        owned.retain(|pod| !todo.delete.iter().any(|(_, uid)| pod.uid().as_deref() == Some(uid)));
    }
    let (status, next) = summarize(&set, &owned.iter().collect::<Vec<_>>(), base::clock::now());
    if set.status.as_ref() != Some(&status) {
        let sets: Api<ReplicaSet> = Api::namespaced(context.client.clone(), &namespace);
        let patch = serde_json::json!({"status": status});
        sets.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(|source| Error::new(format!("write the status of ReplicaSet {namespace}/{name}"), source))?;
    }
    Ok(next.map_or_else(Action::await_change, |next| Action::requeue(next + Duration::from_millis(100))))
}

async fn pods_of(pods: &Api<Pod>, set: &ReplicaSet, name: &str) -> Result<Vec<Pod>, Error> {
    let selector = set.spec.as_ref().map(|spec| spec.selector.clone()).unwrap_or_default();
    let selector = serde_json::to_value(selector).unwrap_or_default();
    let labels = Labels::from_object(&selector).ok().flatten().unwrap_or_default();
    let list = pods
        .list(&ListParams::default())
        .await
        .map_err(|source| Error::new(format!("list the pods of ReplicaSet {name}"), source))?;
    Ok(list
        .items
        .into_iter()
        .filter(|pod| {
            let own = serde_json::to_value(pod.labels()).unwrap_or_default();
            owner::controls(set, pod) && labels.matches(own.as_object())
        })
        .collect())
}

fn pod_for(set: &ReplicaSet) -> Pod {
    let template = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    let meta = template.metadata.unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", set.name_any())),
            namespace: set.namespace(),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner::reference(set)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, phase: &str, ready: bool, created: &str) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name, "uid": name, "creationTimestamp": created}, "spec": {"nodeName": "n", "containers": []},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": created}]}})).unwrap()
    }

    #[test]
    fn pods_that_serve_least_go_first() {
        let pods = [
            pod("old", "Running", true, "2026-01-01T00:00:00Z"),
            pod("young", "Running", true, "2026-01-02T00:00:00Z"),
            pod("pending", "Pending", false, "2026-01-01T00:00:00Z"),
            pod("failed", "Failed", false, "2026-01-01T00:00:00Z"),
        ];
        let pods: Vec<&Pod> = pods.iter().collect();
        let names = |wanted| plan(wanted, &pods).delete.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(2), ["pending"]);
        assert_eq!(names(1), ["pending", "young"]);
        assert_eq!(plan(5, &pods).create, 2, "an ended pod does not count");
    }

    #[test]
    fn a_ready_pod_is_available_after_its_minimum() {
        let set: ReplicaSet =
            serde_json::from_value(json!({"metadata": {}, "spec": {"minReadySeconds": 10, "selector": {}}})).unwrap();
        let pods = [pod("a", "Running", true, "2026-01-01T00:00:00Z")];
        let at = |text: &str| summarize(&set, &pods.iter().collect::<Vec<_>>(), text.parse().unwrap());
        let (status, next) = at("2026-01-01T00:00:04Z");
        assert_eq!(
            (status.ready_replicas, status.available_replicas, next),
            (Some(1), Some(0), Some(Duration::from_secs(6)))
        );
        assert_eq!(at("2026-01-01T00:00:10Z").0.available_replicas, Some(1));
    }
}
