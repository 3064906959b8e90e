//! The git host with the stock git as its client.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use std::collections::BTreeMap;

use gitops::git::{Host, Name};
use world::{World, word};

fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    pairs.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_git_clones_and_pushes() {
    let world = World::start().await;
    let name = Name::parse(&word()).unwrap();
    world.host.create(&name, &files(&[("a.txt", "one\n")]), "Begin").await.unwrap();
    let mut changes = world.host.changes();
    let here = tempfile::tempdir().unwrap();
    let output = world.git(here.path(), &["clone", "-q", &world.url(&world.admin, name.as_str()), "c"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let clone = here.path().join("c");
    assert_eq!(std::fs::read_to_string(clone.join("a.txt")).unwrap(), "one\n");
    let log = world.git(&clone, &["log", "--format=%an <%ae>"]).await;
    assert_eq!(String::from_utf8_lossy(&log.stdout).trim(), "Roadstead <platform@roadstead.local>");

    // A pack of some megabytes goes through in pieces.
    let big: Vec<u8> =
        (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).take(4 << 20).collect();
    std::fs::write(clone.join("big.bin"), &big).unwrap();
    std::fs::write(clone.join("b.txt"), "two\n").unwrap();
    assert!(world.git(&clone, &["add", "."]).await.status.success());
    assert!(world.git(&clone, &["commit", "-q", "-m", "Add"]).await.status.success());
    let output = world.git(&clone, &["push", "-q", "origin", "main"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    while changes.recv().await.unwrap() != name {}
    let head = world.host.resolve(&name, "main").await.unwrap();
    let tree = world.host.tree(&name, &head).await.unwrap();
    assert_eq!(tree.files["big.bin"], big);

    // A fetch with many wants is packed by the client.
    let output = world.git(&clone, &["fetch", "-q", "--all"]).await;
    assert!(output.status.success());
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_so() {
    let world = World::start().await;
    let name = Name::parse(&word()).unwrap();
    world.host.create(&name, &files(&[("a.txt", "one\n")]), "Begin").await.unwrap();
    let here = tempfile::tempdir().unwrap();
    for (token, says) in [("nobodys", "Authentication failed"), (world.stranger.as_str(), "may not read repository")] {
        let output = world.git(here.path(), &["clone", "-q", &world.url(token, name.as_str()), "x"]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(says), "{said}");
    }
    let output = world.git(here.path(), &["clone", "-q", &world.url(&world.admin, "no-such"), "x"]).await;
    assert!(!output.status.success());

    // One who may read but not write.
    world
        .put(serde_json::json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "readers"},
            "rules": [{"apiGroups": ["platform.io"], "resources": ["repositories"], "verbs": ["get"]}]}))
        .await;
    world
        .put(serde_json::json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "readers"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "readers"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "stranger"}]}))
        .await;
    let output = world.git(here.path(), &["clone", "-q", &world.url(&world.stranger, name.as_str()), "c"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let clone = here.path().join("c");
    assert!(world.git(&clone, &["commit", "-q", "--allow-empty", "-m", "x"]).await.status.success());
    let output = world.git(&clone, &["push", "-q"]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("403") && said.contains("may not push"), "{said}");
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_neither_change_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::open(folder.path()).unwrap();
    let name = Name::parse(&word()).unwrap();
    host.create(&name, &files(&[("n", "0")]), "Begin").await.unwrap();
    let add = |host: Host, name: Name| async move {
        for _ in 0..5 {
            host.edit(&name, "main", "n", "Count", |text| Ok((text.parse::<u32>().unwrap() + 1).to_string()))
                .await
                .unwrap();
        }
    };
    tokio::join!(add(host.clone(), name.clone()), add(host.clone(), name.clone()));
    let head = host.resolve(&name, "main").await.unwrap();
    assert_eq!(host.tree(&name, &head).await.unwrap().files["n"], b"10");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_repository_is_gone_and_its_name_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::open(folder.path()).unwrap();
    let name = Name::parse(&word()).unwrap();
    let first = host.create(&name, &files(&[("a", "1")]), "Begin").await.unwrap();
    assert!(host.create(&name, &files(&[("a", "1")]), "Again").await.is_err());
    host.archive(&name).unwrap();
    assert!(!host.exists(&name) && host.resolve(&name, "main").await.is_err());
    host.create(&name, &files(&[("a", "2")]), "Begin").await.unwrap();
    let head = host.resolve(&name, "HEAD").await.unwrap();
    assert_ne!(head, first);
    assert_eq!(std::fs::read_dir(folder.path().join(".archive")).unwrap().count(), 1);
    assert!(host.resolve(&name, "--help").await.is_err());
}

#[tokio::test]
async fn a_repository_that_was_half_made_is_swept_away() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join(".making-x-1-0/objects")).unwrap();
    let name = Name::parse("kept").unwrap();
    Host::open(folder.path()).unwrap().create(&name, &files(&[("a", "1")]), "Begin").await.unwrap();
    let host = Host::open(folder.path()).unwrap();
    assert!(host.exists(&name) && !folder.path().join(".making-x-1-0").exists());
}
