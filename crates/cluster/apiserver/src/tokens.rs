//! Bearer tokens: fixed ones (kept as hashes) and signed ServiceAccount tokens
//! (JWT, ES256) that end by themselves.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{rbac::User, store::Snapshot};

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Why the signing key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the ServiceAccount signing key is not a P-256 key in PKCS #8: {0}")]
pub struct InvalidKey(String);

/// What issues and checks tokens.
pub struct Tokens {
    fixed: HashMap<[u8; 32], User>,
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Tokens {
    /// Returns tokens signed by `key` (PKCS #8, P-256), and `fixed` ones beside them.
    pub fn new(key: &[u8], fixed: impl IntoIterator<Item = (String, User)>) -> Result<Tokens, InvalidKey> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key, &random)
            .map_err(|error| InvalidKey(error.to_string()))?;
        let fixed = fixed.into_iter().map(|(token, user)| (hash(&token), user)).collect();
        Ok(Tokens { fixed, key, random })
    }

    /// Returns a new signing key in PKCS #8.
    pub fn generate_key() -> Vec<u8> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .expect("the system gives random bytes")
            .as_ref()
            .to_vec()
    }

    /// Returns a token of a ServiceAccount and when it ends, RFC 3339.
    pub(crate) fn issue(&self, namespace: &str, name: &str, uid: &str, seconds: i64) -> (String, String) {
        let now = base::clock::now();
        let expires = now + jiff::SignedDuration::from_secs(seconds);
        let claims = json!({
            "iss": ISSUER, "aud": [ISSUER], "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "iat": now.as_second(), "nbf": now.as_second(), "exp": expires.as_second(), "jti": uuid::Uuid::new_v4().to_string(),
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
        });
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"JWT"}"#);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.key.sign(&self.random, signed.as_bytes()).expect("the system gives random bytes");
        let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        (format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)), expires)
    }

    /// Returns whose token it is. A ServiceAccount's token dies with its account.
    pub(crate) fn user(&self, token: &str, objects: &Snapshot) -> Option<User> {
        // Tokens are looked up by hash: comparing them would tell by its time how much of one is right.
        self.fixed.get(&hash(token)).cloned().or_else(|| self.account(token, objects))
    }

    fn account(&self, token: &str, objects: &Snapshot) -> Option<User> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref())
            .verify(signed.as_bytes(), &signature)
            .ok()?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?).ok()?;
        let now = base::clock::now().as_second();
        if claims["exp"].as_i64()? <= now || claims["nbf"].as_i64()? > now || claims["iss"] != ISSUER {
            return None;
        }
        let bound = &claims["kubernetes.io"];
        let (namespace, name, uid) = (
            bound["namespace"].as_str()?,
            bound["serviceaccount"]["name"].as_str()?,
            bound["serviceaccount"]["uid"].as_str()?,
        );
        let account = objects.get(&format!("core/serviceaccounts/{namespace}/{name}"))?.value();
        if account["metadata"]["uid"] != uid {
            return None;
        }
        let mut user = User::new(
            &format!("system:serviceaccount:{namespace}:{name}"),
            &["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}")],
        );
        uid.clone_into(&mut user.uid);
        Some(user)
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Expect, Store, Write};

    #[tokio::test]
    async fn a_token_is_its_accounts_until_the_account_goes() {
        let store = Store::in_memory().unwrap();
        let account = json!({"metadata": {"name": "bot", "uid": "u1"}});
        store.write("core/serviceaccounts/a/bot", Expect::Absent, Write::Put(account)).await.unwrap();
        let tokens =
            Tokens::new(&Tokens::generate_key(), [("fixed".to_owned(), User::new("root", &["system:masters"]))])
                .unwrap();
        let (token, _) = tokens.issue("a", "bot", "u1", 600);
        let snapshot = store.snapshot();
        assert_eq!(tokens.user(&token, &snapshot).unwrap().name, "system:serviceaccount:a:bot");
        assert_eq!(tokens.user("fixed", &snapshot).unwrap().name, "root");
        assert!(tokens.user("other", &snapshot).is_none());
        let (ended, _) = tokens.issue("a", "bot", "u1", -1);
        assert!(tokens.user(&ended, &snapshot).is_none());
        let (of_another, _) = tokens.issue("a", "bot", "u2", 600);
        assert!(tokens.user(&of_another, &snapshot).is_none());
        let foreign = Tokens::new(&Tokens::generate_key(), []).unwrap();
        assert!(foreign.user(&token, &snapshot).is_none());
    }
}
