//! Which flow a request belongs to: the flow schemas choose a priority level, and tell one
//! flow in it from another. Pure, but for [`follow`]: objects and requests in, decisions out.
//! How many requests of a level are worked on at once is kept in [`crate::fair`].

mod follow;

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::Value;

use crate::{
    fair::{Limits, Queuing},
    rbac::{User, Wish},
};

/// The level that takes what no schema takes.
const CATCH_ALL: &str = "catch-all";

/// The flow of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Name of the priority level.
    pub level: String,
    /// Name of the flow schema.
    pub schema: String,
    /// Tells the flow from the others of its level.
    pub key: u64,
    /// The uids of the schema and the level, as answers name them.
    pub uids: (String, String),
}

/// The schemas and levels of one moment.
#[derive(Default)]
pub(crate) struct Flows {
    /// In the order in which they are asked.
    schemas: Vec<Schema>,
    levels: BTreeMap<String, Limits>,
}

struct Schema {
    name: String,
    uid: String,
    level: String,
    level_uid: String,
    precedence: i64,
    by: Option<By>,
    rules: Vec<Rules>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    User,
    Namespace,
}

struct Rules {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

enum Subject {
    User(String),
    Group(String),
    Account { namespace: String, name: String },
}

struct ResourceRule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    namespaces: Vec<String>,
    cluster: bool,
}

struct PathRule {
    verbs: Vec<String>,
    paths: Vec<String>,
}

