//! Certificates for the hosts that have a route, signed on demand by the gateway's own authority.
//!
//! It never signs for a host that no listener or route names, and never writes a key to disk.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::time::Instant;

use crate::{error::Error, live::Shared};

/// How many certificates are kept; beyond, the oldest is dropped and signed again when asked for.
const MOST: usize = 1024;
/// How long a certificate is valid, in days; it is signed again after a third of that.
const DAYS: i64 = 30;
const RENEW: Duration = Duration::from_hours(240);
/// The names of a connection that asks for none, as by address.
const NAMELESS: &[&str] = &["localhost", "127.0.0.1", "::1"];

/// The gateway's certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    chain: CertificateDer<'static>,
    /// The key of every certificate of this process.
    key: KeyPair,
}

impl Authority {
    /// Reads the authority's certificate and key, both PEM.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, Error> {
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|source| Error::ReadAuthority { path: path.to_owned(), source })
        };
        Self::new(&read(cert)?, &read(key)?)
    }

    /// Takes the authority's certificate and key, both PEM.
    pub fn new(cert: &str, key: &str) -> Result<Self, Error> {
        let bad = |source| Error::UseAuthority { source };
        let chain = rustls_pemfile::certs(&mut cert.as_bytes())
            .next()
            .and_then(Result::ok)
            .ok_or_else(|| bad(rcgen::Error::CouldNotParseCertificate))?;
        let issuer = Issuer::from_ca_cert_pem(cert, KeyPair::from_pem(key).map_err(bad)?).map_err(bad)?;
        Ok(Authority { issuer, chain, key: KeyPair::generate().map_err(bad)? })
    }

    fn sign(&self, names: &[&str]) -> Result<CertifiedKey, Error> {
        let bad = |source| Error::UseAuthority { source };
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).map_err(bad)?;
        let (from, until) = (day(-1), day(DAYS));
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name = rcgen::DistinguishedName::new();
        // A common name longer than 64 bytes is not allowed; names are read from the alternatives anyway.
        if let Some(name) = names.first().filter(|name| name.len() <= 64) {
            params.distinguished_name.push(rcgen::DnType::CommonName, *name);
        }
        let cert = params.signed_by(&self.key, &self.issuer).map_err(bad)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let signer = ring::sign::any_supported_type(&key).map_err(|source| Error::SetUpTls { source })?;
        Ok(CertifiedKey::new(vec![cert.der().clone(), self.chain.clone()], signer))
    }
}

/// Returns year, month and day of the day that is `days` from today.
fn day(days: i64) -> (i32, u8, u8) {
    let then = base::clock::now() + jiff::SignedDuration::from_hours(24 * days);
    let date = then.to_zoned(jiff::tz::TimeZone::UTC).date();
    (i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
}

/// Finds or signs the certificate of a connection.
struct Certificates {
    authority: Authority,
    shared: Arc<Shared>,
    signed: Mutex<HashMap<String, (Instant, Arc<CertifiedKey>)>>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificates")
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        if !name.is_empty() && !self.shared.live().snapshot.names_tls_host(&name) {
            tracing::debug!(host = name, "refused a TLS connection to a host that has no route");
            return None;
        }
        let now = base::clock::instant();
        if let Some((since, key)) = self.signed.lock().get(&name)
            && now.duration_since(*since) < RENEW
        {
            return Some(key.clone());
        }
        let names = if name.is_empty() { NAMELESS } else { &[name.as_str()][..] };
        match self.authority.sign(names) {
            Ok(key) => {
                let key = Arc::new(key);
                let mut signed = self.signed.lock();
                if signed.len() >= MOST
                    && let Some(oldest) =
                        signed.iter().min_by_key(|(_, (since, _))| *since).map(|(name, _)| name.clone())
                {
                    signed.remove(&oldest);
                }
                signed.insert(name, (now, key.clone()));
                Some(key)
            }
            Err(error) => {
                tracing::error!(host = name, error = %base::fault::Chain(&error), "failed to sign a certificate");
                None
            }
        }
    }
}

/// Returns the TLS configuration of all listeners: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
pub(crate) fn server_config(authority: Authority, shared: Arc<Shared>) -> Result<Arc<ServerConfig>, Error> {
    let resolver = Certificates { authority, shared, signed: Mutex::default() };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|source| Error::SetUpTls { source })?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = ring::Ticketer::new().map_err(|source| Error::SetUpTls { source })?;
    Ok(Arc::new(config))
}
