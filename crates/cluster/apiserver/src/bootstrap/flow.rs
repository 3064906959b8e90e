//! The flow schemas and priority levels that exist from the start, as Kubernetes has them:
//! two of each that must be there and be as they are, and those that it suggests.

use serde_json::{Value, json};

use super::Seed;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// Name, shares, lendable percent, and the queues: how many, how many of them one flow is dealt, how long each is.
const LEVELS: &[(&str, i64, i64, [i64; 3])] = &[
    ("system", 30, 33, [64, 6, 50]),
    ("node-high", 40, 25, [64, 6, 50]),
    ("leader-election", 10, 0, [16, 4, 50]),
    ("workload-high", 40, 50, [128, 6, 50]),
    ("workload-low", 100, 90, [128, 6, 50]),
    ("global-default", 20, 50, [128, 6, 50]),
];

const EVERYBODY: &[&str] = &["group system:unauthenticated", "group system:authenticated"];
const SYSTEM_ACCOUNTS: &str = "account kube-system/*";
const ALL: &[Rule] = &[EVERYTHING];
const EVERYTHING: Rule = Rule { verbs: &["*"], groups: &["*"], resources: &["*"], cluster: true, paths: &["*"] };
const LEASES: Rule =
    Rule { verbs: &["*"], groups: &["coordination.k8s.io"], resources: &["leases"], cluster: false, paths: &[] };

/// What a schema takes: objects of these resources, and paths.
#[derive(Clone, Copy)]
struct Rule {
    verbs: &'static [&'static str],
    groups: &'static [&'static str],
    resources: &'static [&'static str],
    cluster: bool,
    paths: &'static [&'static str],
}

struct Schema {
    name: &'static str,
    level: &'static str,
    precedence: i64,
    by: &'static str,
    subjects: &'static [&'static str],
    rules: &'static [Rule],
}

const SCHEMAS: &[Schema] = &[
    Schema { name: "exempt", level: "exempt", precedence: 1, by: "", subjects: &["group system:masters"], rules: ALL },
    Schema {
        name: "probes",
        level: "exempt",
        precedence: 2,
        by: "",
        subjects: EVERYBODY,
        rules: &[Rule {
            verbs: &["get"],
            groups: &[],
            resources: &[],
            cluster: false,
            paths: &["/healthz", "/readyz", "/livez"],
        }],
    },
    Schema {
        name: "system-leader-election",
        level: "leader-election",
        precedence: 100,
        by: "ByUser",
        subjects: &["user system:kube-controller-manager", "user system:kube-scheduler", SYSTEM_ACCOUNTS],
        rules: &[Rule { verbs: &["get", "create", "update"], ..LEASES }],
    },
    Schema {
        name: "system-node-high",
        level: "node-high",
        precedence: 400,
        by: "ByUser",
        subjects: &["group system:nodes"],
        rules: &[
            Rule { verbs: &["*"], groups: &[""], resources: &["nodes", "nodes/status"], cluster: true, paths: &[] },
            LEASES,
        ],
    },
    Schema {
        name: "system-nodes",
        level: "system",
        precedence: 500,
        by: "ByUser",
        subjects: &["group system:nodes"],
        rules: ALL,
    },
    Schema {
        name: "kube-controller-manager",
        level: "workload-high",
        precedence: 800,
        by: "ByNamespace",
        subjects: &["user system:kube-controller-manager"],
        rules: ALL,
    },
    Schema {
        name: "kube-scheduler",
        level: "workload-high",
        precedence: 800,
        by: "ByNamespace",
        subjects: &["user system:kube-scheduler"],
        rules: ALL,
    },
    Schema {
        name: "kube-system-service-accounts",
        level: "workload-high",
        precedence: 900,
        by: "ByNamespace",
        subjects: &[SYSTEM_ACCOUNTS],
        rules: ALL,
    },
    Schema {
        name: "service-accounts",
        level: "workload-low",
        precedence: 9000,
        by: "ByUser",
        subjects: &["group system:serviceaccounts"],
        rules: ALL,
    },
    Schema {
        name: "global-default",
        level: "global-default",
        precedence: 9900,
        by: "ByUser",
        subjects: EVERYBODY,
        rules: ALL,
    },
    Schema { name: "catch-all", level: "catch-all", precedence: 10_000, by: "ByUser", subjects: EVERYBODY, rules: ALL },
];

/// Returns the objects that have to exist.
pub(crate) fn seeds() -> Vec<Seed> {
    let levels = LEVELS.iter().map(|(name, shares, lendable, [queues, hand, length])| {
        let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": length});
        let limited = json!({"nominalConcurrencyShares": shares, "lendablePercent": lendable,
            "limitResponse": {"type": "Queue", "queuing": queuing}});
        (*name, json!({"type": "Limited", "limited": limited}))
    });
    let mandatory = ["exempt", "catch-all"].into_iter().filter_map(|name| Some((name, mandatory_level(name)?)));
    let levels: Vec<Seed> =
        mandatory.chain(levels).map(|(name, spec)| seed("prioritylevelconfigurations", name, &spec)).collect();
    levels.into_iter().chain(SCHEMAS.iter().map(|schema| seed("flowschemas", schema.name, &schema.spec()))).collect()
}

/// Returns the spec that the priority level `name` must have, if it must have one.
pub(crate) fn mandatory_level(name: &str) -> Option<Value> {
    match name {
        "exempt" => Some(json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}})),
        "catch-all" => Some(json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0,
            "limitResponse": {"type": "Reject"}}})),
        _ => None,
    }
}

/// Returns the spec that the flow schema `name` must have, if it must have one.
pub(crate) fn mandatory_schema(name: &str) -> Option<Value> {
    let schema = SCHEMAS.iter().find(|schema| schema.name == name && matches!(name, "exempt" | "catch-all"))?;
    Some(schema.spec())
}

fn seed(plural: &'static str, name: &str, spec: &Value) -> Seed {
    let metadata = json!({"name": name, "annotations": {"apf.kubernetes.io/autoupdate-spec": "true"}});
    (GROUP, "v1", plural, json!({"metadata": metadata, "spec": spec}))
}

impl Schema {
    fn spec(&self) -> Value {
        let subjects: Vec<Value> = self.subjects.iter().map(|subject| to_subject(subject)).collect();
        let mut rules = json!({"subjects": subjects});
        let resources = self.rules.iter().filter(|rule| !rule.resources.is_empty()).map(|rule| {
            let mut written = json!({"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources, "namespaces": ["*"]});
            if rule.cluster {
                written["clusterScope"] = true.into();
            }
            written
        });
        let paths = self.rules.iter().filter(|rule| !rule.paths.is_empty());
        let paths = paths.map(|rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.paths}));
        for (name, list) in [("resourceRules", resources.collect::<Vec<_>>()), ("nonResourceRules", paths.collect())] {
            if !list.is_empty() {
                rules[name] = list.into();
            }
        }
        let mut spec = json!({"priorityLevelConfiguration": {"name": self.level}, "matchingPrecedence": self.precedence,
            "rules": [rules]});
        if !self.by.is_empty() {
            spec["distinguisherMethod"] = json!({"type": self.by});
        }
        spec
    }
}

fn to_subject(text: &str) -> Value {
    let (kind, name) = text.split_once(' ').unwrap_or((text, ""));
    match (kind, name.split_once('/')) {
        ("account", Some((namespace, name))) => {
            json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": name}})
        }
        ("group", _) => json!({"kind": "Group", "group": {"name": name}}),
        _ => json!({"kind": "User", "user": {"name": name}}),
    }
}
