//! The server as a client sees it, mounted in process behind a Kubernetes client.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test stops at what it did not expect, and runs beside the product"
)]

use apiserver::{Server, User};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Pod, Service},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
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

fn code(error: &kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.reason.clone()),
        other => panic!("{other}"),
    }
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
