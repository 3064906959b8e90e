//! Says which groups and versions are served, as `APIService` objects: those of the built-in
//! kinds from the start, those of definitions while they are there.

use serde_json::{Value, json};

use crate::{
    bootstrap::Seed,
    registry::Registry,
    server::Server,
    status::Failure,
    store::{Expect, Write},
};

const GROUP: &str = "apiregistration.k8s.io";
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// How Kubernetes orders its own groups: group, and the priorities of the group and of its versions.
const ORDER: &[(&str, i64, i64)] = &[
    ("", 18_000, 1),
    ("apps", 17_800, 15),
    ("events.k8s.io", 17_750, 15),
    ("authentication.k8s.io", 17_700, 15),
    ("authorization.k8s.io", 17_600, 15),
    ("autoscaling", 17_500, 15),
    ("batch", 17_400, 15),
    ("certificates.k8s.io", 17_300, 15),
    ("networking.k8s.io", 17_200, 15),
    ("policy", 17_100, 15),
    ("rbac.authorization.k8s.io", 17_000, 15),
    ("storage.k8s.io", 16_800, 15),
    ("apiextensions.k8s.io", 16_700, 15),
    ("admissionregistration.k8s.io", 16_700, 15),
    ("scheduling.k8s.io", 16_600, 15),
    ("coordination.k8s.io", 16_500, 15),
    ("node.k8s.io", 16_300, 15),
    ("discovery.k8s.io", 16_200, 15),
    ("resource.k8s.io", 16_200, 21),
    ("flowcontrol.apiserver.k8s.io", 16_100, 21),
];

impl Server {
    /// Makes the objects be what is served: called when that changed.
    pub(crate) async fn register_groups(&self) -> Result<(), Failure> {
        let served = self.served();
        let Some(resource) = served.registry.get(GROUP, "v1", "apiservices") else { return Ok(()) };
        let wanted = services(&served.registry);
        let snapshot = self.store().snapshot();
        let kept: Vec<(String, u64, Value)> = snapshot
            .range(&resource.prefix(), None)
            .map(|(key, entry)| (key.clone(), entry.revision, entry.value()))
            .collect();
        for (key, revision, service) in &kept {
            let name = &service["metadata"]["name"];
            let ours = service["metadata"]["labels"][MANAGED].is_string();
            if ours && !wanted.iter().any(|(.., seed)| seed["metadata"]["name"] == *name) {
                // Whoever came first is looked at the next time.
                self.store().write(key, Expect::Revision(*revision), Write::Delete(service.clone())).await?;
            }
        }
        let missing = wanted.into_iter().filter(|(.., seed)| {
            !kept.iter().any(|(.., service)| service["metadata"]["name"] == seed["metadata"]["name"])
        });
        for seed in missing {
            Box::pin(self.make(seed)).await?;
        }
        Ok(())
    }
}

/// Returns the objects of what is served.
fn services(registry: &Registry) -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (group, versions) in registry.groups() {
        if group == GROUP {
            continue;
        }
        for (version, resources) in versions {
            let custom = resources.iter().all(|resource| resource.custom);
            let of_kubernetes = ORDER.iter().find(|(known, ..)| *known == group && !custom);
            let (minimum, priority) = of_kubernetes.map_or((1000, 100), |(_, minimum, priority)| (*minimum, *priority));
            // The newer of two versions comes first.
            let priority = if of_kubernetes.is_some() && version == "v2" { priority * 2 } else { priority };
            let managed = if custom { "true" } else { "onstart" };
            let mut spec = json!({"version": version, "groupPriorityMinimum": minimum, "versionPriority": priority});
            if !group.is_empty() {
                spec["group"] = group.into();
            }
            let metadata = json!({"name": format!("{version}.{group}"), "labels": {MANAGED: managed}});
            seeds.push((GROUP, "v1", "apiservices", json!({"metadata": metadata, "spec": spec})));
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Served;

    #[test]
    fn each_group_and_version_has_its_object() {
        let served = Served::builtin();
        let seeds = services(&served.registry);
        let of = |name: &str| {
            seeds.iter().find(|(.., seed)| seed["metadata"]["name"] == name).map(|(.., seed)| &seed["spec"])
        };
        assert_eq!(of("v1."), Some(&json!({"version": "v1", "groupPriorityMinimum": 18_000, "versionPriority": 1})));
        assert_eq!(of("v2.autoscaling").map(|spec| &spec["versionPriority"]), Some(&json!(30)));
        for (.., seed) in &seeds {
            assert_ne!(seed["spec"]["groupPriorityMinimum"], 1000, "{seed}");
        }
    }
}
