//! Who may do what: RBAC over the role objects, as pure functions.

use serde_json::Value;

/// An authenticated user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name, for example `system:serviceaccount:default:builder`.
    pub name: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Stable id, if the authenticator gives one.
    pub uid: String,
}

impl User {
    /// Returns the user that requests without credentials have.
    pub fn anonymous() -> User {
        User { name: "system:anonymous".into(), groups: vec!["system:unauthenticated".into()], uid: String::new() }
    }

    /// Returns an authenticated user in `groups`.
    pub fn new(name: &str, groups: &[&str]) -> User {
        let mut groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        groups.push("system:authenticated".to_owned());
        User { name: name.to_owned(), groups, uid: String::new() }
    }

    /// Returns whether the user may do everything, whatever the roles say.
    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == "system:masters")
    }

    /// Returns the user as `UserInfo`.
    pub fn to_json(&self) -> Value {
        let mut info = serde_json::json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            info["uid"] = self.uid.clone().into();
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
}

/// The role objects.
pub(crate) struct Roles<'a> {
    /// Returns a `ClusterRole`.
    pub cluster_role: &'a dyn Fn(&str) -> Option<Value>,
    /// Returns a `Role` by namespace and name.
    pub role: &'a dyn Fn(&str, &str) -> Option<Value>,
    /// All `ClusterRoleBinding`s.
    pub cluster_bindings: &'a [Value],
    /// The `RoleBinding`s of the wish's namespace.
    pub bindings: &'a [Value],
}

/// Returns whether some rule lets `user` do what they wish. The group `system:masters` may do everything.
pub(crate) fn allowed(user: &User, wish: &Wish, roles: &Roles<'_>) -> bool {
    user.is_master() || rules_of(user, wish, roles).iter().any(|rule| permits(rule, wish))
}

/// Returns the rules that hold for `user` in the wish's namespace.
pub(crate) fn rules_of(user: &User, wish: &Wish, roles: &Roles<'_>) -> Vec<Value> {
    let mut rules = Vec::new();
    let mut take = |role: Option<Value>| {
        if let Some(Value::Array(list)) = role.map(|mut role| role["rules"].take()) {
            rules.extend(list);
        }
    };
    for binding in roles.cluster_bindings.iter().filter(|binding| binds(binding, user, "")) {
        take((roles.cluster_role)(binding["roleRef"]["name"].as_str().unwrap_or_default()));
    }
    if !wish.namespace.is_empty() {
        for binding in roles.bindings.iter().filter(|binding| binds(binding, user, &wish.namespace)) {
            let name = binding["roleRef"]["name"].as_str().unwrap_or_default();
            take(if binding["roleRef"]["kind"] == "ClusterRole" {
                (roles.cluster_role)(name)
            } else {
                (roles.role)(&wish.namespace, name)
            });
        }
    }
    rules
}

fn binds(binding: &Value, user: &User, namespace: &str) -> bool {
    binding["subjects"].as_array().into_iter().flatten().any(|subject| {
        let name = subject["name"].as_str().unwrap_or_default();
        match subject["kind"].as_str() {
            Some("User") => name == user.name,
            Some("Group") => user.groups.iter().any(|group| group == name),
            Some("ServiceAccount") => {
                let namespace = subject["namespace"].as_str().unwrap_or(namespace);
                user.name == format!("system:serviceaccount:{namespace}:{name}")
            }
            _ => false,
        }
    })
}

fn permits(rule: &Value, wish: &Wish) -> bool {
    let any = |list: &str, fits: &dyn Fn(&str) -> bool| {
        rule[list].as_array().into_iter().flatten().filter_map(Value::as_str).any(|item| item == "*" || fits(item))
    };
    if !any("verbs", &|verb| verb == wish.verb) {
        return false;
    }
    if wish.resource.is_empty() {
        return any("nonResourceURLs", &|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => wish.path.starts_with(prefix),
            None => wish.path == pattern,
        });
    }
    let subresource = wish.resource.split_once('/').map(|(_, subresource)| subresource);
    let resource_fits = any("resources", &|resource| {
        resource == wish.resource || subresource.is_some_and(|subresource| resource == format!("*/{subresource}"))
    });
    let names = rule["resourceNames"].as_array().map_or(&[][..], Vec::as_slice);
    any("apiGroups", &|group| group == wish.group)
        && resource_fits
        && (names.is_empty() || names.iter().any(|name| name.as_str() == Some(&wish.name)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn may(user: &User, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let cluster_role = |name: &str| match name {
            "view" => Some(
                json!({"rules": [{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}]}),
            ),
            "info" => Some(json!({"rules": [{"nonResourceURLs": ["/version", "/live*"], "verbs": ["get"]}]})),
            _ => None,
        };
        let role = |namespace: &str, name: &str| {
            (namespace == "a" && name == "one").then(|| json!({"rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["s"], "verbs": ["*"]}]}))
        };
        let bindings = [
            json!({"roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "Group", "name": "devs"}]}),
            json!({"roleRef": {"kind": "Role", "name": "one"}, "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": "b"}]}),
        ];
        let cluster_bindings =
            [json!({"roleRef": {"name": "info"}, "subjects": [{"kind": "Group", "name": "system:authenticated"}]})];
        let bindings: &[Value] = if namespace == "a" { &bindings } else { &[] };
        let roles = Roles { cluster_role: &cluster_role, role: &role, cluster_bindings: &cluster_bindings, bindings };
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
        allowed(user, &wish, &roles)
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
        assert!(may(&User::new("root", &["system:masters"]), "delete", "nodes", "", "n"));
        assert!(!may(&User::anonymous(), "get", "path:/version", "", ""));
    }
}
