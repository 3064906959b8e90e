//! What is handed on to nodes, pods and Services, as a client meets it. The other side is a
//! server of the test's own: what a real node does is in the node's tests.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops at what it did not expect, and runs beside the product"
)]

use std::{net::SocketAddr, time::Duration};

use apiserver::{Config, Server, Tokens, User, audit, store::Store};
use axum::{body::Body, extract::Request, response::IntoResponse};
use http::{Method, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

fn admin() -> User {
    User::new("admin", &["system:masters"])
}

async fn call(server: &Server, user: User, method: &str, path: &str, body: Value) -> (u16, http::HeaderMap, String) {
    let request = Request::builder().method(method.parse::<Method>().unwrap()).uri(path).header("host", "asked:1");
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let mut request = request.header("authorization", "Bearer mine").body(body).unwrap();
    request.extensions_mut().insert(user);
    let answer = server.handle(request).await;
    let (head, body) = answer.into_parts();
    let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    (head.status.as_u16(), head.headers, String::from_utf8_lossy(&bytes).into_owned())
}

async fn make(server: &Server, path: &str, object: Value) {
    let (code, _, text) = call(server, admin(), "POST", path, object).await;
    assert_eq!(code, 201, "{text}");
}

async fn get(server: &Server, path: &str) -> (u16, String) {
    let (code, _, text) = call(server, admin(), "GET", path, Value::Null).await;
    (code, text)
}

const CORE: &str = "/api/v1/namespaces/default";

/// Makes a pod that stands on `n1` and has an address.
async fn pod(server: &Server, name: &str, address: &str, port: u16) {
    let containers =
        json!([{"name": "c", "image": "x", "ports": [{"containerPort": port}]}, {"name": "d", "image": "x"}]);
    let object = json!({"metadata": {"name": name}, "spec": {"containers": containers, "nodeName": "n1"}});
    make(server, &format!("{CORE}/pods"), object).await;
    let path = format!("{CORE}/pods/{name}/status");
    let status = json!({"status": {"podIP": address, "podIPs": [{"ip": address}], "phase": "Running"}});
    let request = Request::patch(path).header("content-type", "application/merge-patch+json");
    let mut request = request.body(Body::from(status.to_string())).unwrap();
    request.extensions_mut().insert(admin());
    assert_eq!(server.handle(request).await.status(), 200);
}

/// Serves the API to everybody as `user`.
async fn serve(server: &Server, user: User) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = server.clone();
    let api = axum::Router::new().fallback(move |mut request: Request| {
        request.extensions_mut().insert(user.clone());
        let server = server.clone();
        async move { server.handle(request).await }
    });
    tokio::spawn(async move { axum::serve(listener, api).await });
    address
}

/// A node that answers an upgrade with what it was asked, and gives back every byte.
fn node() -> axum::Router {
    axum::Router::new().fallback(|request: Request| async move {
        let asked = request.uri().to_string();
        let (mut parts, _) = request.into_parts();
        let Some(upgrade) = parts.extensions.remove::<OnUpgrade>() else {
            return (StatusCode::IM_A_TEAPOT, asked).into_response();
        };
        tokio::spawn(async move {
            let kept = parts.extensions;
            let mut stream = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
            stream.write_all(format!("{asked}\n").as_bytes()).await.unwrap();
            let mut byte = [0];
            while stream.read(&mut byte).await.is_ok_and(|n| n > 0) {
                stream.write_all(&byte).await.ok();
            }
            drop(kept);
        });
        let answer = http::Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        answer.header("connection", "upgrade").header("upgrade", "test").body(Body::empty()).unwrap()
    })
}

/// Asks for an upgrade; returns the connection, and the answer's first line and all of its text so far.
async fn upgrade(api: SocketAddr, method: &str, path: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(api).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(answer).unwrap())
}

async fn line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(line).unwrap()
}

