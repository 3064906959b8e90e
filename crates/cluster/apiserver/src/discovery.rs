//! What is served here: discovery (plain and aggregated), OpenAPI v3, version.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;
use schema::openapi;
use serde_json::{Map, Value, json};
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
    let subresources: Vec<Value> = resource
        .subresources
        .iter()
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

fn of_subresource<'a>(
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
        for (name, values) in [("shortNames", &resource.short), ("categories", &resource.categories)] {
            if !values.is_empty() {
                entry[name] = values.clone().into();
            }
        }
        list.push(entry);
        for (name, subresource) in &resource.subresources {
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
    Ok(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list}))
}

/// Media type of the OpenAPI v2 document.
pub(crate) const OPENAPI_V2: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Returns the OpenAPI v2 document, as protobuf.
///
/// Kinds are described in v3 alone. kubectl asks for v2 when v3 does not know a kind; this document describes
/// none either, so that it goes on to discovery and says that the kind is not served.
pub(crate) fn openapi_v2() -> Vec<u8> {
    let field = |tag: u8, bytes: &[u8]| {
        let mut out = vec![tag, bytes.len() as u8];
        out.extend_from_slice(bytes);
        out
    };
    let info = [field(0x0a, b"Kubernetes"), field(0x12, VERSION.2.as_bytes())].concat();
    // swagger, info, paths: fields 1, 2 and 8.
    [field(0x0a, b"2.0"), field(0x12, &info), field(0x42, b"")].concat()
}

/// The OpenAPI v3 documents, one for each group and version, by the path of their index entry.
pub(crate) struct Documents {
    documents: BTreeMap<String, (String, String)>,
}

impl Documents {
    /// Writes the documents of everything served.
    pub(crate) fn new(registry: &Registry) -> Documents {
        let mut documents = BTreeMap::new();
        for (group, versions) in registry.groups() {
            for (version, resources) in versions {
                let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
                let text = document(&path, &resources).to_string();
                let hash = hex::encode_upper(&Sha256::digest(text.as_bytes())[..16]);
                documents.insert(path, (text, hash));
            }
        }
        Documents { documents }
    }

    /// Returns the index at `/openapi/v3`.
    pub(crate) fn index(&self) -> Value {
        let paths: Map<String, Value> = self
            .documents
            .iter()
            .map(|(path, (_, hash))| {
                (path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}))
            })
            .collect();
        json!({"paths": paths})
    }

    /// Returns the document of `path`, for example `apis/apps/v1`, and its hash.
    pub(crate) fn get(&self, path: &str) -> Option<&(String, String)> {
        self.documents.get(path)
    }
}

fn document(path: &str, resources: &[&std::sync::Arc<Resource>]) -> Value {
    let mut schemas = Map::new();
    let mut paths = Map::new();
    let mut reached = BTreeSet::new();
    for resource in resources {
        let name = resource.type_name.map_or_else(
            || {
                let mut parts: Vec<&str> = resource.gvk.group.split('.').collect();
                parts.reverse();
                format!("{}.{}.{}", parts.join("."), resource.gvk.version, resource.gvk.kind)
            },
            str::to_owned,
        );
        openapi::reached(&resource.node, &mut reached);
        let gvk = json!({"group": resource.gvk.group, "version": resource.gvk.version, "kind": resource.gvk.kind});
        let mut schema = openapi::schema(&resource.node);
        schema["x-kubernetes-group-version-kind"] = json!([gvk]);
        schemas.insert(name.clone(), schema);
        let base = if resource.namespaced {
            format!("/{path}/namespaces/{{namespace}}/{}", resource.plural)
        } else {
            format!("/{path}/{}", resource.plural)
        };
        let answer = json!({"200": {"description": "OK", "content": {"application/json": {"schema": {"$ref": format!("#/components/schemas/{name}")}}}}});
        let options: Vec<Value> = ["dryRun", "fieldManager", "fieldValidation"]
            .iter()
            .map(|option| json!({"name": option, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
            .collect();
        let operation = |action: &str, writes: bool| {
            let mut operation =
                json!({"responses": answer, "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk});
            if writes {
                operation["parameters"] = options.clone().into();
            }
            operation
        };
        if resource.review.is_some() {
            paths.insert(base, json!({"post": operation("post", true)}));
            continue;
        }
        paths.insert(base.clone(), json!({"get": operation("list", false), "post": operation("post", true)}));
        paths.insert(
            format!("{base}/{{name}}"),
            json!({"get": operation("get", false), "put": operation("put", true), "patch": operation("patch", true), "delete": operation("delete", false)}),
        );
    }
    for name in reached {
        if let Some(node) = schema::model::builtin(&name) {
            schemas.entry(name).or_insert_with(|| openapi::schema(node));
        }
    }
    json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": VERSION.2}, "paths": paths, "components": {"schemas": schemas}})
}
