//! Acting as somebody else: whom the `Impersonate-` headers name, and whether their sender may.
//!
//! There are constrained ways, of which each needs a verb for whom (`impersonate:MODE`) and one for what
//! (`impersonate-on:MODE:VERB`), and the old one, which needs `impersonate` for each part of whom.

use std::collections::{BTreeMap, HashMap};

use base::names::{is_dns_label, is_dns_subdomain};
use http::HeaderMap;
use schema::names::qualified;

use crate::{
    access::{Caller, forbidden_because},
    rbac::{User, Wish},
    request::percent_decode,
    server::Server,
    status::Failure,
};

const AUTHENTICATION: &str = "authentication.k8s.io";
/// How many senders' last way is remembered.
const REMEMBERED: usize = 10_000;
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// The ways in which somebody may act as somebody else, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// An account whose token is bound to a pod acts as that pod's node.
    AssociatedNode,
    /// As any node.
    ArbitraryNode,
    /// As a ServiceAccount.
    Account,
    /// As anybody who is neither, with groups, uid and extra.
    Person,
    /// The verb `impersonate` alone.
    Legacy,
}

const MODES: [Mode; 5] = [Mode::AssociatedNode, Mode::ArbitraryNode, Mode::Account, Mode::Person, Mode::Legacy];

/// Which way served whom last: it is tried first.
pub(crate) type Remembered = parking_lot::Mutex<HashMap<String, Mode>>;

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::AssociatedNode => "associated-node",
            Mode::ArbitraryNode => "arbitrary-node",
            Mode::Account => "serviceaccount",
            Mode::Person => "user-info",
            Mode::Legacy => "",
        }
    }

    fn verb(self) -> String {
        if self == Mode::Legacy { "impersonate".into() } else { format!("impersonate:{}", self.name()) }
    }

    fn group(self) -> &'static str {
        if self == Mode::Legacy { "" } else { AUTHENTICATION }
    }

    /// Returns whether this is a way for `sender` to act as who is wanted.
    fn fits(self, wanted: &Wanted, sender: &User) -> bool {
        let name_alone = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        match self {
            Mode::AssociatedNode => {
                let own = sender.extra.get(NODE_NAME).filter(|names| names.len() == 1).map(|names| names[0].as_str());
                name_alone && account_of(&sender.name).is_some() && own.is_some() && node_of(&wanted.name) == own
            }
            Mode::ArbitraryNode => name_alone && node_of(&wanted.name).is_some(),
            Mode::Account => name_alone && account_of(&wanted.name).is_some(),
            Mode::Person => node_of(&wanted.name).is_none() && account_of(&wanted.name).is_none(),
            Mode::Legacy => true,
        }
    }
}

impl Server {
    /// Returns whom a request is to act as, if its sender may do `what` it asks so.
    pub(crate) fn impersonate(&self, user: User, headers: &HeaderMap, what: &Wish) -> Result<Caller, Failure> {
        let Some(wanted) = Wanted::read(headers)? else { return Ok(Caller { user, real: None }) };
        let last = self.remembered_modes().lock().get(&user.name).copied();
        let order = last.into_iter().chain(MODES.into_iter().filter(|mode| Some(*mode) != last));
        let mut first = None;
        for mode in order.filter(|mode| mode.fits(&wanted, &user)) {
            match self.impersonate_by(mode, &wanted, &user, what) {
                Ok(acting) => {
                    let mut remembered = self.remembered_modes().lock();
                    if remembered.len() >= REMEMBERED {
                        remembered.clear();
                    }
                    remembered.insert(user.name.clone(), mode);
                    return Ok(Caller { user: acting, real: Some(user) });
                }
                Err(failure) => first = first.or(Some(failure)),
            }
        }
        Err(first.unwrap_or_else(|| Failure::internal("all impersonation modes failed")))
    }

