//! Deletion: at once, or by marking an object for those who have to finish first.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    ATTEMPTS, Admission, Call, Object, Operation, Written, at_version, decode,
    parts::{changed_meanwhile, finalizers, text, to_storage},
};
use crate::{
    custom::{self, CLEANUP},
    registry::Resource,
    request::Query,
    server::Server,
    status::Failure,
    store::{Entry, Expect, Outcome, Write},
};

/// What becomes of the objects that an object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Propagation {
    /// They stay.
    Orphan,
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
}

/// How an object is to be deleted: `DeleteOptions` of the body or the query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletion {
    pub(crate) dry_run: bool,
    propagation: Option<Propagation>,
    grace: Option<i64>,
    uid: Option<String>,
    version: Option<String>,
}

impl Deletion {
    /// Reads `DeleteOptions`; a body that says something is taken instead of the query.
    pub(crate) fn parse(query: &Query, body: &Value) -> Result<Deletion, Failure> {
        let said = body.as_object().is_some_and(|body| body.keys().any(|key| key != "kind" && key != "apiVersion"));
        if !body.is_object() && !body.is_null() {
            return Err(Failure::bad_request(format!(
                "couldn't get version/kind; json parse error: {}",
                decode::no_object(body)
            )));
        }
        let (kind, version) = (text(body, "kind"), text(body, "apiVersion"));
        if !matches!(kind, "" | "DeleteOptions") {
            let version = if version.is_empty() { "v1" } else { version };
            return Err(Failure::bad_request(format!(
                "no kind {kind:?} is registered for version {version:?} in scheme \"pkg/runtime/scheme.go:111\""
            )));
        }
        let node = schema::model::builtin("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
        if let Some(problem) = node.and_then(|node| schema::decode::problem(body, node, "DeleteOptions")) {
            return Err(Failure::bad_request(problem));
        }
        let text_of = |name: &str| if said { body[name].as_str() } else { query.get(name) };
        let orphan = if said {
            body["orphanDependents"].as_bool()
        } else {
            query.has("orphanDependents").then(|| query.flag("orphanDependents"))
        };
        let dry_run = body["dryRun"].as_array().and_then(|list| list.first()?.as_str()).or_else(|| query.get("dryRun"));
        let mut wrong = Vec::new();
        if let Some(other) = dry_run.filter(|value| *value != "All") {
            wrong.push(format!("dryRun: Unsupported value: [{other:?}]: supported values: \"All\""));
        }
        let policy = text_of("propagationPolicy");
        if let (Some(policy), Some(_)) = (policy, orphan) {
            wrong.push(format!(
                "propagationPolicy: Invalid value: {policy:?}: orphanDependents and deletionPropagation cannot be both set"
            ));
        }
        let propagation = match (policy, orphan) {
            (None, None) => None,
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some(other), _) => {
                wrong.push(format!(
                    "propagationPolicy: Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
                ));
                None
            }
        };
        if !wrong.is_empty() {
            return Err(Failure::invalid_options("DeleteOptions", &wrong));
        }
        let grace = if said { body["gracePeriodSeconds"].as_i64() } else { query.number("gracePeriodSeconds")? };
        let precondition = |name: &str| body["preconditions"][name].as_str().map(str::to_owned);
        Ok(Deletion {
            dry_run: dry_run.is_some(),
            propagation,
            grace,
            uid: precondition("uid"),
            version: precondition("resourceVersion"),
        })
    }

    /// Returns what was asked for, as the options' own fields.
    pub(crate) fn said(&self) -> Value {
        let mut said = json!({});
        if self.dry_run {
            said["dryRun"] = json!(["All"]);
        }
        if let Some(seconds) = self.grace {
            said["gracePeriodSeconds"] = seconds.into();
        }
        if let Some(propagation) = self.propagation {
            said["propagationPolicy"] = format!("{propagation:?}").into();
        }
        for (name, wanted) in [("uid", &self.uid), ("resourceVersion", &self.version)] {
            if let Some(wanted) = wanted {
                said["preconditions"][name] = wanted.as_str().into();
            }
        }
        said
    }

