//! Bearer tokens: fixed ones (kept as hashes) and signed ServiceAccount tokens
//! (JWT, ES256) that end by themselves, and die with what they are bound to.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{rbac::User, store::Snapshot};

/// Who issues ServiceAccount tokens, and the audience of those that name none.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// How long a bound token outlives the deletion mark of what it is bound to, in seconds.
const LEEWAY: i64 = 60;

/// Why the signing key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the ServiceAccount signing key is not a P-256 key in PKCS #8: {0}")]
pub struct InvalidKey(String);

/// What issues and checks tokens.
pub struct Tokens {
    fixed: HashMap<[u8; 32], User>,
    key: EcdsaKeyPair,
    /// Tells which key signed a token.
    id: String,
    random: SystemRandom,
}

/// Whose token it is, and for whom of those that were asked about.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) user: User,
    pub(crate) audiences: Vec<String>,
}

/// What a token is to say.
pub(crate) struct Claims<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) account: &'a str,
    pub(crate) uid: &'a str,
    pub(crate) seconds: i64,
    /// After how many seconds its bearer should have another, if that is before it ends.
    pub(crate) warn_after: Option<i64>,
    /// For whom; none: for the API itself.
    pub(crate) audiences: Vec<String>,
    /// What it dies with: `pod`, `secret`, `node` with their names and uids.
    pub(crate) bound: Vec<(&'static str, Value)>,
}

