//! Who may do what, and what is written down of it, as a client meets it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops at what it did not expect, and runs beside the product"
)]

use apiserver::{Config, Server, Tokens, User, audit, store::Store};
use http::{Method, Request};
use serde_json::{Value, json};

/// A request, and the code and body of its answer.
struct Ask<'a> {
    user: Option<User>,
    method: Method,
    path: &'a str,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

fn ask<'a>(method: &str, path: &'a str) -> Ask<'a> {
    let admin = User::new("admin", &["system:masters"]);
    Ask { user: Some(admin), method: method.parse().unwrap(), path, headers: Vec::new(), body: Value::Null }
}

impl Ask<'_> {
    fn user(mut self, name: &str, groups: &[&str]) -> Self {
        self.user = Some(User::new(name, groups));
        self
    }

    fn token(mut self, token: &str) -> Self {
        self.user = None;
        self.headers.push(("authorization", format!("Bearer {token}")));
        self
    }

    fn anonymous(mut self) -> Self {
        self.user = None;
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn body(mut self, body: Value) -> Self {
        self.body = body;
        self
    }

    async fn raw(self, server: &Server) -> (u16, String) {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let body = if self.body.is_null() { String::new() } else { self.body.to_string() };
        let mut request = request.body(axum::body::Body::from(body)).unwrap();
        if let Some(user) = self.user {
            request.extensions_mut().insert(user);
        }
        let answer = server.handle(request).await;
        let code = answer.status().as_u16();
        let bytes = axum::body::to_bytes(answer.into_body(), 64 << 20).await.unwrap();
        (code, String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn of(self, server: &Server) -> (u16, Value) {
        let (code, text) = self.raw(server).await;
        (code, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}

fn random(prefix: &str) -> String {
    format!("{prefix}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

async fn made(server: &Server, path: &str, body: Value) -> Value {
    let (code, object) = ask("POST", path).body(body).of(server).await;
    assert_eq!(code, 201, "{object}");
    object
}

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

async fn let_do(server: &Server, user: &str, rules: Value) {
    let name = random("role");
    made(server, &format!("{RBAC}/clusterroles"), json!({"metadata": {"name": name}, "rules": rules})).await;
    let binding = json!({"metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
    made(server, &format!("{RBAC}/clusterrolebindings"), binding).await;
}

#[tokio::test]
async fn an_update_or_apply_that_creates_asks_for_the_right_to_create() {
    let server = Server::in_memory().await.unwrap();
    let (changer, maker) = (random("changer"), random("maker"));
    let rules = |verbs: &[&str]| json!([{"apiGroups": [""], "resources": ["services", "configmaps"], "verbs": verbs}]);
    let_do(&server, &changer, rules(&["get", "update", "patch"])).await;
    let_do(&server, &maker, rules(&["get", "update", "patch", "create"])).await;
    let name = random("s");
    let path = format!("/api/v1/namespaces/default/services/{name}");
    let service = json!({"metadata": {"name": name}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}});
    let put =
        |user: &str| ask("PUT", &path).user(user, &[]).header("content-type", "application/json").body(service.clone());
    assert_eq!(put(&changer).of(&server).await.0, 403);
    let (code, made) = put(&maker).of(&server).await;
    assert_eq!(code, 201, "{made}");
    let map = format!("/api/v1/namespaces/default/configmaps/{name}?fieldManager=m");
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}});
    let apply = |user: &str| {
        ask("PATCH", &map).user(user, &[]).header("content-type", "application/apply-patch+yaml").body(config.clone())
    };
    assert_eq!(apply(&changer).of(&server).await.0, 403);
    assert_eq!(apply(&maker).of(&server).await.0, 201);
    assert_eq!(apply(&changer).of(&server).await.0, 200);
    // Most kinds are not created by an update.
    let plain = format!("/api/v1/namespaces/default/configmaps/{}", random("m"));
    let body = json!({"metadata": {"name": plain.rsplit('/').next()}});
    let update = ask("PUT", &plain).user(&maker, &[]).header("content-type", "application/json").body(body);
    assert_eq!(update.of(&server).await.0, 404);
}

#[tokio::test]
async fn who_impersonates_is_asked_for_each_part_of_it() {
    let server = Server::in_memory().await.unwrap();
    let (agent, group) = (random("agent"), random("group"));
    let rules = json!([{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]},
        {"apiGroups": [""], "resources": ["groups"], "resourceNames": [group], "verbs": ["impersonate"]}]);
    let_do(&server, &agent, rules).await;
    let me = |group: &str| {
        ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews")
            .user(&agent, &[])
            .header("impersonate-user", "ann")
            .header("impersonate-group", group)
            .body(json!({}))
    };
    let (code, review) = me(&group).of(&server).await;
    assert_eq!(code, 201, "{review}");
    assert_eq!(review["status"]["userInfo"]["username"], "ann");
    assert_eq!(review["status"]["userInfo"]["groups"], json!([group, "system:authenticated"]));
    let (code, refused) = me("system:masters").of(&server).await;
    assert_eq!(code, 403);
    assert_eq!(
        refused["message"],
        format!(
            "groups \"system:masters\" is forbidden: User \"{agent}\" cannot impersonate resource \"groups\" in API group \"\" at the cluster scope"
        )
    );
}

#[tokio::test]
async fn a_pods_token_lives_as_long_as_its_pod() {
    let server = Server::in_memory().await.unwrap();
    let pod = random("pod");
    let core = "/api/v1/namespaces/default";
    made(&server, &format!("{core}/serviceaccounts"), json!({"metadata": {"name": "bot"}})).await;
    let spec = json!({"serviceAccountName": "bot", "containers": [{"name": "c", "image": "i"}]});
    made(&server, &format!("{core}/pods"), json!({"metadata": {"name": pod}, "spec": spec})).await;
    let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": pod});
    let wanted = json!({"spec": {"audiences": [], "boundObjectRef": reference}});
    let token = made(&server, &format!("{core}/serviceaccounts/bot/token"), wanted).await;
    assert!(token["spec"]["boundObjectRef"]["uid"].is_null(), "it says what was asked");
    let token = token["status"]["token"].as_str().unwrap().to_owned();
    let me = || ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews").token(&token).body(json!({}));
    let (code, review) = me().of(&server).await;
    assert_eq!(code, 201);
    assert_eq!(review["status"]["userInfo"]["extra"]["authentication.kubernetes.io/pod-name"], json!([pod]));
    let review = |audiences: Value| {
        made(
            &server,
            "/apis/authentication.k8s.io/v1/tokenreviews",
            json!({"spec": {"token": token, "audiences": audiences}}),
        )
    };
    assert_eq!(review(json!([])).await["status"]["authenticated"], true);
    assert!(review(json!(["vault"])).await["status"]["authenticated"].is_null());
    let other = json!({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": "another"}}});
    let path = format!("{core}/serviceaccounts/bot/token");
    assert_eq!(ask("POST", &path).body(other).of(&server).await.0, 409);
    let path = format!("{core}/pods/{pod}?gracePeriodSeconds=0");
    assert_eq!(ask("DELETE", &path).of(&server).await.0, 200);
    assert_eq!(me().of(&server).await.0, 401);
}

#[tokio::test]
async fn aggregated_roles_are_made_of_their_parts() {
    let server = Server::in_memory().await.unwrap();
    let resource = random("boats");
    let path = format!("{RBAC}/clusterroles/view");
    let holds = async || {
        let (_, view) = ask("GET", &path).of(&server).await;
        view["rules"].as_array().unwrap().iter().any(|rule| rule["resources"] == json!([resource]))
    };
    let part = json!({"metadata": {"name": "part", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["sea.example"], "resources": [resource], "verbs": ["get"]}]});
    assert!(!holds().await);
    made(&server, &format!("{RBAC}/clusterroles"), part).await;
    assert!(holds().await);
    let (_, admin) = ask("GET", &format!("{RBAC}/clusterroles/admin")).of(&server).await;
    let rules = admin["rules"].as_array().unwrap();
    assert!(rules.iter().any(|rule| rule["resources"] == json!([resource])), "view is part of edit, edit of admin");
    assert_eq!(ask("DELETE", &format!("{RBAC}/clusterroles/part")).of(&server).await.0, 200);
    assert!(!holds().await);
}

#[tokio::test]
async fn a_node_touches_itself_and_its_pods_alone() {
    let server = Server::in_memory().await.unwrap();
    let core = "/api/v1/namespaces/default";
    for (pod, node, secret) in [("mine", "a", "s1"), ("theirs", "b", "s2")] {
        made(&server, &format!("{core}/secrets"), json!({"metadata": {"name": secret}, "stringData": {"k": "v"}}))
            .await;
        let spec = json!({"nodeName": node, "containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "v", "secret": {"secretName": secret}}]});
        made(&server, &format!("{core}/pods"), json!({"metadata": {"name": pod}, "spec": spec})).await;
    }
    let node = |method: &str, path: String, body: Value| {
        let server = server.clone();
        let method = method.to_owned();
        async move {
            ask(&method, &path)
                .user("system:node:a", &["system:nodes"])
                .header("content-type", "application/merge-patch+json")
                .body(body)
                .of(&server)
                .await
        }
    };
    let named = |name: &str| json!({"metadata": {"name": name}});
    let post = |path: &'static str, body: Value| {
        let server = &server;
        async move { ask("POST", path).user("system:node:a", &["system:nodes"]).body(body).of(server).await }
    };
    assert_eq!(post("/api/v1/nodes", named("a")).await.0, 201);
    let (code, refused) = post("/api/v1/nodes", named("b")).await;
    assert_eq!(
        (code, refused["message"].as_str()),
        (403, Some("nodes \"b\" is forbidden: node \"a\" is not allowed to modify node \"b\""))
    );
    let running = json!({"status": {"phase": "Running"}});
    assert_eq!(node("PATCH", format!("{core}/pods/mine/status"), running.clone()).await.0, 200);
    assert_eq!(node("PATCH", format!("{core}/pods/theirs/status"), running).await.0, 403);
    assert_eq!(node("GET", format!("{core}/secrets/s1"), Value::Null).await.0, 200);
    assert_eq!(node("GET", format!("{core}/secrets/s2"), Value::Null).await.0, 403);
    assert_eq!(node("GET", format!("{core}/secrets"), Value::Null).await.0, 403);
    let label = json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}});
    let (code, refused) = node("PATCH", "/api/v1/nodes/a".into(), label).await;
    assert_eq!(code, 403, "{refused}");
    let mirror =
        json!({"metadata": {"name": "x"}, "spec": {"nodeName": "a", "containers": [{"name": "c", "image": "i"}]}});
    assert_eq!(post("/api/v1/namespaces/default/pods", mirror).await.0, 403, "it is no mirror pod");
}

#[tokio::test]
async fn strangers_reach_health_and_version_alone() {
    let server = Server::in_memory().await.unwrap();
    for path in ["/healthz", "/livez", "/readyz", "/version", "/readyz?verbose"] {
        assert_eq!(ask("GET", path).anonymous().raw(&server).await.0, 200, "{path}");
    }
    for path in ["/metrics", "/api", "/apis", "/openapi/v3", "/api/v1/pods", "/api/v1/namespaces/kube-system/secrets"] {
        assert_eq!(ask("GET", path).anonymous().raw(&server).await.0, 403, "{path}");
    }
    let (_, refused) = ask("GET", "/metrics").anonymous().of(&server).await;
    assert_eq!(refused["message"], "forbidden: User \"system:anonymous\" cannot get path \"/metrics\"");
    let (_, text) = ask("GET", "/readyz?verbose&exclude=etcd").raw(&server).await;
    assert!(text.starts_with("[+]ping ok\n[+]log ok\n[+]etcd excluded: ok\n"), "{text}");
    assert!(text.ends_with("readyz check passed\n"), "{text}");
}

#[tokio::test]
async fn the_audit_log_says_who_did_what_and_keeps_secrets_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let policy = audit::Policy::parse(
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: None\n  nonResourceURLs: [/healthz]\n- level: RequestResponse\n",
    )
    .unwrap();
    let config = Config {
        store: Store::in_memory().unwrap(),
        tokens: Tokens::new(&Tokens::generate_key(), []).unwrap(),
        service_range: (std::net::Ipv4Addr::new(10, 96, 0, 0), 16),
        advertise: None,
    };
    let log = audit::Config { policy, file: file.clone(), max_bytes: 1 << 20, max_files: 1 };
    let server = Server::build_audited(config, log).await.unwrap();
    let core = "/api/v1/namespaces/default";
    let (hidden, shown) = (random("hidden"), random("shown"));
    made(&server, &format!("{core}/secrets"), json!({"metadata": {"name": "s"}, "stringData": {"k": hidden}})).await;
    ask("GET", &format!("{core}/secrets")).of(&server).await;
    made(&server, &format!("{core}/configmaps"), json!({"metadata": {"name": "m"}, "data": {"k": shown}})).await;
    made(&server, &format!("{core}/serviceaccounts"), json!({"metadata": {"name": "bot"}})).await;
    let token = made(&server, &format!("{core}/serviceaccounts/bot/token"), json!({"spec": {}})).await;
    let token = token["status"]["token"].as_str().unwrap().to_owned();
    made(&server, "/apis/authentication.k8s.io/v1/tokenreviews", json!({"spec": {"token": token}})).await;
    ask("GET", &format!("{core}/configmaps/none")).header("impersonate-user", "ann").of(&server).await;
    ask("GET", "/healthz").raw(&server).await;
    server.flush_audit().await;
    let text = std::fs::read_to_string(&file).unwrap();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &hidden);
    for secret in [&hidden, &encoded, &token] {
        assert!(!text.contains(secret.as_str()), "{secret} is in the log");
    }
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |verb: &str, resource: &str| {
        let fits = |event: &&Value| event["verb"] == verb && event["objectRef"]["resource"] == resource;
        events.iter().find(fits).unwrap_or_else(|| panic!("{verb} {resource}: {text}"))
    };
    let map = find("create", "configmaps");
    assert_eq!(map["objectRef"]["name"], "m", "also what the path does not name");
    assert_eq!(
        (&map["level"], &map["stage"], &map["user"]["username"]),
        (&json!("RequestResponse"), &json!("ResponseComplete"), &json!("admin"))
    );
    assert_eq!(
        (&map["requestObject"]["data"]["k"], &map["responseObject"]["data"]["k"]),
        (&json!(shown), &json!(shown))
    );
    assert_eq!(find("create", "secrets")["level"], "Metadata");
    let refused = find("get", "configmaps");
    assert_eq!(
        (&refused["responseStatus"]["code"], &refused["impersonatedUser"]["username"]),
        (&json!(403), &json!("ann"))
    );
    assert_eq!(refused["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert!(!text.contains("/healthz"));
    let (_, metrics) = ask("GET", "/metrics").raw(&server).await;
    assert!(metrics.contains("apiserver_audit_level_total{level=\"RequestResponse\"}"), "{metrics}");
    assert!(metrics.contains("apiserver_storage_objects{resource=\"configmaps\"} 2\n"), "{metrics}");
}

#[tokio::test]
async fn a_snapshot_is_for_those_who_may_have_everything() {
    let server = Server::in_memory().await.unwrap();
    let name = random("map");
    made(&server, "/api/v1/namespaces/default/configmaps", json!({"metadata": {"name": name}})).await;
    let path = "/roadstead/store/snapshot";
    assert_eq!(ask("GET", path).user("ann", &["devs"]).raw(&server).await.0, 403);
    let mut request = Request::get(path).body(axum::body::Body::empty()).unwrap();
    request.extensions_mut().insert(User::new("admin", &["system:masters"]));
    let bytes = axum::body::to_bytes(server.handle(request).await.into_body(), 64 << 20).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshot");
    std::fs::write(&file, &bytes).unwrap();
    apiserver::store::restore(&file, &folder.path().join("store")).unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    assert!(store.snapshot().get(&format!("core/configmaps/default/{name}")).is_some());
}

#[tokio::test]
async fn a_flood_of_one_user_is_refused_and_others_are_served() {
    let server = Server::in_memory().await.unwrap();
    let (flood, calm) = (random("flood"), random("calm"));
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]);
    let_do(&server, &flood, rules.clone()).await;
    let_do(&server, &calm, rules).await;
    // Bodies that never come keep their requests open.
    let mut stuck = Vec::new();
    let mut refused = Vec::new();
    for _ in 0..420 {
        let body = axum::body::Body::from_stream(futures::stream::pending::<Result<&str, std::io::Error>>());
        let mut request = Request::post("/api/v1/namespaces/default/configmaps").body(body).unwrap();
        request.extensions_mut().insert(User::new(&flood, &[]));
        let server = server.clone();
        let mut asked = Box::pin(async move { server.handle(request).await });
        match futures::poll!(asked.as_mut()) {
            std::task::Poll::Ready(answer) => refused.push(answer),
            std::task::Poll::Pending => stuck.push(asked),
        }
    }
    // A quarter of the seats, and six queues of fifty places.
    assert_eq!((stuck.len(), refused.len()), (400, 20));
    assert_eq!(refused[0].status(), 429);
    assert_eq!(refused[0].headers()["retry-after"], "1");
    let body = json!({"metadata": {"name": "m"}});
    let maps = "/api/v1/namespaces/default/configmaps";
    assert_eq!(ask("POST", maps).user(&calm, &[]).body(body).of(&server).await.0, 201);
    drop(stuck);
    let body = json!({"metadata": {"name": "n"}});
    assert_eq!(ask("POST", maps).user(&flood, &[]).body(body).of(&server).await.0, 201);
}

