//! What is logged of which request: a `Policy` of `audit.k8s.io/v1`, read and asked. Pure.

use serde_json::Value;

use crate::{rbac::User, request::Info};

/// How much of a request is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

impl Level {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Level::None => "None",
            Level::Metadata => "Metadata",
            Level::Request => "Request",
            Level::RequestResponse => "RequestResponse",
        }
    }
}

/// When in a request's life an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::RequestReceived => "RequestReceived",
            Stage::ResponseStarted => "ResponseStarted",
            Stage::ResponseComplete => "ResponseComplete",
            Stage::Panic => "Panic",
        }
    }
}

/// Why a policy cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit policy cannot be used: {field}: {reason}")]
pub struct InvalidPolicy {
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What is logged of which request: the first rule that fits decides.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: bool,
}

#[derive(Clone, Debug)]
struct Rule {
    level: Level,
    users: Vec<String>,
    groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<GroupResources>,
    namespaces: Vec<String>,
    paths: Vec<String>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug)]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    names: Vec<String>,
}

/// What a policy says of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) level: Level,
    pub(crate) omit_stages: Vec<Stage>,
    pub(crate) omit_managed_fields: bool,
}

impl Policy {
    /// Returns the policy of a server that was given none: reads of health and events are left out, all else is
    /// logged by its metadata, once it is answered.
    pub fn metadata() -> Policy {
        let quiet = Rule {
            level: Level::None,
            paths: vec!["/healthz*".into(), "/livez*".into(), "/readyz*".into(), "/version".into()],
            ..Rule::all(Level::None)
        };
        Policy {
            rules: vec![quiet, Rule::all(Level::Metadata)],
            omit_stages: vec![Stage::RequestReceived],
            omit_managed_fields: true,
        }
    }

    /// Reads a policy file: YAML or JSON.
    pub fn parse(text: &str) -> Result<Policy, InvalidPolicy> {
        let value: Value = serde_saphyr::from_str(text)
            .map_err(|error| InvalidPolicy { field: "policy".into(), reason: error.to_string() })?;
        Policy::read(&value)
    }

    fn read(value: &Value) -> Result<Policy, InvalidPolicy> {
        known(value, "policy", &["apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"])?;
        for (field, expected) in [("apiVersion", "audit.k8s.io/v1"), ("kind", "Policy")] {
            if value[field] != expected {
                return Err(invalid(field, &format!("expected {expected}, found {}", value[field])));
            }
        }
        let rules = value["rules"].as_array().filter(|rules| !rules.is_empty());
        let rules = rules.ok_or_else(|| invalid("rules", "at least one is needed"))?;
        Ok(Policy {
            rules: rules
                .iter()
                .enumerate()
                .map(|(index, rule)| Rule::read(rule, &format!("rules[{index}]")))
                .collect::<Result<_, _>>()?,
            omit_stages: stages(&value["omitStages"], "omitStages")?,
            omit_managed_fields: value["omitManagedFields"] == true,
        })
    }

    /// Returns what is to be logged of a request; `info` is `None` for a path that leads to no kind.
    pub(crate) fn decide(&self, user: &User, verb: &str, info: Option<&Info>, path: &str) -> Decision {
        let rule = self.rules.iter().find(|rule| rule.fits(user, verb, info, path));
        let mut omit_stages = self.omit_stages.clone();
        omit_stages.extend(rule.into_iter().flat_map(|rule| rule.omit_stages.iter().copied()));
        Decision {
            level: rule.map_or(Level::None, |rule| rule.level),
            omit_stages,
            omit_managed_fields: rule.and_then(|rule| rule.omit_managed_fields).unwrap_or(self.omit_managed_fields),
        }
    }
}

impl Rule {
    fn all(level: Level) -> Rule {
        Rule {
            level,
            users: Vec::new(),
            groups: Vec::new(),
            verbs: Vec::new(),
            resources: Vec::new(),
            namespaces: Vec::new(),
            paths: Vec::new(),
            omit_stages: Vec::new(),
            omit_managed_fields: None,
        }
    }

    fn read(rule: &Value, at: &str) -> Result<Rule, InvalidPolicy> {
        let fields = [
            "level",
            "users",
            "userGroups",
            "verbs",
            "resources",
            "namespaces",
            "nonResourceURLs",
            "omitStages",
            "omitManagedFields",
        ];
        known(rule, at, &fields)?;
        let level = match rule["level"].as_str() {
            Some("None") => Level::None,
            Some("Metadata") => Level::Metadata,
            Some("Request") => Level::Request,
            Some("RequestResponse") => Level::RequestResponse,
            _ => return Err(invalid(&format!("{at}.level"), "must be None, Metadata, Request or RequestResponse")),
        };
        let resources = rule["resources"].as_array().into_iter().flatten().enumerate().map(|(index, item)| {
            known(item, &format!("{at}.resources[{index}]"), &["group", "resources", "resourceNames"])?;
            Ok(GroupResources {
                group: item["group"].as_str().unwrap_or_default().to_owned(),
                resources: texts(&item["resources"]),
                names: texts(&item["resourceNames"]),
            })
        });
        let read = Rule {
            level,
            users: texts(&rule["users"]),
            groups: texts(&rule["userGroups"]),
            verbs: texts(&rule["verbs"]),
            resources: resources.collect::<Result<_, _>>()?,
            namespaces: texts(&rule["namespaces"]),
            paths: texts(&rule["nonResourceURLs"]),
            omit_stages: stages(&rule["omitStages"], &format!("{at}.omitStages"))?,
            omit_managed_fields: rule["omitManagedFields"].as_bool(),
        };
        let of_kinds = !read.resources.is_empty() || !read.namespaces.is_empty();
        if of_kinds && !read.paths.is_empty() {
            return Err(invalid(at, "rules cannot apply to both regular resources and non-resource URLs"));
        }
        Ok(read)
    }

