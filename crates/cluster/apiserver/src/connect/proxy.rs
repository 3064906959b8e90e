//! Handing HTTP on to a server in a pod, and its answer back, upgrades included.
//!
//! It never hands on who the client is: credentials stay here.

use std::{
    convert::Infallible,
    future::Future,
    io::{Read, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, HttpBody};
use base::task::OnError;
use bytes::{Bytes, BytesMut};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use futures::StreamExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request::Parts,
};
use hyper::{
    body::{Frame, Incoming},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tower::ServiceExt;

use super::{
    is_upgrade,
    place::{Place, Scheme},
    rewrite::{Way, clean},
};
use crate::{
    audit::Peer,
    pipeline::Carried,
    registry::{Connect, Resource},
    request::{Info, percent_decode},
    server::Server,
    status::Failure,
};

/// How long a server may take to take a connection (Go's).
const DIAL: Duration = Duration::from_secs(30);
/// A page that is longer is handed on with its links as they are.
const PAGE: usize = 8 << 20;

/// Headers of one connection, which are not handed on.
const OF_THE_CONNECTION: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What another server must not say for this one.
const CROSS_ORIGIN: &[&str] = &[
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
];

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Server {
    /// Hands a request on to what `info` names.
    pub(super) async fn proxy(
        &self,
        connect: Connect,
        resource: &Resource,
        info: &Info,
        parts: &Parts,
        body: Body,
    ) -> Result<Response<Body>, Failure> {
        let place = self.place(connect, resource, info)?;
        let asked = parts.uri.path();
        let upgrades = is_upgrade(parts);
        let path = path_of(&info.rest);
        let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        if path.is_empty() && !upgrades && matches!(parts.method, Method::GET | Method::HEAD) {
            // Without a slash at the end, relative links of the first page would lead beside it.
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
            let to = HeaderValue::from_str(&format!("{asked}/{query}"));
            answer.headers_mut().insert(header::LOCATION, to.map_err(|error| Failure::bad_request(error.to_string()))?);
            return Ok(answer);
        }
        let path = if path.is_empty() { "/" } else { &path };
        let uri: Uri =
            format!("{path}{query}").parse().map_err(|_| Failure::bad_request("the path cannot be handed on"))?;
        let prefix = asked.strip_suffix(info.rest.as_str()).unwrap_or(asked);
        let mut request = Request::new(body);
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = handed_on(parts, &format!("{prefix}{path}"), upgrades);
        let carried = Carried::default();
        let (scheme, address, port) = match place {
            Place::Server { scheme, address, port } => (scheme, address, port),
            Place::Node(node) => {
                if let Some(upgrade) = parts.extensions.get::<OnUpgrade>() {
                    request.extensions_mut().insert(upgrade.clone());
                }
                request.extensions_mut().insert(carried.clone());
                let Ok(mut answer) = node.router.oneshot(request).await;
                if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                    answer.extensions_mut().insert(carried);
                }
                return Ok(answer);
            }
        };
        let host = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
        let unreachable = |why: String| {
            if upgrades {
                return Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "", format!("error dialing backend: {why}"));
            }
            let why = format!("error trying to reach service: {why}");
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", why)
        };
        let stream = dial(scheme, &address, port).await.map_err(unreachable)?;
        let (mut answer, driver) = send(stream, request).await.map_err(unreachable)?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(self.carry(parts, answer, driver, carried));
        }
        for name in OF_THE_CONNECTION.iter().chain(CROSS_ORIGIN) {
            answer.headers_mut().remove(*name);
        }
        let asked_host = host_of(parts);
        let way = Way { prefix, server: &host, asked: &asked_host };
        let (mut head, body) = answer.into_parts();
        let body = Body::new(Driven { driver: Some(driver), body });
        if let Some(link) = head.headers.get(header::LOCATION).and_then(|value| value.to_str().ok()) {
            if let Ok(link) = HeaderValue::from_str(&way.link(link)) {
                head.headers.insert(header::LOCATION, link);
            }
            return Ok(Response::from_parts(head, streamed(body)));
        }
        let media = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if media.split(';').next().unwrap_or_default().trim() != "text/html" || parts.method == Method::HEAD {
            return Ok(Response::from_parts(head, streamed(body)));
        }
        let body = rewritten(&mut head.headers, body, &way).await;
        Ok(Response::from_parts(head, body))
    }

    /// Carries the bytes of an upgraded connection until one side ends it.
    fn carry(&self, parts: &Parts, mut answer: Response<Incoming>, driver: Driver, carried: Carried) -> Response<Body> {
        let there = hyper::upgrade::on(&mut answer);
        let here = parts.extensions.get::<OnUpgrade>().cloned();
        let (held, stop) = (carried.clone(), self.tasks().stop());
        self.tasks().spawn("carry a proxied connection", OnError::Log, async move {
            let _held = held;
            let work = async {
                let Some(here) = here else { return };
                let (Ok(here), Ok(there)) = tokio::join!(here, there) else { return };
                let (mut from_here, mut to_here) = tokio::io::split(TokioIo::new(here));
                let (mut from_there, mut to_there) = tokio::io::split(TokioIo::new(there));
                tokio::select! {
                    _ = tokio::io::copy(&mut from_here, &mut to_there) => {}
                    _ = tokio::io::copy(&mut from_there, &mut to_here) => {}
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                ((), ()) = async { tokio::join!(driver, work) } => {}
            }
            Ok::<(), Infallible>(())
        });
        let mut response = answer.map(|_| Body::empty());
        response.extensions_mut().insert(carried);
        response
    }
}

