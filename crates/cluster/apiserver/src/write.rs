//! Create, update, patch and delete, for every kind alike: decode → default →
//! prune → validate → own → store.

use http::StatusCode;
use schema::{apply, patch, validate};
use serde_json::{Map, Value, json};

use crate::{
    registry::{Resource, Subresource},
    request::{Info, Query},
    server::Server,
    status::Failure,
    store::{Entry, Expect, Outcome, Write},
};

/// How often a write is tried anew when another writer came first and the caller named no revision.
const ATTEMPTS: usize = 16;

/// What a caller asked for beside the object.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    manager: String,
    dry_run: bool,
    strictness: Strictness,
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strictness {
    Ignore,
    Warn,
    Strict,
}

/// An object and what to warn the caller of.
pub(crate) struct Written {
    pub(crate) code: StatusCode,
    pub(crate) object: Value,
    pub(crate) warnings: Vec<String>,
}

/// The patches that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl Options {
    pub(crate) fn parse(query: &Query, agent: &str) -> Result<Options, Failure> {
        let dry_run = match query.get("dryRun") {
            None => false,
            Some("All") => true,
            Some(other) => return Err(Failure::bad_request(format!("dryRun: Unsupported value: {other:?}: supported values: \"All\""))),
        };
        let strictness = match query.get("fieldValidation") {
            Some("Strict") => Strictness::Strict,
            Some("Ignore") => Strictness::Ignore,
            Some("Warn") | None => Strictness::Warn,
            Some(other) => {
                return Err(Failure::bad_request(format!(
                    "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
                )));
            }
        };
        // As Kubernetes does: without a name of its own a writer is known by its program.
        let manager = query.get("fieldManager").unwrap_or_else(|| agent.split('/').next().unwrap_or_default());
        let manager = if manager.is_empty() { "unknown" } else { manager };
        Ok(Options { manager: manager.chars().take(128).collect(), dry_run, strictness, force: query.flag("force") })
    }
}

impl Server {
    /// Creates an object.
    pub(crate) async fn create(&self, resource: &Resource, info: &Info, body: Value, options: &Options) -> Result<Written, Failure> {
        let (mut object, warnings) = Self::decode(resource, info, body, options)?;
        let generated = name_it(resource, &mut object)?;
        let name = text(&object["metadata"], "name").to_owned();
        self.check_namespace(resource, info, &name)?;
        let now = base::clock::now_rfc3339();
        prepare_new(resource, &mut object, &now);
        (resource.rules.create)(&mut object);
        Self::finish(resource, &mut object, None)?;
        apply::track_update(None, &mut object, &resource.node, Self::writer(resource, options, "", &now));
        let _order = self.allocate(resource, &mut object).await?;
        if options.dry_run {
            return Ok(Written { code: StatusCode::CREATED, object, warnings });
        }
        let key = resource.key(&info.namespace, &name);
        match self.store().write(&key, Expect::Absent, Write::Put(to_storage(resource, object))).await? {
            Outcome::Done(entry) => {
                self.noticed(resource, None, &entry).await;
                Ok(Written { code: StatusCode::CREATED, object: at_version(resource, entry.value()), warnings })
            }
            Outcome::Mismatch(_) if generated => Err(Failure {
                retry_after: Some(1),
                ..Failure::already_exists(resource, &name)
            }),
            Outcome::Mismatch(_) => Err(Failure::already_exists(resource, &name)),
        }
    }

    /// Replaces an object, or one of its parts.
    pub(crate) async fn update(&self, resource: &Resource, info: &Info, body: Value, options: &Options) -> Result<Written, Failure> {
        let (new, warnings) = Self::decode(resource, info, body, options)?;
        let wanted = text(&new["metadata"], "resourceVersion").to_owned();
        for _ in 0..ATTEMPTS {
            let Some(entry) = self.store().snapshot().get(&resource.key(&info.namespace, &info.name)).cloned() else {
                return Err(Failure::not_found(resource, &info.name));
            };
            if !wanted.is_empty() && wanted != entry.revision.to_string() {
                return Err(changed_meanwhile(resource, &info.name));
            }
            if let Some(written) = self.replace(resource, info, &entry, new.clone(), options, &warnings, None).await? {
                return Ok(written);
            }
        }
        Err(changed_meanwhile(resource, &info.name))
    }

