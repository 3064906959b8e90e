//! `ValidatingAdmissionPolicy`: finds the policies, bindings and parameters of a request.

use std::sync::Arc;

use admission::{
    matching::{Request, selected, version_for},
    policies::{Policy, Verdict},
    webhooks::is_exempt,
};
use expressions::authorizer::{Ask, Decision, Question};
use http::StatusCode;
use schema::selector::Labels;
use serde_json::{Value, json};

use super::{
    hooks::{Matter, known_reason},
    subject,
};
use crate::{
    rbac::{User, Wish},
    server::Server,
    status::Failure,
    write::{Admission, Call, at_version},
};

pub(super) const GROUP: &str = "admissionregistration.k8s.io";

impl Server {
    /// Refuses what a policy does not let through; returns what to warn of.
    pub(super) fn policies_validate(&self, admission: Admission<'_>) -> Result<Vec<String>, Failure> {
        let Admission { call, operation, new, old } = admission;
        let snapshot = self.store().snapshot();
        let prefix = format!("{GROUP}/validatingadmissionpolicybindings/");
        let bindings: Vec<Value> = snapshot.range(&prefix, None).map(|(_, entry)| entry.value()).collect();
        if bindings.is_empty() || is_exempt(&call.resource.gvk.group, &call.resource.plural) {
            return Ok(Vec::new());
        }
        let matter = Matter::new(self, call, operation, new.or(old));
        let request = matter.request(new, old);
        let mut warnings = Vec::new();
        for binding in bindings {
            let name = binding["spec"]["policyName"].as_str().unwrap_or_default();
            let Some(entry) = snapshot.get(&format!("{GROUP}/validatingadmissionpolicies//{name}")) else { continue };
            let policy = entry.value();
            let Some(version) = taken_in(&policy["spec"]["matchConstraints"], &request) else { continue };
            let resources = &binding["spec"]["matchResources"];
            if resources.is_object() && taken_in(resources, &request).is_none() {
                continue;
            }
            let compiled = self.compiled(name, entry.revision, &policy);
            let mut inputs = self.expression_inputs(call, &matter.described(&request, version), new, old);
            let verdicts: Vec<Verdict> = match self.params(&policy, &binding, &request) {
                Params::None => vec![compiled.judge(&binding, &inputs)],
                Params::Missing(why) => vec![compiled.without_params(&binding, &why)],
                Params::Found(list) => list
                    .iter()
                    .map(|params| {
                        inputs.insert("params".to_owned(), expressions::Value::from_json(params));
                        compiled.judge(&binding, &inputs)
                    })
                    .collect(),
            };
            for verdict in verdicts {
                for (key, value) in &verdict.audit {
                    call.options.note(key, value);
                }
                if let Some(refused) = verdict.refusal {
                    let mut failure = Failure::forbidden(call.resource, subject(admission), &refused.message);
                    failure.code = StatusCode::from_u16(refused.code()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
                    failure.reason = known_reason(&refused.reason);
                    failure.details["causes"] = json!([{"message": refused.message}]);
                    return Err(failure);
                }
                warnings.extend(verdict.warnings);
            }
        }
        Ok(warnings)
    }

    /// Returns a policy compiled, anew only when it changed.
    fn compiled(&self, name: &str, revision: u64, policy: &Value) -> Arc<Policy> {
        let kept = self.kept_admission().policies.lock().get(name).cloned();
        if let Some((_, compiled)) = kept.filter(|(known, _)| *known == revision) {
            return compiled;
        }
        // What makes no sense was refused when the policy was written.
        let compiled = Arc::new(Policy::compile(policy).0);
        self.kept_admission().policies.lock().insert(name.to_owned(), (revision, compiled.clone()));
        compiled
    }

    pub(super) fn params(&self, policy: &Value, binding: &Value, request: &Request<'_>) -> Params {
        let (kind, reference) = (&policy["spec"]["paramKind"], &binding["spec"]["paramRef"]);
        if !kind.is_object() || !reference.is_object() {
            return Params::None;
        }
        let served = self.served();
        let found = served.registry.all().find(|resource| {
            kind["kind"] == resource.gvk.kind.as_str() && kind["apiVersion"] == resource.api_version.as_str()
        });
        let Some(resource) = found else {
            return Params::Missing(format!(
                "failed to find resource referenced by paramKind: '{}, Kind={}'",
                kind["apiVersion"].as_str().unwrap_or_default(),
                kind["kind"].as_str().unwrap_or_default()
            ));
        };
        let given = reference["namespace"].as_str().unwrap_or_default();
        let namespace = match (resource.namespaced, given.is_empty()) {
            (false, true) => "",
            (false, false) => {
                return Params::Missing(
                    "paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned(),
                );
            }
            (true, false) => given,
            (true, true) if request.namespace.is_empty() => {
                return Params::Missing(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned(),
                );
            }
            (true, true) => request.namespace,
        };
        let snapshot = self.store().snapshot();
        let list: Vec<Value> = if let Some(name) = reference["name"].as_str().filter(|name| !name.is_empty()) {
            snapshot.get(&resource.key(namespace, name)).map(|entry| entry.value()).into_iter().collect()
        } else {
            let selector = Labels::from_object(&reference["selector"]).ok().flatten();
            let prefix = format!("{}{namespace}/", resource.prefix());
            snapshot
                .range(&prefix, None)
                .map(|(_, entry)| entry.value())
                .filter(|object| {
                    selector.as_ref().is_some_and(|selector| selector.matches(object["metadata"]["labels"].as_object()))
                })
                .collect()
        };
        let list: Vec<Value> = list.into_iter().map(|object| at_version(resource, object)).collect();
        if list.is_empty() {
            if reference["parameterNotFoundAction"] == "Allow" {
                return Params::Found(Vec::new());
            }
            return Params::Missing(
                "no params found for policy binding with `Deny` parameterNotFoundAction".to_owned(),
            );
        }
        Params::Found(list)
    }

    /// Returns what answers the questions of an `authorizer`.
    pub(super) fn asks_for(&self, user: &User) -> Ask {
        let (server, user) = (self.clone(), user.clone());
        Arc::new(move |question: &Question| {
            let service_account = question.service_account.as_ref().map(|(namespace, name)| {
                let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
                let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
                User::new(&format!("system:serviceaccount:{namespace}:{name}"), &groups)
            });
            let wish = wish_of(question);
            let reason = server.allows(service_account.as_ref().unwrap_or(&user), &wish);
            let allowed = reason.is_ok();
            Decision { allowed, reason: reason.unwrap_or_else(|why| why), error: None }
        })
    }
}

/// The parameters of a binding.
pub(super) enum Params {
    /// It has none.
    None,
    /// Each of these is judged with.
    Found(Vec<Value>),
    /// They could not be had.
    Missing(String),
}

/// Returns the version that a policy or binding sees the object at, if it takes the request in.
pub(super) fn taken_in<'a>(resources: &Value, request: &Request<'a>) -> Option<&'a str> {
    let policy = resources["matchPolicy"].as_str().unwrap_or_default();
    let excluded = &resources["excludeResourceRules"];
    if version_for(excluded, policy, request).is_some() || !selected(resources, request) {
        return None;
    }
    let rules = &resources["resourceRules"];
    if rules.as_array().is_none_or(Vec::is_empty) {
        return Some(request.version);
    }
    version_for(rules, policy, request)
}

/// Returns the question whether the user may do what they are doing.
pub(super) fn question_of(call: Call<'_>) -> Question {
    let info = call.info;
    Question {
        group: info.group.clone(),
        resource: info.resource.clone(),
        subresource: info.subresource.clone(),
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        ..Question::default()
    }
}

fn wish_of(question: &Question) -> Wish {
    let resource = if question.subresource.is_empty() {
        question.resource.clone()
    } else {
        format!("{}/{}", question.resource, question.subresource)
    };
    Wish {
        verb: question.verb.clone(),
        group: question.group.clone(),
        resource: if question.path.is_some() { String::new() } else { resource },
        namespace: question.namespace.clone(),
        name: question.name.clone(),
        path: question.path.clone().unwrap_or_default(),
        ..Wish::default()
    }
}
