//! The proxy as a process lives: fed by the Kubernetes API, alone when the API is gone,
//! handed over to a successor, stopped.

#![allow(clippy::unwrap_used, reason = "what fails in a helper of a test fails the test")]

mod harness;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use apiserver::{Server, Tls, Tokens, User, store::Store};
use harness::{Backend, Load, ask, authority, random, until};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, PostParams},
};
use proxy::Config;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// A control plane that can be killed.
struct ControlPlane {
    client: Client,
    stop: CancellationToken,
    served: Option<tokio::task::JoinHandle<()>>,
    kubeconfig: Value,
}

impl ControlPlane {
    async fn start() -> Self {
        let token = random();
        let admin = || User::new("admin", &["system:masters"]);
        let tokens = Tokens::new(&Tokens::generate_key(), [(token.clone(), admin())]).unwrap();
        let config = apiserver::Config {
            store: Store::in_memory().unwrap(),
            tokens,
            service_range: (Ipv4Addr::new(10, 96, 0, 0), 16),
            advertise: None,
        };
        let server = Server::build(config).await.unwrap();
        let client = server.client(admin());
        let (ca, key) = authority();
        let issuer = rcgen::Issuer::from_ca_cert_pem(ca, rcgen::KeyPair::from_pem(key).unwrap()).unwrap();
        let leaf = rcgen::KeyPair::generate().unwrap();
        let cert =
            rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&leaf, &issuer).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let tls = Tls { chain: vec![cert.der().to_vec()], key: leaf.serialize_der(), client_authorities: vec![] };
        let (serving, stopped) = (server.clone(), stop.clone());
        let served = harness::spawn(async move {
            let listening = apiserver::listen(serving.clone(), listener, tls, stopped.clone(), Duration::ZERO);
            let ending = async {
                stopped.cancelled().await;
                serving.end_watches();
            };
            tokio::join!(listening, ending).0.unwrap();
        });
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("https://{address}"), "certificate-authority-data": base64(ca)}}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        let plane = ControlPlane { client, stop, served: Some(served), kubeconfig };
        for crd in routes::crds() {
            plane.create("apiextensions.k8s.io/v1", "customresourcedefinitions", crd).await;
        }
        plane.create("gateway.networking.k8s.io/v1", "gatewayclasses", json!({"kind": "GatewayClass", "metadata": {"name": "roadstead"}, "spec": {"controllerName": routes::CONTROLLER}})).await;
        plane.create("gateway.networking.k8s.io/v1", "gateways", json!({"kind": "Gateway", "metadata": {"name": "gateway", "namespace": "default"}, "spec": {
            "gatewayClassName": "roadstead", "listeners": [
                {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}},
                {"name": "https", "port": 443, "protocol": "HTTPS", "allowedRoutes": {"namespaces": {"from": "All"}}},
            ]}})).await;
        plane
    }

    fn api(&self, api_version: &str, kind: &str, plural: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    async fn create(&self, api_version: &str, plural: &str, mut object: Value) {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let api = self.api(api_version, &kind, plural, object["metadata"]["namespace"].as_str());
        object["apiVersion"] = json!(api_version);
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }

    /// Makes a Service that leads to `endpoint`.
    async fn service(&self, name: &str, endpoint: SocketAddr) {
        self.create("v1", "services", json!({"kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": {"ports": [{"name": "http", "port": 80}]}})).await;
        self.create("discovery.k8s.io/v1", "endpointslices", json!({"kind": "EndpointSlice",
            "metadata": {"name": format!("{name}-1"), "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": endpoint.port(), "protocol": "TCP"}],
            "endpoints": [{"addresses": [endpoint.ip().to_string()], "conditions": {"ready": true}}]})).await;
    }

    async fn route(&self, name: &str, host: &str, service: &str) {
        self.create("gateway.networking.k8s.io/v1", "httproutes", json!({"kind": "HTTPRoute", "metadata": {"name": name, "namespace": "default"}, "spec": {
            "parentRefs": [{"name": "gateway"}], "hostnames": [host], "rules": [{"backendRefs": [{"name": service, "port": 80}]}]}})).await;
    }

    async fn kill(&mut self) {
        self.stop.cancel();
        if let Some(served) = self.served.take() {
            served.await.unwrap();
        }
    }
}

fn base64(text: &str) -> String {
    // A kubeconfig wants base64; this is the test's only use of it.
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    text.as_bytes()
        .chunks(3)
        .flat_map(|chunk| {
            let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            (0..4).map(
                move |at| {
                    if at <= chunk.len() { char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 63]) } else { '=' }
                },
            )
        })
        .collect()
}

/// A proxy process, run on a thread of this one.
struct Running {
    thread: std::thread::JoinHandle<Result<(), proxy::Error>>,
    stop: CancellationToken,
}

