//! A cluster in this process with a real node: API server in memory, image packed at run time.
//!
//! Everything is removed when it is dropped, also when a test fails.
#![allow(clippy::unwrap_used, clippy::panic, reason = "it is a test's")]
#![allow(unreachable_pub, missing_docs, dead_code, reason = "each test uses its part of it")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use node::{Config, Isolation, Node};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const IMAGE: &str = "registry.cluster.local/tool:1";

pub struct World {
    pub server: apiserver::Server,
    pub client: kube::Client,
    pub data: PathBuf,
    isolation: Isolation,
    running: Option<(CancellationToken, JoinHandle<Result<(), node::Error>>)>,
    dir: tempfile::TempDir,
}

impl World {
    pub async fn new(isolation: Isolation) -> Self {
        let server = apiserver::Server::in_memory().await.expect("the API server starts");
        let client = server.client(apiserver::User::new("system:admin", &["system:masters"]));
        // Every pod's token comes with the authority; the controllers that hand it out do not run here.
        let authority: k8s_openapi::api::core::v1::ConfigMap = serde_json::from_value(
            serde_json::json!({"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "none"}}),
        )
        .unwrap();
        let maps = Api::namespaced(client.clone(), "default");
        maps.create(&kube::api::PostParams::default(), &authority).await.expect("the authority is stored");
        let dir = tempfile::tempdir().unwrap();
        // Content that no other run has: nothing can come from a cache.
        let source = dir.path().join("tool.c");
        let salt = format!("const char salt[] = \"{}\";\n", uuid::Uuid::new_v4());
        std::fs::write(&source, salt + include_str!("tool.c")).unwrap();
        let tool = dir.path().join("tool");
        let cc = Command::new("cc").arg("-o").arg(&tool).arg(&source).status();
        assert!(cc.is_ok_and(|status| status.success()), "a C compiler is missing: apt-get install gcc libc6-dev");
        let images = images::Store::open(dir.path().join("images")).unwrap();
        let reference = images::Reference::parse(IMAGE).unwrap();
        images::pack::pack(&images, &tool, &reference, &images::pack::Config::default()).unwrap();
        let data = dir.path().join("node");
        let mut world = Self { server, client, data, isolation, running: None, dir };
        world.start().await;
        world
    }

    /// Starts the node; after [`World::stop`] another one on the same data.
    pub async fn start(&mut self) {
        let node = Node::build(Config {
            client: self.client.clone(),
            name: "n1".into(),
            data: self.data.clone(),
            images: images::Store::open(self.dir.path().join("images")).unwrap(),
            isolation: self.isolation.clone(),
            executable: env!("CARGO_BIN_EXE_node-shim").into(),
            pod_cidr: None,
        })
        .await
        .expect("the node is built");
        self.server.set_node("n1", node.handle().router());
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "the test looks at the result itself")]
        let task = tokio::spawn(node.run(stop.clone()));
        self.running = Some((stop, task));
    }

    pub async fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.cancel();
            task.await.unwrap().unwrap();
        }
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    /// Makes a pod of one container `c` with these arguments; `more` is merged into its spec.
    pub async fn pod(&self, name: &str, args: &[&str], more: Value) {
        let mut spec = json!({
            "nodeName": "n1", "terminationGracePeriodSeconds": 2,
            "containers": [{ "name": "c", "image": IMAGE, "args": args }],
        });
        merge(&mut spec, more);
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": name } }, "spec": spec });
        self.pods().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }

    /// Waits until the pod's JSON satisfies `until`, and returns it.
    pub async fn until(&self, name: &str, what: &str, until: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let pod = self.pods().get_opt(name).await.unwrap();
            let value = serde_json::to_value(&pod).unwrap();
            if until(&value) {
                return value;
            }
            if tokio::time::Instant::now() > deadline {
                let shim = format!(
                    "{}\n{}\n{}",
                    glob(&self.data, "shim.log"),
                    glob(&self.data, "logs/c/0.log"),
                    self.events().await
                );
                panic!("pod {name} is not {what}: {}\n{shim}", serde_json::to_string_pretty(&value["status"]).unwrap());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn until_ready(&self, name: &str) -> Value {
        self.until(name, "ready", |pod| condition(pod, "Ready") == "True").await
    }

    pub async fn until_phase(&self, name: &str, phase: &str) -> Value {
        self.until(name, phase, |pod| pod["status"]["phase"] == phase).await
    }

    pub async fn logs(&self, name: &str, query: &str) -> String {
        let path = format!("/api/v1/namespaces/default/pods/{name}/log?container=c&{query}");
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        self.client.request_text(request).await.unwrap_or_else(|error| format!("error: {error}"))
    }

    /// Serves the API on a port of loopback, to everybody as an administrator.
    pub async fn serve(&self) -> std::net::SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = self.server.clone();
        let api = axum::Router::new().fallback(move |mut request: axum::extract::Request| {
            request.extensions_mut().insert(apiserver::User::new("system:admin", &["system:masters"]));
            let server = server.clone();
            async move { server.handle(request).await }
        });
        #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
        tokio::spawn(async move { axum::serve(listener, api).await });
        address
    }

    pub async fn delete(&self, name: &str) {
        self.pods().delete(name, &DeleteParams::default()).await.unwrap();
        self.until(name, "gone", Value::is_null).await;
    }

    pub async fn events(&self) -> String {
        let api: Api<k8s_openapi::api::core::v1::Event> = Api::default_namespaced(self.client.clone());
        let list = api.list(&kube::api::ListParams::default()).await.unwrap();
        let text = |event: k8s_openapi::api::core::v1::Event| {
            format!("{}: {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default())
        };
        list.into_iter().map(text).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.cancel();
            task.abort();
        }
        if let Err(error) = node::purge(&self.data) {
            eprintln!("left something behind: {error}");
        }
    }
}

pub fn condition<'a>(pod: &'a Value, kind: &str) -> &'a str {
    let conditions = pod["status"]["conditions"].as_array();
    let found = conditions.and_then(|list| list.iter().find(|condition| condition["type"] == kind));
    found.and_then(|condition| condition["status"].as_str()).unwrap_or_default()
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => {
            for (index, value) in from.into_iter().enumerate() {
                if index < into.len() {
                    merge(&mut into[index], value);
                } else {
                    into.push(value);
                }
            }
        }
        (into, from) => *into = from,
    }
}

fn glob(dir: &Path, name: &str) -> String {
    let mut out = String::new();
    for entry in std::fs::read_dir(dir.join("pods")).into_iter().flatten().flatten() {
        out += &std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
    }
    out
}

/// Everything that a platform may leave on a machine: interfaces, mounts, control groups, namespaces' holders.
pub fn traces() -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/sys/class/net").unwrap().flatten() {
        found.push(format!("interface {}", entry.file_name().to_string_lossy()));
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    found.extend(mounts.lines().map(|line| format!("mount {line}")));
    let groups = Command::new("find").args(["/sys/fs/cgroup", "-name", "roadstead*", "-type", "d"]).output().unwrap();
    found.extend(String::from_utf8_lossy(&groups.stdout).lines().map(|line| format!("control group {line}")));
    found.sort();
    found
}
