//! Private keys and certificates, as `genCA`, `genSignedCert` and their kin give them.

use std::{net::IpAddr, rc::Rc};

use base64::{Engine, engine::general_purpose::STANDARD};
use p256::elliptic_curve::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rsa::{
    RsaPrivateKey,
    pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPrivateKey as _},
};

use ::time::OffsetDateTime;

use super::{int, text};
use crate::{
    Value, World,
    template::{Call, Funcs},
    value::Object,
};

pub(super) fn add(funcs: &mut Funcs) {
    super::drawing!();
    funcs.add_call("genPrivateKey", "s", drawn!(|world, args| private_key(world, text(&args[0])).map(Value::str)));
    funcs.add("buildCustomCert", "ss", |args| custom(text(&args[0]), text(&args[1])));
    funcs.add_call("genCA", "si", drawn!(|world, args| authority(world, args, &fresh_rsa(world)?)));
    funcs.add_call("genCAWithKey", "sis", drawn!(|world, args| authority(world, args, text(&args[2]))));
    funcs.add_call("genSelfSignedCert", "slli", drawn!(|world, args| self_signed(world, args, &fresh_rsa(world)?)));
    funcs.add_call("genSelfSignedCertWithKey", "sllis", drawn!(|world, args| self_signed(world, args, text(&args[4]))));
    funcs.add_call("genSignedCert", "sllic", drawn!(|world, args| signed(world, args, &fresh_rsa(world)?)));
    funcs.add_call("genSignedCertWithKey", "sllics", drawn!(|world, args| signed(world, args, text(&args[5]))));
}

/// Sprig's pair of a certificate and its key, both PEM.
struct Pair {
    cert: String,
    key: String,
}

impl Pair {
    fn value(self) -> Value {
        Value::Object(Rc::new(self))
    }
}

impl Object for Pair {
    fn type_name(&self) -> &'static str {
        "sprig.certificate"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Cert" => Some(Value::str(&self.cert)),
            "Key" => Some(Value::str(&self.key)),
            _ => None,
        }
    }

    fn call(&self, _name: &str, _args: &[Value]) -> Option<Result<Value, String>> {
        None
    }

    fn text(&self) -> String {
        format!("{{{} {}}}", self.cert, self.key)
    }

    fn plain(&self) -> Value {
        Value::pairs([("Cert", Value::str(&self.cert)), ("Key", Value::str(&self.key))])
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

fn private_key(world: &World, kind: &str) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("failed to generate private key: {error}");
    match kind {
        "" | "rsa" => rsa_pem(world, 4096),
        "ecdsa" => {
            let key = world.with_random(p256::SecretKey::random);
            key.to_sec1_pem(LineEnding::LF).map(|pem| pem.to_string()).map_err(|error| failed(&error))
        }
        "ed25519" => {
            // PKCS #8 of an Ed25519 key (RFC 8410): what comes before its 32 bytes is always the same.
            let mut der = [0; 48];
            der[..16].copy_from_slice(&[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20]);
            world.fill(&mut der[16..]);
            Ok(pem("PRIVATE KEY", &der))
        }
        "dsa" => {
            Err("dsa keys are not made here, because nothing takes them any more; use ed25519 or ecdsa".to_owned())
        }
        other => Ok(format!("Unknown type {other}")),
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let packed = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in packed.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}

fn fresh_rsa(world: &World) -> Result<String, String> {
    rsa_pem(world, 2048)
}

fn rsa_pem(world: &World, bits: usize) -> Result<String, String> {
    let key = world
        .with_random(|random| RsaPrivateKey::new(random, bits))
        .map_err(|error| format!("error generating rsa key: {error}"))?;
    key.to_pkcs1_pem(LineEnding::LF)
        .map(|pem| pem.to_string())
        .map_err(|error| format!("error generating rsa key: {error}"))
}

/// Reads any of the forms of a private key for signing.
fn key_pair(text: &str) -> Result<KeyPair, String> {
    let label = text
        .split_once("-----BEGIN ")
        .and_then(|(_, rest)| rest.split_once("-----"))
        .map(|(label, _)| label)
        .ok_or("no PEM data in input")?;
    let pkcs8 = match label {
        "RSA PRIVATE KEY" => RsaPrivateKey::from_pkcs1_pem(text)
            .map_err(|error| error.to_string())
            .and_then(|key| key.to_pkcs8_pem(LineEnding::LF).map_err(|error| error.to_string()))
            .map_err(|error| format!("parsing RSA private key from PEM: {error}"))?
            .to_string(),
        "EC PRIVATE KEY" => p256::SecretKey::from_sec1_pem(text)
            .map_err(|error| error.to_string())
            .and_then(|key| key.to_pkcs8_pem(LineEnding::LF).map_err(|error| error.to_string()))
            .map_err(|error| format!("parsing EC private key from PEM: {error}"))?
            .to_string(),
        "PRIVATE KEY" => with_public_key(text)?,
        other if other.ends_with(" PRIVATE KEY") => {
            return Err(format!("invalid private key type {}", other.trim_end_matches(" PRIVATE KEY")));
        }
        other => return Err(format!("no private key data in PEM block of type {other}")),
    };
    KeyPair::from_pem(&pkcs8).map_err(|error| format!("decoding PEM as PKCS#8: {error}"))
}

/// A P-256 key may come without its public half, which the signer wants.
fn with_public_key(text: &str) -> Result<String, String> {
    match p256::SecretKey::from_pkcs8_pem(text) {
        Ok(key) => key.to_pkcs8_pem(LineEnding::LF).map(|pem| pem.to_string()).map_err(|error| error.to_string()),
        Err(_) => Ok(text.to_owned()),
    }
}

fn custom(cert: &str, key: &str) -> Result<Value, String> {
    let decoded = |packed: &str, what: &str| {
        let bytes = STANDARD.decode(packed).map_err(|_bad| format!("unable to decode base64 {what}"))?;
        String::from_utf8(bytes).map_err(|_bad| format!("unable to decode {what}"))
    };
    let (cert, key) = (decoded(cert, "certificate")?, decoded(key, "private key")?);
    if !cert.contains("-----BEGIN CERTIFICATE-----") {
        return Err("unable to decode certificate".to_owned());
    }
    let pair = key_pair(&key).map_err(|error| format!("error parsing private key: {error}"))?;
    Issuer::from_ca_cert_pem(&cert, pair)
        .map_err(|error| format!("error parsing certificate: decodedCert.Bytes: {error}"))?;
    Ok(Pair { cert, key }.value())
}

fn params(world: &World, name: &str, days: i64) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let mut serial = [0; 16];
    world.fill(&mut serial);
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let begin = world.time()?.timestamp();
    let end = days
        .checked_mul(86_400)
        .and_then(|seconds| begin.checked_add(jiff::SignedDuration::from_secs(seconds)).ok())
        .ok_or("the certificate would end after the last day of the calendar")?;
    let moment = |at: jiff::Timestamp| {
        OffsetDateTime::from_unix_timestamp(at.as_second())
            .map_err(|error| format!("error creating certificate: {error}"))
    };
    (params.not_before, params.not_after) = (moment(begin)?, moment(end)?);
    Ok(params)
}

