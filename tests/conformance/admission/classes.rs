//! Classes that pods, claims and ingresses name or are given.

use conformance::{
    cluster::{Call, MERGE_PATCH},
    walk::{Walk, conform},
};
use serde_json::json;

use super::pod;

#[tokio::test]
async fn a_pod_has_the_priority_of_its_class() {
    conform(async |walk: &mut Walk| {
        let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
        let (high, shy) = (format!("high-{}", walk.id), format!("shy-{}", walk.id));
        for (name, body) in [
            (&high, json!({"value": 1000, "description": "x"})),
            (&shy, json!({"value": -5, "preemptionPolicy": "Never"})),
            (&format!("large-{}", walk.id), json!({"value": 1_000_000_001})),
            (&format!("odd-{}", walk.id), json!({"value": 1, "preemptionPolicy": "Odd"})),
            (&format!("system-{}", walk.id), json!({"value": 1})),
            (&"system-node-critical".to_owned(), json!({"value": 1})),
            (&format!("none-{}", walk.id), json!({})),
        ] {
            let mut class = body;
            class["metadata"] = json!({"name": name});
            walk.ask(Call::post(classes, class)).await;
        }
        walk.ask(Call::patch(format!("{classes}/{high}"), MERGE_PATCH, json!({"value": 7}))).await;
        walk.ask(Call::patch(format!("{classes}/{high}"), MERGE_PATCH, json!({"preemptionPolicy": "Never"}))).await;
        walk.ask(Call::patch(format!("{classes}/{high}"), MERGE_PATCH, json!({"description": "y"}))).await;
        walk.ask(Call::get(format!("{classes}/system-cluster-critical"))).await;
        walk.ask(Call::delete(format!("{classes}/system-cluster-critical?dryRun=All"))).await;
        let pods = walk.core("pods");
        let call = Call::post(format!("{pods}?dryRun=All"), pod("x", json!({"priorityClassName": shy})));
        walk.until(&walk.cluster.clone(), call, |answer| answer.code == 201).await;
        for (index, more) in [
            json!({}),
            json!({"priorityClassName": high}),
            json!({"priorityClassName": shy}),
            json!({"priorityClassName": high, "priority": 1000}),
            json!({"priorityClassName": high, "priority": 1}),
            json!({"priority": 0}),
            json!({"priority": 7}),
            json!({"priorityClassName": "nowhere"}),
            json!({"priorityClassName": high, "preemptionPolicy": "Never"}),
            json!({"priorityClassName": high, "preemptionPolicy": "PreemptLowerPriority"}),
            json!({"preemptionPolicy": "Never"}),
            json!({"preemptionPolicy": "Odd"}),
            json!({"priorityClassName": "system-node-critical"}),
            json!({"priorityClassName": "system-cluster-critical"}),
        ]
        .into_iter()
        .enumerate()
        {
            walk.ask(Call::post(&pods, pod(&format!("p{index}"), more))).await;
        }
        walk.ask(Call::patch(format!("{pods}/p1"), MERGE_PATCH, json!({"spec": {"priority": 5}}))).await;
        walk.ask(Call::patch(format!("{pods}/p1"), MERGE_PATCH, json!({"spec": {"priorityClassName": shy}}))).await;
    })
    .await;
}

