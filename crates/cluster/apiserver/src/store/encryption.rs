//! What lies on disk encrypted, and how: an `EncryptionConfiguration` of
//! `apiserver.config.k8s.io/v1`. The first provider of a resource writes, all of them read.
//!
//! A sealed value says with which provider and key it was sealed, in Kubernetes' own
//! form: `k8s:enc:aescbc:v1:KEY:` before the bytes. Outside the store nothing is sealed.

use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit, block_padding::Pkcs7};
use base64::{Engine, engine::general_purpose::STANDARD};
use crypto_secretbox::{KeyInit, XSalsa20Poly1305, aead::Aead};
use ring::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use serde_json::Value;

const MARK: &[u8] = b"k8s:enc:";

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the encryption configuration cannot be used: {field}: {reason}")]
pub struct InvalidEncryption {
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Which resources are sealed by which providers.
#[derive(Debug, Default)]
pub struct Encryption {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    resources: Vec<String>,
    providers: Vec<Provider>,
}

enum Provider {
    Identity,
    AesCbc(String, Vec<u8>),
    AesGcm(String, Box<LessSafeKey>),
    SecretBox(String, XSalsa20Poly1305),
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys stay where they are.
        formatter.write_str(&String::from_utf8_lossy(&self.prefix()))
    }
}

/// A value as it was sealed, opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) bytes: Vec<u8>,
    /// It was sealed by another provider or key than the one that writes today.
    pub(super) stale: bool,
}

impl Encryption {
    /// Reads a configuration file: YAML or JSON.
    pub fn parse(text: &str) -> Result<Encryption, InvalidEncryption> {
        let value: Value =
            serde_saphyr::from_str(text).map_err(|error| invalid("configuration", &error.to_string()))?;
        known(&value, "", &["apiVersion", "kind", "resources"])?;
        for (field, expected) in [("apiVersion", "apiserver.config.k8s.io/v1"), ("kind", "EncryptionConfiguration")] {
            if value[field] != expected {
                return Err(invalid(field, &format!("expected {expected}, found {}", value[field])));
            }
        }
        let rules = value["resources"].as_array().filter(|rules| !rules.is_empty());
        let rules = rules.ok_or_else(|| invalid("resources", "at least one item is needed"))?;
        let rules = rules.iter().enumerate().map(|(index, rule)| Rule::read(rule, &format!("resources[{index}]")));
        Ok(Encryption { rules: rules.collect::<Result<_, _>>()? })
    }

    fn providers(&self, key: &str) -> &[Provider] {
        let mut parts = key.split('/');
        let (group, plural) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let group = if group == "core" { "" } else { group };
        let fits = |wanted: &str| {
            let (resource, of) = wanted.split_once('.').unwrap_or((wanted, ""));
            wanted == "*.*" || of == group && (resource == plural || resource == "*" && wanted.contains('.'))
        };
        let rule = self.rules.iter().find(|rule| rule.resources.iter().any(|wanted| fits(wanted)));
        rule.map_or(&[Provider::Identity], |rule| &rule.providers)
    }

    /// Returns what is written to disk for `bytes`.
    pub(super) fn seal(&self, key: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
        match self.providers(key).first() {
            Some(provider) => provider.seal(key, bytes),
            None => Ok(bytes.to_vec()),
        }
    }

    /// Returns what was sealed.
    pub(super) fn open(&self, key: &str, sealed: &[u8]) -> Result<Opened, String> {
        let providers = self.providers(key);
        for (index, provider) in providers.iter().enumerate() {
            let prefix = provider.prefix();
            if matches!(provider, Provider::Identity) && sealed.starts_with(MARK) {
                continue;
            }
            if let Some(body) = sealed.strip_prefix(prefix.as_slice()) {
                let bytes =
                    provider.open(key, body).ok_or("it does not open with the key it names: is the key right?")?;
                return Ok(Opened { bytes, stale: index > 0 });
            }
        }
        let how =
            sealed.strip_prefix(MARK).map_or("not encrypted, and no identity provider reads it".to_owned(), |rest| {
                let name: Vec<_> = rest.split(|byte| *byte == b':').take(3).map(String::from_utf8_lossy).collect();
                format!("encrypted with {}, which no provider of the configuration reads", name.join(":"))
            });
        Err(how)
    }
}

impl Rule {
    fn read(rule: &Value, at: &str) -> Result<Rule, InvalidEncryption> {
        known(rule, at, &["resources", "providers"])?;
        let list = |name: &str| rule[name].as_array().filter(|list| !list.is_empty());
        let resources =
            list("resources").ok_or_else(|| invalid(&format!("{at}.resources"), "at least one is needed"))?;
        let providers =
            list("providers").ok_or_else(|| invalid(&format!("{at}.providers"), "at least one is needed"))?;
        let mut read = Vec::new();
        for (index, provider) in providers.iter().enumerate() {
            let at = format!("{at}.providers[{index}]");
            let entry = provider.as_object().filter(|map| map.len() == 1).and_then(|map| map.iter().next());
            let (kind, settings) = entry.ok_or_else(|| invalid(&at, "must name exactly one provider"))?;
            read.extend(Provider::read(kind, settings, &format!("{at}.{kind}"))?);
        }
        Ok(Rule { resources: resources.iter().filter_map(Value::as_str).map(str::to_owned).collect(), providers: read })
    }
}

