//! The embedded server on a port, with a kubeconfig for programs that know nothing of it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use apiserver::{Config, Server, Tls, Tokens, User, store::Store};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Returns what a server on loopback serves TLS with, and the certificate to trust for it, PEM.
///
/// # Errors
///
/// The certificate cannot be made.
pub fn certificate() -> anyhow::Result<(Tls, String)> {
    let key = rcgen::KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names)?.self_signed(&key)?;
    let tls = Tls { chain: vec![certificate.der().to_vec()], key: key.serialize_der(), client_authorities: Vec::new() };
    Ok((tls, certificate.pem()))
}

/// A server that listens. Dropped, it ends.
pub struct Served {
    stop: CancellationToken,
    folder: tempfile::TempDir,
}

impl Served {
    /// Starts a server with nothing in it but what is there from the start.
    ///
    /// # Errors
    ///
    /// It cannot listen, or its files cannot be written.
    pub async fn start() -> anyhow::Result<Served> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let tokens = Tokens::new(&Tokens::generate_key(), [(token.clone(), User::new("admin", &["system:masters"]))])?;
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address: SocketAddr = listener.local_addr()?;
        let server = Server::build(Config {
            store: Store::in_memory()?,
            tokens,
            service_range: (Ipv4Addr::new(10, 96, 0, 0), 16),
            advertise: Some((address.ip(), address.port())),
        })
        .await?;
        let (tls, authority) = certificate()?;
        let tls = Tls { client_authorities: vec![crate::identity::trusted()?.1], ..tls };
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ca.crt"), authority)?;
        let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("https://127.0.0.1:{}", address.port()),
                "certificate-authority": folder.path().join("ca.crt")}}],
            "users": [{"name": "c", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]});
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig.to_string())
            .context("the temporary folder is full")?;
        let stop = CancellationToken::new();
        tokio::spawn(apiserver::listen(server, listener, tls, stop.clone(), Duration::from_secs(1)));
        Ok(Served { stop, folder })
    }

    /// Returns the file that tells clients where it is and who they are.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Returns the file of the certificate that its clients trust.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// Returns a folder for a test's own files.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
