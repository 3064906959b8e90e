//! `ResourceQuota`: what an object counts for, and whether a namespace's quotas have room for it.

use schema::{quantity::Quantity, selector::Labels};
use serde_json::{Map, Value, json};

use crate::{
    items,
    pods::{self, Resources},
    text,
};

/// What is counted: the group and plural of a kind, and the object.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// API group.
    pub group: &'a str,
    /// Plural name.
    pub resource: &'a str,
    /// The object.
    pub object: &'a Value,
}

/// The resources of pods that quotas name without a prefix.
const COMPUTE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Kinds that quotas name by their plural alone.
const PLAIN: [&str; 8] = [
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "resourceclaims",
];

/// Returns the group and plural of the kind that a resource of a quota is counted by.
pub fn kind_of(resource: &str) -> (String, String) {
    if let Some(name) = resource.strip_prefix("count/") {
        let (plural, group) = name.split_once('.').unwrap_or((name, ""));
        return (group.to_owned(), plural.to_owned());
    }
    let plural = match resource {
        name if PLAIN.contains(&name) => name,
        "services.nodeports" | "services.loadbalancers" => "services",
        name if name == "requests.storage" || name.contains(".storageclass.storage.k8s.io/") => {
            "persistentvolumeclaims"
        }
        _ => "pods",
    };
    (String::new(), plural.to_owned())
}

/// Returns what an object counts for, `now` being the present in seconds since 1970.
pub fn usage(counted: Counted<'_>, now: i64) -> Resources {
    let Counted { group, resource, object } = counted;
    let mut used = Resources::new();
    let one = Quantity::of(1);
    let name = if group.is_empty() { format!("count/{resource}") } else { format!("count/{resource}.{group}") };
    used.insert(name, one);
    if !group.is_empty() {
        return used;
    }
    match resource {
        "pods" if is_over(object, now) => {}
        "pods" => pod(object, &mut used),
        "services" => service(object, &mut used),
        "persistentvolumeclaims" => claim(object, &mut used),
        name if PLAIN.contains(&name) => {
            used.insert(name.to_owned(), one);
        }
        _ => {}
    }
    used
}

/// A pod that is over, or was to be gone by now, uses nothing.
fn is_over(pod: &Value, now: i64) -> bool {
    if matches!(text(&pod["status"], "phase"), "Succeeded" | "Failed") {
        return true;
    }
    let deleted = pod["metadata"]["deletionTimestamp"].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
    // The time of deletion has the grace in it already.
    deleted.is_some_and(|deleted| now > deleted.as_second())
}

fn pod(pod: &Value, used: &mut Resources) {
    used.insert("pods".to_owned(), Quantity::of(1));
    for (name, value) in pods::total(&pod["spec"], "requests") {
        let extended = name.contains('/') && !name.contains("kubernetes.io/");
        if COMPUTE.contains(&name.as_str()) || name.starts_with("hugepages-") {
            used.insert(name.clone(), value);
            used.insert(format!("requests.{name}"), value);
        } else if extended {
            used.insert(format!("requests.{name}"), value);
        }
    }
    for (name, value) in pods::total(&pod["spec"], "limits") {
        if COMPUTE.contains(&name.as_str()) {
            used.insert(format!("limits.{name}"), value);
        }
    }
}

fn service(service: &Value, used: &mut Resources) {
    let count = |number: usize| Quantity::of(i64::try_from(number).unwrap_or(i64::MAX));
    let spec = &service["spec"];
    let ports = items(&spec["ports"]).count();
    let (mut node_ports, mut balancers) = (0, 0);
    match text(spec, "type") {
        "NodePort" => node_ports = ports,
        "LoadBalancer" => {
            balancers = 1;
            node_ports = if spec["allocateLoadBalancerNodePorts"] == false {
                items(&spec["ports"]).filter(|port| port["nodePort"].as_i64().is_some_and(|port| port != 0)).count()
            } else {
                ports
            };
        }
        _ => {}
    }
    for (name, number) in [("services", 1), ("services.nodeports", node_ports), ("services.loadbalancers", balancers)] {
        used.insert(name.to_owned(), count(number));
    }
}

