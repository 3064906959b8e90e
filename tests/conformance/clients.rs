//! Stock clients on the embedded server: the Python client, kube-rs' reflector and controller,
//! and the controllers of a real kube-controller-manager, which are as strict a reader of an API
//! as there is.
//!
//! `CONFORMANCE_PEERS` names the folder with the programs, see `cargo xtask peers`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
    runtime::{
        controller::{Action, Controller},
        reflector, watcher,
    },
};

use conformance::{
    cluster::{Call, Cluster},
    peer::Running,
    served::Served,
};
use serde_json::{Value, json};

fn peer(name: &str) -> Option<PathBuf> {
    Some(Path::new(&std::env::var_os("CONFORMANCE_PEERS")?).join(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works_through_its_typed_models() {
    let Some(python) = peer("python/bin/python") else { return };
    let served = Served::start().await.unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/session.py");
    let kubeconfig = served.kubeconfig();
    let run = move || Command::new(python).arg(script).env("KUBECONFIG", kubeconfig).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !check().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_controllers_run_workloads_collect_garbage_and_empty_namespaces() {
    let Some(program) = peer("kube-controller-manager") else { return };
    let served = Served::start().await.unwrap();
    let log = served.folder().join("controllers.log");
    let signer = served.folder().join("signer.pem");
    std::fs::write(&signer, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let file = std::fs::File::create(&log).unwrap();
    let running = Command::new(program)
        .arg(format!("--kubeconfig={}", served.kubeconfig().display()))
        .args(["--leader-elect=false", "--secure-port=0"])
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn();
    let mut running = Running(running.unwrap());

    let cluster = Cluster::of_kubeconfig(served.kubeconfig().to_str().unwrap()).await.unwrap();
    let space = format!("stock-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    let send = async |call: Call| -> Value {
        let answer = cluster.send(&call).await.unwrap();
        assert!(answer.code < 300, "{}", answer.body);
        answer.body
    };
    let items = async |path: String| -> Vec<Value> {
        let answer = cluster.send(&Call::get(path)).await.unwrap();
        answer.body["items"].as_array().cloned().unwrap_or_default()
    };
    let node = json!({"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}}});
    send(Call::post("/api/v1/nodes", node)).await;
    send(Call::post("/api/v1/namespaces", json!({"metadata": {"name": space}}))).await;
    let core = format!("/api/v1/namespaces/{space}");
    let account = format!("{core}/serviceaccounts/default");
    until("the namespace has its account", async || cluster.send(&Call::get(&account)).await.unwrap().code == 200)
        .await;

    let containers =
        json!([{"name": "c", "image": "registry.example/none:1", "resources": {"requests": {"cpu": "1m"}}}]);
    let template = |app: &str| json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": containers}});
    let workload = |app: &str, more: Value| {
        let mut spec = json!({"selector": {"matchLabels": {"app": app}}, "template": template(app)});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"metadata": {"name": app}, "spec": spec})
    };
    let apps = format!("/apis/apps/v1/namespaces/{space}");
    let hard = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "20", "count/jobs.batch": "3"}}});
    send(Call::post(format!("{core}/resourcequotas"), hard)).await;
    let quota = format!("{core}/resourcequotas/q");
    until("the quota is counted", async || send(Call::get(&quota)).await["status"]["hard"]["pods"] == "20").await;
    send(Call::post(format!("{apps}/deployments"), workload("deployment", json!({"replicas": 3})))).await;
    send(Call::post(format!("{apps}/daemonsets"), workload("daemon", json!({})))).await;
    let set = json!({"serviceName": "set", "replicas": 2, "podManagementPolicy": "Parallel"});
    send(Call::post(format!("{apps}/statefulsets"), workload("set", set))).await;
    let job = json!({"metadata": {"name": "job"}, "spec": {"parallelism": 2, "completions": 2, "completionMode": "Indexed",
        "template": {"spec": {"restartPolicy": "Never", "containers": containers}}}});
    send(Call::post(format!("/apis/batch/v1/namespaces/{space}/jobs"), job)).await;
    let service = json!({"metadata": {"name": "deployment"}, "spec": {"selector": {"app": "deployment"}, "ports": [{"port": 80}]}});
    send(Call::post(format!("{core}/services"), service)).await;
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "deployment"}}}});
    send(Call::post(format!("/apis/policy/v1/namespaces/{space}/poddisruptionbudgets"), budget)).await;

    let count = async |selector: &str| items(format!("{core}/pods?labelSelector={selector}")).await.len();
    for (selector, wanted) in [("app=deployment", 3), ("app=daemon", 1), ("app=set", 2), ("job-name=job", 2)] {
        until(selector, async || count(selector).await == wanted).await;
    }
    assert!(cluster.send(&Call::get(format!("{core}/pods/set-1"))).await.unwrap().code == 200);
    until("the service has its slice", async || {
        !items(format!("/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices")).await.is_empty()
    })
    .await;
    until("the budget is observed", async || {
        let path = format!("/apis/policy/v1/namespaces/{space}/poddisruptionbudgets/b");
        send(Call::get(path)).await["status"]["expectedPods"] == 3
    })
    .await;

    // A pod that goes is made again; its status is what makes the Deployment available.
    let pods = items(format!("{core}/pods?labelSelector=app=deployment")).await;
    for pod in &pods {
        let path = format!("{core}/pods/{}/status", pod["metadata"]["name"].as_str().unwrap());
        let ready = json!({"status": {"phase": "Running", "podIP": "10.1.1.1", "podIPs": [{"ip": "10.1.1.1"}], "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        send(Call::patch(path, conformance::cluster::MERGE_PATCH, ready)).await;
    }
    until("the deployment is available", async || {
        send(Call::get(format!("{apps}/deployments/deployment"))).await["status"]["availableReplicas"] == 3
    })
    .await;
    let first = pods[0]["metadata"]["name"].as_str().unwrap();
    send(Call::delete(format!("{core}/pods/{first}?gracePeriodSeconds=0"))).await;
    until("it is made again", async || {
        let names = items(format!("{core}/pods?labelSelector=app=deployment")).await;
        names.len() == 3 && names.iter().all(|pod| pod["metadata"]["name"] != first)
    })
    .await;

    send(Call::delete(format!("{apps}/deployments/deployment?propagationPolicy=Foreground"))).await;
    until("what it owned is collected before it goes", async || {
        cluster.send(&Call::get(format!("{apps}/deployments/deployment"))).await.unwrap().code == 404
    })
    .await;
    for pod in items(format!("{core}/pods?labelSelector=app=deployment")).await {
        assert!(pod["metadata"]["deletionTimestamp"].is_string(), "{pod}");
    }
    send(Call::delete(format!("/api/v1/namespaces/{space}"))).await;
    until("the namespace is empty and gone", async || {
        // The pods are on a node that does not run: whoever runs it would end them.
        for pod in items(format!("{core}/pods")).await {
            let path = format!("{core}/pods/{}?gracePeriodSeconds=0", pod["metadata"]["name"].as_str().unwrap());
            cluster.send(&Call::delete(path)).await.unwrap();
        }
        cluster.send(&Call::get(format!("/api/v1/namespaces/{space}"))).await.unwrap().code == 404
    })
    .await;

    assert!(running.0.try_wait().unwrap().is_none(), "the controllers still run");
    let log = std::fs::read_to_string(&log).unwrap();
    // klog: E and F begin the lines of errors. Not of the server: a file that is not given, what a controller meets in
    // a namespace that is being emptied, and one that sees its own write before its watch tells of it.
    let own = [
        "manifest file is empty",
        "because it is being terminated",
        "is not as new as written version",
        // Two writers met, or an object went while it was looked at: the controller tries again.
        "Operation cannot be fulfilled on",
        "failed with replicasets.apps",
    ];
    let errors: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with(['E', 'F']) && !own.iter().any(|words| line.contains(words)))
        .collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

/// What the controller of the test below is given.
struct Harbour {
    client: kube::Client,
    kind: ApiResource,
}

/// Keeps a ConfigMap beside each object, with its size in it.
async fn moor(object: Arc<DynamicObject>, harbour: Arc<Harbour>) -> Result<Action, kube::Error> {
    let (name, space) = (object.metadata.name.clone().unwrap(), object.metadata.namespace.clone().unwrap());
    let owner = json!({"apiVersion": harbour.kind.api_version, "kind": harbour.kind.kind, "name": name,
        "uid": object.metadata.uid, "controller": true});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": [owner]},
        "data": {"size": object.data["spec"]["size"].to_string()}});
    let maps: Api<ConfigMap> = Api::namespaced(harbour.client.clone(), &space);
    maps.patch(&name, &PatchParams::apply("moor"), &Patch::Apply(&map)).await?;
    Ok(Action::await_change())
}

