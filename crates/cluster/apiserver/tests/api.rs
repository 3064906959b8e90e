//! The server as a client sees it, mounted in process behind a Kubernetes client.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test stops at what it did not expect, and runs beside the product"
)]

use apiserver::{Server, User};
use futures::StreamExt;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, Service},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

async fn admin() -> (Server, Client) {
    let server = Server::in_memory().await.unwrap();
    let client = server.client(User::new("admin", &["system:masters"]));
    (server, client)
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A name that the server's author never saw.
fn random(prefix: &str) -> String {
    format!("{prefix}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    from(json!({"metadata": {"name": name, "labels": {"v": value}}, "data": {"k": value}}))
}

fn code(error: &kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.reason.clone()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_object_is_created_read_replaced_and_deleted() {
    let (_server, client) = admin().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let name = random("map");
    let created = maps.create(&PostParams::default(), &config_map(&name, "1")).await.unwrap();
    assert!(created.uid().is_some() && created.resource_version().is_some());
    let (status, reason) = code(&maps.create(&PostParams::default(), &config_map(&name, "1")).await.unwrap_err());
    assert_eq!((status, reason.as_str()), (409, "AlreadyExists"));
    let mut changed = created.clone();
    changed.data.as_mut().unwrap().insert("k".into(), "2".into());
    let replaced = maps.replace(&name, &PostParams::default(), &changed).await.unwrap();
    assert_ne!(replaced.resource_version(), created.resource_version());
    let (status, reason) = code(&maps.replace(&name, &PostParams::default(), &changed).await.unwrap_err());
    assert_eq!((status, reason.as_str()), (409, "Conflict"), "an old revision does not win");
    let again = maps.replace(&name, &PostParams::default(), &replaced).await.unwrap();
    assert_eq!(again.resource_version(), replaced.resource_version(), "nothing changed, so no revision");
    maps.delete(&name, &DeleteParams::default()).await.unwrap();
    assert_eq!(code(&maps.get(&name).await.unwrap_err()).0, 404);
}

#[tokio::test]
async fn a_list_is_selected_and_paged_consistently() {
    let (_server, client) = admin().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    for index in 0..7 {
        maps.create(
            &PostParams::default(),
            &config_map(&format!("m{index}"), if index % 2 == 0 { "even" } else { "odd" }),
        )
        .await
        .unwrap();
    }
    assert_eq!(maps.list(&ListParams::default().labels("v=odd")).await.unwrap().items.len(), 3);
    assert_eq!(maps.list(&ListParams::default().fields("metadata.name=m3")).await.unwrap().items.len(), 1);
    assert_eq!(code(&maps.list(&ListParams::default().fields("data.k=x")).await.unwrap_err()).0, 400);
    let first = maps.list(&ListParams::default().limit(3)).await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    maps.create(&PostParams::default(), &config_map("m9", "late")).await.unwrap();
    let rest = maps.list(&ListParams::default().continue_token(&token)).await.unwrap();
    let names: Vec<_> = rest.items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["m3", "m4", "m5", "m6"], "a page shows the list as it was at its start");
    assert_eq!(rest.metadata.resource_version, first.metadata.resource_version);
}

#[tokio::test]
async fn a_watch_tells_what_enters_changes_and_leaves_its_selection() {
    let (_server, client) = admin().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let version = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = maps.watch(&WatchParams::default().labels("v=a"), &version).await.unwrap().boxed();
    for (name, value) in [("x", "a"), ("y", "b")] {
        maps.create(&PostParams::default(), &config_map(name, value)).await.unwrap();
    }
    for (name, value) in [("y", "a"), ("x", "b")] {
        maps.patch(name, &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"v": value}}})))
            .await
            .unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 3 {
        match events.next().await.unwrap().unwrap() {
            WatchEvent::Added(map) => seen.push(format!("+{}", map.name_any())),
            WatchEvent::Modified(map) => seen.push(format!("~{}", map.name_any())),
            WatchEvent::Deleted(map) => seen.push(format!("-{}", map.name_any())),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["+x", "+y", "-x"]);
}

