//! The portal as the process sees it: configuration, router, the watch it lives by, its handle.

use std::{
    collections::BTreeMap, convert::Infallible, fmt::Write, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use base::task::{OnError, Tasks};
use client::access::User;
use http::{HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    access, api, error::Error, idempotency, index::Index, pages, problem::Problem, session::Sessions,
    templates::Deployer, view::Places,
};

/// The largest body of a request.
pub(crate) const BODY_LIMIT: usize = 64 << 10;
/// How long the API server may take to show that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the portal needs to know.
#[derive(Clone)]
pub struct Config {
    /// Acts with the platform's rights; every request is reviewed before it is used for somebody.
    pub client: kube::Client,
    /// Its own folder: sessions.
    pub data: PathBuf,
    /// The gateway's HTTPS address, as URLs of services name its port.
    pub gateway: SocketAddr,
    /// The certificate to trust for the gateway.
    pub ca: PathBuf,
    /// Where the portal is reached, for example `http://localhost:8080`.
    pub public_url: String,
    /// Base of clone URLs, for example `https://localhost:8444/git`.
    pub git_url: String,
    /// The platform's version.
    pub version: String,
    /// Reads and deploys templates.
    pub deployer: Arc<dyn Deployer>,
}

/// Request extension of a listener that speaks TLS: sessions begun there are never sent in the clear.
#[derive(Clone, Copy, Debug)]
pub struct Secured;

/// What every request may use.
pub(crate) struct App {
    pub(crate) client: kube::Client,
    pub(crate) index: Index,
    pub(crate) places: Places,
    pub(crate) sessions: Sessions,
    pub(crate) memory: access::Memory,
    pub(crate) answers: idempotency::Answers,
    pub(crate) public_url: String,
    pub(crate) version: String,
    pub(crate) deployer: Arc<dyn Deployer>,
    pub(crate) stop: CancellationToken,
    counts: Mutex<BTreeMap<(String, String, u16), u64>>,
}

/// The portal: a router to serve and a watch to run.
#[derive(Clone)]
pub struct Portal {
    app: Arc<App>,
}

/// A cheap handle for other parts of the process.
#[derive(Clone)]
pub struct Handle {
    app: Arc<App>,
}

impl Portal {
    /// Opens the sessions.
    pub fn build(config: Config) -> Result<Self, Error> {
        let sessions = Sessions::open(&config.data)?;
        Ok(Portal {
            app: Arc::new(App {
                client: config.client,
                index: Index::default(),
                places: Places {
                    gateway: config.gateway,
                    ca: config.ca.display().to_string(),
                    git_url: config.git_url,
                },
                sessions,
                memory: access::Memory::default(),
                answers: idempotency::Answers::default(),
                public_url: config.public_url.trim_end_matches('/').to_owned(),
                version: config.version,
                deployer: config.deployer,
                stop: CancellationToken::new(),
                counts: Mutex::default(),
            }),
        })
    }

    /// Returns everything that is served: REST API, pages, health, metrics.
    pub fn router(&self) -> Router {
        let app = self.app.clone();
        Router::new()
            .nest("/api/v1", api::router().layer(middleware::from_fn_with_state(app.clone(), idempotency::once)))
            .merge(pages::router())
            .route("/health", get(ready))
            .route("/health/live", get(live))
            .route("/health/ready", get(ready))
            .route("/metrics", get(metrics))
            .fallback(nothing_here)
            .method_not_allowed_fallback(|| async { Problem::Method })
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .layer(middleware::from_fn_with_state(app.clone(), observe))
            .with_state(app)
    }

    /// Keeps up with the Kubernetes API until `stop` is cancelled.
    pub async fn run(&self, stop: CancellationToken) {
        let tasks = Tasks::new();
        let app = self.app.clone();
        tasks.spawn("portal watch", OnError::Log, async move {
            tokio::select! {
                ended = app.index.follow(app.client.clone()) => ended,
                () = app.stop.cancelled() => Ok::<(), Infallible>(()),
            }
        });
        stop.cancelled().await;
        self.app.stop.cancel();
        if !tasks.shut_down(PATIENCE).await {
            tracing::warn!("the portal's watch did not end in time");
        }
    }

    /// Returns a handle.
    pub fn handle(&self) -> Handle {
        Handle { app: self.app.clone() }
    }
}

impl Handle {
    /// Returns a link that logs its first visitor in as this user. It works once and for 15 minutes.
    pub fn login_link(&self, user: &str, groups: &[String]) -> Result<String, Error> {
        self.app.login_link(&User { name: user.to_owned(), groups: groups.to_vec(), uid: None })
    }
}

impl App {
    /// Returns a link that logs its first visitor in as `user`.
    pub(crate) fn login_link(&self, user: &User) -> Result<String, Error> {
        let secret = self.sessions.link(user, base::clock::now().as_second())?;
        Ok(format!("{}/login?link={secret}", self.public_url))
    }
}

async fn nothing_here(request: Request) -> Response {
    if request.uri().path().starts_with("/api/") {
        Problem::NoPath.into_response()
    } else {
        pages::problem_page(&Problem::NoPath, None)
    }
}

/// Counts requests and sets what every answer carries.
async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let method = request.method().to_string();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let mut response = next.run(request).await;
    *app.counts.lock().entry((method, route, response.status().as_u16())).or_default() += 1;
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn live() -> Json<serde_json::Value> {
    Json(json!({"status": "alive"}))
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let asked = tokio::time::timeout(PATIENCE, app.client.apiserver_version()).await;
    let (status, text) = match asked {
        Ok(Ok(_)) if app.index.complete() => (StatusCode::OK, "ready"),
        Ok(Ok(_)) => (StatusCode::SERVICE_UNAVAILABLE, "waiting for the first view of the cluster"),
        Ok(Err(_)) => (StatusCode::SERVICE_UNAVAILABLE, "the API server does not answer"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the API server answers too slowly"),
    };
    (status, Json(json!({"status": text, "version": app.version}))).into_response()
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut text = String::from(
        "# HELP http_requests_total Requests answered by the portal.\n# TYPE http_requests_total counter\n",
    );
    for ((method, route, status), count) in app.counts.lock().iter() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "http_requests_total{{method=\"{method}\",route=\"{route}\",status_code=\"{status}\"}} {count}"
        );
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
