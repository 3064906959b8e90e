//! Who may do what: RBAC over the role objects, as pure functions of a parsed [`Policy`].

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use crate::store::Snapshot;

/// An authenticated user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Name, for example `system:serviceaccount:default:builder`.
    pub name: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Stable id, if the authenticator gives one.
    pub uid: String,
    /// What the authenticator says beside it, for example which pod a token is bound to.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Returns the user that requests without credentials have.
    pub fn anonymous() -> User {
        User { name: "system:anonymous".into(), groups: vec!["system:unauthenticated".into()], ..User::default() }
    }

    /// Returns an authenticated user in `groups`.
    pub fn new(name: &str, groups: &[&str]) -> User {
        let mut groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        groups.push("system:authenticated".to_owned());
        User { name: name.to_owned(), groups, ..User::default() }
    }

    /// Returns whether the user may do everything, whatever the roles say.
    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == "system:masters")
    }

    /// Returns the user as `UserInfo`.
    pub fn to_json(&self) -> Value {
        let mut info = json!({"username": self.name});
        if !self.uid.is_empty() {
            info["uid"] = self.uid.clone().into();
        }
        if !self.groups.is_empty() {
            info["groups"] = self.groups.clone().into();
        }
        if !self.extra.is_empty() {
            info["extra"] = json!(self.extra);
        }
        info
    }
}

/// What somebody wishes to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Verb; for a path the lower-case HTTP method.
    pub verb: String,
    /// API group.
    pub group: String,
    /// Plural, with `/subresource` if there is one; empty for a path.
    pub resource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Object name, or empty.
    pub name: String,
    /// Path outside the kinds, or empty.
    pub path: String,
    /// The node whose pods alone are asked for by a field selector, or empty.
    pub node: String,
}

/// One rule of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub verbs: Vec<String>,
    pub groups: Vec<String>,
    pub resources: Vec<String>,
    pub names: Vec<String>,
    pub paths: Vec<String>,
}

impl Rule {
    pub(crate) fn read(rule: &Value) -> Rule {
        let list = |name: &str| -> Vec<String> {
            rule[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Rule {
            verbs: list("verbs"),
            groups: list("apiGroups"),
            resources: list("resources"),
            names: list("resourceNames"),
            paths: list("nonResourceURLs"),
        }
    }

    /// Returns the rules of a role object.
    pub(crate) fn all(role: &Value) -> Vec<Rule> {
        role["rules"].as_array().into_iter().flatten().map(Rule::read).collect()
    }

    /// Returns the rule as the rules review shows it.
    pub(crate) fn to_json(&self) -> Value {
        let mut map = Map::new();
        let lists = [
            ("verbs", &self.verbs),
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.paths),
        ];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            map.insert(name.to_owned(), list.clone().into());
        }
        Value::Object(map)
    }

    fn permits(&self, wish: &Wish) -> bool {
        if !holds(&self.verbs, &wish.verb) {
            return false;
        }
        if wish.resource.is_empty() {
            return self.paths.iter().any(|pattern| path_fits(pattern, &wish.path));
        }
        holds(&self.groups, &wish.group)
            && resource_fits(&self.resources, &wish.resource)
            && (self.names.is_empty() || self.names.contains(&wish.name))
    }
}

fn holds(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

fn path_fits(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path == pattern,
    }
}

fn resource_fits(list: &[String], wanted: &str) -> bool {
    let subresource = wanted.split_once('/').map(|(_, subresource)| subresource);
    list.iter().any(|item| {
        item == "*"
            || item == wanted
            || subresource.is_some_and(|subresource| item.strip_prefix("*/").is_some_and(|any| any == subresource))
    })
}

#[derive(Clone, Debug)]
enum Subject {
    User(String),
    Group(String),
    /// A ServiceAccount's namespace and name, and the user that it is.
    Account(String, String, String),
}

impl Subject {
    fn is(&self, user: &User) -> bool {
        match self {
            Subject::User(name) | Subject::Account(.., name) => *name == user.name,
            Subject::Group(name) => user.groups.contains(name),
        }
    }

    fn describe(&self) -> String {
        match self {
            Subject::User(name) => format!("User {name:?}"),
            Subject::Group(name) => format!("Group {name:?}"),
            Subject::Account(namespace, name, _) => format!("ServiceAccount {:?}", format!("{name}/{namespace}")),
        }
    }
}

#[derive(Clone, Debug)]
struct Binding {
    name: String,
    /// Empty for a `ClusterRoleBinding`.
    namespace: String,
    /// Refers to a `ClusterRole`; otherwise to a `Role` of its own namespace.
    to_cluster_role: bool,
    role: String,
    subjects: Vec<Subject>,
}