#[tokio::test]
async fn a_streamed_list_ends_with_its_bookmark() {
    let (server, client) = admin().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    maps.create(&PostParams::default(), &config_map("x", "a")).await.unwrap();
    let request = http::Request::get(
        "/api/v1/namespaces/default/configmaps?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1",
    );
    let mut request = request.body(axum::body::Body::empty()).unwrap();
    request.extensions_mut().insert(User::new("admin", &["system:masters"]));
    let answer = server.handle(request).await;
    let text = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let lines: Vec<Value> = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(lines[0]["type"], "ADDED");
    assert_eq!(lines[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn server_side_apply_creates_merges_and_names_who_conflicts() {
    let (_server, client) = admin().await;
    let deployments: Api<Deployment> = Api::namespaced(client, "default");
    let name = random("web");
    let config = |image: &str| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": image}]}}}})
    };
    let one = deployments.patch(&name, &PatchParams::apply("one"), &Patch::Apply(config("x:1"))).await.unwrap();
    assert_eq!(one.spec.as_ref().unwrap().replicas, Some(1), "defaults are filled in");
    let error = deployments.patch(&name, &PatchParams::apply("two"), &Patch::Apply(config("x:2"))).await.unwrap_err();
    let kube::Error::Api(status) = error else { panic!() };
    assert_eq!(status.code, 409);
    assert!(status.message.contains("conflict with \"one\""), "{}", status.message);
    let two = deployments.patch(&name, &PatchParams::apply("two").force(), &Patch::Apply(config("x:2"))).await.unwrap();
    assert_eq!(two.spec.unwrap().template.spec.unwrap().containers[0].image.as_deref(), Some("x:2"));
    assert_eq!(two.metadata.generation, Some(2));
}

#[tokio::test]
async fn strategic_merge_keeps_the_items_it_does_not_name() {
    let (_server, client) = admin().await;
    let deployments: Api<Deployment> = Api::namespaced(client, "default");
    let body = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "one", "image": "a:1"}, {"name": "two", "image": "b:1"}]}}}});
    deployments.create(&PostParams::default(), &from(body)).await.unwrap();
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "two", "image": "b:2"}]}}}});
    let changed = deployments.patch("d", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    let images: Vec<_> =
        changed.spec.unwrap().template.spec.unwrap().containers.into_iter().map(|c| c.image.unwrap()).collect();
    assert_eq!(images, ["a:1", "b:2"]);
}

#[tokio::test]
async fn what_is_wrong_is_named_with_its_field() {
    let (_server, client) = admin().await;
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    let error = services
        .create(
            &PostParams::default(),
            &from(json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 0}]}})),
        )
        .await
        .unwrap_err();
    let kube::Error::Api(status) = error else { panic!() };
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    let causes: Vec<_> = status.details.unwrap().causes.into_iter().map(|cause| cause.field).collect();
    assert_eq!(causes, ["spec.ports[0].port", "spec.ports[0].targetPort", "spec.type"]);
    let pods: Api<Pod> = Api::namespaced(client, "nowhere");
    let error = pods
        .create(
            &PostParams::default(),
            &from(json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})),
        )
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, 404);
}

#[tokio::test]
async fn services_get_addresses_of_their_own() {
    let (_server, client) = admin().await;
    let services: Api<Service> = Api::namespaced(client, "default");
    let make = |name: String| from::<Service>(json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}));
    let all = futures::future::join_all((0..20).map(|index| {
        let services = services.clone();
        async move {
            services
                .create(&PostParams::default(), &make(format!("s{index}")))
                .await
                .unwrap()
                .spec
                .unwrap()
                .cluster_ip
                .unwrap()
        }
    }))
    .await;
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), 20);
}

fn boats(kind: &str, plural: &str, group: &str) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
        "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {"type": "object",
            "required": ["spec"], "properties": {"spec": {"type": "object", "required": ["size"], "properties": {
                "size": {"type": "integer", "minimum": 1}, "colour": {"type": "string", "default": "white"}}}, "status": {"type": "object", "properties": {"afloat": {"type": "boolean"}}}}}}}]}})
}

