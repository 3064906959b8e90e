//! Who sends a request, and may they: the first two steps of the pipeline.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use serde_json::json;

use crate::{
    rbac::{self, Policy, User, Wish},
    request::Info,
    server::Server,
    status::Failure,
};

impl Server {
    /// Returns who sends a request: a client certificate's or in-process client's user, a token's, or nobody known.
    pub(crate) fn authenticate(&self, known: Option<&User>, headers: &HeaderMap) -> Result<User, Failure> {
        if headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
            return Err(Failure::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", "impersonation is not served"));
        }
        if let Some(user) = known {
            return Ok(user.clone());
        }
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(User::anonymous()) };
        let token = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
        token
            .and_then(|token| self.tokens().user(token.trim(), &self.store().snapshot()))
            .ok_or_else(|| Failure::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"))
    }

    /// Refuses what no rule allows.
    pub(crate) fn authorize(&self, user: &User, wish: &Wish) -> Result<(), Failure> {
        if self.allowed(user, wish) { Ok(()) } else { Err(forbidden(user, wish)) }
    }

    /// Returns whether `user` may do what they wish, by the role objects as they are now.
    pub(crate) fn allowed(&self, user: &User, wish: &Wish) -> bool {
        // No role is looked at for those whom none can bind: the platform's own parts are most of the traffic.
        user.is_master() || rbac::allowed(user, wish, &self.policy())
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

/// Returns what a request for a kind's objects wishes to do.
pub(crate) fn wish_of(info: &Info) -> Wish {
    let resource = if info.subresource.is_empty() {
        info.resource.clone()
    } else {
        format!("{}/{}", info.resource, info.subresource)
    };
    Wish {
        verb: info.verb.to_owned(),
        group: info.group.clone(),
        resource,
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        path: String::new(),
    }
}

fn forbidden(user: &User, wish: &Wish) -> Failure {
    let message = if wish.resource.is_empty() {
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
    let mut failure = Failure::new(StatusCode::FORBIDDEN, "Forbidden", message);
    failure.details = json!({"name": wish.name, "group": wish.group, "kind": wish.resource});
    failure
}
