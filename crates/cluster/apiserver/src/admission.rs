//! Admission's dealings with the outside: the objects that decisions are made from, and
//! webhooks. What is decided is in the crate `admission`.

mod address;
mod hooks;
mod mutating;
mod plugins;
mod policy;
mod quota;
mod webhook;

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use serde_json::Value;

use crate::{
    server::Server,
    status::Failure,
    write::{Admission, Admitted, Call, Operation},
};

pub(crate) use address::{bundle_problem, client_config};

/// Who and what `PodSecurity` does not look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exemptions {
    /// Users by their names.
    pub usernames: Vec<String>,
    /// Namespaces.
    pub namespaces: Vec<String>,
    /// Runtime classes.
    pub runtime_classes: Vec<String>,
}

/// What admission keeps between requests.
#[derive(Default)]
pub(crate) struct Kept {
    exemptions: Mutex<Arc<Exemptions>>,
    /// Held while what is let into a namespace is counted, by namespace.
    quotas: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Compiled policies by name, with the revision that they were compiled from.
    policies: Mutex<HashMap<String, (u64, Arc<admission::policies::Policy>)>>,
    /// The same of those that change objects.
    mutators: Mutex<HashMap<String, (u64, Arc<admission::mutations::Mutator>)>>,
}

impl Server {
    /// Lets the Pod Security Standards not hold for these.
    pub fn exempt(&self, exemptions: Exemptions) {
        *self.kept_admission().exemptions.lock() = Arc::new(exemptions);
    }

    fn exemptions(&self) -> Arc<Exemptions> {
        self.kept_admission().exemptions.lock().clone()
    }

    fn quota_lock(&self, namespace: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.kept_admission().quotas.lock().entry(namespace.to_owned()).or_default().clone()
    }

    /// Lets mutating admission change `new`; returns what to warn the client of.
    pub(crate) async fn mutate(
        &self,
        call: Call<'_>,
        operation: Operation,
        new: &mut Value,
        old: Option<&Value>,
    ) -> Result<Vec<String>, Failure> {
        let named = |field: &str| new["metadata"][field].as_str().filter(|name| !name.is_empty());
        let name = named("name").or_else(|| named("generateName")).unwrap_or(&call.info.name).to_owned();
        self.namespace_lives(call, operation, &name)?;
        let whole = call.info.subresource.is_empty();
        if whole {
            self.plugins_mutate(call, operation, new)?;
        }
        // What a node may not write is not looked at any further; what the rest makes of it is looked at again.
        self.node_restricted(Admission { call, operation, new: Some(new), old })?;
        let mut asked = mutating::Asked::default();
        let by_policies = self.policies_mutate(call, operation, new, old, &mut asked, false)?;
        let (warnings, by_webhooks) = self.webhooks_mutate(call, operation, new, old).await?;
        if by_webhooks {
            asked.changed();
        }
        // What they added is looked at like what the client sent.
        if (by_policies || by_webhooks) && whole && operation == Operation::Create {
            self.plugins_mutate(call, operation, new)?;
        }
        if asked.is_again() {
            self.policies_mutate(call, operation, new, old, &mut asked, true)?;
        }
        Ok(warnings)
    }

    /// Refuses what validating admission does not let through.
    pub(crate) async fn admit(&self, admission: Admission<'_>) -> Result<Admitted, Failure> {
        self.within_rights(admission)?;
        self.node_restricted(admission)?;
        self.certificate_admitted(admission)?;
        self.namespace_lives(admission.call, admission.operation, subject(admission))?;
        let mut warnings = self.plugins_validate(admission)?;
        warnings.extend(self.policies_validate(admission)?);
        warnings.extend(self.webhooks_validate(admission).await?);
        let held = self.within_quota(admission).await?;
        Ok(Admitted { warnings, held: held.into_iter().collect() })
    }
}

/// Returns the name of the object that a request is about.
fn subject(admission: Admission<'_>) -> &str {
    admission
        .new
        .or(admission.old)
        .and_then(|object| object["metadata"]["name"].as_str())
        .filter(|name| !name.is_empty())
        .unwrap_or(&admission.call.info.name)
}