#[tokio::test]
async fn a_kind_unknown_until_now_is_served_at_once() {
    let (_server, client) = admin().await;
    let (kind, group) = ("Boat", format!("{}.example", random("sea")));
    let definitions: Api<DynamicObject> = Api::all_with(
        client.clone(),
        &ApiResource::from_gvk(&GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition")),
    );
    definitions.create(&PostParams::default(), &from(boats(kind, "boats", &group))).await.unwrap();
    let api = ApiResource::from_gvk(&GroupVersionKind::gvk(&group, "v1", kind));
    let all: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &api);
    let boat = |spec: Value| {
        from::<DynamicObject>(
            json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": "b"}, "spec": spec, "status": {"afloat": true}}),
        )
    };
    let created = all.create(&PostParams::default(), &boat(json!({"size": 2, "unknown": 1}))).await.unwrap();
    assert_eq!(created.data["spec"], json!({"size": 2, "colour": "white"}), "pruned and defaulted");
    assert!(created.data.get("status").is_none(), "status is written by its subresource alone");
    let error = all.patch("b", &PatchParams::default(), &Patch::Merge(json!({"spec": {"size": 0}}))).await.unwrap_err();
    assert_eq!(code(&error).0, 422);
    let status = all
        .patch_status(
            "b",
            &PatchParams::default(),
            &Patch::Merge(json!({"status": {"afloat": true}, "spec": {"size": 9}})),
        )
        .await
        .unwrap();
    assert_eq!((status.data["status"]["afloat"].clone(), status.data["spec"]["size"].clone()), (json!(true), json!(2)));
    definitions.delete(&format!("boats.{group}"), &DeleteParams::default()).await.unwrap();
    assert_eq!(code(&all.list(&ListParams::default()).await.unwrap_err()).0, 404);
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_taken_away() {
    let (_server, client) = admin().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    maps.create(&PostParams::default(), &from(json!({"metadata": {"name": "held", "finalizers": ["x.example/y"]}})))
        .await
        .unwrap();
    maps.delete("held", &DeleteParams::default()).await.unwrap();
    assert!(maps.get("held").await.unwrap().metadata.deletion_timestamp.is_some());
    maps.patch("held", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": null}})))
        .await
        .unwrap();
    assert_eq!(code(&maps.get("held").await.unwrap_err()).0, 404);
}

#[tokio::test]
async fn a_pod_on_a_node_is_deleted_when_its_node_says_so() {
    let (_server, client) = admin().await;
    let pods: Api<Pod> = Api::namespaced(client, "default");
    pods.create(
        &PostParams::default(),
        &from(
            json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}}),
        ),
    )
    .await
    .unwrap();
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    assert_eq!(pods.get("p").await.unwrap().metadata.deletion_grace_period_seconds, Some(30));
    pods.delete("p", &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() }).await.unwrap();
    assert_eq!(code(&pods.get("p").await.unwrap_err()).0, 404);
}

#[tokio::test]
async fn strangers_are_refused_as_kubernetes_refuses_them() {
    let (server, _client) = admin().await;
    let bob = server.client(User::new("bob", &[]));
    let error = Api::<ConfigMap>::namespaced(bob, "default").get("x").await.unwrap_err();
    let kube::Error::Api(status) = error else { panic!() };
    assert_eq!(status.code, 403);
    assert_eq!(
        status.message,
        "configmaps \"x\" is forbidden: User \"bob\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    let request = http::Request::get("/api/v1/namespaces")
        .header("authorization", "Bearer wrong")
        .body(axum::body::Body::empty())
        .unwrap();
    assert_eq!(server.handle(request).await.status(), 401);
    let request = http::Request::get("/api/v1/namespaces").body(axum::body::Body::empty()).unwrap();
    assert_eq!(server.handle(request).await.status(), 403);
    let request = http::Request::get("/version").body(axum::body::Body::empty()).unwrap();
    assert_eq!(server.handle(request).await.status(), 200);
}

#[tokio::test]
async fn discovery_names_every_kind_in_both_forms() {
    let (_server, client) = admin().await;
    let plain = kube::discovery::Discovery::new(client.clone()).run().await.unwrap();
    let aggregated = kube::discovery::Discovery::new(client).run_aggregated().await.unwrap();
    for discovery in [plain, aggregated] {
        for (group, kind) in [("", "Pod"), ("apps", "Deployment"), ("apiextensions.k8s.io", "CustomResourceDefinition")]
        {
            assert!(discovery.resolve_gvk(&GroupVersionKind::gvk(group, "v1", kind)).is_some(), "{kind}");
        }
    }
}

#[tokio::test]
async fn scale_changes_the_count_and_nothing_else() {
    let (_server, client) = admin().await;
    let deployments: Api<Deployment> = Api::namespaced(client, "default");
    let body = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    deployments.create(&PostParams::default(), &from(body)).await.unwrap();
    let scale = deployments
        .patch_scale("d", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 4}})))
        .await
        .unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(4));
    assert_eq!(deployments.get("d").await.unwrap().spec.unwrap().replicas, Some(4));
}

