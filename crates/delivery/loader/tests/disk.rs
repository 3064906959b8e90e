//! Kustomizations on a real disk.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops where its world cannot be made"
)]

use std::{fs, path::Path, process::Command};

use kustomize::{Options, Restriction};
use uuid::Uuid;

fn put(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn text(path: &Path) -> Result<String, String> {
    loader::build(path.to_str().unwrap(), &Options::default()).map(|built| built.text()).map_err(|e| e.to_string())
}

fn map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
}

#[test]
fn an_overlay_is_built_over_a_base_beside_it() {
    let root = tempfile::tempdir().unwrap();
    let name = format!("n{}", Uuid::new_v4().simple());
    put(root.path(), "base/kustomization.yaml", "resources: [a.yaml]\n");
    put(root.path(), "base/a.yaml", &map(&name));
    put(root.path(), "over/kustomization.yaml", "resources: [../base]\nnamePrefix: p-\n");
    let built = text(&root.path().join("over")).unwrap();
    assert_eq!(built, format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: p-{name}\n"));
}

#[test]
fn a_link_out_of_the_root_is_refused_unless_allowed() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "outside.yaml", &map("secret"));
    put(root.path(), "in/kustomization.yaml", "resources: [link.yaml]\n");
    std::os::unix::fs::symlink(root.path().join("outside.yaml"), root.path().join("in/link.yaml")).unwrap();
    let error = text(&root.path().join("in")).unwrap_err();
    assert!(error.contains("is not in or below"), "{error}");
    let options = Options { restriction: Restriction::None, ..Options::default() };
    let built = loader::build(root.path().join("in").to_str().unwrap(), &options).unwrap();
    assert!(built.text().contains("name: secret"));
}

#[test]
fn a_base_in_a_repository_is_fetched_at_its_revision() {
    let root = tempfile::tempdir().unwrap();
    let repository = root.path().join("repo");
    put(&repository, "deep/kustomization.yaml", "resources: [a.yaml]\n");
    put(&repository, "deep/a.yaml", &map("first"));
    let git = |arguments: &[&str]| {
        let status = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(arguments)
            .current_dir(&repository)
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "first"]);
    git(&["tag", "v1"]);
    put(&repository, "deep/a.yaml", &map("second"));
    git(&["commit", "--quiet", "-am", "second"]);
    let address = format!("file://{}//deep?ref=v1", repository.display());
    put(root.path(), "over/kustomization.yaml", &format!("resources: [\"{address}\"]\n"));
    assert!(text(&root.path().join("over")).unwrap().contains("name: first"));
    let newest = format!("file://{}//deep", repository.display());
    assert!(loader::build(&newest, &Options::default()).unwrap().text().contains("name: second"));
    let none = format!("file://{}//deep?ref=nope", repository.display());
    let error = loader::build(&none, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("failed to run 'git fetch"), "{error}");
    let option = format!("file://{}//deep?ref=--upload-pack=x", repository.display());
    let error = loader::build(&option, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("must not start with '-'"), "{error}");
}

#[test]
fn a_folder_gets_a_file_per_resource() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "k/kustomization.yaml", "resources: [a.yaml]\n");
    let two = format!("{}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: space}}\n", map("Blue"));
    put(root.path(), "k/a.yaml", &two);
    let built = loader::build(root.path().join("k").to_str().unwrap(), &Options::default()).unwrap();
    let out = root.path().join("out");
    fs::create_dir(&out).unwrap();
    loader::write(&built, &out).unwrap();
    let mut names: Vec<String> =
        fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["v1_configmap_blue.yaml", "v1_namespace_space.yaml"]);
    let file = root.path().join("all.yaml");
    loader::write(&built, &file).unwrap();
    assert_eq!(fs::read_to_string(file).unwrap(), built.text());
}