    fn fits(&self, user: &User, verb: &str, info: Option<&Info>, path: &str) -> bool {
        let either = |list: &[String], fits: &dyn Fn(&String) -> bool| list.is_empty() || list.iter().any(fits);
        if !either(&self.users, &|name| *name == user.name)
            || !either(&self.groups, &|group| user.groups.contains(group))
            || !either(&self.verbs, &|known| known == verb)
        {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return info.is_some_and(|info| {
                either(&self.namespaces, &|namespace| *namespace == info.namespace)
                    && (self.resources.is_empty() || self.resources.iter().any(|resources| resources.fits(info)))
            });
        }
        if !self.paths.is_empty() {
            return info.is_none()
                && self.paths.iter().any(|pattern| match pattern.strip_suffix('*') {
                    Some(prefix) => path.starts_with(prefix),
                    None => pattern == path,
                });
        }
        true
    }
}

impl GroupResources {
    fn fits(&self, info: &Info) -> bool {
        if self.group != info.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        if !self.names.is_empty() && !self.names.contains(&info.name) {
            return false;
        }
        let whole = match info.subresource.as_str() {
            "" => info.resource.clone(),
            subresource => format!("{}/{subresource}", info.resource),
        };
        self.resources.iter().any(|wanted| {
            *wanted == whole
                || wanted == "*"
                || !info.subresource.is_empty() && wanted.strip_prefix("*/") == Some(&info.subresource)
                || wanted.strip_suffix("/*") == Some(&info.resource)
        })
    }
}

fn invalid(field: &str, reason: &str) -> InvalidPolicy {
    InvalidPolicy { field: field.to_owned(), reason: reason.to_owned() }
}

fn known(value: &Value, at: &str, fields: &[&str]) -> Result<(), InvalidPolicy> {
    let map = value.as_object().ok_or_else(|| invalid(at, "must be an object"))?;
    match map.keys().find(|key| !fields.contains(&key.as_str())) {
        Some(key) => Err(invalid(&format!("{at}.{key}"), "no such field")),
        None => Ok(()),
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn stages(list: &Value, at: &str) -> Result<Vec<Stage>, InvalidPolicy> {
    texts(list)
        .iter()
        .map(|stage| match stage.as_str() {
            "RequestReceived" => Ok(Stage::RequestReceived),
            "ResponseStarted" => Ok(Stage::ResponseStarted),
            "ResponseComplete" => Ok(Stage::ResponseComplete),
            "Panic" => Ok(Stage::Panic),
            other => Err(invalid(at, &format!("no stage is called {other:?}"))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: ["RequestReceived"]
rules:
- level: None
  users: ["system:kube-proxy"]
  verbs: ["watch"]
- level: None
  nonResourceURLs: ["/healthz*", "/version"]
- level: Metadata
  resources: [{group: "", resources: ["secrets", "configmaps", "*/status"]}]
- level: Request
  resources: [{group: "", resources: ["pods/*"], resourceNames: []}]
  namespaces: ["kube-system"]
  omitStages: ["ResponseStarted"]
- level: RequestResponse
  userGroups: ["devs"]
  resources: [{group: apps}]
"#;

    #[track_caller]
    fn check(user: &User, verb: &str, place: &str, expected: Level) {
        let policy = Policy::parse(POLICY).unwrap();
        let info = place.strip_prefix("path:").is_none().then(|| {
            let parts: Vec<&str> = place.split(' ').collect();
            let (resource, subresource) = parts[2].split_once('/').unwrap_or((parts[2], ""));
            let group = if parts[0] == "core" { "" } else { parts[0] };
            Info {
                group: group.into(),
                namespace: parts[1].into(),
                resource: resource.into(),
                subresource: subresource.into(),
                ..Info::default()
            }
        });
        let path = place.strip_prefix("path:").unwrap_or_default();
        assert_eq!(policy.decide(user, verb, info.as_ref(), path).level, expected, "{verb} {place}");
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let (ann, dev) = (User::new("ann", &[]), User::new("bob", &["devs"]));
        check(&User::new("system:kube-proxy", &[]), "watch", "core a secrets", Level::None);
        check(&ann, "get", "core a secrets", Level::Metadata);
        check(&ann, "update", "core a nodes/status", Level::Metadata);
        check(&ann, "create", "core kube-system pods/exec", Level::Request);
        check(&ann, "create", "core kube-system pods", Level::Request);
        check(&ann, "create", "core a pods/exec", Level::None);
        check(&dev, "create", "apps a deployments", Level::RequestResponse);
        check(&ann, "create", "apps a deployments", Level::None);
        check(&ann, "get", "path:/healthz/ping", Level::None);
        let policy = Policy::parse(POLICY).unwrap();
        let info = Info { resource: "pods".into(), namespace: "kube-system".into(), ..Info::default() };
        let decision = policy.decide(&ann, "get", Some(&info), "");
        assert_eq!(decision.omit_stages, [Stage::RequestReceived, Stage::ResponseStarted]);
    }

    #[test]
    fn a_policy_that_says_what_is_not_known_is_refused() {
        let field = |text: &str| Policy::parse(text).unwrap_err().field;
        let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
        assert_eq!(field(&format!("{head}rules: [{{level: Everything}}]")), "rules[0].level");
        assert_eq!(field(&format!("{head}rules: [{{level: None, colour: red}}]")), "rules[0].colour");
        assert_eq!(field(&format!("{head}rules: [{{level: None}}]\nomitStages: [Later]")), "omitStages");
        assert_eq!(field("kind: Policy\nrules: [{level: None}]"), "apiVersion");
    }
}
