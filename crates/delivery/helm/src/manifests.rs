//! Rendered files to manifests: split, hooks set apart, sorted as Helm installs them.

use std::collections::BTreeMap;

use super::{Error, head};
use gotmpl::{Value, yaml};

/// One document of a rendered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The template that it comes from: `chart/templates/x.yaml`.
    pub source: String,
    /// Its kind.
    pub kind: String,
    /// Its text without surrounding blanks.
    pub text: String,
}

/// A manifest that Helm would run at certain moments only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The manifest.
    pub manifest: Manifest,
    /// `pre-install`, `test`, …
    pub events: Vec<String>,
    /// Order among hooks of one event.
    pub weight: i64,
}

const INSTALL_ORDER: [&str; 36] = [
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
];

const EVENTS: [&str; 9] = [
    "pre-install",
    "post-install",
    "pre-delete",
    "post-delete",
    "pre-upgrade",
    "post-upgrade",
    "pre-rollback",
    "post-rollback",
    "test",
];

pub(super) fn sort(outputs: BTreeMap<String, String>) -> Result<(Vec<Manifest>, Vec<Hook>), Error> {
    let (mut manifests, mut hooks) = (Vec::new(), Vec::new());
    for (source, content) in outputs {
        if gotmpl::sprig::base(&source).starts_with('_') || content.trim().is_empty() {
            continue;
        }
        for text in split(&content) {
            let head = head::of(text).map_err(|reason| Error::Manifest { source_file: source.clone(), reason })?;
            let manifest = Manifest { source: source.clone(), kind: head.kind, text: text.to_owned() };
            let Some(events) = head.hook else {
                manifests.push(manifest);
                continue;
            };
            let events: Vec<String> = events
                .split(',')
                .map(|event| match event.trim().to_lowercase().as_str() {
                    "test-success" => "test".to_owned(),
                    event => event.to_owned(),
                })
                .collect();
            // Helm leaves out what it does not know as a hook altogether.
            if events.iter().all(|event| EVENTS.contains(&event.as_str())) {
                let weight = head.weight.and_then(|weight| weight.parse().ok()).unwrap_or(0);
                hooks.push(Hook { manifest, events, weight });
            }
        }
    }
    manifests.sort_by_cached_key(|manifest| rank(&manifest.kind));
    hooks.sort_by_cached_key(|hook| rank(&hook.manifest.kind));
    Ok((manifests, hooks))
}

/// Where a kind comes in: those that Helm knows in its order, then the others by name.
fn rank(kind: &str) -> (usize, String) {
    match INSTALL_ORDER.iter().position(|known| *known == kind) {
        Some(at) => (at, String::new()),
        None => (INSTALL_ORDER.len(), kind.to_owned()),
    }
}

/// Splits a text into its documents, at lines that begin with `---`, as the pattern `(?:^|\s*\n)---\s*` does.
pub fn split(content: &str) -> Vec<&str> {
    let content = content.trim();
    let mut parts = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while let Some(found) = content[at..].find("---") {
        let dash = at + found;
        // A line end that belongs to the last separator begins no other.
        if dash == 0 || dash > start && content.as_bytes()[dash - 1] == b'\n' {
            parts.push(&content[start..dash]);
            let after = &content[dash + 3..];
            start = dash + 3 + (after.len() - after.trim_start().len());
            at = start;
        } else {
            at = dash + 3;
        }
    }
    parts.push(&content[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Reads manifests (one document or many) as JSON objects; documents that hold nothing are left out.
pub fn parse_manifests(source: &str, text: &str) -> Result<Vec<serde_json::Value>, Error> {
    let fail = |reason: String| Error::Manifest { source_file: source.to_owned(), reason };
    let documents = yaml::read_all(text).map_err(|error| fail(error.to_string()))?;
    let mut objects = Vec::new();
    for document in documents {
        match document {
            Value::Nil => {}
            Value::Map(..) => objects.push(document.to_json()),
            other => return Err(fail(format!("a document is a {}, not an object", other.kind()))),
        }
    }
    Ok(objects)
}

/// Takes `List`s apart, lists in lists too.
pub fn flatten(objects: Vec<serde_json::Value>) -> Vec<serde_json::Value> {
    let mut flat = Vec::new();
    for mut object in objects {
        let is_list = object["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match object.get_mut("items").map(serde_json::Value::take) {
            Some(serde_json::Value::Array(items)) if is_list => flat.extend(flatten(items)),
            Some(items) => {
                object["items"] = items;
                flat.push(object);
            }
            None => flat.push(object),
        }
    }
    flat
}
