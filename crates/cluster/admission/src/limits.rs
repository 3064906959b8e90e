//! `LimitRanger`: what a container, pod or claim may ask for, and what it asks for if it says nothing.

use std::collections::BTreeSet;

use schema::quantity::Quantity;
use serde_json::{Map, Value, json};

use crate::{
    aggregate, items,
    pods::{Resources, resources, total},
    text,
};

/// Fills in what the containers of a pod do not ask for, by every range in its namespace.
pub fn default(ranges: &[Value], pod: &mut Value) {
    let mut notes = Vec::new();
    for range in ranges {
        let (mut requests, mut limits) = (Map::new(), Map::new());
        for limit in items(&range["spec"]["limits"]).filter(|limit| limit["type"] == "Container") {
            requests.extend(limit["defaultRequest"].as_object().cloned().unwrap_or_default());
            limits.extend(limit["default"].as_object().cloned().unwrap_or_default());
        }
        for (list, kind) in [("containers", "container"), ("initContainers", "init container")] {
            for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
                let name = text(container, "name").to_owned();
                for (which, word, defaults) in [("requests", "request", &requests), ("limits", "limit", &limits)] {
                    let set = fill(container, which, defaults);
                    if !set.is_empty() {
                        let set: Vec<String> = set.into_iter().collect();
                        notes.push(format!("{} {word} for {kind} {name}", set.join(", ")));
                    }
                }
            }
        }
    }
    if !notes.is_empty() {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        if !pod["metadata"]["annotations"].is_object() {
            pod["metadata"]["annotations"] = json!({});
        }
        pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"] = note.into();
    }
}

fn fill(container: &mut Value, which: &str, defaults: &Map<String, Value>) -> BTreeSet<String> {
    let mut set = BTreeSet::new();
    for (name, value) in defaults {
        if container["resources"][which][name].is_null() {
            if !container["resources"].is_object() {
                container["resources"] = json!({});
            }
            if !container["resources"][which].is_object() {
                container["resources"][which] = json!({});
            }
            container["resources"][which][name] = value.clone();
            set.insert(name.clone());
        }
    }
    set
}

/// Returns why a pod asks for more or less than it may.
pub fn check_pod(ranges: &[Value], pod: &Value) -> Option<String> {
    each(ranges, |limit, wrong| match text(limit, "type") {
        "Container" => {
            let containers = ["containers", "initContainers"].into_iter().flat_map(|list| items(&pod["spec"][list]));
            for container in containers {
                let of = |which: &str| resources(&container["resources"][which]);
                bounds(limit, "Container", &of("requests"), &of("limits"), wrong);
            }
        }
        "Pod" => {
            let (requests, limits) = (total(&pod["spec"], "requests"), total(&pod["spec"], "limits"));
            bounds(limit, "Pod", &requests, &limits, wrong);
        }
        _ => {}
    })
}

/// Returns why a claim asks for more or less storage than it may.
pub fn check_claim(ranges: &[Value], claim: &Value) -> Option<String> {
    each(ranges, |limit, wrong| {
        let kind = "PersistentVolumeClaim";
        if limit["type"] != kind {
            return;
        }
        let requests = resources(&claim["spec"]["resources"]["requests"]);
        for (name, least) in resources(&limit["min"]) {
            wrong.extend(minimum(kind, &name, least, requests.get(&name), None));
        }
        for (name, most) in resources(&limit["max"]) {
            let head = format!("maximum {name} usage per {kind} is {most}");
            match requests.get(&name) {
                None => wrong.push(format!("{head}.  No request is specified")),
                Some(found) if *found > most => wrong.push(format!("{head}, but request is {found}")),
                Some(_) => {}
            }
        }
    })
}

/// Kubernetes stops at the first range that refuses.
fn each(ranges: &[Value], check: impl Fn(&Value, &mut Vec<String>)) -> Option<String> {
    ranges.iter().find_map(|range| {
        let mut wrong = Vec::new();
        for limit in items(&range["spec"]["limits"]) {
            check(limit, &mut wrong);
        }
        aggregate(wrong)
    })
}