fn claim(claim: &Value, used: &mut Resources) {
    let one = Quantity::of(1);
    used.insert("persistentvolumeclaims".to_owned(), one);
    let class = claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"]
        .as_str()
        .unwrap_or_else(|| text(&claim["spec"], "storageClassName"));
    let of_class = format!("{class}.storageclass.storage.k8s.io/");
    if !class.is_empty() {
        used.insert(format!("{of_class}persistentvolumeclaims"), one);
    }
    let asked = pods::read(&claim["spec"]["resources"]["requests"]["storage"]);
    let given = pods::read(&claim["status"]["allocatedResources"]["storage"]);
    if let Some(size) = asked.max(given) {
        used.insert("requests.storage".to_owned(), size);
        if !class.is_empty() {
            used.insert(format!("{of_class}requests.storage"), size);
        }
    }
}

/// Returns whether a quota's scopes take in an object.
pub fn in_scope(quota: &Value, counted: Counted<'_>) -> bool {
    let plain = items(&quota["spec"]["scopes"])
        .filter_map(Value::as_str)
        .map(|name| json!({"scopeName": name, "operator": "Exists"}));
    let selected = items(&quota["spec"]["scopeSelector"]["matchExpressions"]).cloned();
    let scopes: Vec<Value> = plain.chain(selected).collect();
    if scopes.is_empty() {
        return true;
    }
    if (counted.group, counted.resource) != ("", "pods") {
        return false;
    }
    let spec = &counted.object["spec"];
    scopes.iter().all(|scope| match text(scope, "scopeName") {
        "Terminating" => spec["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0),
        "NotTerminating" => spec["activeDeadlineSeconds"].as_i64().is_none_or(|seconds| seconds < 0),
        "BestEffort" => pods::is_best_effort(spec),
        "NotBestEffort" => !pods::is_best_effort(spec),
        "PriorityClass" => has_priority(scope, text(spec, "priorityClassName")),
        "CrossNamespacePodAffinity" => crosses_namespaces(spec),
        _ => false,
    })
}

fn has_priority(scope: &Value, class: &str) -> bool {
    if text(scope, "operator") == "Exists" {
        return !class.is_empty();
    }
    let expression = json!({"key": "PriorityClass", "operator": scope["operator"], "values": scope["values"]});
    let mut labels = Map::new();
    if !class.is_empty() {
        labels.insert("PriorityClass".to_owned(), class.into());
    }
    matches!(Labels::from_object(&json!({"matchExpressions": [expression]})), Ok(Some(selector)) if selector.matches(Some(&labels)))
}

fn crosses_namespaces(spec: &Value) -> bool {
    ["podAffinity", "podAntiAffinity"].into_iter().any(|kind| {
        let affinity = &spec["affinity"][kind];
        let required = items(&affinity["requiredDuringSchedulingIgnoredDuringExecution"]);
        let preferred =
            items(&affinity["preferredDuringSchedulingIgnoredDuringExecution"]).map(|term| &term["podAffinityTerm"]);
        required
            .chain(preferred)
            .any(|term| !term["namespaceSelector"].is_null() || items(&term["namespaces"]).next().is_some())
    })
}

/// Returns what is used of the resources that a quota limits, by all these objects.
pub fn used<'a>(quota: &Value, objects: impl IntoIterator<Item = Counted<'a>>, now: i64) -> Resources {
    let mut total: Resources =
        pods::resources(&quota["spec"]["hard"]).into_keys().map(|name| (name, Quantity::of(0))).collect();
    for counted in objects {
        if !in_scope(quota, counted) {
            continue;
        }
        for (name, value) in usage(counted, now) {
            if let Some(there) = total.get_mut(&name) {
                *there = there.plus(value).unwrap_or(*there);
            }
        }
    }
    total
}

