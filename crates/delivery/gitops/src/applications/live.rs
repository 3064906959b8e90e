//! What is there now: a watch on every kind that some application has, and what was applied last.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base::{clock, task::Tasks};
use kube::{
    Client,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use super::plan::{Live, Ref};
use crate::{
    cache::Cache,
    work::{Key, Queue},
};

/// Annotation by which Argo CD knows its objects.
pub(crate) const TRACKING: &str = "argocd.argoproj.io/tracking-id";

/// Namespace whose applications are known by their bare name.
pub(crate) const CONTROL_NAMESPACE: &str = "argocd";

/// The name of an application in tracking ids.
pub(crate) fn tracking_name(key: &Key) -> String {
    if key.namespace == CONTROL_NAMESPACE { key.name.clone() } else { format!("{}_{}", key.namespace, key.name) }
}

fn application_of(tracking_id: &str) -> Option<Key> {
    let (name, _) = tracking_id.split_once(':')?;
    Some(match name.split_once('_') {
        Some((namespace, name)) => Key::new(namespace, name),
        None => Key::new(CONTROL_NAMESPACE, name),
    })
}

/// Watches of kinds; they begin when the first application needs them.
#[derive(Clone)]
pub(crate) struct Watches {
    client: Client,
    tasks: Tasks,
    queue: Queue,
    caches: Arc<Mutex<HashMap<GroupVersionKind, (ApiResource, Cache)>>>,
}

impl Watches {
    /// `queue` gets the application of every object that changes.
    pub(crate) fn new(client: Client, tasks: Tasks, queue: Queue) -> Self {
        Self { client, tasks, queue, caches: Arc::default() }
    }

    /// Sees that a kind is watched and its first list complete.
    pub(crate) async fn ensure(&self, resource: &ApiResource) {
        let kind = GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
        let cache = {
            let mut caches = self.caches.lock();
            let queue = self.queue.clone();
            let (_, cache) = caches.entry(kind).or_insert_with(|| {
                let cache = Cache::watch(&self.tasks, &self.client, resource.clone(), move |object| {
                    let id = object.metadata.annotations.as_ref().and_then(|all| all.get(TRACKING));
                    if let Some(key) = id.and_then(|id| application_of(id)) {
                        queue.add(key);
                    }
                });
                (resource.clone(), cache)
            });
            cache.clone()
        };
        cache.ready().await;
    }

    /// Returns an object as it was last told.
    pub(crate) fn get(&self, resource: &ApiResource, id: &Ref) -> Option<Value> {
        let kind = GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
        let cache = self.caches.lock().get(&kind).map(|(_, cache)| cache.clone())?;
        cache.get(&Key::new(&id.namespace, &id.name)).map(|object| value_of(&object, resource))
    }

    /// Returns every object that carries the application's mark, and carries it rightly: controllers copy annotations
    /// to what they make, and a copy is not the application's.
    pub(crate) fn owned(&self, application: &Key) -> Vec<Live> {
        let name = tracking_name(application);
        let caches: Vec<_> = self.caches.lock().values().cloned().collect();
        let mut owned = Vec::new();
        for (resource, cache) in caches {
            for object in cache.all() {
                let Some(id) = object.metadata.annotations.as_ref().and_then(|all| all.get(TRACKING)) else { continue };
                let own = ref_of(&object, &resource);
                if *id == own.tracking_id(&name) {
                    owned.push(Live { id: own, object: value_of(&object, &resource), resource: resource.clone() });
                }
            }
        }
        owned
    }
}

fn ref_of(object: &DynamicObject, resource: &ApiResource) -> Ref {
    Ref {
        group: resource.group.clone(),
        kind: resource.kind.clone(),
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

/// An object as JSON; objects from lists do not say their kind, so it is put in.
pub(crate) fn value_of(object: &DynamicObject, resource: &ApiResource) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = Value::String(resource.api_version.clone());
    value["kind"] = Value::String(resource.kind.clone());
    value
}

/// How long a watch may take to tell of an object that was applied, before its silence means that it is gone.
const SILENCE: Duration = Duration::from_secs(3);

/// What one application applied last.
#[derive(Clone, Default)]
pub(crate) struct Applied(HashMap<Ref, Answer>);

#[derive(Clone)]
struct Answer {
    wanted: String,
    object: Value,
    at: Instant,
    /// The watch has told of it: when it is silent now, the object is gone.
    told: Arc<AtomicBool>,
}

impl Applied {
    pub(crate) fn record(&mut self, id: Ref, wanted: &Value, object: Value) {
        self.0.insert(id, Answer { wanted: wanted.to_string(), object, at: clock::instant(), told: Arc::default() });
    }

    /// Returns the newer of what the watch told and what an apply was answered with.
    pub(crate) fn newest(&self, id: &Ref, watched: Option<Value>) -> Option<Value> {
        let Some(answer) = self.0.get(id) else { return watched };
        match watched {
            Some(watched) if version(&watched) >= version(&answer.object) => {
                answer.told.store(true, Ordering::Relaxed);
                Some(watched)
            }
            Some(_) => Some(answer.object.clone()),
            None if !answer.told.load(Ordering::Relaxed) && clock::instant() - answer.at < SILENCE => {
                Some(answer.object.clone())
            }
            None => None,
        }
    }

    /// Returns when to look again because an answer is so new that the watch may not have told of it.
    pub(crate) fn unsure(&self) -> Option<Duration> {
        let untold = self.0.values().filter(|answer| !answer.told.load(Ordering::Relaxed));
        let newest = untold.map(|answer| answer.at).max()?;
        (clock::instant() - newest < SILENCE).then_some(SILENCE)
    }

    /// Returns whether exactly this was applied and nobody touched the object since.
    pub(crate) fn untouched(&self, id: &Ref, wanted: &Value, live: &Value) -> bool {
        let wanted = wanted.to_string();
        self.0.get(id).is_some_and(|answer| {
            answer.object["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]
                && answer.wanted == wanted
        })
    }
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok()).unwrap_or(0)
}
