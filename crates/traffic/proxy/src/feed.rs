//! Watches the objects that routes come from and puts what they compile to in force.
//!
//! While the Kubernetes API cannot be reached, whatever the reason, the routes stay as they are.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream::SelectAll};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{WatchStreamExt, watcher},
};
use parking_lot::Mutex;
use routes::{Kind, Objects, Placement, Snapshot, StatusUpdate};
use serde_json::Value;
use tokio::sync::watch;

use crate::live::Shared;

/// The longest pause between two attempts to reach the API.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// What of the control plane was last seen.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Link {
    /// Not reached since the start.
    Waiting,
    /// Watched.
    Connected,
    /// Lost; the routes are the last good ones.
    Lost,
}

/// What goes from the watch to disk, status and control socket.
pub(crate) struct Outlets {
    pub(crate) saved: watch::Sender<Option<Arc<Snapshot>>>,
    pub(crate) statuses: watch::Sender<(Option<Client>, Vec<StatusUpdate>)>,
    pub(crate) link: Arc<Mutex<Link>>,
}

/// Follows the API named by the kubeconfig file for ever, through any failure.
pub(crate) async fn follow(kubeconfig: PathBuf, shared: Arc<Shared>, placement: Placement, outlets: Outlets) {
    let mut pause = Pause::default();
    loop {
        match connect(&kubeconfig).await {
            Ok((client, bytes)) => {
                pause = Pause::default();
                watch_until_changed(client, &kubeconfig, &bytes, &shared, &placement, &outlets).await;
            }
            Err(failure) => {
                tracing::warn!(path = %kubeconfig.display(), failure, "waiting for the control plane");
                tokio::time::sleep(pause.step()).await;
            }
        }
    }
}

async fn connect(path: &Path) -> Result<(Client, Vec<u8>), String> {
    let bytes = tokio::fs::read(path).await.map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string())?;
    let config = Kubeconfig::from_yaml(text).map_err(|error| error.to_string())?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .map_err(|error| error.to_string())?;
    let client = Client::try_from(config).map_err(|error| error.to_string())?;
    Ok((client, bytes))
}

/// Growing pauses.
#[derive(Clone, Default)]
struct Pause(u32);

impl Pause {
    fn step(&mut self) -> Duration {
        let pause = (FIRST_PAUSE * (1 << self.0.min(10))).min(LONGEST_PAUSE);
        self.0 += 1;
        pause
    }
}

impl Iterator for Pause {
    type Item = Duration;
    fn next(&mut self) -> Option<Duration> {
        Some(self.step())
    }
}

impl kube::runtime::utils::Backoff for Pause {
    fn reset(&mut self) {
        self.0 = 0;
    }
}

async fn watch_until_changed(
    client: Client,
    path: &Path,
    bytes: &[u8],
    shared: &Shared,
    placement: &Placement,
    outlets: &Outlets,
) {
    let mut events: SelectAll<_> = Kind::ALL
        .into_iter()
        .map(|kind| {
            let (group, version, name, plural) = kind.resource();
            let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, name), plural);
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            watcher(api, watcher::Config::default()).backoff(Pause::default()).map(move |event| (kind, event)).boxed()
        })
        .collect();
    let mut index = Index::new(shared.live().snapshot.uses("VirtualService"));
    while let Some((kind, event)) = events.next().await {
        let mut failed = index.take(kind, event);
        // What is there already is taken at once, so that a burst is compiled once.
        while let Some(Some((kind, event))) = events.next().now_or_never() {
            failed |= index.take(kind, event);
        }
        if failed {
            let link = &mut *outlets.link.lock();
            if *link == Link::Connected {
                tracing::warn!("lost the control plane; serving the last good routes");
                *link = Link::Lost;
            }
        }
        if failed && tokio::fs::read(path).await.is_ok_and(|now| now != bytes) {
            return;
        }
        if !index.dirty || !index.complete() {
            continue;
        }
        index.dirty = false;
        *outlets.link.lock() = Link::Connected;
        let compiled = routes::compile(&index.objects, placement, &base::clock::now_rfc3339());
        if compiled.snapshot != shared.live().snapshot {
            let (rules, kept) = (compiled.snapshot.rules(), Arc::new(compiled.snapshot.clone()));
            let generation = shared.publish(compiled.snapshot);
            tracing::info!(generation, rules, "new routes are in force");
            outlets.saved.send_replace(Some(kept));
        }
        outlets.statuses.send_replace((Some(client.clone()), compiled.statuses));
    }
}

/// Objects, and which kinds have been listed in full.
struct Index {
    objects: Objects,
    lists: Vec<(Kind, Vec<Value>)>,
    listed: BTreeSet<Kind>,
    /// Whether a kind that is not served may count as one without objects.
    needs_virtual_services: bool,
    dirty: bool,
}

impl Index {
    fn new(needs_virtual_services: bool) -> Self {
        Index {
            objects: Objects::default(),
            lists: Vec::new(),
            listed: BTreeSet::new(),
            needs_virtual_services,
            dirty: false,
        }
    }

    /// Takes an event in; returns whether it is a failure.
    fn take(&mut self, kind: Kind, event: Result<watcher::Event<DynamicObject>, watcher::Error>) -> bool {
        match event {
            Ok(watcher::Event::Init) => {
                self.lists.retain(|(listed, _)| *listed != kind);
                self.lists.push((kind, Vec::new()));
            }
            Ok(watcher::Event::InitApply(object)) => {
                if let Some((_, list)) = self.lists.iter_mut().find(|(listed, _)| *listed == kind) {
                    list.extend(value(object));
                }
            }
            Ok(watcher::Event::InitDone) => {
                if let Some(at) = self.lists.iter().position(|(listed, _)| *listed == kind) {
                    self.objects.replace(kind, self.lists.swap_remove(at).1);
                }
                self.listed.insert(kind);
                self.dirty = true;
            }
            Ok(watcher::Event::Apply(object)) => {
                if let Some(object) = value(object) {
                    self.objects.apply(kind, object);
                }
                self.dirty = true;
            }
            Ok(watcher::Event::Delete(object)) => {
                if let Some(object) = value(object) {
                    self.objects.remove(kind, &object);
                }
                self.dirty = true;
            }
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status))) if status.code == 404 => {
                // The kind is not served. For the ones that are not in use that is an answer.
                let optional = matches!(kind, Kind::ReferenceGrant)
                    || (kind == Kind::VirtualService && !self.needs_virtual_services);
                if optional && self.listed.insert(kind) {
                    self.dirty = true;
                }
                return !optional;
            }
            Err(error) => {
                tracing::debug!(?kind, error = %base::fault::Chain(&error), "failed to watch");
                return true;
            }
        }
        false
    }

    fn complete(&self) -> bool {
        self.listed.len() == Kind::ALL.len()
    }
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
