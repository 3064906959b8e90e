//! Who sent a request, and whether they may do what it asks.

use std::{collections::HashMap, hash::Hash, sync::Arc, time::Duration};

use axum::extract::FromRequestParts;
use client::access::{User, Wish, allowed, authenticate, credential};
use http::{HeaderMap, Method, header, request::Parts};
use parking_lot::Mutex;
use platform::kinds::GROUP;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::{portal::App, problem::Problem};

/// The session's cookie.
pub(crate) const COOKIE: &str = "roadstead_session";
/// How long an answer of the API server is taken to hold.
const FRESH: Duration = Duration::from_secs(5);
/// The most answers kept.
const MOST: usize = 4096;

/// Answers of the API server, for a moment.
pub(crate) struct Recent<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Recent(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let kept = self.0.lock();
        kept.get(key).filter(|(since, _)| since.elapsed() < FRESH).map(|(_, value)| value.clone())
    }

    fn put(&self, key: K, value: V) {
        let mut kept = self.0.lock();
        if kept.len() >= MOST {
            kept.retain(|_, (since, _)| since.elapsed() < FRESH);
        }
        if kept.len() < MOST {
            kept.insert(key, (base::clock::instant(), value));
        }
    }
}

/// User, groups, verb, resource, namespace, name.
type WishKey = (String, Vec<String>, &'static str, &'static str, String, String);

/// What the access checks remember.
#[derive(Default)]
pub(crate) struct Memory {
    tokens: Recent<Vec<u8>, Option<User>>,
    wishes: Recent<WishKey, bool>,
}

/// How somebody has proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A token in the request.
    Token,
    /// A session cookie, which browsers send by themselves.
    Session,
}

/// Who sent a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) user: User,
    pub(crate) proof: Proof,
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        if let Some(token) = credential(&parts.headers) {
            let hash = Sha256::digest(&token).to_vec();
            let user = match app.memory.tokens.get(&hash) {
                Some(user) => user,
                None => {
                    let user = authenticate(&app.client, &token).await?;
                    app.memory.tokens.put(hash, user.clone());
                    user
                }
            };
            return user.map(|user| Caller { user, proof: Proof::Token }).ok_or(Problem::Unauthenticated);
        }
        let session = session(&parts.headers).ok_or(Problem::Unauthenticated)?;
        let user = app.sessions.user(session, base::clock::now().as_second()).ok_or(Problem::Unauthenticated)?;
        if !parts.method.is_safe() && parts.method != Method::OPTIONS && !own_origin(&parts.headers) {
            return Err(Problem::ForeignOrigin);
        }
        Ok(Caller { user, proof: Proof::Session })
    }
}

/// Returns the session's secret.
pub(crate) fn session(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}

/// Returns whether a browser says that one of the portal's own pages sent this.
///
/// Another port of the same host is the same site, so that the cookie's `SameSite` does not keep it out: its origin does.
fn own_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text("origin"), text("host")) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host)),
        _ => text("sec-fetch-site") == Some("same-origin"),
    }
}

impl App {
    /// Fails if `caller` may not do `verb` on a resource of the platform's group.
    pub(crate) async fn check(
        &self,
        caller: &Caller,
        verb: &'static str,
        resource: &'static str,
        namespace: &str,
        name: &str,
    ) -> Result<(), Problem> {
        let user = &caller.user;
        let key = (user.name.clone(), user.groups.clone(), verb, resource, namespace.to_owned(), name.to_owned());
        let may = match self.memory.wishes.get(&key) {
            Some(may) => may,
            None => {
                let may = allowed(&self.client, user, Wish { verb, group: GROUP, resource, namespace, name }).await?;
                self.memory.wishes.put(key, may);
                may
            }
        };
        if may { Ok(()) } else { Err(Problem::Forbidden { user: user.name.clone(), verb, resource }) }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_the_portals_own_pages_may_send_forms() {
        for (headers, own) in [
            (&[("origin", "http://localhost:8080"), ("host", "localhost:8080")][..], true),
            (&[("origin", "http://localhost:3000"), ("host", "localhost:8080")], false),
            (&[("origin", "null"), ("host", "localhost:8080")], false),
            (&[("host", "localhost:8080"), ("sec-fetch-site", "same-origin")], true),
            (&[("host", "localhost:8080"), ("sec-fetch-site", "same-site")], false),
            (&[("host", "localhost:8080")], false),
        ] {
            assert_eq!(own_origin(&map(headers)), own, "{headers:?}");
        }
    }

    #[test]
    fn the_session_is_found_among_cookies() {
        assert_eq!(session(&map(&[("cookie", "a=b; roadstead_session=s3cret; c=d")])), Some("s3cret"));
        assert_eq!(session(&map(&[("cookie", "other_roadstead_session=x")])), None);
    }
}
