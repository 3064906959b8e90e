//! What a node may do beside its role: `Node` authorization (reading what its pods need and
//! nothing else). What it may write is in [`restriction`].

mod restriction;

pub(crate) use restriction::bound_elsewhere;
use serde_json::Value;

use crate::{
    rbac::{User, Wish, permitted},
    server::Server,
};

/// Returns the node whose credential this is: a user `system:node:NAME` in the group `system:nodes`.
fn node_of(user: &User) -> Option<&str> {
    user.name.strip_prefix("system:node:").filter(|_| user.groups.iter().any(|group| group == "system:nodes"))
}

impl Server {
    /// Lets a node do what it wishes of its own, as its role says of the rest; otherwise returns why not, or nothing.
    pub(crate) fn node_allows(&self, user: &User, wish: &Wish) -> Result<(), String> {
        if !user.groups.iter().any(|group| group == "system:nodes") {
            return Err(String::new());
        }
        let Some(node) = user.name.strip_prefix("system:node:") else { return Err(String::new()) };
        if node.is_empty() {
            return Err(format!("unknown node for user {:?}", user.name));
        }
        let (plural, part) = wish.resource.split_once('/').unwrap_or((&wish.resource, ""));
        match (wish.group.as_str(), plural) {
            ("", "secrets" | "configmaps") => {
                reads_named(wish, part)?;
                self.related(node, wish, &|pod| refers(pod, plural, &wish.name))
            }
            ("", "persistentvolumeclaims") if part == "status" => {
                if !matches!(wish.verb.as_str(), "update" | "patch") {
                    return Err("can only get/update/patch this type".into());
                }
                self.related(node, wish, &|pod| refers(pod, plural, &wish.name))
            }
            ("", "persistentvolumeclaims") => {
                gets_one(wish, part)?;
                self.related(node, wish, &|pod| refers(pod, plural, &wish.name))
            }
            ("", "persistentvolumes") => {
                gets_one(wish, part)?;
                let found = !wish.name.is_empty() && self.node_mounts(node, &wish.name);
                if found { Ok(()) } else { Err(unrelated(node, wish)) }
            }
            ("", "serviceaccounts") => {
                let uses = |pod: &Value| pod["spec"]["serviceAccountName"] == wish.name.as_str();
                if wish.verb == "get" && part.is_empty() {
                    reads_named(wish, part)?;
                } else if wish.verb != "create" || wish.name.is_empty() {
                    return Err("can only create tokens for individual service accounts".into());
                } else if part != "token" {
                    return Err("can only create token subresource of serviceaccount".into());
                }
                self.related(node, wish, &uses)
            }
            ("coordination.k8s.io", "leases") => own_lease(node, wish),
            ("storage.k8s.io", "csinodes") => own_storage(node, wish, part),
            ("", "nodes") => own_node(node, wish, part),
            ("", "pods") => match (part, wish.verb.as_str()) {
                ("", "get") => self.related(node, wish, &|pod| pod["metadata"]["name"] == wish.name.as_str()),
                ("", "list" | "watch") if wish.node == node => Ok(()),
                ("", "list" | "watch") if wish.name.is_empty() => {
                    Err("can only list/watch pods with spec.nodeName field selector".into())
                }
                ("", "list" | "watch") => {
                    self.related(node, wish, &|pod| pod["metadata"]["name"] == wish.name.as_str())
                }
                ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
                _ => Err(String::new()),
            },
            _ => {
                let policy = self.policy();
                let by_role = policy.referred("ClusterRole", "", "system:node");
                if by_role.is_some_and(|rules| permitted(rules, wish)) { Ok(()) } else { Err(String::new()) }
            }
        }
    }

    /// Lets a node read what is named if one of its pods is as `needs` says.
    fn related(&self, node: &str, wish: &Wish, needs: &dyn Fn(&Value) -> bool) -> Result<(), String> {
        if !wish.name.is_empty() && self.node_needs(node, &wish.namespace, needs) {
            return Ok(());
        }
        Err(unrelated(node, wish))
    }

    /// Returns whether some pod of `namespace` on `node` is as `needs` says.
    fn node_needs(&self, node: &str, namespace: &str, needs: &dyn Fn(&Value) -> bool) -> bool {
        let snapshot = self.store().snapshot();
        let prefix = format!("core/pods/{namespace}/");
        snapshot.range(&prefix, None).any(|(_, entry)| {
            let pod = entry.value();
            pod["spec"]["nodeName"] == node && needs(&pod)
        })
    }

    fn node_mounts(&self, node: &str, volume: &str) -> bool {
        let snapshot = self.store().snapshot();
        let Some(volume) = snapshot.get(&format!("core/persistentvolumes//{volume}")) else { return false };
        let claim = &volume.value()["spec"]["claimRef"];
        let (namespace, name) =
            (claim["namespace"].as_str().unwrap_or_default(), claim["name"].as_str().unwrap_or_default());
        self.node_needs(node, namespace, &|pod| refers(pod, "persistentvolumeclaims", name))
    }
}

