//! The golden chart: every value of it, its environments, what it refuses, its page and its overlays.
//!
//! `CHART=write` writes what is made from the chart (its README's table, the base of its overlays) anew;
//! `cargo xtask chart` does that.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod environments;
mod page;
mod refusals;
mod schema;
mod toggles;
mod values;

use std::{fs, path::PathBuf};

use helm::{Files, Options, Rendered};
use lint::Severity;
use serde_json::Value;

/// A path within the workspace.
fn workspace(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..").join(path)
}

/// Reads a folder of the workspace, paths cut by it.
fn folder(path: &str) -> Files {
    let root = workspace(path);
    let mut files = Files::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(&root).unwrap().display().to_string(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn chart() -> Files {
    folder("content/charts/microservice")
}

fn text(path: &str) -> String {
    fs::read_to_string(workspace(path)).unwrap()
}

fn yaml(text: &str) -> Value {
    gotmpl::yaml::read(text).unwrap().to_json()
}

/// A word that nobody has used.
fn word() -> String {
    format!("w{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

/// A number below a bound.
fn below(bound: usize) -> usize {
    usize::try_from(uuid::Uuid::new_v4().as_u128() % u128::try_from(bound).unwrap()).unwrap()
}

fn options(values: &[String]) -> Options {
    Options { values: values.to_vec(), ..Options::new("microservice", "space") }
}

fn render(values: &[String]) -> Result<Rendered, helm::Error> {
    helm::render(&chart(), &options(values))
}

/// Everything that is rendered, hooks too.
fn objects(rendered: &Rendered) -> Vec<Value> {
    let manifests = rendered.manifests.iter().chain(rendered.hooks.iter().map(|hook| &hook.manifest));
    manifests.flat_map(|manifest| helm::parse_manifests(&manifest.source, &manifest.text).unwrap()).collect()
}

fn kinds(rendered: &Rendered) -> Vec<String> {
    let mut kinds: Vec<String> =
        objects(rendered).iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect();
    kinds.sort();
    kinds
}

fn only<'o>(objects: &'o [Value], kind: &str) -> &'o Value {
    let found: Vec<&Value> = objects.iter().filter(|object| object["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}

/// Fails where the linter has more to say than what is worth knowing.
fn assert_clean(what: &str, values: &[String]) {
    let findings = lint::chart(&chart(), &options(values));
    assert!(lint::pass(&findings, Severity::Warning).is_ok(), "{what}: {}", lint::text(&findings));
}
