//! Garbage collection by owner references: an object whose owners are all gone goes
//! too; a deletion in the foreground waits for its dependents; an orphaning one lets
//! them go free.
//!
//! `Graph` holds who owns whom and decides; the rest watches every kind and deletes.
//! On doubt nothing is deleted: an owner is asked for by name before its dependents go.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use futures::{StreamExt, stream::SelectAll};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
    core::PartialObjectMeta,
    discovery::{ApiResource, Discovery, Scope, verbs},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::Error;

/// How often the kinds are asked for anew.
const DISCOVER_EVERY: Duration = Duration::from_secs(10);

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// What the collector knows of one object.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    kind: String,
    namespace: Option<String>,
    name: String,
    owners: Vec<OwnerReference>,
    finalizers: Vec<String>,
    deleting: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
enum Todo {
    /// Delete it if its owners are gone indeed.
    DeleteIfOrphaned(String),
    /// Delete it: its owner waits for it.
    Delete(String),
    /// Take this owner off it.
    Disown(String, String),
    /// Its dependents are gone: take this finalizer away.
    Release(String, &'static str),
}

/// Who owns whom, by uid.
#[derive(Default)]
struct Graph {
    objects: HashMap<String, Known>,
    dependents: BTreeMap<String, HashSet<String>>,
}

impl Graph {
    fn put(&mut self, uid: &str, known: Known) -> Vec<Todo> {
        let mut waiting_owners = self.unlink(uid);
        for owner in &known.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.to_owned());
        }
        waiting_owners.extend(known.owners.iter().map(|owner| owner.uid.clone()));
        let mut todo = Vec::new();
        if !known.deleting
            && !known.owners.is_empty()
            && known.owners.iter().all(|owner| !self.objects.contains_key(&owner.uid))
        {
            todo.push(Todo::DeleteIfOrphaned(uid.to_owned()));
        }
        let (deleting, finalizers) = (known.deleting, known.finalizers.clone());
        self.objects.insert(uid.to_owned(), known);
        if deleting && finalizers.iter().any(|name| name == ORPHAN) {
            let own: Vec<String> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
            if own.is_empty() {
                todo.push(Todo::Release(uid.to_owned(), ORPHAN));
            }
            todo.extend(own.into_iter().map(|dependent| Todo::Disown(dependent, uid.to_owned())));
        } else if deleting && finalizers.iter().any(|name| name == FOREGROUND) {
            todo.extend(self.foreground(uid));
        }
        // A dependent that lost or changed its owner may be what somebody waited for.
        for owner in waiting_owners {
            todo.extend(self.waited_for(&owner));
        }
        todo
    }

    /// Returns what an owner that waits for its dependents can do now that one of them changed.
    fn waited_for(&self, owner: &str) -> Vec<Todo> {
        let Some(known) = self.objects.get(owner).filter(|known| known.deleting) else { return Vec::new() };
        let waits = |finalizer: &str| known.finalizers.iter().any(|name| name == finalizer);
        if waits(FOREGROUND) {
            self.foreground(owner)
        } else if waits(ORPHAN) && !self.dependents.contains_key(owner) {
            vec![Todo::Release(owner.to_owned(), ORPHAN)]
        } else {
            Vec::new()
        }
    }

    fn foreground(&self, uid: &str) -> Vec<Todo> {
        let blocking: Vec<&String> = self.dependents.get(uid).into_iter().flatten().collect();
        if blocking.is_empty() {
            return vec![Todo::Release(uid.to_owned(), FOREGROUND)];
        }
        blocking
            .into_iter()
            .filter(|dependent| self.objects.get(*dependent).is_some_and(|known| !known.deleting))
            .map(|dependent| Todo::Delete(dependent.clone()))
            .collect()
    }

    fn remove(&mut self, uid: &str) -> Vec<Todo> {
        let owners = self.unlink(uid);
        self.objects.remove(uid);
        let mut todo: Vec<Todo> = self
            .dependents
            .get(uid)
            .into_iter()
            .flatten()
            .filter(|dependent| {
                self.objects.get(*dependent).is_some_and(|known| {
                    !known.deleting && known.owners.iter().all(|owner| !self.objects.contains_key(&owner.uid))
                })
            })
            .map(|dependent| Todo::DeleteIfOrphaned(dependent.clone()))
            .collect();
        for owner in owners {
            todo.extend(self.waited_for(&owner));
        }
        todo
    }

    /// Forgets what `uid` depends on, and returns it.
    fn unlink(&mut self, uid: &str) -> Vec<String> {
        let owners: Vec<String> = self
            .objects
            .get(uid)
            .map(|known| known.owners.iter().map(|owner| owner.uid.clone()).collect())
            .unwrap_or_default();
        for owner in &owners {
            if let Some(dependents) = self.dependents.get_mut(owner) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
        owners
    }
}

