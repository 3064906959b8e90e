//! Quotas: what they count, refuse and leave out.

use conformance::{
    cluster::{Answer, Call, MERGE_PATCH},
    walk::{Walk, conform},
};
use futures::future::join_all;
use serde_json::{Value, json};

use super::{pod, sized};

/// Makes a quota and says, as its controller would, that nothing of it is used yet.
async fn quota(walk: &mut Walk, name: &str, spec: Value) {
    let quotas = walk.core("resourcequotas");
    walk.expect(201, Call::post(&quotas, json!({"metadata": {"name": name}, "spec": spec}))).await;
    let hard = spec["hard"].as_object().unwrap();
    let used: serde_json::Map<String, Value> = hard.keys().map(|key| (key.clone(), "0".into())).collect();
    let status = json!({"status": {"hard": hard, "used": used}});
    let answer = walk.quietly(Call::patch(format!("{quotas}/{name}/status"), MERGE_PATCH, status)).await;
    assert_eq!(answer.code, 200, "{}", answer.body);
}

/// Waits until a server's part that counts has heard of all quotas: this is refused.
async fn refuses(walk: &mut Walk, call: Call) {
    walk.until(&walk.cluster.clone(), call, |answer: &Answer| answer.code == 403).await;
}

fn dry(path: &str) -> String {
    format!("{path}?dryRun=All")
}

