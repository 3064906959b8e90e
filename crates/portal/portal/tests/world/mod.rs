//! A cluster in this process with sample objects, and the portal in front of it.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: each file uses its part, and what fails there fails the test"
)]

use std::{future::Future, net::Ipv4Addr, sync::Arc, time::Duration};

use apiserver::{Server, Tokens, User, store::Store};
use axum::body::Body;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use platform::rest::{DeployTemplate, Deployed, DeployedObject, Parameter};
use portal::{Config, Deploying, Portal, Trial};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub const ADMIN: &str = "token-of-the-admin";
pub const STRANGER: &str = "token-of-a-stranger";

/// Deploys a ConfigMap called as its parameter `NAME` says, with the template's text in it.
struct OneMap;

/// What the API server said.
#[derive(Debug, thiserror::Error)]
#[error("nothing was applied")]
struct Refused(#[source] kube::Error);

impl base::fault::Fault for Refused {
    fn class(&self) -> base::fault::Class {
        base::fault::Class::Stalled
    }

    fn code(&self) -> &'static str {
        "TPL0006"
    }
}

impl portal::Deployer for OneMap {
    fn read(&self, text: &str) -> Option<(String, Vec<Parameter>)> {
        let name = Parameter { name: "NAME".to_owned(), required: true, ..Parameter::default() };
        text.starts_with("a map").then(|| (text.to_owned(), vec![name]))
    }

    fn deploy<'a>(&'a self, client: Client, text: &'a str, wish: &'a DeployTemplate, trial: Trial) -> Deploying<'a> {
        Box::pin(async move {
            let resource =
                ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "ConfigMap"), "configmaps");
            let maps: Api<DynamicObject> = Api::namespaced_with(client, &wish.namespace, &resource);
            let name = wish.parameters["NAME"].clone();
            let map = json!({"metadata": {"name": name}, "data": {"text": text}});
            let params = PostParams { dry_run: trial == Trial::Yes, field_manager: None };
            let made = maps.create(&params, &serde_json::from_value(map).unwrap()).await;
            made.map_err(|error| Box::new(Refused(error)) as Box<dyn base::fault::Fault>)?;
            let object = DeployedObject {
                kind: "ConfigMap".to_owned(),
                name,
                outcome: "created".to_owned(),
                ..DeployedObject::default()
            };
            Ok(Deployed { objects: vec![object], message: None })
        })
    }
}

pub struct World {
    pub client: Client,
    pub portal: Portal,
    pub router: axum::Router,
    pub folder: tempfile::TempDir,
    pub stop: CancellationToken,
    server: Server,
}

#[expect(clippy::disallowed_methods, reason = "it ends with the runtime")]
pub fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

/// Waits until `holds`, at most ten seconds.
pub async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let waited = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waited).await.expect("what is waited for has not come");
}

impl World {
    /// Starts with the environments `development` and `production` and two templates.
    pub async fn start(public_url: &str) -> Self {
        let fixed = [
            (ADMIN.to_owned(), User::new("system:admin", &["system:masters"])),
            (STRANGER.to_owned(), User::new("stranger", &["system:authenticated"])),
        ];
        let tokens = Tokens::new(&Tokens::generate_key(), fixed).unwrap();
        let config = apiserver::Config {
            store: Store::in_memory().unwrap(),
            tokens,
            service_range: (Ipv4Addr::new(10, 96, 0, 0), 16),
            advertise: None,
        };
        let server = Server::build(config).await.unwrap();
        let client = server.client(User::new("system:admin", &["system:masters"]));
        let folder = tempfile::tempdir().unwrap();
        let portal = Portal::build(Config {
            client: client.clone(),
            data: folder.path().join("portal"),
            gateway: "127.0.0.1:8443".parse().unwrap(),
            ca: "/etc/roadstead/gateway.crt".into(),
            public_url: public_url.to_owned(),
            git_url: "https://localhost:8444/git".into(),
            version: "0.1.0".into(),
            deployer: Arc::new(OneMap),
        })
        .unwrap();
        let stop = CancellationToken::new();
        let world = World { router: portal.router(), client, portal, folder, stop, server };
        for crd in platform::crds::all() {
            world.create("apiextensions.k8s.io/v1", "customresourcedefinitions", crd).await;
        }
        for namespace in ["development", "production"] {
            world.create("v1", "namespaces", json!({"kind": "Namespace", "metadata": {"name": namespace}})).await;
        }
        for (name, domain, order) in [("development", "dev.localhost", 10), ("production", "localhost", 20)] {
            let environment = json!({"kind": "Environment", "metadata": {"name": name}, "spec": {"namespace": name, "domain": domain, "order": order}});
            world.create("platform.io/v1alpha1", "environments", environment).await;
        }
        let templates = json!({"kind": "ConfigMap", "metadata": {"name": "templates", "namespace": "roadstead-system"}, "data": {
            "service": "A service in Rust with an API, a database, health checks and metrics", "static": "A web site of files"}});
        world.create("v1", "configmaps", templates).await;
        let (portal, stop) = (world.portal.clone(), world.stop.clone());
        spawn(async move { portal.run(stop).await });
        until(|| async { world.get("/health/ready").await.status == 200 }).await;
        world
    }

