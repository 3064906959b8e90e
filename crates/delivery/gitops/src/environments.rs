//! The controller of `Environment`: its namespace exists and carries its labels.
//!
//! It never deletes a namespace: what runs there is somebody's.

use std::time::Duration;

use base::{
    clock,
    fault::{Chain, Fault},
};
use kube::{
    Client,
    api::{DynamicObject, Patch},
};
use platform::kinds::{Condition, ENVIRONMENT_LABEL, EnvironmentSpec};
use serde_json::{Value, json};

use crate::{
    cache::Cache,
    objects::{self, Error},
    work::Key,
};

/// The name that fields are applied under.
const MANAGER: &str = "roadstead-environments";

pub(crate) struct Controller {
    pub(crate) client: Client,
    pub(crate) environments: Cache,
}

impl Controller {
    /// Brings one environment's namespace in order.
    pub(crate) async fn reconcile(&self, key: Key) -> Result<Option<Duration>, Error> {
        let Some(environment) = self.environments.get(&key) else { return Ok(None) };
        if environment.metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        let result = match serde_json::from_value::<EnvironmentSpec>(environment.data["spec"].clone()) {
            Ok(spec) => {
                let api = objects::api(&self.client, &objects::resource("", "v1", "Namespace", "namespaces"), "");
                objects::apply(&api, MANAGER, &namespace(&key.name, &spec)).await.map(|_| spec.namespace)
            }
            Err(error) => {
                let ready = ready(&environment, "False", "InvalidSpec", &format!("spec cannot be read: {error}"));
                self.tell(&environment, ready).await?;
                return Ok(None);
            }
        };
        let condition = match &result {
            Ok(name) => ready(&environment, "True", "NamespaceExists", &format!("namespace {name} is in order")),
            Err(error) => ready(&environment, "False", error.code(), &Chain(error).to_string()),
        };
        self.tell(&environment, condition).await?;
        // Labels that were taken away are put back.
        result.map(|_| Some(Duration::from_mins(5)))
    }

    async fn tell(&self, environment: &DynamicObject, condition: Condition) -> Result<(), Error> {
        let status =
            json!({"observedGeneration": environment.metadata.generation.unwrap_or(0), "conditions": [condition]});
        let Some(patch) = release::merge::patch(&environment.data["status"], &status) else { return Ok(()) };
        let key = Key::of(environment);
        let api = objects::api(&self.client, &objects::environment(), "");
        match api.patch_status(&key.name, &objects::named(MANAGER), &Patch::Merge(&json!({ "status": patch }))).await {
            Ok(_) => Ok(()),
            Err(error) if objects::is_not_found(&error) => Ok(()),
            Err(source) => Err(Error::new("write the status of", "Environment", &key, source)),
        }
    }
}

/// The namespace that an environment wants.
fn namespace(name: &str, spec: &EnvironmentSpec) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": spec.namespace, "labels": {
        ENVIRONMENT_LABEL: name,
        "environment": name,
        "pod-security.kubernetes.io/enforce": spec.pod_security,
    }}})
}

fn ready(object: &DynamicObject, status: &str, reason: &str, message: &str) -> Condition {
    let old: Vec<Condition> = serde_json::from_value(object.data["status"]["conditions"].clone()).unwrap_or_default();
    crate::conditions::set(
        &old,
        "Ready",
        status,
        reason,
        message,
        object.metadata.generation.unwrap_or(0),
        &clock::now_rfc3339(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_carries_its_environment_and_its_pod_security_level() {
        let spec = EnvironmentSpec {
            namespace: "dev".into(),
            domain: "d".into(),
            order: 0,
            pod_security: "restricted".into(),
        };
        let labels = namespace("development", &spec)["metadata"]["labels"].clone();
        assert_eq!(labels["environment"], "development");
        assert_eq!(labels["platform.io/environment"], "development");
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    }
}
