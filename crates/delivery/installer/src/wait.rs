//! Waiting: until objects are ready, until they are gone.

use std::time::Duration;

use base::clock;
use http::Method;
use release::ready::{self, Jobs, Readiness};
use serde_json::Value;

use crate::{Cluster, Error, Tell, cluster::Placed};

/// How often is looked again.
const PAUSE: Duration = Duration::from_millis(300);

/// Waits until everything is ready, telling what is missing as that changes.
pub(crate) async fn ready(
    cluster: &Cluster,
    objects: &[Placed],
    jobs: Jobs,
    timeout: Duration,
    tell: &Tell,
) -> Result<(), Error> {
    let deadline = clock::instant() + timeout;
    let mut pending: Vec<&Placed> = objects.iter().collect();
    let mut told = String::new();
    loop {
        let mut left = Vec::new();
        let mut missing = Vec::new();
        for placed in pending {
            match look(cluster, placed, jobs).await? {
                Readiness::Ready => {}
                Readiness::Waiting(text) => {
                    left.push(placed);
                    missing.push(format!("{}: {text}", placed.id));
                }
                Readiness::Failed(reason) => return Err(Error::Failed { object: placed.id.to_string(), reason }),
            }
        }
        pending = left;
        let Some(first) = missing.first() else { return Ok(()) };
        let more = if missing.len() > 1 { format!(", and {} more", missing.len() - 1) } else { String::new() };
        let now = format!("waiting for {first}{more}");
        if now != told {
            tell(&now);
            told = now;
        }
        if clock::instant() >= deadline {
            let mut missing = missing.join("; ");
            if let Some(why) = pods_say(cluster, &pending).await {
                missing = format!("{missing} ({why})");
            }
            return Err(Error::Timeout { what: "not everything is ready", after: timeout, missing });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look(cluster: &Cluster, placed: &Placed, jobs: Jobs) -> Result<Readiness, Error> {
    let Some(mut live) = cluster.get(placed).await? else {
        return Ok(Readiness::Failed("somebody deleted it".to_owned()));
    };
    live["kind"] = placed.id.kind.as_str().into();
    let newest = if placed.id.kind == "Deployment" { newest_set(cluster, &live).await? } else { None };
    Ok(ready::of(&live, newest.as_ref(), jobs))
}

/// Returns the ReplicaSet of a Deployment's present revision.
async fn newest_set(cluster: &Cluster, deployment: &Value) -> Result<Option<Value>, Error> {
    const REVISION: &str = "deployment.kubernetes.io/revision";
    let url = format!("/apis/apps/v1/namespaces/{}/replicasets", namespace(deployment));
    let sets = list(cluster, &url).await?;
    let revision = &deployment["metadata"]["annotations"][REVISION];
    Ok(sets.into_iter().find(|set| is_owned(set, deployment) && set["metadata"]["annotations"][REVISION] == *revision))
}

fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

fn is_owned(object: &Value, owner: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    owners.into_iter().any(|one| one["uid"] == owner["metadata"]["uid"])
}

async fn list(cluster: &Cluster, url: &str) -> Result<Vec<Value>, Error> {
    let fail = |error| Error::Api { operation: "list", object: url.to_owned(), source: client::Cause::new(error) };
    let mut answer = cluster.ask(Method::GET, url, None).await.map_err(fail)?;
    Ok(std::mem::take(&mut answer["items"]).as_array().cloned().unwrap_or_default())
}

/// Returns what keeps pods of what is waited for from running, if they say it.
async fn pods_say(cluster: &Cluster, pending: &[&Placed]) -> Option<String> {
    let mut told = Vec::new();
    for placed in pending.iter().take(5) {
        let namespace = placed.id.namespace.as_deref()?;
        let labels = placed.object["spec"]["selector"]["matchLabels"].as_object().cloned().unwrap_or_default();
        // Who may not list pods is told less; the failure that counts is told anyway.
        let Ok(pods) = list(cluster, &format!("/api/v1/namespaces/{namespace}/pods")).await else { continue };
        for pod in pods {
            let own = &pod["metadata"]["labels"];
            let chosen = !labels.is_empty() && labels.iter().all(|(key, value)| own[key] == *value);
            if (chosen || placed.id.kind == "Pod" && pod["metadata"]["name"] == placed.id.name.as_str())
                && let Some(why) = why(&pod)
            {
                told.push(format!("pod {}: {why}", pod["metadata"]["name"].as_str().unwrap_or_default()));
            }
        }
    }
    told.truncate(5);
    (!told.is_empty()).then(|| told.join("; "))
}

fn why(pod: &Value) -> Option<String> {
    let containers = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    for status in containers {
        let name = status["name"].as_str().unwrap_or_default();
        if let Some(reason) = status["state"]["waiting"]["reason"].as_str()
            && !matches!(reason, "ContainerCreating" | "PodInitializing")
        {
            let message = status["state"]["waiting"]["message"].as_str().unwrap_or_default();
            return Some(format!("container {name}: {reason} {message}").trim_end().to_owned());
        }
        if let Some(code) = status["lastState"]["terminated"]["exitCode"].as_i64() {
            return Some(format!("container {name} ended with exit code {code}"));
        }
    }
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let mut unmet = conditions.filter(|one| one["status"] == "False" && one["message"].is_string());
    unmet.next().and_then(|one| one["message"].as_str().map(str::to_owned))
}

/// Waits until objects are gone.
pub(crate) async fn gone(cluster: &Cluster, objects: &[Placed], timeout: Duration) -> Result<(), Error> {
    let deadline = clock::instant() + timeout;
    for placed in objects {
        while cluster.get(placed).await?.is_some() {
            if clock::instant() >= deadline {
                let missing = format!("{} is still there", placed.id);
                return Err(Error::Timeout { what: "not everything is gone", after: timeout, missing });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// Waits until the object of a hook has ended; returns why it failed, if it did.
pub(crate) async fn ended(cluster: &Cluster, placed: &Placed, timeout: Duration) -> Result<Result<(), String>, Error> {
    use release::hook::{Progress, progress};
    let deadline = clock::instant() + timeout;
    loop {
        let Some(mut live) = cluster.get(placed).await? else {
            return Ok(Err("somebody deleted it".to_owned()));
        };
        live["kind"] = placed.id.kind.as_str().into();
        match progress(&live) {
            Progress::Done => return Ok(Ok(())),
            Progress::Failed(reason) => return Ok(Err(reason)),
            Progress::Under if clock::instant() >= deadline => {
                let why = why(&live).map(|why| format!(" ({why})")).unwrap_or_default();
                return Ok(Err(format!(
                    "{} has not ended after {timeout:?}{why}; give it longer with --timeout",
                    placed.id
                )));
            }
            Progress::Under => tokio::time::sleep(PAUSE).await,
        }
    }
}
