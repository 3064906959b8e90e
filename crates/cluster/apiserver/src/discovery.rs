//! What is served here: discovery (plain and aggregated) and version. The documents that
//! describe the kinds are in [`crate::openapi`].

use base64::Engine;
use http::HeaderMap;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    registry::{Registry, Resource, Subresource},
    status::Failure,
};

/// The Kubernetes version that is spoken.
pub const VERSION: (&str, &str, &str) = ("1", "36", "v1.36.3");

/// Returns the answer to `/version`.
pub(crate) fn version() -> Value {
    json!({
        "major": VERSION.0, "minor": VERSION.1, "gitVersion": format!("{}+roadstead", VERSION.2),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc", "platform": format!("linux/{}", std::env::consts::ARCH),
        "emulationMajor": VERSION.0, "emulationMinor": VERSION.1, "minCompatibilityMajor": VERSION.0, "minCompatibilityMinor": "35",
    })
}

/// Returns whether the client asks for aggregated discovery.
pub(crate) fn wants_aggregated(headers: &HeaderMap) -> bool {
    headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| {
        accept.split(',').any(|media| {
            media.contains("as=APIGroupDiscoveryList") && media.contains("v=v2;")
                || media.ends_with("v=v2") && media.contains("as=APIGroupDiscoveryList")
        })
    })
}

/// Media type of aggregated discovery.
pub(crate) const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Returns aggregated discovery: of the core group for `/api`, of the others for `/apis`.
pub(crate) fn aggregated(registry: &Registry, core: bool) -> Value {
    let items: Vec<Value> = registry
        .groups()
        .into_iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .into_iter()
                .map(|(version, resources)| {
                    let resources: Vec<Value> =
                        resources.into_iter().map(|resource| aggregated_resource(resource)).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_resource(resource: &Resource) -> Value {
    let scope = if resource.namespaced { "Namespaced" } else { "Cluster" };
    let subresources: Vec<Value> = subresources(resource)
        .map(|(name, kind)| {
            let (group, version, kind, verbs) = of_subresource(resource, kind);
            json!({"subresource": name, "responseKind": {"group": group, "version": version, "kind": kind}, "verbs": verbs})
        })
        .collect();
    let mut entry = json!({
        "resource": resource.plural, "scope": scope, "singularResource": resource.singular, "verbs": resource.verbs,
        "responseKind": {"group": resource.gvk.group, "version": resource.gvk.version, "kind": resource.gvk.kind},
    });
    for (name, list) in [("shortNames", &resource.short), ("categories", &resource.categories)] {
        if !list.is_empty() {
            entry[name] = list.clone().into();
        }
    }
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

/// Returns the subresources of a kind in the order that discovery names them: custom ones are told the other way round.
fn subresources(resource: &Resource) -> Box<dyn Iterator<Item = (&&'static str, &Subresource)> + '_> {
    let all = resource.subresources.iter();
    if resource.custom { Box::new(all.rev()) } else { Box::new(all) }
}

/// Returns group, version and kind of what a subresource takes or answers, and its verbs.
pub(crate) fn of_subresource<'a>(
    resource: &'a Resource,
    subresource: &Subresource,
) -> (&'a str, &'a str, &'a str, &'static [&'static str]) {
    let own = (resource.gvk.group.as_str(), resource.gvk.version.as_str(), resource.gvk.kind.as_str());
    match subresource {
        Subresource::Status | Subresource::Approval => (own.0, own.1, own.2, &["get", "patch", "update"]),
        Subresource::Finalize => (own.0, own.1, own.2, &["update"]),
        Subresource::Log => (own.0, own.1, own.2, &["get"]),
        Subresource::Scale { .. } => ("autoscaling", "v1", "Scale", &["get", "patch", "update"]),
        Subresource::Binding => ("", "v1", "Binding", &["create"]),
        Subresource::Eviction => ("policy", "v1", "Eviction", &["create"]),
        Subresource::Token => ("authentication.k8s.io", "v1", "TokenRequest", &["create"]),
        Subresource::Connect(connect) if connect.is_proxy() => {
            (own.0, own.1, connect.options_kind(), &["create", "delete", "get", "patch", "update"])
        }
        Subresource::Connect(connect) => (own.0, own.1, connect.options_kind(), &["create", "get"]),
    }
}

/// Returns the answer to a discovery path, or `None` if it is none.
pub(crate) fn plain(registry: &Registry, path: &str) -> Option<Result<Value, Failure>> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let groups = registry.groups();
    let describe = |group: &str, versions: &[(&str, Vec<&std::sync::Arc<Resource>>)]| {
        let versions: Vec<Value> = versions
            .iter()
            .map(|(version, _)| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
            .collect();
        json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
    };
    Some(match parts.as_slice() {
        ["api"] => Ok(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
        ["apis"] => {
            let list: Vec<Value> = groups
                .iter()
                .filter(|(group, _)| !group.is_empty())
                .map(|(group, versions)| describe(group, versions))
                .collect();
            Ok(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list}))
        }
        ["apis", group] => {
            groups.get(group).filter(|_| !group.is_empty()).ok_or_else(Failure::no_such_path).map(|versions| {
                let mut answer = describe(group, versions);
                answer["kind"] = "APIGroup".into();
                answer["apiVersion"] = "v1".into();
                answer
            })
        }
        ["api", version] => resources(registry, "", version),
        ["apis", group, version] => resources(registry, group, version),
        _ => return None,
    })
}

fn resources(registry: &Registry, group: &str, version: &str) -> Result<Value, Failure> {
    if !registry.has_version(group, version) {
        return Err(Failure::no_such_path());
    }
    let mut list = Vec::new();
    let mut own: Vec<_> =
        registry.all().filter(|resource| resource.gvk.group == group && resource.gvk.version == version).collect();
    own.sort_by(|a, b| a.plural.cmp(&b.plural));
    for resource in own {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced, "kind": resource.gvk.kind,
            "verbs": resource.verbs,
        });
        if resource.review.is_none() {
            entry["storageVersionHash"] = storage_hash(resource).into();
        }
        for (name, values) in [("shortNames", &resource.short), ("categories", &resource.categories)] {
            if !values.is_empty() {
                entry[name] = values.clone().into();
            }
        }
        list.push(entry);
        for (name, subresource) in subresources(resource) {
            let (sub_group, sub_version, kind, verbs) = of_subresource(resource, subresource);
            let mut entry = json!({
                "name": format!("{}/{name}", resource.plural), "singularName": "", "namespaced": resource.namespaced, "kind": kind, "verbs": verbs,
            });
            if (sub_group, sub_version) != (group, version) {
                entry["group"] = sub_group.into();
                entry["version"] = sub_version.into();
            }
            list.push(entry);
        }
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut answer = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": list});
    // The list of the core group is older than lists that say their version.
    if !group.is_empty() {
        answer["apiVersion"] = "v1".into();
    }
    Ok(answer)
}

/// Returns what changes when a kind is stored in another version.
fn storage_hash(resource: &Resource) -> String {
    let group = if resource.storage.group == "core" { "" } else { &resource.storage.group };
    let stored = format!("{group}/{}/{}", resource.storage.version, resource.gvk.kind);
    base64::engine::general_purpose::STANDARD.encode(&Sha256::digest(stored.as_bytes())[..8])
}
