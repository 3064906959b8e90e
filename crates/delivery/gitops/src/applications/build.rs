//! Files to the objects that are wanted. Pure, and slow enough to be kept off the async threads.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use helm::{Options, Set};
use serde_json::{Value, json};

use super::validate::{Valid, ValidSource};
use crate::git::Tree;

/// Everything that decides what is wanted.
pub(crate) struct Inputs {
    pub(crate) application: String,
    pub(crate) valid: Valid,
    /// The files of each source, in their order.
    pub(crate) trees: Vec<Arc<Tree>>,
    pub(crate) kube_version: String,
    pub(crate) api_versions: Vec<String>,
}

/// What is wanted, before it is placed.
#[derive(Debug, PartialEq)]
pub(crate) struct Built {
    pub(crate) objects: Vec<Value>,
    pub(crate) source_type: &'static str,
}

/// Renders all sources; the text of an error names the source and the file.
pub(crate) fn build(inputs: &Inputs) -> Result<Built, String> {
    let mut built = Built { objects: Vec::new(), source_type: "Directory" };
    for (source, tree) in inputs.valid.sources.iter().zip(&inputs.trees) {
        let Some(path) = source.source.path.as_deref().filter(|path| !path.is_empty()) else { continue };
        let files = folder(tree, path);
        let fail = |reason: String| format!("{}/{path} at {}: {reason}", source.repository, short(tree));
        if files.is_empty() {
            return Err(fail("app path does not exist".to_owned()));
        }
        let prefix = if path == "." { String::new() } else { format!("{}/", path.trim_matches('/')) };
        if let Some(link) = tree.links.iter().find(|link| link.starts_with(&prefix)) {
            return Err(fail(format!("{link} is a symbolic link or a submodule, which is not supported")));
        }
        if ["kustomization.yaml", "kustomization.yml", "Kustomization"].iter().any(|name| files.contains_key(*name)) {
            return Err(fail("kustomize is not built yet".to_owned()));
        }
        let objects = if files.contains_key("Chart.yaml") {
            built.source_type = "Helm";
            chart(inputs, source, &files, &prefix, tree)
        } else if source.source.helm.is_some() {
            Err("helm is given, but there is no Chart.yaml".to_owned())
        } else {
            directory(&files)
        };
        built.objects.extend(objects.map_err(fail)?);
    }
    check(&built.objects)?;
    Ok(built)
}

fn short(tree: &Tree) -> String {
    tree.commit.as_str().chars().take(8).collect()
}

/// Returns the files below `path`, their paths cut by it.
fn folder(tree: &Tree, path: &str) -> BTreeMap<String, Vec<u8>> {
    let path = path.trim_start_matches("./").trim_matches('/');
    if path.is_empty() || path == "." {
        return tree.files.clone();
    }
    let prefix = format!("{path}/");
    let below = tree.files.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
    below.map(|(name, bytes)| (name[prefix.len()..].to_owned(), bytes.clone())).collect()
}

fn chart(
    inputs: &Inputs,
    source: &ValidSource,
    files: &BTreeMap<String, Vec<u8>>,
    prefix: &str,
    tree: &Tree,
) -> Result<Vec<Value>, String> {
    let given = source.source.helm.clone().unwrap_or_default();
    let namespace = inputs.valid.destination.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let mut options = Options::new(given.release_name.unwrap_or_else(|| inputs.application.clone()), namespace);
    options.kube_version.clone_from(&inputs.kube_version);
    options.api_versions.clone_from(&inputs.api_versions);
    options.include_crds = true;
    for file in &given.value_files {
        options.values.push(values_file(inputs, file, prefix, tree)?);
    }
    match (given.values_object, given.values) {
        (Some(object), _) => options.values.push(object.to_string()),
        (None, Some(text)) => options.values.push(text),
        (None, None) => {}
    }
    for parameter in given.parameters {
        // Argo CD escapes commas: a parameter is one value.
        let text = format!("{}={}", parameter.name, parameter.value.replace(',', "\\,"));
        options.set.push(if parameter.force_string { Set::Text(text) } else { Set::Typed(text) });
    }
    let rendered = helm::render(files, &options).map_err(|error| error.to_string())?;
    for hook in &rendered.hooks {
        // Argo CD leaves tests out too.
        if hook.events.iter().any(|event| event != "test") {
            return Err(format!("{}: Helm hooks ({}) are not supported", hook.manifest.source, hook.events.join(", ")));
        }
    }
    let mut objects = Vec::new();
    for manifest in rendered.crds.iter().chain(&rendered.manifests) {
        objects.extend(helm::parse_manifests(&manifest.source, &manifest.text).map_err(|error| error.to_string())?);
    }
    Ok(helm::flatten(objects))
}

