//! One connection of one client: HTTP/1.1 over TLS, kept alive, nothing of a client library between.

use std::{io::Write, sync::Arc};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// Where a server listens, and as whom to speak to it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) port: u16,
    pub(crate) token: String,
}

/// A connection.
pub(crate) struct Connection {
    send: SendRequest<Full<Bytes>>,
    token: String,
}

/// Takes any certificate: both servers run on this machine and the token is worth nothing elsewhere.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

impl Connection {
    /// Opens a connection.
    pub(crate) async fn open(endpoint: &Endpoint) -> anyhow::Result<Connection> {
        let (send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(connect(endpoint).await?)).await?;
        tokio::spawn(async move {
            // It ends with whoever sends on it; what went wrong is seen there.
            drop(connection.await);
        });
        Ok(Connection { send, token: endpoint.token.clone() })
    }

    /// Sends a request and returns the head of its answer.
    pub(crate) async fn begin(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        self.send.ready().await?;
        let answer = self.send.send_request(request).await?;
        if !answer.status().is_success() {
            let status = answer.status();
            let text = answer.into_body().collect().await?.to_bytes();
            bail!("{method} {path}: {status} {}", String::from_utf8_lossy(&text));
        }
        Ok(answer)
    }

    /// Sends a request and reads its whole answer; returns how many bytes it has.
    pub(crate) async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<usize> {
        let mut body = self.begin(method, path, body).await?.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(length)
    }
}

async fn connect(endpoint: &Endpoint) -> anyhow::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(("127.0.0.1", endpoint.port)).await.context("nobody listens")?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    Ok(tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

/// A connection that posts bodies and looks at no more of the answers than it must: what the clients of a load cost is
/// taken from the same two cores as what is measured.
pub(crate) struct Poster {
    stream: TlsStream<TcpStream>,
    head: String,
    written: Vec<u8>,
    read: Vec<u8>,
}

impl Poster {
    /// Opens a connection that posts to `path`.
    pub(crate) async fn open(endpoint: &Endpoint, path: &str) -> anyhow::Result<Poster> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\naccept: application/json\r\ncontent-type: application/json\r\n",
            endpoint.token
        );
        Ok(Poster { stream: connect(endpoint).await?, head, written: Vec::new(), read: Vec::new() })
    }

    /// Posts a body and waits for the whole answer.
    pub(crate) async fn post(&mut self, body: &[u8]) -> anyhow::Result<()> {
        self.written.clear();
        write!(self.written, "{}content-length: {}\r\n\r\n", self.head, body.len())?;
        self.written.extend_from_slice(body);
        self.stream.write_all(&self.written).await?;
        self.stream.flush().await?;
        self.read.clear();
        while !self.is_whole()? {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                bail!("the server hung up");
            }
        }
        if !self.read.starts_with(b"HTTP/1.1 201 ") {
            bail!("{}", String::from_utf8_lossy(&self.read));
        }
        Ok(())
    }

    /// Returns whether an answer has arrived, its body by its length or in chunks.
    fn is_whole(&self) -> anyhow::Result<bool> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = answer.parse(&self.read)? else { return Ok(false) };
        let header = |name: &str| answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        match header("content-length") {
            Some(length) => Ok(self.read.len() >= head + std::str::from_utf8(length.value)?.parse::<usize>()?),
            // JSON on one line has no line break of its own.
            None => Ok(self.read.ends_with(b"\r\n0\r\n\r\n")),
        }
    }
}