impl Tokens {
    /// Returns tokens signed by `key` (PKCS #8, P-256), and `fixed` ones beside them.
    pub fn new(key: &[u8], fixed: impl IntoIterator<Item = (String, User)>) -> Result<Tokens, InvalidKey> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key, &random)
            .map_err(|error| InvalidKey(error.to_string()))?;
        let fixed = fixed.into_iter().map(|(token, user)| (hash(&token), user)).collect();
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(key.public_key().as_ref()));
        Ok(Tokens { fixed, key, id, random })
    }

    /// Returns a new signing key in PKCS #8.
    pub fn generate_key() -> Vec<u8> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .expect("the system gives random bytes")
            .as_ref()
            .to_vec()
    }

    /// Returns the public key as a JSON web key set.
    pub(crate) fn key_set(&self) -> Value {
        // An uncompressed point: a mark, then 32 bytes each.
        let point = self.key.public_key().as_ref();
        let half = |range| URL_SAFE_NO_PAD.encode(point.get::<std::ops::Range<usize>>(range).unwrap_or_default());
        json!({"keys": [{"use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256",
            "x": half(1..33), "y": half(33..65)}]})
    }

    /// Returns a token of a ServiceAccount and when it ends, RFC 3339.
    pub(crate) fn issue(&self, wanted: Claims<'_>) -> (String, String) {
        let now = base::clock::now();
        let after = |seconds| now + jiff::SignedDuration::from_secs(seconds);
        let expires = after(wanted.warn_after.unwrap_or(wanted.seconds));
        let audiences = if wanted.audiences.is_empty() { vec![ISSUER.to_owned()] } else { wanted.audiences };
        let (namespace, name) = (wanted.namespace, wanted.account);
        let mut claims = json!({
            "iss": ISSUER, "aud": audiences, "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "iat": now.as_second(), "nbf": now.as_second(), "exp": after(wanted.seconds).as_second(), "jti": uuid::Uuid::new_v4().to_string(),
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": wanted.uid}},
        });
        if let Some(seconds) = wanted.warn_after {
            claims["kubernetes.io"]["warnafter"] = after(seconds).as_second().into();
        }
        for (what, reference) in wanted.bound {
            claims["kubernetes.io"][what] = reference;
        }
        let head = URL_SAFE_NO_PAD.encode(json!({"alg": "ES256", "kid": self.id}).to_string());
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.key.sign(&self.random, signed.as_bytes()).expect("the system gives random bytes");
        let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        (format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)), expires)
    }

    /// Returns whose token it is, or why it is nobody's. It must be for one of `audiences`; none: for the API.
    /// A ServiceAccount's token dies with its account and with what it is bound to.
    pub(crate) fn check(&self, token: &str, objects: &Snapshot, audiences: &[String]) -> Result<Known, String> {
        let own = [ISSUER.to_owned()];
        let wanted = if audiences.is_empty() { &own[..] } else { audiences };
        // Tokens are looked up by hash: comparing them would tell by its time how much of one is right.
        let (user, tokens_own) = match self.fixed.get(&hash(token)) {
            Some(user) => (user.clone(), own.to_vec()),
            None => self.account(token, objects)?,
        };
        let audiences: Vec<String> = wanted.iter().filter(|audience| tokens_own.contains(audience)).cloned().collect();
        if audiences.is_empty() {
            let (had, wanted) = (crate::rbac::quoted(&tokens_own), crate::rbac::quoted(wanted));
            return Err(format!("token audiences {had} is invalid for the target audiences {wanted}"));
        }
        Ok(Known { user, audiences })
    }

    fn account(&self, token: &str, objects: &Snapshot) -> Result<(User, Vec<String>), String> {
        let claims = self.claims(token).ok_or("invalid bearer token")?;
        let now = base::clock::now().as_second();
        if claims["exp"].as_i64().is_none_or(|ends| ends <= now) {
            return Err("service account token has expired".into());
        }
        if claims["nbf"].as_i64().is_none_or(|begins| begins > now) || claims["iss"] != ISSUER {
            return Err("service account token is not valid yet".into());
        }
        let bound = &claims["kubernetes.io"];
        let of = |what: &str, field: &str| bound[what][field].as_str().unwrap_or_default();
        let (namespace, name) = (bound["namespace"].as_str().unwrap_or_default(), of("serviceaccount", "name"));
        let uid_of = |object: &Value| object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let found = |key: String| objects.get(&key).map(|entry| entry.value());
        let account = found(format!("core/serviceaccounts/{namespace}/{name}"))
            .ok_or_else(|| format!("serviceaccounts {name:?} not found"))?;
        let (is, was) = (uid_of(&account), of("serviceaccount", "uid"));
        if is != was {
            return Err(format!("service account UID ({is}) does not match claim ({was})"));
        }
        if deleted_since(&account, now) {
            return Err(format!("service account {namespace}/{name} has been deleted"));
        }
        // What a token is bound to may be gone, or be another of its name.
        let lives = |what: &str, key: String| {
            let object = found(key).filter(|object| !deleted_since(object, now));
            let object = object.ok_or("service account token has been invalidated")?;
            let (is, was) = (uid_of(&object), of(what, "uid"));
            if is == was {
                return Ok(());
            }
            Err(format!("{what} UID ({is}) does not match service account {what} ref claim ({was})"))
        };
        let mut user = User::new(
            &format!("system:serviceaccount:{namespace}:{name}"),
            &["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}")],
        );
        of("serviceaccount", "uid").clone_into(&mut user.uid);
        let mut say = |key: &str, value: &str| {
            user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
        };
        if let Some(id) = claims["jti"].as_str() {
            say("credential-id", &format!("JTI={id}"));
        }
        if bound["secret"].is_object() {
            lives("secret", format!("core/secrets/{namespace}/{}", of("secret", "name")))?;
        }
        if bound["pod"].is_object() {
            lives("pod", format!("core/pods/{namespace}/{}", of("pod", "name")))?;
            say("pod-name", of("pod", "name"));
            say("pod-uid", of("pod", "uid"));
        }
        if bound["node"].is_object() {
            // A pod's token outlives its Node object; one that is bound to the node does not.
            if !bound["pod"].is_object() {
                lives("node", format!("core/nodes//{}", of("node", "name")))?;
            }
            say("node-name", of("node", "name"));
            say("node-uid", of("node", "uid"));
        }
        let audiences = claims["aud"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok((user, audiences.map(str::to_owned).collect()))
    }

    /// Returns what a token says, if this server signed it.
    fn claims(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref())
            .verify(signed.as_bytes(), &signature)
            .ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?).ok()
    }
}

