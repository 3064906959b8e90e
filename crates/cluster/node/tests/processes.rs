//! Pods as plain processes, for machines that allow no containers. Needs no privileges.

mod support;

use serde_json::{Value, json};
use support::{World, condition};

async fn world() -> World {
    World::new(node::Isolation::Processes { why: vec!["the test says so".into()] }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_gets_an_address_of_its_own_and_outlives_the_node() {
    let mut world = world().await;
    let probe = json!({ "httpGet": { "port": 18080 }, "periodSeconds": 1 });
    for name in ["a", "b"] {
        world.pod(name, &["serve", "18080"], json!({ "containers": [{ "readinessProbe": probe }] })).await;
    }
    let (a, b) = (world.until_ready("a").await, world.until_ready("b").await);
    let ip = |pod: &Value| pod["status"]["podIP"].as_str().unwrap().to_owned();
    assert!(ip(&a).starts_with("127.") && ip(&a) != ip(&b) && !ip(&a).starts_with("127.0."), "{} {}", ip(&a), ip(&b));
    world.stop().await;
    assert!(tokio::net::TcpStream::connect((ip(&a), 18080)).await.is_ok());
    world.start().await;
    let again = world.until_ready("a").await;
    assert_eq!(again["status"]["containerStatuses"][0]["restartCount"], 0);
    world.delete("a").await;
    assert!(tokio::net::TcpStream::connect((ip(&a), 18080)).await.is_err());
    let node: kube::Api<k8s_openapi::api::core::v1::Node> = kube::Api::all(world.client.clone());
    let annotations = node.get("n1").await.unwrap().metadata.annotations.unwrap();
    assert_eq!(annotations["platform.io/isolation"], "processes");
    assert_eq!(annotations["platform.io/isolation-reason"], "the test says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_found_by_substitution_of_their_paths() {
    let world = world().await;
    let more = json!({
        "restartPolicy": "Never",
        "initContainers": [{
            "name": "i", "image": support::IMAGE, "args": ["write", "/data/x", "kept"],
            "volumeMounts": [{ "name": "d", "mountPath": "/data" }],
        }],
        "containers": [{ "volumeMounts": [{ "name": "d", "mountPath": "/other" }], "env": [{ "name": "DIR", "value": "/other" }] }],
        "volumes": [{ "name": "d", "emptyDir": {} }],
    });
    world.pod("v", &["cat", "/other/x", "env", "DIR"], more).await;
    let pod = world.until_phase("v", "Succeeded").await;
    let dir = world
        .data
        .canonicalize()
        .unwrap()
        .join("pods")
        .join(pod["metadata"]["uid"].as_str().unwrap())
        .join("volumes/d");
    assert_eq!(world.logs("v", "").await, format!("kept\nDIR={}\n", dir.display()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_cannot_bind_its_port_says_so() {
    let world = world().await;
    let container = json!({ "name": "d", "image": support::IMAGE, "args": ["sleep", "1", "serve", "18081"] });
    let more = json!({ "restartPolicy": "Never", "containers": [{ "name": "c" }, container] });
    world.pod("twice", &["serve", "18081"], more).await;
    let pod = world
        .until("twice", "half failed", |pod| pod["status"]["containerStatuses"][1]["state"]["terminated"].is_object())
        .await;
    let ended = &pod["status"]["containerStatuses"][1]["state"]["terminated"];
    assert_eq!(ended["exitCode"], 3);
    assert!(ended["message"].as_str().unwrap().contains("Address already in use"), "{ended}");
    assert_eq!(condition(&pod, "Ready"), "False");
    world.delete("twice").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_ends_every_process_that_belongs_to_the_folder() {
    let mut world = world().await;
    world.pod("p", &["pause"], json!({})).await;
    world.until_ready("p").await;
    world.stop().await;
    // A shim that was killed leaves its container to be found by its environment.
    let pattern = format!("shim pod {}", world.data.canonicalize().unwrap().display());
    let pid = std::process::Command::new("pgrep").arg("-f").arg(pattern).output().unwrap().stdout;
    let pid = nix::unistd::Pid::from_raw(String::from_utf8(pid).unwrap().trim().parse().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let data = world.data.canonicalize().unwrap();
    node::purge(&data).unwrap();
    let left = std::process::Command::new("pgrep").arg("-f").arg(&data).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
    assert!(!data.exists());
}
