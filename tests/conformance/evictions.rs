//! Evictions: a disruption budget is asked, and gives as many as it has.

use conformance::{
    cluster::{Answer, Call, MERGE_PATCH},
    walk::{Walk, conform},
};
use serde_json::{Value, json};

/// What is done, step by step, and what came of it.
async fn steps(walk: &mut Walk) -> Vec<(String, Answer)> {
    let mut steps = Vec::new();
    let core = format!("/api/v1/namespaces/{}", walk.space);
    let budgets = walk.group("policy/v1", "poddisruptionbudgets");
    let mut step = async |title: &str, call: Call| -> Answer {
        let answer = walk.ask(call).await;
        steps.push((title.to_owned(), answer.clone()));
        answer
    };
    for name in ["one", "two", "three", "pending", "free"] {
        let app = if name == "free" { "free" } else { "guarded" };
        let pod = json!({"metadata": {"name": name, "labels": {"app": app}}, "spec": {"automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "registry.example/none:1"}]}});
        step(&format!("make {name}"), Call::post(format!("{core}/pods"), pod)).await;
        let ready = if name == "three" { "False" } else { "True" };
        let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        if name != "pending" {
            step(&format!("run {name}"), Call::patch(format!("{core}/pods/{name}/status"), MERGE_PATCH, status)).await;
        }
    }
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "guarded"}}}});
    step("budget", Call::post(budgets.clone(), budget.clone())).await;
    let evict = |name: &str, query: &str, more: Value| {
        let mut body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        Call::post(format!("{core}/pods/{name}/eviction{query}"), body)
    };
    step("not counted yet", evict("one", "", json!({}))).await;
    let count = |allowed: i64, healthy: i64| {
        let status = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": 2, "expectedPods": 3}});
        Call::patch(format!("{budgets}/b/status"), MERGE_PATCH, status)
    };
    step("counted, nothing left", count(0, 2)).await;
    step("nothing left", evict("one", "", json!({}))).await;
    step("what is not healthy goes while the budget is kept", evict("three", "", json!({}))).await;
    step("it is gone", Call::get(format!("{core}/pods/three"))).await;
    step("what is pending goes", evict("pending", "", json!({}))).await;
    step("what is not guarded goes", evict("free", "", json!({}))).await;
    step("counted, one left", count(1, 3)).await;
    step("on trial", evict("one", "?dryRun=All", json!({}))).await;
    step("nothing was taken", Call::get(format!("{budgets}/b"))).await;
    let uid = json!({"deleteOptions": {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}});
    step("of another", evict("one", "", uid)).await;
    step("counted anew", count(1, 3)).await;
    step("one left", evict("one", "", json!({"deleteOptions": {"gracePeriodSeconds": 0}}))).await;
    step("one was taken", Call::get(format!("{budgets}/b"))).await;
    step("none left", evict("two", "", json!({}))).await;
    let second = json!({"metadata": {"name": "c"}, "spec": {"maxUnavailable": 1, "selector": {}}});
    step("another budget", Call::post(budgets.clone(), second)).await;
    step("two budgets", evict("two", "", json!({}))).await;
    step("nobody", evict("nobody", "", json!({}))).await;
    let odd = Call::post(
        format!("{core}/pods/two/eviction"),
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "other"}}),
    );
    step("of another name", odd).await;
    steps
}

#[tokio::test]
async fn a_budget_is_asked_before_a_pod_is_evicted() {
    conform(async |walk: &mut Walk| {
        let steps = steps(walk).await;
        let code = |title: &str| steps.iter().find(|step| step.0 == title).map(|step| step.1.code).unwrap();
        for (title, wanted) in [
            ("not counted yet", 429),
            ("nothing left", 429),
            ("what is not healthy goes while the budget is kept", 201),
            ("it is gone", 404),
            ("what is pending goes", 201),
            ("what is not guarded goes", 201),
            ("on trial", 201),
            ("of another", 409),
            ("one left", 201),
            ("none left", 429),
            ("nobody", 404),
            ("of another name", 400),
        ] {
            assert_eq!(code(title), wanted, "{title}: {:?}", steps.iter().find(|step| step.0 == title));
        }
        let taken = &steps.iter().find(|step| step.0 == "one was taken").unwrap().1.body["status"];
        assert_eq!((&taken["disruptionsAllowed"], taken["disruptedPods"]["one"].is_string()), (&json!(0), true));
    })
    .await;
}
