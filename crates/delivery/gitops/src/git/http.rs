//! git's smart HTTP protocol: fetch and push, streamed through `git upload-pack` and `git receive-pack`.
//!
//! Who may do what is the API server's to say: verb `get` (fetch) or `update` (push) on `repositories` in group
//! `platform.io`, by name.

#![expect(clippy::result_large_err, reason = "the refusal is an answer, made once per request")]

use std::{io, process::Stdio};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base::{
    fault::Chain,
    task::{OnError, Tasks},
};
use client::access::{self, Wish};
use futures::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Child,
    sync::mpsc,
};

use super::{Host, Name};

/// Largest packed request body, unpacked; packs of a push come unpacked and are streamed.
const MAX_GZIP: u64 = 32 << 20;

#[derive(Clone)]
struct Service {
    host: Host,
    client: kube::Client,
    tasks: Tasks,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pack {
    Upload,
    Receive,
}

impl Pack {
    fn parse(service: &str) -> Option<Self> {
        match service {
            "git-upload-pack" => Some(Pack::Upload),
            "git-receive-pack" => Some(Pack::Receive),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Pack::Upload => "upload-pack",
            Pack::Receive => "receive-pack",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Pack::Upload => "get",
            Pack::Receive => "update",
        }
    }
}

/// Returns the routes below `/git/`. `tasks` run the children, so that a push whose client left is still finished.
pub fn router(host: Host, client: kube::Client, tasks: Tasks) -> Router {
    Router::new()
        .route("/git/{name}/info/refs", get(advertise))
        .route("/git/{name}/git-upload-pack", post(upload))
        .route("/git/{name}/git-receive-pack", post(receive))
        .with_state(Service { host, client, tasks })
}

#[derive(serde::Deserialize)]
struct Wanted {
    #[serde(default)]
    service: String,
}

async fn advertise(
    State(service): State<Service>,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    let Some(pack) = Pack::parse(&wanted.service) else {
        return plain(StatusCode::FORBIDDEN, "The dumb HTTP protocol is not served: use git 1.6.6 or newer.");
    };
    let name = match service.admit(&headers, &name, pack).await {
        Ok(name) => name,
        Err(refusal) => return refusal,
    };
    let mut child = match service.start(&name, pack, &headers, &["--advertise-refs"]) {
        Ok(child) => child,
        Err(refusal) => return refusal,
    };
    drop(child.stdin.take());
    let output = match child.wait_with_output().await {
        Ok(output) if output.status.success() => output,
        Ok(output) => return broken(&name, &String::from_utf8_lossy(&output.stderr)),
        Err(error) => return broken(&name, &error.to_string()),
    };
    let mut body = Vec::new();
    if !headers.get("git-protocol").is_some_and(|value| value.as_bytes().windows(9).any(|part| part == b"version=2")) {
        let line = format!("# service=git-{}\n", pack.name());
        body.extend_from_slice(format!("{:04x}{line}0000", line.len() + 4).as_bytes());
    }
    body.extend_from_slice(&output.stdout);
    answer(&format!("application/x-git-{}-advertisement", pack.name()), Body::from(body))
}

async fn upload(State(service): State<Service>, Path(name): Path<String>, request: Request) -> Response {
    service.serve(&name, Pack::Upload, request).await
}

async fn receive(State(service): State<Service>, Path(name): Path<String>, request: Request) -> Response {
    service.serve(&name, Pack::Receive, request).await
}

impl Service {
    /// Returns the repository if the caller may use it so, or the answer that refuses.
    async fn admit(&self, headers: &HeaderMap, name: &str, pack: Pack) -> Result<Name, Response> {
        let Some(token) = access::credential(headers) else { return Err(unauthorized("Log in with a token.")) };
        let user = match access::authenticate(&self.client, &token).await {
            Ok(Some(user)) => user,
            Ok(None) => return Err(unauthorized("This token is not valid, or not valid any more.")),
            Err(error) => return Err(unavailable(&error)),
        };
        let Ok(name) = Name::parse(name.strip_suffix(".git").unwrap_or(name)) else {
            return Err(plain(StatusCode::NOT_FOUND, "There is no such repository."));
        };
        let wish = Wish {
            verb: pack.verb(),
            group: "platform.io",
            resource: "repositories",
            namespace: "",
            name: name.as_str(),
        };
        match access::allowed(&self.client, &user, wish).await {
            Ok(true) => {}
            Ok(false) => {
                let what = if pack == Pack::Receive { "push to" } else { "read" };
                let text = format!(
                    "{} may not {what} repository {name}: it takes verb {} on repositories.platform.io.",
                    user.name,
                    pack.verb()
                );
                return Err(plain(StatusCode::FORBIDDEN, &text));
            }
            Err(error) => return Err(unavailable(&error)),
        }
        if self.host.exists(&name) {
            Ok(name)
        } else {
            Err(plain(StatusCode::NOT_FOUND, &format!("There is no repository {name}.")))
        }
    }