fn deleted_since(object: &Value, now: i64) -> bool {
    let at = object["metadata"]["deletionTimestamp"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    at.is_some_and(|at| at.as_second() + LEEWAY < now)
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Expect, Store, Write};

    fn claims(uid: &str, seconds: i64) -> Claims<'_> {
        Claims {
            namespace: "a",
            account: "bot",
            uid,
            seconds,
            warn_after: None,
            audiences: Vec::new(),
            bound: Vec::new(),
        }
    }

    async fn put(store: &Store, key: &str, uid: &str) {
        let object = json!({"metadata": {"uid": uid}});
        let expect = match store.snapshot().get(key) {
            Some(entry) => Expect::Revision(entry.revision),
            None => Expect::Absent,
        };
        store.write(key, expect, Write::Put(object)).await.unwrap();
    }

    #[tokio::test]
    async fn a_token_is_its_accounts_until_the_account_goes() {
        let store = Store::in_memory().unwrap();
        put(&store, "core/serviceaccounts/a/bot", "u1").await;
        let tokens =
            Tokens::new(&Tokens::generate_key(), [("fixed".to_owned(), User::new("root", &["system:masters"]))])
                .unwrap();
        let (token, _) = tokens.issue(claims("u1", 600));
        let snapshot = store.snapshot();
        let user = |token: &str| tokens.check(token, &snapshot, &[]).map(|known| known.user);
        assert_eq!(user(&token).unwrap().name, "system:serviceaccount:a:bot");
        assert_eq!(user("fixed").unwrap().name, "root");
        assert!(user("other").is_err());
        assert!(user(&tokens.issue(claims("u1", -1)).0).is_err(), "it ended");
        assert!(user(&tokens.issue(claims("u2", 600)).0).is_err(), "the account was made anew");
        let foreign = Tokens::new(&Tokens::generate_key(), []).unwrap();
        assert!(foreign.check(&token, &snapshot, &[]).is_err());
    }

    #[tokio::test]
    async fn a_bound_token_dies_with_its_pod() {
        let store = Store::in_memory().unwrap();
        let tokens = Tokens::new(&Tokens::generate_key(), []).unwrap();
        let pod = uuid::Uuid::new_v4().to_string();
        put(&store, "core/serviceaccounts/a/bot", "u1").await;
        put(&store, "core/pods/a/p", &pod).await;
        let bound = vec![("pod", json!({"name": "p", "uid": pod})), ("node", json!({"name": "n", "uid": "x"}))];
        let (token, _) = tokens.issue(Claims { bound, ..claims("u1", 600) });
        let user = tokens.check(&token, &store.snapshot(), &[]).unwrap().user;
        assert_eq!(user.extra["authentication.kubernetes.io/pod-uid"], [pod]);
        assert_eq!(user.extra["authentication.kubernetes.io/node-name"], ["n"]);
        put(&store, "core/pods/a/p", "another").await;
        assert!(tokens.check(&token, &store.snapshot(), &[]).is_err());
    }

    #[tokio::test]
    async fn a_token_is_for_its_audiences_alone() {
        let store = Store::in_memory().unwrap();
        put(&store, "core/serviceaccounts/a/bot", "u1").await;
        let tokens = Tokens::new(&Tokens::generate_key(), []).unwrap();
        let (token, _) = tokens.issue(Claims { audiences: vec!["vault".into(), "x".into()], ..claims("u1", 600) });
        let snapshot = store.snapshot();
        let why = tokens.check(&token, &snapshot, &[]).unwrap_err();
        assert!(why.starts_with("token audiences [\"vault\" \"x\"] is invalid for the target audiences"), "{why}");
        let known = tokens.check(&token, &snapshot, &["y".into(), "vault".into()]).unwrap();
        assert_eq!(known.audiences, ["vault"]);
    }
}
