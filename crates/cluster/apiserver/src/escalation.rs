//! Nobody grants more than they have: the check on roles and bindings, beside the
//! verbs `escalate` and `bind` that lift it.

use serde_json::Value;

use crate::{
    rbac::{Rule, User, Wish, beyond, describe, quoted},
    registry::Grants,
    server::Server,
    status::Failure,
    write::Admission,
};

const GROUP: &str = "rbac.authorization.k8s.io";

impl Server {
    /// Refuses a role or binding that gives what its writer does not have.
    pub(crate) fn within_rights(&self, admission: Admission<'_>) -> Result<(), Failure> {
        let call = admission.call;
        let (Some(grants), Some(new)) = (call.resource.grants, admission.new) else { return Ok(()) };
        let refused = match grants {
            _ if call.user.is_master() => None,
            _ if admission.old.is_some_and(|old| only_for_collection(old, new)) => None,
            Grants::Role => self.role_beyond(admission, new),
            Grants::Binding => self.binding_beyond(admission, new)?,
        };
        match refused {
            Some(why) => {
                let name = new["metadata"]["name"].as_str().unwrap_or_default();
                Err(Failure::forbidden(call.resource, name, &why))
            }
            None => Ok(()),
        }
    }

    fn role_beyond(&self, admission: Admission<'_>, new: &Value) -> Option<String> {
        let call = admission.call;
        let escalate = Wish {
            verb: "escalate".into(),
            group: GROUP.into(),
            resource: call.resource.plural.clone(),
            namespace: call.info.namespace.clone(),
            name: new["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            ..Wish::default()
        };
        if self.allowed(call.user, &escalate) {
            return None;
        }
        let (user, namespace) = (call.user, &call.info.namespace);
        let beyond = self.beyond(user, namespace, &Rule::all(new));
        let gathers = |role: &Value| {
            role["aggregationRule"]["clusterRoleSelectors"].as_array().is_some_and(|all| !all.is_empty())
        };
        if beyond.is_some() || !gathers(new) && !admission.old.is_some_and(gathers) {
            return beyond;
        }
        // It will hold whatever roles are labelled for it later.
        let all = || vec!["*".to_owned()];
        let everything = [
            Rule { verbs: all(), groups: all(), resources: all(), ..Rule::default() },
            Rule { verbs: all(), paths: all(), ..Rule::default() },
        ];
        self.beyond(user, namespace, &everything)
            .map(|_| "must have cluster-admin privileges to use the aggregationRule".to_owned())
    }

    fn binding_beyond(&self, admission: Admission<'_>, new: &Value) -> Result<Option<String>, Failure> {
        let call = admission.call;
        let of = |field: &str| new["roleRef"][field].as_str().unwrap_or_default();
        let (kind, name) = (of("kind"), of("name"));
        let plural = if kind == "ClusterRole" { "clusterroles" } else { "roles" };
        let bind = Wish {
            verb: "bind".into(),
            group: GROUP.into(),
            resource: plural.into(),
            namespace: call.info.namespace.clone(),
            name: name.to_owned(),
            ..Wish::default()
        };
        if self.allowed(call.user, &bind) {
            return Ok(None);
        }
        let policy = self.policy();
        let Some(granted) = policy.referred(kind, &call.info.namespace, name) else {
            return Err(Failure::not_found_named(GROUP, &call.resource.plural, name));
        };
        Ok(self.beyond(call.user, &call.info.namespace, granted))
    }

    /// Returns what of `granted` the user does not hold in `namespace`, in Kubernetes' words.
    fn beyond(&self, user: &User, namespace: &str, granted: &[Rule]) -> Option<String> {
        let policy = self.policy();
        let held: Vec<Rule> = policy.rules_of(user, namespace).cloned().collect();
        let mut missing: Vec<String> = beyond(&held, granted).iter().map(describe).collect();
        missing.sort();
        (!missing.is_empty()).then(|| {
            format!(
                "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
                user.name,
                quoted(&user.groups),
                missing.join("\n")
            )
        })
    }
}

/// Returns whether nothing changes but what lets an object be collected.
fn only_for_collection(old: &Value, new: &Value) -> bool {
    let rest = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            for name in ["ownerReferences", "finalizers", "managedFields"] {
                metadata.remove(name);
            }
        }
        object
    };
    rest(old) == rest(new)
}