#[tokio::test]
async fn a_pod_tolerates_nodes_that_are_away_for_a_while() {
    conform(async |walk: &mut Walk| {
        let pods = walk.core("pods");
        for (index, tolerations) in [
            json!([]),
            json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]),
            json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists"}]),
            json!([{"operator": "Exists"}]),
            json!([{"operator": "Exists", "effect": "NoExecute"}]),
            json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule"}]),
            json!([{"key": "node.kubernetes.io/not-ready", "operator": "Equal", "value": "x", "effect": "NoExecute"}]),
            json!([{"key": "a", "value": "b"}]),
        ]
        .into_iter()
        .enumerate()
        {
            walk.ask(Call::post(&pods, pod(&format!("p{index}"), json!({"tolerations": tolerations})))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_pod_gets_what_its_runtime_class_says() {
    conform(async |walk: &mut Walk| {
        let classes = "/apis/node.k8s.io/v1/runtimeclasses";
        let (plain, heavy) = (format!("plain-{}", walk.id), format!("heavy-{}", walk.id));
        walk.expect(201, Call::post(classes, json!({"metadata": {"name": plain}, "handler": "h"}))).await;
        let body = json!({"metadata": {"name": heavy}, "handler": "h", "overhead": {"podFixed": {"cpu": "100m", "memory": "10Mi"}},
            "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k", "operator": "Exists"}]}});
        walk.expect(201, Call::post(classes, body)).await;
        walk.ask(Call::patch(format!("{classes}/{plain}"), MERGE_PATCH, json!({"handler": "other"}))).await;
        let pods = walk.core("pods");
        let call = Call::post(format!("{pods}?dryRun=All"), pod("x", json!({"runtimeClassName": heavy})));
        walk.until(&walk.cluster.clone(), call, |answer| answer.code == 201).await;
        for (index, more) in [
            json!({"runtimeClassName": plain}),
            json!({"runtimeClassName": heavy}),
            json!({"runtimeClassName": "nowhere"}),
            json!({"runtimeClassName": "Bad Name"}),
            json!({"runtimeClassName": heavy, "overhead": {"cpu": "100m", "memory": "10Mi"}}),
            json!({"runtimeClassName": heavy, "overhead": {"cpu": "1"}}),
            json!({"runtimeClassName": plain, "overhead": {"cpu": "1"}}),
            json!({"overhead": {"cpu": "1"}}),
            json!({"runtimeClassName": heavy, "nodeSelector": {"a": "c"}}),
            json!({"runtimeClassName": heavy, "nodeSelector": {"a": "b", "c": "d"}}),
            json!({"runtimeClassName": heavy, "tolerations": [{"key": "k", "operator": "Exists"}]}),
        ]
        .into_iter()
        .enumerate()
        {
            walk.ask(Call::post(&pods, pod(&format!("p{index}"), more))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn classes_of_storage_are_checked_and_claims_keep_theirs() {
    conform(async |walk: &mut Walk| {
        let classes = "/apis/storage.k8s.io/v1/storageclasses";
        let grows = format!("grows-{}", walk.id);
        walk.expect(201, Call::post(classes, json!({"metadata": {"name": grows}, "provisioner": "x.example", "allowVolumeExpansion": true}))).await;
        walk.ask(Call::patch(format!("{classes}/{grows}"), MERGE_PATCH, json!({"provisioner": "y.example"}))).await;
        walk.ask(Call::patch(format!("{classes}/{grows}"), MERGE_PATCH, json!({"reclaimPolicy": "Retain"}))).await;
        let claims = walk.core("persistentvolumeclaims");
        let spec = |class: serde_json::Value| json!({"accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}});
        for (name, class) in [("named", json!(grows)), ("none", json!("")), ("unknown", json!("nowhere"))] {
            walk.ask(Call::post(&claims, json!({"metadata": {"name": name}, "spec": spec(class)}))).await;
            // A claim grows once it is bound, if its class lets it.
            let more = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
            walk.ask(Call::patch(format!("{claims}/{name}"), MERGE_PATCH, more.clone())).await;
            let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
            walk.ask(Call::patch(format!("{claims}/{name}/status"), MERGE_PATCH, bound)).await;
            walk.ask(Call::patch(format!("{claims}/{name}"), MERGE_PATCH, json!({"spec": {"volumeName": "v"}}))).await;
            walk.ask(Call::patch(format!("{claims}/{name}"), MERGE_PATCH, more)).await;
            walk.ask(Call::patch(format!("{claims}/{name}"), MERGE_PATCH, json!({"spec": {"resources": {"requests": {"storage": "512Mi"}}}}))).await;
            walk.ask(Call::patch(format!("{claims}/{name}"), MERGE_PATCH, json!({"spec": {"storageClassName": "other"}}))).await;
        }
    })
    .await;
}