#[tokio::test]
async fn nobody_grants_more_than_they_have() {
    let (server, client) = admin().await;
    let roles = |client: Client| Api::<Role>::namespaced(client, "default");
    let bindings = |client: Client| Api::<RoleBinding>::namespaced(client, "default");
    let role = |name: &str, resource: &str, verb: &str| {
        from::<Role>(
            json!({"metadata": {"name": name}, "rules": [{"apiGroups": [""], "resources": [resource], "verbs": [verb]}]}),
        )
    };
    let binding = |name: &str, role: &str| {
        from::<RoleBinding>(
            json!({"metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}]}),
        )
    };
    let post = PostParams::default();
    let keeper = json!({"metadata": {"name": "keeper"}, "rules": [
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["create", "get", "update", "patch"]},
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "resourceNames": ["free"], "verbs": ["escalate", "bind"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
    roles(client.clone()).create(&post, &from(keeper)).await.unwrap();
    bindings(client.clone()).create(&post, &binding("eve", "keeper")).await.unwrap();
    roles(client.clone()).create(&post, &role("secrets", "secrets", "get")).await.unwrap();
    let eve = server.client(User::new("eve", &[]));
    roles(eve.clone()).create(&post, &role("within", "pods", "get")).await.unwrap();
    bindings(eve.clone()).create(&post, &binding("within", "within")).await.unwrap();
    let error = roles(eve.clone()).create(&post, &role("beyond", "secrets", "get")).await.unwrap_err();
    let kube::Error::Api(status) = error else { panic!() };
    assert_eq!(
        status.message,
        "roles.rbac.authorization.k8s.io \"beyond\" is forbidden: user \"eve\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"
    );
    assert_eq!(code(&bindings(eve.clone()).create(&post, &binding("beyond", "secrets")).await.unwrap_err()).0, 403);
    assert_eq!(code(&bindings(eve.clone()).create(&post, &binding("none", "nothing")).await.unwrap_err()).0, 404);
    roles(eve.clone()).create(&post, &role("free", "secrets", "get")).await.unwrap();
    bindings(eve.clone()).create(&post, &binding("free", "free")).await.unwrap();
    let labelled = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    roles(eve).patch("secrets", &PatchParams::default(), &labelled).await.unwrap();
}

#[tokio::test]
async fn a_change_of_roles_counts_from_the_next_request_on() {
    let (server, client) = admin().await;
    let name = random("guest");
    let guest = Api::<ConfigMap>::namespaced(server.client(User::new(&name, &[])), "default");
    assert_eq!(code(&guest.list(&ListParams::default()).await.unwrap_err()).0, 403);
    let bindings: Api<RoleBinding> = Api::namespaced(client, "default");
    let binding = json!({"metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}]});
    bindings.create(&PostParams::default(), &from(binding)).await.unwrap();
    guest.list(&ListParams::default()).await.unwrap();
    bindings.delete(&name, &DeleteParams::default()).await.unwrap();
    assert_eq!(code(&guest.list(&ListParams::default()).await.unwrap_err()).0, 403);
}

#[tokio::test]
async fn a_binding_names_the_node_and_owns_no_field() {
    let (server, client) = admin().await;
    let pods: Api<Pod> = Api::namespaced(client, "default");
    let pod = from(json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}));
    let before = pods.create(&PostParams::default(), &pod).await.unwrap();
    let bind = |query: &str| {
        let body = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
        let path = format!("/api/v1/namespaces/default/pods/p/binding{query}");
        let mut request = http::Request::post(path).body(axum::body::Body::from(body.to_string())).unwrap();
        request.extensions_mut().insert(User::new("system:kube-scheduler", &["system:masters"]));
        server.handle(request)
    };
    assert_eq!(bind("?dryRun=All").await.status(), 201);
    assert_eq!(pods.get("p").await.unwrap().spec.unwrap().node_name, None, "a dry run binds nothing");
    assert_eq!(bind("").await.status(), 201);
    let after = pods.get("p").await.unwrap();
    assert_eq!(after.spec.as_ref().unwrap().node_name.as_deref(), Some("n"));
    assert_eq!(after.metadata.managed_fields, before.metadata.managed_fields);
    assert_eq!(after.metadata.generation, before.metadata.generation);
    assert_eq!(bind("").await.status(), 409);
}
