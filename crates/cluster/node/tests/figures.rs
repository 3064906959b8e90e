//! What a node measures of itself and of its pods, in containers and in plain processes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "it is a test")]

mod support;

use std::time::Duration;

use node::Isolation;
use serde_json::{Value, json};
use support::World;

const API: &str = "/apis/metrics.k8s.io/v1beta1";

async fn get(world: &World, path: &str) -> Result<Value, u16> {
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    match world.client.request::<Value>(request).await {
        Ok(value) => Ok(value),
        Err(kube::Error::Api(status)) => Err(status.code),
        Err(error) => panic!("{error}"),
    }
}

/// Waits until an object is there and satisfies `until`.
async fn until(world: &World, path: &str, until: impl Fn(&Value) -> bool) -> Value {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let got = get(world, path).await;
        match got {
            Ok(object) if until(&object) => return object,
            other => assert!(tokio::time::Instant::now() < deadline, "{path}: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Returns a quantity of processors in billionths.
fn cores(value: &Value) -> u64 {
    let text = value.as_str().unwrap();
    for (unit, factor) in [("n", 1), ("u", 1_000), ("m", 1_000_000)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<u64>().unwrap() * factor;
        }
    }
    text.parse::<u64>().unwrap() * 1_000_000_000
}

/// Returns a quantity of memory in bytes.
fn bytes(value: &Value) -> u64 {
    let text = value.as_str().unwrap();
    for (unit, shift) in [("Ki", 10), ("Mi", 20), ("Gi", 30)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<u64>().unwrap() << shift;
        }
    }
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_measured_by_their_control_groups() {
    match node::probe() {
        full @ Isolation::Full => measured(full).await,
        Isolation::Processes { why } => {
            panic!("run this test as root on a machine with namespaces and control groups: {}", why.join("; "))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_processes_are_measured_too() {
    measured(Isolation::Processes { why: vec!["the test says so".into()] }).await;
}

async fn measured(isolation: Isolation) {
    let world = World::new(isolation).await;
    let idle = json!({ "containers": [{ "name": "c" }, { "name": "d", "image": support::IMAGE, "args": ["pause"] }] });
    world.pod("idle", &["eat", "40", "pause"], idle).await;
    world.pod("busy", &["spin"], json!({})).await;
    world.until_ready("idle").await;
    world.until_ready("busy").await;
    let path = |name: &str| format!("{API}/namespaces/default/pods/{name}");
    // However busy the machine is, a loop without end gets some of it.
    let busy = until(&world, &path("busy"), |pod| cores(&pod["containers"][0]["usage"]["cpu"]) > 50_000_000).await;
    assert!(cores(&busy["containers"][0]["usage"]["cpu"]) < 1_500_000_000, "one loop is one processor at most: {busy}");
    assert_eq!((&busy["kind"], &busy["metadata"]["labels"]), (&json!("PodMetrics"), &json!({ "app": "busy" })));
    let idle = until(&world, &path("idle"), |pod| pod["containers"].as_array().is_some_and(|all| all.len() == 2)).await;
    let of = |name: &str| {
        let all = idle["containers"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap()["usage"].clone()
    };
    let memory = bytes(&of("c")["memory"]);
    assert!((40 << 20..80 << 20).contains(&memory), "{idle}");
    assert!(bytes(&of("d")["memory"]) < 20 << 20 && cores(&of("d")["cpu"]) < 50_000_000, "{idle}");
    let node = until(&world, &format!("{API}/nodes/n1"), |node| node["usage"]["cpu"].is_string()).await;
    assert!(cores(&node["usage"]["cpu"]) > 0 && bytes(&node["usage"]["memory"]) > 40 << 20, "{node}");
    world.delete("busy").await;
    assert_eq!(get(&world, &path("busy")).await, Err(404), "what is gone is not measured");
}