#[tokio::test]
async fn reviews_say_why_and_refuse_what_makes_no_sense() {
    let server = Server::in_memory().await.unwrap();
    let user = random("ann");
    let_do(&server, &user, json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}])).await;
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let spec = |verb: &str| json!({"spec": {"user": user, "resourceAttributes": {"verb": verb, "resource": "pods", "namespace": "a"}}});
    let review = made(&server, path, spec("get")).await;
    let reason = review["status"]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("RBAC: allowed by ClusterRoleBinding ") && reason.ends_with(&format!("to User {user:?}")),
        "{reason}"
    );
    assert_eq!(made(&server, path, spec("delete")).await["status"], json!({"allowed": false}));
    let (code, failure) = ask("POST", path).body(json!({"spec": {}})).of(&server).await;
    assert_eq!(code, 422);
    let fields: Vec<_> = failure["details"]["causes"].as_array().unwrap().iter().map(|cause| &cause["field"]).collect();
    assert_eq!(fields, ["spec.resourceAttributes", "spec.user"]);
    let mut twice = spec("get");
    twice["spec"]["colour"] = "red".into();
    assert_eq!(ask("POST", &format!("{path}?fieldValidation=Strict")).body(twice).of(&server).await.0, 400);
    let local = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews";
    let (code, failure) = ask("POST", local).body(spec("get")).of(&server).await;
    assert_eq!((code, &failure["details"]["causes"][0]["field"]), (422, &json!("spec.resourceAttributes.namespace")));
}

