//! The service's HTTP surface.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, MatchedPath, Path, Query, Request, State as Extract},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Config,
    metrics::Metrics,
    store::{Item, Store},
};

/// The largest body of a request.
const BODY_LIMIT: usize = 64 << 10;
/// The most items of one answer.
const MOST: usize = 1000;
const LONGEST_NAME: usize = 200;

/// What every request may use.
pub(crate) struct State {
    pub(crate) config: Config,
    store: Store,
    metrics: Metrics,
    collection: String,
}

type Shared = Extract<Arc<State>>;

impl State {
    pub(crate) fn new(config: Config, store: Store) -> Self {
        let collection = collection(&config.name);
        State { config, store, metrics: Metrics::default(), collection }
    }
}

/// Returns what a service of this name keeps: `orders` for `orders`, `users` for `user-service`.
fn collection(name: &str) -> String {
    let stem = name.strip_suffix("-service").unwrap_or(name);
    if stem.ends_with('s') { stem.to_owned() } else { format!("{stem}s") }
}

/// Returns the API, health and metrics.
pub(crate) fn router(state: Arc<State>) -> Router {
    let own = format!("/api/v1/{}", state.collection);
    let mut router = Router::new()
        .route("/", get(greet))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics));
    for path in ["/api/v1/items", own.as_str()] {
        if path == own && own == "/api/v1/items" {
            continue;
        }
        router = router.route(path, get(list).post(create)).route(&format!("{path}/{{id}}"), get(read).delete(remove));
    }
    router
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "there is nothing here; see /") })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(state.clone(), observe))
        .with_state(state)
}

/// Returns the metrics alone.
pub(crate) fn metrics_router(state: Arc<State>) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(state)
}

/// Counts and logs each request.
async fn observe(Extract(state): Shared, request: Request, next: Next) -> Response {
    let started = base::clock::instant();
    let method = request.method().to_string();
    // The pattern, not the path: ids would make a series each.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let (status, took) = (response.status().as_u16(), started.elapsed());
    state.metrics.count(&method, &route, status, took);
    tracing::info!(method, path, status, micros = took.as_micros() as u64, "request");
    response
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let body = json!({"status": status.as_u16(), "title": status.canonical_reason(), "detail": detail});
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

/// Runs `work` on the store where it may block; what fails is logged and not told to the caller.
async fn stored<T: Send + 'static>(
    state: Arc<State>,
    work: impl FnOnce(&Store) -> Result<T, redb::Error> + Send + 'static,
) -> Result<T, Response> {
    let done = tokio::task::spawn_blocking(move || work(&state.store)).await;
    let failure = match done {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!(failure, "the database failed");
    Err(problem(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer; try again"))
}

async fn greet(Extract(state): Shared, headers: HeaderMap) -> Response {
    let Config { name, version, hostname, .. } = &state.config;
    if headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")))
    {
        let page = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>{name}</title>\
             <style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui;margin:4rem auto;max-width:40rem;padding:0 1rem}}code{{font-size:.9em}}</style>\
             <h1>{name}</h1><p>Version {version}, answered by <code>{hostname}</code>.<p>Try <a href=\"/api/v1/{collection}\">/api/v1/{collection}</a>, \
             <a href=\"/health/ready\">/health/ready</a> or <a href=\"/metrics\">/metrics</a>.",
            name = escaped(name),
            version = escaped(version),
            hostname = escaped(hostname),
            collection = escaped(&state.collection),
        );
        return Html(page).into_response();
    }
    Json(json!({"service": name, "version": version, "pod": hostname, "api": format!("/api/v1/{}", state.collection)}))
        .into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

async fn live() -> Json<serde_json::Value> {
    Json(json!({"status": "alive"}))
}

async fn ready(Extract(state): Shared) -> Response {
    match stored(state, Store::check).await {
        Ok(()) => Json(json!({"status": "ready"})).into_response(),
        Err(response) => response,
    }
}

async fn metrics(Extract(state): Shared) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.exposition()).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: Option<usize>,
    after: Option<String>,
}

async fn list(Extract(state): Shared, page: Result<Query<Page>, axum::extract::rejection::QueryRejection>) -> Response {
    let Query(page) = match page {
        Ok(page) => page,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let limit = page.limit.unwrap_or(100);
    if !(1..=MOST).contains(&limit) {
        return problem(StatusCode::BAD_REQUEST, "limit is a number from 1 to 1000");
    }
    match stored(state, move |store| store.list(&page.after.unwrap_or_default(), limit)).await {
        Ok(items) => Json(json!({"items": items})).into_response(),
        Err(response) => response,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    #[serde(default = "one")]
    quantity: u32,
}

fn one() -> u32 {
    1
}

async fn create(Extract(state): Shared, body: Bytes) -> Response {
    let new: New = match serde_json::from_slice(&body) {
        Ok(new) => new,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &format!("the body is not an item: {error}")),
    };
    let name = new.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > LONGEST_NAME {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "name has 1 to 200 characters");
    }
    let id = uuid::Uuid::new_v4().to_string();
    let item = Item { id, name, quantity: new.quantity, created_at: base::clock::now_rfc3339() };
    let location = format!("/api/v1/{}/{}", state.collection, item.id);
    let stored_item = item.clone();
    match stored(state, move |store| store.put(&stored_item)).await {
        Ok(()) => (StatusCode::CREATED, [(header::LOCATION, location)], Json(item)).into_response(),
        Err(response) => response,
    }
}

async fn read(Extract(state): Shared, Path(id): Path<String>) -> Response {
    match stored(state, move |store| store.get(&id)).await {
        Ok(Some(item)) => Json(item).into_response(),
        Ok(None) => problem(StatusCode::NOT_FOUND, "there is no item of this id"),
        Err(response) => response,
    }
}

async fn remove(Extract(state): Shared, Path(id): Path<String>) -> Response {
    match stored(state, move |store| store.remove(&id)).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => problem(StatusCode::NOT_FOUND, "there is no item of this id"),
        Err(response) => response,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
