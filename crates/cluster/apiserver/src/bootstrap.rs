//! The objects that exist from the start: namespaces, Kubernetes' default roles and
//! bindings, and what the platform's own kinds add to them.

pub(crate) mod flow;

use serde_json::{Value, json};

/// A kind's place, and the object: `(group, version, plural, object)`.
pub(crate) type Seed = (&'static str, &'static str, &'static str, Value);

const RBAC: &str = "rbac.authorization.k8s.io";
const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];

/// Kubernetes' own roles and bindings; the file says where they come from.
const ROLES: &str = include_str!("bootstrap/kubernetes.roles");

/// The platform's roles and bindings, in the form of Kubernetes' table.
const OWN_ROLES: &str = "
ClusterRole roadstead:gateway
 rule get,list,watch | core | services,namespaces
 rule get,list,watch | discovery.k8s.io | endpointslices
 rule get,list,watch | gateway.networking.k8s.io | gatewayclasses,gateways,httproutes,referencegrants
 rule get,patch,update | gateway.networking.k8s.io | gatewayclasses/status,gateways/status,httproutes/status
 rule get,list,watch | networking.istio.io | virtualservices,gateways
 rule get,patch,update | networking.istio.io | virtualservices/status
ClusterRoleBinding roadstead:gateway = ClusterRole roadstead:gateway
 to Group roadstead:gateways
";

/// Returns the namespaces that have to exist.
pub(crate) fn namespaces() -> Vec<Seed> {
    ["default", "kube-system", "kube-public", "kube-node-lease", "roadstead-system"]
        .iter()
        .map(|name| ("", "v1", "namespaces", json!({"metadata": {"name": name}})))
        .collect()
}

/// Returns what has to exist beside namespaces and roles, for a cluster with these service addresses that is made
/// today: stock controllers ask since when no account has a token in a Secret of its own.
pub(crate) fn of_platform(service_range: &str, today: &str) -> Vec<Seed> {
    let class = |name: &str, value: i64, what: &str| {
        let object = json!({"metadata": {"name": name}, "value": value, "description": what});
        ("scheduling.k8s.io", "v1", "priorityclasses", object)
    };
    let range = json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": [service_range]}});
    let tracking = json!({"metadata": {"name": "kube-apiserver-legacy-service-account-token-tracking", "namespace": "kube-system"},
        "data": {"since": today}});
    vec![
        ("", "v1", "configmaps", tracking),
        class("system-cluster-critical", 2_000_000_000, "Pods that the cluster needs, on whichever node."),
        class("system-node-critical", 2_000_001_000, "Pods that a node needs, and that cannot be elsewhere."),
        ("networking.k8s.io", "v1", "servicecidrs", range),
    ]
}

/// Returns the account that pods of a namespace have if they name none.
pub(crate) fn account(namespace: &str) -> Seed {
    ("", "v1", "serviceaccounts", json!({"metadata": {"name": "default", "namespace": namespace}}))
}

/// Returns the roles and bindings that have to exist.
pub(crate) fn roles() -> Vec<Seed> {
    let mut seeds = parse(ROLES);
    seeds.extend(parse(OWN_ROLES));
    let kinds = [
        ("platform.io", &["microservices", "repositories"][..]),
        ("argoproj.io", &["applications"]),
        ("gateway.networking.k8s.io", &["httproutes", "gateways"]),
        ("networking.istio.io", &["virtualservices"]),
    ];
    for (to, verbs) in [("edit", WRITE), ("view", READ)] {
        let rules: Vec<Value> = kinds
            .iter()
            .map(|(group, resources)| json!({"apiGroups": [group], "resources": resources, "verbs": verbs}))
            .collect();
        let mut role = started("ClusterRole", &format!("roadstead:aggregate-to-{to}"));
        role["metadata"]["labels"][format!("{RBAC}/aggregate-to-{to}")] = "true".into();
        role["rules"] = rules.into();
        seeds.push((RBAC, "v1", "clusterroles", role));
    }
    seeds
}

fn started(kind: &str, name: &str) -> Value {
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    let mut object = json!({"apiVersion": format!("{RBAC}/v1"), "kind": kind, "metadata": {"name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}}});
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

/// Reads a table of roles; its header says how it is written.
fn parse(table: &str) -> Vec<Seed> {
    let mut seeds: Vec<Seed> = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some(fact) = line.strip_prefix(' ') else {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            let (name, refers) = rest.split_once(" = ").unwrap_or((rest, ""));
            let mut object = started(kind, name);
            match refers.split_once(' ') {
                Some((kind, name)) => object["roleRef"] = json!({"apiGroup": RBAC, "kind": kind, "name": name}),
                None => object["rules"] = json!([]),
            }
            let plural = match kind {
                "ClusterRole" => "clusterroles",
                "Role" => "roles",
                "ClusterRoleBinding" => "clusterrolebindings",
                _ => "rolebindings",
            };
            seeds.push((RBAC, "v1", plural, object));
            continue;
        };
        if let Some((.., object)) = seeds.last_mut() {
            add(object, fact);
        }
    }
    seeds
}

fn add(object: &mut Value, fact: &str) {
    fn push(list: &mut Value, item: Value) {
        match list {
            Value::Array(list) => list.push(item),
            _ => *list = json!([item]),
        }
    }
    match fact.split_once(' ') {
        Some(("label", key)) => object["metadata"]["labels"][key] = "true".into(),
        Some(("select", key)) => {
            push(&mut object["aggregationRule"]["clusterRoleSelectors"], json!({"matchLabels": {key: "true"}}));
        }
        Some(("to", subject)) => {
            let (kind, name) = subject.split_once(' ').unwrap_or((subject, ""));
            let subject = match name.split_once('/') {
                Some((namespace, name)) if kind == "ServiceAccount" => {
                    json!({"kind": kind, "name": name, "namespace": namespace})
                }
                _ => json!({"apiGroup": RBAC, "kind": kind, "name": name}),
            };
            push(&mut object["subjects"], subject);
        }
        Some(("rule", lists)) => {
            let mut rule = json!({});
            let names = ["verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"];
            for (name, list) in names.iter().zip(lists.split('|').map(str::trim)).filter(|(_, list)| !list.is_empty()) {
                let items: Vec<&str> = list.split(',').map(|item| if item == "core" { "" } else { item }).collect();
                rule[*name] = json!(items);
            }
            push(&mut object["rules"], rule);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_roles_are_kubernetes_own() {
        let roles = roles();
        let find = |plural: &str, name: &str| {
            let found = roles.iter().find(|(.., of, object)| *of == plural && object["metadata"]["name"] == name);
            found.map_or_else(|| panic!("{name}"), |(.., object)| object)
        };
        let admin = find("clusterroles", "admin");
        let selector = json!([{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}}]);
        assert_eq!(admin["aggregationRule"]["clusterRoleSelectors"], selector);
        assert_eq!(
            find("clusterroles", "cluster-admin")["rules"],
            json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}])
        );
        let public = find("clusterrolebindings", "system:public-info-viewer");
        assert_eq!(public["subjects"][1]["name"], "system:unauthenticated");
        let signer = find("rolebindings", "system:controller:bootstrap-signer");
        assert_eq!(
            signer["subjects"][0],
            json!({"kind": "ServiceAccount", "name": "bootstrap-signer", "namespace": "kube-system"})
        );
        let node = find("clusterroles", "system:node")["rules"].as_array().unwrap();
        assert!(node.iter().any(|rule| rule["resources"] == json!(["tokenreviews"])));
        assert!(find("clusterrolebindings", "system:node")["subjects"].is_null());
    }
}