fn config(folder: &Path, kubeconfig: &Value) -> Config {
    std::fs::write(folder.join("kubeconfig"), kubeconfig.to_string()).unwrap();
    let (cert, key) = authority();
    std::fs::write(folder.join("ca.crt"), cert).unwrap();
    std::fs::write(folder.join("ca.key"), key).unwrap();
    Config {
        data: folder.join("proxy"),
        kubeconfig: folder.join("kubeconfig"),
        http: Some("127.0.0.1:0".parse().unwrap()),
        https: "127.0.0.1:0".parse().unwrap(),
        ca_cert: folder.join("ca.crt"),
        ca_key: folder.join("ca.key"),
        grace: Duration::from_secs(10),
    }
}

fn start(config: &Config) -> Running {
    let stop = CancellationToken::new();
    let (config, stopped) = (config.clone(), stop.clone());
    Running { thread: std::thread::spawn(move || proxy::run(&config, &stopped)), stop }
}

impl Running {
    async fn ended(self) -> Result<(), proxy::Error> {
        tokio::task::spawn_blocking(move || self.thread.join().unwrap()).await.unwrap()
    }
}

/// Waits until the proxy answers and returns its HTTP address.
async fn address(config: &Config) -> SocketAddr {
    until(|| async { proxy::status(&config.data).await.is_ok() }).await;
    proxy::status(&config.data).await.unwrap().http.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_follow_the_api_and_outlive_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut plane = ControlPlane::start().await;
    let backend = Backend::start("live").await;
    let host = format!("{}.example.test", random());
    plane.service("live", backend.address).await;
    plane.route("first", &host, "live").await;
    let config = config(folder.path(), &plane.kubeconfig);
    let running = start(&config);
    let http = address(&config).await;
    until(|| async { ask(http, &host, "/").await.status == 200 }).await;

    // A route that comes while requests run is in force soon and costs none.
    let load = Load::start(http, &host, 4);
    for _ in 0..10 {
        let (name, new) = (random(), format!("{}.example.test", random()));
        plane.route(&name, &new, "live").await;
        until(|| async { ask(http, &new, "/").await.status == 200 }).await;
    }
    assert_eq!(load.stop().await.1, Vec::<String>::new());

    // The status says what was made of it.
    let routes = plane.api("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes", Some("default"));
    until(|| async {
        routes.get("first").await.unwrap().data.pointer("/status/parents/0/conditions/0/status") == Some(&json!("True"))
    })
    .await;
    let gateways = plane.api("gateway.networking.k8s.io/v1", "Gateway", "gateways", Some("default"));
    until(|| async {
        gateways.get("gateway").await.unwrap().data.pointer("/status/listeners/0/attachedRoutes") == Some(&json!(11))
    })
    .await;
    assert_eq!(
        gateways.get("gateway").await.unwrap().data.pointer("/status/addresses/0/value"),
        Some(&json!("127.0.0.1"))
    );

    // The control plane dies: nothing changes.
    plane.kill().await;
    assert_eq!(ask(http, &host, "/").await.status, 200);
    until(|| async { proxy::status(&config.data).await.unwrap().control_plane == proxy::Link::Lost }).await;
    assert_eq!(ask(http, &host, "/").await.status, 200);

    // Stopped and started with the control plane still dead: the last good routes are served.
    proxy::stop(&config.data).await.unwrap();
    running.ended().await.unwrap();
    assert!(proxy::status(&config.data).await.is_err());
    let again = start(&config);
    let http = address(&config).await;
    assert_eq!(ask(http, &host, "/").await.body, "live GET /");
    assert!(proxy::metrics(&config.data).await.unwrap().contains("istio_requests_total"));
    again.stop.cancel();
    again.ended().await.unwrap();
    proxy::purge(&config.data).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_takes_over_without_a_failed_request() {
    let folder = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start().await;
    let backend = Backend::start("steady").await;
    let host = format!("{}.example.test", random());
    plane.service("steady", backend.address).await;
    plane.route("steady", &host, "steady").await;
    let config = config(folder.path(), &plane.kubeconfig);
    let mut running = start(&config);
    let http = address(&config).await;
    until(|| async { ask(http, &host, "/").await.status == 200 }).await;
    // The successor begins with what its predecessor kept.
    until(|| async { config.data.join("snapshot.json").exists() }).await;
    let load = Load::start(http, &host, 8);
    load.more_than(100).await;
    for _ in 0..3 {
        let successor = start(&config);
        let before = load.answered();
        running.ended().await.unwrap();
        load.more_than(before + 100).await;
        assert_eq!(address(&config).await, http, "the address stays");
        running = successor;
    }
    let (answered, failed) = load.stop().await;
    assert_eq!(failed, Vec::<String>::new(), "of {answered} requests");
    running.stop.cancel();
    running.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(folder.path(), &json!({}));
    config.https = taken.local_addr().unwrap();
    let error = start(&config).ended().await.unwrap_err().to_string();
    assert!(error.contains(&config.https.port().to_string()) && error.contains("taken"), "{error}");
}
