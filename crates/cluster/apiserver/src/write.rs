//! Create, update, patch and delete, for every kind alike: decode → default →
//! prune → validate → own → store.

mod delete;
mod parts;

use http::StatusCode;
use schema::{apply, patch, validate};
use serde_json::{Value, json};

use crate::{
    registry::{Resource, Subresource},
    request::{Info, Query},
    server::Server,
    status::Failure,
    store::{Entry, Expect, Outcome, Write},
};

use parts::{
    apply_conflict, finalizers, keep_identity, merge_parts, metadata_rules, name_it, part_of, patch_failure,
    prepare_new, same, spec_changed, text, to_storage,
};
pub(crate) use parts::{at_version, changed_meanwhile};

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
            Some(other) => {
                return Err(Failure::bad_request(format!(
                    "dryRun: Unsupported value: {other:?}: supported values: \"All\""
                )));
            }
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
    pub(crate) async fn create(
        &self,
        resource: &Resource,
        info: &Info,
        body: Value,
        options: &Options,
    ) -> Result<Written, Failure> {
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
            Outcome::Mismatch(_) if generated => {
                Err(Failure { retry_after: Some(1), ..Failure::already_exists(resource, &name) })
            }
            Outcome::Mismatch(_) => Err(Failure::already_exists(resource, &name)),
        }
    }

    /// Replaces an object, or one of its parts.
    pub(crate) async fn update(
        &self,
        resource: &Resource,
        info: &Info,
        body: Value,
        options: &Options,
    ) -> Result<Written, Failure> {
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
                PatchKind::Json => {
                    (patch::json(&old, body).map_err(|error| patch_failure(resource, &info.name, error))?, Vec::new())
                }
                PatchKind::Merge => {
                    (patch::merge(&old, body).map_err(|error| patch_failure(resource, &info.name, error))?, Vec::new())
                }
                PatchKind::Strategic => (
                    patch::strategic(&old, body, &resource.node)
                        .map_err(|error| patch_failure(resource, &info.name, error))?,
                    Vec::new(),
                ),
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

    async fn apply_new(
        &self,
        resource: &Resource,
        info: &Info,
        body: &Value,
        options: &Options,
    ) -> Result<Written, Failure> {
        let (mut config, warnings) = Self::decode(resource, info, body.clone(), options)?;
        if !text(&config["metadata"], "uid").is_empty() || !text(&config["metadata"], "resourceVersion").is_empty() {
            return Err(Failure::conflict(
                resource,
                &info.name,
                "the object has been deleted; please apply your changes without uid and resourceVersion",
            ));
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
        match self
            .store()
            .write(&resource.key(&info.namespace, &info.name), Expect::Absent, Write::Put(to_storage(resource, object)))
            .await?
        {
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
            let reset =
                new["metadata"]["managedFields"].as_array().is_some_and(|list| list.len() == 1 && list[0] == json!({}));
            let base_owners = if reset { Value::Null } else { old["metadata"]["managedFields"].clone() };
            let mut before = old.clone();
            before["metadata"]["managedFields"] = base_owners;
            apply::track_update(
                Some(&before),
                &mut new,
                &resource.node,
                Self::writer(resource, options, &info.subresource, &now),
            );
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

    /// Checks what a client sent against path and type; returns it pruned, with warnings.
    fn decode(
        resource: &Resource,
        info: &Info,
        mut body: Value,
        options: &Options,
    ) -> Result<(Value, Vec<String>), Failure> {
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
                    return Err(Failure::bad_request(format!(
                        "{found} in version {:?} cannot be handled as a {expected}: no kind {found:?} is registered here",
                        resource.gvk.api_version()
                    )));
                }
                Some(found) => {
                    return Err(Failure::bad_request(format!(
                        "the API version in the data ({found}) does not match the expected API version ({expected})"
                    )));
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
                return Err(Failure::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
        } else if let Some(metadata) = metadata.as_object_mut() {
            metadata.remove("namespace");
        }
        if !info.name.is_empty() && info.verb != "create" {
            let name = text(&body["metadata"], "name");
            if name.is_empty() {
                body["metadata"]["name"] = info.name.clone().into();
            } else if name != info.name {
                return Err(Failure::bad_request(format!(
                    "the name of the object ({name}) does not match the name on the URL ({})",
                    info.name
                )));
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
                        resource.gvk.kind,
                        resource.gvk.version,
                        resource.gvk.kind,
                        list.join(", ")
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
            causes.extend(
                validate::check(object, &resource.node)
                    .into_iter()
                    .filter(|cause| cause.reason == "FieldValueRequired" && !cause.field.starts_with("status")),
            );
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
        let Some(namespace) = self.store().snapshot().get(&format!("core/namespaces//{}", info.namespace)).cloned()
        else {
            return Err(Failure {
                details: json!({"name": info.namespace, "kind": "namespaces"}),
                ..Failure::new(StatusCode::NOT_FOUND, "NotFound", format!("namespaces {:?} not found", info.namespace))
            });
        };
        if namespace.value()["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        let mut failure = Failure::forbidden(
            resource,
            name,
            &format!("unable to create new content in namespace {} because it is being terminated", info.namespace),
        );
        failure.details["causes"] = json!([{"reason": "NamespaceTerminating", "message": format!("namespace {} is being terminated", info.namespace), "field": "metadata.namespace"}]);
        Err(failure)
    }

    fn writer<'a>(
        resource: &'a Resource,
        options: &'a Options,
        subresource: &'a str,
        now: &'a str,
    ) -> apply::Writer<'a> {
        apply::Writer { name: &options.manager, api_version: &resource.api_version, subresource, time: now }
    }
}

/// Returns the subresource that a path names, or why it cannot be served.
pub(crate) fn subresource<'a>(resource: &'a Resource, info: &Info) -> Result<Option<&'a Subresource>, Failure> {
    if info.subresource.is_empty() {
        return Ok(None);
    }
    resource.subresources.get(info.subresource.as_str()).map(Some).ok_or_else(Failure::no_such_path)
}
