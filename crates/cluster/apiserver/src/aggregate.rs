//! `ClusterRole`s that are put together from others: their rules are the rules of every
//! role that their selectors take.

use http::HeaderMap;
use schema::selector;
use serde_json::{Value, json};

use crate::{
    rbac::User,
    registry::{Grants, Resource},
    request::{Info, Query},
    server::Server,
    status::Failure,
    store::Entry,
    write::{Call, Options, PatchKind},
};

/// The writer, as Kubernetes' own controller is named.
const MANAGER: &str = "clusterrole-aggregation-controller";

impl Server {
    /// Follows up on a write of a role that others may be made of.
    pub(crate) async fn aggregate_after(&self, resource: &Resource, old: Option<&Value>, entry: &Entry) {
        if resource.grants != Some(Grants::Role) || resource.namespaced || !self.has_started() {
            return;
        }
        let new = entry.value();
        let matters = |role: &Value| !role["metadata"]["labels"].is_null() || !role["aggregationRule"].is_null();
        if !matters(&new) && !old.is_some_and(matters) {
            return;
        }
        // It writes roles itself, and comes back here with nothing left to change.
        if let Err(failure) = Box::pin(self.aggregate_roles()).await {
            tracing::error!(reason = failure.message, "aggregated roles could not be put together");
        }
    }

    /// Puts together every aggregated role whose rules are not those of its parts.
    pub(crate) async fn aggregate_roles(&self) -> Result<(), Failure> {
        let served = self.served();
        let Some(resource) = served.registry.get("rbac.authorization.k8s.io", "v1", "clusterroles") else {
            return Ok(());
        };
        let user = User::new(&format!("system:serviceaccount:kube-system:{MANAGER}"), &["system:masters"]);
        let query = Query::parse(Some(&format!("fieldManager={MANAGER}&force=true")));
        let options = Options::parse(&query, &HeaderMap::new(), "UpdateOptions")?;
        // A role may be made of roles that are themselves put together; no chain is longer than there are roles.
        for _ in 0..8 {
            let snapshot = self.store().snapshot();
            let roles: Vec<Value> = snapshot.range(&resource.prefix(), None).map(|(_, entry)| entry.value()).collect();
            let changes = changes(&roles);
            if changes.is_empty() {
                return Ok(());
            }
            for (name, rules) in changes {
                let info = Info {
                    verb: "patch",
                    group: resource.gvk.group.clone(),
                    version: resource.gvk.version.clone(),
                    resource: resource.plural.clone(),
                    name: name.clone(),
                    ..Info::default()
                };
                let call = Call { user: &user, resource, info: &info, options: &options };
                let config = json!({"apiVersion": resource.api_version, "kind": resource.gvk.kind,
                    "metadata": {"name": name}, "rules": rules});
                match Box::pin(self.patch(call, PatchKind::Apply, &config)).await {
                    Err(failure) if failure.reason != "NotFound" => return Err(failure),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// Returns the aggregated roles whose rules are not those of the roles that they select, with those rules.
fn changes(roles: &[Value]) -> Vec<(String, Value)> {
    let aggregated = roles.iter().filter(|role| role["aggregationRule"]["clusterRoleSelectors"].is_array());
    aggregated
        .filter(|role| role["metadata"]["deletionTimestamp"].is_null())
        .filter_map(|role| {
            let rules = put_together(role, roles);
            let kept = role["rules"].as_array().map_or(&[][..], Vec::as_slice);
            let name = role["metadata"]["name"].as_str()?;
            (kept != rules).then(|| (name.to_owned(), rules.into()))
        })
        .collect()
}

fn put_together(role: &Value, roles: &[Value]) -> Vec<Value> {
    let mut rules: Vec<Value> = Vec::new();
    for selector in role["aggregationRule"]["clusterRoleSelectors"].as_array().into_iter().flatten() {
        let Ok(Some(selector)) = selector::Labels::from_object(selector) else { continue };
        // Roles come in the order of their names.
        for part in roles.iter().filter(|part| part["metadata"]["name"] != role["metadata"]["name"]) {
            if selector.matches(part["metadata"]["labels"].as_object()) {
                for rule in part["rules"].as_array().into_iter().flatten() {
                    if !rules.contains(rule) {
                        rules.push(rule.clone());
                    }
                }
            }
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aggregated_role_holds_the_rules_of_its_parts_once() {
        let rule = |resource: &str| json!({"apiGroups": [""], "resources": [resource], "verbs": ["get"]});
        let part = |name: &str, resources: &[&str]| {
            let rules: Vec<Value> = resources.iter().map(|resource| rule(resource)).collect();
            json!({"metadata": {"name": name, "labels": {"to": "view"}}, "rules": rules})
        };
        let mut view = json!({"metadata": {"name": "view"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "view"}}]}, "rules": []});
        let mut roles = vec![part("a", &["pods", "services"]), part("b", &["pods", "nodes"]), view.clone()];
        roles.push(json!({"metadata": {"name": "other"}, "rules": [rule("secrets")]}));
        let rules = json!([rule("pods"), rule("services"), rule("nodes")]);
        assert_eq!(changes(&roles), [("view".to_owned(), rules.clone())]);
        view["rules"] = rules;
        roles[2] = view;
        assert!(changes(&roles).is_empty());
    }
}
