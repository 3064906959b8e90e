//! Blobs of repositories: reading with ranges, uploads in one or many pieces, mounts.

use std::{io::SeekFrom, time::Duration};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use futures::StreamExt;
use http::{HeaderValue, Method, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::{Access, Action, Call, Shared, allow, failure::Failure, parking::Parked};
use crate::{Digest, Error, Upload, reference};

/// How many uploads may be open.
const UPLOADS: usize = 1024;
/// How long an upload waits for its next piece.
const PATIENCE: Duration = Duration::from_hours(1);

/// `/v2/<name>/blobs/<digest>`.
pub(super) async fn blob<A: Access>(
    shared: &Shared<A>,
    call: Call,
    name: &str,
    digest: Digest,
) -> Result<Response, Failure> {
    let unknown = || Failure::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", format!("{name} has no blob {digest}"));
    if !shared.store.has_blob(name, &digest)? {
        return Err(unknown());
    }
    match call.method {
        Method::HEAD => {
            let length = shared.store.blob_length(&digest).ok_or_else(unknown)?;
            respond(StatusCode::OK, &digest, length, None, Body::empty())
        }
        Method::GET => read(shared, call.headers.get(header::RANGE), digest).await,
        Method::DELETE => {
            shared.store.unlink_blob(name, &digest)?;
            build(Response::builder().status(StatusCode::ACCEPTED), Body::empty())
        }
        _ => Err(Failure::not_allowed()),
    }
}

async fn read<A: Access>(shared: &Shared<A>, range: Option<&HeaderValue>, digest: Digest) -> Result<Response, Failure> {
    let (store, checked) = (shared.store.clone(), digest.clone());
    let length = blocking(move || store.check_blob(&checked)).await.map_err(|failure| match failure {
        // The client's request is right; our content is not.
        Blocked::Failed(Error::DigestMismatch { .. }) => {
            tracing::error!(%digest, "a blob is damaged on disk; push its image again to heal it");
            let text = "this content is damaged on the registry's disk: push it again";
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "DIGEST_INVALID", text)
        }
        other => other.into(),
    })?;
    let path = shared.store.blob_path(&digest);
    let opened = tokio::fs::File::open(&path).await;
    let mut file = opened.map_err(Error::disk("open", &path))?;
    let Some(range) = range.and_then(|value| value.to_str().ok()) else {
        return respond(
            StatusCode::OK,
            &digest,
            length,
            None,
            Body::from_stream(ReaderStream::with_capacity(file, 1 << 16)),
        );
    };
    let Some((from, to)) = parse_range(range, length) else {
        let text = format!("the range {range:?} is not within {length} bytes");
        return Err(Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", text));
    };
    file.seek(SeekFrom::Start(from)).await.map_err(Error::disk("read", &path))?;
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(to - from + 1), 1 << 16));
    respond(StatusCode::PARTIAL_CONTENT, &digest, to - from + 1, Some(format!("bytes {from}-{to}/{length}")), body)
}

/// Returns the first and last byte of a single range, or `None` if there is none such.
pub(super) fn parse_range(text: &str, length: u64) -> Option<(u64, u64)> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let last = length.checked_sub(1)?;
    let (from, to) = match (from, to) {
        ("", suffix) => (length.saturating_sub(suffix.parse().ok()?), last),
        (from, "") => (from.parse().ok()?, last),
        (from, to) => (from.parse().ok()?, to.parse::<u64>().ok()?.min(last)),
    };
    (from <= to).then_some((from, to))
}

fn respond(
    status: StatusCode,
    digest: &Digest,
    length: u64,
    range: Option<String>,
    body: Body,
) -> Result<Response, Failure> {
    let mut builder = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_LENGTH, length)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, format!("\"{digest}\""))
        .header("docker-content-digest", digest.to_string());
    if let Some(range) = range {
        builder = builder.header(header::CONTENT_RANGE, range);
    }
    build(builder, body)
}

/// `POST /v2/<name>/blobs/uploads/`: begins an upload, takes a whole blob, or mounts one.
pub(super) async fn begin<A: Access>(shared: &Shared<A>, call: Call, name: &str) -> Result<Response, Failure> {
    if call.method != Method::POST {
        return Err(Failure::not_allowed());
    }
    if !reference::is_repository(name) {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            "NAME_INVALID",
            format!("{name:?} is not a repository name"),
        ));
    }
    if let (Some(digest), Some(from)) = (call.query("mount"), call.query("from")) {
        let digest = Digest::parse(digest)?;
        // Mounting reads the other repository: who may not pull from it gets an upload, as the specification says.
        let may_read = allow(shared, &call.headers, Some(from.to_owned()), Action::Pull).await.is_ok();
        if may_read && reference::is_repository(from) && shared.store.has_blob(from, &digest)? {
            shared.store.link_blob(name, &digest)?;
            return created(name, &digest);
        }
    }
    let upload = shared.store.upload()?;
    if let Some(digest) = call.query("digest") {
        let digest = Digest::parse(digest)?;
        let upload = receive(upload, call.body, shared.settings.blob_limit).await?;
        return finish(shared, upload, name, digest).await;
    }
    let id = uuid::Uuid::new_v4().to_string();
    let now = base::clock::instant();
    let mut sessions = shared.sessions.lock().await;
    sessions.retain(|_, parked| now.duration_since(parked.touched) < PATIENCE);
    if sessions.len() >= UPLOADS {
        return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "too many uploads are open"));
    }
    sessions.insert(id.clone(), Parked { repository: name.to_owned(), upload, touched: now });
    drop(sessions);
    progress(StatusCode::ACCEPTED, name, &id, 0)
}