fn unrelated(node: &str, wish: &Wish) -> String {
    if wish.name.is_empty() {
        return "No Object name found".into();
    }
    format!("no relationship found between node '{node}' and this object")
}

fn reads_named(wish: &Wish, part: &str) -> Result<(), String> {
    if !matches!(wish.verb.as_str(), "get" | "list" | "watch") {
        return Err("can only read resources of this type".into());
    }
    if !part.is_empty() {
        return Err("cannot read subresource".into());
    }
    if wish.namespace.is_empty() {
        return Err("can only read namespaced object of this type".into());
    }
    Ok(())
}

fn gets_one(wish: &Wish, part: &str) -> Result<(), String> {
    if wish.verb != "get" {
        return Err("can only get individual resources of this type".into());
    }
    if !part.is_empty() {
        return Err("cannot get subresource".into());
    }
    Ok(())
}

fn own_lease(node: &str, wish: &Wish) -> Result<(), String> {
    if !matches!(wish.verb.as_str(), "get" | "create" | "update" | "patch" | "delete") {
        return Err("can only get, create, update, patch, or delete a node lease".into());
    }
    if wish.namespace != "kube-node-lease" {
        return Err("can only access leases in the \"kube-node-lease\" system namespace".into());
    }
    // A creation does not say its name yet; admission looks at it.
    if wish.verb != "create" && wish.name != node {
        return Err("can only access node lease with the same name as the requesting node".into());
    }
    Ok(())
}

fn own_storage(node: &str, wish: &Wish, part: &str) -> Result<(), String> {
    if !matches!(wish.verb.as_str(), "get" | "create" | "update" | "patch" | "delete") {
        return Err("can only get, create, update, patch, or delete a CSINode".into());
    }
    if !part.is_empty() {
        return Err("cannot authorize CSINode subresources".into());
    }
    if wish.verb != "create" && wish.name != node {
        return Err("can only access CSINode with the same name as the requesting node".into());
    }
    Ok(())
}

/// A node reads itself alone; admission looks at what it writes.
fn own_node(node: &str, wish: &Wish, part: &str) -> Result<(), String> {
    match (part, wish.verb.as_str()) {
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
        ("", "get" | "list" | "watch") if wish.name == node => Ok(()),
        ("", "get" | "list" | "watch") if wish.name.is_empty() => {
            Err(format!("node '{node}' cannot read all nodes, only its own Node object"))
        }
        ("", "get" | "list" | "watch") => {
            Err(format!("node '{node}' cannot read '{}', only its own Node object", wish.name))
        }
        _ => Err(String::new()),
    }
}

/// Returns whether a pod names this Secret, ConfigMap or claim anywhere.
fn refers(pod: &Value, kind: &str, name: &str) -> bool {
    let (places, direct) = places_of(kind);
    walk(&pod["spec"], "spec", places, direct, &|found| found == name)
}

/// Returns whether a pod names any object of the kind.
fn refers_to_any(spec: &Value, kind: &str) -> bool {
    let (places, direct) = places_of(kind);
    walk(spec, "spec", places, direct, &|found| found.as_str().is_some_and(|name| !name.is_empty()))
}

/// Where a pod names objects of a kind: under which field their `name`, and in which fields themselves.
fn places_of(kind: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match kind {
        "secrets" => {
            (&["secret", "secretRef", "secretKeyRef", "imagePullSecrets", "nodePublishSecretRef"], &["secretName"])
        }
        "configmaps" => (&["configMap", "configMapRef", "configMapKeyRef"], &[]),
        _ => (&[], &["claimName"]),
    }
}

fn walk(value: &Value, under: &str, places: &[&str], direct: &[&str], named: &dyn Fn(&Value) -> bool) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(key, value)| {
            let place = direct.contains(&key.as_str()) || key == "name" && places.contains(&under);
            place && named(value) || walk(value, key, places, direct, named)
        }),
        Value::Array(list) => list.iter().any(|value| walk(value, under, places, direct, named)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_pod_names_its_node_may_read() {
        let pod = json!({"spec": {"volumes": [{"secret": {"secretName": "a"}}, {"projected": {"sources": [{"configMap": {"name": "b"}}]}},
            {"persistentVolumeClaim": {"claimName": "c"}}], "imagePullSecrets": [{"name": "d"}],
            "containers": [{"name": "e", "env": [{"name": "f", "valueFrom": {"secretKeyRef": {"name": "g", "key": "h"}}}]}]}});
        for (kind, name, expected) in [
            ("secrets", "a", true),
            ("secrets", "d", true),
            ("secrets", "g", true),
            ("secrets", "b", false),
            ("secrets", "e", false),
            ("configmaps", "b", true),
            ("configmaps", "a", false),
            ("persistentvolumeclaims", "c", true),
        ] {
            assert_eq!(refers(&pod, kind, name), expected, "{kind} {name}");
        }
    }
}
