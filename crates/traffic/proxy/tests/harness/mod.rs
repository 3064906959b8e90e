//! Backends, clients and load for the proxy's tests. It holds no expectation.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "helpers of tests: each file uses its part, and what fails there fails the test"
)]

use std::{
    convert::Infallible,
    future::Future,
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use proxy::{Authority, Gateway, Limits, bind_all};
use routes::{
    Action, Backend as RouteBackend, Forward, HeaderEdits, Hosts, Listener, Match, PathMatch, Rewrite, RouteKey, Rule,
    Scheme, Snapshot, Table, Weighted,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Returns a name that no other run has.
pub fn random() -> String {
    format!("t{:012x}", RandomState::new().hash_one(std::process::id()) >> 16)
}

#[expect(clippy::disallowed_methods, reason = "tests join what they spawn")]
pub fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work)
}

/// Waits until `holds`, at most ten seconds.
pub async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let waited = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waited).await.expect("what is waited for has not come");
}

/// The test's certificate authority: certificate and key, PEM.
pub fn authority() -> (&'static str, &'static str) {
    static AUTHORITY: LazyLock<(String, String)> = LazyLock::new(|| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "test gateway");
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    });
    (&AUTHORITY.0, &AUTHORITY.1)
}

/// A data plane on ports of its own.
pub struct Proxy {
    pub gateway: Gateway,
    pub http: SocketAddr,
    pub https: SocketAddr,
}

impl Proxy {
    pub fn start(limits: Limits) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let mut listening = bind_all(Scheme::Http, any, 2).unwrap();
        listening.extend(bind_all(Scheme::Https, any, 2).unwrap());
        let (cert, key) = authority();
        let gateway = Gateway::start(listening, Authority::new(cert, key).unwrap(), limits).unwrap();
        let (http, https) = (gateway.http().unwrap(), gateway.https().unwrap());
        Proxy { gateway, http, https }
    }

    pub async fn stop(self) {
        assert!(self.gateway.leave(Duration::from_secs(10)).await, "the proxy drains");
    }
}

/// Returns a snapshot of these hosts, path prefixes and endpoints, on both schemes; `timeout_ms` holds for all.
pub fn snapshot(routes: &[(&str, &str, &[SocketAddr])], timeout_ms: Option<u64>) -> Snapshot {
    let mut backends = Vec::new();
    let mut by_host: std::collections::BTreeMap<&str, Vec<Rule>> = std::collections::BTreeMap::new();
    for (host, path, endpoints) in routes {
        let service = format!("s{}", backends.len());
        backends.push(RouteBackend { namespace: "n".into(), service, port: 80, endpoints: endpoints.to_vec() });
        by_host.entry(host).or_default().push(Rule {
            route: RouteKey { kind: "HTTPRoute".into(), namespace: "n".into(), name: "r".into() },
            matches: Match { path: PathMatch::Elements((*path).into()), method: None, headers: vec![], query: vec![] },
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            rewrite: Rewrite::default(),
            action: Action::Forward(Forward {
                backends: vec![Weighted { weight: 1, backend: Ok(backends.len() - 1) }],
            }),
            timeout_ms,
        });
    }
    let mut hosts = Hosts::default();
    for (host, mut rules) in by_host {
        rules.sort_by_key(|rule| match &rule.matches.path {
            PathMatch::Elements(path) => std::cmp::Reverse(path.len()),
            _ => std::cmp::Reverse(0),
        });
        hosts.insert(host, rules);
    }
    let mut listeners = Hosts::default();
    listeners.insert("*", Listener { hosts });
    let table = Table { listeners };
    Snapshot { http: table.clone(), https: table, backends }
}

type Held = Arc<Mutex<Option<(Arc<Notify>, Arc<Notify>)>>>;

/// A server that says its name and what was asked of it.
pub struct Backend {
    pub name: String,
    pub address: SocketAddr,
    held: Held,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Backend {
    pub async fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, held) = (CancellationToken::new(), Held::default());
        let task = spawn(serve(listener, name.to_owned(), held.clone(), stop.clone()));
        Backend { name: name.to_owned(), address, held, stop, task: Some(task) }
    }

    /// Makes `/held` wait: returns what tells that it has arrived and what lets it go on.
    pub fn hold(&self) -> (Arc<Notify>, Arc<Notify>) {
        let pair = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        *self.held.lock() = Some(pair.clone());
        pair
    }

    /// Closes its port and every connection, between two answers.
    pub async fn kill(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.unwrap();
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(listener: TcpListener, name: String, held: Held, stop: CancellationToken) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! { accepted = listener.accept() => accepted, () = stop.cancelled() => break };
        let (stream, _) = accepted.unwrap();
        let (name, held, stop) = (name.clone(), held.clone(), stop.clone());
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, name.clone(), held.clone()));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => {}
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        });
    }
    drop(listener);
    connections.join_all().await;
}

