//! `MutatingAdmissionPolicy`: finds the policies, bindings and parameters of a request and lets
//! them change its object. What they make of it is decided in [`admission::mutations`].

use std::{collections::HashSet, sync::Arc};

use admission::{mutations::Mutator, webhooks::is_exempt};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    hooks::Matter,
    policy::{GROUP, Params, taken_in},
};
use crate::{
    server::Server,
    status::Failure,
    write::{Call, Operation},
};

/// One binding of a policy with one of its parameters, by their names.
type Turn = (String, String);

/// Which policies were asked, and which of them are to be asked again.
#[derive(Default)]
pub(super) struct Asked {
    repeatable: Vec<Turn>,
    again: HashSet<Turn>,
}

impl Asked {
    /// Another changed the object: all that ask for it are asked again.
    pub(super) fn changed(&mut self) {
        self.again.extend(self.repeatable.iter().cloned());
    }

    /// Returns whether any is to be asked again.
    pub(super) fn is_again(&self) -> bool {
        !self.again.is_empty()
    }
}

impl Server {
    /// Lets policies change an object; in a second round those alone that are to be asked again. Returns whether any
    /// changed it.
    pub(super) fn policies_mutate(
        &self,
        call: Call<'_>,
        operation: Operation,
        new: &mut Value,
        old: Option<&Value>,
        asked: &mut Asked,
        second: bool,
    ) -> Result<bool, Failure> {
        let snapshot = self.store().snapshot();
        let prefix = format!("{GROUP}/mutatingadmissionpolicybindings/");
        let bindings: Vec<Value> = snapshot.range(&prefix, None).map(|(_, entry)| entry.value()).collect();
        if bindings.is_empty() || is_exempt(&call.resource.gvk.group, &call.resource.plural) {
            return Ok(false);
        }
        let subject = new["metadata"]["name"].as_str().unwrap_or(&call.info.name).to_owned();
        let again = std::mem::take(&mut asked.again);
        let mut changed = false;
        for binding in &bindings {
            let name = binding["spec"]["policyName"].as_str().unwrap_or_default();
            let Some(entry) = snapshot.get(&format!("{GROUP}/mutatingadmissionpolicies//{name}")) else { continue };
            let policy = entry.value();
            let matter = Matter::new(self, call, operation, Some(new));
            let request = matter.request(Some(new), old);
            let Some(version) = taken_in(&policy["spec"]["matchConstraints"], &request) else { continue };
            let resources = &binding["spec"]["matchResources"];
            if resources.is_object() && taken_in(resources, &request).is_none() {
                continue;
            }
            let mutator = self.mutator(name, entry.revision, &policy);
            let params = match self.params(&policy, binding, &request) {
                Params::None => vec![None],
                Params::Found(list) => list.into_iter().map(Some).collect(),
                Params::Missing(why) => {
                    mutator.without_params(binding, &why).map_err(|why| refused(call, &subject, &why))?;
                    continue;
                }
            };
            let described = matter.described(&request, version);
            for param in params {
                let named =
                    |object: &Value| format!("{}/{}", object["metadata"]["namespace"], object["metadata"]["name"]);
                let turn: Turn = (named(binding), param.as_ref().map(named).unwrap_or_default());
                if second && !again.contains(&turn) {
                    continue;
                }
                let mut inputs = self.expression_inputs(call, &described, Some(new), old);
                if let Some(param) = &param {
                    inputs.insert("params".to_owned(), expressions::Value::from_json(param));
                }
                let settle = |object: &mut Value| Self::default(call.resource, object);
                let made = mutator
                    .change(binding, &inputs, new, &call.resource.node, &settle)
                    .map_err(|why| refused(call, &subject, &why))?;
                if let Some(object) = made {
                    *new = object;
                    changed = true;
                    asked.changed();
                }
                if mutator.repeats() && !second {
                    asked.repeatable.push(turn);
                }
            }
        }
        Ok(changed)
    }

    /// Returns a policy compiled, anew only when it changed.
    fn mutator(&self, name: &str, revision: u64, policy: &Value) -> Arc<Mutator> {
        let kept = self.kept_admission().mutators.lock().get(name).cloned();
        if let Some((_, compiled)) = kept.filter(|(known, _)| *known == revision) {
            return compiled;
        }
        // What makes no sense was refused when the policy was written.
        let compiled = Arc::new(Mutator::compile(policy).0);
        self.kept_admission().mutators.lock().insert(name.to_owned(), (revision, compiled.clone()));
        compiled
    }
}

fn refused(call: Call<'_>, name: &str, why: &str) -> Failure {
    let mut failure = Failure::forbidden(call.resource, name, why);
    why.clone_into(&mut failure.message);
    (failure.code, failure.reason) = (StatusCode::FORBIDDEN, "Invalid");
    failure.details["causes"] = json!([{"message": why}]);
    failure
}
