//! The watched objects, kept once for all readers, and the signal that something changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::Arc,
};

use futures::{StreamExt, stream::SelectAll};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{WatchStreamExt, watcher},
};
use parking_lot::RwLock;
pub(crate) use platform::kinds::SYSTEM_NAMESPACE as SYSTEM;
use serde_json::Value;
use tokio::sync::watch;

/// The kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Microservice,
    Environment,
    Application,
    Deployment,
    Pod,
    Service,
    /// Only those of [`SYSTEM`].
    ConfigMap,
}

impl Kind {
    const ALL: [Kind; 7] = [
        Kind::Microservice,
        Kind::Environment,
        Kind::Application,
        Kind::Deployment,
        Kind::Pod,
        Kind::Service,
        Kind::ConfigMap,
    ];

    /// Returns how the API serves it.
    pub(crate) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Kind::Microservice => ("platform.io", "v1alpha1", "Microservice", "microservices"),
            Kind::Environment => ("platform.io", "v1alpha1", "Environment", "environments"),
            Kind::Application => ("argoproj.io", "v1alpha1", "Application", "applications"),
            Kind::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Kind::Pod => ("", "v1", "Pod", "pods"),
            Kind::Service => ("", "v1", "Service", "services"),
            Kind::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }
}

type Key = (String, String);
type Objects = BTreeMap<Key, Arc<Value>>;

/// The objects as they were last seen.
pub(crate) struct Index {
    kinds: RwLock<BTreeMap<Kind, Objects>>,
    listed: RwLock<BTreeSet<Kind>>,
    version: watch::Sender<u64>,
}

impl Default for Index {
    fn default() -> Self {
        Index { kinds: RwLock::default(), listed: RwLock::default(), version: watch::Sender::new(0) }
    }
}

impl Index {
    /// Puts an object in.
    pub(crate) fn apply(&self, kind: Kind, object: Value) {
        self.kinds.write().entry(kind).or_default().insert(key(&object), Arc::new(object));
        self.changed();
    }

    /// Takes an object out.
    pub(crate) fn remove(&self, kind: Kind, object: &Value) {
        self.kinds.write().entry(kind).or_default().remove(&key(object));
        self.changed();
    }

    /// Takes these for all that there is.
    pub(crate) fn replace(&self, kind: Kind, objects: Vec<Value>) {
        let objects = objects.into_iter().map(|object| (key(&object), Arc::new(object))).collect();
        self.kinds.write().insert(kind, objects);
        self.listed.write().insert(kind);
        self.changed();
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    /// Returns the objects of a kind by namespace and name.
    pub(crate) fn all(&self, kind: Kind) -> Vec<Arc<Value>> {
        self.kinds.read().get(&kind).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Returns the objects of a kind in a namespace.
    pub(crate) fn within(&self, kind: Kind, namespace: &str) -> Vec<Arc<Value>> {
        let kinds = self.kinds.read();
        let Some(objects) = kinds.get(&kind) else { return Vec::new() };
        let from = (namespace.to_owned(), String::new());
        objects
            .range(from..)
            .take_while(|((within, _), _)| within == namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Returns one object.
    pub(crate) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.kinds.read().get(&kind)?.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Returns what changes with every change.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Returns whether every kind has been listed once.
    pub(crate) fn complete(&self) -> bool {
        self.listed.read().len() == Kind::ALL.len()
    }

    /// Watches the API for ever and keeps up with it.
    pub(crate) async fn follow(&self, client: Client) -> Result<(), Infallible> {
        let mut events: SelectAll<_> = Kind::ALL
            .into_iter()
            .map(|kind| {
                let resource = kind.resource();
                let api: Api<DynamicObject> = match kind {
                    Kind::ConfigMap => Api::namespaced_with(client.clone(), SYSTEM, &resource),
                    _ => Api::all_with(client.clone(), &resource),
                };
                watcher(api, watcher::Config::default()).default_backoff().map(move |event| (kind, event)).boxed()
            })
            .collect();
        let mut lists: BTreeMap<Kind, Vec<Value>> = BTreeMap::new();
        while let Some((kind, event)) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => {
                    lists.insert(kind, Vec::new());
                }
                Ok(watcher::Event::InitApply(object)) => lists.entry(kind).or_default().extend(value(object)),
                Ok(watcher::Event::InitDone) => self.replace(kind, lists.remove(&kind).unwrap_or_default()),
                Ok(watcher::Event::Apply(object)) => {
                    if let Some(object) = value(object) {
                        self.apply(kind, object);
                    }
                }
                Ok(watcher::Event::Delete(object)) => {
                    if let Some(object) = value(object) {
                        self.remove(kind, &object);
                    }
                }
                Err(error) => {
                    tracing::debug!(?kind, error = %base::fault::Chain(&error), "failed to watch; trying again");
                }
            }
        }
        Ok(())
    }
}

fn key(object: &Value) -> Key {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("/metadata/namespace"), text("/metadata/name"))
}

fn value(mut object: DynamicObject) -> Option<Value> {
    object.metadata.managed_fields = None;
    match serde_json::to_value(object) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(%error, "failed to read an object that the API sent");
            None
        }
    }
}