/// Returns the path that a server is asked for, cleaned as kube-apiserver does it; empty if none was given.
fn path_of(rest: &str) -> String {
    if rest.is_empty() {
        return String::new();
    }
    let mut path = clean(&percent_decode(rest));
    if rest.ends_with('/') && !path.ends_with('/') {
        path.push('/');
    }
    path.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!*'()".contains(&byte) {
            out.push(byte as char);
        } else {
            out.extend(["%".to_owned(), hex::encode_upper([byte])]);
        }
        out
    })
}

/// Returns the host that the client asked for.
fn host_of(parts: &Parts) -> String {
    let header = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
    header.or(parts.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default().to_owned()
}

/// Returns the headers that a server is given: the client's, but for its credentials and its connection's.
fn handed_on(parts: &Parts, uri: &str, upgrades: bool) -> HeaderMap {
    let mut headers = parts.headers.clone();
    // A header that the client calls one of the connection is that too.
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let upgrade = headers.get(header::UPGRADE).cloned();
    for name in named {
        headers.remove(name);
    }
    for name in OF_THE_CONNECTION {
        headers.remove(*name);
    }
    if let Some(upgrade) = upgrade.filter(|_| upgrades) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, upgrade);
    }
    headers.remove(header::AUTHORIZATION);
    let impersonated: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    for name in impersonated {
        headers.remove(name);
    }
    if let Ok(host) = HeaderValue::from_str(&host_of(parts)) {
        headers.insert(header::HOST, host);
    }
    if let Ok(uri) = HeaderValue::from_str(uri) {
        headers.insert("x-forwarded-uri", uri);
    }
    if let Some(Peer(peer)) = parts.extensions.get::<Peer>() {
        let before = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
        let all = before.map_or_else(|| peer.to_string(), |before| format!("{before}, {peer}"));
        if let Ok(all) = HeaderValue::from_str(&all) {
            headers.insert("x-forwarded-for", all);
        }
    }
    headers
}

async fn dial(scheme: Scheme, address: &str, port: u16) -> Result<Box<dyn Connection>, String> {
    let place = format!("dial tcp {address}:{port}");
    let stream = match tokio::time::timeout(DIAL, TcpStream::connect((address, port))).await {
        Err(_) => return Err(format!("{place}: i/o timeout")),
        Ok(Err(error)) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
            return Err(format!("{place}: connect: {text}"));
        }
        Ok(Ok(stream)) => stream,
    };
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    if scheme == Scheme::Http {
        return Ok(Box::new(stream));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(address.to_owned()).map_err(|error| error.to_string())?;
    let shaking = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream);
    match tokio::time::timeout(DIAL, shaking).await {
        Err(_) => Err("net/http: TLS handshake timeout".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(stream)) => Ok(Box::new(stream)),
    }
}

