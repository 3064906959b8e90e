//! Client certificates of an authority that every server started here trusts.

use std::sync::OnceLock;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Where Kubernetes looks for a stable id in a certificate's subject.
const UID: &[u64] = &[1, 3, 6, 1, 4, 1, 57683, 2];

/// The authority of this process.
struct Authority {
    pem: String,
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Identity {
    /// Makes a certificate of this name, in these groups, with an id if it is not empty.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn new(name: &str, groups: &[&str], uid: &str) -> anyhow::Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        if !uid.is_empty() {
            params.distinguished_name.push(DnType::CustomDnType(UID.to_vec()), uid);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority()?.issuer).context("the certificate cannot be signed")?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// Returns the certificate of the authority, PEM and DER.
///
/// # Errors
///
/// It cannot be made.
pub fn trusted() -> anyhow::Result<(String, Vec<u8>)> {
    let authority = authority()?;
    Ok((authority.pem.clone(), authority.der.clone()))
}

fn authority() -> anyhow::Result<&'static Authority> {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    if let Some(made) = AUTHORITY.get() {
        return Ok(made);
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "conformance");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let (pem, der) = (certificate.pem(), certificate.der().to_vec());
    Ok(AUTHORITY.get_or_init(|| Authority { pem, der, issuer: Issuer::new(params, key) }))
}