#[tokio::test(flavor = "multi_thread")]
async fn kube_rs_reflects_and_reconciles_a_kind_that_it_never_saw() {
    let served = Served::start().await.unwrap();
    let config = kube::config::Kubeconfig::read_from(served.kubeconfig()).unwrap();
    let config =
        kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let id = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
    let (group, plural) = (format!("g{id}.example.com"), format!("boats{id}"));
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": format!("Boat{id}")},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}}}]}});
    let cluster = Cluster::of_kubeconfig(served.kubeconfig().to_str().unwrap()).await.unwrap();
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(cluster.send(&Call::post(path, definition)).await.unwrap().code, 201);
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(&group, "v1", &format!("Boat{id}")), &plural);
    let boats: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &kind);

    let writer = reflector::store::Writer::new(kind.clone());
    let seen = writer.as_reader();
    let events =
        reflector::reflector(writer, watcher::watcher(boats.clone(), watcher::Config::default().streaming_lists()));
    let reflecting = tokio::spawn(events.for_each(|_| std::future::ready(())));
    let harbour = Arc::new(Harbour { client: client.clone(), kind: kind.clone() });
    let retry = |_: Arc<DynamicObject>, _: &kube::Error, _: Arc<Harbour>| Action::requeue(Duration::from_millis(100));
    let controller = Controller::new_with(boats.clone(), watcher::Config::default(), kind.clone())
        .owns(Api::<ConfigMap>::namespaced(client.clone(), "default"), watcher::Config::default())
        .run(moor, retry, harbour);
    let reconciling = tokio::spawn(controller.for_each(|_| std::future::ready(())));

    let boat = |name: &str, size: i64| {
        let mut object = DynamicObject::new(name, &kind);
        object.data = json!({"spec": {"size": size}});
        object
    };
    for at in 0..20 {
        boats.create(&PostParams::default(), &boat(&format!("b{at}"), at)).await.unwrap();
    }
    until("the reflector has them all", async || seen.len() == 20).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let size = async |name: &str| maps.get_opt(name).await.unwrap().and_then(|map| map.data?.remove("size"));
    until("each has its map", async || {
        for at in 0..20 {
            if size(&format!("b{at}")).await != Some(at.to_string()) {
                return false;
            }
        }
        true
    })
    .await;
    // What changes is seen, what is taken away is made again, what goes is gone.
    boats.patch("b7", &PatchParams::default(), &Patch::Merge(json!({"spec": {"size": 700}}))).await.unwrap();
    until("the map follows", async || size("b7").await.as_deref() == Some("700")).await;
    maps.delete("b3", &DeleteParams::default()).await.unwrap();
    until("the map is made again", async || size("b3").await.as_deref() == Some("3")).await;
    boats.delete("b5", &DeleteParams::default()).await.unwrap();
    until("the reflector lets it go", async || seen.len() == 19).await;
    reflecting.abort();
    reconciling.abort();
}