/// Sends a request; what is returned beside the answer has to be run for its body to come.
async fn send(stream: Box<dyn Connection>, request: Request<Body>) -> Result<(Response<Incoming>, Driver), String> {
    let shaken = hyper::client::conn::http1::Builder::new().handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
    let mut driver: Driver = Box::pin(async move {
        // Its failure reaches the request or the body too.
        connection.with_upgrades().await.ok();
    });
    let mut asking = std::pin::pin!(sender.send_request(request));
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            answer = &mut asking => return answer.map(|answer| (answer, driver)).map_err(|error| told(&error)),
            () = &mut driver, if open => open = false,
        }
        if !open {
            driver = Box::pin(std::future::pending());
        }
    }
}

/// Returns an error with what caused it.
fn told(error: &hyper::Error) -> String {
    if error.is_incomplete_message() { "EOF".to_owned() } else { base::fault::Chain(error).to_string() }
}

/// An answer's body, which comes as its connection is driven.
struct Driven {
    driver: Option<Driver>,
    body: Incoming,
}

impl HttpBody for Driven {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.driver.as_mut().is_some_and(|driver| driver.as_mut().poll(context).is_ready()) {
            self.driver = None;
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// Returns a body that is handed on as it comes, whatever its length.
fn streamed(body: Body) -> Body {
    Body::from_stream(body.into_data_stream())
}

/// Returns a page with its links changed; one that is too long or packed in an unknown way stays as it is.
async fn rewritten(headers: &mut HeaderMap, body: Body, way: &Way<'_>) -> Body {
    let coding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let packed = match coding {
        "" => false,
        "gzip" => true,
        _ => return streamed(body),
    };
    let mut stream = body.into_data_stream();
    let mut page = BytesMut::new();
    while let Some(next) = stream.next().await {
        match next {
            Ok(bytes) if page.len() + bytes.len() <= PAGE => page.extend_from_slice(&bytes),
            next => {
                let first = futures::stream::iter([Ok(page.freeze()), next]);
                return Body::from_stream(first.chain(stream));
            }
        }
    }
    let plain = if packed { unpacked(&page) } else { Some(page.to_vec()) };
    let Some(plain) = plain else { return Body::from(page.freeze()) };
    let mut page = way.page(&plain);
    if packed {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        // Writing to memory cannot fail.
        encoder.write_all(&page).ok();
        page = encoder.finish().unwrap_or_default();
    }
    headers.remove(header::CONTENT_LENGTH);
    Body::from_stream(futures::stream::iter([Ok::<_, Infallible>(Bytes::from(page))]))
}

/// Returns a page unpacked, or `None` if it is not packed as it says, or too long.
fn unpacked(page: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    GzDecoder::new(page).take(PAGE as u64 + 1).read_to_end(&mut plain).ok()?;
    (plain.len() <= PAGE).then_some(plain)
}

/// Takes any certificate: who asks for `https` here asks for a server of their own, by its address.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_the_server_and_keeps_its_last_slash() {
        for (rest, path) in
            [("", ""), ("/", "/"), ("/a/../../b//c/", "/b/c/"), ("/%2e%2e/x%20y", "/x%20y"), ("/a%2Fb", "/a/b")]
        {
            assert_eq!(path_of(rest), path, "{rest}");
        }
    }

    #[test]
    fn credentials_and_the_connections_own_headers_stay_here() {
        let request = Request::get("/")
            .header("host", "h:1")
            .header("authorization", "Bearer secret")
            .header("impersonate-user", "ann")
            .header("connection", "keep-alive, x-own")
            .header("x-own", "1")
            .header("x-other", "2")
            .header("x-forwarded-for", "1.1.1.1");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(Peer([2, 2, 2, 2].into()));
        let headers = handed_on(&parts, "/p/x", false);
        let shown: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        let expected = ["host: h:1", "x-other: 2", "x-forwarded-for: 1.1.1.1, 2.2.2.2", "x-forwarded-uri: /p/x"];
        assert_eq!(shown.len(), expected.len(), "{shown:?}");
        assert!(expected.iter().all(|one| shown.iter().any(|own| own == one)), "{shown:?}");
    }
}