    fn start(&self, name: &Name, pack: Pack, headers: &HeaderMap, args: &[&str]) -> Result<Child, Response> {
        let git = self.host.git(name).map_err(|error| broken(name, &error.to_string()))?;
        let mut command = git.command();
        if let Some(protocol) = headers.get("git-protocol").and_then(|value| value.to_str().ok())
            && protocol.len() <= 100
            && protocol.bytes().all(|b| b.is_ascii_alphanumeric() || b"=:.-".contains(&b))
        {
            command.env("GIT_PROTOCOL", protocol);
        }
        command.arg(pack.name()).arg("--stateless-rpc").args(args).arg(git.path()).stdin(Stdio::piped());
        command.spawn().map_err(|error| broken(name, &error.to_string()))
    }

    async fn serve(&self, name: &str, pack: Pack, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let name = match self.admit(&parts.headers, name, pack).await {
            Ok(name) => name,
            Err(refusal) => return refusal,
        };
        let body = match unpacked(&parts.headers, body).await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let child = match self.start(&name, pack, &parts.headers, &[]) {
            Ok(child) => child,
            Err(refusal) => return refusal,
        };
        let (chunks, mut answers) = mpsc::channel::<io::Result<Bytes>>(16);
        let host = self.host.clone();
        self.tasks.spawn("git service", OnError::Log, async move {
            let result = pump(child, body, &chunks, pack).await;
            if pack == Pack::Receive {
                // Also after a failure: some branches may have moved.
                host.changed(&name);
            }
            if let Err(error) = &result {
                // If the client is gone it does not want the answer any more.
                let _gone = chunks.send(Err(io::Error::other(error.clone()))).await;
            }
            result
        });
        let stream = futures::stream::poll_fn(move |context| answers.poll_recv(context));
        answer(&format!("application/x-git-{}-result", pack.name()), Body::from_stream(stream))
    }
}

/// Feeds the child and passes on what it says until it ends.
async fn pump(
    mut child: Child,
    body: Body,
    chunks: &mpsc::Sender<io::Result<Bytes>>,
    pack: Pack,
) -> Result<(), String> {
    let (Some(mut stdin), Some(mut stdout), Some(mut stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err("git was started without pipes".to_owned());
    };
    let feed = async move {
        let mut body = body.into_data_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| format!("the client's request broke off: {error}"))?;
            // A child that has heard enough closes its end; it says itself whether that was an error.
            if stdin.write_all(&chunk).await.is_err() {
                return Ok(());
            }
        }
        let _closed = stdin.shutdown().await;
        Ok::<(), String>(())
    };
    let tell = async {
        loop {
            let mut chunk = Vec::with_capacity(64 << 10);
            match stdout.read_buf(&mut chunk).await {
                Ok(0) => return Ok(()),
                Ok(_) if chunks.send(Ok(Bytes::from(chunk))).await.is_ok() => {}
                // The client left. A push is finished all the same, a fetch is not.
                Ok(_) if pack == Pack::Receive => {}
                Ok(_) => return Err("the client left".to_owned()),
                Err(error) => return Err(format!("git's answer cannot be read: {error}")),
            }
        }
    };
    let mut said = Vec::new();
    let listen = async { (&mut stderr).take(64 << 10).read_to_end(&mut said).await.map_err(|error| error.to_string()) };
    let (fed, told, listened) = tokio::join!(feed, tell, listen);
    fed?;
    told?;
    listened?;
    let status = child.wait().await.map_err(|error| format!("git's end cannot be awaited: {error}"))?;
    if status.success() || pack == Pack::Upload {
        return Ok(());
    }
    Err(format!("git {} failed: {}", pack.name(), String::from_utf8_lossy(&said).trim()))
}

async fn unpacked(headers: &HeaderMap, body: Body) -> Result<Body, Response> {
    match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(body),
        Some(b"gzip" | b"x-gzip") => {
            let packed = axum::body::to_bytes(body, MAX_GZIP as usize)
                .await
                .map_err(|_| plain(StatusCode::PAYLOAD_TOO_LARGE, "The packed request is too large."))?;
            let mut unpacked = Vec::new();
            let mut decoder = io::Read::take(flate2::read::GzDecoder::new(&packed[..]), MAX_GZIP + 1);
            match io::Read::read_to_end(&mut decoder, &mut unpacked) {
                Ok(size) if size as u64 <= MAX_GZIP => Ok(Body::from(unpacked)),
                Ok(_) => Err(plain(StatusCode::PAYLOAD_TOO_LARGE, "The request is too large.")),
                Err(_) => Err(plain(StatusCode::BAD_REQUEST, "The request is not gzip as it says.")),
            }
        }
        Some(_) => Err(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Only gzip is understood as Content-Encoding.")),
    }
}

fn answer(content_type: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, max-age=0, must-revalidate"));
    response
}

/// git shows a text/plain body of an error to its user.
fn plain(status: StatusCode, text: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}

fn unauthorized(text: &str) -> Response {
    let mut response = plain(StatusCode::UNAUTHORIZED, text);
    let challenge = HeaderValue::from_static("Basic realm=\"Roadstead: any user name, a token as password\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn unavailable(error: &access::Error) -> Response {
    tracing::warn!(error = %Chain(error), "a git request could not be authorized");
    plain(StatusCode::SERVICE_UNAVAILABLE, "The API server does not answer; try again.")
}

fn broken(name: &Name, message: &str) -> Response {
    tracing::error!(repository = %name, message, "git failed");
    plain(StatusCode::INTERNAL_SERVER_ERROR, "git failed on the platform's side; the log says more.")
}
