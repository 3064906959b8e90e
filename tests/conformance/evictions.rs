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
        // No scheduler gives it a node: what a node would say of it is said here.
        let pod = json!({"metadata": {"name": name, "labels": {"app": app}}, "spec": {"automountServiceAccountToken": false,
            "schedulerName": "nobody", "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "registry.example/none:1"}]}});
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
    // What a controller counts too, so that it does not matter which of the two says it last.
    let count = |generation: i64, allowed: i64, desired: i64, expected: i64| {
        let status = json!({"status": {"observedGeneration": generation, "disruptionsAllowed": allowed, "currentHealthy": 2,
            "desiredHealthy": desired, "expectedPods": expected, "disruptedPods": null}});
        Call::patch(format!("{budgets}/b/status"), MERGE_PATCH, status)
    };
    step("counted, nothing left", count(1, 0, 2, 3)).await;
    step("nothing left", evict("one", "", json!({}))).await;
    step("what is not healthy goes while the budget is kept", evict("three", "", json!({}))).await;
    step("it is gone", Call::get(format!("{core}/pods/three"))).await;
    step("what is pending goes", evict("pending", "", json!({}))).await;
    step("what is not guarded goes", evict("free", "", json!({}))).await;
    let fewer = json!({"spec": {"minAvailable": 1}});
    step("one fewer has to stay", Call::patch(format!("{budgets}/b"), MERGE_PATCH, fewer)).await;
    step("counted, one left", count(2, 1, 1, 2)).await;
    step("on trial", evict("one", "?dryRun=All", json!({}))).await;
    step("nothing was taken", Call::get(format!("{budgets}/b"))).await;
    let uid = json!({"deleteOptions": {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}});
    step("of another", evict("one", "", uid)).await;
    let anew = step("counted anew", count(2, 1, 1, 2)).await;
    step("one left", evict("one", "", json!({"deleteOptions": {"gracePeriodSeconds": 0}}))).await;
    // A controller that counts forgets who was evicted when the pod is gone: every change is looked at.
    let changes = format!("{budgets}?watch=true&timeoutSeconds=1&resourceVersion={}", anew.version());
    step("one was taken", Call::get(changes)).await;
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

/// What a watch told: one event, or several.
fn listed(body: &Value) -> impl Iterator<Item = &Value> {
    body.as_array().map_or(std::slice::from_ref(body), Vec::as_slice).iter()
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
        let changes = &steps.iter().find(|step| step.0 == "one was taken").unwrap().1.body;
        let mut statuses = listed(changes).map(|change| &change["object"]["status"]);
        let taken =
            statuses.any(|status| status["disruptionsAllowed"] == 0 && status["disruptedPods"]["one"].is_string());
        assert!(taken, "{changes}");
    })
    .await;
}
