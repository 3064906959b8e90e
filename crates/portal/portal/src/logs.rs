//! The lines that a service's pods have written, through the Kubernetes API.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures::{
    AsyncBufReadExt, StreamExt, TryStreamExt,
    stream::{self, BoxStream, SelectAll},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::LogParams};
use platform::rest::Microservice;
use serde_json::json;

use crate::{portal::App, problem::Problem};

/// Lines if nothing is said, and the most.
pub(crate) const USUAL: i64 = 100;
pub(crate) const MOST: i64 = 10_000;

/// Returns the newest lines of all pods; with several pods each line begins with its pod's name.
pub(crate) async fn recent(app: &App, service: &Microservice, lines: i64) -> Result<String, Problem> {
    let pods: Api<Pod> = Api::namespaced(app.client.clone(), &service.namespace);
    let params = LogParams { tail_lines: Some(lines), ..LogParams::default() };
    let mut text = String::new();
    for pod in &service.pods {
        let logs = match pods.logs(&pod.name, &params).await {
            Ok(logs) => logs,
            // A pod that has not begun has written nothing; one that is gone is not asked.
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 404) => continue,
            Err(error) => return Err(Problem::from_kube(error, "pod", &pod.name)),
        };
        for line in logs.lines() {
            if service.pods.len() > 1 {
                text.push_str(&pod.name);
                text.push(' ');
            }
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

/// Lines of one pod, as they are written.
type Lines = BoxStream<'static, std::io::Result<(String, String)>>;

/// Follows the pods of one service, also those that come later and containers that start again.
struct Following {
    app: Arc<App>,
    service: Microservice,
    streams: SelectAll<Lines>,
    versions: tokio::sync::watch::Receiver<u64>,
    /// How often each pod that is followed had been started again.
    known: HashMap<String, i32>,
}

impl Following {
    /// Begins to follow every pod that is not followed yet; `lines` are the newest ones to begin with, all if absent.
    async fn look(&mut self, lines: Option<i64>) -> Result<(), Problem> {
        let pods: Api<Pod> = Api::namespaced(self.app.client.clone(), &self.service.namespace);
        let params = LogParams { follow: true, tail_lines: lines, ..LogParams::default() };
        for pod in &self.service.pods {
            if self.known.get(&pod.name).is_some_and(|restarts| *restarts >= pod.restarts) {
                continue;
            }
            let name = pod.name.clone();
            match pods.log_stream(&name, &params).await {
                Ok(reader) => {
                    self.known.insert(name.clone(), pod.restarts);
                    self.streams.push(reader.lines().map_ok(move |line| (name.clone(), line)).boxed());
                }
                // It has not begun, or is gone.
                Err(kube::Error::Api(status)) if matches!(status.code, 400 | 404) => {}
                Err(error) => return Err(Problem::from_kube(error, "pod", &pod.name)),
            }
        }
        Ok(())
    }

    /// Returns the next line; `None` when the service or the portal ends.
    async fn next(&mut self) -> Option<(String, String)> {
        loop {
            tokio::select! {
                line = self.streams.next(), if !self.streams.is_empty() => match line {
                    Some(Ok(line)) => return Some(line),
                    Some(Err(error)) => tracing::debug!(%error, "a log stream ended early"),
                    None => {}
                },
                changed = self.versions.changed() => {
                    changed.ok()?;
                    self.versions.borrow_and_update();
                    self.service = crate::api::find(&self.app, &self.service.name, Some(&self.service.environment)).ok()?;
                    if let Err(problem) = self.look(None).await {
                        tracing::debug!(%problem, "failed to follow a pod");
                    }
                }
                () = self.app.stop.cancelled() => return None,
            }
        }
    }
}

/// Streams lines as they are written: events whose data is `{"pod": …, "line": …}`.
pub(crate) async fn follow(app: Arc<App>, service: Microservice, lines: i64) -> Result<Response, Problem> {
    let versions = app.index.versions();
    let mut following = Following { app, service, streams: SelectAll::new(), versions, known: HashMap::new() };
    following.look(Some(lines)).await?;
    let events = stream::unfold(following, |mut following| async move {
        let (pod, line) = following.next().await?;
        let event = Event::default().json_data(json!({"pod": pod, "line": line})).unwrap_or_default();
        Some((Ok::<_, Infallible>(event), following))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}
