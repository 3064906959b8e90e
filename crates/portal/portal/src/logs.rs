//! The lines that a service's pods have written, through the Kubernetes API.

use std::{convert::Infallible, sync::Arc};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt, stream};
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

/// Streams lines as they are written: events whose data is `{"pod": …, "line": …}`.
pub(crate) async fn follow(app: Arc<App>, service: Microservice, lines: i64) -> Result<Response, Problem> {
    let pods: Api<Pod> = Api::namespaced(app.client.clone(), &service.namespace);
    let params = LogParams { follow: true, tail_lines: Some(lines), ..LogParams::default() };
    let mut streams = Vec::new();
    for pod in &service.pods {
        let name = pod.name.clone();
        match pods.log_stream(&name, &params).await {
            Ok(reader) => streams.push(reader.lines().map_ok(move |line| (name.clone(), line)).boxed()),
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 404) => {}
            Err(error) => return Err(Problem::from_kube(error, "pod", &pod.name)),
        }
    }
    let lines = stream::select_all(streams).filter_map(|line| async move {
        match line {
            Ok((pod, line)) => Event::default().json_data(json!({"pod": pod, "line": line})).ok().map(Ok::<_, Infallible>),
            Err(error) => {
                tracing::debug!(%error, "a log stream ended early");
                None
            }
        }
    });
    let stop = app.stop.clone();
    Ok(Sse::new(lines.take_until(async move { stop.cancelled().await })).keep_alive(KeepAlive::default()).into_response())
}