#[tokio::test]
async fn what_exists_from_the_start_is_there_and_leads_to_where_the_server_is() {
    let folder = tempfile::tempdir().unwrap();
    let start = async |port: u16| {
        // The store of the server before lets go of its file a moment later.
        let store = loop {
            match Store::open(folder.path()) {
                Ok(store) => break store,
                Err(error) if error.to_string().contains("has it open") => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        let config = Config {
            store,
            tokens: Tokens::new(&Tokens::generate_key(), []).unwrap(),
            service_range: (std::net::Ipv4Addr::new(10, 96, 0, 0), 16),
            advertise: Some((std::net::Ipv4Addr::LOCALHOST.into(), port)),
        };
        Server::build(config).await.unwrap()
    };
    let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    let server = start(6443).await;
    let (_, first) = ask("GET", slice).of(&server).await;
    let (_, endpoints) = ask("GET", "/api/v1/namespaces/default/endpoints/kubernetes").of(&server).await;
    assert_eq!(
        (&first["ports"][0]["port"], &endpoints["subsets"][0]["ports"][0]["port"]),
        (&json!(6443), &json!(6443))
    );
    let (_, service) = ask("GET", "/api/v1/namespaces/default/services/kubernetes").of(&server).await;
    assert_eq!(service["spec"]["clusterIP"], "10.96.0.1");
    for path in [
        "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical",
        "/apis/networking.k8s.io/v1/servicecidrs/kubernetes",
        "/api/v1/namespaces/kube-node-lease",
    ] {
        assert_eq!(ask("GET", path).of(&server).await.0, 200, "{path}");
    }
    drop(server);
    let server = start(6443).await;
    let (_, same) = ask("GET", slice).of(&server).await;
    assert_eq!(same["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"], "nothing changed");
    drop(server);
    let server = start(7443).await;
    let (_, moved) = ask("GET", slice).of(&server).await;
    assert_eq!(moved["ports"][0]["port"], 7443);
}