fn bounds(limit: &Value, kind: &str, requests: &Resources, limits: &Resources, wrong: &mut Vec<String>) {
    for (name, least) in resources(&limit["min"]) {
        wrong.extend(minimum(kind, &name, least, requests.get(&name), limits.get(&name)));
    }
    for (name, most) in resources(&limit["max"]) {
        let head = format!("maximum {name} usage per {kind} is {most}");
        match (limits.get(&name), requests.get(&name)) {
            (None, _) => wrong.push(format!("{head}.  No limit is specified")),
            (Some(found), _) if *found > most => wrong.push(format!("{head}, but limit is {found}")),
            (_, Some(found)) if *found > most => wrong.push(format!("{head}, but request is {found}")),
            _ => {}
        }
    }
    for (name, most) in resources(&limit["maxLimitRequestRatio"]) {
        let head = format!("{name} max limit to request ratio per {kind} is {most}");
        let given = |found: Option<&Quantity>| found.copied().filter(|found| found.sign() != 0);
        match (given(requests.get(&name)), given(limits.get(&name))) {
            (None, _) => wrong.push(format!("{head}, but no request is specified or request is 0")),
            (_, None) => wrong.push(format!("{head}, but no limit is specified or limit is 0")),
            (Some(request), Some(limit)) => {
                let ratio = limit.float() / request.float();
                if ratio > most.float() {
                    wrong.push(format!("{head}, but provided ratio is {ratio:.6}"));
                }
            }
        }
    }
}

fn minimum(
    kind: &str,
    name: &str,
    least: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let head = format!("minimum {name} usage per {kind} is {least}");
    match (request, limit) {
        (None, _) => Some(format!("{head}.  No request is specified")),
        (Some(found), _) if *found < least => Some(format!("{head}, but request is {found}")),
        (_, Some(found)) if *found < least => Some(format!("{head}, but limit is {found}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range() -> Vec<Value> {
        vec![json!({"spec": {"limits": [
            {"type": "Container", "default": {"cpu": "500m", "memory": "64Mi"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}, "min": {"cpu": "50m"},
                "maxLimitRequestRatio": {"cpu": "5"}},
            {"type": "Pod", "max": {"cpu": "1500m"}},
            {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]}})]
    }

    #[test]
    fn what_is_not_said_is_filled_in_and_written_down() {
        let mut pod =
            json!({"metadata": {}, "spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "200m"}}}]}});
        default(&range(), &mut pod);
        assert_eq!(
            pod["spec"]["containers"][0]["resources"],
            json!({"limits": {"cpu": "200m", "memory": "64Mi"}, "requests": {"cpu": "100m"}})
        );
        assert_eq!(
            pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
            "LimitRanger plugin set: cpu request for container a; memory limit for container a"
        );
        assert_eq!(check_pod(&range(), &pod), None);
    }

    #[test]
    fn each_broken_bound_is_named() {
        let pod = |requests: Value, limits: Value| json!({"spec": {"containers": [{"name": "a", "resources": {"requests": requests, "limits": limits}}]}});
        for (requests, limits, refusal) in [
            (
                json!({"cpu": "10m"}),
                json!({"cpu": "20m"}),
                "minimum cpu usage per Container is 50m, but request is 10m",
            ),
            (json!({"cpu": "1"}), json!({"cpu": "1200m"}), "maximum cpu usage per Container is 1, but limit is 1200m"),
            (
                json!({"cpu": "100m"}),
                json!({"cpu": "800m"}),
                "cpu max limit to request ratio per Container is 5, but provided ratio is 8.000000",
            ),
            (
                json!({"cpu": "500m"}),
                json!({}),
                "[maximum cpu usage per Container is 1.  No limit is specified, cpu max limit to request ratio per Container is 5, but no limit is specified or limit is 0, maximum cpu usage per Pod is 1500m.  No limit is specified]",
            ),
        ] {
            assert_eq!(check_pod(&range(), &pod(requests, limits)).as_deref(), Some(refusal));
        }
        let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
        assert_eq!(check_claim(&range(), &claim("1Gi")), None);
        assert_eq!(
            check_claim(&range(), &claim("3Gi")).unwrap(),
            "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"
        );
    }
}
