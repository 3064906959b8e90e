//! Who sends a request, and may they: the first two steps of the pipeline.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use serde_json::json;

use crate::{
    rbac::{Policy, User, Wish},
    request::{Info, Query, percent_decode},
    server::Server,
    status::Failure,
};

const AUTHENTICATION: &str = "authentication.k8s.io";

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
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(User::anonymous()) };
        let token = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
        token
            .and_then(|token| self.tokens().check(token.trim(), &self.store().snapshot(), &[]).ok())
            .map(|known| known.user)
            .ok_or_else(|| Failure::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"))
    }

    /// Returns whom the request is to act as, if its sender may.
    pub(crate) fn impersonate(&self, user: User, headers: &HeaderMap) -> Result<Caller, Failure> {
        let Some(wanted) = Impersonation::read(headers)? else { return Ok(Caller { user, real: None }) };
        for wish in wanted.wishes() {
            self.authorize(&user, &wish)?;
        }
        Ok(Caller { user: wanted.user(), real: Some(user) })
    }

    /// Refuses what nothing allows; returns why it is allowed.
    pub(crate) fn authorize(&self, user: &User, wish: &Wish) -> Result<String, Failure> {
        self.allows(user, wish).ok_or_else(|| forbidden(user, wish))
    }

    /// Returns whether `user` may do what they wish, by the role objects as they are now.
    pub(crate) fn allowed(&self, user: &User, wish: &Wish) -> bool {
        self.allows(user, wish).is_some()
    }

    /// Returns why `user` may do what they wish, in Kubernetes' words.
    pub(crate) fn allows(&self, user: &User, wish: &Wish) -> Option<String> {
        // No role is looked at for those whom none can bind: the platform's own parts are most of the traffic.
        if user.is_master() || self.node_allowed(user, wish) {
            return Some(String::new());
        }
        self.policy().allows(user, wish)
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

/// Whom a request is to act as: the `Impersonate-` headers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Impersonation {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: Vec<(String, String)>,
}

impl Impersonation {
    fn read(headers: &HeaderMap) -> Result<Option<Impersonation>, Failure> {
        let mut wanted = Impersonation::default();
        let mut named = false;
        for (name, value) in headers {
            let Some(what) = name.as_str().strip_prefix("impersonate-") else { continue };
            let value = value.to_str().map_err(|_| Failure::bad_request(format!("{name}: the value is not text")))?;
            match what {
                "user" => {
                    named = true;
                    value.clone_into(&mut wanted.name);
                }
                "uid" => value.clone_into(&mut wanted.uid),
                "group" => wanted.groups.push(value.to_owned()),
                _ => match what.strip_prefix("extra-") {
                    Some(key) => wanted.extra.push((percent_decode(key).to_lowercase(), value.to_owned())),
                    None => return Err(Failure::bad_request(format!("{name}: no such header is known"))),
                },
            }
        }
        if wanted == Impersonation::default() && !named {
            return Ok(None);
        }
        if wanted.name.is_empty() {
            let why = format!("Internal error occurred: requested {wanted:?} without impersonating a user");
            return Err(Failure::internal(why));
        }
        Ok(Some(wanted))
    }

    fn account(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix("system:serviceaccount:")?.split_once(':')
    }

    /// Returns what the sender must be allowed.
    fn wishes(&self) -> Vec<Wish> {
        let wish = |group: &str, resource: &str, namespace: &str, name: &str| Wish {
            verb: "impersonate".into(),
            group: group.into(),
            resource: resource.into(),
            namespace: namespace.into(),
            name: name.into(),
            path: String::new(),
        };
        let mut wishes = vec![match self.account() {
            Some((namespace, name)) => wish("", "serviceaccounts", namespace, name),
            None => wish("", "users", "", &self.name),
        }];
        wishes.extend(self.groups.iter().map(|group| wish("", "groups", "", group)));
        wishes.extend(
            self.extra.iter().map(|(key, value)| wish(AUTHENTICATION, &format!("userextras/{key}"), "", value)),
        );
        if !self.uid.is_empty() {
            wishes.push(wish(AUTHENTICATION, "uids", "", &self.uid));
        }
        wishes
    }

    fn user(&self) -> User {
        let mut groups = self.groups.clone();
        if let Some((namespace, _)) = self.account().filter(|_| groups.is_empty()) {
            groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
        }
        let standing = if self.name == "system:anonymous" { "system:unauthenticated" } else { "system:authenticated" };
        if !groups.iter().any(|group| matches!(group.as_str(), "system:authenticated" | "system:unauthenticated")) {
            groups.push(standing.to_owned());
        }
        let mut user = User { name: self.name.clone(), groups, uid: self.uid.clone(), ..User::default() };
        for (key, value) in &self.extra {
            user.extra.entry(key.clone()).or_default().push(value.clone());
        }
        user
    }
}

/// Returns what a request for a kind's objects wishes to do.
pub(crate) fn wish_of(info: &Info, query: &Query) -> Wish {
    let resource = if info.subresource.is_empty() {
        info.resource.clone()
    } else {
        format!("{}/{}", info.resource, info.subresource)
    };
    // A list of one object by its name is a wish for that object.
    let selected = query
        .get("fieldSelector")
        .filter(|_| info.name.is_empty() && matches!(info.verb, "list" | "watch" | "deletecollection"))
        .and_then(|text| schema::selector::Fields::parse(text).ok())
        .and_then(|fields| fields.exact("metadata.name").map(str::to_owned));
    Wish {
        verb: info.verb.to_owned(),
        group: info.group.clone(),
        resource,
        namespace: info.namespace.clone(),
        name: selected.unwrap_or_else(|| info.name.clone()),
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
    if wish.resource.is_empty() {
        failure.details = json!({});
    } else {
        let plural = wish.resource.split('/').next().unwrap_or_default();
        failure.details = json!({"name": wish.name, "group": wish.group, "kind": plural});
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn each_thing_that_is_impersonated_is_asked_for() {
        let headers = headers(&[
            ("impersonate-user", "ann"),
            ("impersonate-group", "devs"),
            ("impersonate-group", "ops"),
            ("impersonate-uid", "7"),
            ("impersonate-extra-acme.com%2fproject", "x"),
        ]);
        let wanted = Impersonation::read(&headers).unwrap().unwrap();
        let shown: Vec<String> =
            wanted.wishes().iter().map(|wish| format!("{}/{} {}", wish.group, wish.resource, wish.name)).collect();
        assert_eq!(
            shown,
            [
                "/users ann",
                "/groups devs",
                "/groups ops",
                "authentication.k8s.io/userextras/acme.com/project x",
                "authentication.k8s.io/uids 7"
            ]
        );
        let user = wanted.user();
        assert_eq!(user.groups, ["devs", "ops", "system:authenticated"]);
        assert_eq!(user.extra["acme.com/project"], ["x"]);
    }

    #[test]
    fn an_impersonated_account_is_in_its_groups() {
        let wanted =
            Impersonation::read(&headers(&[("impersonate-user", "system:serviceaccount:a:b")])).unwrap().unwrap();
        assert_eq!(
            (wanted.wishes()[0].resource.as_str(), wanted.wishes()[0].namespace.as_str()),
            ("serviceaccounts", "a")
        );
        assert_eq!(
            wanted.user().groups,
            ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"]
        );
        assert!(Impersonation::read(&headers(&[("impersonate-group", "x")])).is_err());
        assert_eq!(Impersonation::read(&HeaderMap::new()).unwrap(), None);
    }
}
