//! A cluster in this process, charts written on the spot, and verbs as they are typed.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use apiserver::{Server, Tokens, User, store::Store};
use clap::Parser;
use installer::{Cluster, Error, Verb};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

pub(crate) fn word() -> String {
    format!("w{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) cluster: Cluster,
    pub(crate) namespace: String,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) told: Arc<Mutex<Vec<String>>>,
    _server: Server,
}

impl World {
    pub(crate) async fn start() -> Self {
        let admin = word();
        let server = Server::build(apiserver::Config {
            store: Store::in_memory().unwrap(),
            tokens: Tokens::new(&Tokens::generate_key(), [(admin, User::new("admin", &["system:masters"]))]).unwrap(),
            service_range: (std::net::Ipv4Addr::new(10, 96, 0, 0), 16),
            advertise: None,
        })
        .await
        .unwrap();
        let client = server.client(User::new("somebody", &["system:masters"]));
        let namespace = word();
        let world = Self {
            cluster: Cluster::of(client.clone(), &namespace),
            client,
            namespace: namespace.clone(),
            folder: tempfile::tempdir().unwrap(),
            told: Arc::default(),
            _server: server,
        };
        world.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})).await;
        world
    }

    /// Runs `roadstead helm` with these arguments.
    pub(crate) async fn helm(&self, line: &str) -> Result<String, Error> {
        self.helm_on(&self.cluster, line).await
    }

    pub(crate) async fn helm_on(&self, cluster: &Cluster, line: &str) -> Result<String, Error> {
        let verb = Line::try_parse_from(["helm"].into_iter().chain(line.split_whitespace())).unwrap().verb;
        let told = self.told.clone();
        let tell: installer::Tell = Arc::new(move |text: &str| told.lock().unwrap().push(text.to_owned()));
        installer::run_on(cluster, verb, tell).await
    }

    /// The same, where it has to go well.
    pub(crate) async fn done(&self, line: &str) -> String {
        match self.helm(line).await {
            Ok(text) => text,
            Err(error) => panic!("{line}: {}", base::fault::Chain(&error)),
        }
    }

    /// The same, where it has to fail; returns what is said.
    pub(crate) async fn refused(&self, line: &str) -> String {
        match self.helm(line).await {
            Ok(text) => panic!("{line} went well: {text}"),
            Err(error) => base::fault::Chain(&error).to_string(),
        }
    }

    /// Writes a chart and returns where it is.
    pub(crate) fn chart(&self, name: &str, files: &[(&str, &str)]) -> String {
        let folder = self.folder.path().join(format!("{name}-{}", word()));
        let put = |path: &str, text: &str| {
            let file: PathBuf = folder.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        put("Chart.yaml", &format!("apiVersion: v2\nname: {name}\nversion: 1.2.3\nappVersion: \"9\"\n"));
        for (path, text) in files {
            put(path, text);
        }
        folder.display().to_string()
    }

    pub(crate) fn api(&self, version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, short) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, short, kind));
        if matches!(kind, "Namespace" | "CustomResourceDefinition") {
            return Api::all_with(self.client.clone(), &resource);
        }
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    pub(crate) async fn put(&self, object: Value) {
        let api = self.api(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        let name = object["metadata"]["name"].as_str().unwrap();
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await.unwrap();
    }

    pub(crate) async fn get(&self, version: &str, kind: &str, name: &str) -> Option<Value> {
        self.api(version, kind).get_opt(name).await.unwrap().map(|object| serde_json::to_value(object).unwrap())
    }

    /// Waits until an object is as the condition says, at most twenty seconds.
    pub(crate) async fn until(&self, version: &str, kind: &str, name: &str, holds: impl Fn(Option<&Value>) -> bool) {
        let deadline = base::clock::instant() + Duration::from_secs(20);
        loop {
            let seen = self.get(version, kind, name).await;
            if holds(seen.as_ref()) {
                return;
            }
            assert!(base::clock::instant() < deadline, "waited in vain for {kind} {name}: {seen:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sets the status of an object as soon as it is there, as a controller would.
    pub(crate) async fn status(&self, version: &str, kind: &str, name: &str, status: Value) {
        self.until(version, kind, name, |seen| seen.is_some()).await;
        let patch = json!({"status": status});
        self.api(version, kind).patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    pub(crate) fn told(&self) -> String {
        self.told.lock().unwrap().join("\n")
    }
}
