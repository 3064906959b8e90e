//! Makes the cluster as planned: applies in order, wave by wave, then prunes.
//!
//! It never decides what to do; it only stops early where a wave is not healthy yet.

use kube::{
    Client,
    api::{ApiResource, DeleteParams},
};
use serde_json::{Value, json};

use super::{
    health,
    live::{Applied, value_of},
    plan::{Desired, Live, MANAGER, Plan, has_option},
};
use crate::{
    objects::{self, Error},
    work::Key,
};

/// How a sync went.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// How many objects were applied.
    pub(crate) applied: usize,
    /// How many objects were deleted.
    pub(crate) pruned: usize,
    /// What failed.
    pub(crate) failures: Vec<Error>,
    /// What is waited for, if the sync is not over.
    pub(crate) waiting: Option<String>,
}

/// What a sync may do.
#[derive(Clone, Copy)]
pub(crate) struct Allowed {
    pub(crate) prune: bool,
    pub(crate) prune_last: bool,
    pub(crate) propagation: Propagation,
}

/// What happens to what depends on a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// It goes afterwards.
    Background,
    /// It goes first.
    Foreground,
}

/// Creates the namespace if it is missing; returns whether it was.
pub(crate) async fn ensure_namespace(client: &Client, namespace: &str) -> Result<bool, Error> {
    let resource = objects::resource("", "v1", "Namespace", "namespaces");
    let api = objects::api(client, &resource, "");
    let key = Key::new("", namespace);
    if api.get_opt(namespace).await.map_err(|source| Error::new("read", "Namespace", &key, source))?.is_some() {
        return Ok(false);
    }
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    objects::apply(&api, MANAGER, &object).await?;
    Ok(true)
}

/// Applies and prunes; `live` tells how an object is that is not applied now.
pub(crate) async fn run(
    client: &Client,
    desired: &[Desired],
    plan: &Plan,
    allowed: Allowed,
    applied: &mut Applied,
    live: impl Fn(&Desired, &Applied) -> Option<Value>,
) -> Done {
    let mut done = Done::default();
    let mut waves: Vec<i64> = desired.iter().map(Desired::wave).collect();
    waves.sort_unstable();
    waves.dedup();
    for wave in waves {
        for wanted in plan.apply.iter().map(|index| &desired[*index]).filter(|one| one.wave() == wave) {
            let api = objects::api(client, &wanted.resource, &wanted.id.namespace);
            match objects::apply(&api, MANAGER, &wanted.object).await {
                Ok(answer) => {
                    applied.record(wanted.id.clone(), &wanted.object, value_of(&answer, &wanted.resource));
                    done.applied += 1;
                }
                Err(error) => done.failures.push(error),
            }
        }
        if !done.failures.is_empty() {
            return done;
        }
        let later = desired.iter().any(|one| one.wave() > wave) || (allowed.prune_last && !plan.prune.is_empty());
        let unhealthy = desired.iter().filter(|one| one.wave() == wave).find(|one| {
            live(one, applied).and_then(|object| health::of(&object)).is_some_and(|health| health.status != "Healthy")
        });
        if let (true, Some(unhealthy)) = (later, unhealthy) {
            done.waiting = Some(format!("waiting for healthy state of {}/{}", unhealthy.id.kind, unhealthy.id.name));
            return done;
        }
    }
    if allowed.prune {
        for gone in plan.prune.iter().filter(|one| !has_option(&one.object, "Prune=false")) {
            match delete(client, gone, allowed.propagation).await {
                Ok(()) => done.pruned += 1,
                Err(error) => done.failures.push(error),
            }
        }
    }
    done
}

/// Deletes an object unless another has taken its name since.
pub(crate) async fn delete(client: &Client, live: &Live, propagation: Propagation) -> Result<(), Error> {
    if live.object["metadata"]["deletionTimestamp"].is_string() {
        return Ok(());
    }
    let resource: &ApiResource = &live.resource;
    let api = objects::api(client, resource, &live.id.namespace);
    let mut params = match propagation {
        Propagation::Background => DeleteParams::background(),
        Propagation::Foreground => DeleteParams::foreground(),
    };
    params.preconditions = Some(kube::api::Preconditions {
        uid: live.object["metadata"]["uid"].as_str().map(str::to_owned),
        resource_version: None,
    });
    match api.delete(&live.id.name, &params).await {
        Ok(_) => Ok(()),
        // Gone already, or not the one that was meant any more.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(source) => {
            let key = Key::new(&live.id.namespace, &live.id.name);
            Err(Error::new("delete", &live.id.kind, &key, source))
        }
    }
}
