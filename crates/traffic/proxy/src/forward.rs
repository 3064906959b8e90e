//! One request: which rule, which endpoint, what is changed, and what becomes of a failure.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use routes::{Action, Rule, Scheme, Target};

use crate::{
    answer::{Why, failed, redirect},
    body::{Answered, Sent},
    headers,
    live::Live,
    pool::{Lease, Wanted},
    worker::Worker,
};

/// Endpoints tried for one request.
const MOST_TRIES: usize = 4;

/// The connection that a request came on.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) peer: SocketAddr,
    pub(crate) scheme: Scheme,
}

/// Answers a request; never fails: what goes wrong becomes an answer that says so.
pub(crate) async fn handle(worker: &Rc<Worker>, origin: Origin, request: Request<Incoming>) -> Response<Answered> {
    let started = base::clock::instant();
    let live = worker.shared.live();
    let version = request.version();
    let outcome = route(worker, &live, origin, request).await;
    let (mut response, destination) = match outcome {
        Ok((response, destination)) => (response, destination),
        Err((why, destination)) => {
            tracing::debug!(peer = %origin.peer, ?why, "a request was not answered by an endpoint");
            (failed(&why), destination)
        }
    };
    let destination = destination.and_then(|index| live.names.get(index)).unwrap_or(&worker.nowhere);
    worker.meter.count(destination, response.status().as_u16(), started.elapsed());
    if version < Version::HTTP_2
        && worker.shared.leaving.is_cancelled()
        && response.status() != StatusCode::SWITCHING_PROTOCOLS
    {
        // Its next request shall find the successor.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

type Outcome = Result<(Response<Answered>, Option<usize>), (Why, Option<usize>)>;

async fn route(worker: &Rc<Worker>, live: &Live, origin: Origin, request: Request<Incoming>) -> Outcome {
    let Some(authority) = authority(&request) else {
        return Err((Why::Refused("the request names no host"), None));
    };
    if request.method() == Method::CONNECT {
        return Err((Why::Refused("CONNECT is not served"), None));
    }
    let host = bare_host(authority.to_str().unwrap_or_default());
    let rule = {
        let found = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        live.snapshot.find(
            origin.scheme,
            &routes::Request {
                host: &host,
                path: request.uri().path(),
                query: request.uri().query(),
                method: request.method().as_str(),
                header: &found,
            },
        )
    };
    let Some(rule) = rule else { return Err((Why::NoRoute(host), None)) };
    let forward = match &rule.action {
        Action::Redirect(wanted) => {
            let port = worker.shared.ports.lock().get(&origin.scheme).copied().unwrap_or(origin.scheme.default_port());
            let (path, query) = (request.uri().path(), request.uri().query());
            let target = Target { scheme: origin.scheme, host: &host, port, path, query };
            return Ok((redirect(wanted.status, &routes::redirect_location(&rule.matches.path, wanted, target)), None));
        }
        Action::Forward(forward) => forward,
    };
    let index = match forward.pick(live.roll()).map(|picked| &picked.backend) {
        Some(Ok(index)) => *index,
        Some(Err(unserved)) => return Err((Why::NoBackend(unserved.message.clone()), None)),
        None => return Err((Why::NoBackend("it names no backend that has a weight".to_owned()), None)),
    };
    let exchange = exchange(worker, live, index, prepare(request, rule, origin, &authority));
    let answered = match rule.timeout_ms {
        Some(ms) => tokio::time::timeout(Duration::from_millis(ms), exchange).await.unwrap_or(Err(Why::TooLate(ms))),
        None => exchange.await,
    };
    match answered {
        Ok(mut response) => {
            headers::edit(response.headers_mut(), &rule.response_headers);
            Ok((response, Some(index)))
        }
        Err(why) => Err((why, Some(index))),
    }
}

/// Returns host and port as the client named them.
fn authority(request: &Request<Incoming>) -> Option<HeaderValue> {
    match request.uri().authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => request.headers().get(header::HOST).filter(|host| !host.is_empty()).cloned(),
    }
}

/// Returns the host in lower case, without port and final dot.
fn bare_host(authority: &str) -> String {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.is_empty() => host,
        _ => authority,
    };
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// A request as the endpoint shall see it.
struct Prepared {
    request: Request<Sent>,
    /// The client's side of an upgrade that it asks for.
    upgrade: Option<hyper::upgrade::OnUpgrade>,
}

fn prepare(request: Request<Incoming>, rule: &Rule, origin: Origin, authority: &HeaderValue) -> Prepared {
    let mut request = request;
    let protocol = if request.version() == Version::HTTP_11 { headers::upgrade(request.headers()) } else { None };
    let upgrade = protocol.as_ref().map(|_| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    if parts.version == Version::HTTP_2 {
        headers::join_cookies(&mut parts.headers);
    }
    headers::end_hop(&mut parts.headers);
    // The client has been told to go on by this proxy already.
    parts.headers.remove(header::EXPECT);
    if let Some(protocol) = protocol {
        headers::ask_upgrade(&mut parts.headers, protocol);
    }
    headers::forwarded(&mut parts.headers, origin.peer.ip(), origin.scheme, authority);
    let host = rule.rewrite.host.as_deref().and_then(|host| HeaderValue::from_str(host).ok());
    parts.headers.insert(header::HOST, host.unwrap_or_else(|| authority.clone()));
    headers::edit(&mut parts.headers, &rule.request_headers);
    parts.uri = origin_form(&parts.uri, rule);
    parts.version = Version::HTTP_11;
    let sent = if http_body::Body::is_end_stream(&body) { Sent::Empty } else { Sent::Streamed(body) };
    Prepared { request: Request::from_parts(parts, sent), upgrade }
}

/// Returns path and query as the endpoint shall see them.
fn origin_form(uri: &Uri, rule: &Rule) -> Uri {
    let path_and_query = match &rule.rewrite.path {
        None => uri.path_and_query().cloned(),
        Some(rewrite) => {
            let path = routes::rewritten_path(&rule.matches.path, rewrite, uri.path());
            let text = uri.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
            text.parse().ok()
        }
    };
    path_and_query.map_or_else(|| Uri::from_static("/"), Uri::from)
}

/// Sends the request to one endpoint after the other until one takes it.
async fn exchange(
    worker: &Rc<Worker>,
    live: &Live,
    backend: usize,
    prepared: Prepared,
) -> Result<Response<Answered>, Why> {
    let Prepared { mut request, upgrade } = prepared;
    let Some(all) = live.snapshot.backends.get(backend) else {
        return Err(Why::NoBackend("the snapshot is inconsistent".to_owned()));
    };
    let service = || format!("{}/{}", all.namespace, all.service);
    if all.endpoints.is_empty() {
        return Err(Why::NoEndpoint(service()));
    }
    let start = live.turn(backend);
    let replayable = matches!(request.body(), Sent::Empty) && request.method().is_idempotent() && upgrade.is_none();
    // Those that could not be reached a moment ago come last; each is tried once.
    let shuns = |at: &usize| worker.pool.shuns(all.endpoints[*at]);
    let order = (0..all.endpoints.len()).map(|step| (start + step) % all.endpoints.len());
    let (good, bad): (Vec<_>, Vec<_>) =
        if all.endpoints.len() == 1 { (vec![0], Vec::new()) } else { order.partition(|at| !shuns(at)) };
    let mut broken = false;
    for at in good.into_iter().chain(bad).take(MOST_TRIES) {
        let mut wanted = Wanted::Any;
        loop {
            let Ok(mut lease) = worker.pool.get(all.endpoints[at], wanted, worker.shared.limits.connect).await else {
                worker.shared.count_retry();
                break;
            };
            let spare = replayable.then(|| copy(&request));
            match lease.sender.try_send_request(request).await {
                Ok(response) => return Ok(answered(worker, lease, response, upgrade)),
                Err(mut failure) => {
                    // Nothing of it reached the endpoint, or what did may be said twice.
                    let Some(again) = failure.take_message().or(spare) else {
                        tracing::debug!(error = %failure.error(), "an endpoint broke an exchange off");
                        return Err(Why::Broken(service()));
                    };
                    worker.shared.count_retry();
                    request = again;
                    if wanted == Wanted::New {
                        // A connection that was just made broke too: this endpoint is going.
                        broken = true;
                        break;
                    }
                    wanted = Wanted::New;
                }
            }
        }
    }
    Err(if broken { Why::Broken(service()) } else { Why::Unreachable(service()) })
}

/// Returns the same request once more; only for those without a body.
fn copy(request: &Request<Sent>) -> Request<Sent> {
    let mut copy = Request::new(Sent::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

fn answered(
    worker: &Rc<Worker>,
    lease: Lease,
    mut response: Response<Incoming>,
    upgrade: Option<hyper::upgrade::OnUpgrade>,
) -> Response<Answered> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let protocol = headers::upgrade(response.headers());
        let theirs = hyper::upgrade::on(&mut response);
        if let (Some(ours), Some(protocol)) = (upgrade, protocol) {
            worker.join(ours, theirs);
            let (mut parts, _) = response.into_parts();
            headers::end_hop(&mut parts.headers);
            headers::ask_upgrade(&mut parts.headers, protocol);
            return Response::from_parts(parts, Answered::Own(None));
        }
        return failed(&Why::Broken("the endpoint switched to a protocol that nobody asked for".to_owned()));
    }
    let (mut parts, incoming) = response.into_parts();
    headers::end_hop(&mut parts.headers);
    parts.version = Version::HTTP_11;
    if http_body::Body::is_end_stream(&incoming) {
        lease.give_back();
        return Response::from_parts(parts, Answered::Streamed { incoming, lease: None });
    }
    Response::from_parts(parts, Answered::Streamed { incoming, lease: Some(lease) })
}

/// Copies both ways until both sides have ended.
pub(crate) async fn tunnel(
    ours: hyper::upgrade::OnUpgrade,
    theirs: hyper::upgrade::OnUpgrade,
) -> Result<(), Box<dyn std::error::Error>> {
    let (ours, theirs) = (ours.await?, theirs.await?);
    tokio::io::copy_bidirectional(&mut TokioIo::new(ours), &mut TokioIo::new(theirs)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_host_is_looked_up_without_port_case_and_final_dot() {
        for (authority, wanted) in [
            ("Orders.Dev.Localhost:8443", "orders.dev.localhost"),
            ("orders.dev.localhost.", "orders.dev.localhost"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("user@host:1", "host"),
        ] {
            assert_eq!(super::bare_host(authority), wanted);
        }
    }
}
