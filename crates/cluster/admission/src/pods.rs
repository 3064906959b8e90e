//! What a pod asks for altogether.

use std::collections::BTreeMap;

use schema::quantity::Quantity;
use serde_json::Value;

use crate::{items, text};

/// Resources by name.
pub type Resources = BTreeMap<String, Quantity>;

/// Reads a map of quantities; what is none is left out.
pub fn resources(value: &Value) -> Resources {
    value.as_object().into_iter().flatten().filter_map(|(name, value)| Some((name.clone(), read(value)?))).collect()
}

/// Reads a quantity, written as text or as a number.
pub(crate) fn read(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text),
        Value::Number(number) => Quantity::parse(&number.to_string()),
        _ => None,
    }
}

pub(crate) fn add(total: &mut Resources, more: &Resources) {
    for (name, value) in more {
        let sum = match total.get(name) {
            Some(there) => there.plus(*value).unwrap_or(*value),
            None => *value,
        };
        total.insert(name.clone(), sum);
    }
}

fn raise(total: &mut Resources, other: &Resources) {
    for (name, value) in other {
        if total.get(name).is_none_or(|there| there < value) {
            total.insert(name.clone(), *value);
        }
    }
}

/// Returns the sum of a pod's `requests` or `limits`: containers and sidecars together, or
/// the initial container that needs most at its time, and the overhead.
pub fn total(spec: &Value, which: &str) -> Resources {
    let of = |container: &Value| resources(&container["resources"][which]);
    let mut sum = Resources::new();
    for container in items(&spec["containers"]) {
        add(&mut sum, &of(container));
    }
    let (mut sidecars, mut peak) = (Resources::new(), Resources::new());
    for container in items(&spec["initContainers"]) {
        let own = of(container);
        if text(container, "restartPolicy") == "Always" {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            raise(&mut peak, &sidecars);
        } else {
            let mut then = sidecars.clone();
            add(&mut then, &own);
            raise(&mut peak, &then);
        }
    }
    raise(&mut sum, &peak);
    // What is said for the whole pod is what counts.
    for (name, value) in resources(&spec["resources"][which]) {
        sum.insert(name, value);
    }
    let overhead = resources(&spec["overhead"]);
    if which == "requests" {
        add(&mut sum, &overhead);
    } else {
        for (name, value) in overhead {
            if let Some(there) = sum.get(&name).and_then(|there| there.plus(value)) {
                sum.insert(name, there);
            }
        }
    }
    sum
}

/// Returns whether no container of a pod asks for anything.
pub fn is_best_effort(spec: &Value) -> bool {
    let asks = |resources: &Value| {
        ["requests", "limits"].into_iter().any(|which| {
            ["cpu", "memory"]
                .into_iter()
                .any(|name| read(&resources[which][name]).is_some_and(|value| value.sign() > 0))
        })
    };
    let containers = items(&spec["containers"]).chain(items(&spec["initContainers"]));
    !asks(&spec["resources"]) && !containers.into_iter().any(|container| asks(&container["resources"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_asks_for_what_it_needs_at_its_busiest() {
        let cpu = |text: &str| json!({"requests": {"cpu": text}});
        let spec = json!({"containers": [{"resources": cpu("1")}, {"resources": cpu("500m")}], "overhead": {"cpu": "100m"},
            "initContainers": [{"resources": cpu("2")}, {"restartPolicy": "Always", "resources": cpu("200m")}, {"resources": cpu("1800m")}]});
        assert_eq!(total(&spec, "requests")["cpu"].to_string(), "2100m");
        assert!(is_best_effort(&json!({"containers": [{"resources": {"requests": {"cpu": "0"}}}]})));
        assert!(!is_best_effort(&spec));
    }
}
