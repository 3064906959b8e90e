//! Flux's kustomize-controller, a stock controller of another project, on the embedded server: it
//! fetches an artifact, builds it, applies what is in it server-side, and prunes what left it.
//!
//! `CONFORMANCE_PEERS` names the folder with the program, see `cargo xtask peers`.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use conformance::{
    cluster::{Call, Cluster, MERGE_PATCH},
    peer::Running,
    served::Served,
};
use serde_json::{Value, json};

/// The modules whose definitions it needs, at the versions that are pinned.
const MODULES: &[&str] = &["github.com/fluxcd/kustomize-controller", "github.com/fluxcd/source-controller"];
const SOURCE: &str = "source.toolkit.fluxcd.io/v1";
const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io/v1";

/// Returns the definitions that the modules publish.
fn definitions() -> Vec<Value> {
    let pins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers/definitions");
    let mut found = Vec::new();
    for module in MODULES {
        let output = Command::new("go")
            .args(["-C", pins.to_str().unwrap(), "mod", "download", "-json", module])
            .output()
            .unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let folder = PathBuf::from(told["Dir"].as_str().unwrap()).join("config/crd/bases");
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            found.push(serde_saphyr::from_str(text.trim_start().trim_start_matches("---")).unwrap());
        }
    }
    found
}

/// Packs files as an artifact: a compressed archive, and its digest.
fn packed(folder: &Path, files: &[(&str, String)]) -> (Vec<u8>, String) {
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let names = files.iter().map(|(name, _)| *name);
    let archive = Command::new("tar").arg("-C").arg(folder).arg("-czf").arg("-").args(names).output().unwrap().stdout;
    let mut sum = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    sum.stdin.take().unwrap().write_all(&archive).unwrap();
    let text = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
    (archive, format!("sha256:{}", text.split(' ').next().unwrap()))
}

/// Serves one archive after the other, by the number in their path, until the process ends.
fn serve(archives: Vec<Vec<u8>>) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or_default();
            let text = String::from_utf8_lossy(&head[..length]).into_owned();
            let number = text.split('/').nth(1).and_then(|path| path.split('.').next()?.parse::<usize>().ok());
            let body = number.and_then(|number| archives.get(number)).cloned().unwrap_or_default();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            // Who asks may have gone.
            drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)));
        }
    });
    port
}

async fn until(what: &str, mut check: impl AsyncFnMut() -> Result<(), String>) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let Err(why) = check().await else { return };
        assert!(Instant::now() < deadline, "waited in vain: {what}: {why}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_applies_an_artifact_and_prunes_what_left_it() {
    let Some(folder) = std::env::var_os("CONFORMANCE_PEERS") else { return };
    let served = Served::start().await.unwrap();
    let cluster = Cluster::of_kubeconfig(served.kubeconfig().to_str().unwrap()).await.unwrap();
    let send = async |call: Call| -> Value {
        let answer = cluster.send(&call).await.unwrap();
        assert!(answer.code < 300, "{}", answer.body);
        answer.body
    };
    for definition in definitions() {
        send(Call::post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)).await;
    }
    let id = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
    let space = format!("flux-{id}");
    send(Call::post("/api/v1/namespaces", json!({"metadata": {"name": space}}))).await;
    let map = |name: &str, value: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": value}}).to_string()
    };
    let list = |names: &[&str]| {
        json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": names})
            .to_string()
    };
    let first =
        [("kustomization.yaml", list(&["a.yaml", "b.yaml"])), ("a.yaml", map("a", &id)), ("b.yaml", map("b", "x"))];
    let second = [("kustomization.yaml", list(&["a.yaml"])), ("a.yaml", map("a", "changed"))];
    let packs = [packed(served.folder(), &first), packed(served.folder(), &second)];
    let port = serve(packs.iter().map(|(archive, _)| archive.clone()).collect());
    let artifact = |number: usize| {
        let (archive, digest) = &packs[number];
        json!({"status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "artifact": {"path": format!("{number}.tar.gz"), "url": format!("http://127.0.0.1:{port}/{number}.tar.gz"), "revision": format!("main@sha1:{number}"), "digest": digest, "size": archive.len(), "lastUpdateTime": "2026-01-01T00:00:00Z"}}})
    };
    let sources = format!("/apis/{SOURCE}/namespaces/{space}/gitrepositories");
    let source = json!({"apiVersion": SOURCE, "kind": "GitRepository", "metadata": {"name": "r"}, "spec": {"interval": "1h", "url": "https://git.example/r"}});
    send(Call::post(sources.clone(), source)).await;
    send(Call::patch(format!("{sources}/r/status"), MERGE_PATCH, artifact(0))).await;
    let wanted = json!({"apiVersion": KUSTOMIZE, "kind": "Kustomization", "metadata": {"name": "k"}, "spec": {"interval": "1h", "prune": true, "path": "./", "targetNamespace": space,
        "sourceRef": {"kind": "GitRepository", "name": "r"}}});
    let kustomizations = format!("/apis/{KUSTOMIZE}/namespaces/{space}/kustomizations");
    send(Call::post(kustomizations.clone(), wanted)).await;

    let log = served.folder().join("flux.log");
    let file = std::fs::File::create(&log).unwrap();
    let running = Command::new(Path::new(&folder).join("kustomize-controller"))
        .args(["--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0", "--watch-all-namespaces", "--events-addr="])
        .env("KUBECONFIG", served.kubeconfig())
        .env("RUNTIME_NAMESPACE", &space)
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn();
    let mut running = Running(running.unwrap());
    let ready = async |revision: &str| -> Result<(), String> {
        let found = cluster.send(&Call::get(format!("{kustomizations}/k"))).await.unwrap().body;
        if found["status"]["lastAppliedRevision"] == revision { Ok(()) } else { Err(found["status"].to_string()) }
    };
    until("the artifact is applied", async || ready("main@sha1:0").await).await;
    let maps = format!("/api/v1/namespaces/{space}/configmaps");
    assert_eq!(send(Call::get(format!("{maps}/a"))).await["data"]["k"], id.as_str());
    let owned = send(Call::get(format!("{maps}/b"))).await;
    assert_eq!(owned["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"], "k");
    send(Call::patch(format!("{sources}/r/status"), MERGE_PATCH, artifact(1))).await;
    until("the next one is applied", async || ready("main@sha1:1").await).await;
    assert_eq!(send(Call::get(format!("{maps}/a"))).await["data"]["k"], "changed");
    assert_eq!(cluster.send(&Call::get(format!("{maps}/b"))).await.unwrap().code, 404);
    assert!(running.0.try_wait().unwrap().is_none(), "the controller still runs");
    let log = std::fs::read_to_string(&log).unwrap();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("\"level\":\"error\"")).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}