fn texts(value: &Value, name: &str) -> Vec<String> {
    value[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn takes(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

impl Flows {
    /// Reads schemas and levels; a schema whose level is not there takes nothing.
    pub(crate) fn of(schemas: &[Value], levels: &[Value], seats: usize) -> Flows {
        let uids: BTreeMap<String, String> =
            levels.iter().map(|level| (text(&level["metadata"]["name"]), text(&level["metadata"]["uid"]))).collect();
        let mut schemas: Vec<Schema> = schemas
            .iter()
            .filter_map(|schema| {
                let level = text(&schema["spec"]["priorityLevelConfiguration"]["name"]);
                let level_uid = uids.get(&level)?.clone();
                Some(Schema { level_uid, ..Schema::read(schema, level) })
            })
            .collect();
        schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        Flows { schemas, levels: limits(levels, seats) }
    }

    /// Returns what each level may do.
    pub(crate) fn levels(&self) -> &BTreeMap<String, Limits> {
        &self.levels
    }

    /// Returns the flow of a request.
    pub(crate) fn classify(&self, user: &User, wish: &Wish) -> Flow {
        let found = self.schemas.iter().find(|schema| schema.rules.iter().any(|rules| rules.take(user, wish)));
        let Some(schema) = found else {
            return Flow { level: CATCH_ALL.to_owned(), ..Flow::default() };
        };
        let mut hasher = DefaultHasher::new();
        schema.name.hash(&mut hasher);
        match schema.by {
            Some(By::User) => user.name.hash(&mut hasher),
            Some(By::Namespace) => wish.namespace.hash(&mut hasher),
            None => {}
        }
        Flow {
            level: schema.level.clone(),
            schema: schema.name.clone(),
            key: hasher.finish(),
            uids: (schema.uid.clone(), schema.level_uid.clone()),
        }
    }
}

impl Schema {
    fn read(schema: &Value, level: String) -> Schema {
        let spec = &schema["spec"];
        let rules = list(spec, "rules").iter().map(|rules| Rules {
            subjects: list(rules, "subjects").iter().map(Subject::read).collect(),
            resources: list(rules, "resourceRules")
                .iter()
                .map(|rule| ResourceRule {
                    verbs: texts(rule, "verbs"),
                    groups: texts(rule, "apiGroups"),
                    resources: texts(rule, "resources"),
                    namespaces: texts(rule, "namespaces"),
                    cluster: rule["clusterScope"] == true,
                })
                .collect(),
            paths: list(rules, "nonResourceRules")
                .iter()
                .map(|rule| PathRule { verbs: texts(rule, "verbs"), paths: texts(rule, "nonResourceURLs") })
                .collect(),
        });
        Schema {
            name: text(&schema["metadata"]["name"]),
            uid: text(&schema["metadata"]["uid"]),
            level,
            level_uid: String::new(),
            precedence: spec["matchingPrecedence"].as_i64().unwrap_or_default(),
            by: match spec["distinguisherMethod"]["type"].as_str() {
                Some("ByUser") => Some(By::User),
                Some("ByNamespace") => Some(By::Namespace),
                _ => None,
            },
            rules: rules.collect(),
        }
    }
}

impl Subject {
    fn read(subject: &Value) -> Subject {
        match subject["kind"].as_str() {
            Some("User") => Subject::User(text(&subject["user"]["name"])),
            Some("Group") => Subject::Group(text(&subject["group"]["name"])),
            _ => Subject::Account {
                namespace: text(&subject["serviceAccount"]["namespace"]),
                name: text(&subject["serviceAccount"]["name"]),
            },
        }
    }

    fn is(&self, user: &User) -> bool {
        match self {
            Subject::User(name) => name == "*" || *name == user.name,
            Subject::Group(name) => name == "*" || user.groups.contains(name),
            Subject::Account { namespace, name } => {
                let account = user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
                account.is_some_and(|(of, account)| of == namespace && (name == "*" || account == name))
            }
        }
    }
}

impl Rules {
    fn take(&self, user: &User, wish: &Wish) -> bool {
        if !self.subjects.iter().any(|subject| subject.is(user)) {
            return false;
        }
        if wish.resource.is_empty() {
            return self.paths.iter().any(|rule| takes(&rule.verbs, &wish.verb) && rule.leads_to(&wish.path));
        }
        self.resources.iter().any(|rule| {
            let here = if wish.namespace.is_empty() { rule.cluster } else { takes(&rule.namespaces, &wish.namespace) };
            here && takes(&rule.verbs, &wish.verb)
                && takes(&rule.groups, &wish.group)
                && takes(&rule.resources, &wish.resource)
        })
    }
}

impl PathRule {
    fn leads_to(&self, path: &str) -> bool {
        self.paths.iter().any(|rule| match rule.strip_suffix('*') {
            Some(begin) => path.starts_with(begin),
            None => rule == path,
        })
    }
}

/// Returns what each level may do: the seats are divided by the levels' shares.
fn limits(levels: &[Value], seats: usize) -> BTreeMap<String, Limits> {
    let part = |level: &Value| {
        let spec = &level["spec"];
        if spec["limited"].is_object() { spec["limited"].clone() } else { spec["exempt"].clone() }
    };
    let shares = |part: &Value| part["nominalConcurrencyShares"].as_u64().unwrap_or_default() as usize;
    let all: usize = levels.iter().map(|level| shares(&part(level))).sum::<usize>().max(1);
    levels
        .iter()
        .map(|level| {
            let part = part(level);
            let nominal = (seats * shares(&part)).div_ceil(all);
            let percent = |name: &str| part[name].as_u64().map(|percent| (nominal * percent as usize + 50) / 100);
            let queuing = &part["limitResponse"]["queuing"];
            let number = |name: &str| queuing[name].as_u64().unwrap_or(1).max(1) as usize;
            let limits = Limits {
                exempt: level["spec"]["type"] == "Exempt",
                nominal,
                lendable: percent("lendablePercent").unwrap_or_default().min(nominal),
                borrowable: percent("borrowingLimitPercent"),
                queuing: queuing.is_object().then(|| Queuing {
                    queues: number("queues"),
                    hand: number("handSize"),
                    length: number("queueLengthLimit"),
                }),
            };
            (text(&level["metadata"]["name"]), limits)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap;

    fn kubernetes() -> Flows {
        let of = |plural: &str| -> Vec<Value> {
            bootstrap::flow::seeds().into_iter().filter(|seed| seed.2 == plural).map(|seed| seed.3).collect()
        };
        Flows::of(&of("flowschemas"), &of("prioritylevelconfigurations"), 600)
    }

    fn wish(verb: &str, group: &str, resource: &str, namespace: &str) -> Wish {
        let [verb, group, resource, namespace] = [verb, group, resource, namespace].map(str::to_owned);
        Wish { verb, group, resource, namespace, ..Wish::default() }
    }

    #[test]
    fn the_first_schema_that_takes_a_request_chooses_its_level() {
        let flows = kubernetes();
        let leases = wish("update", "coordination.k8s.io", "leases", "kube-system");
        let pods = wish("list", "", "pods", "");
        let path = |path: &str| Wish { verb: "get".into(), path: path.into(), ..Wish::default() };
        let account = |name: &str| User::new(&format!("system:serviceaccount:{name}"), &["system:serviceaccounts"]);
        for (user, wish, schema, level) in [
            (User::new("admin", &["system:masters"]), &pods, "exempt", "exempt"),
            (User::anonymous(), &path("/livez"), "probes", "exempt"),
            (User::anonymous(), &path("/version"), "global-default", "global-default"),
            (User::new("system:kube-scheduler", &[]), &leases, "system-leader-election", "leader-election"),
            (User::new("system:kube-scheduler", &[]), &pods, "kube-scheduler", "workload-high"),
            (account("kube-system:a"), &leases, "system-leader-election", "leader-election"),
            (account("kube-system:a"), &pods, "kube-system-service-accounts", "workload-high"),
            (account("default:a"), &pods, "service-accounts", "workload-low"),
            (User::new("n", &["system:nodes"]), &leases, "system-node-high", "node-high"),
            (User::new("n", &["system:nodes"]), &wish("get", "", "pods", "a"), "system-nodes", "system"),
            (User::new("ann", &[]), &pods, "global-default", "global-default"),
        ] {
            let flow = flows.classify(&user, wish);
            assert_eq!((flow.schema.as_str(), flow.level.as_str()), (schema, level), "{user:?} {wish:?}");
        }
    }

    #[test]
    fn flows_are_told_apart_as_their_schema_says() {
        let flows = kubernetes();
        let key = |user: &str, namespace: &str| {
            flows.classify(&User::new(user, &[]), &wish("get", "", "pods", namespace)).key
        };
        assert_ne!(key("ann", "a"), key("bob", "a"));
        assert_eq!(key("ann", "a"), key("ann", "b"));
        assert_ne!(key("system:kube-scheduler", "a"), key("system:kube-scheduler", "b"));
    }

    #[test]
    fn seats_are_divided_by_shares() {
        let flows = kubernetes();
        let low = &flows.levels()["workload-low"];
        // 100 of 245 shares of 600 seats, of which nine in ten may be lent.
        assert_eq!((low.nominal, low.lendable, low.borrowable), (245, 221, None));
        assert!(flows.levels()["exempt"].exempt);
        assert!(flows.levels()["catch-all"].queuing.is_none());
    }

    #[test]
    fn a_schema_without_its_level_takes_nothing() {
        let (schemas, levels): (Vec<_>, Vec<_>) =
            bootstrap::flow::seeds().into_iter().partition(|seed| seed.2 == "flowschemas");
        let schemas: Vec<Value> = schemas.into_iter().map(|seed| seed.3).collect();
        let levels: Vec<Value> = levels
            .into_iter()
            .map(|seed| seed.3)
            .filter(|level| level["metadata"]["name"] != "global-default")
            .collect();
        let flow = Flows::of(&schemas, &levels, 600).classify(&User::new("ann", &[]), &wish("list", "", "pods", ""));
        assert_eq!(flow.level, "catch-all");
    }
}