#[tokio::test]
async fn objects_are_counted() {
    conform(async |walk: &mut Walk| {
        let hard = json!({"count/configmaps": "2", "secrets": "1", "services": "1", "count/deployments.apps": "0", "persistentvolumeclaims": "1", "requests.storage": "2Gi"});
        quota(walk, "objects", json!({"hard": hard})).await;
        let (maps, deployments) = (walk.core("configmaps"), walk.group("apps/v1", "deployments"));
        let deployment = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
        refuses(walk, Call::post(dry(&deployments), deployment.clone())).await;
        for index in 0..3 {
            walk.ask(Call::post(&maps, json!({"metadata": {"name": format!("m{index}")}}))).await;
        }
        walk.ask(Call::post(&deployments, deployment)).await;
        walk.ask(Call::patch(format!("{maps}/m0"), MERGE_PATCH, json!({"data": {"a": "b"}}))).await;
        for name in ["s0", "s1"] {
            walk.ask(Call::post(walk.core("secrets"), json!({"metadata": {"name": name}}))).await;
            walk.ask(Call::post(walk.core("services"), json!({"metadata": {"name": name}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}))).await;
        }
        let claim = |name: &str, size: &str| json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": size}}}});
        for (name, size) in [("c0", "3Gi"), ("c1", "1Gi"), ("c2", "1Gi")] {
            walk.ask(Call::post(walk.core("persistentvolumeclaims"), claim(name, size))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_pods_ask_for_is_counted_and_has_to_be_said() {
    conform(async |walk: &mut Walk| {
        quota(walk, "compute", json!({"hard": {"requests.cpu": "1", "limits.memory": "1Gi", "pods": "2"}})).await;
        let pods = walk.core("pods");
        refuses(walk, Call::post(dry(&pods), pod("x", json!({})))).await;
        for (index, resources) in [
            json!({}),
            json!({"requests": {"cpu": "100m"}}),
            json!({"limits": {"memory": "100Mi"}}),
            json!({"requests": {"cpu": "2"}, "limits": {"memory": "100Mi"}}),
            json!({"requests": {"cpu": "2"}, "limits": {"memory": "2Gi"}}),
            json!({"requests": {"cpu": "600m"}, "limits": {"memory": "100Mi"}}),
            json!({"requests": {"cpu": "600m"}, "limits": {"memory": "100Mi"}}),
            json!({"limits": {"cpu": "200m", "memory": "100Mi"}}),
            json!({"limits": {"cpu": "100m", "memory": "100Mi"}}),
        ]
        .into_iter()
        .enumerate()
        {
            walk.ask(Call::post(&pods, sized(&format!("p{index}"), resources))).await;
        }
        let two = json!({"containers": [{"name": "a", "image": "i", "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Mi"}}}, {"name": "b", "image": "i"}]});
        walk.ask(Call::post(&pods, pod("two", two))).await;
    })
    .await;
}

#[tokio::test]
async fn a_quota_counts_what_its_scopes_take() {
    conform(async |walk: &mut Walk| {
        let space = walk.space.clone();
        let high = format!("high-{}", walk.id);
        walk.expect(201, Call::post("/apis/scheduling.k8s.io/v1/priorityclasses", json!({"metadata": {"name": high}, "value": 10}))).await;
        let by_class = json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": [high]}]});
        quota(walk, "best", json!({"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotTerminating"]})).await;
        quota(walk, "ends", json!({"hard": {"pods": "0"}, "scopes": ["Terminating"]})).await;
        quota(walk, "high", json!({"hard": {"pods": "1"}, "scopeSelector": by_class})).await;
        let pods = walk.core("pods");
        refuses(walk, Call::post(dry(&pods), pod("x", json!({"activeDeadlineSeconds": 5})))).await;
        for (index, more) in [
            json!({}),
            json!({}),
            json!({"activeDeadlineSeconds": 5}),
            json!({"priorityClassName": high, "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]}),
            json!({"priorityClassName": high, "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]}),
            json!({"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]}),
        ]
        .into_iter()
        .enumerate()
        {
            walk.ask(Call::post(&pods, pod(&format!("p{index}"), more))).await;
        }
        walk.ask(Call::patch(format!("{pods}/p5"), MERGE_PATCH, json!({"spec": {"activeDeadlineSeconds": 5}}))).await;
        let quotas = format!("/api/v1/namespaces/{space}/resourcequotas?dryRun=All");
        for (index, spec) in [
            json!({"hard": {"pods": "-1"}}),
            json!({"hard": {"pods": "1500m"}}),
            json!({"hard": {"odd": "1"}}),
            json!({"hard": {"count/odd": "1", "example.com/x": "1", "requests.example.com/x": "1"}}),
            json!({"hard": {"secrets": "1"}, "scopes": ["BestEffort"]}),
            json!({"hard": {"requests.cpu": "1"}, "scopes": ["BestEffort"]}),
            json!({"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}),
            json!({"hard": {"pods": "1"}, "scopes": ["Odd", "Terminating", "NotTerminating"]}),
            json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists", "values": ["x"]}]}}),
            json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}),
            json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{"scopeName": "BestEffort", "operator": "In", "values": ["x"]}]}}),
            json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{"scopeName": "Odd", "operator": "Odd"}]}}),
            json!({"hard": {"requests.cpu": "x"}}),
            json!({}),
        ]
        .into_iter()
        .enumerate()
        {
            walk.ask(Call::post(&quotas, json!({"metadata": {"name": format!("q{index}")}, "spec": spec}))).await;
        }
        walk.ask(Call::patch(walk.core("resourcequotas/best"), MERGE_PATCH, json!({"spec": {"scopes": ["Terminating"]}}))).await;
    })
    .await;
}

#[tokio::test]
async fn a_quota_is_exact_however_many_create_at_once() {
    conform(async |walk: &mut Walk| {
        // Kinds of which no controller makes any in a new namespace.
        quota(walk, "few", json!({"hard": {"count/secrets": "5", "services": "0"}})).await;
        let service = json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}});
        refuses(walk, Call::post(dry(&walk.core("services")), service)).await;
        let secrets = walk.core("secrets");
        let calls: Vec<Call> =
            (0..20).map(|index| Call::post(&secrets, json!({"metadata": {"name": format!("s{index}")}}))).collect();
        let answers = join_all(calls.into_iter().map(|call| walk.quietly(call))).await;
        let mut codes: Vec<u16> = answers.iter().map(|answer| answer.code).collect();
        codes.sort_unstable();
        assert_eq!(codes, [vec![201; 5], vec![403; 15]].concat());
        walk.expect(403, Call::post(&secrets, json!({"metadata": {"name": "late"}}))).await;
    })
    .await;
}