    fn impersonate_by(&self, mode: Mode, wanted: &Wanted, user: &User, what: &Wish) -> Result<User, Failure> {
        if mode != Mode::Legacy {
            let verb = format!("impersonate-on:{}:{}", mode.name(), what.verb);
            self.authorize(user, &Wish { verb, ..what.clone() })?;
        }
        let wish = |group: &str, resource: &str, name: &str| Wish {
            verb: mode.verb(),
            group: group.into(),
            resource: resource.into(),
            name: name.into(),
            ..Wish::default()
        };
        let mut groups = wanted.groups.clone();
        let mut named = wish(mode.group(), "users", &wanted.name);
        if let Some(node) = node_of(&wanted.name).filter(|_| mode != Mode::Legacy) {
            let any = mode == Mode::AssociatedNode;
            named = wish(mode.group(), "nodes", if any { "*" } else { node });
            groups = vec!["system:nodes".to_owned()];
        } else if let Some((namespace, name)) = account_of(&wanted.name) {
            named = Wish { namespace: namespace.into(), ..wish(mode.group(), "serviceaccounts", name) };
            if groups.is_empty() {
                groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
            }
        }
        self.authorize(user, &named)?;
        if !wanted.uid.is_empty() {
            self.authorize(user, &wish(AUTHENTICATION, "uids", &wanted.uid))?;
        }
        if mode == Mode::Person {
            wanted.is_modest().map_err(|(resource, name, why)| {
                let group = if resource == "groups" { mode.group() } else { AUTHENTICATION };
                forbidden_because(user, &wish(group, resource, name), &why)
            })?;
        }
        for group in &wanted.groups {
            self.authorize(user, &wish(mode.group(), "groups", group))?;
        }
        for (key, value) in wanted.extra.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value))) {
            self.authorize(user, &wish(AUTHENTICATION, &format!("userextras/{key}"), value))?;
        }
        Ok(wanted.acting(groups))
    }
}

/// Whom a request is to act as.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Wanted {
    fn read(headers: &HeaderMap) -> Result<Option<Wanted>, Failure> {
        let mut wanted = Wanted::default();
        let mut more = false;
        for (name, value) in headers {
            let Some(what) = name.as_str().strip_prefix("impersonate-") else { continue };
            let value = value.to_str().map_err(|_| Failure::bad_request(format!("{name}: the value is not text")))?;
            match what {
                "user" if wanted.name.is_empty() => value.clone_into(&mut wanted.name),
                "uid" if wanted.uid.is_empty() => {
                    more |= !value.is_empty();
                    value.clone_into(&mut wanted.uid);
                }
                "group" => {
                    more = true;
                    wanted.groups.push(value.to_owned());
                }
                _ => {
                    let Some(key) = what.strip_prefix("extra-") else { continue };
                    more = true;
                    // A key that is encoded badly is taken as it came.
                    let key = percent_decode(key);
                    wanted.extra.entry(key).or_default().push(value.to_owned());
                }
            }
        }
        if !wanted.name.is_empty() {
            return Ok(Some(wanted));
        }
        if more {
            let why = format!("requested {} without impersonating a user name", wanted.shown());
            return Err(Failure::bad_request(why).guarded());
        }
        Ok(None)
    }

    /// Writes it as Kubernetes shows its own structure.
    fn shown(&self) -> String {
        let list = |list: &[String]| {
            let items: Vec<String> = list.iter().map(|item| format!("{item:?}")).collect();
            format!("[]string{{{}}}", items.join(", "))
        };
        let groups = if self.groups.is_empty() { "[]string(nil)".to_owned() } else { list(&self.groups) };
        let pairs: Vec<String> = self.extra.iter().map(|(key, values)| format!("{key:?}:{}", list(values))).collect();
        let extra = if pairs.is_empty() { "(nil)".to_owned() } else { format!("{{{}}}", pairs.join(", ")) };
        format!("&user.DefaultInfo{{Name:\"\", UID:{:?}, Groups:{groups}, Extra:map[string][]string{extra}}}", self.uid)
    }

    /// Checks what nobody may be by a constrained way: (what, its name, why).
    fn is_modest(&self) -> Result<(), (&'static str, &'static str, String)> {
        if self.groups.iter().any(String::is_empty) {
            return Err(("groups", "", "impersonating the empty string group is not allowed".into()));
        }
        if self.groups.iter().any(|group| group == "system:masters") {
            return Err(("groups", "system:masters", "impersonating the system:masters group is not allowed".into()));
        }
        for (key, values) in &self.extra {
            let why = if key.is_empty() {
                "impersonating the empty string key in extra is not allowed".to_owned()
            } else if let Some(wrong) = key_problem(key) {
                format!("impersonating an invalid key in extra is not allowed: {wrong}")
            } else if key.to_lowercase() != *key {
                format!("impersonating a non-lowercase key in extra is not allowed: {key:?}")
            } else if values.iter().any(String::is_empty) {
                "impersonating the empty string value in extra is not allowed".to_owned()
            } else {
                continue;
            };
            return Err(("userextras", "", why));
        }
        Ok(())
    }

    fn acting(&self, mut groups: Vec<String>) -> User {
        let has = |groups: &[String], name: &str| groups.iter().any(|group| group == name);
        if self.name == "system:anonymous" {
            if !has(&groups, "system:unauthenticated") {
                groups.push("system:unauthenticated".into());
            }
        } else if !has(&groups, "system:unauthenticated") && !has(&groups, "system:authenticated") {
            groups.push("system:authenticated".into());
        }
        User { name: self.name.clone(), groups, uid: self.uid.clone(), extra: self.extra.clone() }
    }
}

