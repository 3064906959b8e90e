//! The controllers against the API server, in one process and without a port.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test stops at what it did not expect, and runs beside the product"
)]

use std::time::Duration;

use apiserver::{Server, User};
use base::task::Tasks;
use controllers::Context;
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{ConfigMap, Namespace, Node, Pod, Service, ServiceAccount},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

struct Cluster {
    client: Client,
    tasks: Tasks,
    _server: Server,
}

impl Cluster {
    async fn start() -> Cluster {
        let server = Server::in_memory().await.unwrap();
        let client = server.client(User::new("controllers", &["system:masters"]));
        let tasks = Tasks::new();
        controllers::run(Context { client: client.clone(), root_ca: Some("PEM".into()) }, &tasks);
        Cluster { client, tasks, _server: server }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    async fn node(&self) {
        let node: Node = from(json!({"metadata": {"name": "n1"}}));
        let nodes: Api<Node> = Api::all(self.client.clone());
        nodes.create(&PostParams::default(), &node).await.unwrap();
        let status = json!({"status": {"allocatable": {"cpu": "4", "memory": "4Gi", "pods": "100"}, "conditions": [{"type": "Ready", "status": "True"}]}});
        nodes.patch_status("n1", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    /// Plays the node: every pod that is bound becomes ready.
    async fn run_pods(&self) {
        let pods: Api<Pod> = self.api();
        for (index, pod) in pods.list(&ListParams::default()).await.unwrap().items.into_iter().enumerate() {
            let bound = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
            let running = pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
            if pod.metadata.deletion_timestamp.is_some() {
                let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
                pods.delete(&pod.name_any(), &now).await.ok();
            } else if bound && !running {
                let status = json!({"status": {"phase": "Running", "podIP": format!("10.0.0.{}", index + 1), "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
                pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await.ok();
            }
        }
    }

    async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, check: impl Fn() -> F) -> T {
        let deadline = base::clock::instant() + Duration::from_secs(20);
        loop {
            if let Some(found) = check().await {
                return found;
            }
            assert!(base::clock::instant() < deadline, "{what}");
            self.run_pods().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn deployment(name: &str, replicas: i32, image: &str) -> Deployment {
    from(json!({"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}]}}}}))
}

async fn ready(api: &Api<Deployment>, name: &str, count: i32) -> Option<()> {
    let found = api.get(name).await.unwrap();
    let status = found.status?;
    (status.observed_generation == found.metadata.generation
        && status.available_replicas == Some(count)
        && status.updated_replicas == Some(count)
        && status.replicas == Some(count))
    .then_some(())
}

#[tokio::test]
async fn a_deployment_runs_rolls_and_its_service_leads_to_its_pods() {
    let cluster = Cluster::start().await;
    cluster.node().await;
    let name = format!("web{}", uuid_part());
    let deployments: Api<Deployment> = cluster.api();
    let service = json!({"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": "http"}]}});
    cluster.api::<Service>().create(&PostParams::default(), &from(service)).await.unwrap();
    deployments.create(&PostParams::default(), &deployment(&name, 3, "i:1")).await.unwrap();
    cluster.until("three pods are available", || ready(&deployments, &name, 3)).await;
    let slices: Api<EndpointSlice> = cluster.api();
    let list = ListParams::default().labels(&format!("kubernetes.io/service-name={name}"));
    cluster
        .until("the Service leads to three pods", || async {
            let slices = slices.list(&list).await.unwrap();
            let count: usize = slices
                .items
                .iter()
                .map(|slice| {
                    slice
                        .endpoints
                        .iter()
                        .flatten()
                        .filter(|endpoint| endpoint.conditions.as_ref().unwrap().ready == Some(true))
                        .count()
                })
                .sum();
            (count == 3).then_some(())
        })
        .await;
    deployments
        .patch(
            &name,
            &PatchParams::default(),
            &Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i:2"}]}}}})),
        )
        .await
        .unwrap();
    cluster.until("three pods of the new template are available", || ready(&deployments, &name, 3)).await;
    let sets = cluster.api::<ReplicaSet>().list(&ListParams::default()).await.unwrap().items;
    let mut counts: Vec<_> = sets.iter().map(|set| set.spec.as_ref().unwrap().replicas).collect();
    counts.sort_unstable();
    assert_eq!(counts, [Some(0), Some(3)]);
    assert_eq!(deployments.get(&name).await.unwrap().annotations()["deployment.kubernetes.io/revision"], "2");
    deployments.delete(&name, &DeleteParams::foreground()).await.unwrap();
    cluster
        .until("deployment, sets and pods are gone", || async {
            let pods = cluster.api::<Pod>().list(&ListParams::default()).await.unwrap().items.len();
            let sets = cluster.api::<ReplicaSet>().list(&ListParams::default()).await.unwrap().items.len();
            (pods + sets == 0 && deployments.get_opt(&name).await.unwrap().is_none()).then_some(())
        })
        .await;
    assert!(cluster.tasks.shut_down(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_namespace_has_its_account_and_goes_with_all_that_is_in_it() {
    let cluster = Cluster::start().await;
    let name = format!("team{}", uuid_part());
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.create(&PostParams::default(), &from(json!({"metadata": {"name": name}}))).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), &name);
    cluster
        .until("the default account exists", || async { accounts.get_opt("default").await.unwrap().map(drop) })
        .await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &name);
    cluster
        .until("the authority is there", || async { maps.get_opt("kube-root-ca.crt").await.unwrap().map(drop) })
        .await;
    maps.create(&PostParams::default(), &from(json!({"metadata": {"name": "own"}}))).await.unwrap();
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
    cluster
        .until("the namespace is gone", || async { namespaces.get_opt(&name).await.unwrap().is_none().then_some(()) })
        .await;
    assert!(maps.list(&ListParams::default()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn an_orphaning_deletion_leaves_the_dependents() {
    let cluster = Cluster::start().await;
    let maps: Api<ConfigMap> = cluster.api();
    let owner = maps.create(&PostParams::default(), &from(json!({"metadata": {"name": "owner"}}))).await.unwrap();
    let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid().unwrap()}]);
    maps.create(&PostParams::default(), &from(json!({"metadata": {"name": "child", "ownerReferences": reference}})))
        .await
        .unwrap();
    let orphan =
        DeleteParams { propagation_policy: Some(kube::api::PropagationPolicy::Orphan), ..DeleteParams::default() };
    maps.delete("owner", &orphan).await.unwrap();
    cluster.until("the owner is gone", || async { maps.get_opt("owner").await.unwrap().is_none().then_some(()) }).await;
    assert!(maps.get("child").await.unwrap().owner_references().is_empty());
}

fn uuid_part() -> String {
    std::process::id().to_string()
}