fn values_file(inputs: &Inputs, file: &str, prefix: &str, tree: &Tree) -> Result<String, String> {
    let (tree, path) = match file.strip_prefix('$').and_then(|rest| rest.split_once('/')) {
        Some((reference, path)) => {
            let at = inputs.valid.sources.iter().position(|one| one.source.reference.as_deref() == Some(reference));
            let tree =
                at.and_then(|at| inputs.trees.get(at)).ok_or_else(|| format!("no source has ref {reference:?}"))?;
            (tree.as_ref(), path.to_owned())
        }
        None if file.starts_with('/') => (tree, file.trim_start_matches('/').to_owned()),
        None => (tree, format!("{prefix}{file}")),
    };
    let path = normalised(&path).ok_or_else(|| format!("valueFiles: {file:?} leaves the repository"))?;
    match tree.files.get(&path) {
        Some(bytes) => {
            let text = String::from_utf8(bytes.clone()).map_err(|_| format!("valueFiles: {file:?} is not UTF-8"))?;
            // Read here so that a mistake is told with its file.
            gotmpl::yaml::read(&text).map_err(|error| format!("valueFiles: {path}: {error}"))?;
            Ok(text)
        }
        None => Err(format!("valueFiles: {file:?}: no such file")),
    }
}

fn normalised(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Manifests lie directly in the folder, as Argo CD reads it without `recurse`.
fn directory(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<Value>, String> {
    let mut objects = Vec::new();
    for (name, bytes) in files {
        let manifest = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
        if name.contains('/') || !manifest {
            continue;
        }
        let text = std::str::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8"))?;
        objects.extend(helm::parse_manifests(name, text).map_err(|error| error.to_string())?);
    }
    Ok(helm::flatten(objects))
}

fn check(objects: &[Value]) -> Result<(), String> {
    let mut seen = HashSet::new();
    for object in objects {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
        if version.is_empty() || kind.is_empty() {
            return Err("a manifest has no apiVersion or no kind".to_owned());
        }
        if name.is_empty() {
            return Err(format!("a {kind} has no metadata.name"));
        }
        if let Some(hook) = object.pointer("/metadata/annotations/argocd.argoproj.io~1hook").and_then(Value::as_str) {
            return Err(format!("{kind} {name}: hooks ({hook}) are not supported"));
        }
        let options = text("/metadata/annotations/argocd.argoproj.io~1sync-options");
        for option in options.split(',').map(str::trim).filter(|option| !option.is_empty()) {
            if !matches!(option, "Prune=false" | "Delete=false" | "ServerSideApply=true" | "PruneLast=true") {
                return Err(format!("{kind} {name}: sync option {option:?} is not supported"));
            }
        }
        let namespace = text("/metadata/namespace");
        if !seen.insert((version, kind, namespace, name)) {
            return Err(format!("{kind} {namespace}/{name} appears twice"));
        }
    }
    Ok(())
}

/// Marks an object as the application's, the way Argo CD tracks by annotation.
pub(crate) fn track(object: &mut Value, id: &str) {
    let metadata = &mut object["metadata"];
    if !metadata["annotations"].is_object() {
        metadata["annotations"] = json!({});
    }
    metadata["annotations"]["argocd.argoproj.io/tracking-id"] = json!(id);
}

#[cfg(test)]
mod tests {
    use platform::argo::{Destination, Source};

    use super::*;
    use crate::git::Name;

    fn inputs(files: &[(&str, &str)], path: &str) -> Inputs {
        let tree = Tree {
            commit: serde_free_commit(),
            files: files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect(),
            links: std::collections::BTreeSet::new(),
        };
        Inputs {
            application: "app".into(),
            valid: Valid {
                project: "default".into(),
                sources: vec![ValidSource {
                    repository: Name::parse("repo").unwrap(),
                    revision: "main".into(),
                    source: Source { path: Some(path.into()), ..Source::default() },
                }],
                several: false,
                destination: Destination::default(),
                automated: true,
                prune: true,
                self_heal: true,
                allow_empty: false,
                create_namespace: false,
                prune_last: false,
                foreground: false,
                history: 10,
            },
            trees: vec![Arc::new(tree)],
            kube_version: "v1.36.0".into(),
            api_versions: Vec::new(),
        }
    }

    fn serde_free_commit() -> crate::git::Commit {
        crate::git::Commit::of_hex(&"ab".repeat(20)).unwrap()
    }

    #[test]
    fn a_folder_of_manifests_is_read_and_lists_are_taken_apart() {
        let built = build(&inputs(
            &[
                ("k8s/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n# nothing\n"),
                (
                    "k8s/b.yml",
                    "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n",
                ),
                ("k8s/c.json", "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"c\"}}"),
                ("k8s/deep/d.yaml", "not read"),
                ("k8s/notes.txt", "not read"),
            ],
            "k8s",
        ))
        .unwrap();
        let names: Vec<_> = built.objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (files, why) in [
            (vec![("k8s/kustomization.yaml", "resources: []")], "kustomize is not built yet"),
            (vec![("other/a.yaml", "")], "app path does not exist"),
            (vec![("k8s/a.yaml", "kind: X")], "no apiVersion"),
            (vec![("k8s/a.yaml", "a: [")], "a.yaml"),
            (
                vec![(
                    "k8s/a.yaml",
                    "apiVersion: v1\nkind: Job\nmetadata: {name: a, annotations: {argocd.argoproj.io/hook: PreSync}}",
                )],
                "hooks (PreSync)",
            ),
            (
                vec![(
                    "k8s/a.yaml",
                    "apiVersion: v1\nkind: A\nmetadata: {name: a, annotations: {argocd.argoproj.io/sync-options: Replace=true}}",
                )],
                "Replace=true",
            ),
        ] {
            let error = build(&inputs(&files, "k8s")).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
