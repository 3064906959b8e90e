//! What an operation does in between: hooks, waiting, definitions, and undoing it all.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use installer::Error;
use serde_json::{Value, json};
use world::{World, word};

fn hook(name: &str, events: &str, weight: i32, policy: &str) -> String {
    let policy = if policy.is_empty() { String::new() } else { format!("    helm.sh/hook-delete-policy: {policy}\n") };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  annotations:\n    helm.sh/hook: {events}\n    helm.sh/hook-weight: \"{weight}\"\n{policy}spec:\n  restartPolicy: Never\n  containers: [{{name: c, image: x}}]\n"
    )
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n";

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_one_after_the_other_by_weight() {
    let world = World::start().await;
    let (name, first, second) = (word(), word(), word());
    let chart = world.chart(
        "a",
        &[
            ("templates/map.yaml", MAP),
            ("templates/a.yaml", &hook(&second, "pre-install", 5, "hook-succeeded")),
            ("templates/b.yaml", &hook(&first, "pre-install", -5, "")),
        ],
    );
    let line = format!("install {name} {chart} --timeout 20s");
    let work = async {
        world.status("v1", "Pod", &first, json!({"phase": "Running"})).await;
        assert!(world.get("v1", "Pod", &second).await.is_none(), "the first has not ended");
        assert!(world.get("v1", "ConfigMap", &name).await.is_none(), "hooks come before");
        world.status("v1", "Pod", &first, json!({"phase": "Succeeded"})).await;
        world.status("v1", "Pod", &second, json!({"phase": "Succeeded"})).await;
    };
    tokio::join!(world.done(&line), work);
    assert!(world.get("v1", "Pod", &first).await.is_some(), "it stays until it runs again");
    assert!(world.get("v1", "Pod", &second).await.is_none(), "its policy deletes it");
    assert!(world.get("v1", "ConfigMap", &name).await.is_some());
    let record = world.done(&format!("status {name} -o json")).await;
    let record: Value = serde_json::from_str(&record).unwrap();
    assert!(
        record["hooks"].as_array().unwrap().iter().all(|hook| hook["last_run"]["phase"] == "Succeeded"),
        "{record}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_fails_the_release_and_atomic_undoes_it() {
    let world = World::start().await;
    let chart = world
        .chart("a", &[("templates/map.yaml", MAP), ("templates/h.yaml", &hook("h", "post-install", 0, "hook-failed"))]);
    let failed = json!({"phase": "Failed", "message": "it did not like it"});
    let name = word();
    let line = format!("install {name} {chart} --timeout 20s");
    let (said, ()) = tokio::join!(world.refused(&line), world.status("v1", "Pod", "h", failed.clone()));
    assert!(said.contains("post-install hook a/templates/h.yaml failed: pod h failed: it did not like it"), "{said}");
    assert!(world.get("v1", "Pod", "h").await.is_none(), "its policy deletes it");
    assert!(world.done(&format!("status {name}")).await.contains("STATUS: failed"));
    assert!(world.get("v1", "ConfigMap", &name).await.is_some(), "without --atomic all stays for a look");

    let atomic = word();
    let line = format!("install {atomic} {chart} --timeout 20s --atomic");
    let (done, ()) = tokio::join!(world.helm(&line), world.status("v1", "Pod", "h", failed));
    assert!(matches!(done, Err(Error::Undone { .. })), "{done:?}");
    assert!(world.get("v1", "ConfigMap", &atomic).await.is_none());
    assert!(world.refused(&format!("status {atomic}")).await.contains("is not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_never_gets_ready_is_brought_back() {
    let world = World::start().await;
    let name = word();
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{ .Release.Name }}\nspec:\n  replicas: {{ .Values.replicas }}\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n      containers: [{name: c, image: x}]\n";
    let chart = world.chart("a", &[("values.yaml", "replicas: 0\n"), ("templates/d.yaml", deployment)]);
    // Nobody runs Deployments here: this test plays their controller.
    let ready = async {
        world.status("apps/v1", "Deployment", &name, json!({"replicas": 0})).await;
        let revision = json!({"deployment.kubernetes.io/revision": "1"});
        let annotated = json!({"name": name, "annotations": revision});
        world.put(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": annotated})).await;
        let owner = world.get("apps/v1", "Deployment", &name).await.unwrap()["metadata"].clone();
        let owners = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": owner["uid"]}]);
        world
            .put(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": format!("{name}-1"), "annotations": revision, "ownerReferences": owners},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {
                "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}}}))
            .await;
        world
            .status("apps/v1", "ReplicaSet", &format!("{name}-1"), json!({"replicas": 0, "observedGeneration": 1}))
            .await;
        let seen = json!({"observedGeneration": owner["generation"]});
        world.status("apps/v1", "Deployment", &name, seen).await;
    };
    let line = format!("install {name} {chart} --wait --timeout 20s");
    tokio::join!(world.done(&line), ready);
    assert!(world.told().contains(&format!("waiting for Deployment {}/{name}", world.namespace)), "{}", world.told());

    let said = world.refused(&format!("upgrade {name} {chart} --set replicas=2 --wait --timeout 1s")).await;
    assert!(
        said.contains("not everything is ready after 1s") && said.contains("has not seen the newest change"),
        "{said}"
    );
    let back = async {
        // The revision that is brought back has the same objects, seen by their controller once more.
        for replicas in [3, 0] {
            let has = |seen: Option<&Value>| seen.is_some_and(|object| object["spec"]["replicas"] == replicas);
            world.until("apps/v1", "Deployment", &name, has).await;
        }
        let generation = &world.get("apps/v1", "Deployment", &name).await.unwrap()["metadata"]["generation"];
        world.status("apps/v1", "Deployment", &name, json!({"observedGeneration": generation})).await;
    };
    let line = format!("upgrade {name} {chart} --set replicas=3 --atomic --timeout 2s");
    let (said, ()) = tokio::join!(world.refused(&line), back);
    assert!(said.contains("revision 1 has been brought back because of --atomic"), "{said}");
    assert_eq!(world.get("apps/v1", "Deployment", &name).await.unwrap()["spec"]["replicas"], 0);
    let history = world.done(&format!("history {name}")).await;
    assert!(history.contains("Rollback to 1"), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_come_first_and_are_brought_up_to_date_when_asked() {
    let world = World::start().await;
    let (name, group) = (word(), format!("{}.example.org", word()));
    let definition = |field: &str| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: widgets.{group}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema:\n      openAPIV3Schema:\n        type: object\n        properties:\n          spec:\n            type: object\n            properties:\n              {field}: {{type: string}}\n"
        )
    };
    let widget =
        format!("apiVersion: {group}/v1\nkind: Widget\nmetadata:\n  name: w\nspec:\n  {{{{ .Values.field }}}}: x\n");
    let chart = |field: &str| {
        let values = format!("field: {field}\n");
        world
            .chart("a", &[("crds/w.yaml", &definition(field)), ("templates/w.yaml", &widget), ("values.yaml", &values)])
    };
    let (old, new) = (chart("old"), chart("new"));
    world.done(&format!("install {name} {old}")).await;
    let said = world.refused(&format!("upgrade {name} {new}")).await;
    assert!(said.contains("unknown field"), "{said}");
    assert!(world.told().contains("version v1 changes"), "{}", world.told());
    world.done(&format!("upgrade {name} {new} --upgrade-crds")).await;
    let seen = world.get(&format!("{group}/v1"), "Widget", "w").await.unwrap();
    assert_eq!(seen["spec"], json!({"new": "x"}));
    world.done(&format!("uninstall {name}")).await;
    let definition =
        world.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", &format!("widgets.{group}")).await;
    assert!(definition.is_some(), "definitions stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_run_when_asked_and_tell_how_they_went() {
    let world = World::start().await;
    let (name, good, bad) = (word(), format!("a{}", word()), format!("b{}", word()));
    let chart = world.chart(
        "a",
        &[("templates/a.yaml", &hook(&good, "test", 0, "")), ("templates/b.yaml", &hook(&bad, "test-success", 1, ""))],
    );
    world.done(&format!("install {name} {chart}")).await;
    assert!(world.get("v1", "Pod", &good).await.is_none());
    let line = format!("test {name} --timeout 20s");
    let work = async {
        world.status("v1", "Pod", &good, json!({"phase": "Succeeded"})).await;
        world.status("v1", "Pod", &bad, json!({"phase": "Failed", "reason": "Evicted"})).await;
    };
    let (said, ()) = tokio::join!(world.refused(&line), work);
    assert!(said.contains(&format!("pod {bad} failed: Evicted")), "{said}");
    let shown = world.done(&format!("status {name}")).await;
    assert!(
        shown.contains(&format!("TEST: {good} (Succeeded)")) && shown.contains(&format!("TEST: {bad} (Failed)")),
        "{shown}"
    );
    let line = format!("test {name} --filter {good} --timeout 20s");
    let again = async {
        // The pod of the last run goes first.
        let old = world.get("v1", "Pod", &good).await.unwrap()["metadata"]["uid"].clone();
        let new = |seen: Option<&Value>| seen.is_some_and(|pod| pod["metadata"]["uid"] != old);
        world.until("v1", "Pod", &good, new).await;
        world.status("v1", "Pod", &good, json!({"phase": "Succeeded"})).await;
    };
    let (shown, ()) = tokio::join!(world.done(&line), again);
    assert!(shown.contains(&format!("TEST {good}: Succeeded")), "{shown}");
}
