//! From a commit to objects in the cluster, against the in-process API server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use std::collections::BTreeMap;

use gitops::git::Name;
use serde_json::{Value, json};
use world::{World, word};

fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  k: \"{value}\"\n")
}

async fn repository(world: &World, files: &[(&str, String)]) -> Name {
    let name = Name::parse(&word()).unwrap();
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(path, text)| ((*path).to_owned(), text.clone().into_bytes())).collect();
    world.host.create(&name, &files, "Begin").await.unwrap();
    name
}

async fn commit(world: &World, name: &Name, files: &[(&str, String)]) -> String {
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(path, text)| ((*path).to_owned(), text.clone().into_bytes())).collect();
    world.host.replace(name, &files, "Change").await.unwrap().to_string()
}

fn application(name: &str, repository: &Name, namespace: &str, automated: &Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd", "finalizers": ["resources-finalizer.argocd.argoproj.io"]},
        "spec": {
            "project": "default",
            "source": {"repoURL": format!("https://git.cluster.local/{repository}.git"), "path": ".", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {"automated": automated, "syncOptions": ["CreateNamespace=true"]},
        },
    })
}

fn all() -> Value {
    json!({"prune": true, "selfHeal": true})
}

/// The platform's own objects are there.
async fn begun(world: &World) {
    let projects = world.api("argoproj.io", "v1alpha1", "AppProject", "argocd");
    world.until(&projects, "default", "made", |there| there.is_some()).await;
}

