//! Who is it, and may they: `TokenReview` and `SubjectAccessReview`.
//!
//! Every surface beside the Kubernetes API (REST, portal, git, registry) decides
//! through these two reviews, so that one set of tokens and RBAC rules holds everywhere.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, Request};
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec},
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, Client, api::PostParams, client::Body};

/// An authenticated user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's name, for example `system:admin`.
    pub name: String,
    /// The groups the user is in.
    pub groups: Vec<String>,
    /// The user's stable id, if the authenticator gives one.
    pub uid: Option<String>,
}

/// What a user wants to do with a resource.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// `get`, `list`, `create`, `update`, `delete`, …
    pub verb: &'a str,
    /// API group, for example `platform.io`; empty for the core group.
    pub group: &'a str,
    /// Plural resource name.
    pub resource: &'a str,
    /// Namespace, or empty for all or none.
    pub namespace: &'a str,
    /// Object name, or empty for any.
    pub name: &'a str,
}

/// Why a review gave no answer. It never means 'no'.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token could not be reviewed.
    #[error("failed to ask the API server whose token this is")]
    ReviewToken {
        /// The client's error.
        source: kube::Error,
    },
    /// The access could not be reviewed.
    #[error("failed to ask the API server whether {user} may {verb} {resource}")]
    ReviewAccess {
        /// Who asked.
        user: String,
        /// What for.
        verb: String,
        /// On what.
        resource: String,
        /// The client's error.
        source: kube::Error,
    },
}

/// Nobody can act as this user: no request can carry the name or group.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no name or group that a request can carry")]
pub struct Unnamed(pub String);

/// Returns a client that does everything as `user`, with that user's rights and no others.
///
/// It needs a `client` that may impersonate.
///
/// # Errors
///
/// The user has no name, or one that no header can carry.
pub fn acting_as(client: &Client, user: &User) -> Result<Client, Unnamed> {
    let value = |text: &str| {
        // An empty name would be nobody's: the request would be the client's own.
        let value = HeaderValue::from_str(text).ok().filter(|value| !value.is_empty());
        value.ok_or_else(|| Unnamed(text.to_owned()))
    };
    let mut headers = vec![(HeaderName::from_static("impersonate-user"), value(&user.name)?)];
    for group in &user.groups {
        headers.push((HeaderName::from_static("impersonate-group"), value(group)?));
    }
    if let Some(uid) = user.uid.as_deref().filter(|uid| !uid.is_empty()) {
        headers.push((HeaderName::from_static("impersonate-uid"), value(uid)?));
    }
    let namespace = client.default_namespace().to_owned();
    let inner = client.clone();
    let service = tower::service_fn(move |mut request: Request<Body>| {
        for (name, value) in &headers {
            request.headers_mut().append(name, value.clone());
        }
        let inner = inner.clone();
        async move { inner.send(request).await }
    });
    Ok(Client::new(service, namespace))
}

/// Returns the token in an `Authorization` header: a bearer token, or the password of Basic credentials
/// (git and registry clients can only send the latter; the user name is not looked at).
pub fn credential(headers: &http::HeaderMap) -> Option<String> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        return decoded.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}

/// Returns whose token it is, or `None` if it is nobody's.
pub async fn authenticate(client: &Client, token: &str) -> Result<Option<User>, Error> {
    let review =
        TokenReview { spec: TokenReviewSpec { token: token.to_owned(), audiences: None }, ..TokenReview::default() };
    let answer = Api::<TokenReview>::all(client.clone())
        .create(&PostParams::default(), &review)
        .await
        .map_err(|source| Error::ReviewToken { source })?;
    let Some(status) = answer.status.filter(|status| status.authenticated == Some(true)) else { return Ok(None) };
    Ok(status.user.map(|user| User {
        name: user.username.unwrap_or_default(),
        groups: user.groups.unwrap_or_default(),
        uid: user.uid,
    }))
}

/// Returns whether `user` may do what they wish.
pub async fn allowed(client: &Client, user: &User, wish: Wish<'_>) -> Result<bool, Error> {
    let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.name.clone()),
            groups: Some(user.groups.clone()),
            resource_attributes: Some(ResourceAttributes {
                verb: text(wish.verb),
                group: text(wish.group),
                resource: text(wish.resource),
                namespace: text(wish.namespace),
                name: text(wish.name),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = Api::<SubjectAccessReview>::all(client.clone())
        .create(&PostParams::default(), &review)
        .await
        .map_err(|source| Error::ReviewAccess {
            user: user.name.clone(),
            verb: wish.verb.to_owned(),
            resource: wish.resource.to_owned(),
            source,
        })?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_a_bearer_token_or_a_basic_password() {
        let of = |value: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert(http::header::AUTHORIZATION, value.parse().unwrap());
            credential(&headers)
        };
        assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(of("basic Z2l0OnNlY3JldA==").as_deref(), Some("secret"));
        assert_eq!(of("Basic !!"), None);
        assert_eq!(of("Digest x"), None);
    }
}