/// Returns why an object does not fit in a quota of which `used` is used up without it.
///
/// `old` is what the object was, when it is changed: only what it grows by counts.
pub fn refusal(quota: &Value, used: &Resources, new: Counted<'_>, old: Option<&Value>, now: i64) -> Option<String> {
    if !in_scope(quota, new) {
        return None;
    }
    let name = text(&quota["metadata"], "name");
    let hard = pods::resources(&quota["spec"]["hard"]);
    if old.is_none()
        && (new.group, new.resource) == ("", "pods")
        && let Some(missing) = missing(&hard, &new.object["spec"])
    {
        return Some(format!("failed quota: {name}: {missing}"));
    }
    let before =
        old.map(|object| Counted { object, ..new }).filter(|old| in_scope(quota, *old)).map(|old| usage(old, now));
    let mut exceeded = Vec::new();
    for (resource, amount) in usage(new, now) {
        let Some(limit) = hard.get(&resource) else { continue };
        let had = before.as_ref().and_then(|before| before.get(&resource)).copied().unwrap_or(Quantity::of(0));
        let grows = amount.minus(had).unwrap_or(amount);
        if grows.sign() <= 0 {
            continue;
        }
        let already = used.get(&resource).copied().unwrap_or(Quantity::of(0));
        if already.plus(grows).is_none_or(|sum| sum > *limit) {
            exceeded.push((resource, grows, already, *limit));
        }
    }
    if exceeded.is_empty() {
        return None;
    }
    let list = |value: fn(&(String, Quantity, Quantity, Quantity)) -> Quantity| {
        exceeded.iter().map(|found| format!("{}={}", found.0, value(found))).collect::<Vec<_>>().join(",")
    };
    Some(format!(
        "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
        list(|found| found.1),
        list(|found| found.2),
        list(|found| found.3)
    ))
}

