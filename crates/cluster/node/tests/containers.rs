//! Pods as real containers, through the API server. Needs the right to make namespaces and control groups.
#![expect(clippy::panic, reason = "it is a test")]

mod support;

use std::{process::Command, time::Duration};

use serde_json::{Value, json};
use support::{World, condition, traces};

async fn world() -> World {
    match node::probe() {
        node::Isolation::Full => World::new(node::Isolation::Full).await,
        node::Isolation::Processes { why } => {
            panic!("run this test as root on a machine with namespaces and control groups: {}", why.join("; "))
        }
    }
}

fn state(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["state"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_becomes_ready_is_reached_and_goes_when_deleted() {
    let world = world().await;
    let probe = json!({ "httpGet": { "path": "/", "port": "http" }, "periodSeconds": 1 });
    let more = json!({ "containers": [{
        "ports": [{ "name": "http", "containerPort": 80 }], "readinessProbe": probe, "livenessProbe": probe, "startupProbe": probe,
    }] });
    world.pod("web", &["serve", "80"], more).await;
    let pod = world.until_ready("web").await;
    let ip = pod["status"]["podIP"].as_str().unwrap();
    assert!(ip.starts_with("10.244."), "{ip}");
    assert!(tokio::net::TcpStream::connect((ip, 80)).await.is_ok(), "the host reaches the pod");
    assert!(state(&pod)["running"]["startedAt"].is_string());
    assert!(pod["status"]["containerStatuses"][0]["imageID"].as_str().unwrap().contains("@sha256:"));
    assert_eq!(world.logs("web", "").await, "serving\n");
    world.delete("web").await;
    assert!(tokio::net::TcpStream::connect((ip, 80)).await.is_err());
    let events = world.events().await;
    for reason in ["Pulled", "Created", "Started", "Killing"] {
        assert!(events.contains(reason), "{reason} in {events}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_reached_at_once_at_an_address_that_another_had() {
    let mut world = world().await;
    let probe = json!({ "containers": [{ "readinessProbe": { "tcpSocket": { "port": 80 }, "periodSeconds": 1 } }] });
    world.pod("first", &["serve", "80"], probe.clone()).await;
    let first = world.until_ready("first").await;
    world.delete("first").await;
    // The next node on this folder gives the lowest free address, which is the one just given back.
    world.stop().await;
    world.start().await;
    world.pod("second", &["serve", "80"], probe).await;
    let second = world.until("second", "given its address", |pod| pod["status"]["podIP"].is_string()).await;
    assert_eq!(first["status"]["podIP"], second["status"]["podIP"]);
    // The machine still remembers where the first one was, for half a minute.
    let reached = tokio::time::timeout(Duration::from_secs(15), world.until_ready("second")).await;
    assert!(reached.is_ok(), "the machine looks for the second pod where the first one was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containers_surroundings_are_as_specified() {
    let world = world().await;
    let map = json!({ "metadata": { "name": "cm" }, "data": { "key": "from the map" } });
    let secret = json!({ "metadata": { "name": "s" }, "stringData": { "key": "from the secret" } });
    let post = kube::api::PostParams::default();
    let maps: kube::Api<k8s_openapi::api::core::v1::ConfigMap> = kube::Api::default_namespaced(world.client.clone());
    maps.create(&post, &serde_json::from_value(map).unwrap()).await.unwrap();
    let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> = kube::Api::default_namespaced(world.client.clone());
    secrets.create(&post, &serde_json::from_value(secret).unwrap()).await.unwrap();
    let args = [
        "uid",
        "sigpipe",
        "host",
        "env",
        "M",
        "env",
        "S",
        "env",
        "IP",
        "env",
        "X",
        "cat",
        "/map/key",
        "cat",
        "/secret/dir/k",
        "cat",
        "/info/name",
        "write",
        "/shared/y",
        "2",
        "cat",
        "/shared/x",
        "cat",
        "/memory/x",
        "write",
        "/readonly",
        "no",
        "write",
        "/map/new",
        "no",
        "write",
        "/dev/termination-log",
        "the last word",
        "cat",
        "/etc/hostname",
    ];
    let more = json!({
        "restartPolicy": "Never",
        "securityContext": { "runAsUser": 1234, "runAsGroup": 99, "fsGroup": 77, "runAsNonRoot": true },
        "initContainers": [{
            "name": "i", "image": support::IMAGE, "args": ["write", "/shared/x", "1", "write", "/memory/x", "in memory"],
            "volumeMounts": [{ "name": "shared", "mountPath": "/shared" }, { "name": "memory", "mountPath": "/memory" }],
        }],
        "containers": [{
            "env": [
                { "name": "M", "valueFrom": { "configMapKeyRef": { "name": "cm", "key": "key" } } },
                { "name": "S", "valueFrom": { "secretKeyRef": { "name": "s", "key": "key" } } },
                { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
                { "name": "X", "value": "$(M)!" },
            ],
            "resources": { "limits": { "memory": "32Mi", "cpu": "500m" } },
            "securityContext": {
                "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "volumeMounts": [
                { "name": "map", "mountPath": "/map" }, { "name": "secret", "mountPath": "/secret" },
                { "name": "info", "mountPath": "/info" }, { "name": "shared", "mountPath": "/shared" },
                { "name": "memory", "mountPath": "/memory" },
            ],
        }],
        "volumes": [
            { "name": "map", "configMap": { "name": "cm" } },
            { "name": "secret", "secret": { "secretName": "s", "defaultMode": 288, "items": [{ "key": "key", "path": "dir/k" }] } },
            { "name": "info", "downwardAPI": { "items": [{ "path": "name", "fieldRef": { "fieldPath": "metadata.name" } }] } },
            { "name": "shared", "emptyDir": {} },
            { "name": "memory", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } },
        ],
    });
    world.pod("all", &args, more).await;
    let pod = world.until_phase("all", "Succeeded").await;
    assert_eq!(state(&pod)["terminated"]["message"], "the last word");
    assert_eq!(pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    let ip = pod["status"]["podIP"].as_str().unwrap();
    let expected = format!(
        "uid=1234 gid=99 pid=1\nsigpipe default\nhost=all\nM=from the map\nS=from the secret\nIP={ip}\nX=from the map!\nfrom the map\n\
         from the secret\nall\n1\nin memory\n/readonly: /map/new: all\n\n",
    );
    let log = world.logs("all", "").await;
    let log: String = log.split_inclusive('\n').filter(|line| !line.starts_with("open:")).collect();
    assert_eq!(log, expected);
    assert!(world.events().await.contains("SeccompNotApplied"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_ends_is_started_again_with_back_off() {
    let world = world().await;
    world.pod("crash", &["echo", "hello", "exit", "7"], json!({})).await;
    let waits = |pod: &Value| state(pod)["waiting"]["reason"] == "CrashLoopBackOff";
    let pod = world.until("crash", "backing off", waits).await;
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!((&status["restartCount"], &status["lastState"]["terminated"]["exitCode"]), (&json!(1), &json!(7)));
    assert_eq!((world.logs("crash", "previous=true").await, condition(&pod, "Ready")), ("hello\n".to_owned(), "False"));
    assert!(world.events().await.contains("BackOff"));
    world.delete("crash").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_fails_its_liveness_probe_is_restarted() {
    let world = world().await;
    let more = json!({ "containers": [{
        "livenessProbe": { "exec": { "command": ["/usr/bin/tool", "check", "/tmp/well"] }, "periodSeconds": 1, "failureThreshold": 1 },
    }] });
    world.pod("sick", &["pause"], more).await;
    world.until("sick", "restarted", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    assert!(world.events().await.contains("no /tmp/well"));
    world.delete("sick").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_takes_too_much_memory_is_killed_and_it_is_said() {
    let world = world().await;
    let more = json!({ "restartPolicy": "Never", "containers": [{ "resources": { "limits": { "memory": "16Mi" } } }] });
    world.pod("greedy", &["eat", "64"], more).await;
    let pod = world.until_phase("greedy", "Failed").await;
    let ended = &state(&pod)["terminated"];
    assert_eq!((&ended["reason"], &ended["exitCode"]), (&json!("OOMKilled"), &json!(137)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_says_why() {
    let world = world().await;
    world.pod("host", &["pause"], json!({ "hostNetwork": true })).await;
    world.pod("elsewhere", &["pause"], json!({ "containers": [{ "image": "nginx:1" }] })).await;
    world
        .pod(
            "missing",
            &["pause"],
            json!({ "containers": [{ "env": [
        { "name": "A", "valueFrom": { "configMapKeyRef": { "name": "no", "key": "k" } } },
    ] }] }),
        )
        .await;
    world.pod("nothing", &[], json!({ "restartPolicy": "Never", "containers": [{ "command": ["/no/such"] }] })).await;
    world.pod("root", &["pause"], json!({ "securityContext": { "runAsNonRoot": true } })).await;
    for (name, reason, text) in [
        ("host", "CreateContainerConfigError", "spec.hostNetwork"),
        ("elsewhere", "ErrImagePull", "skopeo copy docker://docker.io/nginx:1"),
        ("missing", "CreateContainerConfigError", "configmap \"no\" not found"),
        ("root", "CreateContainerConfigError", "image will run as root"),
    ] {
        let waits =
            |pod: &Value| state(pod)["waiting"]["message"].as_str().is_some_and(|message| message.contains(text));
        let pod = world.until(name, "waiting", waits).await;
        assert_eq!(
            (&state(&pod)["waiting"]["reason"], &pod["status"]["phase"]),
            (&json!(reason), &json!("Pending")),
            "{name}"
        );
    }
    let pod = world.until_phase("nothing", "Failed").await;
    assert_eq!(state(&pod)["terminated"]["reason"], "StartError");
    for name in ["host", "elsewhere", "missing", "nothing", "root"] {
        world.delete(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_outlive_the_node_and_the_next_one_goes_on_with_them() {
    let mut world = world().await;
    let probe = json!({ "tcpSocket": { "port": 80 }, "periodSeconds": 1 });
    world.pod("web", &["serve", "80"], json!({ "containers": [{ "readinessProbe": probe }] })).await;
    world.pod("short", &["sleep", "1", "exit", "5"], json!({ "restartPolicy": "Never" })).await;
    world.pod("doomed", &["pause"], json!({})).await;
    let before = world.until_ready("web").await;
    let doomed = world.until_ready("doomed").await;
    world.until("short", "running", |pod| state(pod)["running"].is_object()).await;
    world.stop().await;
    let ip = before["status"]["podIP"].as_str().unwrap();
    assert!(tokio::net::TcpStream::connect((ip, 80)).await.is_ok(), "it answers while there is no node");
    // Deleted while the node is away.
    world.pods().delete("doomed", &kube::api::DeleteParams::default().grace_period(0)).await.unwrap();
    let exit = world.data.join("pods");
    let ended = || Command::new("find").arg(&exit).args(["-name", "exit.json"]).output().unwrap().stdout;
    while ended().is_empty() {
        tokio::task::yield_now().await;
    }
    world.start().await;
    let pod = world.until_phase("short", "Failed").await;
    assert_eq!(state(&pod)["terminated"]["exitCode"], 5, "its end was written down meanwhile");
    let after = world.until_ready("web").await;
    let id = |pod: &Value| (pod["status"]["containerStatuses"][0]["containerID"].clone(), state(pod).clone());
    assert_eq!(id(&after), id(&before), "it was not started again");
    let gone = world.data.join("pods").join(doomed["metadata"]["uid"].as_str().unwrap());
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while gone.exists() {
        assert!(tokio::time::Instant::now() < deadline, "what was deleted meanwhile is removed");
        tokio::task::yield_now().await;
    }
    world.delete("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shim_costs_its_pod_a_restart_and_nothing_else() {
    let world = world().await;
    world.pod("web", &["serve", "80"], json!({})).await;
    let pod = world.until_ready("web").await;
    let dir = world.data.join("pods").join(pod["metadata"]["uid"].as_str().unwrap());
    let identity: Value = serde_json::from_slice(&std::fs::read(dir.join("shim.json")).unwrap()).unwrap();
    let pid = nix::unistd::Pid::from_raw(identity["pid"].as_i64().unwrap() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    world
        .until("web", "restarted", |pod| {
            pod["status"]["containerStatuses"][0]["restartCount"] == 1 && condition(pod, "Ready") == "True"
        })
        .await;
    world.delete("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_leaves_nothing_behind_and_may_be_called_again() {
    let mut world = world().await;
    world
        .pod("web", &["serve", "80"], json!({ "volumes": [{ "name": "m", "emptyDir": { "medium": "Memory" } }] }))
        .await;
    world.until_ready("web").await;
    let bridge_and_more: Vec<String> = traces();
    world.stop().await;
    node::purge(&world.data).unwrap();
    let left = traces();
    let gone: Vec<&String> = bridge_and_more.iter().filter(|trace| !left.contains(trace)).collect();
    assert!(gone.iter().any(|trace| trace.starts_with("interface rs")), "{gone:?}");
    assert!(gone.iter().any(|trace| trace.starts_with("control group")), "{gone:?}");
    assert!(!world.data.exists());
    let args = Command::new("pgrep").arg("-f").arg(&world.data).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&args.stdout), "", "no process names the folder");
    node::purge(&world.data).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_stop_in_order_when_they_are_told_to() {
    let mut world = world().await;
    world.pod("web", &["serve", "80"], json!({})).await;
    let pod = world.until_ready("web").await;
    world.stop().await;
    node::stop_all(&world.data, std::time::Duration::from_secs(5)).await.unwrap();
    let ip = pod["status"]["podIP"].as_str().unwrap();
    assert!(tokio::net::TcpStream::connect((ip, 80)).await.is_err());
    world.start().await;
    world.until("web", "up again", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    assert_eq!(world.logs("web", "previous=true").await, "serving\nstopped\n", "it was asked, not killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pods_start_at_once() {
    let world = world().await;
    let begun = std::time::Instant::elapsed;
    let start = tokio::time::Instant::now().into_std();
    for n in 0..20 {
        world.pod(&format!("p{n}"), &["serve", "80"], json!({})).await;
    }
    let mut addresses = std::collections::BTreeSet::new();
    for n in 0..20 {
        let pod = world.until_ready(&format!("p{n}")).await;
        addresses.insert(pod["status"]["podIP"].as_str().unwrap().to_owned());
        assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    }
    assert_eq!(addresses.len(), 20, "each has an address of its own");
    println!("20 pods were ready after {:?}", begun(&start));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_while_containers_start_starts_none_twice() {
    let mut world = world().await;
    for n in 0..8 {
        world.pod(&format!("p{n}"), &["serve", "80"], json!({})).await;
    }
    // Ended at whatever point each of them has reached.
    world.stop().await;
    world.start().await;
    for n in 0..8 {
        let pod = world.until_ready(&format!("p{n}")).await;
        assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
        assert_eq!(world.logs(&format!("p{n}"), "").await, "serving\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_and_a_log_is_followed_to_its_end() {
    let world = world().await;
    let say = |text: &str| json!({ "exec": { "command": ["/usr/bin/tool", "write", "/proc/1/fd/1", text] } });
    let more = json!({ "containers": [{ "lifecycle": { "postStart": say("hello\n"), "preStop": say("bye\n") } }] });
    world.pod("web", &["sleep", "0", "serve", "80"], more).await;
    world.until_ready("web").await;
    let follow = world.logs("web", "follow=true");
    let delete = async {
        // The stream is open once the deletion's own log lines can come.
        world.until("web", "running", |pod| state(pod)["running"].is_object()).await;
        world.delete("web").await;
    };
    let (log, ()) = tokio::join!(follow, delete);
    let mut lines: Vec<&str> = log.lines().collect();
    lines[..2].sort_unstable();
    assert_eq!(lines, ["hello", "serving", "bye", "stopped"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_gates_and_tokens_are_kept() {
    let world = world().await;
    world.pod("late", &["pause"], json!({ "activeDeadlineSeconds": 1 })).await;
    world.pod("gated", &["pause"], json!({ "readinessGates": [{ "conditionType": "example.com/ok" }] })).await;
    let token = json!({ "serviceAccountToken": { "path": "token", "expirationSeconds": 600 } });
    let more = json!({
        "restartPolicy": "Never",
        "containers": [{ "volumeMounts": [{ "name": "t", "mountPath": "/t" }] }],
        "volumes": [{ "name": "t", "projected": { "sources": [token] } }],
    });
    let account = json!({ "metadata": { "name": "default" } });
    let accounts: kube::Api<k8s_openapi::api::core::v1::ServiceAccount> =
        kube::Api::default_namespaced(world.client.clone());
    accounts.create(&kube::api::PostParams::default(), &serde_json::from_value(account).unwrap()).await.ok();
    world.pod("token", &["cat", "/t/token"], more).await;

    let late = world.until_phase("late", "Failed").await;
    assert_eq!(late["status"]["reason"], "DeadlineExceeded");
    world.until("gated", "ready but for its gate", |pod| condition(pod, "ContainersReady") == "True").await;
    let gated = world.until("gated", "gated", |pod| condition(pod, "Ready") == "False").await;
    let mut conditions = gated["status"]["conditions"].as_array().unwrap().clone();
    conditions.push(json!({ "type": "example.com/ok", "status": "True" }));
    let patch = kube::api::Patch::Merge(json!({ "status": { "conditions": conditions } }));
    world.pods().patch_status("gated", &kube::api::PatchParams::default(), &patch).await.unwrap();
    world.until_ready("gated").await;
    world.until_phase("token", "Succeeded").await;
    assert_eq!(world.logs("token", "").await.matches('.').count(), 2, "a token of three parts");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_start_again_after_a_reboot_with_their_volumes() {
    let mut world = world().await;
    let more = json!({
        "containers": [{ "volumeMounts": [{ "name": "d", "mountPath": "/d" }] }],
        "volumes": [{ "name": "d", "emptyDir": {} }],
    });
    world.pod("web", &["cat", "/d/x", "write", "/d/x", "kept", "serve", "80"], more).await;
    world.until_ready("web").await;
    world.stop().await;
    // As a reboot leaves it: nothing runs, and every note is of another boot.
    node::stop_all(&world.data, std::time::Duration::ZERO).await.unwrap();
    std::fs::write(world.data.join("boot.json"), "\"an earlier boot\"").unwrap();
    let exits = Command::new("find").arg(&world.data).args(["-name", "exit.json", "-delete"]).status().unwrap();
    assert!(exits.success());
    world.start().await;
    let pod = world.until("web", "up again", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 137);
    world.until_ready("web").await;
    assert!(world.logs("web", "").await.starts_with("kept"));
}