/// Collects garbage until `stop`.
pub async fn run(client: Client, stop: CancellationToken) -> Result<(), Error> {
    let mut collector = Collector { client, graph: Graph::default(), kinds: HashMap::new() };
    let mut watches = SelectAll::new();
    let mut discover = tokio::time::interval(DISCOVER_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = discover.tick() => match collector.discover().await {
                Ok(new) => {
                    for (kind, api) in new {
                        let stream = watcher(api, watcher::Config::default().streaming_lists()).default_backoff();
                        watches.push(stream.map(move |event| (kind.clone(), event)).boxed());
                    }
                }
                Err(error) => tracing::warn!(error = %base::fault::Chain(&error), "the kinds to collect could not be discovered"),
            },
            Some((kind, event)) = watches.next() => {
                let todo = match event {
                    Ok(Event::Apply(object) | Event::InitApply(object)) => collector.seen(&kind, &object),
                    Ok(Event::Delete(object)) => object.uid().map(|uid| collector.graph.remove(&uid)).unwrap_or_default(),
                    Ok(Event::Init | Event::InitDone) => Vec::new(),
                    Err(error) => {
                        tracing::debug!(kind, %error, "a watch of the collector broke off");
                        Vec::new()
                    }
                };
                for todo in todo {
                    if let Err(error) = collector.act(&todo).await {
                        tracing::warn!(?todo, error = %base::fault::Chain(&error), "an object could not be collected");
                    }
                }
            }
        }
    }
}

struct Collector {
    client: Client,
    graph: Graph,
    /// Kinds that are watched, by `group/kind`.
    kinds: HashMap<String, (ApiResource, bool)>,
}

impl Collector {
    /// Returns the kinds that are served now and were not watched before.
    async fn discover(&mut self) -> Result<Vec<(String, Api<PartialObjectMeta<DynamicObject>>)>, Error> {
        let discovery = Discovery::new(self.client.clone())
            .run_aggregated()
            .await
            .map_err(|source| Error::new("discover the kinds to collect", source))?;
        let mut new = Vec::new();
        for group in discovery.groups() {
            for (resource, capabilities) in group.recommended_resources() {
                let kind = format!("{}/{}", resource.group, resource.kind);
                // Events come and go by themselves and own nothing.
                if self.kinds.contains_key(&kind)
                    || resource.kind == "Event"
                    || !capabilities.supports_operation(verbs::WATCH)
                    || !capabilities.supports_operation(verbs::DELETE)
                {
                    continue;
                }
                new.push((kind.clone(), Api::all_with(self.client.clone(), &resource)));
                self.kinds.insert(kind, (resource, capabilities.scope == Scope::Namespaced));
            }
        }
        Ok(new)
    }

    fn seen(&mut self, kind: &str, object: &PartialObjectMeta<DynamicObject>) -> Vec<Todo> {
        let Some(uid) = object.uid() else { return Vec::new() };
        let known = Known {
            kind: kind.to_owned(),
            namespace: object.namespace(),
            name: object.name_any(),
            owners: object.owner_references().to_vec(),
            finalizers: object.finalizers().to_vec(),
            deleting: object.metadata.deletion_timestamp.is_some(),
        };
        if self.graph.objects.get(&uid) == Some(&known) {
            return Vec::new();
        }
        self.graph.put(&uid, known)
    }

    fn api(&self, kind: &str, namespace: Option<&str>) -> Option<Api<DynamicObject>> {
        let (resource, namespaced) = self.kinds.get(kind)?;
        Some(match namespace.filter(|_| *namespaced) {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        })
    }