impl Binding {
    fn read(binding: &Value, namespace: &str) -> Binding {
        let subject = |subject: &Value| {
            let name = subject["name"].as_str().unwrap_or_default();
            match subject["kind"].as_str()? {
                "User" => Some(Subject::User(name.to_owned())),
                "Group" => Some(Subject::Group(name.to_owned())),
                "ServiceAccount" => {
                    let namespace = subject["namespace"].as_str().unwrap_or(namespace);
                    let user = format!("system:serviceaccount:{namespace}:{name}");
                    Some(Subject::Account(namespace.to_owned(), name.to_owned(), user))
                }
                _ => None,
            }
        };
        Binding {
            name: binding["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            namespace: namespace.to_owned(),
            to_cluster_role: namespace.is_empty() || binding["roleRef"]["kind"] == "ClusterRole",
            role: binding["roleRef"]["name"].as_str().unwrap_or_default().to_owned(),
            subjects: binding["subjects"].as_array().into_iter().flatten().filter_map(subject).collect(),
        }
    }

    fn kind(&self) -> &'static str {
        if self.to_cluster_role { "ClusterRole" } else { "Role" }
    }

    fn describe(&self, subject: &Subject) -> String {
        let (kind, role, to) = (self.kind(), &self.role, subject.describe());
        if self.namespace.is_empty() {
            return format!("ClusterRoleBinding {:?} of {kind} {role:?} to {to}", self.name);
        }
        format!("RoleBinding {:?} of {kind} {role:?} to {to}", format!("{}/{}", self.name, self.namespace))
    }
}

/// The role objects of one moment, parsed.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    cluster_roles: HashMap<String, Vec<Rule>>,
    /// By namespace and name.
    roles: HashMap<(String, String), Vec<Rule>>,
    cluster_bindings: Vec<Binding>,
    /// By namespace.
    bindings: HashMap<String, Vec<Binding>>,
}

impl Policy {
    /// The kinds that a policy is made of, as the store names them.
    pub(crate) const RESOURCES: [&str; 4] = [
        "rbac.authorization.k8s.io/roles",
        "rbac.authorization.k8s.io/clusterroles",
        "rbac.authorization.k8s.io/rolebindings",
        "rbac.authorization.k8s.io/clusterrolebindings",
    ];

    /// Parses the role objects of a snapshot.
    pub(crate) fn read(objects: &Snapshot) -> Policy {
        let mut policy = Policy::default();
        for resource in Self::RESOURCES {
            let prefix = format!("{resource}/");
            for (key, entry) in objects.range(&prefix, None) {
                let (namespace, name) = key[prefix.len()..].split_once('/').unwrap_or_default();
                policy.add(resource, namespace, name, &entry.value());
            }
        }
        policy
    }

    fn add(&mut self, resource: &str, namespace: &str, name: &str, object: &Value) {
        match (resource.ends_with("bindings"), namespace.is_empty()) {
            (false, true) => drop(self.cluster_roles.insert(name.to_owned(), Rule::all(object))),
            (false, false) => drop(self.roles.insert((namespace.to_owned(), name.to_owned()), Rule::all(object))),
            (true, true) => self.cluster_bindings.push(Binding::read(object, "")),
            (true, false) => {
                self.bindings.entry(namespace.to_owned()).or_default().push(Binding::read(object, namespace));
            }
        }
    }

    /// Returns the rules of the role that a binding in `namespace` refers to; `None` if there is no such role.
    pub(crate) fn referred(&self, kind: &str, namespace: &str, name: &str) -> Option<&[Rule]> {
        if kind == "ClusterRole" {
            self.cluster_roles.get(name).map(Vec::as_slice)
        } else {
            self.roles.get(&(namespace.to_owned(), name.to_owned())).map(Vec::as_slice)
        }
    }

    /// Returns the rules that hold for `user` in `namespace`; empty: those that hold everywhere.
    pub(crate) fn rules_of<'a>(&'a self, user: &'a User, namespace: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.bound(user, namespace).flat_map(|(_, _, rules)| rules)
    }

    fn bound<'a>(
        &'a self,
        user: &'a User,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Binding, &'a Subject, &'a [Rule])> {
        let everywhere = self.cluster_bindings.iter();
        let here = self.bindings.get(namespace).into_iter().flatten();
        everywhere.chain(here).filter_map(move |binding| {
            let subject = binding.subjects.iter().find(|subject| subject.is(user))?;
            Some((binding, subject, self.referred(binding.kind(), namespace, &binding.role).unwrap_or_default()))
        })
    }

    /// Returns why `user` may do what they wish, in Kubernetes' words; `None` if no rule lets them.
    pub(crate) fn allows(&self, user: &User, wish: &Wish) -> Option<String> {
        self.bound(user, &wish.namespace)
            .find(|(_, _, rules)| rules.iter().any(|rule| rule.permits(wish)))
            .map(|(binding, subject, _)| format!("RBAC: allowed by {}", binding.describe(subject)))
    }
}

