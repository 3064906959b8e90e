//! `ResourceQuota`: counts what is there, holds a namespace while an object is let in, and
//! keeps each quota's status true.

use std::sync::Arc;

use admission::quotas::{self, Counted};
use serde_json::{Map, Value};
use tokio::sync::OwnedMutexGuard;

use super::subject;
use crate::{
    registry::Resource,
    server::Server,
    status::Failure,
    store::{Expect, Outcome, Snapshot, Write},
    write::{ATTEMPTS, Admission, Call, Operation},
};

const QUOTAS: &str = "core/resourcequotas";

impl Server {
    /// Refuses what a quota of the namespace has no room for. What is let in holds the
    /// namespace until it is stored, so that no two are counted as one.
    pub(super) async fn within_quota(&self, admission: Admission<'_>) -> Result<Option<OwnedMutexGuard<()>>, Failure> {
        let Call { resource, info, .. } = admission.call;
        let Some(new) = admission.new else { return Ok(None) };
        let own = info.subresource.is_empty();
        if !resource.namespaced || !own || admission.operation == Operation::Delete || !self.has_quota(&info.namespace)
        {
            return Ok(None);
        }
        let guard = self.quota_lock(&info.namespace).lock_owned().await;
        let snapshot = self.store().snapshot();
        let now = base::clock::now().as_second();
        let counted = Counted { group: &resource.gvk.group, resource: &resource.plural, object: new };
        for quota in quotas_of(&snapshot, &info.namespace) {
            if !concerns(&quota, resource) {
                continue;
            }
            let objects = counted_by(&snapshot, &info.namespace, &quota);
            let used = quotas::used(&quota, objects.iter().map(Item::counted), now);
            if let Some(why) = quotas::refusal(&quota, &used, counted, admission.old, now) {
                return Err(Failure::forbidden(resource, subject(admission), &why));
            }
        }
        Ok(Some(guard))
    }

    /// Writes what is used into the status of the quotas that a change concerns.
    pub(crate) async fn settle_quotas(&self, resource: &Resource, namespace: &str) {
        if namespace.is_empty() || !self.has_quota(namespace) {
            return;
        }
        let _guard = self.quota_lock(namespace).lock_owned().await;
        for _ in 0..ATTEMPTS {
            let snapshot = self.store().snapshot();
            let prefix = format!("{QUOTAS}/{namespace}/");
            let mut settled = true;
            for (key, entry) in snapshot.range(&prefix, None) {
                let mut quota = entry.value();
                let own = resource.ring() == QUOTAS;
                if !own && !concerns(&quota, resource) {
                    continue;
                }
                let status = status_of(&snapshot, namespace, &quota);
                if quota["status"] == status {
                    continue;
                }
                quota["status"] = status;
                match self.store().write(key, Expect::Revision(entry.revision), Write::Put(quota)).await {
                    Ok(Outcome::Done(_)) => {}
                    Ok(Outcome::Mismatch(_)) => settled = false,
                    Err(error) => {
                        tracing::error!(%error, key, "a quota's status could not be written; it is when something in the namespace changes again");
                        return;
                    }
                }
            }
            if settled {
                return;
            }
        }
    }

    fn has_quota(&self, namespace: &str) -> bool {
        self.store().snapshot().range(&format!("{QUOTAS}/{namespace}/"), None).next().is_some()
    }
}

fn quotas_of(snapshot: &Snapshot, namespace: &str) -> Vec<Value> {
    snapshot.range(&format!("{QUOTAS}/{namespace}/"), None).map(|(_, entry)| entry.value()).collect()
}

/// Returns whether a quota limits anything that objects of a kind are counted by.
fn concerns(quota: &Value, resource: &Resource) -> bool {
    let hard = quota["spec"]["hard"].as_object();
    hard.into_iter().flatten().any(|(name, _)| {
        let (group, plural) = quotas::kind_of(name);
        group == resource.gvk.group && plural == resource.plural
    })
}

struct Item {
    kind: Arc<(String, String)>,
    object: Value,
}

impl Item {
    fn counted(&self) -> Counted<'_> {
        Counted { group: &self.kind.0, resource: &self.kind.1, object: &self.object }
    }
}

/// Returns the objects that a quota is counted by.
fn counted_by(snapshot: &Snapshot, namespace: &str, quota: &Value) -> Vec<Item> {
    let hard = quota["spec"]["hard"].as_object();
    let mut kinds: Vec<(String, String)> = hard.into_iter().flatten().map(|(name, _)| quotas::kind_of(name)).collect();
    kinds.sort();
    kinds.dedup();
    let mut found = Vec::new();
    for kind in kinds {
        let group = if kind.0.is_empty() { "core" } else { &kind.0 };
        let prefix = format!("{group}/{}/{namespace}/", kind.1);
        let kind = Arc::new(kind);
        found
            .extend(snapshot.range(&prefix, None).map(|(_, entry)| Item { kind: kind.clone(), object: entry.value() }));
    }
    found
}

fn status_of(snapshot: &Snapshot, namespace: &str, quota: &Value) -> Value {
    let objects = counted_by(snapshot, namespace, quota);
    let used = quotas::used(quota, objects.iter().map(Item::counted), base::clock::now().as_second());
    let used: Map<String, Value> = used.into_iter().map(|(name, value)| (name, value.to_string().into())).collect();
    serde_json::json!({"hard": quota["spec"]["hard"], "used": used})
}
