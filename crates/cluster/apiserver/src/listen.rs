//! Serves HTTP over TLS on a socket that is bound already: the API, and whatever
//! else a process shows beside it.

mod rest;

use std::{io, sync::Arc, time::Duration};

use axum::body::Body;
use base::task::{OnError, Tasks};
use http::{Request, Response};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{audit::Peer, rbac::User, server::Server};

/// Where a certificate's subject says a stable id.
const UID: &str = "1.3.6.1.4.1.57683.2";
/// How long a client may take to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What the server shows and whom it trusts.
pub struct Tls {
    /// The serving certificate with its chain, DER.
    pub chain: Vec<Vec<u8>>,
    /// Its key, PKCS #8 DER.
    pub key: Vec<u8>,
    /// The authorities whose client certificates are users, DER; none: no certificate is asked for.
    pub client_authorities: Vec<Vec<u8>>,
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A client authority is not a certificate.
    #[error("a client authority's certificate is not valid")]
    Authority {
        /// What is wrong.
        source: rustls::Error,
    },
    /// No client authority can be used.
    #[error("client certificates cannot be checked")]
    Verifier {
        /// What is wrong.
        source: rustls::server::VerifierBuilderError,
    },
    /// Certificate and key cannot be used.
    #[error("the serving certificate and its key do not fit")]
    Certificate {
        /// What is wrong.
        source: rustls::Error,
    },
}

impl Tls {
    fn config(self) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|source| TlsError::Certificate { source })?;
        let key = PrivateKeyDer::Pkcs8(self.key.into());
        let chain = self.chain.into_iter().map(CertificateDer::from).collect();
        let builder = if self.client_authorities.is_empty() {
            builder.with_no_client_auth()
        } else {
            builder.with_client_cert_verifier(verifier(self.client_authorities, provider)?)
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|source| TlsError::Certificate { source })?;
        // Upgrades (exec, port-forward) need HTTP/1.1.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn verifier(authorities: Vec<Vec<u8>>, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(CertificateDer::from(authority)).map_err(|source| TlsError::Authority { source })?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|source| TlsError::Verifier { source })
}
/// What answers requests. The user of a client certificate stands in the request's extensions.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;
}

impl Handler for Server {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        self.handle(request).await
    }
}

impl Handler for axum::Router {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let Ok(response) = self.clone().oneshot(request).await;
        response
    }
}

/// Serves `handler` on `listener` until `stop`, then gives open requests `grace`.
pub async fn listen<H: Handler>(
    handler: H,
    listener: TcpListener,
    tls: Tls,
    stop: CancellationToken,
    grace: Duration,
) -> Result<(), TlsError> {
    let acceptor = TlsAcceptor::from(Arc::new(tls.config()?));
    let connections = Tasks::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (handler, acceptor, stop) = (handler.clone(), acceptor.clone(), stop.clone());
                connections.spawn("connection", OnError::Log, async move {
                    // A client that hangs up or shakes hands wrongly is its own affair.
                    if let Err(error) = serve(handler, acceptor, stream, stop).await {
                        tracing::debug!(%peer, %error, "a connection ended early");
                    }
                    Ok::<(), String>(())
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    if !connections.shut_down(grace).await {
        tracing::debug!("some connections were cut");
    }
    Ok(())
}

async fn serve<H: Handler>(
    handler: H,
    acceptor: TlsAcceptor,
    stream: tokio::net::TcpStream,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"))??;
    let peer = stream.get_ref().0.peer_addr()?.ip();
    let user = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).and_then(|leaf| user_of(leaf));
    let (left, rest) = rest::rest();
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let (handler, user) = (handler.clone(), user.clone());
        let request = rest::receive(request, &left);
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            if let Some(user) = user {
                request.extensions_mut().insert(user);
            }
            Ok::<_, std::convert::Infallible>(handler.answer(request).await)
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let served = async {
        tokio::select! {
            done = connection.as_mut() => done,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    tokio::select! {
        done = served => done,
        never = rest.read() => match never {},
    }
}

/// A client certificate's user: the common name, in the groups that its organizations name.
fn user_of(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let subject = parsed.subject();
    let name = subject.iter_common_name().next()?.as_str().ok().filter(|name| !name.is_empty())?;
    let groups: Vec<&str> = subject.iter_organization().filter_map(|organization| organization.as_str().ok()).collect();
    let mut user = User::new(name, &groups);
    let mut ids = subject.iter_attributes().filter(|attribute| attribute.attr_type().to_id_string() == UID);
    if let Some(id) = ids.next() {
        // One id, or nobody knows whose it is.
        let text = id.as_str().ok().filter(|text| !text.is_empty() && ids.next().is_none())?;
        text.clone_into(&mut user.uid);
    }
    let fingerprint = format!("X509SHA256={}", hex::encode(Sha256::digest(certificate)));
    user.extra.insert("authentication.kubernetes.io/credential-id".to_owned(), vec![fingerprint]);
    Some(user)
}