/// Returns whether one of `rules` permits `wish`.
pub(crate) fn permitted(rules: &[Rule], wish: &Wish) -> bool {
    rules.iter().any(|rule| rule.permits(wish))
}

/// Returns what of `granted` is not covered by `held`, merged for reading; nothing: who holds these may grant those.
pub(crate) fn beyond(held: &[Rule], granted: &[Rule]) -> Vec<Rule> {
    let single = granted.iter().flat_map(split).filter(|rule| !held.iter().any(|held| covers(held, rule)));
    let mut beyond: Vec<Rule> = Vec::new();
    for rule in single {
        let like = |known: &&mut Rule| {
            (&known.groups, &known.resources, &known.names) == (&rule.groups, &rule.resources, &rule.names)
        };
        // Paths are told one by one.
        match beyond.iter_mut().filter(|_| rule.paths.is_empty()).find(like) {
            Some(known) if known.verbs.contains(&rule.verbs[0]) => {}
            Some(known) => known.verbs.extend(rule.verbs),
            None => beyond.push(rule),
        }
    }
    beyond
}

/// Takes a rule apart into rules of one verb for one thing each.
fn split(rule: &Rule) -> Vec<Rule> {
    let one = |item: &String| vec![item.clone()];
    let mut out = Vec::new();
    for verb in &rule.verbs {
        for group in &rule.groups {
            for resource in &rule.resources {
                let base = Rule { verbs: one(verb), groups: one(group), resources: one(resource), ..Rule::default() };
                if rule.names.is_empty() {
                    out.push(base);
                } else {
                    out.extend(rule.names.iter().map(|name| Rule { names: one(name), ..base.clone() }));
                }
            }
        }
        out.extend(rule.paths.iter().map(|path| Rule { verbs: one(verb), paths: one(path), ..Rule::default() }));
    }
    out
}

fn covers(held: &Rule, single: &Rule) -> bool {
    let all = |wanted: &[String], fits: &dyn Fn(&str) -> bool| wanted.iter().all(|item| fits(item));
    all(&single.verbs, &|verb| holds(&held.verbs, verb))
        && all(&single.groups, &|group| holds(&held.groups, group))
        && all(&single.resources, &|resource| resource_fits(&held.resources, resource))
        && all(&single.paths, &|path| {
            held.paths.iter().any(|pattern| {
                pattern == path || pattern.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
            })
        })
        && (held.names.is_empty()
            || !single.names.is_empty() && all(&single.names, &|name| held.names.iter().any(|held| held == name)))
}

/// Writes a rule as the refusal of an escalation names it.
pub(crate) fn describe(rule: &Rule) -> String {
    let lists = [
        ("APIGroups", &rule.groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.paths),
        ("ResourceNames", &rule.names),
        ("Verbs", &rule.verbs),
    ];
    let parts: Vec<String> = lists
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| format!("{name}:{}", quoted(list)))
        .collect();
    format!("{{{}}}", parts.join(", "))
}

