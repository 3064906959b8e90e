//! A platform in one process: API server in memory, delivery, git on a port of its own.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use apiserver::{Server, Tokens, User, store::Store};
use base::task::{OnError, Tasks};
use gitops::{Config, Gitops, git::Host};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) host: Host,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) admin: String,
    pub(crate) stranger: String,
    stop: CancellationToken,
    _tasks: Tasks,
}

pub(crate) fn word() -> String {
    format!("w{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

impl World {
    pub(crate) async fn start() -> Self {
        let (admin, stranger) = (word(), word());
        let users =
            [(admin.clone(), User::new("admin", &["system:masters"])), (stranger.clone(), User::new("stranger", &[]))];
        let server = Server::build(apiserver::Config {
            store: Store::in_memory().unwrap(),
            tokens: Tokens::new(&Tokens::generate_key(), users).unwrap(),
            service_range: (std::net::Ipv4Addr::new(10, 96, 0, 0), 16),
            advertise: None,
        })
        .await
        .unwrap();
        let client = server.client(User::new("delivery", &["system:masters"]));
        for crd in platform::crds::all() {
            let crds: Api<DynamicObject> =
                Api::all_with(client.clone(), &resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition"));
            let name = crd["metadata"]["name"].as_str().unwrap().to_owned();
            crds.patch(&name, &PatchParams::apply("test"), &Patch::Apply(&crd)).await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let gitops = Gitops::build(Config {
            client: client.clone(),
            data: folder.path().to_owned(),
            sample_image: "registry.cluster.local/sample:7".to_owned(),
            kube_version: "v1.36.0".to_owned(),
        })
        .unwrap();
        let host = gitops.handle().host();
        let router = gitops.router();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::new();
        let stop = CancellationToken::new();
        tasks.spawn("git", OnError::Log, async move { axum::serve(listener, router).await });
        let token = stop.clone();
        tasks.spawn("delivery", OnError::Log, async move {
            gitops.run(token).await;
            Ok::<(), String>(())
        });
        Self { client, host, folder, address, admin, stranger, stop, _tasks: tasks }
    }

    pub(crate) fn url(&self, token: &str, repository: &str) -> String {
        format!("http://git:{token}@{}/git/{repository}.git", self.address)
    }

    /// Runs the stock git in a folder, off the async threads.
    pub(crate) async fn git(&self, folder: &Path, args: &[&str]) -> Output {
        let (folder, args, home) = (
            folder.to_owned(),
            args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(),
            self.folder.path().to_owned(),
        );
        tokio::task::spawn_blocking(move || {
            Command::new("git")
                .args([
                    "-c",
                    "user.name=T",
                    "-c",
                    "user.email=t@example.org",
                    "-c",
                    "init.defaultBranch=main",
                    "-c",
                    "protocol.version=2",
                ])
                .args(args)
                .current_dir(folder)
                .env("HOME", home)
                .env("GIT_TERMINAL_PROMPT", "0")
                .output()
                .unwrap()
        })
        .await
        .unwrap()
    }

    pub(crate) fn api(&self, group: &str, version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource(group, version, kind))
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource(group, version, kind))
        }
    }

    pub(crate) async fn put(&self, object: Value) -> DynamicObject {
        let (group, version) = object["apiVersion"]
            .as_str()
            .unwrap()
            .split_once('/')
            .unwrap_or(("", object["apiVersion"].as_str().unwrap()));
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("");
        let api = self.api(group, version, object["kind"].as_str().unwrap(), namespace);
        let name = object["metadata"]["name"].as_str().unwrap();
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await.unwrap()
    }

    /// Waits until an object is as the condition says, at most ten seconds.
    pub(crate) async fn until(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
        what: &str,
        holds: impl Fn(Option<&Value>) -> bool,
    ) -> Option<Value> {
        let mut last = None;
        let deadline = base::clock::instant() + Duration::from_secs(10);
        while base::clock::instant() < deadline {
            last = api.get_opt(name).await.unwrap().map(|object| serde_json::to_value(object).unwrap());
            if holds(last.as_ref()) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{name} is not {what} after ten seconds: {}", serde_json::to_string_pretty(&last).unwrap());
    }

    pub(crate) fn stop(self) {
        self.stop.cancel();
    }
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}
