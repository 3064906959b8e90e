//! Who sends a request, and may they: the first two steps of the pipeline.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use serde_json::json;

use crate::{
    rbac::{Policy, User, Wish},
    request::{Info, Query},
    server::Server,
    status::Failure,
};

/// Who sends a request, and on whose behalf.
pub(crate) struct Caller {
    /// Whose request it is to everything that follows.
    pub(crate) user: User,
    /// Who impersonates them.
    pub(crate) real: Option<User>,
}

impl Server {
    /// Returns who sends a request: a client certificate's or in-process client's user, a token's, or nobody known.
    pub(crate) fn authenticate(&self, known: Option<&User>, headers: &HeaderMap) -> Result<User, Failure> {
        if let Some(user) = known {
            return Ok(user.clone());
        }
        let Some(token) = bearer(headers) else { return Ok(User::anonymous()) };
        let known = self.tokens().check(token, &self.store().snapshot(), &[]).ok();
        known
            .map(|known| known.user)
            .ok_or_else(|| Failure::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"))
    }

    /// Refuses what nothing allows; returns why it is allowed.
    pub(crate) fn authorize(&self, user: &User, wish: &Wish) -> Result<String, Failure> {
        self.allows(user, wish).map_err(|why| forbidden_because(user, wish, &why))
    }

    /// Returns whether `user` may do what they wish, by the role objects as they are now.
    pub(crate) fn allowed(&self, user: &User, wish: &Wish) -> bool {
        self.allows(user, wish).is_ok()
    }

    /// Returns why `user` may do what they wish, or why not, in Kubernetes' words; both may be nothing.
    pub(crate) fn allows(&self, user: &User, wish: &Wish) -> Result<String, String> {
        // No role is looked at for those whom none can bind: the platform's own parts are most of the traffic.
        if user.is_master() {
            return Ok(String::new());
        }
        match self.node_allows(user, wish) {
            Ok(()) => Ok(String::new()),
            Err(why) => self.policy().allows(user, wish).ok_or(why),
        }
    }

    /// Returns the role objects as they are now, parsed anew only when one of them changed.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        // Read before the snapshot: a change that comes between is in the snapshot, and only makes the next look parse again.
        let version = Policy::RESOURCES.iter().map(|resource| self.store().newest(resource)).max().unwrap_or_default();
        let mut kept = self.kept_policy().lock();
        if kept.version != Some(version) {
            kept.policy = Arc::new(Policy::read(&self.store().snapshot()));
            kept.version = Some(version);
        }
        kept.policy.clone()
    }
}

/// The role objects, parsed, and the revision that they were read at.
#[derive(Default)]
pub(crate) struct KeptPolicy {
    version: Option<u64>,
    policy: Arc<Policy>,
}

/// Returns the token that a request shows, if it shows one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut parts = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().splitn(3, ' ');
    let scheme = parts.next()?;
    parts.next().filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// Returns what a request for a kind's objects wishes to do.
pub(crate) fn wish_of(info: &Info, query: &Query) -> Wish {
    let resource = if info.subresource.is_empty() {
        info.resource.clone()
    } else {
        format!("{}/{}", info.resource, info.subresource)
    };
    // A list of one object by its name is a wish for that object.
    let fields = query
        .get("fieldSelector")
        .filter(|_| info.name.is_empty() && matches!(info.verb, "list" | "watch" | "deletecollection"))
        .and_then(|text| schema::selector::Fields::parse(text).ok());
    let exact = |path: &str| fields.as_ref().and_then(|fields| fields.exact(path)).map(str::to_owned);
    Wish {
        verb: info.verb.to_owned(),
        group: info.group.clone(),
        resource,
        namespace: info.namespace.clone(),
        name: exact("metadata.name").unwrap_or_else(|| info.name.clone()),
        path: String::new(),
        node: exact("spec.nodeName").unwrap_or_default(),
    }
}

/// Refuses a wish, in Kubernetes' words; `why` may be nothing.
pub(crate) fn forbidden_because(user: &User, wish: &Wish, why: &str) -> Failure {
    let mut message = if wish.resource.is_empty() {
        format!("forbidden: User {:?} cannot {} path {:?}", user.name, wish.verb, wish.path)
    } else {
        let (plural, name) = (wish.resource.split('/').next().unwrap_or_default(), &wish.name);
        let qualified = if wish.group.is_empty() { plural.to_owned() } else { format!("{plural}.{}", wish.group) };
        let named = if name.is_empty() { String::new() } else { format!(" {name:?}") };
        let scope = if wish.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {:?}", wish.namespace)
        };
        format!(
            "{qualified}{named} is forbidden: User {:?} cannot {} resource {:?} in API group {:?} {scope}",
            user.name, wish.verb, wish.resource, wish.group
        )
    };
    if !why.is_empty() {
        message = format!("{message}: {why}");
    }
    let mut failure = Failure::new(StatusCode::FORBIDDEN, "Forbidden", message).guarded();
    if wish.resource.is_empty() {
        failure.details = json!({});
    } else {
        let plural = wish.resource.split('/').next().unwrap_or_default();
        failure.details = json!({"name": wish.name, "group": wish.group, "kind": plural});
    }
    failure
}
