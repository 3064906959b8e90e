//! Namespaces: those that are not there, those that go, those that stay.

use conformance::{
    cluster::{APPLY_PATCH, Call, MERGE_PATCH},
    walk::{Walk, conform},
};
use serde_json::json;

use super::pod;

#[tokio::test]
async fn nothing_is_made_where_no_namespace_is() {
    conform(async |walk: &mut Walk| {
        for path in [
            "/api/v1/namespaces/nowhere/configmaps",
            "/api/v1/namespaces/nowhere/pods",
            "/apis/apps/v1/namespaces/nowhere/deployments",
            "/apis/rbac.authorization.k8s.io/v1/namespaces/nowhere/roles",
        ] {
            walk.ask(Call::post(path, json!({"metadata": {"name": "x"}}))).await;
            walk.ask(Call::get(path)).await;
            walk.ask(Call::get(format!("{path}/x"))).await;
            walk.ask(Call::delete(format!("{path}/x"))).await;
            walk.ask(Call::delete(path)).await;
            walk.ask(Call::patch(format!("{path}/x"), MERGE_PATCH, json!({}))).await;
        }
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}});
        walk.ask(Call::patch("/api/v1/namespaces/nowhere/configmaps/x?fieldManager=m", APPLY_PATCH, map.clone())).await;
        walk.ask(Call::put("/api/v1/namespaces/nowhere/configmaps/x", map)).await;
        walk.ask(Call::post("/api/v1/namespaces/nowhere/configmaps?dryRun=All", json!({"metadata": {"name": "x"}})))
            .await;
    })
    .await;
}

#[tokio::test]
async fn some_namespaces_stay() {
    conform(async |walk: &mut Walk| {
        for name in ["default", "kube-system", "kube-public"] {
            walk.expect(403, Call::delete(format!("/api/v1/namespaces/{name}"))).await;
            walk.expect(403, Call::delete(format!("/api/v1/namespaces/{name}?dryRun=All"))).await;
        }
        walk.ask(Call::delete("/api/v1/namespaces/kube-node-lease?dryRun=All")).await;
        walk.ask(Call::delete("/api/v1/namespaces")).await;
        for name in ["default", "a.b", "UPPER", &"a".repeat(64), ""] {
            walk.ask(Call::post("/api/v1/namespaces?dryRun=All", json!({"metadata": {"name": name}}))).await;
        }
        let labelled = format!("labelled-{}", walk.id);
        let labels = json!({"kubernetes.io/metadata.name": "other"});
        walk.ask(Call::post("/api/v1/namespaces", json!({"metadata": {"name": labelled, "labels": labels}}))).await;
        let drop = json!({"metadata": {"labels": {"kubernetes.io/metadata.name": null}}});
        walk.ask(Call::patch(format!("/api/v1/namespaces/{labelled}"), MERGE_PATCH, drop)).await;
    })
    .await;
}

#[tokio::test]
async fn nothing_new_is_made_in_a_namespace_that_goes() {
    conform(async |walk: &mut Walk| {
        let space = format!("going-{}", walk.id);
        let path = format!("/api/v1/namespaces/{space}");
        walk.expect(201, Call::post("/api/v1/namespaces", json!({"metadata": {"name": space}}))).await;
        let account = json!({"metadata": {"name": "default"}});
        walk.quietly(Call::post(format!("{path}/serviceaccounts"), account)).await;
        // Where a controller empties namespaces, this keeps it from coming to an end.
        let held = json!({"metadata": {"name": "m", "finalizers": ["walk.example/held"]}});
        walk.expect(201, Call::post(format!("{path}/configmaps"), held)).await;
        walk.expect(201, Call::post(format!("{path}/pods"), pod("p", json!({"schedulerName": "nobody"})))).await;
        walk.expect(200, Call::delete(&path)).await;
        walk.until(&walk.cluster.clone(), Call::post(format!("{path}/secrets?dryRun=All"), json!({"metadata": {"name": "s"}})), |answer| answer.code == 403).await;
        for (plural, body) in [("configmaps", json!({"metadata": {"name": "n"}})), ("pods", pod("q", json!({}))), ("secrets", json!({"metadata": {"generateName": "s-"}}))] {
            walk.expect(403, Call::post(format!("{path}/{plural}"), body)).await;
        }
        let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}});
        walk.ask(Call::patch(format!("{path}/configmaps/n?fieldManager=m"), APPLY_PATCH, applied)).await;
        walk.expect(200, Call::patch(format!("{path}/configmaps/m"), MERGE_PATCH, json!({"data": {"a": "b"}}))).await;
        walk.ask(Call::post(format!("{path}/serviceaccounts/default/token"), json!({"spec": {}}))).await;
        let evict = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
        walk.ask(Call::post(format!("{path}/pods/p/eviction?dryRun=All"), evict)).await;
        let review = json!({"spec": {"user": "ann", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": space}}});
        walk.ask(Call::post(format!("/apis/authorization.k8s.io/v1/namespaces/{space}/localsubjectaccessreviews"), review)).await;
        walk.ask(Call::post("/api/v1/namespaces", json!({"metadata": {"name": space}}))).await;
        walk.ask(Call::delete(&path)).await;
        let free = Call::patch(format!("{path}/configmaps/m"), MERGE_PATCH, json!({"metadata": {"finalizers": null}}));
        walk.quietly(free).await;
        let finish = json!({"metadata": {"name": space}, "spec": {"finalizers": []}});
        walk.ask(Call::put(format!("{path}/finalize"), finish)).await;
    })
    .await;
}