/// `/v2/<name>/blobs/uploads/<id>`: the next piece, the end, the state, or the giving up of an upload.
pub(super) async fn go_on<A: Access>(
    shared: &Shared<A>,
    call: Call,
    name: &str,
    id: &str,
) -> Result<Response, Failure> {
    let unknown = || Failure::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "there is no such upload");
    let mut sessions = shared.sessions.lock().await;
    let parked = sessions.get(id).filter(|parked| parked.repository == name).ok_or_else(unknown)?;
    let length = parked.upload.length();
    if call.method == Method::GET {
        return progress(StatusCode::NO_CONTENT, name, id, length);
    }
    if let Some(range) = call.headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok()) {
        let start = range.trim_start_matches("bytes ").split('-').next().and_then(|text| text.parse::<u64>().ok());
        if start != Some(length) {
            let text = format!("the next piece begins at {length}");
            return Err(Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", text));
        }
    }
    // Taken out while it is written: a second piece at the same time is refused, a broken one ends the upload.
    let Some(parked) = sessions.remove(id) else { return Err(unknown()) };
    drop(sessions);
    match call.method {
        Method::DELETE => build(Response::builder().status(StatusCode::NO_CONTENT), Body::empty()),
        Method::PATCH => {
            let upload = receive(parked.upload, call.body, shared.settings.blob_limit).await?;
            let length = upload.length();
            let parked = Parked { upload, touched: base::clock::instant(), ..parked };
            shared.sessions.lock().await.insert(id.to_owned(), parked);
            progress(StatusCode::ACCEPTED, name, id, length)
        }
        Method::PUT => {
            let digest = call.query("digest").ok_or_else(|| {
                Failure::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "the end of an upload names its digest")
            })?;
            let digest = Digest::parse(digest)?;
            let upload = receive(parked.upload, call.body, shared.settings.blob_limit).await?;
            finish(shared, upload, name, digest).await
        }
        _ => Err(Failure::not_allowed()),
    }
}

/// Writes a request's body to the end of an upload.
async fn receive(mut upload: Upload, body: Body, limit: u64) -> Result<Upload, Failure> {
    let mut stream = body.into_data_stream();
    while let Some(piece) = stream.next().await {
        let piece: Bytes = piece.map_err(|error| {
            Failure::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", format!("the body was cut off: {error}"))
        })?;
        if upload.length() + piece.len() as u64 > limit {
            return Err(Error::TooLarge { what: "a blob", limit }.into());
        }
        upload = blocking(move || upload.write(&piece).map(|()| upload)).await?;
    }
    Ok(upload)
}

async fn finish<A: Access>(
    shared: &Shared<A>,
    upload: Upload,
    name: &str,
    digest: Digest,
) -> Result<Response, Failure> {
    let (store, repository, expected) = (shared.store.clone(), name.to_owned(), digest.clone());
    blocking(move || {
        upload.finish(Some(&expected))?;
        store.link_blob(&repository, &expected)
    })
    .await?;
    created(name, &digest)
}

/// Why work on a thread for blocking calls gave no value.
enum Blocked {
    Failed(Error),
    CutOff,
}

impl From<Blocked> for Failure {
    fn from(blocked: Blocked) -> Self {
        match blocked {
            Blocked::Failed(error) => error.into(),
            Blocked::CutOff => Failure::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "the registry is stopping"),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Blocked> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Blocked::Failed),
        Err(_) => Err(Blocked::CutOff),
    }
}

fn created(name: &str, digest: &Digest) -> Result<Response, Failure> {
    let builder = Response::builder()
        .status(StatusCode::CREATED)
        .header(header::LOCATION, format!("/v2/{name}/blobs/{digest}"))
        .header("docker-content-digest", digest.to_string());
    build(builder, Body::empty())
}

fn progress(status: StatusCode, name: &str, id: &str, length: u64) -> Result<Response, Failure> {
    let builder = Response::builder()
        .status(status)
        .header(header::LOCATION, format!("/v2/{name}/blobs/uploads/{id}"))
        .header(header::RANGE, format!("0-{}", length.saturating_sub(1)))
        .header("docker-upload-uuid", id);
    build(builder, Body::empty())
}

fn build(builder: http::response::Builder, body: Body) -> Result<Response, Failure> {
    builder.body(body).map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", error.to_string()))
}