    /// Refuses an object that is not the one that the caller means.
    pub(crate) fn check(&self, resource: &Resource, name: &str, old: &Value) -> Result<(), Failure> {
        for (label, field, wanted, happened) in [
            ("UID", "uid", &self.uid, "deleted and then recreated"),
            ("ResourceVersion", "resourceVersion", &self.version, "modified"),
        ] {
            let found = text(&old["metadata"], field);
            if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != found) {
                let why = format!(
                    "the {label} in the precondition ({wanted}) does not match the {label} in record ({found}). The object might have been {happened}"
                );
                return Err(Failure {
                    details: json!({"name": name, "group": resource.gvk.group, "kind": resource.gvk.kind}),
                    ..Failure::new(
                        StatusCode::CONFLICT,
                        "Conflict",
                        format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.qualified_kind()),
                    )
                });
            }
        }
        Ok(())
    }

    /// Returns the same deletion, of an object at this version alone.
    pub(crate) fn of_version(&self, version: Option<u64>, dry_run: bool) -> Deletion {
        Deletion { version: version.map(|version| version.to_string()), dry_run, ..self.clone() }
    }

    /// Returns the finalizers that `old` has from now on.
    fn finalizers(&self, old: &Value) -> Vec<String> {
        let mut keep = finalizers(old);
        let asked = match self.propagation {
            Some(Propagation::Orphan) => Some("orphan"),
            Some(Propagation::Foreground) => Some("foregroundDeletion"),
            Some(Propagation::Background) => None,
            // Without a wish, what an earlier one left stays.
            None => return keep,
        };
        keep.retain(|name| name != "orphan" && name != "foregroundDeletion");
        keep.extend(asked.map(str::to_owned));
        keep
    }
}

impl Server {
    /// Deletes an object: at once, or by marking it for those who have to finish first.
    pub(crate) async fn delete(&self, call: Call<'_>, deletion: &Deletion) -> Result<Written, Failure> {
        let Call { resource, info, .. } = call;
        for _ in 0..ATTEMPTS {
            let Some(entry) = self.store().snapshot().get(&resource.key(&info.namespace, &info.name)).cloned() else {
                return Err(Failure::not_found(resource, &info.name));
            };
            let old = at_version(resource, entry.value());
            deletion.check(resource, &info.name, &old)?;
            if let Some(written) = self.delete_entry(call, deletion, &entry, &old).await? {
                return Ok(written);
            }
        }
        Err(changed_meanwhile(resource, &info.name))
    }

