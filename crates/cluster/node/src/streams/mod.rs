//! `exec`, `attach` and `port-forward` as the kubelet serves them: over WebSockets, and over
//! SPDY/3.1 for older clients.
//!
//! What the bytes on the wire mean is decided in the crate `streams`; the streams themselves
//! are the shim's. It never outlives the client's connection.

mod command;
mod ports;
mod spdy;
mod websocket;

use std::{future::Future, io, sync::Arc};

use ::streams::channel::Protocol;
use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts, Path, Query, Request, State, WebSocketUpgrade, ws::WebSocket},
    response::{IntoResponse, Response},
    routing::any,
};
use base::task::OnError;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;

use crate::{
    Error,
    handle::Handle,
    history,
    sandbox::Shim,
    shim::protocol::{Request as Ask, Streams},
};

/// Where older clients and servers agree on the streams' protocol.
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// Where a server names what it would have taken.
const ACCEPTED_PROTOCOLS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");
const SPDY: &str = "SPDY/3.1";
/// The largest WebSocket message, that of the kubelet.
const MESSAGE_LIMIT: usize = 32 << 20;

type Parameters = Query<Vec<(String, String)>>;

pub(crate) fn routes() -> Router<Handle> {
    Router::new()
        .route("/exec/{namespace}/{pod}/{container}", any(exec))
        .route("/attach/{namespace}/{pod}/{container}", any(attach))
        .route("/portForward/{namespace}/{pod}", any(port_forward))
}

async fn exec(
    State(handle): State<Handle>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(query): Parameters,
    request: Request,
) -> Response {
    let words: Vec<String> = query.iter().filter(|(name, _)| name == "command").map(|(_, word)| word.clone()).collect();
    if words.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "you must specify at least one command for the container");
    }
    let ask = |name, attempt, streams| Ask::Stream { name, attempt, command: words, streams };
    let words = "error executing command in container";
    command(&handle, (&namespace, &pod, container), &query, request, ask, words).await
}

async fn attach(
    State(handle): State<Handle>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(query): Parameters,
    request: Request,
) -> Response {
    let ask = |name, attempt, streams| Ask::Attach { name, attempt, streams };
    command(&handle, (&namespace, &pod, container), &query, request, ask, "error attaching to container").await
}

async fn command(
    handle: &Handle,
    (namespace, name, container): (&str, &str, String),
    query: &[(String, String)],
    request: Request,
    ask: impl FnOnce(String, u32, Streams) -> Ask,
    failing: &'static str,
) -> Response {
    let flag = |name: &str| query.iter().any(|(own, value)| own == name && value == "1");
    let tty = flag("tty");
    // A terminal has one output.
    let wanted = Streams { stdin: flag("input"), stdout: flag("output"), stderr: flag("error") && !tty, tty };
    if !wanted.stdin && !wanted.stdout && !wanted.stderr {
        return refuse(StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr");
    }
    let Some(pod) = handle.pod(namespace, name) else { return refuse(StatusCode::NOT_FOUND, "pod does not exist") };
    let attempt = match attempt(handle, &pod, &container) {
        Ok(Some(attempt)) => attempt,
        Ok(None) => {
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, &format!("container not found ({container:?})"));
        }
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    let upgrade = match Upgrade::of(request, command::WEBSOCKETS, command::SPDY).await {
        Ok(upgrade) => upgrade,
        Err(refused) => return refused,
    };
    let ask = ask(container, attempt, wanted);
    let shim = match shim(handle, &pod).streams(&ask).await {
        Ok(shim) => shim,
        Err(error) => {
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, &format!("{failing}: {}", words(&error)));
        }
    };
    upgrade.serve(handle, move |transport| command::serve(transport, shim, wanted, failing))
}

async fn port_forward(
    State(handle): State<Handle>,
    Path((namespace, name)): Path<(String, String)>,
    Query(query): Parameters,
    request: Request,
) -> Response {
    let Some(pod) = handle.pod(&namespace, &name) else { return refuse(StatusCode::NOT_FOUND, "pod does not exist") };
    if !shim(&handle, &pod).is_alive().unwrap_or(false) {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "pod is not running");
    }
    let asked: Vec<&str> = query.iter().filter(|(name, _)| name == "port").map(|(_, port)| port.as_str()).collect();
    let wanted = ports::read(&asked);
    let is_tunnel = wishes(request.headers()).iter().any(|wish| ports::tunnelled(wish).is_some());
    if is_websocket(request.headers())
        && !is_tunnel
        && let Err(why) = &wanted
    {
        return refuse(StatusCode::BAD_REQUEST, why);
    }
    let upgrade = match Upgrade::of(request, ports::WEBSOCKETS, ports::SPDY).await {
        Ok(upgrade) => upgrade,
        Err(refused) => return refused,
    };
    let target = ports::Target { shim: shim(&handle, &pod), uid: pod.metadata.uid.clone().unwrap_or_default() };
    upgrade.serve(&handle, move |transport| ports::serve(transport, target, wanted.unwrap_or_default()))
}