#[tokio::test]
async fn a_request_comes_to_the_node_with_its_connection() {
    let server = Server::in_memory().await.unwrap();
    server.set_node("n1", node());
    pod(&server, "p", "10.1.1.1", 80).await;
    let api = serve(&server, admin()).await;
    for (method, path, asked) in [
        (
            "GET",
            "exec?container=c&command=a%20b&command=c&stdin=1&stdout=true",
            "/exec/default/p/c?input=1&output=1&command=a%20b&command=c",
        ),
        ("POST", "attach?container=d&stderr=1&tty=1", "/attach/default/p/d?error=1&tty=1"),
        ("POST", "portforward?ports=80&ports=81,82", "/portForward/default/p?port=80%2C81%2C82"),
    ] {
        let (mut stream, answer) = upgrade(api, method, &format!("{CORE}/pods/p/{path}")).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert_eq!(line(&mut stream).await.trim(), asked);
        stream.write_all(b"hello\n").await.unwrap();
        assert_eq!(line(&mut stream).await, "hello\n");
    }
}

#[tokio::test]
async fn what_cannot_be_handed_on_is_refused_in_kubernetes_words() {
    let server = Server::in_memory().await.unwrap();
    pod(&server, "p", "10.1.1.1", 80).await;
    let waiting = json!({"metadata": {"name": "waiting"}, "spec": {"containers": [{"name": "c", "image": "x"}]}});
    make(&server, &format!("{CORE}/pods"), waiting).await;
    let refused = async |method: &str, path: &str| {
        let (code, _, text) = call(&server, admin(), method, &format!("{CORE}/{path}"), Value::Null).await;
        let status: Value = serde_json::from_str(&text).unwrap_or_default();
        (
            code,
            status["reason"].as_str().unwrap_or_default().to_owned(),
            status["message"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let check = async |method: &str, path: &str, code: u16, reason: &str, message: &str| {
        assert_eq!(refused(method, path).await, (code, reason.to_owned(), message.to_owned()), "{method} {path}");
    };
    check("GET", "pods/absent/exec?command=x", 404, "NotFound", "pods \"absent\" not found").await;
    let many = "a container name must be specified for pod p, choose one of: [c d]";
    check("POST", "pods/p/exec", 400, "BadRequest", many).await;
    check("POST", "pods/p/exec?container=x", 400, "BadRequest", "container x is not valid for pod p").await;
    check("GET", "pods/waiting/attach", 400, "BadRequest", "pod waiting does not have a host assigned").await;
    check("POST", "pods/p/portforward", 404, "NotFound", "pods \"n1\" not found").await;
    make(&server, "/api/v1/nodes", json!({"metadata": {"name": "n1"}})).await;
    let backend = "error dialing backend: node \"n1\" is not connected";
    check("POST", "pods/p/portforward", 500, "", backend).await;
    server.set_node("n1", node());
    check("POST", "pods/p/portforward", 400, "BadRequest", "Upgrade request required").await;
    check("POST", "pods/p/exec?container=c&dryRun=All", 400, "BadRequest", "dryRun is not supported").await;
    let port = "cannot convert to []int32: strconv.ParseUint: parsing \"http\": invalid syntax";
    check("POST", "pods/p/portforward?ports=http", 400, "BadRequest", port).await;
    for method in ["PUT", "PATCH", "DELETE"] {
        let (code, reason, _) = refused(method, "pods/p/exec").await;
        assert_eq!((code, reason.as_str()), (405, "MethodNotAllowed"), "{method}");
    }
    check("GET", "pods/a:b:c:d/proxy/", 400, "BadRequest", "invalid pod request \"a:b:c:d\"").await;
    check("GET", "pods/waiting/proxy/", 400, "BadRequest", "address not allowed").await;
    check("GET", "services/ftp:s:1/proxy/", 400, "BadRequest", "invalid service request \"ftp:s:1\"").await;
    check("GET", "services/s/proxy/", 404, "NotFound", "services \"s\" not found").await;
    check("GET", "services/s:80/proxy/", 404, "NotFound", "services \"s\" not found").await;
    make(&server, &format!("{CORE}/services"), json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}))
        .await;
    let none = "no endpoints available for service \"s\"";
    check("GET", "services/s:80/proxy/", 503, "ServiceUnavailable", none).await;
    let port = "no service port 81 found for service \"s\"";
    check("GET", "services/s:81/proxy/", 503, "ServiceUnavailable", port).await;
    pod(&server, "loopback", "127.0.0.1", 80).await;
    check("GET", "pods/loopback/proxy/", 400, "BadRequest", "address not allowed").await;
}

async fn allow(server: &Server, user: &str, verbs: &[&str], resources: &[&str]) {
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let rules = json!([{"apiGroups": [""], "resources": resources, "verbs": verbs}]);
    make(server, &format!("{rbac}/roles"), json!({"metadata": {"name": user}, "rules": rules})).await;
    let binding = json!({"metadata": {"name": user}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
    make(server, &format!("{rbac}/rolebindings"), binding).await;
}

#[tokio::test]
async fn a_websocket_needs_the_right_to_create_too() {
    let server = Server::in_memory().await.unwrap();
    server.set_node("n1", node());
    pod(&server, "p", "10.1.1.1", 80).await;
    allow(&server, "reader", &["get"], &["pods/exec"]).await;
    allow(&server, "writer", &["get", "create"], &["pods/exec"]).await;
    let path = format!("{CORE}/pods/p/exec?container=c&command=x&stdout=1");
    let ask = async |user: &str, method: &str| {
        let (code, _, text) = call(&server, User::new(user, &[]), method, &path, Value::Null).await;
        let status: Value = serde_json::from_str(&text).unwrap();
        (code, status["message"].as_str().unwrap().to_owned())
    };
    let stranger = "pods \"p\" is forbidden: User \"eve\" cannot get resource \"pods/exec\" in API group \"\" in the namespace \"default\"";
    assert_eq!(ask("eve", "GET").await, (403, stranger.to_owned()));
    assert_eq!(ask("reader", "GET").await, (403, "pods \"p\" is forbidden: ".to_owned()));
    assert_eq!(ask("reader", "POST").await.0, 403);
    for method in ["GET", "POST"] {
        assert_eq!(ask("writer", method).await, (400, "Upgrade request required".to_owned()));
    }
}

mod hook;

#[tokio::test]
async fn admission_sees_what_is_handed_on() {
    let server = Server::in_memory().await.unwrap();
    server.set_node("n1", node());
    pod(&server, "p", "10.1.1.1", 80).await;
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "no-shells"}, "spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
                "resources": ["pods/exec"], "operations": ["CONNECT"]}]},
            "validations": [{"expression": "!object.command.exists(word, word == 'sh') && request.operation == 'CONNECT' && request.kind.kind == 'PodExecOptions'", "message": "no shells"}]}});
    let group = "/apis/admissionregistration.k8s.io/v1";
    make(&server, &format!("{group}/validatingadmissionpolicies"), policy).await;
    let binding =
        json!({"metadata": {"name": "no-shells"}, "spec": {"policyName": "no-shells", "validationActions": ["Deny"]}});
    make(&server, &format!("{group}/validatingadmissionpolicybindings"), binding).await;
    let exec =
        async |command: &str| get(&server, &format!("{CORE}/pods/p/exec?container=c&stdout=1&command={command}")).await;
    let (code, text) = exec("sh").await;
    assert!(code == 422 && text.contains("no shells"), "{code} {text}");
    let (code, text) = exec("ls").await;
    assert!(code == 400 && text.contains("Upgrade request required"), "{code} {text}");

    let hook = hook::start().await;
    let webhook = json!({"metadata": {"name": "w"}, "webhooks": [{"name": "w.example.org", "clientConfig": hook.config("/nonsense"),
        "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/attach"], "operations": ["CONNECT"]}]}]});
    make(&server, &format!("{group}/validatingwebhookconfigurations"), webhook).await;
    let (code, text) = get(&server, &format!("{CORE}/pods/p/attach?container=c&stdout=1")).await;
    assert!(code == 500 && text.contains("failed calling webhook"), "{code} {text}");
}