async fn answer(
    mut request: Request<Incoming>,
    name: String,
    held: Held,
) -> Result<Response<BoxBody<Bytes, hyper::Error>>, Infallible> {
    let full = |text: String| Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed();
    match request.uri().path() {
        "/never" => std::future::pending().await,
        "/held" => {
            let pair = held.lock().clone();
            if let Some((arrived, release)) = pair {
                arrived.notify_one();
                release.notified().await;
            }
        }
        "/echo" => return Ok(Response::new(request.into_body().boxed())),
        "/upgrade" => {
            let upgraded = hyper::upgrade::on(&mut request);
            spawn(async move {
                let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded.await.unwrap()));
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
            let response =
                Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket");
            return Ok(response.body(full(String::new())).unwrap());
        }
        _ => {}
    }
    let mut response = Response::new(full(format!("{name} {} {}", request.method(), request.uri())));
    for (seen, from) in [
        ("x-seen-forwarded-for", "x-forwarded-for"),
        ("x-seen-forwarded-proto", "x-forwarded-proto"),
        ("x-seen-host", "host"),
    ] {
        if let Some(value) = request.headers().get(from) {
            response.headers_mut().insert(seen, value.clone());
        }
    }
    Ok(response)
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }

    async fn of(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}

/// Asks once, on a connection of its own.
pub async fn ask(address: SocketAddr, host: &str, path: &str) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    ask_on(stream, host, path).await
}

async fn ask_on(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, host: &str, path: &str) -> Answer {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    spawn(connection);
    let request = Request::get(path).header("host", host).body(Full::<Bytes>::default()).unwrap();
    Answer::of(sender.send_request(request).await.unwrap()).await
}

/// Sends a body and returns what comes back.
pub async fn post(address: SocketAddr, host: &str, path: &str, body: Vec<u8>) -> Vec<u8> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    spawn(connection);
    let request = Request::post(path).header("host", host).body(Full::new(Bytes::from(body))).unwrap();
    sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes().to_vec()
}

/// Sends bytes and returns all that comes back.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The proxy may answer before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    String::from_utf8_lossy(&all).into_owned()
}

/// Asks over TLS, trusting the test's authority only.
pub async fn ask_tls(address: SocketAddr, host: &str, path: &str, alpn: &'static [u8]) -> std::io::Result<Answer> {
    let mut roots = rustls::RootCertStore::empty();
    for cert in rustls_pemfile::certs(&mut authority().0.as_bytes()) {
        roots.add(cert.unwrap()).unwrap();
    }
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = rustls::pki_types::ServerName::try_from(host.to_owned()).unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
    if alpn != b"h2" {
        return Ok(ask_on(stream, host, path).await);
    }
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    spawn(connection);
    let request = Request::get(format!("https://{host}{path}")).body(Full::<Bytes>::default()).unwrap();
    Ok(Answer::of(sender.send_request(request).await.unwrap()).await)
}

/// Clients that ask again and again on connections they keep.
pub struct Load {
    answered: Arc<AtomicU64>,
    failed: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(address: SocketAddr, host: &str, clients: usize) -> Self {
        let (answered, failed, stop) =
            (Arc::<AtomicU64>::default(), Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let clients = (0..clients)
            .map(|_| spawn(client(address, host.to_owned(), answered.clone(), failed.clone(), stop.clone())))
            .collect();
        Load { answered, failed, stop, clients }
    }

    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    pub async fn more_than(&self, count: u64) {
        until(|| async { self.answered() > count || !self.failed.lock().is_empty() }).await;
    }

    pub async fn stop(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        (self.answered.load(Ordering::Relaxed), self.failed.lock().clone())
    }
}

async fn client(
    address: SocketAddr,
    host: String,
    answered: Arc<AtomicU64>,
    failed: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
) {
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        match once(address, &host, &mut kept).await {
            Ok(200) => {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(status) => failed.lock().push(format!("status {status}")),
            Err(error) => {
                failed.lock().push(error);
                kept = None;
            }
        }
    }
}

type Sender = hyper::client::conn::http1::SendRequest<Full<Bytes>>;

async fn once(address: SocketAddr, host: &str, kept: &mut Option<Sender>) -> Result<u16, String> {
    let mut sender = match kept.take() {
        Some(sender) => sender,
        None => {
            let stream = TcpStream::connect(address).await.map_err(|error| format!("connect: {error}"))?;
            let (sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            spawn(connection);
            sender
        }
    };
    let request = Request::get("/").header("host", host).body(Full::default()).map_err(|error| error.to_string())?;
    sender.ready().await.map_err(|error| format!("ready: {error}"))?;
    let response = sender.send_request(request).await.map_err(|error| format!("send: {error:?}"))?;
    let status = response.status().as_u16();
    let close = response.headers().get("connection").is_some_and(|value| value == "close");
    response.into_body().collect().await.map_err(|error| format!("body: {error}"))?;
    if !close {
        *kept = Some(sender);
    }
    Ok(status)
}