    /// Creates an object, and its status if it has one.
    pub async fn create(&self, api_version: &str, plural: &str, object: Value) {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = object["kind"].as_str().unwrap();
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let mut object = object;
        object["apiVersion"] = json!(api_version);
        let status = object.get("status").cloned();
        let made = api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        if let Some(status) = status
            && plural != "applications"
            && plural != "customresourcedefinitions"
        {
            let patch = json!({"status": status});
            api.patch_status(made.metadata.name.as_deref().unwrap(), &PatchParams::default(), &Patch::Merge(&patch))
                .await
                .unwrap();
        }
    }

    /// Creates a service with everything that belongs to it.
    pub async fn service(&self, name: &str, environment: &str, health: &str, pods: usize) {
        let ready = if health == "Healthy" { pods } else { pods.saturating_sub(1) };
        let digits =
            name.bytes().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(digit.into(), 16));
        let commit: String = digits.chain(std::iter::repeat('0')).take(40).collect();
        let message =
            if health == "Degraded" { "container app ended with exit code 1 five times; see its logs" } else { "" };
        let labels = json!({"app.kubernetes.io/instance": name, "platform.io/microservice": name});
        self.create("platform.io/v1alpha1", "microservices", json!({"kind": "Microservice", "metadata": {"name": name, "namespace": environment},
            "spec": {"environment": environment, "template": "service", "repository": name},
            "status": {"host": format!("{name}.{}", if environment == "production" { "localhost" } else { "dev.localhost" }), "repository": name, "commit": commit}})).await;
        self.create("argoproj.io/v1alpha1", "applications", json!({"kind": "Application", "metadata": {"name": format!("{environment}-{name}"), "namespace": "roadstead-system", "labels": labels},
            "spec": {"project": "default", "destination": {"namespace": environment}},
            "status": {"health": {"status": health, "message": message}, "sync": {"status": "Synced", "revision": commit}}})).await;
        self.create("apps/v1", "deployments", json!({"kind": "Deployment", "metadata": {"name": name, "namespace": environment, "labels": labels},
            "spec": {"replicas": pods, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "localhost:5000/shop:0.1.0"}]}}},
            "status": {"replicas": pods, "readyReplicas": ready, "updatedReplicas": pods}})).await;
        self.create(
            "v1",
            "services",
            json!({"kind": "Service", "metadata": {"name": name, "namespace": environment, "labels": labels},
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 80}, {"name": "metrics", "port": 9090}]}}),
        )
        .await;
        for at in 0..pods {
            let good = at < ready;
            let state = if good || health != "Degraded" {
                json!({"running": {"startedAt": base::clock::now_rfc3339()}})
            } else {
                json!({"waiting": {"reason": "CrashLoopBackOff"}})
            };
            self.create("v1", "pods", json!({"kind": "Pod", "metadata": {"name": format!("{name}-7d9c5b8f6-{at}x{at}k2"), "namespace": environment, "labels": labels},
                "spec": {"nodeName": "here", "containers": [{"name": "app", "image": "localhost:5000/shop:0.1.0"}]},
                "status": {"phase": "Running", "podIP": format!("10.244.0.{}", at + 10), "startTime": base::clock::now_rfc3339(),
                    "conditions": [{"type": "Ready", "status": if good { "True" } else { "False" }}],
                    "containerStatuses": [{"name": "app", "image": "shop", "ready": good, "restartCount": if good { 0 } else { 5 }, "state": state,
                        "imageID": "localhost:5000/shop@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}]}})).await;
        }
    }

    /// Gives the cluster a node whose containers have each written one line and go on.
    pub fn write_logs(&self) {
        use axum::extract::{Path, RawQuery};
        let logs = |Path((_, pod, _)): Path<(String, String, String)>, RawQuery(query): RawQuery| async move {
            let line = futures::stream::iter([Ok::<_, std::convert::Infallible>(format!("hello from {pod}\n"))]);
            if query.is_some_and(|query| query.contains("follow=true")) {
                return Body::from_stream(futures::StreamExt::chain(line, futures::stream::pending()));
            }
            Body::from_stream(line)
        };
        self.server.set_node(
            "n1",
            axum::Router::new().route("/containerLogs/{namespace}/{pod}/{container}", axum::routing::get(logs)),
        );
    }

    /// Ends a deletion as the garbage collector does.
    pub async fn collect(&self, namespace: &str, name: &str) {
        let resource = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk("platform.io", "v1alpha1", "Microservice"),
            "microservices",
        );
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let patch = json!({"metadata": {"finalizers": null}});
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, body: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    /// Asks as the admin.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[("authorization", &format!("Bearer {ADMIN}"))], "").await
    }

    /// Asks as the admin, with a JSON body.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.ask(method, path, &[("authorization", &format!("Bearer {ADMIN}"))], &body.to_string()).await
    }

    /// Opens a login link; returns the session's cookie.
    pub async fn log_in(&self) -> String {
        let link = self.portal.handle().login_link("system:admin", &["system:masters".to_owned()]).unwrap();
        let path = link
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'))
            .map(|(_, path)| format!("/{path}"))
            .unwrap();
        let answer = self.ask(Method::GET, &path, &[], "").await;
        assert_eq!(answer.status, 303);
        answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    }
}