fn k(there: Option<&Value>) -> Option<&str> {
    there.and_then(|there| there["data"]["k"].as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_becomes_objects_and_what_left_the_source_is_pruned() {
    let world = World::start().await;
    begun(&world).await;
    let (name, namespace) = (word(), word());
    let repo = repository(&world, &[("a.yaml", map("a", "1")), ("b.yaml", map("b", "1"))]).await;
    world.put(application(&name, &repo, &namespace, &all())).await;
    let maps = world.api("", "v1", "ConfigMap", &namespace);
    world.until(&maps, "a", "made", |there| k(there) == Some("1")).await;
    world.until(&maps, "b", "made", |there| k(there) == Some("1")).await;
    let apps = world.api("argoproj.io", "v1alpha1", "Application", "argocd");
    let app = world
        .until(&apps, &name, "synced", |there| there.is_some_and(|app| app["status"]["sync"]["status"] == "Synced"))
        .await
        .unwrap();
    assert_eq!(app["status"]["health"]["status"], "Healthy");
    assert_eq!(app["status"]["operationState"]["phase"], "Succeeded");
    assert_eq!(app["status"]["resources"].as_array().unwrap().len(), 2);

    let revision = commit(&world, &repo, &[("a.yaml", map("a", "2"))]).await;
    world.until(&maps, "a", "changed", |there| k(there) == Some("2")).await;
    world.until(&maps, "b", "pruned", |there| there.is_none()).await;
    let app = world
        .until(&apps, &name, "at the new commit", |there| {
            there.is_some_and(|app| {
                app["status"]["sync"]["revision"] == revision.as_str() && app["status"]["sync"]["status"] == "Synced"
            })
        })
        .await
        .unwrap();
    assert_eq!(app["status"]["history"].as_array().unwrap().len(), 2);

    // What was changed by hand is put back, what was deleted comes again.
    world.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace}, "data": {"k": "hand"}})).await;
    world.until(&maps, "a", "healed", |there| k(there) == Some("2")).await;
    maps.delete("a", &kube::api::DeleteParams::default()).await.unwrap();
    world.until(&maps, "a", "made again", |there| k(there) == Some("2")).await;

    // Deleting the application deletes what it made.
    apps.delete(&name, &kube::api::DeleteParams::default()).await.unwrap();
    world.until(&maps, "a", "gone", |there| there.is_none()).await;
    world.until(&apps, &name, "gone", |there| there.is_none()).await;
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_pruned_on_doubt() {
    let world = World::start().await;
    begun(&world).await;
    let (name, namespace) = (word(), word());
    let repo = repository(&world, &[("a.yaml", map("a", "1"))]).await;
    world.put(application(&name, &repo, &namespace, &all())).await;
    let maps = world.api("", "v1", "ConfigMap", &namespace);
    let apps = world.api("argoproj.io", "v1alpha1", "Application", "argocd");
    world.until(&maps, "a", "made", |there| k(there) == Some("1")).await;
    let says = |there: Option<&Value>, what: &str| {
        there.is_some_and(|app| app["status"]["conditions"].to_string().contains(what))
    };
    for (files, what) in [
        (vec![("a.yaml", "a: [".to_owned())], "a.yaml"),
        (
            vec![
                ("Chart.yaml", "apiVersion: v2\nname: c\nversion: 0.1.0\n".to_owned()),
                ("templates/a.yaml", "{{ fail \"broken on purpose\" }}".to_owned()),
            ],
            "broken on purpose",
        ),
        (vec![("kustomization.yaml", "resources: []".to_owned())], "kustomize is not built yet"),
        (vec![("empty.yaml", "# nothing\n".to_owned())], "wipe out all resources"),
        (
            vec![("a.yaml", "apiVersion: nope.example/v1\nkind: Nope\nmetadata: {name: it}\n".to_owned())],
            "has no kind Nope",
        ),
    ] {
        commit(&world, &repo, &files).await;
        world.until(&apps, &name, what, |there| says(there, what)).await;
        assert_eq!(
            k(maps.get_opt("a").await.unwrap().map(|a| serde_json::to_value(a).unwrap()).as_ref()),
            Some("1"),
            "{what}"
        );
    }
    commit(&world, &repo, &[("a.yaml", map("a", "3"))]).await;
    world.until(&maps, "a", "changed", |there| k(there) == Some("3")).await;
    world.until(&apps, &name, "clean", |there| there.is_some_and(|app| app["status"]["conditions"].is_null())).await;
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_automation_differences_are_only_told() {
    let world = World::start().await;
    begun(&world).await;
    let (name, namespace) = (word(), word());
    let repo = repository(&world, &[("a.yaml", map("a", "1"))]).await;
    let mut app = application(&name, &repo, &namespace, &Value::Null);
    app["spec"]["syncPolicy"] = json!({"syncOptions": ["CreateNamespace=true"]});
    world.put(app).await;
    let apps = world.api("argoproj.io", "v1alpha1", "Application", "argocd");
    let app = world
        .until(&apps, &name, "out of sync", |there| {
            there.is_some_and(|app| app["status"]["sync"]["status"] == "OutOfSync")
        })
        .await
        .unwrap();
    assert_eq!(app["status"]["health"]["status"], "Missing");

    // Asked by hand, it syncs; and does not take the wish for a habit.
    let patch = json!({"operation": {"sync": {"prune": true}, "initiatedBy": {"username": "somebody"}}});
    apps.patch(&name, &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&patch)).await.unwrap();
    world
        .until(&apps, &name, "synced", |there| {
            there.is_some_and(|app| app["status"]["sync"]["status"] == "Synced" && app["operation"].is_null())
        })
        .await;
    commit(&world, &repo, &[("a.yaml", map("a", "2"))]).await;
    world
        .until(&apps, &name, "out of sync", |there| {
            there.is_some_and(|app| app["status"]["sync"]["status"] == "OutOfSync")
        })
        .await;
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_specification_is_told_and_stops_nobody_else() {
    let world = World::start().await;
    begun(&world).await;
    let (bad, good, namespace) = (word(), word(), word());
    let repo = repository(&world, &[("a.yaml", map("a", "1"))]).await;
    let mut wrong = application(&bad, &repo, &namespace, &all());
    wrong["spec"]["source"]["repoURL"] = json!("https://github.com/x/y");
    world.put(wrong).await;
    let mut lost = application(&format!("{bad}-p"), &repo, &namespace, &all());
    lost["spec"]["project"] = json!("nowhere");
    world.put(lost).await;
    world.put(application(&good, &repo, &namespace, &all())).await;
    let apps = world.api("argoproj.io", "v1alpha1", "Application", "argocd");
    let says = |there: Option<&Value>, what: &str| {
        there.is_some_and(|app| app["status"]["conditions"].to_string().contains(what))
    };
    world.until(&apps, &bad, "told", |there| says(there, "github.com")).await;
    world.until(&apps, &format!("{bad}-p"), "told", |there| says(there, "nowhere")).await;
    world.until(&world.api("", "v1", "ConfigMap", &namespace), "a", "made", |there| there.is_some()).await;
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_microservice_gets_repository_application_and_objects_and_is_scaled_by_commit() {
    let world = World::start().await;
    begun(&world).await;
    let (name, namespace) = (word(), word());
    world
        .put(json!({"apiVersion": "platform.io/v1alpha1", "kind": "Environment", "metadata": {"name": "development"},
        "spec": {"namespace": namespace, "domain": "dev.localhost"}}))
        .await;
    let namespaces = world.api("", "v1", "Namespace", "");
    world
        .until(&namespaces, &namespace, "labelled", |there| {
            there.is_some_and(|ns| ns["metadata"]["labels"]["platform.io/environment"] == "development")
        })
        .await;
    world.put(json!({"apiVersion": "platform.io/v1alpha1", "kind": "Microservice", "metadata": {"name": name, "namespace": namespace},
        "spec": {"environment": "development", "template": "microservice"}})).await;
    let deployments = world.api("apps", "v1", "Deployment", &namespace);
    let deployment = world.until(&deployments, &name, "made", |there| there.is_some()).await.unwrap();
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "registry.cluster.local/sample:7");
    assert_eq!(deployment["spec"]["replicas"], 1);
    let services = world.api("platform.io", "v1alpha1", "Microservice", &namespace);
    let service = world
        .until(&services, &name, "ready", |there| there.is_some_and(|one| one["status"]["commit"].is_string()))
        .await
        .unwrap();
    assert_eq!(service["status"]["host"], format!("{name}.dev.localhost"));

    let patch = json!({"metadata": {"annotations": {"platform.io/requested-replicas": "3"}}});
    services.patch(&name, &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&patch)).await.unwrap();
    world.until(&deployments, &name, "scaled", |there| there.is_some_and(|one| one["spec"]["replicas"] == 3)).await;
    let service = world
        .until(&services, &name, "at the requested commit", |there| {
            there.is_some_and(|one| {
                one["status"]["commit"] == one["status"]["requestedCommit"]
                    && one["metadata"]["annotations"]["platform.io/requested-replicas"].is_null()
            })
        })
        .await
        .unwrap();
    let repo = Name::parse(&name).unwrap();
    let head = world.host.resolve(&repo, "main").await.unwrap();
    assert_eq!(service["status"]["commit"], head.as_str());

    services.delete(&name, &kube::api::DeleteParams::default()).await.unwrap();
    world.until(&deployments, &name, "gone", |there| there.is_none()).await;
    world.until(&services, &name, "gone", |there| there.is_none()).await;
    assert!(!world.host.exists(&repo));
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_microservice_that_cannot_be_says_why() {
    let world = World::start().await;
    begun(&world).await;
    let name = word();
    world.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
    world.put(json!({"apiVersion": "platform.io/v1alpha1", "kind": "Microservice", "metadata": {"name": name, "namespace": name},
        "spec": {"environment": "nowhere", "template": "microservice"}})).await;
    let services = world.api("platform.io", "v1alpha1", "Microservice", &name);
    world
        .until(&services, &name, "told", |there| {
            there.is_some_and(|one| {
                one["status"]["conditions"].to_string().contains("environment nowhere does not exist")
            })
        })
        .await;
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_wave_waits_until_the_earlier_one_is_healthy() {
    let world = World::start().await;
    begun(&world).await;
    let (name, namespace) = (word(), word());
    let first = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: first}\nspec:\n  replicas: 0\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: c, image: i}]}\n";
    let later = map("later", "1")
        .replace("  name: later\n", "  name: later\n  annotations: {argocd.argoproj.io/sync-wave: \"1\"}\n");
    let repo = repository(&world, &[("a.yaml", first.to_owned()), ("b.yaml", later)]).await;
    world.put(application(&name, &repo, &namespace, &all())).await;
    let apps = world.api("argoproj.io", "v1alpha1", "Application", "argocd");
    world
        .until(&apps, &name, "waiting", |there| {
            there.is_some_and(|app| {
                app["status"]["operationState"]["message"].to_string().contains("waiting for healthy state")
            })
        })
        .await;
    let maps = world.api("", "v1", "ConfigMap", &namespace);
    assert!(maps.get_opt("later").await.unwrap().is_none());
    let deployments = world.api("apps", "v1", "Deployment", &namespace);
    let rolled_out = kube::api::Patch::Merge(json!({"status": {"observedGeneration": 1}}));
    deployments.patch_status("first", &kube::api::PatchParams::default(), &rolled_out).await.unwrap();
    world.until(&maps, "later", "made", |there| k(there) == Some("1")).await;
    world.stop();
}