fn names(params: &mut CertificateParams, ips: &Value, hosts: &Value) -> Result<(), String> {
    for ip in ips.items().unwrap_or_default().iter() {
        let Value::Str(shown) = ip else {
            return Err(format!("error parsing ip: {} is not a string", crate::gofmt::verb_v(ip)));
        };
        let ip: IpAddr = shown.parse().map_err(|_none| format!("error parsing ip: {shown}"))?;
        params.subject_alt_names.push(SanType::IpAddress(ip));
    }
    for host in hosts.items().unwrap_or_default().iter() {
        let Value::Str(shown) = host else {
            let shown = crate::gofmt::verb_v(host);
            return Err(format!("error processing alternate dns name: {shown} is not a string"));
        };
        let name = shown.to_string().try_into().map_err(|error| format!("error creating certificate: {error}"))?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    Ok(())
}

fn authority(world: &World, args: &[Value], key: &str) -> Result<Value, String> {
    let mut params = params(world, text(&args[0]), int(&args[1]))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    sign_itself(&params, key)
}

fn self_signed(world: &World, args: &[Value], key: &str) -> Result<Value, String> {
    let mut params = params(world, text(&args[0]), int(&args[3]))?;
    params.is_ca = IsCa::ExplicitNoCa;
    names(&mut params, &args[1], &args[2])?;
    sign_itself(&params, key)
}

fn sign_itself(params: &CertificateParams, key: &str) -> Result<Value, String> {
    let pair = key_pair(key).map_err(|error| format!("parsing private key: {error}"))?;
    let cert = params.self_signed(&pair).map_err(|error| format!("error creating certificate: {error}"))?;
    Ok(Pair { cert: cert.pem().replace("\r\n", "\n"), key: key.to_owned() }.value())
}

fn signed(world: &World, args: &[Value], key: &str) -> Result<Value, String> {
    let authority = match &args[4] {
        Value::Object(object) => object.as_any().and_then(|any| any.downcast_ref::<Pair>()),
        _ => None,
    }
    .ok_or("unable to decode certificate")?;
    let signer = key_pair(&authority.key).map_err(|error| format!("error parsing private key: {error}"))?;
    let issuer = Issuer::from_ca_cert_pem(&authority.cert, signer)
        .map_err(|error| format!("error parsing certificate: decodedSignerCert.Bytes: {error}"))?;
    let mut params = params(world, text(&args[0]), int(&args[3]))?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    names(&mut params, &args[1], &args[2])?;
    let pair = key_pair(key).map_err(|error| format!("parsing private key: {error}"))?;
    let cert = params.signed_by(&pair, &issuer).map_err(|error| format!("error creating certificate: {error}"))?;
    Ok(Pair { cert: cert.pem().replace("\r\n", "\n"), key: key.to_owned() }.value())
}