    /// Applies a patch; server-side apply creates what is not there.
    pub(crate) async fn patch(
        &self,
        resource: &Resource,
        info: &Info,
        kind: PatchKind,
        body: &Value,
        options: &Options,
    ) -> Result<Written, Failure> {
        if kind == PatchKind::Strategic && resource.custom {
            return Err(Failure::unsupported_media(
                "application/strategic-merge-patch+json",
                "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            ));
        }
        for _ in 0..ATTEMPTS {
            let entry = self.store().snapshot().get(&resource.key(&info.namespace, &info.name)).cloned();
            let Some(entry) = entry else {
                if kind == PatchKind::Apply && info.subresource.is_empty() {
                    return self.apply_new(resource, info, body, options).await;
                }
                return Err(Failure::not_found(resource, &info.name));
            };
            let old = entry.value();
            let old = at_version(resource, old);
            let now = base::clock::now_rfc3339();
            let (new, warnings) = match kind {
                PatchKind::Apply => {
                    let (config, warnings) = Self::decode(resource, info, body.clone(), options)?;
                    let config = part_of(resource, info, config);
                    let writer = Self::writer(resource, options, &info.subresource, &now);
                    let new = apply::apply(&old, &config, &resource.node, writer, options.force)
                        .map_err(|conflicts| apply_conflict(resource, &info.name, &conflicts))?;
                    (new, warnings)
                }
                PatchKind::Json => (patch::json(&old, body).map_err(|error| patch_failure(resource, &info.name, error))?, Vec::new()),
                PatchKind::Merge => (patch::merge(&old, body).map_err(|error| patch_failure(resource, &info.name, error))?, Vec::new()),
                PatchKind::Strategic => {
                    (patch::strategic(&old, body, &resource.node).map_err(|error| patch_failure(resource, &info.name, error))?, Vec::new())
                }
            };
            let (new, more) = Self::decode(resource, info, new, options)?;
            let owners = (kind == PatchKind::Apply).then(|| new["metadata"]["managedFields"].clone());
            let wanted = text(&new["metadata"], "resourceVersion");
            if !wanted.is_empty() && wanted != entry.revision.to_string() {
                return Err(changed_meanwhile(resource, &info.name));
            }
            let warnings: Vec<String> = warnings.into_iter().chain(more).collect();
            if let Some(written) = self.replace(resource, info, &entry, new, options, &warnings, owners).await? {
                return Ok(written);
            }
        }
        Err(changed_meanwhile(resource, &info.name))
    }

    async fn apply_new(&self, resource: &Resource, info: &Info, body: &Value, options: &Options) -> Result<Written, Failure> {
        let (mut config, warnings) = Self::decode(resource, info, body.clone(), options)?;
        if !text(&config["metadata"], "uid").is_empty() || !text(&config["metadata"], "resourceVersion").is_empty() {
            return Err(Failure::conflict(resource, &info.name, "the object has been deleted; please apply your changes without uid and resourceVersion"));
        }
        if text(&config["metadata"], "name").is_empty() {
            config["metadata"]["name"] = info.name.clone().into();
        }
        self.check_namespace(resource, info, &info.name)?;
        let now = base::clock::now_rfc3339();
        let empty = json!({"metadata": {}});
        let writer = Self::writer(resource, options, "", &now);
        let config = part_of(resource, info, config);
        let mut object = apply::apply(&empty, &config, &resource.node, writer, true)
            .map_err(|conflicts| apply_conflict(resource, &info.name, &conflicts))?;
        let owners = object["metadata"]["managedFields"].take();
        prepare_new(resource, &mut object, &now);
        (resource.rules.create)(&mut object);
        Self::finish(resource, &mut object, None)?;
        object["metadata"]["managedFields"] = owners;
        let _order = self.allocate(resource, &mut object).await?;
        if options.dry_run {
            return Ok(Written { code: StatusCode::CREATED, object, warnings });
        }
        match self.store().write(&resource.key(&info.namespace, &info.name), Expect::Absent, Write::Put(to_storage(resource, object))).await? {
            Outcome::Done(entry) => {
                self.noticed(resource, None, &entry).await;
                Ok(Written { code: StatusCode::CREATED, object: entry.value(), warnings })
            }
            Outcome::Mismatch(_) => Err(Failure::already_exists(resource, &info.name)),
        }
    }

    /// Stores `new` in the place of `entry`; `None` if another writer came first.
    #[expect(clippy::too_many_arguments, reason = "one step of the pipeline, called from two places")]
    async fn replace(
        &self,
        resource: &Resource,
        info: &Info,
        entry: &Entry,
        new: Value,
        options: &Options,
        warnings: &[String],
        owners: Option<Value>,
    ) -> Result<Option<Written>, Failure> {
        let old = at_version(resource, entry.value());
        let mut new = merge_parts(resource, info, &old, new);
        keep_identity(&old, &mut new)?;
        Self::finish(resource, &mut new, Some(&old))?;
        if info.subresource != "status" && resource.generation && spec_changed(&old, &new) {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
            new["metadata"]["generation"] = generation.into();
        }
        let now = base::clock::now_rfc3339();
        if let Some(owners) = owners {
            new["metadata"]["managedFields"] = owners;
        } else {
            let reset = new["metadata"]["managedFields"].as_array().is_some_and(|list| list.len() == 1 && list[0] == json!({}));
            let base_owners = if reset { Value::Null } else { old["metadata"]["managedFields"].clone() };
            let mut before = old.clone();
            before["metadata"]["managedFields"] = base_owners;
            apply::track_update(Some(&before), &mut new, &resource.node, Self::writer(resource, options, &info.subresource, &now));
        }
        if let Some(metadata) = new["metadata"].as_object_mut() {
            metadata.retain(|_, value| !value.is_null());
        }
        let done = |object: Value| Ok(Some(Written { code: StatusCode::OK, object, warnings: warnings.to_vec() }));
        if same(&old, &new) {
            return done(old);
        }
        if options.dry_run {
            return done(new);
        }
        let gone = !new["metadata"]["deletionTimestamp"].is_null()
            && finalizers(&new).is_empty()
            && new["spec"]["finalizers"].as_array().is_none_or(Vec::is_empty)
            && (!resource.graceful || new["metadata"]["deletionGracePeriodSeconds"] == 0);
        let key = resource.key(&info.namespace, &info.name);
        let stored = to_storage(resource, new);
        let write = if gone { Write::Delete(stored) } else { Write::Put(stored) };
        match self.store().write(&key, Expect::Revision(entry.revision), write).await? {
            Outcome::Done(written) => {
                self.noticed(resource, Some(&old), &written).await;
                done(at_version(resource, written.value()))
            }
            Outcome::Mismatch(_) => Ok(None),
        }
    }

    /// Deletes an object: at once, or by marking it for those who have to finish first.
    pub(crate) async fn delete(&self, resource: &Resource, info: &Info, body: &Value, query: &Query) -> Result<Written, Failure> {
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
                    let why = format!("the {label} in the precondition ({wanted}) does not match the {label} in record ({}). The object might have been deleted and then recreated", text(&old["metadata"], name));
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
            let held = !keep.is_empty() || grace > 0 || old["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty() && resource.plural == "namespaces");
            if dry_run {
                return Ok(Written { code: StatusCode::OK, object: old, warnings: Vec::new() });
            }
            let key = resource.key(&info.namespace, &info.name);
            if !held {
                let outcome = self.store().write(&key, Expect::Revision(entry.revision), Write::Delete(to_storage(resource, new))).await?;
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
            let metadata = new["metadata"].as_object_mut().ok_or_else(|| Failure::internal("a stored object has no metadata"))?;
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
            let outcome = self.store().write(&key, Expect::Revision(entry.revision), Write::Put(to_storage(resource, new))).await?;
            if let Outcome::Done(written) = outcome {
                self.noticed(resource, Some(&old), &written).await;
                return Ok(Written { code: StatusCode::OK, object: at_version(resource, written.value()), warnings: Vec::new() });
            }
        }
        Err(changed_meanwhile(resource, &info.name))
    }

    /// Checks what a client sent against path and type; returns it pruned, with warnings.
    fn decode(resource: &Resource, info: &Info, mut body: Value, options: &Options) -> Result<(Value, Vec<String>), Failure> {
        let Some(map) = body.as_object_mut() else {
            return Err(Failure::bad_request("the body must be one object"));
        };
        let expected = resource.gvk.api_version();
        for (name, expected) in [("apiVersion", &expected), ("kind", &resource.gvk.kind)] {
            match map.get(name).and_then(Value::as_str) {
                None | Some("") => {
                    map.insert(name.to_owned(), expected.clone().into());
                }
                Some(found) if found == expected => {}
                Some(found) if name == "kind" => {
                    return Err(Failure::bad_request(format!("{found} in version {:?} cannot be handled as a {expected}: no kind {found:?} is registered here", resource.gvk.api_version())));
                }
                Some(found) => {
                    return Err(Failure::bad_request(format!("the API version in the data ({found}) does not match the expected API version ({expected})")));
                }
            }
        }
        if !map.get("metadata").is_some_and(Value::is_object) {
            map.insert("metadata".into(), json!({}));
        }
        let metadata = &mut body["metadata"];
        if resource.namespaced {
            let namespace = text(metadata, "namespace");
            if namespace.is_empty() {
                metadata["namespace"] = info.namespace.clone().into();
            } else if namespace != info.namespace {
                return Err(Failure::bad_request("the namespace of the provided object does not match the namespace sent on the request"));
            }
        } else if let Some(metadata) = metadata.as_object_mut() {
            metadata.remove("namespace");
        }
        if !info.name.is_empty() && info.verb != "create" {
            let name = text(&body["metadata"], "name");
            if name.is_empty() {
                body["metadata"]["name"] = info.name.clone().into();
            } else if name != info.name {
                return Err(Failure::bad_request(format!("the name of the object ({name}) does not match the name on the URL ({})", info.name)));
            }
        }
        let unknown = validate::unknown(&mut body, &resource.node, true);
        let mut warnings = Vec::new();
        if !unknown.is_empty() {
            let list: Vec<String> = unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
            match options.strictness {
                Strictness::Strict => {
                    return Err(Failure::bad_request(format!(
                        "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
                        resource.gvk.kind, resource.gvk.version, resource.gvk.kind, list.join(", ")
                    )));
                }
                Strictness::Warn => warnings = list,
                Strictness::Ignore => {}
            }
        }
        if !resource.custom
            && let Some(cause) = validate::mistyped(&body, &resource.node).into_iter().next()
        {
            return Err(Failure::bad_request(format!(
                "{} in version {:?} cannot be handled as a {}: {}: {}",
                resource.gvk.kind, resource.gvk.version, resource.gvk.kind, cause.field, cause.message
            )));
        }
        Ok((body, warnings))
    }

    /// Defaults and validates.
    fn finish(resource: &Resource, object: &mut Value, old: Option<&Value>) -> Result<(), Failure> {
        if resource.custom {
            validate::default(object, &resource.node);
        }
        (resource.rules.default)(object);
        let mut causes = metadata_rules(object, old.is_none());
        if resource.custom {
            causes.extend(validate::check(object, &resource.node));
        } else {
            causes.extend(validate::check(object, &resource.node).into_iter().filter(|cause| cause.reason == "FieldValueRequired" && !cause.field.starts_with("status")));
        }
        (resource.rules.validate)(object, old, &mut causes);
        let mut seen = std::collections::HashSet::new();
        causes.retain(|cause| seen.insert((cause.field.clone(), cause.reason)));
        if causes.is_empty() {
            return Ok(());
        }
        Err(Failure::invalid(resource, text(&object["metadata"], "name"), &causes))
    }

    fn check_namespace(&self, resource: &Resource, info: &Info, name: &str) -> Result<(), Failure> {
        if !resource.namespaced {
            return Ok(());
        }
        let Some(namespace) = self.store().snapshot().get(&format!("core/namespaces//{}", info.namespace)).cloned() else {
            return Err(Failure {
                details: json!({"name": info.namespace, "kind": "namespaces"}),
                ..Failure::new(StatusCode::NOT_FOUND, "NotFound", format!("namespaces {:?} not found", info.namespace))
            });
        };
        if namespace.value()["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        let mut failure = Failure::forbidden(resource, name, &format!("unable to create new content in namespace {} because it is being terminated", info.namespace));
        failure.details["causes"] = json!([{"reason": "NamespaceTerminating", "message": format!("namespace {} is being terminated", info.namespace), "field": "metadata.namespace"}]);
        Err(failure)
    }

    fn writer<'a>(resource: &'a Resource, options: &'a Options, subresource: &'a str, now: &'a str) -> apply::Writer<'a> {
        apply::Writer { name: &options.manager, api_version: &resource.api_version, subresource, time: now }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn finalizers(object: &Value) -> Vec<String> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn changed_meanwhile(resource: &Resource, name: &str) -> Failure {
    Failure::conflict(resource, name, "the object has been modified; please apply your changes to the latest version and try again")
}

fn patch_failure(resource: &Resource, name: &str, error: patch::Error) -> Failure {
    match error {
        patch::Error::Malformed(message) => Failure::bad_request(message),
        patch::Error::Operation { source } => Failure::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid",
            format!("the server rejected our request due to an error in our request: {} {name:?}: {source}", resource.qualified()),
        ),
    }
}

fn apply_conflict(resource: &Resource, name: &str, conflicts: &[apply::Conflict]) -> Failure {
    let list: Vec<String> = conflicts.iter().map(|conflict| format!("conflict with {}: {}", conflict.owner, conflict.field)).collect();
    let message = if list.len() == 1 {
        format!("Apply failed with 1 conflict: {}", list[0])
    } else {
        format!("Apply failed with {} conflicts: {}", list.len(), list.join("\n- "))
    };
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|conflict| json!({"reason": "FieldManagerConflict", "message": format!("conflict with {}", conflict.owner), "field": conflict.field}))
        .collect();
    Failure {
        details: json!({"name": name, "group": resource.gvk.group, "kind": resource.plural, "causes": causes}),
        ..Failure::new(StatusCode::CONFLICT, "Conflict", message)
    }
}

/// Gives an object without a name one from `generateName`; returns whether it did.
fn name_it(resource: &Resource, object: &mut Value) -> Result<bool, Failure> {
    if !text(&object["metadata"], "name").is_empty() {
        return Ok(false);
    }
    let prefix: String = text(&object["metadata"], "generateName").chars().take(58).collect();
    if prefix.is_empty() {
        let cause = validate::Cause::required("metadata.name", "name or generateName is required");
        return Err(Failure::invalid(resource, "", &[cause]));
    }
    object["metadata"]["name"] = format!("{prefix}{}", random_suffix()).into();
    Ok(true)
}

/// Five characters that neither form words nor are mistaken for each other.
fn random_suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    uuid::Uuid::new_v4().as_bytes()[..5].iter().map(|byte| ALPHABET[*byte as usize % ALPHABET.len()] as char).collect()
}

fn prepare_new(resource: &Resource, object: &mut Value, now: &str) {
    if resource.has_status()
        && let Some(map) = object.as_object_mut()
    {
        map.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for name in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields", "generation"] {
            metadata.remove(name);
        }
        metadata.insert("uid".into(), uuid::Uuid::new_v4().to_string().into());
        metadata.insert("creationTimestamp".into(), now.into());
        if resource.generation {
            metadata.insert("generation".into(), 1.into());
        }
        metadata.retain(|_, value| !value.is_null());
    }
}

fn metadata_rules(object: &Value, new: bool) -> Vec<validate::Cause> {
    let metadata = &object["metadata"];
    let mut causes = Vec::new();
    let name = text(metadata, "name");
    // RBAC names may hold ':'; all may be path segments.
    let segment = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%']) && name.len() <= 253;
    let rbac = text(object, "apiVersion").starts_with("rbac.");
    if new && !(if rbac { segment } else { base::names::is_dns_subdomain(name) }) {
        causes.push(validate::Cause::invalid("metadata.name", &metadata["name"], "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"));
    }
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        if !schema::selector::is_label_key(key) {
            causes.push(validate::Cause::invalid("metadata.labels", &key.clone().into(), "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
        }
        if !value.as_str().is_some_and(schema::selector::is_label_value) {
            causes.push(validate::Cause::invalid("metadata.labels", value, "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
        }
    }
    let total: usize = metadata["annotations"].as_object().into_iter().flatten().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if total > 256 * 1024 {
        causes.push(validate::Cause { reason: "FieldValueTooLong", message: "Too long: may not be more than 262144 bytes".into(), field: "metadata.annotations".into() });
    }
    for (index, owner) in metadata["ownerReferences"].as_array().into_iter().flatten().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if text(owner, field).is_empty() {
                causes.push(validate::Cause::required(format!("metadata.ownerReferences[{index}].{field}"), ""));
            }
        }
    }
    causes
}

/// Of an apply configuration, the part that the addressed resource takes.
fn part_of(resource: &Resource, info: &Info, mut config: Value) -> Value {
    if let Some(map) = config.as_object_mut() {
        if info.subresource == "status" {
            map.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
        } else if resource.has_status() {
            map.remove("status");
        }
    }
    if let Some(metadata) = config["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    config
}

/// Puts together what a write to this (sub)resource may change and what it leaves as it was.
fn merge_parts(resource: &Resource, info: &Info, old: &Value, mut new: Value) -> Value {
    match info.subresource.as_str() {
        "status" => {
            let mut merged = old.clone();
            merged["status"] = new["status"].take();
            merged["metadata"]["managedFields"] = new["metadata"]["managedFields"].take();
            if merged["status"].is_null() {
                merged.as_object_mut().map(|map| map.remove("status"));
            }
            merged
        }
        "finalize" => {
            let mut merged = old.clone();
            merged["spec"]["finalizers"] = new["spec"]["finalizers"].take();
            if merged["spec"]["finalizers"].is_null() {
                merged["spec"]["finalizers"] = json!([]);
            }
            merged
        }
        _ => {
            if resource.has_status() {
                match old.get("status") {
                    Some(status) => new["status"] = status.clone(),
                    None => drop(new.as_object_mut().and_then(|map| map.remove("status"))),
                }
            }
            if resource.plural == "namespaces" && resource.gvk.group.is_empty() {
                new["spec"] = old["spec"].clone();
            }
            new
        }
    }
}

/// What a client can never change of an object's metadata.
fn keep_identity(old: &Value, new: &mut Value) -> Result<(), Failure> {
    let uid = text(&new["metadata"], "uid");
    if !uid.is_empty() && uid != text(&old["metadata"], "uid") {
        return Err(Failure::new(
            StatusCode::CONFLICT,
            "Conflict",
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", text(&old["metadata"], "uid")),
        ));
    }
    let Some(metadata) = new["metadata"].as_object_mut() else { return Ok(()) };
    for name in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion", "selfLink"] {
        match old["metadata"].get(name) {
            Some(value) => metadata.insert(name.to_owned(), value.clone()),
            None => metadata.remove(name),
        };
    }
    Ok(())
}

fn spec_changed(old: &Value, new: &Value) -> bool {
    let without = |value: &Value| -> Map<String, Value> {
        value.as_object().into_iter().flatten().filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status")).map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    without(old) != without(new)
}

/// Returns whether nothing changed but the times of ownership.
fn same(old: &Value, new: &Value) -> bool {
    let timeless = |value: &Value| {
        let mut value = value.clone();
        for owner in value["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
            owner.as_object_mut().map(|owner| owner.remove("time"));
        }
        value
    };
    old == new || timeless(old) == timeless(new)
}

/// Returns a stored object as the version that is asked for shows it.
pub(crate) fn at_version(resource: &Resource, mut object: Value) -> Value {
    let wanted = resource.gvk.api_version();
    if object["apiVersion"] != wanted.as_str() {
        object["apiVersion"] = wanted.into();
    }
    object
}

fn to_storage(resource: &Resource, mut object: Value) -> Value {
    if resource.storage.version != resource.gvk.version {
        object["apiVersion"] = format!("{}/{}", resource.gvk.group, resource.storage.version).into();
    }
    object
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

/// Returns the subresource that a path names, or why it cannot be served.
pub(crate) fn subresource<'a>(resource: &'a Resource, info: &Info) -> Result<Option<&'a Subresource>, Failure> {
    if info.subresource.is_empty() {
        return Ok(None);
    }
    resource.subresources.get(info.subresource.as_str()).map(Some).ok_or_else(Failure::no_such_path)
}