    async fn act(&mut self, todo: &Todo) -> Result<(), Error> {
        let uid = match todo {
            Todo::DeleteIfOrphaned(uid) | Todo::Delete(uid) | Todo::Disown(uid, _) | Todo::Release(uid, _) => uid,
        };
        let Some(known) = self.graph.objects.get(uid).cloned() else { return Ok(()) };
        let Some(api) = self.api(&known.kind, known.namespace.as_deref()) else { return Ok(()) };
        let what = format!("{} {}", known.kind, known.name);
        let only = Preconditions { uid: Some(uid.clone()), resource_version: None };
        match todo {
            Todo::DeleteIfOrphaned(_) => {
                for owner in &known.owners {
                    if self.exists(owner, known.namespace.as_deref()).await? {
                        return Ok(());
                    }
                }
                let options = DeleteParams { preconditions: Some(only), ..DeleteParams::background() };
                gone_is_fine(
                    api.delete(&known.name, &options).await.map(drop),
                    &format!("delete {what}, whose owner is gone"),
                )
            }
            Todo::Delete(_) => {
                let options = DeleteParams { preconditions: Some(only), ..DeleteParams::foreground() };
                gone_is_fine(
                    api.delete(&known.name, &options).await.map(drop),
                    &format!("delete {what}, whose owner goes"),
                )
            }
            Todo::Disown(_, owner) => {
                let left: Vec<_> = known.owners.iter().filter(|reference| &reference.uid != owner).collect();
                let patch = json!({"metadata": {"uid": uid, "ownerReferences": left}});
                gone_is_fine(
                    api.patch_metadata(&known.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop),
                    &format!("free {what} of its owner"),
                )
            }
            Todo::Release(_, finalizer) => {
                let left: Vec<_> = known.finalizers.iter().filter(|name| name != finalizer).collect();
                let patch = json!({"metadata": {"uid": uid, "finalizers": left}});
                gone_is_fine(
                    api.patch_metadata(&known.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop),
                    &format!("let go of {what}"),
                )
            }
        }
    }

    /// Asks the API server itself whether an owner is there: the graph may be behind.
    async fn exists(&self, owner: &OwnerReference, namespace: Option<&str>) -> Result<bool, Error> {
        if self.graph.objects.contains_key(&owner.uid) {
            return Ok(true);
        }
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let Some(api) = self.api(&format!("{group}/{}", owner.kind), namespace) else {
            // A kind that is not served now may be served again; nothing is deleted on doubt.
            return Ok(true);
        };
        let found = api
            .get_metadata_opt(&owner.name)
            .await
            .map_err(|source| Error::new(format!("look for the owner {}", owner.name), source))?;
        Ok(found.is_some_and(|found| found.uid().as_deref() == Some(&owner.uid)))
    }
}

fn gone_is_fine(result: Result<(), kube::Error>, what: &str) -> Result<(), Error> {
    match result {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        other => other.map_err(|source| Error::new(what, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(owners: &[&str]) -> Known {
        Known {
            kind: "/Pod".into(),
            namespace: Some("a".into()),
            name: "p".into(),
            owners: owners
                .iter()
                .map(|uid| OwnerReference { uid: (*uid).to_owned(), ..OwnerReference::default() })
                .collect(),
            finalizers: Vec::new(),
            deleting: false,
        }
    }

    fn going(finalizer: &str) -> Known {
        Known { deleting: true, finalizers: vec![finalizer.to_owned()], ..known(&[]) }
    }

    #[test]
    fn a_dependent_goes_when_its_last_owner_is_gone() {
        let mut graph = Graph::default();
        graph.put("o1", known(&[]));
        graph.put("o2", known(&[]));
        assert!(graph.put("d", known(&["o1", "o2"])).is_empty());
        assert!(graph.remove("o1").is_empty());
        assert_eq!(graph.remove("o2"), [Todo::DeleteIfOrphaned("d".into())]);
    }

    #[test]
    fn a_dependent_that_is_seen_before_its_owner_is_only_asked_about() {
        let mut graph = Graph::default();
        assert_eq!(graph.put("d", known(&["later"])), [Todo::DeleteIfOrphaned("d".into())]);
    }

    #[test]
    fn the_foreground_waits_for_dependents_and_an_orphaning_frees_them() {
        let mut graph = Graph::default();
        graph.put("o", known(&[]));
        graph.put("d", known(&["o"]));
        assert_eq!(graph.put("o", going(FOREGROUND)), [Todo::Delete("d".into())]);
        assert_eq!(graph.remove("d"), [Todo::Release("o".into(), FOREGROUND)]);
        let mut graph = Graph::default();
        graph.put("o", known(&[]));
        graph.put("d", known(&["o"]));
        assert_eq!(graph.put("o", going(ORPHAN)), [Todo::Disown("d".into(), "o".into())]);
        assert_eq!(graph.put("d", known(&[])), [Todo::Release("o".into(), ORPHAN)]);
    }
}