/// A server in a pod, at an address that pods of plain processes have.
async fn pod_server() -> SocketAddr {
    let listener = TcpListener::bind("127.77.0.2:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().fallback(|request: Request| async move {
        let (mut parts, body) = request.into_parts();
        if let Some(upgrade) = parts.extensions.remove::<OnUpgrade>().filter(|_| parts.headers.contains_key("upgrade"))
        {
            tokio::spawn(async move {
                let mut stream = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
                let mut byte = [0];
                while stream.read(&mut byte).await.is_ok_and(|n| n > 0) {
                    stream.write_all(&[byte[0].to_ascii_uppercase()]).await.ok();
                }
            });
            let answer =
                http::Response::builder().status(101).header("connection", "upgrade").header("upgrade", "test");
            return answer.body(Body::empty()).unwrap();
        }
        let names: Vec<String> =
            parts.headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        match parts.uri.path() {
            "/moved" => [(header::LOCATION, "/there/")].into_response().with_status(302),
            "/page" => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], "<a href=\"/x\">").into_response(),
            "/large" => Body::from(vec![7; 3 << 20]).into_response(),
            _ => {
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let body = String::from_utf8_lossy(&body);
                format!("{} {} {body} {}", parts.method, parts.uri, names.join(" ")).into_response()
            }
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

trait WithStatus {
    fn with_status(self, code: u16) -> Self;
}

impl WithStatus for http::Response<Body> {
    fn with_status(mut self, code: u16) -> Self {
        *self.status_mut() = StatusCode::from_u16(code).unwrap();
        self
    }
}

#[tokio::test]
async fn a_server_in_a_pod_is_reached_and_its_links_lead_back() {
    let server = Server::in_memory().await.unwrap();
    let there = pod_server().await;
    pod(&server, "p", "127.77.0.2", there.port()).await;
    let base = format!("{CORE}/pods/p/proxy");
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let (code, _, text) = call(&server, admin(), method, &format!("{base}/a/b?c=d%20e"), json!({"x": 1})).await;
        assert_eq!(code, 200);
        assert!(text.starts_with(&format!("{method} /a/b?c=d%20e {{\"x\":1}} ")), "{text}");
        assert!(text.contains("host=asked:1") && text.contains(&format!("x-forwarded-uri={base}/a/b")), "{text}");
        assert!(!text.contains("Bearer"), "the client's credentials stay here: {text}");
    }
    let named = format!("{CORE}/pods/http:p:{}/proxy", there.port());
    assert!(get(&server, &format!("{named}/%2e%2e/x/")).await.1.starts_with("GET /x/ "));
    let (code, headers, _) = call(&server, admin(), "GET", &format!("{base}/moved"), Value::Null).await;
    assert_eq!((code, headers["location"].to_str().unwrap()), (302, format!("{base}/there/").as_str()));
    let (code, headers, _) = call(&server, admin(), "GET", &format!("{base}?q=1"), Value::Null).await;
    assert_eq!((code, headers["location"].to_str().unwrap()), (301, format!("{base}/?q=1").as_str()));
    assert_eq!(get(&server, &format!("{base}/page")).await.1, format!("<a href=\"{base}/x\">"));
    assert_eq!(get(&server, &format!("{base}/large")).await.1.len(), 3 << 20);
    let (code, text) = get(&server, &format!("{CORE}/pods/p:1/proxy/")).await;
    let why = "error trying to reach service: dial tcp 127.77.0.2:1: connect: connection refused";
    assert!(code == 503 && text.contains(why), "{text}");

    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"name": "web", "port": 80}]}});
    make(&server, &format!("{CORE}/services"), service).await;
    let slice = |name: &str, target: &str| {
        json!({"metadata": {"name": name, "labels": {"kubernetes.io/service-name": "s"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.77.0.2"], "targetRef": {"kind": "Pod", "name": target}}], "ports": [{"name": "web", "port": there.port()}]})
    };
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    make(&server, slices, slice("other", "absent")).await;
    assert_eq!(get(&server, &format!("{CORE}/services/s:web/proxy/")).await.0, 503, "no pod has this address");
    make(&server, slices, slice("own", "p")).await;
    for name in ["s:web", "s:80", "http:s:web"] {
        assert!(get(&server, &format!("{CORE}/services/{name}/proxy/x")).await.1.starts_with("GET /x "), "{name}");
    }
    assert_eq!(get(&server, &format!("{CORE}/services/s/proxy/")).await.0, 503, "its port has a name");
}

#[tokio::test]
async fn an_upgrade_goes_through_a_proxy() {
    let server = Server::in_memory().await.unwrap();
    let there = pod_server().await;
    pod(&server, "p", "127.77.0.2", there.port()).await;
    let api = serve(&server, admin()).await;
    let (mut stream, answer) = upgrade(api, "GET", &format!("{CORE}/pods/p/proxy/socket")).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    stream.write_all(b"hello\n").await.unwrap();
    assert_eq!(line(&mut stream).await, "HELLO\n");
}

#[tokio::test]
async fn the_audit_log_says_when_streams_begin_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let config = Config {
        store: Store::in_memory().unwrap(),
        tokens: Tokens::new(&Tokens::generate_key(), []).unwrap(),
        service_range: (std::net::Ipv4Addr::new(10, 96, 0, 0), 16),
        advertise: None,
    };
    let log = audit::Config { policy: audit::Policy::metadata(), file: file.clone(), max_bytes: 1 << 20, max_files: 1 };
    let server = Server::build_audited(config, log).await.unwrap();
    server.set_node("n1", node());
    pod(&server, "p", "10.1.1.1", 80).await;
    let api = serve(&server, admin()).await;
    let stages = async || {
        server.flush_audit().await;
        let text = std::fs::read_to_string(&file).unwrap();
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let own = events.filter(|event| event["objectRef"]["subresource"] == "exec");
        own.map(|event| event["stage"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (mut stream, _) = upgrade(api, "POST", &format!("{CORE}/pods/p/exec?container=c&command=x&stdout=1")).await;
    line(&mut stream).await;
    assert_eq!(stages().await, ["ResponseStarted"]);
    let metrics = get(&server, "/metrics").await.1;
    let open =
        metrics.lines().find(|line| line.starts_with("apiserver_longrunning_requests{") && line.contains("exec"));
    assert!(open.is_some_and(|line| line.contains("CONNECT") && line.ends_with(" 1")), "{metrics}");
    drop(stream);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while stages().await.len() < 2 {
        assert!(tokio::time::Instant::now() < deadline, "its end is not told");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(stages().await[1], "ResponseComplete");
}

#[tokio::test]
async fn discovery_names_what_is_handed_on() {
    let server = Server::in_memory().await.unwrap();
    let list: Value = serde_json::from_str(&get(&server, "/api/v1").await.1).unwrap();
    let find = |name: &str| {
        let entry = list["resources"].as_array().unwrap().iter().find(|entry| entry["name"] == name);
        let entry = entry.unwrap_or_else(|| panic!("{name} is not named"));
        (entry["kind"].as_str().unwrap().to_owned(), entry["verbs"].clone(), entry["namespaced"].clone())
    };
    let streams = json!(["create", "get"]);
    for (name, kind) in
        [("exec", "PodExecOptions"), ("attach", "PodAttachOptions"), ("portforward", "PodPortForwardOptions")]
    {
        assert_eq!(find(&format!("pods/{name}")), (kind.to_owned(), streams.clone(), true.into()));
    }
    let any = json!(["create", "delete", "get", "patch", "update"]);
    for (name, kind, namespaced) in [
        ("pods", "PodProxyOptions", true),
        ("services", "ServiceProxyOptions", true),
        ("nodes", "NodeProxyOptions", false),
    ] {
        assert_eq!(find(&format!("{name}/proxy")), (kind.to_owned(), any.clone(), namespaced.into()));
    }
}

#[tokio::test]
async fn figures_are_served_where_a_node_measures_them() {
    let server = Server::in_memory().await.unwrap();
    let api = "/apis/metrics.k8s.io/v1beta1";
    assert_eq!(get(&server, api).await.0, 404, "without a node there is no such group");
    assert!(!get(&server, "/apis").await.1.contains("metrics.k8s.io"));
    let summary = json!({
        "node": {"nodeName": "n1", "cpu": {"time": "2026-01-01T00:00:10Z", "usageNanoCores": 250_000_000, "window": 10.5},
            "memory": {"workingSetBytes": 1 << 30}},
        "pods": [
            {"podRef": {"name": "p", "namespace": "default"}, "containers": [
                {"name": "c", "cpu": {"time": "2026-01-01T00:00:10Z", "usageNanoCores": 1234, "window": 10.5}, "memory": {"workingSetBytes": 4096}},
                {"name": "d", "cpu": {"time": "2026-01-01T00:00:10Z", "usageNanoCores": 2000, "window": 10.5}, "memory": {"workingSetBytes": 8192}}]},
            {"podRef": {"name": "other", "namespace": "kube-system"}, "containers": [
                {"name": "c", "cpu": {"time": "2026-01-01T00:00:10Z", "usageNanoCores": 1, "window": 10.5}, "memory": {"workingSetBytes": 1}}]},
            {"podRef": {"name": "young", "namespace": "default"}, "containers": []},
        ],
    });
    let told = summary.to_string();
    let measure = axum::routing::get(move || async move { told });
    server.set_node("n1", axum::Router::new().route("/stats/summary", measure));
    let object = json!({"metadata": {"name": "p", "labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}});
    make(&server, &format!("{CORE}/pods"), object).await;
    let read = async |path: &str| {
        let (code, text) = get(&server, &format!("{api}/{path}")).await;
        assert_eq!(code, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let node = read("nodes/n1").await;
    assert_eq!(node["usage"], json!({"cpu": "250m", "memory": "1Gi"}));
    assert_eq!((&node["window"], &node["timestamp"]), (&json!("10.5s"), &json!("2026-01-01T00:00:10Z")));
    let pods = read("pods").await;
    assert_eq!((&pods["kind"], pods["items"].as_array().unwrap().len()), (&json!("PodMetricsList"), 2));
    let own = read("namespaces/default/pods?labelSelector=app%3Dx").await;
    assert_eq!(own["items"][0]["containers"][0], json!({"name": "c", "usage": {"cpu": "1234n", "memory": "4Ki"}}));
    for selector in ["labelSelector=app%3Dy", "fieldSelector=metadata.name%3Dz"] {
        assert_eq!(read(&format!("pods?{selector}")).await["items"], json!([]), "{selector}");
    }
    let (code, text) = get(&server, &format!("{api}/namespaces/default/pods/young")).await;
    assert!(code == 404 && text.contains("podmetrics.metrics.k8s.io \\\"default/young\\\" not found"), "{text}");
    for (method, path) in [("POST", "namespaces/default/pods"), ("DELETE", "nodes/n1"), ("GET", "pods?watch=1")] {
        let (code, _, text) = call(&server, admin(), method, &format!("{api}/{path}"), json!({})).await;
        assert_eq!(code, 405, "{method} {path}: {text}");
    }
    let mut request = Request::get(format!("{api}/namespaces/default/pods"));
    request = request.header("accept", "application/json;as=Table;g=meta.k8s.io;v=v1");
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(admin());
    let table = axum::body::to_bytes(server.handle(request).await.into_body(), 1 << 20).await.unwrap();
    let table: Value = serde_json::from_slice(&table).unwrap();
    assert_eq!(table["rows"][0]["cells"], json!(["p", "3234n", "12Ki", "10.5s"]));
    let discovery = serde_json::from_str::<Value>(&get(&server, api).await.1).unwrap();
    assert_eq!(discovery["resources"].as_array().unwrap().len(), 2);
}
