//! The kubelet's HTTP API, in process: logs, the list of pods, and the streams of [`crate::streams`].
//!
//! It never asks who calls: the API server has done so before it comes here.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query as UrlQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use base::task::{OnError, Tasks};
use bytes::Bytes;
use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    context::Context,
    figures::{self, Looks},
    history,
    logs::{Query, Reader, Shower},
    pod::launch,
    streams,
};

/// The pods of this node, as the API has them.
pub(crate) type Pods = Arc<RwLock<BTreeMap<String, Arc<Pod>>>>;

/// A cheap handle to a running node.
#[derive(Clone)]
pub struct Handle {
    pub(crate) pods: Pods,
    pub(crate) dir: PathBuf,
    pub(crate) tasks: Tasks,
    pub(crate) context: Arc<Context>,
    pub(crate) looks: Arc<Looks>,
}

impl Handle {
    /// Returns the kubelet's HTTP API: `/containerLogs`, `/exec`, `/attach`, `/portForward`, `/stats/summary`, `/pods`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/containerLogs/{namespace}/{pod}/{container}", get(container_logs))
            .merge(streams::routes())
            .route("/stats/summary", get(summary))
            .route("/pods", get(pods))
            .route("/healthz", get(|| async { "ok" }))
            .with_state(self.clone())
    }

    /// Returns the pods of this node.
    pub(crate) fn all(&self) -> Vec<Arc<Pod>> {
        self.pods.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Returns a pod of this node.
    pub(crate) fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        let is_it = |pod: &&Arc<Pod>| {
            pod.metadata.namespace.as_deref() == Some(namespace) && pod.metadata.name.as_deref() == Some(name)
        };
        pods.values().find(is_it).cloned()
    }
}

async fn summary(State(handle): State<Handle>) -> Response {
    let read = tokio::task::spawn_blocking(move || figures::summary(&handle));
    match read.await {
        Ok(summary) => Json(summary).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the figures could not be read").into_response(),
    }
}

async fn pods(State(handle): State<Handle>) -> Response {
    let pods = handle.pods.read().unwrap_or_else(PoisonError::into_inner);
    let items: Vec<&Pod> = pods.values().map(AsRef::as_ref).collect();
    Json(json!({ "apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items })).into_response()
}

async fn container_logs(
    State(handle): State<Handle>,
    Path((namespace, name, container)): Path<(String, String, String)>,
    UrlQuery(query): UrlQuery<Query>,
) -> Response {
    let refuse = |status: StatusCode, text: String| (status, text).into_response();
    let Some(pod) = handle.pod(&namespace, &name) else {
        return refuse(StatusCode::NOT_FOUND, format!("pod {namespace}/{name} is not on this node"));
    };
    let known = pod.spec.iter().flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()));
    if !known.into_iter().any(|c| c.name == container) {
        return refuse(StatusCode::BAD_REQUEST, format!("container {container} is not valid for pod {name}"));
    }
    let dir = handle.dir.join("pods").join(pod.metadata.uid.as_deref().unwrap_or_default());
    let attempts = match history::read(&dir.join("c").join(&container)) {
        Ok(record) => record,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let (wanted, what) = if query.previous { (attempts.previous, "previous terminated ") } else { (attempts.last, "") };
    let Some(attempt) = wanted else {
        let text = format!("{what}container {container:?} in pod {name:?} not found or waiting to start");
        return refuse(StatusCode::BAD_REQUEST, text);
    };
    let path = launch::log_path(&dir, &container, attempt.number);
    let exit = dir.join("c").join(&container).join(attempt.number.to_string()).join("exit.json");
    let reader = match Reader::open(&path, query.tail_lines) {
        Ok(reader) => reader,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("the log cannot be read: {error}")),
    };
    let (out, body) = mpsc::channel(16);
    let stop = handle.tasks.stop();
    handle.tasks.spawn("stream a log", OnError::Log, async move {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            result = stream(reader, query, path, exit, out) => result,
        }
    });
    let body = Body::from_stream(ReceiverStream::new(body));
    ([(http::header::CONTENT_TYPE, "text/plain")], body).into_response()
}

async fn stream(
    mut reader: Reader,
    query: Query,
    path: PathBuf,
    exit: PathBuf,
    out: mpsc::Sender<Result<Bytes, std::io::Error>>,
) -> Result<(), std::io::Error> {
    let mut shower = Shower::new(&query, base::clock::now());
    let mut piece = Vec::new();
    let mut last = false;
    loop {
        let line = reader.next()?;
        let at_end = line.is_none();
        if let Some(line) = line {
            piece.extend(shower.show(&line));
        }
        if !piece.is_empty()
            && (at_end || piece.len() > 32 << 10)
            && out.send(Ok(std::mem::take(&mut piece).into())).await.is_err()
        {
            return Ok(());
        }
        if shower.is_full() {
            return if piece.is_empty() { Ok(()) } else { out.send(Ok(piece.into())).await.or(Ok(())) };
        }
        if !at_end || reader.follow_rotation(&path)? {
            continue;
        }
        if !query.follow || last {
            return Ok(());
        }
        // What was written before the end is read once more after it is seen.
        // A pod that is removed takes the folder with it.
        last = exit.exists() || !exit.parent().is_some_and(std::path::Path::exists);
        if !last {
            tokio::select! {
                () = out.closed() => return Ok(()),
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
    }
}
