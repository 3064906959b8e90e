//! Authorities, certificates and kubeconfigs of one platform.
//!
//! The authority that people may tell their browser to trust is constrained to
//! `localhost` names and is never the one that the API takes client certificates of.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};

use crate::paths::{Paths, write_private};

/// How long an authority is valid, in days.
const AUTHORITY_DAYS: i64 = 3650;
/// How long a certificate is valid; each start signs new ones.
const LEAF_DAYS: i64 = 397;

/// Name of the gateway's authority, and `openssl x509 -subject_hash` of a certificate with that name.
const GATEWAY_AUTHORITY: (&str, &str) = ("Roadstead local services", "dacf86b3");

/// The authority of the API: server and client certificates.
pub(crate) struct Pki {
    api: Authority,
    gateway: Authority,
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub(crate) struct Leaf {
    pub(crate) pem: String,
    pub(crate) der: Vec<u8>,
    pub(crate) key: KeyPair,
}

impl Pki {
    /// Reads the authorities, making those that are missing.
    pub(crate) fn open(paths: &Paths) -> anyhow::Result<Pki> {
        let api = Authority::open(paths, "api-ca", "Roadstead Kubernetes API", None)?;
        let local = NameConstraints {
            permitted_subtrees: vec![
                GeneralSubtree::DnsName("localhost".into()),
                GeneralSubtree::IpAddress(CidrSubnet::V4([127, 0, 0, 0], [255, 0, 0, 0])),
                GeneralSubtree::IpAddress(CidrSubnet::V6(std::net::Ipv6Addr::LOCALHOST.octets(), [0xff; 16])),
            ],
            excluded_subtrees: Vec::new(),
        };
        let gateway = Authority::open(paths, "gateway-ca", GATEWAY_AUTHORITY.0, Some(local))?;
        write_private(&paths.gateway_ca_folder().join(format!("{}.0", GATEWAY_AUTHORITY.1)), gateway.pem.as_bytes())?;
        Ok(Pki { api, gateway })
    }

    pub(crate) fn api_ca_pem(&self) -> &str {
        &self.api.pem
    }

    pub(crate) fn api_ca_der(&self) -> anyhow::Result<Vec<u8>> {
        let der = rustls_pemfile::certs(&mut self.api.pem.as_bytes())
            .next()
            .context("the API's authority file holds no certificate")?;
        Ok(der.context("the API's authority file is damaged")?.to_vec())
    }

    /// Returns a new certificate for the API server.
    pub(crate) fn api_server(&self, addresses: &[IpAddr]) -> anyhow::Result<Leaf> {
        let names = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        self.api.sign("kube-apiserver", &[], &names, addresses, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Returns a new client certificate for a user in a group.
    pub(crate) fn client(&self, user: &str, group: &str) -> anyhow::Result<Leaf> {
        self.api.sign(user, &[group], &[], &[], ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// Returns a new certificate for the platform's own HTTPS port.
    pub(crate) fn platform(&self) -> anyhow::Result<Leaf> {
        self.gateway.sign(
            "localhost",
            &[],
            &["localhost"],
            &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
            ExtendedKeyUsagePurpose::ServerAuth,
        )
    }

    /// Returns a new certificate for an address of this machine that others reach, signed by an authority that may
    /// speak for that address alone.
    pub(crate) fn public(paths: &Paths, address: IpAddr) -> anyhow::Result<Leaf> {
        let only = match address {
            IpAddr::V4(address) => CidrSubnet::V4(address.octets(), [0xff; 4]),
            IpAddr::V6(address) => CidrSubnet::V6(address.octets(), [0xff; 16]),
        };
        let only = NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::IpAddress(only)],
            excluded_subtrees: Vec::new(),
        };
        let name = format!("Roadstead portal at {address}");
        let authority = Authority::open(paths, &portal_authority(address), &name, Some(only))?;
        authority.sign(&address.to_string(), &[], &[], &[address], ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Returns a kubeconfig that speaks as the user of `leaf`.
    pub(crate) fn kubeconfig(&self, server: &str, user: &str, leaf: &Leaf) -> String {
        let encode = |text: &str| STANDARD.encode(text);
        serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "roadstead",
            "clusters": [{"name": "roadstead", "cluster": {"server": server, "certificate-authority-data": encode(&self.api.pem)}}],
            "users": [{"name": user, "user": {"client-certificate-data": encode(&leaf.pem), "client-key-data": encode(&leaf.key.serialize_pem())}}],
            "contexts": [{"name": "roadstead", "context": {"cluster": "roadstead", "user": user}}],
        })
        .to_string()
    }
}

/// Returns the name, without ending, of the files of the authority for the portal at `address`.
pub(crate) fn portal_authority(address: IpAddr) -> String {
    format!("portal-ca-{}", address.to_string().replace(':', "-"))
}

impl Authority {
    fn open(paths: &Paths, file: &str, name: &str, constraints: Option<NameConstraints>) -> anyhow::Result<Authority> {
        let (cert, key) = (paths.pki().join(format!("{file}.crt")), paths.pki().join(format!("{file}.key")));
        if !cert.exists() || !key.exists() {
            let mut params = params(name, &[], AUTHORITY_DAYS);
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params.name_constraints = constraints;
            let pair = KeyPair::generate().context("failed to make a key")?;
            let pem = params.self_signed(&pair).with_context(|| format!("failed to sign the authority {name}"))?.pem();
            write_private(&key, pair.serialize_pem().as_bytes())?;
            write_private(&cert, pem.as_bytes())?;
        }
        let read = |path: &std::path::Path| {
            std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
        };
        let pem = read(&cert)?;
        let pair = KeyPair::from_pem(&read(&key)?)
            .with_context(|| format!("{} is damaged: restore it from a backup", key.display()))?;
        let issuer = Issuer::from_ca_cert_pem(&pem, pair)
            .with_context(|| format!("{} is damaged: restore it from a backup", cert.display()))?;
        Ok(Authority { pem, issuer })
    }

    fn sign(
        &self,
        name: &str,
        groups: &[&str],
        dns: &[&str],
        addresses: &[IpAddr],
        usage: ExtendedKeyUsagePurpose,
    ) -> anyhow::Result<Leaf> {
        let mut params = params(name, groups, LEAF_DAYS);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        for name in dns {
            params.subject_alt_names.push(SanType::DnsName((*name).try_into().context("a DNS name is not ASCII")?));
        }
        params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        let key = KeyPair::generate().context("failed to make a key")?;
        let certificate =
            params.signed_by(&key, &self.issuer).with_context(|| format!("failed to sign a certificate for {name}"))?;
        Ok(Leaf { pem: certificate.pem(), der: certificate.der().to_vec(), key })
    }
}

fn params(name: &str, groups: &[&str], days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    for group in groups {
        subject.push(DnType::OrganizationName, *group);
    }
    params.distinguished_name = subject;
    let day = |offset: i64| {
        let date =
            (base::clock::now() + jiff::SignedDuration::from_hours(24 * offset)).to_zoned(jiff::tz::TimeZone::UTC);
        rcgen::date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = day(-1);
    params.not_after = day(days);
    params
}
