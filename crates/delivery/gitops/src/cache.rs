//! The objects of one kind, kept as the API server tells of them.
//!
//! Never decides what they mean.

use std::sync::Arc;

use base::task::{OnError, Tasks};
use futures::StreamExt;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use tokio::sync::watch;

use crate::work::Key;

/// The objects of one kind as the API server last told. Clones share it.
#[derive(Clone)]
pub(crate) struct Cache {
    store: Store<DynamicObject>,
    resource: ApiResource,
    /// Whether the first list is complete. The store has a wait of its own, but that wakes only one of several who wait.
    listed: watch::Receiver<bool>,
}

impl Cache {
    /// Watches a kind in all namespaces; `on_event` hears of every object that comes, changes or goes.
    pub(crate) fn watch(
        tasks: &Tasks,
        client: &Client,
        resource: ApiResource,
        on_event: impl Fn(&DynamicObject) + Send + Sync + 'static,
    ) -> Self {
        let writer = reflector::store::Writer::new(resource.clone());
        let store = writer.as_reader();
        let (tell, listed) = watch::channel(false);
        let api = Api::all_with(client.clone(), &resource);
        let stop = tasks.stop();
        let (kind, all) = (resource.kind.clone(), store.clone());
        tasks.spawn("watch", OnError::Shutdown, async move {
            let events = reflector::reflector(writer, watcher(api, watcher::Config::default())).default_backoff();
            let mut events = std::pin::pin!(events.take_until(stop.cancelled_owned()));
            let mut before = Vec::new();
            while let Some(event) = events.next().await {
                match event {
                    Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object)) => on_event(&object),
                    // A list shows only when it is complete, and says nothing of what went since the last one.
                    Ok(watcher::Event::Init) => before = all.state(),
                    Ok(watcher::Event::InitApply(_)) => {}
                    Ok(watcher::Event::InitDone) => {
                        tell.send_replace(true);
                        std::mem::take(&mut before).into_iter().chain(all.state()).for_each(|object| on_event(&object));
                    }
                    // The watcher begins again by itself.
                    Err(error) => tracing::warn!(kind, %error, "a watch broke off"),
                }
            }
            Ok::<(), String>(())
        });
        Self { store, resource, listed }
    }

    /// Waits until the first list is complete.
    pub(crate) async fn ready(&self) {
        let mut listed = self.listed.clone();
        // The sender is only dropped when the platform stops.
        let _stopped = listed.wait_for(|listed| *listed).await.is_err();
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<DynamicObject>> {
        let mut reference = ObjectRef::new_with(&key.name, self.resource.clone());
        if !key.namespace.is_empty() {
            reference = reference.within(&key.namespace);
        }
        self.store.get(&reference)
    }

    pub(crate) fn all(&self) -> Vec<Arc<DynamicObject>> {
        self.store.state()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use apiserver::{Server, User};
    use futures::stream::FuturesUnordered;
    use kube::{api::PostParams, core::GroupVersionKind};
    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn all_who_wait_for_the_first_list_go_on_and_each_object_is_heard_of_when_it_can_be_got() {
        let client = Server::in_memory().await.unwrap().client(User::new("t", &["system:masters"]));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
        let name = format!("n{}", uuid::Uuid::new_v4().simple());
        let object = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &resource);
        api.create(&PostParams::default(), &object).await.unwrap();

        let (tasks, heard) = (Tasks::new(), Arc::new(Mutex::new(Vec::new())));
        let hears = heard.clone();
        let cache = Cache::watch(&tasks, &client, resource, move |object| hears.lock().push(Key::of(object)));
        // Each is woken by itself, as tasks are.
        let waiting: FuturesUnordered<_> = (0..5).map(|_| cache.ready()).collect();
        let all = tokio::time::timeout(Duration::from_secs(10), waiting.collect::<Vec<_>>());
        assert!(all.await.is_ok(), "some who wait were not woken");
        let key = Key::new("default", &name);
        assert!(cache.get(&key).is_some());
        assert!(heard.lock().contains(&key));
    }
}