impl Provider {
    fn read(kind: &str, settings: &Value, at: &str) -> Result<Vec<Provider>, InvalidEncryption> {
        match kind {
            "identity" => return Ok(vec![Provider::Identity]),
            "aescbc" | "aesgcm" | "secretbox" => {}
            "kms" => return Err(invalid(at, "key management services are not supported")),
            _ => return Err(invalid(at, "no such provider")),
        }
        known(settings, at, &["keys"])?;
        let keys = settings["keys"].as_array().filter(|keys| !keys.is_empty());
        let keys = keys.ok_or_else(|| invalid(&format!("{at}.keys"), "at least one is needed"))?;
        let read = keys.iter().enumerate().map(|(index, key)| {
            let at = format!("{at}.keys[{index}]");
            known(key, &at, &["name", "secret"])?;
            let name = key["name"].as_str().filter(|name| !name.is_empty() && !name.contains(':'));
            let name =
                name.ok_or_else(|| invalid(&format!("{at}.name"), "a name without colons is needed"))?.to_owned();
            let bad = |why: &str| invalid(&format!("{at}.secret"), why);
            let secret = key["secret"].as_str().ok_or_else(|| bad("is needed"))?;
            let secret = STANDARD.decode(secret).map_err(|_| bad("is not base64"))?;
            match (kind, secret.len()) {
                ("secretbox", 32) => Ok(Provider::SecretBox(name, XSalsa20Poly1305::new(secret.as_slice().into()))),
                ("secretbox", _) => Err(bad("must be of 32 bytes")),
                ("aescbc", 16 | 24 | 32) => Ok(Provider::AesCbc(name, secret)),
                ("aesgcm", 16 | 32) => {
                    let algorithm = if secret.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
                    let key = UnboundKey::new(algorithm, &secret).map_err(|_| bad("is not a key"))?;
                    Ok(Provider::AesGcm(name, Box::new(LessSafeKey::new(key))))
                }
                ("aesgcm", _) => Err(bad("must be of 16 or 32 bytes")),
                _ => Err(bad("must be of 16, 24 or 32 bytes")),
            }
        });
        read.collect()
    }

    fn prefix(&self) -> Vec<u8> {
        match self {
            Provider::Identity => Vec::new(),
            Provider::AesCbc(name, _) => format!("k8s:enc:aescbc:v1:{name}:").into_bytes(),
            Provider::AesGcm(name, _) => format!("k8s:enc:aesgcm:v1:{name}:").into_bytes(),
            Provider::SecretBox(name, _) => format!("k8s:enc:secretbox:v1:{name}:").into_bytes(),
        }
    }

    fn seal(&self, key: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let random = SystemRandom::new();
        let fill = |place: &mut [u8]| random.fill(place).map_err(|_| "the system gives no random bytes".to_owned());
        let mut out = self.prefix();
        match self {
            Provider::Identity => out.extend_from_slice(bytes),
            Provider::AesCbc(_, secret) => {
                let mut iv = [0_u8; 16];
                fill(&mut iv)?;
                out.extend_from_slice(&iv);
                out.extend(cbc_encrypt(secret, &iv, bytes).ok_or("the key has a length that AES does not take")?);
            }
            Provider::AesGcm(_, secret) => {
                let mut nonce = [0_u8; 12];
                fill(&mut nonce)?;
                let mut sealed = bytes.to_vec();
                secret
                    .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(key), &mut sealed)
                    .map_err(|_| "the value is too long to seal")?;
                out.extend_from_slice(&nonce);
                out.extend(sealed);
            }
            Provider::SecretBox(_, secret) => {
                let mut nonce = [0_u8; 24];
                fill(&mut nonce)?;
                out.extend_from_slice(&nonce);
                out.extend(secret.encrypt((&nonce).into(), bytes).map_err(|_| "the value is too long to seal")?);
            }
        }
        Ok(out)
    }

    fn open(&self, key: &str, body: &[u8]) -> Option<Vec<u8>> {
        match self {
            Provider::Identity => Some(body.to_vec()),
            Provider::AesCbc(_, secret) => {
                let (iv, body) = body.split_first_chunk::<16>()?;
                cbc_decrypt(secret, iv, body)
            }
            Provider::AesGcm(_, secret) => {
                let (nonce, body) = body.split_first_chunk::<12>()?;
                let mut opened = body.to_vec();
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let length = secret.open_in_place(nonce, Aad::from(key), &mut opened).ok()?.len();
                opened.truncate(length);
                Some(opened)
            }
            Provider::SecretBox(_, secret) => {
                let (nonce, body) = body.split_first_chunk::<24>()?;
                secret.decrypt(nonce.into(), body).ok()
            }
        }
    }
}