/// Writes a list as Go's `%q` does.
pub(crate) fn quoted(list: &[String]) -> String {
    format!("[{}]", list.iter().map(|item| format!("{item:?}")).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> Policy {
        let mut policy = Policy::default();
        let mut add = |resource: &str, namespace: &str, name: &str, object: Value| {
            policy.add(resource, namespace, name, &object);
        };
        add(
            "clusterroles",
            "",
            "view",
            json!({"rules": [{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}]}),
        );
        add(
            "clusterroles",
            "",
            "info",
            json!({"rules": [{"nonResourceURLs": ["/version", "/live*"], "verbs": ["get"]}]}),
        );
        add(
            "roles",
            "a",
            "one",
            json!({"rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["s"], "verbs": ["*"]}]}),
        );
        add(
            "rolebindings",
            "a",
            "x",
            json!({"metadata": {"name": "x"}, "roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "Group", "name": "devs"}]}),
        );
        add(
            "rolebindings",
            "a",
            "y",
            json!({"metadata": {"name": "y"}, "roleRef": {"kind": "Role", "name": "one"}, "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": "b"}]}),
        );
        add(
            "clusterrolebindings",
            "",
            "z",
            json!({"roleRef": {"name": "info"}, "subjects": [{"kind": "Group", "name": "system:authenticated"}]}),
        );
        policy
    }

    fn may(user: &User, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let (resource, path) =
            if let Some(path) = resource.strip_prefix("path:") { ("", path) } else { (resource, "") };
        let wish = Wish {
            verb: verb.into(),
            resource: resource.into(),
            namespace: namespace.into(),
            name: name.into(),
            path: path.into(),
            ..Wish::default()
        };
        policy().allows(user, &wish).is_some()
    }

    #[test]
    fn the_binding_that_allows_it_is_named() {
        let wish = Wish {
            verb: "get".into(),
            resource: "secrets".into(),
            namespace: "a".into(),
            name: "s".into(),
            ..Wish::default()
        };
        let bot = User::new("system:serviceaccount:b:bot", &[]);
        let why = policy().allows(&bot, &wish).unwrap();
        assert_eq!(why, r#"RBAC: allowed by RoleBinding "y/a" of Role "one" to ServiceAccount "bot/b""#);
    }

    #[test]
    fn only_what_a_rule_names_is_allowed() {
        let dev = User::new("ann", &["devs"]);
        assert!(may(&dev, "get", "pods", "a", "x") && may(&dev, "get", "pods/log", "a", "x"));
        assert!(
            !may(&dev, "delete", "pods", "a", "x")
                && !may(&dev, "get", "pods", "b", "x")
                && !may(&dev, "get", "secrets", "a", "s")
        );
        let bot = User::new("system:serviceaccount:b:bot", &[]);
        assert!(may(&bot, "update", "secrets", "a", "s") && !may(&bot, "update", "secrets", "a", "t"));
        assert!(may(&bot, "get", "path:/livez", "", "") && !may(&bot, "get", "path:/metrics", "", ""));
        assert!(!may(&User::anonymous(), "get", "path:/version", "", ""));
    }

    fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Rule {
        Rule::read(&json!({"apiGroups": groups, "resources": resources, "verbs": verbs}))
    }

    #[test]
    fn what_is_beyond_ones_rights_is_named_and_merged() {
        let held = [rule(&[""], &["pods"], &["get", "list"])];
        let granted = [rule(&[""], &["pods", "secrets"], &["get", "delete"])];
        let beyond: Vec<String> = beyond(&held, &granted).iter().map(describe).collect();
        assert_eq!(
            beyond,
            [
                r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete"]}"#,
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}"#,
            ]
        );
        let named = Rule { names: vec!["a".into()], ..rule(&[""], &["pods"], &["get"]) };
        assert!(super::beyond(&held, std::slice::from_ref(&named)).is_empty());
        assert_eq!(super::beyond(&[named], &held).len(), 1, "one object's right is not every object's");
    }

    fn some(items: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec(proptest::sample::select(items).prop_map(str::to_owned), 1..3)
    }

    fn rules() -> impl Strategy<Value = Vec<Rule>> {
        let verbs = some(&["get", "list", "delete", "*"]);
        let resources = some(&["pods", "pods/log", "secrets", "*", "*/log"]);
        let rule = (verbs, some(&["", "apps", "*"]), resources, proptest::option::of(some(&["a", "b"]))).prop_map(
            |(verbs, groups, resources, names)| Rule {
                verbs,
                groups,
                resources,
                names: names.unwrap_or_default(),
                paths: vec![],
            },
        );
        proptest::collection::vec(rule, 0..4)
    }

    proptest! {
        /// Whatever a grant lets one do, its giver could do already.
        #[test]
        fn a_grant_within_ones_rights_gives_nothing_new(held in rules(), granted in rules(),
            verb in proptest::sample::select(&["get", "list", "delete", "patch"][..]),
            resource in proptest::sample::select(&["pods", "pods/log", "secrets", "nodes"][..]),
            group in proptest::sample::select(&["", "apps", "batch"][..]), name in proptest::sample::select(&["", "a", "c"][..]))
        {
            let wish = Wish { verb: verb.into(), group: group.into(), resource: resource.into(), name: name.into(), ..Wish::default() };
            if beyond(&held, &granted).is_empty() && granted.iter().any(|rule| rule.permits(&wish)) {
                prop_assert!(held.iter().any(|rule| rule.permits(&wish)));
            }
            prop_assert!(beyond(&held, &held).is_empty());
        }
    }
}
