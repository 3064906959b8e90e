//! One HTTPS request to the gateway, for a name that the system does not resolve.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio_rustls::TlsConnector;

/// Returns a TLS client that trusts the gateway's authority alone.
pub(crate) fn client(ca: &Path) -> anyhow::Result<TlsConnector> {
    let pem = std::fs::read(ca).with_context(|| format!("failed to read {}", ca.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in rustls_pemfile::certs(&mut pem.as_slice()) {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Returns the status of `GET https://<host><path>` asked at `gateway`.
pub(crate) async fn get(tls: &TlsConnector, gateway: SocketAddr, host: &str, path: &str) -> anyhow::Result<u16> {
    let ask = async {
        let stream = tokio::net::TcpStream::connect(gateway).await?;
        let stream = tls.connect(ServerName::try_from(host.to_owned())?, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let tasks = base::task::Tasks::new();
        tasks.spawn("probe", base::task::OnError::Log, connection);
        let request =
            http::Request::get(path).header("host", format!("{host}:{}", gateway.port())).body(Empty::<Bytes>::new())?;
        Ok::<_, anyhow::Error>(sender.send_request(request).await?.status().as_u16())
    };
    tokio::time::timeout(Duration::from_secs(2), ask).await.context("the gateway did not answer within 2 s")?
}