fn shim(handle: &Handle, pod: &Pod) -> Shim {
    Shim::of(&handle.dir.join("pods").join(pod.metadata.uid.as_deref().unwrap_or_default()))
}

/// Returns the attempt of a container that was begun last.
fn attempt(handle: &Handle, pod: &Arc<Pod>, container: &str) -> Result<Option<u32>, Error> {
    let spec = pod.spec.iter();
    let mut known = spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    if !known.any(|own| own.name == container) {
        return Ok(None);
    }
    let dir = handle.dir.join("pods").join(pod.metadata.uid.as_deref().unwrap_or_default());
    Ok(history::read(&dir.join("c").join(container))?.last.map(|last| last.number))
}

/// Returns what a shim said, without who said it.
fn words(error: &Error) -> String {
    match error {
        Error::Shim { why, .. } => why.clone(),
        other => crate::error::say(other),
    }
}

fn refuse(code: StatusCode, why: &str) -> Response {
    (code, format!("{why}\n")).into_response()
}

/// How the client's bytes come.
pub(super) enum Transport {
    /// As messages of a WebSocket.
    WebSocket(WebSocket, &'static Protocol),
    /// As SPDY frames in the messages of a WebSocket.
    Tunnel(WebSocket),
    /// As SPDY frames.
    Spdy(TokioIo<hyper::upgrade::Upgraded>, &'static str),
}

/// A request whose connection will carry streams.
struct Upgrade {
    agreed: Agreed,
    /// Kept until the streams are over: whoever handed the request on may wait for that.
    kept: Extensions,
}

enum Agreed {
    WebSocket(WebSocketUpgrade, Option<&'static Protocol>, String),
    Spdy(OnUpgrade, &'static str),
}

impl Upgrade {
    /// Agrees with the client on a protocol, or returns the answer that refuses it.
    async fn of(
        request: Request,
        websockets: &'static [Protocol],
        spdy: &'static [&'static str],
    ) -> Result<Upgrade, Response> {
        let (mut parts, _) = request.into_parts();
        if is_websocket(&parts.headers) {
            let wishes = wishes(&parts.headers);
            let tunnelled = wishes.iter().find(|wish| {
                ports::tunnelled(wish).is_some_and(|inner| spdy.contains(&inner) && inner == ports::SPDY[0])
            });
            let protocol = Protocol::choose(websockets, &wishes);
            let name = match (tunnelled, protocol) {
                (Some(name), _) => name.clone(),
                (None, Some(protocol)) => protocol.name.to_owned(),
                (None, None) => return Err(StatusCode::FORBIDDEN.into_response()),
            };
            let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &())
                .await
                .map_err(IntoResponse::into_response)?
                .max_message_size(MESSAGE_LIMIT)
                .max_frame_size(MESSAGE_LIMIT);
            let agreed = Agreed::WebSocket(upgrade, protocol.filter(|_| tunnelled.is_none()), name);
            return Ok(Upgrade { agreed, kept: parts.extensions });
        }
        let chosen = negotiate(&parts.headers, spdy).map_err(|refused| *refused)?;
        if !is_spdy(&parts) {
            return Err(refuse(StatusCode::BAD_REQUEST, "unable to upgrade: missing upgrade headers in request"));
        }
        match parts.extensions.remove::<OnUpgrade>() {
            Some(upgrade) => Ok(Upgrade { agreed: Agreed::Spdy(upgrade, chosen), kept: parts.extensions }),
            None => Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, "unable to upgrade: unable to hijack response")),
        }
    }