fn cbc_encrypt(secret: &[u8], iv: &[u8; 16], bytes: &[u8]) -> Option<Vec<u8>> {
    Some(match secret.len() {
        16 => cbc::Encryptor::<aes::Aes128>::new_from_slices(secret, iv).ok()?.encrypt_padded_vec_mut::<Pkcs7>(bytes),
        24 => cbc::Encryptor::<aes::Aes192>::new_from_slices(secret, iv).ok()?.encrypt_padded_vec_mut::<Pkcs7>(bytes),
        _ => cbc::Encryptor::<aes::Aes256>::new_from_slices(secret, iv).ok()?.encrypt_padded_vec_mut::<Pkcs7>(bytes),
    })
}

fn cbc_decrypt(secret: &[u8], iv: &[u8; 16], body: &[u8]) -> Option<Vec<u8>> {
    match secret.len() {
        16 => cbc::Decryptor::<aes::Aes128>::new_from_slices(secret, iv).ok()?.decrypt_padded_vec_mut::<Pkcs7>(body),
        24 => cbc::Decryptor::<aes::Aes192>::new_from_slices(secret, iv).ok()?.decrypt_padded_vec_mut::<Pkcs7>(body),
        _ => cbc::Decryptor::<aes::Aes256>::new_from_slices(secret, iv).ok()?.decrypt_padded_vec_mut::<Pkcs7>(body),
    }
    .ok()
}

fn invalid(field: &str, reason: &str) -> InvalidEncryption {
    InvalidEncryption { field: field.trim_start_matches('.').to_owned(), reason: reason.to_owned() }
}

fn known(value: &Value, at: &str, fields: &[&str]) -> Result<(), InvalidEncryption> {
    let map = value.as_object().ok_or_else(|| invalid(at, "must be an object"))?;
    match map.keys().find(|key| !fields.contains(&key.as_str())) {
        Some(key) => Err(invalid(&format!("{at}.{key}"), "no such field")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn configuration(providers: &str) -> Result<Encryption, InvalidEncryption> {
        Encryption::parse(&format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets, 'widgets.example.com', '*.batch']\n  providers:\n{providers}"
        ))
    }

    fn keyed(kind: &str, name: &str, byte: u8) -> String {
        let secret = STANDARD.encode([byte; 32]);
        format!("  - {kind}:\n      keys:\n      - name: {name}\n        secret: {secret}\n")
    }

    const SECRET: &str = "core/secrets/default/s";

    proptest! {
        #[test]
        fn what_is_sealed_opens_again(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..3_usize) {
            let kind = ["aescbc", "aesgcm", "secretbox"][kind];
            let encryption = configuration(&keyed(kind, "key1", 1)).unwrap();
            let sealed = encryption.seal(SECRET, &bytes).unwrap();
            let prefix = format!("k8s:enc:{kind}:v1:key1:");
            prop_assert!(sealed.starts_with(prefix.as_bytes()));
            prop_assert_eq!(encryption.open(SECRET, &sealed).unwrap(), Opened { bytes, stale: false });
        }
    }

    #[test]
    fn the_first_provider_writes_and_all_read() {
        let old = configuration(&keyed("aescbc", "key1", 1)).unwrap();
        let both = format!("{}{}  - identity: {{}}\n", keyed("secretbox", "key2", 2), keyed("aescbc", "key1", 1));
        let both = configuration(&both).unwrap();
        let sealed = old.seal(SECRET, b"{}").unwrap();
        assert_eq!(both.open(SECRET, &sealed).unwrap(), Opened { bytes: b"{}".to_vec(), stale: true });
        assert_eq!(both.open(SECRET, b"{}").unwrap(), Opened { bytes: b"{}".to_vec(), stale: true });
        let anew = both.seal(SECRET, b"{}").unwrap();
        assert_eq!(
            old.open(SECRET, &anew).unwrap_err(),
            "encrypted with secretbox:v1:key2, which no provider of the configuration reads"
        );
        assert!(old.open(SECRET, b"{}").is_err(), "without identity nothing plain is read");
        let wrong = configuration(&keyed("aescbc", "key1", 9)).unwrap();
        assert!(wrong.open(SECRET, &sealed).is_err() || wrong.open(SECRET, &sealed).unwrap().bytes != b"{}");
    }

    #[test]
    fn only_what_is_named_is_sealed() {
        let encryption = configuration(&keyed("aesgcm", "k", 1)).unwrap();
        for (key, sealed) in [
            (SECRET, true),
            ("example.com/widgets/default/w", true),
            ("batch/jobs/default/j", true),
            ("core/configmaps/default/m", false),
            ("example.com/secrets/default/s", false),
        ] {
            assert_eq!(encryption.seal(key, b"{}").unwrap() != b"{}", sealed, "{key}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_its_field() {
        let field = |providers: &str| configuration(providers).unwrap_err().field;
        assert_eq!(field("  - kms: {name: x}\n"), "resources[0].providers[0].kms");
        let short = "  - aescbc:\n      keys:\n      - name: a\n        secret: c2hvcnQ=\n";
        assert_eq!(field(short), "resources[0].providers[0].aescbc.keys[0].secret");
        assert_eq!(field("  - identity: {}\n  - rot13: {}\n"), "resources[0].providers[1].rot13");
    }
}
