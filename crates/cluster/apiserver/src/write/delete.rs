//! Deletion: at once, or by marking an object for those who have to finish first.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    ATTEMPTS, Written, at_version,
    parts::{changed_meanwhile, finalizers, text, to_storage},
};
use crate::{
    registry::Resource,
    request::{Info, Query},
    server::Server,
    status::Failure,
    store::{Expect, Outcome, Write},
};

impl Server {
    /// Deletes an object: at once, or by marking it for those who have to finish first.
    pub(crate) async fn delete(
        &self,
        resource: &Resource,
        info: &Info,
        body: &Value,
        query: &Query,
    ) -> Result<Written, Failure> {
        let dry_run = query.get("dryRun").or_else(|| body["dryRun"][0].as_str()).is_some();
        let policy = body["propagationPolicy"].as_str().or_else(|| query.get("propagationPolicy"));
        let orphan = policy == Some("Orphan") || body["orphanDependents"] == true;
        for _ in 0..ATTEMPTS {
            let Some(entry) = self.store().snapshot().get(&resource.key(&info.namespace, &info.name)).cloned() else {
                return Err(Failure::not_found(resource, &info.name));
            };
            let old = at_version(resource, entry.value());
            for (name, label) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
                if let Some(wanted) = body["preconditions"][name].as_str()
                    && wanted != text(&old["metadata"], name)
                {
                    let why = format!(
                        "the {label} in the precondition ({wanted}) does not match the {label} in record ({}). The object might have been deleted and then recreated",
                        text(&old["metadata"], name)
                    );
                    return Err(Failure::conflict(resource, &info.name, &why));
                }
            }
            let mut new = old.clone();
            let mut keep: Vec<String> = finalizers(&old);
            let marked = !old["metadata"]["deletionTimestamp"].is_null();
            if !marked {
                keep.retain(|name| name != "orphan" && name != "foregroundDeletion");
                if orphan {
                    keep.push("orphan".to_owned());
                } else if policy == Some("Foreground") {
                    keep.push("foregroundDeletion".to_owned());
                }
            }
            let given = query.number("gracePeriodSeconds")?.or_else(|| body["gracePeriodSeconds"].as_i64());
            let grace = if resource.graceful { grace_of(&old, given) } else { 0 };
            let held = !keep.is_empty()
                || grace > 0
                || old["spec"]["finalizers"]
                    .as_array()
                    .is_some_and(|list| !list.is_empty() && resource.plural == "namespaces");
            if dry_run {
                return Ok(Written { code: StatusCode::OK, object: old, warnings: Vec::new() });
            }
            let key = resource.key(&info.namespace, &info.name);
            if !held {
                let outcome = self
                    .store()
                    .write(&key, Expect::Revision(entry.revision), Write::Delete(to_storage(resource, new)))
                    .await?;
                if let Outcome::Done(gone) = outcome {
                    self.noticed(resource, Some(&old), &gone).await;
                    return Ok(Written { code: StatusCode::OK, object: deleted(resource, &old), warnings: Vec::new() });
                }
                continue;
            }
            let shorter = old["metadata"]["deletionGracePeriodSeconds"].as_i64().is_some_and(|before| grace < before);
            if marked && !shorter {
                return Ok(Written { code: StatusCode::OK, object: old, warnings: Vec::new() });
            }
            let metadata =
                new["metadata"].as_object_mut().ok_or_else(|| Failure::internal("a stored object has no metadata"))?;
            let at = base::clock::now() + jiff::SignedDuration::from_secs(grace);
            metadata.insert("deletionTimestamp".into(), at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into());
            metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
            if keep.is_empty() {
                metadata.remove("finalizers");
            } else {
                metadata.insert("finalizers".into(), keep.into());
            }
            if resource.generation {
                let generation = metadata.get("generation").and_then(Value::as_i64).unwrap_or_default() + 1;
                metadata.insert("generation".into(), generation.into());
            }
            if resource.plural == "namespaces" && resource.gvk.group.is_empty() {
                new["status"]["phase"] = "Terminating".into();
            }
            let outcome = self
                .store()
                .write(&key, Expect::Revision(entry.revision), Write::Put(to_storage(resource, new)))
                .await?;
            if let Outcome::Done(written) = outcome {
                self.noticed(resource, Some(&old), &written).await;
                return Ok(Written {
                    code: StatusCode::OK,
                    object: at_version(resource, written.value()),
                    warnings: Vec::new(),
                });
            }
        }
        Err(changed_meanwhile(resource, &info.name))
    }
}

fn grace_of(pod: &Value, given: Option<i64>) -> i64 {
    let phase = text(&pod["status"], "phase");
    if text(&pod["spec"], "nodeName").is_empty() || matches!(phase, "Succeeded" | "Failed") {
        return 0;
    }
    let own = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    given.unwrap_or(own).max(0)
}

fn deleted(resource: &Resource, old: &Value) -> Value {
    // Kubernetes answers with the object for pods and namespaces, with a Status for the rest.
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": {
        "name": old["metadata"]["name"], "group": resource.gvk.group, "kind": resource.plural, "uid": old["metadata"]["uid"]}})
}
