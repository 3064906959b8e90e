//! The work that is measured; each piece takes an endpoint and says what it took.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::Context;
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::wire::{Connection, Endpoint, Poster};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// Makes `count` objects of 2 KB by `clients` at a time; returns each request's milliseconds.
pub(crate) async fn creates(endpoint: &Endpoint, clients: usize, count: usize) -> anyhow::Result<Vec<f64>> {
    let next = Arc::new(AtomicUsize::new(0));
    let run = uuid::Uuid::new_v4().simple().to_string();
    let client = |_| {
        let (endpoint, next, run) = (endpoint.clone(), next.clone(), run.clone());
        async move {
            let mut connection = Poster::open(&endpoint, MAPS).await?;
            let mut took = Vec::new();
            let text = "x".repeat(1800);
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count {
                    return Ok::<_, anyhow::Error>(took);
                }
                let object = format!(
                    r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{run}-{at}","labels":{{"run":"{run}"}}}},"data":{{"text":"{text}"}}}}"#
                );
                let begun = Instant::now();
                connection.post(object.as_bytes()).await?;
                took.push(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
    };
    let all = try_join_all((0..clients).map(client).map(tokio::spawn)).await?;
    Ok(all.into_iter().collect::<anyhow::Result<Vec<_>>>()?.concat())
}

/// Makes pods as a Deployment's are, numbered from `from` to below `to`.
pub(crate) async fn pods(endpoint: &Endpoint, from: usize, to: usize) -> anyhow::Result<()> {
    let client = |first| {
        let endpoint = endpoint.clone();
        async move {
            let mut connection = Connection::open(&endpoint).await?;
            for at in (from + first..to).step_by(16) {
                let object = json!({"apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": format!("orders-7c9f8d6b5-{at:05}"), "labels": {"app": "orders", "pod-template-hash": "7c9f8d6b5"}},
                    "spec": {"nodeName": "node", "automountServiceAccountToken": false, "containers": [{"name": "orders", "image": "registry.example/orders:1.2.3",
                        "env": [{"name": "PORT", "value": "8080"}, {"name": "LOG_LEVEL", "value": "info"}],
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
                        "readinessProbe": {"httpGet": {"path": "/health/ready", "port": "http"}}}]}});
                connection.ask(Method::POST, PODS, object.to_string().into()).await?;
            }
            Ok::<_, anyhow::Error>(())
        }
    };
    for result in try_join_all((0..16).map(client).map(tokio::spawn)).await? {
        result?;
    }
    Ok(())
}

/// Makes the account that pods name; a real controller manager would.
pub(crate) async fn account(endpoint: &Endpoint) -> anyhow::Result<()> {
    let mut connection = Connection::open(endpoint).await?;
    let path = "/api/v1/namespaces/default/serviceaccounts";
    if connection.ask(Method::GET, &format!("{path}/default"), Bytes::new()).await.is_err() {
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        connection.ask(Method::POST, path, object.to_string().into()).await?;
    }
    Ok(())
}

/// Lists all pods `times` times; returns each list's milliseconds and its bytes.
pub(crate) async fn lists(endpoint: &Endpoint, times: usize) -> anyhow::Result<(Vec<f64>, usize)> {
    let mut connection = Connection::open(endpoint).await?;
    let (mut took, mut length) = (Vec::new(), 0);
    for _ in 0..times {
        let begun = Instant::now();
        length = connection.ask(Method::GET, PODS, Bytes::new()).await?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok((took, length))
}

/// Lets `watchers` watch and writes `writes` times; returns for each watcher and write the milliseconds from the write
/// to its event.
pub(crate) async fn watches(endpoint: &Endpoint, watchers: usize, writes: usize) -> anyhow::Result<Vec<f64>> {
    let namespace = format!("w{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    let mut writer = Connection::open(endpoint).await?;
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    writer.ask(Method::POST, "/api/v1/namespaces", object.to_string().into()).await?;
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let (told, mut heard) = mpsc::unbounded_channel();
    let mut stops = Vec::new();
    for _ in 0..watchers {
        let mut connection = Connection::open(endpoint).await?;
        let mut body = connection.begin(Method::GET, &format!("{path}?watch=true"), Bytes::new()).await?.into_body();
        let told = told.clone();
        let (stop, mut stopped) = oneshot::channel::<()>();
        stops.push(stop);
        tokio::spawn(async move {
            // The connection lives as long as its watch is read.
            let _connection = connection;
            let mut rest = Vec::new();
            loop {
                let frame = tokio::select! {
                    frame = body.frame() => frame,
                    _ = &mut stopped => return,
                };
                let Some(Ok(frame)) = frame else { return };
                rest.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    rest.drain(..=end);
                    if told.send(Instant::now()).is_err() {
                        return;
                    }
                }
            }
        });
    }
    let mut took = Vec::new();
    // What each namespace has from the start, if anything makes it, is told first.
    while let Ok(Some(_)) = tokio::time::timeout(std::time::Duration::from_secs(1), heard.recv()).await {}
    for at in 0..writes {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("n{at}")}, "data": {"text": "x".repeat(500)}});
        let begun = Instant::now();
        writer.ask(Method::POST, &path, object.to_string().into()).await?;
        for _ in 0..watchers {
            let heard = heard.recv().await.context("a watch ended")?;
            took.push(heard.saturating_duration_since(begun).as_secs_f64() * 1e3);
        }
    }
    Ok(took)
}