    /// Answers the client, and serves its streams until they are over or the node stops.
    fn serve<F>(self, handle: &Handle, serve: impl FnOnce(Transport) -> F + Send + 'static) -> Response
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let (tasks, stop) = (handle.tasks.clone(), handle.tasks.stop());
        let Upgrade { agreed, kept } = self;
        let run = move |work: F| {
            tasks.spawn("serve a client's streams", OnError::Log, async move {
                let _kept = kept;
                tokio::select! {
                    () = stop.cancelled() => {}
                    result = work => {
                        // A client that hangs up is its own affair.
                        if let Err(error) = result {
                            tracing::debug!(%error, "a client's streams ended early");
                        }
                    }
                }
                Ok::<(), std::convert::Infallible>(())
            });
        };
        match agreed {
            Agreed::WebSocket(upgrade, protocol, name) => {
                let upgrade = if name.is_empty() { upgrade } else { upgrade.protocols([name]) };
                upgrade.on_upgrade(move |socket| {
                    run(serve(match protocol {
                        Some(protocol) => Transport::WebSocket(socket, protocol),
                        None => Transport::Tunnel(socket),
                    }));
                    std::future::ready(())
                })
            }
            Agreed::Spdy(upgrade, protocol) => {
                let tasks = handle.tasks.clone();
                tasks.spawn("take over a client's connection", OnError::Log, async move {
                    if let Ok(connection) = upgrade.await {
                        run(serve(Transport::Spdy(TokioIo::new(connection), protocol)));
                    }
                    Ok::<(), std::convert::Infallible>(())
                });
                let mut answer = Response::new(Body::empty());
                *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
                answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(SPDY));
                answer.headers_mut().insert(STREAM_PROTOCOL, HeaderValue::from_static(protocol));
                answer
            }
        }
    }
}

/// Chooses the first of the client's protocols that is known here.
fn negotiate(headers: &HeaderMap, known: &'static [&'static str]) -> Result<&'static str, Box<Response>> {
    if !headers.contains_key(STREAM_PROTOCOL) {
        let why = format!(
            "unable to upgrade: header X-Stream-Protocol-Version does not exist in request with {} headers",
            headers.len()
        );
        return Err(refuse(StatusCode::BAD_REQUEST, &why).into());
    }
    let wishes = list(headers, STREAM_PROTOCOL);
    if let Some(chosen) = wishes.iter().find_map(|wish| known.iter().find(|known| *known == wish)) {
        return Ok(chosen);
    }
    let why = format!(
        "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]",
        wishes.join(" "),
        known.join(" ")
    );
    let mut refused = refuse(StatusCode::FORBIDDEN, &why);
    for name in known {
        refused.headers_mut().append(ACCEPTED_PROTOCOLS, HeaderValue::from_static(name));
    }
    Err(refused.into())
}

/// Returns the WebSocket protocols that a client wishes for, in its order.
fn wishes(headers: &HeaderMap) -> Vec<String> {
    list(headers, header::SEC_WEBSOCKET_PROTOCOL)
}

fn list(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|wish| wish.trim().to_owned())
        .filter(|wish| !wish.is_empty())
        .collect()
}

fn upgrades_to(headers: &HeaderMap, protocol: &str) -> bool {
    let has =
        |name: HeaderName, wanted: &str| list(headers, name).iter().any(|value| value.eq_ignore_ascii_case(wanted));
    has(header::CONNECTION, "upgrade") && has(header::UPGRADE, protocol)
}

fn is_websocket(headers: &HeaderMap) -> bool {
    upgrades_to(headers, "websocket")
}

fn is_spdy(parts: &Parts) -> bool {
    upgrades_to(&parts.headers, SPDY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_first_protocol_that_both_know_is_taken_and_others_are_refused_by_name() {
        let asked = headers(&[("x-stream-protocol-version", "v9.channel.k8s.io, v4.channel.k8s.io")]);
        assert_eq!(negotiate(&asked, command::SPDY).unwrap(), "v4.channel.k8s.io");
        let refused = negotiate(&headers(&[("x-stream-protocol-version", "v9")]), command::SPDY).unwrap_err();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        assert_eq!(refused.headers().get_all(ACCEPTED_PROTOCOLS).iter().count(), 4);
        assert_eq!(negotiate(&HeaderMap::new(), command::SPDY).unwrap_err().status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn an_upgrade_is_asked_for_in_two_headers() {
        assert!(is_websocket(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")])));
        assert!(!is_websocket(&headers(&[("upgrade", "websocket")])));
        assert!(upgrades_to(&headers(&[("connection", "Upgrade"), ("upgrade", "SPDY/3.1")]), SPDY));
    }
}
