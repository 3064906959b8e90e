//! The rules of the house that a compiler does not know.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use serde_json::Value;

/// Files that may be longer than [`LONGEST`], with the reason.
const LONG: &[(&str, &str)] = &[];
const LONGEST: usize = 700;

/// Names that say nothing about what a module does.
const REFUSED: &[&str] = &["utils", "util", "helpers", "common", "misc"];

/// What a crate of a wing may use, beside its own wing.
const SHARED: &[&str] = &["base", "kube", "model"];

/// Crates that pure crates may not use.
const IMPURE: &[&str] = &["tokio", "hyper", "axum", "kube", "reqwest", "nix", "redb", "tokio-util"];

/// Checks all rules and prints every breach.
pub(crate) fn run() -> anyhow::Result<()> {
    println!("== tidy");
    let mut breaches = Vec::new();
    edges(&mut breaches)?;
    let files = tracked()?;
    sources(&files, &mut breaches)?;
    documents(&files, &mut breaches)?;
    if breaches.is_empty() {
        return Ok(());
    }
    for breach in &breaches {
        println!("{breach}");
    }
    bail!("tidy: {} breaches", breaches.len())
}

fn tracked() -> anyhow::Result<Vec<PathBuf>> {
    let output =
        Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).output().context("failed to run git")?;
    Ok(String::from_utf8(output.stdout)?.lines().map(PathBuf::from).filter(|path| path.exists()).collect())
}

/// Edges between wings, pure crates, and crates that must not be in the tree.
fn edges(breaches: &mut Vec<String>) -> anyhow::Result<()> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()
        .context("failed to run cargo")?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("failed to read cargo metadata; is Cargo.lock current?")?;
    let root = metadata["workspace_root"].as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let members: BTreeSet<String> =
        list(&metadata["workspace_members"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let packages = list(&metadata["packages"]);
    let mut wings: BTreeMap<String, String> = BTreeMap::new();
    for package in packages.iter().filter(|package| members.contains(package["id"].as_str().unwrap_or_default())) {
        let path =
            package["manifest_path"].as_str().unwrap_or_default().trim_start_matches(&root).trim_start_matches('/');
        let parts: Vec<&str> = path.split('/').collect();
        let wing = if parts.first() == Some(&"crates") { parts[1] } else { parts[0] };
        wings.insert(package["name"].as_str().unwrap_or_default().to_owned(), wing.to_owned());
    }
    for package in &packages {
        let name = package["name"].as_str().unwrap_or_default();
        if name == "aws-lc-sys" {
            breaches.push(
                "Cargo.lock: aws-lc-sys is in the tree: a second TLS provider panics at run time, and it needs cmake"
                    .into(),
            );
        }
        let Some(wing) = wings.get(name).filter(|_| members.contains(package["id"].as_str().unwrap_or_default()))
        else {
            continue;
        };
        let pure = package["metadata"]["roadstead"]["pure"] == true;
        for dependency in list(&package["dependencies"]) {
            let target = dependency["name"].as_str().unwrap_or_default();
            let dev = dependency["kind"] == "dev";
            if pure && !dev && IMPURE.contains(&target) {
                breaches.push(format!("{name}: a pure crate uses {target}"));
            }
            let Some(other) = wings.get(target) else { continue };
            let free = matches!(wing.as_str(), "bin" | "xtask" | "tests" | "benches")
                || other == wing
                || SHARED.contains(&other.as_str());
            // Controllers of any wing are tested against the API server.
            let tested = dev && matches!(target, "apiserver" | "controllers");
            if wing == "base" || (!free && !tested) {
                breaches
                    .push(format!("{name} ({wing}) uses {target} ({other}): wings meet only in Kubernetes objects"));
            }
        }
    }
    Ok(())
}

fn sources(files: &[PathBuf], breaches: &mut Vec<String>) -> anyhow::Result<()> {
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {shown}"))?;
        if !text.starts_with("//!") {
            breaches.push(format!("{shown}: begins without //! saying what it is responsible for"));
        }
        let lines = text.lines().count();
        if lines > LONGEST && !LONG.iter().any(|(long, _)| Path::new(long) == path) {
            breaches.push(format!("{shown}: {lines} lines; split it by subject"));
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if REFUSED.contains(&stem) {
            breaches.push(format!("{shown}: the name says nothing about what it does"));
        }
        let test = path.components().any(|part| part.as_os_str() == "tests")
            || stem.ends_with("tests")
            || path.starts_with("xtask");
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in product.lines().enumerate() {
            let swallowed = line.contains("let _ = std::fs::")
                || line.contains("let _ = fs::")
                || line.contains("let _ = tokio::fs::");
            if swallowed && !test {
                breaches.push(format!("{shown}:{}: an I/O error is swallowed", number + 1));
            }
            if line.contains("#[ignore")
                || line.contains("#[should_panic")
                || line.contains("todo!(")
                || line.contains("unimplemented!(")
            {
                if path.ends_with("xtask/src/tidy.rs") {
                    continue;
                }
                breaches.push(format!("{shown}:{}: unfinished or unchecked", number + 1));
            }
        }
    }
    Ok(())
}

/// ARCHITECTURE.md names every crate once and only paths that exist; error codes have pages.
fn documents(files: &[PathBuf], breaches: &mut Vec<String>) -> anyhow::Result<()> {
    let architecture = std::fs::read_to_string("ARCHITECTURE.md").context("failed to read ARCHITECTURE.md")?;
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    for line in architecture.lines().filter(|line| line.starts_with('|')) {
        for path in
            line.split('`').skip(1).step_by(2).filter(|path| {
                (path.contains('/') && !path.contains(' ')) || Path::new(path).join("Cargo.toml").exists()
            })
        {
            if !Path::new(path).exists() {
                breaches.push(format!("ARCHITECTURE.md: {path} does not exist"));
            }
            *rows.entry(path.to_owned()).or_default() += 1;
        }
    }
    for manifest in files.iter().filter(|path| path.ends_with("Cargo.toml") && path.components().count() > 1) {
        let folder = manifest.parent().unwrap_or(Path::new("")).display().to_string();
        if rows.get(&folder) != Some(&1) {
            breaches.push(format!("ARCHITECTURE.md: {folder} has to stand in exactly one row"));
        }
    }
    let mut codes = BTreeSet::new();
    for path in files
        .iter()
        .filter(|path| path.starts_with("crates") || path.starts_with("shop") || path.starts_with("bin"))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
    {
        let text = std::fs::read_to_string(path)?;
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for literal in product.split('"').skip(1).step_by(2) {
            let letters = literal.bytes().take_while(u8::is_ascii_uppercase).count();
            if (2..=5).contains(&letters)
                && literal.len() == letters + 4
                && literal[letters..].bytes().all(|b| b.is_ascii_digit())
            {
                codes.insert(literal.to_owned());
            }
        }
    }
    for code in &codes {
        if !Path::new(&format!("docs/errors/{code}.md")).exists() {
            breaches.push(format!("docs/errors/{code}.md: the code has no page"));
        }
    }
    for page in files.iter().filter(|path| path.starts_with("docs/errors")) {
        let code = page.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if code != "README" && !codes.contains(code) {
            breaches.push(format!("{}: no error has this code", page.display()));
        }
    }
    Ok(())
}