/// Where processor or memory is limited, each container has to say how much it wants.
fn missing(hard: &Resources, spec: &Value) -> Option<String> {
    if spec["resources"]["requests"].is_object() || spec["resources"]["limits"].is_object() {
        return None;
    }
    let mut wanted: Vec<(&str, &str, &str)> = Vec::new();
    for name in hard.keys() {
        match name.as_str() {
            "cpu" | "requests.cpu" => wanted.push((name, "requests", "cpu")),
            "memory" | "requests.memory" => wanted.push((name, "requests", "memory")),
            "limits.cpu" => wanted.push((name, "limits", "cpu")),
            "limits.memory" => wanted.push((name, "limits", "memory")),
            _ => {}
        }
    }
    let found: Vec<String> = wanted
        .into_iter()
        .filter_map(|(resource, which, name)| {
            let mut names: Vec<&str> = items(&spec["containers"])
                .chain(items(&spec["initContainers"]))
                .filter(|container| container["resources"][which][name].is_null())
                .map(|container| text(container, "name"))
                .collect();
            names.sort_unstable();
            (!names.is_empty()).then(|| format!("{resource} for: {}", names.join(",")))
        })
        .collect();
    (!found.is_empty()).then(|| format!("must specify {}", found.join("; ")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pod(cpu: &str) -> Value {
        json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
    }

    fn counted<'a>(resource: &'a str, object: &'a Value) -> Counted<'a> {
        Counted { group: "", resource, object }
    }

    #[test]
    fn a_quota_says_what_was_asked_what_is_used_and_what_is_left() {
        let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "1", "pods": "2"}}});
        let (first, second) = (pod("600m"), pod("500m"));
        let used = used(&quota, [counted("pods", &first)], 0);
        assert_eq!(used["requests.cpu"].to_string(), "600m");
        assert_eq!(
            refusal(&quota, &used, counted("pods", &second), None, 0).unwrap(),
            "exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1"
        );
        assert_eq!(refusal(&quota, &used, counted("pods", &pod("400m")), None, 0), None);
        assert_eq!(
            refusal(&quota, &used, counted("pods", &second), Some(&second), 0),
            None,
            "what does not grow is let through"
        );
        let silent = json!({"spec": {"containers": [{"name": "b"}, {"name": "a"}]}});
        assert_eq!(
            refusal(&quota, &used, counted("pods", &silent), None, 0).unwrap(),
            "failed quota: q: must specify requests.cpu for: a,b"
        );
    }

    #[test]
    fn each_kind_counts_for_what_it_is() {
        let balancer = json!({"spec": {"type": "LoadBalancer", "ports": [{}, {}]}});
        let of =
            |used: &Resources| used.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        assert_eq!(
            of(&usage(counted("services", &balancer), 0)),
            "count/services=1 services=1 services.loadbalancers=1 services.nodeports=2"
        );
        let claim = json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}});
        assert_eq!(
            of(&usage(counted("persistentvolumeclaims", &claim), 0)),
            "count/persistentvolumeclaims=1 fast.storageclass.storage.k8s.io/persistentvolumeclaims=1 fast.storageclass.storage.k8s.io/requests.storage=1Gi persistentvolumeclaims=1 requests.storage=1Gi"
        );
        let done = json!({"status": {"phase": "Succeeded"}, "spec": {}});
        assert_eq!(of(&usage(counted("pods", &done), 0)), "count/pods=1");
        let late = json!({"metadata": {"deletionTimestamp": "1970-01-01T00:01:00Z"}, "spec": {}});
        assert!(usage(counted("pods", &late), 30).contains_key("pods"));
        assert!(!usage(counted("pods", &late), 61).contains_key("pods"));
        let deployment = Counted { group: "apps", resource: "deployments", object: &Value::Null };
        assert_eq!(of(&usage(deployment, 0)), "count/deployments.apps=1");
        assert_eq!(kind_of("count/deployments.apps"), ("apps".to_owned(), "deployments".to_owned()));
    }

    #[test]
    fn scopes_choose_the_pods_that_count() {
        let quota = |spec: Value| json!({"spec": spec});
        let best = json!({"spec": {"containers": [{"name": "a"}], "priorityClassName": "high"}});
        let timed =
            json!({"spec": {"activeDeadlineSeconds": 5, "containers": [{"resources": {"requests": {"cpu": "1"}}}]}});
        for (spec, of_best, of_timed) in [
            (json!({"scopes": ["BestEffort"]}), true, false),
            (json!({"scopes": ["NotBestEffort", "Terminating"]}), false, true),
            (json!({"scopes": ["NotTerminating"]}), true, false),
            (
                json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}),
                true,
                false,
            ),
            (
                json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]}]}}),
                false,
                true,
            ),
            (json!({"scopes": ["CrossNamespacePodAffinity"]}), false, false),
        ] {
            assert_eq!(in_scope(&quota(spec.clone()), counted("pods", &best)), of_best, "{spec}");
            assert_eq!(in_scope(&quota(spec.clone()), counted("pods", &timed)), of_timed, "{spec}");
        }
        assert!(!in_scope(&quota(json!({"scopes": ["BestEffort"]})), counted("services", &json!({}))));
    }

    proptest! {
        #[test]
        fn what_is_let_through_one_by_one_never_exceeds_the_limit(sizes in prop::collection::vec(1_u32..2000, 0..20), limit in 1_u32..5000) {
            let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"cpu": format!("{limit}m")}}});
            let mut there: Vec<Value> = Vec::new();
            for size in sizes {
                let new = pod(&format!("{size}m"));
                let used = used(&quota, there.iter().map(|pod| counted("pods", pod)), 0);
                if refusal(&quota, &used, counted("pods", &new), None, 0).is_none() {
                    there.push(new);
                }
            }
            let total = used(&quota, there.iter().map(|pod| counted("pods", pod)), 0);
            let most = Quantity::parse(&format!("{limit}m")).unwrap();
            prop_assert!(total["cpu"] <= most);
        }
    }
}
