//! Policies that change objects: what they make of a request, in which order, and what they refuse.

use std::time::{Duration, Instant};

use conformance::{
    cluster::{Answer, Call, MERGE_PATCH},
    walk::{Walk, conform},
};
use serde_json::{Value, json};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings";

fn policy(name: &str, space: &str, spec: &Value) -> Value {
    let mut whole = json!({"failurePolicy": "Fail", "reinvocationPolicy": "Never", "matchConstraints": {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}},
        "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}]}});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"metadata": {"name": name}, "spec": whole})
}

fn binding(name: &str, more: &Value) -> Value {
    let mut spec = json!({"policyName": name});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"metadata": {"name": name}, "spec": spec})
}

fn laid_over(expression: &str) -> Value {
    json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
}

/// What is done, step by step, and what came of it.
async fn steps(walk: &mut Walk) -> Vec<(String, Answer)> {
    let mut steps = Vec::new();
    let (cluster, space) = (walk.cluster.clone(), walk.space.clone());
    let space = space.as_str();
    let mut step = async |title: &str, call: Call| -> Answer {
        let answer = walk.ask(call).await;
        steps.push((title.to_owned(), answer.clone()));
        answer
    };
    let maps = format!("/api/v1/namespaces/{space}/configmaps");
    // The real server stops hearing of a kind once the last policy with such parameters has gone, and never hears of
    // it again: each test has parameters of a kind of its own.
    let revisions = format!("/apis/apps/v1/namespaces/{space}/controllerrevisions");
    let parameter = json!({"metadata": {"name": "parameter"}, "revision": 1, "data": {"team": "harbour"}});
    step("parameter", Call::post(revisions, parameter)).await;
    let [first, second, broken] = ["a", "b", "c"].map(|letter| format!("{space}-{letter}"));
    // The first sees what the second adds only when it is asked again.
    let spec = json!({"reinvocationPolicy": "IfNeeded", "paramKind": {"apiVersion": "apps/v1", "kind": "ControllerRevision"},
        "matchConditions": [{"name": "c", "expression": "object.metadata.name != 'left-alone'"}],
        "variables": [{"name": "team", "expression": "params.data.team"}],
        "mutations": [laid_over("Object{metadata: Object.metadata{labels: {'team': variables.team, 'sees': dyn(string('added' in object.?data.orValue({})))}}}")]});
    step("first policy", Call::post(POLICIES, policy(&first, space, &spec))).await;
    let spec = json!({"mutations": [
        {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'test', path: '/metadata/name', value: object.metadata.name}, JSONPatch{op: 'add', path: '/data', value: {'added': request.operation}}]"}},
        laid_over("Object{data: Object.data{size: string(size(object.data))}}")]});
    step("second policy", Call::post(POLICIES, policy(&second, space, &spec))).await;
    let params = json!({"paramRef": {"name": "parameter", "namespace": space, "parameterNotFoundAction": "Deny"}});
    step("first binding", Call::post(BINDINGS, binding(&first, &params))).await;
    step("second binding", Call::post(BINDINGS, binding(&second, &json!({})))).await;
    // A real server hears of policies a moment later.
    let trial = json!({"metadata": {"name": "trial"}});
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = cluster.send(&Call::post(format!("{maps}?dryRun=All"), trial.clone())).await.unwrap();
        if answer.body["metadata"]["labels"]["sees"] == "true" {
            break;
        }
        assert!(Instant::now() < deadline, "the policies never act: {}", answer.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    step("create", Call::post(maps.clone(), json!({"metadata": {"name": "made", "labels": {"own": "kept"}}}))).await;
    step("condition", Call::post(maps.clone(), json!({"metadata": {"name": "left-alone"}}))).await;
    step("update", Call::patch(format!("{maps}/made"), MERGE_PATCH, json!({"data": {"more": "x"}}))).await;
    step(
        "not concerned",
        Call::post(format!("/api/v1/namespaces/{space}/secrets"), json!({"metadata": {"name": "s"}})),
    )
    .await;
    let spec = json!({"mutations": [laid_over("Object{data: Object.data{size: object.nothing.else}}")]});
    step("third policy", Call::post(POLICIES, policy(&broken, space, &spec))).await;
    step("third binding", Call::post(BINDINGS, binding(&broken, &json!({})))).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while cluster.send(&Call::post(format!("{maps}?dryRun=All"), trial.clone())).await.unwrap().code < 300 {
        assert!(Instant::now() < deadline, "the third policy never acts");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    step("refused", Call::post(maps.clone(), json!({"metadata": {"name": "refused"}}))).await;
    for name in [&first, &second, &broken] {
        step("delete binding", Call::delete(format!("{BINDINGS}/{name}"))).await;
        step("delete policy", Call::delete(format!("{POLICIES}/{name}"))).await;
    }
    for (title, mutation) in [
        ("no such type", laid_over("Odd{}")),
        ("another type", laid_over("1")),
        ("syntax", laid_over("Object{")),
        ("no expression", laid_over(" ")),
        ("steps that are none", json!({"patchType": "JSONPatch", "jsonPatch": {"expression": "[1]"}})),
        ("no patch", json!({"patchType": "JSONPatch"})),
        ("odd patch", json!({"patchType": "Odd"})),
    ] {
        step(title, Call::post(POLICIES, policy(&first, space, &json!({"mutations": [mutation]})))).await;
    }
    steps
}

#[tokio::test]
async fn policies_change_what_they_match_in_their_order() {
    conform(async |walk: &mut Walk| {
        let steps = steps(walk).await;
        let of = |title: &str| &steps.iter().find(|step| step.0 == title).unwrap().1;
        let made = &of("create").body;
        assert_eq!(made["metadata"]["labels"], json!({"own": "kept", "team": "harbour", "sees": "true"}), "{made}");
        assert_eq!(made["data"], json!({"added": "CREATE", "size": "1"}));
        assert_eq!(of("condition").body["metadata"]["labels"], Value::Null);
        assert_eq!(of("update").body["data"]["added"], "UPDATE");
        assert_eq!(of("refused").code, 403, "{}", of("refused").body);
        for title in
            ["no such type", "another type", "syntax", "no expression", "steps that are none", "no patch", "odd patch"]
        {
            assert_eq!(of(title).code, 422, "{title}");
        }
    })
    .await;
}
