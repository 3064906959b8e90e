//! Writes what was made of gateways and routes into their status.

use std::time::Duration;

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use routes::StatusUpdate;
use serde_json::json;
use tokio::sync::watch;

/// How long after a failed write it is tried again, if nothing newer has come.
const AGAIN: Duration = Duration::from_secs(1);

/// Writes the newest set of statuses until the sender is gone.
pub(crate) async fn write(mut wanted: watch::Receiver<(Option<Client>, Vec<StatusUpdate>)>) {
    loop {
        let (client, updates) = wanted.borrow_and_update().clone();
        let mut failed = false;
        if let Some(client) = client {
            for update in &updates {
                failed |= !patch(&client, update).await;
            }
        }
        let changed = async { wanted.changed().await.is_ok() };
        let more = if failed { tokio::time::timeout(AGAIN, changed).await.unwrap_or(true) } else { changed.await };
        if !more {
            return;
        }
    }
}

async fn patch(client: &Client, update: &StatusUpdate) -> bool {
    let (group, version, name, plural) = update.kind.resource();
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, name), plural);
    let api: Api<DynamicObject> = if update.namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), &update.namespace, &resource)
    };
    let body = json!({"status": update.status});
    match api.patch_status(&update.name, &PatchParams::default(), &Patch::Merge(&body)).await {
        Ok(_) => true,
        // It is gone: nothing is left to say.
        Err(kube::Error::Api(status)) if status.code == 404 => true,
        Err(error) => {
            tracing::debug!(kind = name, namespace = update.namespace, name = update.name, error = %base::fault::Chain(&error), "failed to write a status; trying again");
            false
        }
    }
}
