//! Objects in the cluster: which kinds there are, how they are written.

use std::{collections::HashMap, sync::Arc, time::Duration};

use base::{
    clock,
    fault::{Class, Fault},
};
use client::Cause;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::Scope,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::work::Key;

/// Why the API server could not be asked or told.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation} {kind} {key}")]
pub struct Error {
    /// What was tried.
    pub operation: &'static str,
    /// The kind of object.
    pub kind: String,
    /// Namespace and name.
    pub key: String,
    /// The client's error.
    pub source: Cause,
}

impl Error {
    pub(crate) fn new(operation: &'static str, kind: &str, key: &Key, source: kube::Error) -> Self {
        Self { operation, kind: kind.to_owned(), key: key.to_string(), source: Cause::new(source) }
    }

    /// Returns whether the object, or its kind, is not there.
    pub fn is_not_found(&self) -> bool {
        is_not_found(&self.source.0)
    }
}

pub(crate) fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

impl Fault for Error {
    fn class(&self) -> Class {
        match self.source.0.as_ref() {
            // What the API server refuses as wrong is not right the next time either.
            kube::Error::Api(status) if matches!(status.code, 400 | 403 | 405 | 415 | 422) => Class::Stalled,
            _ => Class::Transient,
        }
    }

    fn code(&self) -> &'static str {
        match self.class() {
            Class::Stalled => "DEL0002",
            _ => "DEL0001",
        }
    }
}

pub(crate) fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

pub(crate) fn application() -> ApiResource {
    resource("argoproj.io", "v1alpha1", "Application", "applications")
}

pub(crate) fn app_project() -> ApiResource {
    resource("argoproj.io", "v1alpha1", "AppProject", "appprojects")
}

pub(crate) fn microservice() -> ApiResource {
    resource("platform.io", "v1alpha1", "Microservice", "microservices")
}

pub(crate) fn environment() -> ApiResource {
    resource("platform.io", "v1alpha1", "Environment", "environments")
}

/// Returns the API of a kind, in one namespace or, if that is empty, in all.
pub(crate) fn api(client: &Client, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
    if namespace.is_empty() {
        Api::all_with(client.clone(), resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, resource)
    }
}

/// What kinds the API server has, asked once each.
#[derive(Clone)]
pub(crate) struct Kinds {
    client: Client,
    known: Arc<Mutex<Known>>,
    versions: Arc<Mutex<Versions>>,
}

/// Group versions, and when they were asked for.
type Versions = Option<(Instant, Vec<String>)>;

/// Resources by kind, and whether they are namespaced.
type Known = HashMap<GroupVersionKind, (ApiResource, bool)>;

/// How long the list of group versions is believed.
const VERSIONS_AGE: Duration = Duration::from_secs(30);

impl Kinds {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, known: Arc::default(), versions: Arc::default() }
    }

    /// Returns every group version that the API server has, for `.Capabilities.APIVersions`.
    pub(crate) async fn api_versions(&self) -> Result<Vec<String>, Error> {
        if let Some((at, versions)) = &*self.versions.lock()
            && clock::instant() - *at < VERSIONS_AGE
        {
            return Ok(versions.clone());
        }
        let groups = self
            .client
            .list_api_groups()
            .await
            .map_err(|source| Error::new("list", "API groups", &Key::default(), source))?;
        let versions: Vec<String> =
            groups.groups.into_iter().flat_map(|group| group.versions).map(|version| version.group_version).collect();
        *self.versions.lock() = Some((clock::instant(), versions.clone()));
        Ok(versions)
    }

    /// Returns the resource of a kind and whether it is namespaced; `None` if the API server does not have it.
    pub(crate) async fn find(&self, kind: &GroupVersionKind) -> Result<Option<(ApiResource, bool)>, Error> {
        if let Some(found) = self.known.lock().get(kind) {
            return Ok(Some(found.clone()));
        }
        match kube::discovery::pinned_kind(&self.client, kind).await {
            Ok((resource, capabilities)) => {
                let found = (resource, capabilities.scope == Scope::Namespaced);
                self.known.lock().insert(kind.clone(), found.clone());
                Ok(Some(found))
            }
            Err(kube::Error::Discovery(_)) => Ok(None),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => {
                Err(Error::new("look up", &kind.kind, &Key::new("", format!("{}/{}", kind.group, kind.version)), error))
            }
        }
    }
}

/// Returns parameters of a patch under a manager's name.
pub(crate) fn named(manager: &str) -> PatchParams {
    PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() }
}

/// Applies an object server-side and returns what is there now.
pub(crate) async fn apply(api: &Api<DynamicObject>, manager: &str, object: &Value) -> Result<DynamicObject, Error> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let params = PatchParams::apply(manager).force();
    api.patch(&name, &params, &Patch::Apply(object)).await.map_err(|source| {
        Error::new("apply", object["kind"].as_str().unwrap_or_default(), &Key::new(namespace, &name), source)
    })
}

/// Takes a finalizer away unless the object changed since it was read.
pub(crate) async fn drop_finalizer(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    finalizer: &str,
) -> Result<(), Error> {
    let left: Vec<&String> = object.metadata.finalizers.iter().flatten().filter(|one| *one != finalizer).collect();
    let patch = json!({"metadata": {"finalizers": left, "resourceVersion": object.metadata.resource_version}});
    let key = Key::of(object);
    match api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(source) => Err(Error::new("release", "object", &key, source)),
    }
}

/// Adds a finalizer unless the object changed since it was read.
pub(crate) async fn add_finalizer(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    finalizer: &str,
) -> Result<(), Error> {
    let mut all = object.metadata.finalizers.clone().unwrap_or_default();
    all.push(finalizer.to_owned());
    let patch = json!({"metadata": {"finalizers": all, "resourceVersion": object.metadata.resource_version}});
    let key = Key::of(object);
    match api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::new("hold", "object", &key, source)),
    }
}
