//! Bodies in the binary form, as Go clients send them: by hand, and by a stock kubectl.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use apiserver::{Config, Handler, Server, Tls, Tokens, User, store::Store};
use axum::body::Body;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// A name that the server's author never saw.
fn random(prefix: &str) -> String {
    format!("{prefix}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

/// A field of less than 128 bytes.
fn field(number: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    assert!(bytes.len() < 128 && number < 16);
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

fn envelope(api_version: &str, kind: &str, raw: Vec<u8>) -> Vec<u8> {
    [b"k8s\0".to_vec(), field(1, [field(1, api_version), field(2, kind)].concat()), field(2, raw)].concat()
}

async fn send(server: &Server, method: &str, path: &str, media: &str, body: Vec<u8>) -> (u16, Value) {
    let request = http::Request::builder().method(method).uri(path).header("content-type", media);
    let request = request.header("accept", "application/vnd.kubernetes.protobuf,application/json");
    let mut request = request.body(Body::from(body)).unwrap();
    request.extensions_mut().insert(User::new("admin", &["system:masters"]));
    let answer = server.handle(request).await;
    assert_eq!(answer.headers()["content-type"], "application/json", "{method} {path}");
    let code = answer.status().as_u16();
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn a_namespace_and_a_deployment_are_created_and_deleted() {
    let server = Server::in_memory().await.unwrap();
    let name = random("sea");
    let namespace = envelope("v1", "Namespace", [field(1, field(1, &name)), field(2, ""), field(3, "")].concat());
    let (code, created) = send(&server, "POST", "/api/v1/namespaces", PROTOBUF, namespace.clone()).await;
    assert_eq!(
        (code, &created["metadata"]["name"], &created["status"]["phase"]),
        (201, &json!(name), &json!("Active")),
        "{created}"
    );
    assert_eq!(send(&server, "POST", "/api/v1/namespaces", PROTOBUF, namespace).await.1["reason"], "AlreadyExists");

    let label = |number| field(number, [field(1, "a"), field(2, "b")].concat());
    let container = [field(1, "c"), field(2, "x:1")].concat();
    let template = [field(1, label(11)), field(2, field(2, container))].concat();
    let spec = [vec![1 << 3, 3], field(2, label(1)), field(3, template)].concat();
    let body = envelope("apps/v1", "Deployment", [field(1, field(1, &name)), field(2, spec)].concat());
    let path = format!("/apis/apps/v1/namespaces/{name}/deployments");
    let (code, created) =
        send(&server, "POST", &format!("{path}?fieldValidation=Strict"), PROTOBUF, body.clone()).await;
    assert_eq!(code, 201, "{created}");
    let one = format!("{path}/{name}");
    let (_, read) = send(&server, "GET", &one, "application/json", Vec::new()).await;
    assert_eq!(
        (&read["spec"]["replicas"], &read["spec"]["selector"]),
        (&json!(3), &json!({"matchLabels": {"a": "b"}}))
    );
    assert_eq!(read["spec"]["template"]["spec"]["containers"][0]["image"], "x:1");
    assert_eq!(read["spec"]["strategy"]["type"], "RollingUpdate", "defaults are filled in");
    assert_eq!(send(&server, "PUT", &one, PROTOBUF, body).await.0, 200);

    let options = |uid: &str| envelope("apps/v1", "DeleteOptions", field(2, field(1, uid)));
    assert_eq!(
        send(&server, "DELETE", &one, PROTOBUF, options("another")).await.1["reason"],
        "Conflict",
        "the options are heeded"
    );
    let uid = read["metadata"]["uid"].as_str().unwrap();
    assert_eq!(send(&server, "DELETE", &one, PROTOBUF, options(uid)).await.0, 200);
    assert_eq!(send(&server, "DELETE", &path, PROTOBUF, envelope("apps/v1", "DeleteOptions", Vec::new())).await.0, 200);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_as_kubernetes_refuses_it() {
    let server = Server::in_memory().await.unwrap();
    let (path, name) = ("/api/v1/namespaces", random("sea"));
    for body in [b"k8s\0\x0a\xff".to_vec(), b"{}".to_vec(), envelope("g.example/v1", "Boat", Vec::new())] {
        let (code, status) = send(&server, "POST", path, PROTOBUF, body).await;
        assert_eq!((code, status["reason"].as_str()), (400, Some("BadRequest")), "{status}");
    }
    let (_, status) = send(&server, "POST", path, PROTOBUF, envelope("g.example/v1", "Boat", Vec::new())).await;
    assert!(status["message"].as_str().unwrap().contains("Boat"), "{status}");
    let body = envelope("v1", "ConfigMap", field(1, field(1, &name)));
    assert_eq!(send(&server, "POST", path, PROTOBUF, body.clone()).await.0, 400, "another kind than the path's");
    assert_eq!(send(&server, "PATCH", "/api/v1/namespaces/default", PROTOBUF, body).await.0, 415);

    let definition = json!({"metadata": {"name": format!("boats.{name}.example")}, "spec": {"group": format!("{name}.example"), "scope": "Cluster",
        "names": {"plural": "boats", "kind": "Boat"}, "versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let (code, answer) = send(&server, "POST", definitions, "application/json", definition.to_string().into()).await;
    assert_eq!(code, 201, "{answer}");
    let boats = format!("/apis/{name}.example/v1/boats");
    let body = envelope(&format!("{name}.example/v1"), "Boat", field(1, field(1, "b")));
    assert_eq!(send(&server, "POST", &boats, PROTOBUF, body.clone()).await.0, 415);
    assert_eq!(send(&server, "PUT", &format!("{boats}/b"), PROTOBUF, body).await.0, 415);
    let body = json!({"apiVersion": format!("{name}.example/v1"), "kind": "Boat", "metadata": {"name": "b"}});
    assert_eq!(send(&server, "POST", &boats, "application/json", body.to_string().into()).await.0, 201);
    let options = envelope("v1", "DeleteOptions", Vec::new());
    assert_eq!(send(&server, "DELETE", &format!("{boats}/b"), PROTOBUF, options).await.0, 200);
}

/// A server that counts the bodies in the binary form.
#[derive(Clone)]
struct Counting {
    server: Server,
    seen: Arc<AtomicUsize>,
}

impl Handler for Counting {
    async fn answer(&self, request: http::Request<Body>) -> http::Response<Body> {
        if request.headers().get("content-type").is_some_and(|media| media == PROTOBUF) {
            self.seen.fetch_add(1, Ordering::Relaxed);
        }
        self.server.handle(request).await
    }
}

/// A server on a loopback port, and a stock kubectl that is its administrator.
struct Stock {
    home: tempfile::TempDir,
    address: String,
    stop: CancellationToken,
    serving: tokio::task::JoinSet<Result<(), apiserver::TlsError>>,
    seen: Arc<AtomicUsize>,
}

impl Stock {
    async fn up() -> Stock {
        let admin = ("secret".to_owned(), User::new("admin", &["system:masters"]));
        let tokens = Tokens::new(&Tokens::generate_key(), [admin]).unwrap();
        let range = (Ipv4Addr::new(10, 96, 0, 0), 16);
        let config = Config { store: Store::in_memory().unwrap(), tokens, service_range: range, advertise: None };
        let server = Server::build(config).await.unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("ca.pem"), made.cert.pem()).unwrap();
        let tls = Tls {
            chain: vec![made.cert.der().to_vec()],
            key: made.signing_key.serialize_der(),
            client_authorities: Vec::new(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let seen = Arc::<AtomicUsize>::default();
        let counting = Counting { server, seen: seen.clone() };
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(apiserver::listen(counting, listener, tls, stop.clone(), Duration::from_secs(1)));
        Stock { home, address, stop, serving, seen }
    }

    async fn kubectl(&self, arguments: &[&str]) -> String {
        let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../target/peers/kubectl");
        assert!(program.exists(), "kubectl is missing: run cargo xtask peers (needs Go)");
        let mut command = tokio::process::Command::new(program);
        command.env_clear().env("HOME", self.home.path()).current_dir(self.home.path());
        command.args(["--token=secret", "--certificate-authority=ca.pem", "--server", &self.address]).args(arguments);
        let output =
            tokio::time::timeout(Duration::from_secs(60), command.kill_on_drop(true).output()).await.unwrap().unwrap();
        assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

#[tokio::test]
async fn a_stock_kubectl_creates_and_deletes() {
    let mut stock = Stock::up().await;
    let space = random("sea");
    assert_eq!(stock.kubectl(&["create", "namespace", &space]).await, format!("namespace/{space} created"));
    let inside = |arguments: &[&'static str]| -> Vec<String> {
        arguments.iter().map(|word| (*word).to_owned()).chain(["--namespace".to_owned(), space.clone()]).collect()
    };
    let run = async |arguments: &[&'static str]| {
        let arguments = inside(arguments);
        stock.kubectl(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    run(&["create", "configmap", "m", "--from-literal=a=1"]).await;
    assert_eq!(run(&["get", "configmap", "m", "-o", "jsonpath={.data.a}"]).await, "1");
    run(&["create", "secret", "generic", "s", "--from-literal=k=v"]).await;
    assert_eq!(run(&["get", "secret", "s", "-o", "jsonpath={.data.k}"]).await, "dg==");
    run(&["create", "deployment", "web", "--image=x:1", "--replicas=2", "--port=8080"]).await;
    let shown = run(&["get", "deployment", "web", "-o", "json"]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["spec"]["replicas"], &shown["metadata"]["labels"]), (&json!(2), &json!({"app": "web"})));
    assert_eq!(
        shown["spec"]["template"]["spec"]["containers"][0]["ports"],
        json!([{"containerPort": 8080, "protocol": "TCP"}])
    );
    run(&["create", "service", "clusterip", "web", "--tcp=80:http"]).await;
    assert_eq!(run(&["get", "service", "web", "-o", "jsonpath={.spec.ports[0].targetPort}"]).await, "http");
    run(&["create", "role", "r", "--verb=get,list", "--resource=pods"]).await;
    run(&["create", "rolebinding", "r", "--role=r", "--user=bob"]).await;
    run(&["create", "serviceaccount", "bot"]).await;
    let token = run(&["create", "token", "bot", "--duration=20m"]).await;
    assert_eq!(token.split('.').count(), 3, "{token}");
    assert!(stock.kubectl(&["auth", "whoami"]).await.contains("admin"));
    assert_eq!(run(&["auth", "can-i", "create", "pods"]).await, "yes");
    for (kind, name) in
        [("configmap", "m"), ("secret", "s"), ("deployment", "web"), ("service", "web"), ("rolebinding", "r")]
    {
        let arguments = [kind, name, "--namespace", &space, "--wait=false"];
        stock.kubectl(&[&["delete"], &arguments[..]].concat()).await;
    }
    stock.kubectl(&["delete", "namespace", &space, "--wait=false"]).await;
    let seen = stock.seen.load(Ordering::Relaxed);
    assert!(seen >= 8, "kubectl sent {seen} bodies in the binary form: this proves too little");
    stock.stop.cancel();
    stock.serving.join_next().await.unwrap().unwrap().unwrap();
}
