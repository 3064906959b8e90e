//! Kubernetes Events of pods. They are for people: one that cannot be sent is counted and left out.

use std::{collections::BTreeMap, sync::Arc, sync::atomic::AtomicU64, sync::atomic::Ordering};

use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference, Pod},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{Api, api::PostParams};
use tokio::sync::mpsc;

/// Where events are put. Clones share the queue.
#[derive(Clone)]
pub(crate) struct Events {
    queue: mpsc::Sender<Event>,
    dropped: Arc<AtomicU64>,
    node: String,
}

impl Events {
    /// Returns the queue, and what it is emptied from.
    pub(crate) fn new(node: &str) -> (Self, mpsc::Receiver<Event>) {
        let (queue, from) = mpsc::channel(256);
        (Self { queue, dropped: Arc::default(), node: node.to_owned() }, from)
    }

    /// Says that something ordinary happened to `pod`, in `container` if it is named.
    pub(crate) fn normal(&self, pod: &Pod, container: Option<&str>, reason: &str, message: String) {
        self.put(pod, container, "Normal", reason, message);
    }

    /// Says that something happened to `pod` that somebody should look at.
    pub(crate) fn warning(&self, pod: &Pod, container: Option<&str>, reason: &str, message: String) {
        self.put(pod, container, "Warning", reason, message);
    }

    fn put(&self, pod: &Pod, container: Option<&str>, kind: &str, reason: &str, message: String) {
        let now = Time(base::clock::now());
        let meta = &pod.metadata;
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{}", meta.name.as_deref().unwrap_or_default(), uuid::Uuid::new_v4().simple())),
                namespace: meta.namespace.clone(),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: meta.name.clone(),
                namespace: meta.namespace.clone(),
                uid: meta.uid.clone(),
                resource_version: meta.resource_version.clone(),
                field_path: container.map(|name| format!("spec.containers{{{name}}}")),
            },
            type_: Some(kind.to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(message),
            source: Some(EventSource { component: Some("kubelet".to_owned()), host: Some(self.node.clone()) }),
            reporting_component: Some("kubelet".to_owned()),
            reporting_instance: Some(self.node.clone()),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            count: Some(1),
            ..Event::default()
        };
        if self.queue.try_send(event).is_err() {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::warn!(dropped, "the queue of events is full: one is left out");
        }
    }
}

/// Sends what is in the queue until it is closed; the same event again raises the count of the first.
pub(crate) async fn send(
    client: kube::Client,
    mut from: mpsc::Receiver<Event>,
) -> Result<(), std::convert::Infallible> {
    type Key = (String, String, String);
    let mut sent: BTreeMap<Key, (String, i32)> = BTreeMap::new();
    while let Some(event) = from.recv().await {
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let key = (
            event.involved_object.uid.clone().unwrap_or_default(),
            event.reason.clone().unwrap_or_default(),
            event.message.clone().unwrap_or_default(),
        );
        if let Some((name, count)) = sent.get_mut(&key) {
            *count += 1;
            let patch = serde_json::json!({ "count": *count, "lastTimestamp": event.last_timestamp });
            if api.patch(name, &kube::api::PatchParams::default(), &kube::api::Patch::Merge(patch)).await.is_ok() {
                continue;
            }
        }
        if sent.len() > 1024 {
            sent.clear();
        }
        let name = event.metadata.name.clone().unwrap_or_default();
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => drop(sent.insert(key, (name, 1))),
            Err(error) => tracing::warn!(%error, reason = event.reason, "an event could not be sent"),
        }
    }
    Ok(())
}
