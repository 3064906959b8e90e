//! The built-in kinds: create, default, read, patch, refuse and delete, for each of them.
//!
//! Asked is the embedded server, or the cluster of the kubeconfig in
//! `CONFORMANCE_KUBECONFIG`. With `CONFORMANCE_PEERS` (a folder with `etcd` and
//! `kube-apiserver`, see `cargo xtask peers`) every answer is compared with the real one's.

use std::path::Path;

use conformance::{
    case,
    cluster::{Call, Cluster},
    difference, peer,
};
use serde_json::{Value, json};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kinds");

/// A namespace that no author knew, with the account that its pods run as.
async fn namespace(cluster: &Cluster, name: &str) {
    let made = cluster.send(&Call::post("/api/v1/namespaces", json!({"metadata": {"name": name}}))).await.unwrap();
    assert_eq!(made.code, 201, "{}", made.body);
    let account = json!({"metadata": {"name": "default"}});
    cluster.send(&Call::post(format!("/api/v1/namespaces/{name}/serviceaccounts"), account)).await.unwrap();
}

fn random() -> String {
    format!("kinds-{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

async fn target() -> Cluster {
    match std::env::var("CONFORMANCE_KUBECONFIG") {
        Ok(file) => Cluster::of_kubeconfig(&file).await.unwrap(),
        Err(_) => Cluster::ours().await.unwrap(),
    }
}

#[tokio::test]
async fn every_kind_is_created_read_patched_and_deleted_and_what_is_wrong_is_refused() {
    let cluster = target().await;
    let space = random();
    namespace(&cluster, &space).await;
    let mut wrong = Vec::new();
    for case in case::all(Path::new(FOLDER), &space).unwrap() {
        let steps = case::walk(&cluster, &case).await.unwrap();
        let created = &steps[0].answer;
        match &case.refused {
            None => {
                for step in steps.iter().filter(|step| step.answer.code >= 300 && !step.title.starts_with("then")) {
                    wrong.push(format!("{}: {}: {}", case.title, step.title, step.answer.body["message"]));
                }
            }
            Some((code, _)) if created.code != *code => {
                wrong.push(format!("{}: {code} expected: {} {}", case.title, created.code, created.body["message"]));
            }
            Some((_, fields)) => {
                let causes = created.body["details"]["causes"].as_array().cloned().unwrap_or_default();
                let named: Vec<&str> = causes.iter().filter_map(|cause| cause["field"].as_str()).collect();
                if !fields.is_empty() && named != *fields {
                    wrong.push(format!("{}: {fields:?} expected: {named:?}", case.title));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_answer_is_that_of_the_real_server() {
    let Some(peer) = peer::shared().await.unwrap() else { return };
    let ours = Cluster::ours().await.unwrap();
    let space = random();
    for cluster in [&ours, &peer] {
        namespace(cluster, &space).await;
    }
    let only = std::env::var("CONFORMANCE_ONLY").unwrap_or_default();
    let (mut lines, mut compared) = (Vec::new(), 0);
    for case in case::all(Path::new(FOLDER), &space).unwrap().iter().filter(|case| case.title.contains(&only)) {
        let mine = case::walk(&ours, case).await.unwrap();
        let real = case::walk(&peer, case).await.unwrap();
        for (index, theirs) in real.iter().enumerate() {
            compared += 1;
            let Some(own) = mine.get(index) else {
                lines.push(format!("{} / {}: not reached by ours", case.title, theirs.title));
                break;
            };
            let mut found = Vec::new();
            if own.answer.code == theirs.answer.code {
                found.extend(difference::between(&own.answer.body, &theirs.answer.body));
            } else {
                let (ours, theirs) = (&own.answer, &theirs.answer);
                let said = if theirs.code < 300 { &ours.body["message"] } else { &theirs.body };
                found.push(format!("code: ours {}, theirs {}: {said}", ours.code, theirs.code));
            }
            if own.answer.code == theirs.answer.code && own.answer.warnings != theirs.answer.warnings {
                found.push(format!("warnings: ours {:?}, theirs {:?}", own.answer.warnings, theirs.answer.warnings));
            }
            lines.extend(found.into_iter().map(|line| format!("{} / {}: {line}", case.title, theirs.title)));
        }
    }
    eprintln!("{compared} answers compared, {} differences", lines.len());
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

/// Discovery of the groups that both serve: versions, resources, verbs, names, categories.
#[tokio::test]
async fn discovery_names_the_same_resources_as_the_real_server() {
    let Some(peer) = peer::shared().await.unwrap() else { return };
    let ours = Cluster::ours().await.unwrap();
    let (mut lines, mut roots) = (Vec::new(), vec!["/api/v1".to_owned()]);
    let groups = ours.send(&Call::get("/apis")).await.unwrap().body;
    for version in
        groups["groups"].as_array().into_iter().flatten().filter_map(|group| group["versions"].as_array()).flatten()
    {
        roots.push(format!("/apis/{}", version["groupVersion"].as_str().unwrap()));
    }
    for root in roots {
        let resources = async |cluster: &Cluster| -> Value {
            let list = cluster.send(&Call::get(root.clone())).await.unwrap().body;
            let each = list["resources"].as_array().into_iter().flatten().map(|resource| {
                let mut resource = resource.clone();
                resource.as_object_mut().unwrap().remove("storageVersionHash");
                (resource["name"].as_str().unwrap().to_owned(), resource)
            });
            each.collect::<serde_json::Map<_, _>>().into()
        };
        let found = difference::between(&resources(&ours).await, &resources(&peer).await);
        // What is not served answers 404, and is no difference in what is; it is told.
        let (absent, other): (Vec<String>, Vec<String>) =
            found.into_iter().partition(|line| line.contains(": ours absent"));
        for line in absent {
            eprintln!("{root}: not served: {}", line.split(": ").next().unwrap_or_default());
        }
        lines.extend(other.into_iter().map(|line| format!("{root}: {line}")));
    }
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}
