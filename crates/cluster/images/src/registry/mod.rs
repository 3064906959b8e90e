//! The OCI distribution API, version 1.1, over the store: pull and push.
//!
//! Who may do what is asked of an [`Access`], which the binary makes; everything is
//! refused that it does not allow. The registry never lists or serves content of a
//! repository that was not pushed to it or mounted into it.

mod blobs;
mod failure;
mod manifests;

use std::{collections::HashMap, future::Future, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    response::{IntoResponse, Response},
    routing::any,
};
use http::{HeaderMap, Method, StatusCode, header};
use parking::Sessions;
use serde_json::json;

use self::failure::Failure;
use crate::{Digest, Store, Target};

/// What somebody wants to do with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read.
    Pull,
    /// Write or delete.
    Push,
}

/// What an [`Access`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They may.
    Allow,
    /// It is not known who they are; they are asked for credentials.
    Unauthenticated,
    /// They may not.
    Denied,
    /// It could not be found out; they should try again.
    Unavailable,
}

/// Decides who may do what. Closures of this shape are one.
pub trait Access: Clone + Send + Sync + 'static {
    /// Decides whether the sender of `headers` may do `action` with `repository`, or with the registry as a whole if there is none.
    fn check(
        &self,
        headers: HeaderMap,
        repository: Option<String>,
        action: Action,
    ) -> impl Future<Output = Verdict> + Send;
}

impl<F, R> Access for F
where
    F: Fn(HeaderMap, Option<String>, Action) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Verdict> + Send,
{
    fn check(
        &self,
        headers: HeaderMap,
        repository: Option<String>,
        action: Action,
    ) -> impl Future<Output = Verdict> + Send {
        self(headers, repository, action)
    }
}

/// Bounds of what is taken.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The largest blob, in bytes.
    pub blob_limit: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { blob_limit: 10 << 30 }
    }
}

mod parking {
    //! Uploads between two requests.

    use std::collections::HashMap;

    use tokio::sync::Mutex;

    use crate::Upload;

    /// An upload that waits for its next piece; taken out while a piece is written.
    pub(super) struct Parked {
        pub(super) repository: String,
        pub(super) upload: Upload,
        pub(super) touched: tokio::time::Instant,
    }

    /// Uploads by their id.
    pub(super) type Sessions = Mutex<HashMap<String, Parked>>;
}

struct Shared<A> {
    store: Store,
    access: A,
    settings: Settings,
    sessions: Sessions,
}

/// One request, allowed and taken apart.
struct Call {
    method: Method,
    headers: HeaderMap,
    query: HashMap<String, String>,
    body: Body,
}

impl Call {
    fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }
}

/// Returns the registry's routes, all below `/v2`, with the default bounds.
pub fn router(store: Store, access: impl Access) -> Router {
    router_with(store, access, Settings::default())
}

/// Returns the registry's routes with other bounds.
pub fn router_with<A: Access>(store: Store, access: A, settings: Settings) -> Router {
    let shared = Arc::new(Shared { store, access, settings, sessions: Sessions::new(HashMap::new()) });
    Router::new()
        .route("/v2", any(handle::<A>))
        .route("/v2/", any(handle::<A>))
        .route("/v2/{*path}", any(handle::<A>))
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

async fn handle<A: Access>(State(shared): State<Arc<Shared<A>>>, request: Request) -> Response {
    let head = request.method() == Method::HEAD;
    let mut response = match route(&shared, request).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    };
    if head && response.status().is_client_error() {
        *response.body_mut() = Body::empty();
    }
    response.headers_mut().insert("docker-distribution-api-version", header::HeaderValue::from_static("registry/2.0"));
    response
}

async fn route<A: Access>(shared: &Shared<A>, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let query =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), decode(v))).collect();
    let path = parts.uri.path().trim_start_matches("/v2").trim_start_matches('/').to_owned();
    let place = Place::parse(&path, &parts.method);
    let action = if matches!(parts.method, Method::GET | Method::HEAD) { Action::Pull } else { Action::Push };
    let repository = match &place {
        Some(place) => place.repository(),
        None => None,
    };
    allow(shared, &parts.headers, repository.map(str::to_owned), action).await?;
    let call = Call { method: parts.method, headers: parts.headers, query, body };
    match place.ok_or_else(Failure::no_such_path)? {
        Place::Base => Ok(axum::Json(json!({})).into_response()),
        Place::Catalog => manifests::catalog(shared, &call),
        Place::Tags(name) => manifests::tags(shared, &call, name),
        Place::Referrers(name, digest) => manifests::referrers(shared, &call, name, &Digest::parse(digest)?),
        Place::Manifest(name, reference) => manifests::manifest(shared, call, name, Target::parse(reference)?).await,
        Place::Blob(name, digest) => blobs::blob(shared, call, name, Digest::parse(digest)?).await,
        Place::Uploads(name) => blobs::begin(shared, call, name).await,
        Place::Upload(name, id) => blobs::go_on(shared, call, name, id).await,
    }
}

async fn allow<A: Access>(
    shared: &Shared<A>,
    headers: &HeaderMap,
    repository: Option<String>,
    action: Action,
) -> Result<(), Failure> {
    match shared.access.check(headers.clone(), repository, action).await {
        Verdict::Allow => Ok(()),
        Verdict::Unauthenticated => Err(Failure::unauthorized()),
        Verdict::Denied => {
            Err(Failure::new(StatusCode::FORBIDDEN, "DENIED", "requested access to the resource is denied"))
        }
        Verdict::Unavailable => Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "UNAVAILABLE",
            "access cannot be checked at the moment: try again",
        )),
    }
}

/// What a path names.
#[derive(Debug, PartialEq)]
enum Place<'a> {
    Base,
    Catalog,
    Tags(&'a str),
    Referrers(&'a str, &'a str),
    Manifest(&'a str, &'a str),
    Blob(&'a str, &'a str),
    Uploads(&'a str),
    Upload(&'a str, &'a str),
}

impl<'a> Place<'a> {
    /// A repository's name may hold any of the words that follow it, so the path is read from its end.
    fn parse(path: &'a str, method: &Method) -> Option<Self> {
        if path.is_empty() {
            return Some(Self::Base);
        }
        if path == "_catalog" {
            return (*method == Method::GET).then_some(Self::Catalog);
        }
        if let Some(name) = path.strip_suffix("/tags/list") {
            return Some(Self::Tags(name));
        }
        if let Some(name) = path.strip_suffix("/blobs/uploads/").or_else(|| path.strip_suffix("/blobs/uploads")) {
            return Some(Self::Uploads(name));
        }
        let (rest, last) = path.rsplit_once('/')?;
        if let Some(name) = rest.strip_suffix("/blobs/uploads") {
            return Some(Self::Upload(name, last));
        }
        if let Some(name) = rest.strip_suffix("/manifests") {
            return Some(Self::Manifest(name, last));
        }
        if let Some(name) = rest.strip_suffix("/blobs") {
            return Some(Self::Blob(name, last));
        }
        rest.strip_suffix("/referrers").map(|name| Self::Referrers(name, last))
    }

    fn repository(&self) -> Option<&'a str> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::Tags(name)
            | Self::Uploads(name)
            | Self::Referrers(name, _)
            | Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Upload(name, _) => Some(name),
        }
    }
}

/// Decodes `%xx`; a digest's `:` comes so.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = (first == b'%').then(|| tail.get(..2).and_then(|pair| hex::decode(pair).ok())).flatten();
        match hex {
            Some(byte) => {
                bytes.extend(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