    /// Deletes one object as it was read; `None` if another writer came first.
    async fn delete_entry(
        &self,
        call: Call<'_>,
        deletion: &Deletion,
        entry: &Entry,
        old: &Value,
    ) -> Result<Option<Written>, Failure> {
        let Call { resource, info, options, .. } = call;
        let admission = Admission { call, operation: Operation::Delete, new: None, old: Some(old) };
        let admitted = self.admit(admission).await?;
        let warnings = admitted.warnings;
        let mut keep = deletion.finalizers(old);
        // What a definition defined goes before it.
        if resource.defines_kinds
            && old["metadata"]["deletionTimestamp"].is_null()
            && !keep.iter().any(|name| name == CLEANUP)
        {
            keep.push(CLEANUP.to_owned());
        }
        let grace = if resource.graceful { grace_of(old, deletion.grace) } else { 0 };
        let held = !keep.is_empty()
            || grace > 0
            || old["spec"]["finalizers"]
                .as_array()
                .is_some_and(|list| !list.is_empty() && resource.plural == "namespaces");
        let done = |object: Object| Ok(Some(Written { code: StatusCode::OK, object, warnings }));
        let key = resource.key(&info.namespace, &info.name);
        if !held {
            if options.dry_run {
                return done(deleted(resource, old).into());
            }
            let gone = Write::Delete(to_storage(resource, old.clone()));
            return match self.store().write(&key, Expect::Revision(entry.revision), gone).await? {
                Outcome::Done(gone) => {
                    self.noticed(call, Some(old), &gone).await;
                    done(deleted(resource, &at_version(resource, gone.value())).into())
                }
                Outcome::Mismatch(_) => Ok(None),
            };
        }
        let marked = !old["metadata"]["deletionTimestamp"].is_null();
        let shorter = old["metadata"]["deletionGracePeriodSeconds"].as_i64().is_some_and(|before| grace < before);
        if marked && !shorter && keep == finalizers(old) {
            return done(old.clone().into());
        }
        let mut new = old.clone();
        mark(resource, &mut new, keep, (!marked || shorter).then_some(grace))?;
        if resource.defines_kinds && !marked {
            new["status"] = custom::marked(&new, &base::clock::now_rfc3339());
        }
        if options.dry_run {
            return done(new.into());
        }
        let put = Write::Put(to_storage(resource, new));
        match self.store().write(&key, Expect::Revision(entry.revision), put).await? {
            Outcome::Done(written) => {
                self.noticed(call, Some(old), &written).await;
                done(Object::Stored(written))
            }
            Outcome::Mismatch(_) => Ok(None),
        }
    }
}

/// Marks an object as being deleted, from now on for `grace` seconds if that is new.
fn mark(resource: &Resource, object: &mut Value, keep: Vec<String>, grace: Option<i64>) -> Result<(), Failure> {
    let metadata =
        object["metadata"].as_object_mut().ok_or_else(|| Failure::internal("a stored object has no metadata"))?;
    let first = !metadata.contains_key("deletionTimestamp");
    if let Some(grace) = grace {
        let at = base::clock::now() + jiff::SignedDuration::from_secs(grace);
        metadata.insert("deletionTimestamp".into(), at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into());
        // What is emptied first has no time to wait for.
        if resource.plural != "namespaces" && !resource.defines_kinds {
            metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
        }
    }
    if keep.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".into(), keep.into());
    }
    if resource.generation && first && !resource.defines_kinds {
        let generation = metadata.get("generation").and_then(Value::as_i64).unwrap_or_default() + 1;
        metadata.insert("generation".into(), generation.into());
    }
    if resource.plural == "namespaces" && resource.gvk.group.is_empty() {
        object["status"]["phase"] = "Terminating".into();
    }
    Ok(())
}

fn grace_of(pod: &Value, given: Option<i64>) -> i64 {
    let phase = text(&pod["status"], "phase");
    if text(&pod["spec"], "nodeName").is_empty() || matches!(phase, "Succeeded" | "Failed") {
        return 0;
    }
    let own = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    // As Kubernetes reads it: less than nothing is as little as there is.
    match given {
        Some(given) if given < 0 => 1,
        Some(given) => given,
        None => own.max(0),
    }
}

/// Returns what a deletion answers with.
fn deleted(resource: &Resource, last: &Value) -> Value {
    if resource.returns_deleted {
        let mut object = last.clone();
        // What could have taken its time says that it was given none.
        if resource.graceful && !object["metadata"]["deletionTimestamp"].is_null() {
            object["metadata"]["deletionGracePeriodSeconds"] = 0.into();
        } else if resource.graceful {
            object["metadata"]["deletionTimestamp"] = base::clock::now_rfc3339().into();
            object["metadata"]["deletionGracePeriodSeconds"] = 0.into();
            let generation = object["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
            object["metadata"]["generation"] = generation.into();
        }
        return object;
    }
    let metadata = &last["metadata"];
    let mut details = json!({"name": metadata["name"], "kind": resource.plural, "uid": metadata["uid"]});
    if !resource.gvk.group.is_empty() {
        details["group"] = resource.gvk.group.clone().into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