/// Returns what is wrong with a key that has to be a domain with a path, in Kubernetes' words.
fn key_problem(key: &str) -> Option<String> {
    let invalid = |why: &str| Some(format!("extra.key: Invalid value: {key:?}: {why}"));
    match key.split_once('/') {
        Some((domain, path)) if !domain.is_empty() && !path.is_empty() => {
            if !is_dns_subdomain(domain) {
                return invalid(schema::names::SUBDOMAIN);
            }
            // What a path may hold is what a part of a qualified name may.
            qualified(path.rsplit('/').next().unwrap_or_default()).first().and_then(|why| invalid(why))
        }
        _ => invalid("must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
}

/// Returns the namespace and name of the account that a user is.
fn account_of(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (is_dns_label(namespace) && is_dns_subdomain(name)).then_some((namespace, name))
}

fn node_of(user: &str) -> Option<&str> {
    user.strip_prefix("system:node:").filter(|name| is_dns_subdomain(name))
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
    fn whom_the_headers_name_is_read_with_all_parts() {
        let headers = headers(&[
            ("impersonate-user", "ann"),
            ("impersonate-group", "devs"),
            ("impersonate-group", "ops"),
            ("impersonate-uid", "7"),
            ("impersonate-extra-acme.com%2fproject", "x"),
            ("impersonate-odd", "x"),
        ]);
        let wanted = Wanted::read(&headers).unwrap().unwrap();
        let user = wanted.acting(wanted.groups.clone());
        assert_eq!(user.groups, ["devs", "ops", "system:authenticated"]);
        assert_eq!((user.uid.as_str(), &user.extra["acme.com/project"]), ("7", &vec!["x".to_owned()]));
    }

    #[test]
    fn parts_without_a_name_are_refused_and_nothing_is_nobody() {
        assert!(Wanted::read(&headers(&[("impersonate-group", "x")])).is_err());
        assert_eq!(Wanted::read(&HeaderMap::new()).unwrap(), None);
        assert_eq!(Wanted::read(&headers(&[("impersonate-user", "")])).unwrap(), None);
    }

    #[test]
    fn only_a_name_that_can_be_one_is_an_account_or_a_node() {
        assert_eq!(account_of("system:serviceaccount:a:b.c"), Some(("a", "b.c")));
        for name in ["system:serviceaccount:a", "system:serviceaccount:A:b", "system:serviceaccount:a:b:c"] {
            assert_eq!(account_of(name), None, "{name}");
        }
        assert_eq!((node_of("system:node:n"), node_of("system:node:")), (Some("n"), None));
    }
}
