//! Create, update, patch and delete, for every kind alike: decode → default → mutate →
//! default → validate → own → admit → store.

mod admit;
mod decode;
mod delete;
mod metadata;
mod parts;

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use parking_lot::Mutex;
use schema::{
    apply,
    owners::{self, Writer},
    patch,
    settle::settle,
    validate,
};
use serde_json::{Value, json};

use crate::{
    access::wish_of,
    body::Sent,
    custom,
    rbac::User,
    registry::{Resource, Subresource},
    request::{Info, Query},
    server::Server,
    status::Failure,
    store::{Entry, Expect, Outcome, Write},
};

pub(crate) use admit::{Admission, Admitted, Operation};
pub(crate) use decode::hub;
pub(crate) use delete::Deletion;
pub(crate) use metadata::embedded_metadata;
pub(crate) use parts::{
    apply_conflict, at_version, changed_meanwhile, patch_failure, random_suffix, same_object, spec_changed, to_storage,
};
use parts::{
    is_finished, keep_identity, name_it, part_of, prepare_new, reset, same, stored_and_shown, text, unconditional,
};

/// How often a write is tried anew when another writer came first and the caller named no revision.
pub(crate) const ATTEMPTS: usize = 16;
/// The longest name of a field manager, in bytes.
const MANAGER_LENGTH: usize = 128;

/// Who writes what with which options: what every step of a write is given.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) user: &'a User,
    pub(crate) resource: &'a Resource,
    pub(crate) info: &'a Info,
    pub(crate) options: &'a Options,
}

/// What a caller asked for beside the object.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) manager: String,
    pub(crate) dry_run: bool,
    pub(crate) strictness: Strictness,
    pub(crate) force: bool,
    /// What was asked for, as the options' own fields.
    pub(crate) said: Value,
    /// The body as it was sent.
    pub(crate) sent: Sent,
    /// What admission has to say in the audit log.
    pub(crate) notes: Notes,
}

/// What is to stand in the audit log beside a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<(String, String)>>>);

impl Notes {
    /// Returns what was noted.
    pub(crate) fn take(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.0.lock())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    Ignore,
    Warn,
    Strict,
}

/// An object and what to warn the caller of.
pub(crate) struct Written {
    pub(crate) code: StatusCode,
    pub(crate) object: Object,
    pub(crate) warnings: Vec<String>,
}

/// What a write answers with.
pub(crate) enum Object {
    /// What was made for the answer.
    Made(Value),
    /// What is stored now: its bytes may be the answer as they are.
    Stored(Arc<Entry>),
}

impl Object {
    /// Returns it as a tree, in the version of `resource`.
    pub(crate) fn tree(self, resource: &Resource) -> Value {
        match self {
            Object::Made(value) => value,
            Object::Stored(entry) => at_version(resource, entry.value()),
        }
    }
}

impl From<Value> for Object {
    fn from(value: Value) -> Object {
        Object::Made(value)
    }
}

/// A changed object on its way to the store.
pub(crate) struct Change {
    pub(crate) new: Value,
    pub(crate) warnings: Vec<String>,
    /// `managedFields`, if they are known already; otherwise they are worked out.
    pub(crate) owners: Option<Value>,
    /// Admission saw the write in the form of its subresource.
    pub(crate) admitted: bool,
}

impl Change {
    fn new(new: Value, warnings: Vec<String>) -> Change {
        Change { new, warnings, owners: None, admitted: false }
    }
}

/// The patches that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// Returns the options of a write that a query gives.
fn said(query: &Query) -> Value {
    let mut said = json!({});
    for name in ["fieldManager", "fieldValidation"] {
        if let Some(given) = query.get(name).filter(|given| !given.is_empty()) {
            said[name] = given.into();
        }
    }
    if query.has("dryRun") {
        said["dryRun"] = json!(["All"]);
    }
    said
}

impl Options {
    /// Notes something for the audit log.
    pub(crate) fn note(&self, key: &str, value: &str) {
        self.notes.0.lock().push((key.to_owned(), value.to_owned()));
    }

    /// Reads the options of a write; `kind` is `CreateOptions`, `UpdateOptions` or `PatchOptions`.
    pub(crate) fn parse(query: &Query, headers: &HeaderMap, kind: &str) -> Result<Options, Failure> {
        let mut wrong = Vec::new();
        let applies = kind == "PatchOptions" && crate::body::media_type(headers) == "application/apply-patch+yaml";
        let given = query.get("fieldManager");
        if applies && given.is_none() {
            wrong.push("fieldManager: Required value: is required for apply patch".to_owned());
        }
        if kind == "PatchOptions" && !applies && query.has("force") {
            wrong.push("force: Forbidden: may not be specified for non-apply patch".to_owned());
        }
        if given.is_some_and(|given| given.len() > MANAGER_LENGTH) {
            wrong.push(format!("fieldManager: Too long: may not be more than {MANAGER_LENGTH} bytes"));
        }
        if let Some((at, odd)) = given.unwrap_or_default().char_indices().find(|(_, c)| c.is_control()) {
            let code = u32::from(odd);
            // Go has letters of its own for some of them.
            let shown = format!("{:?}", given.unwrap_or_default());
            let shown = [("\\u{7}", "\\a"), ("\\u{8}", "\\b"), ("\\u{b}", "\\v"), ("\\u{c}", "\\f")]
                .iter()
                .fold(shown, |text, (ours, theirs)| text.replace(ours, theirs));
            wrong.push(format!(
                "fieldManager: Invalid value: {shown}: invalid character U+{code:04X} (at position {at})"
            ));
        }
        let dry_run = query.get("dryRun");
        if query.all("dryRun").any(|value| value != "All") {
            let given: Vec<String> = query.all("dryRun").map(|value| format!("{value:?}")).collect();
            wrong.push(format!("dryRun: Unsupported value: [{}]: supported values: \"All\"", given.join(",")));
        }
        let strictness = match query.get("fieldValidation") {
            Some("Strict") => Strictness::Strict,
            Some("Ignore") => Strictness::Ignore,
            Some("Warn") | None => Strictness::Warn,
            Some(other) => {
                wrong.push(format!(
                    "fieldValidation: Unsupported value: {other:?}: supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""
                ));
                Strictness::Warn
            }
        };
        if !wrong.is_empty() {
            return Err(Failure::invalid_options(kind, &wrong));
        }
        // As Kubernetes does: without a name of its own a writer is known by its program.
        let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let manager = given.unwrap_or_else(|| agent.split('/').next().unwrap_or_default());
        let manager = if manager.is_empty() { "unknown" } else { manager };
        Ok(Options {
            manager: manager.chars().take(MANAGER_LENGTH).collect(),
            dry_run: dry_run.is_some(),
            strictness,
            force: query.flag("force"),
            said: said(query),
            sent: Sent::default(),
            notes: Notes::default(),
        })
    }
}

impl Server {
    /// Creates an object.
    pub(crate) async fn create(&self, call: Call<'_>, body: Value) -> Result<Written, Failure> {
        let (object, warnings) = Self::decode(call, body)?;
        refuse_terminating(call.resource, text(&object["metadata"], "name"))?;
        self.create_decoded(call, object, warnings.clone()).await.map_err(|failure| failure.warned(warnings))
    }

    async fn create_decoded(
        &self,
        call: Call<'_>,
        mut object: Value,
        mut warnings: Vec<String>,
    ) -> Result<Written, Failure> {
        let Call { resource, .. } = call;
        let before = owners::before(&resource.node, &object);
        Self::default(resource, &mut object);
        let now = base::clock::now_rfc3339();
        // What admission and the kind itself put in from here on is nobody's.
        let owners = Self::owners_of_new(call, &before, &mut object);
        warnings.extend(self.mutate(call, Operation::Create, &mut object, None).await?);
        let generated = name_it(resource, &mut object)?;
        prepare_new(resource, &mut object, &now);
        (resource.rules.create)(&mut object);
        (resource.rules.asked_by)(call.user, &mut object);
        warnings.extend(Self::finish(call, &mut object, None)?);
        warnings.extend((resource.rules.warn)(&object));
        if let Some(owners) = owners {
            object["metadata"]["managedFields"] = owners;
        }
        self.add(call, object, warnings, generated).await
    }

    /// Admits and stores a new object: the end of every creation.
    async fn add(
        &self,
        call: Call<'_>,
        mut object: Value,
        mut warnings: Vec<String>,
        generated: bool,
    ) -> Result<Written, Failure> {
        let Call { resource, info, options, .. } = call;
        let name = text(&object["metadata"], "name").to_owned();
        let admission = Admission { call, operation: Operation::Create, new: Some(&object), old: None };
        let Admitted { warnings: more, held } = self.admit(admission).await?;
        warnings.extend(more);
        let _order = self.allocate(resource, &mut object).await?;
        if options.dry_run {
            return match self.store().snapshot().get(&resource.key(&info.namespace, &name)) {
                Some(_) => Err(Failure::already_exists(resource, &name)),
                None => Ok(Written { code: StatusCode::CREATED, object: object.into(), warnings }),
            };
        }
        let key = resource.key(&info.namespace, &name);
        let outcome = self.store().write(&key, Expect::Absent, Write::Put(to_storage(resource, object))).await?;
        drop(held);
        match outcome {
            Outcome::Done(entry) => {
                self.noticed(call, None, &entry).await;
                Ok(Written { code: StatusCode::CREATED, object: Object::Stored(entry), warnings })
            }
            Outcome::Mismatch(_) if generated => {
                Err(Failure { retry_after: Some(1), ..Failure::already_exists(resource, &name) })
            }
            Outcome::Mismatch(_) => {
                let mut failure = Failure::already_exists(resource, &name);
                let there = self.store().snapshot().get(&key).map(|entry| entry.value());
                if there.is_some_and(|there| !there["metadata"]["deletionTimestamp"].is_null()) {
                    failure.message = format!("object is being deleted: {}", failure.message);
                }
                Err(failure)
            }
        }
    }

    /// Replaces an object, or one of its parts.
    pub(crate) async fn update(&self, call: Call<'_>, body: Value) -> Result<Written, Failure> {
        let Call { resource, info, .. } = call;
        let (new, warnings) = Self::decode(call, body)?;
        let wanted = text(&new["metadata"], "resourceVersion").to_owned();
        for _ in 0..ATTEMPTS {
            let Some(entry) = self.store().snapshot().get(&resource.key(&info.namespace, &info.name)).cloned() else {
                if resource.created_by_updates && info.subresource.is_empty() && wanted.is_empty() {
                    self.may_create(call)?;
                    return self.create(call, new).await;
                }
                return Err(Failure::not_found(resource, &info.name));
            };
            // Which object is meant comes before which of its states.
            same_object(resource, info, &entry.value(), &new)?;
            if wanted.is_empty() && !resource.unconditional {
                return Err(unconditional(resource, &info.name));
            }
            if !wanted.is_empty() && wanted != entry.revision.to_string() {
                return Err(changed_meanwhile(resource, &info.name));
            }
            let change = Change::new(new.clone(), warnings.clone());
            let replaced = self.replace(call, &entry, change).await;
            if let Some(written) = replaced.map_err(|failure| failure.warned(warnings.clone()))? {
                return Ok(written);
            }
        }
        Err(changed_meanwhile(resource, &info.name))
    }

    /// Refuses who may change an object but not create it.
    fn may_create(&self, call: Call<'_>) -> Result<(), Failure> {
        let info = Info { verb: "create", ..call.info.clone() };
        self.authorize(call.user, &wish_of(&info, &Query::default())).map(drop)
    }

    /// Applies a patch; server-side apply creates what is not there.
    pub(crate) async fn patch(&self, call: Call<'_>, kind: PatchKind, body: &Value) -> Result<Written, Failure> {
        let Call { resource, info, .. } = call;
        if kind == PatchKind::Strategic && resource.custom {
            return Err(crate::body::unread(crate::body::CUSTOM_PATCHES));
        }
        for _ in 0..ATTEMPTS {
            let entry = self.store().snapshot().get(&resource.key(&info.namespace, &info.name)).cloned();
            let Some(entry) = entry else {
                if kind == PatchKind::Apply && info.subresource.is_empty() {
                    self.may_create(call)?;
                    return self.apply_new(call, body).await;
                }
                return Err(Failure::not_found(resource, &info.name));
            };
            let old = at_version(resource, entry.value());
            let (new, mut warnings) = Self::patched(call, kind, body, &old)?;
            let (new, more) = match kind {
                PatchKind::Apply => (new, Vec::new()),
                kind => Self::decode_patched(call, kind, body, new)?,
            };
            let owners = (kind == PatchKind::Apply).then(|| new["metadata"]["managedFields"].clone());
            let wanted = text(&new["metadata"], "resourceVersion");
            if !wanted.is_empty() && wanted != entry.revision.to_string() {
                return Err(changed_meanwhile(resource, &info.name));
            }
            warnings.extend(more);
            let change = Change { owners, ..Change::new(new, warnings.clone()) };
            let replaced = self.replace(call, &entry, change).await;
            if let Some(written) = replaced.map_err(|failure| failure.warned(warnings))? {
                return Ok(written);
            }
        }
        Err(changed_meanwhile(resource, &info.name))
    }

    /// Returns what a patch makes of `old`, and what to warn of.
    fn patched(call: Call<'_>, kind: PatchKind, body: &Value, old: &Value) -> Result<(Value, Vec<String>), Failure> {
        let Call { resource, info, options, .. } = call;
        let failed = |error| patch_failure(resource, &info.name, &error);
        Ok(match kind {
            PatchKind::Apply => {
                let now = base::clock::now_rfc3339();
                let config = Self::decode_applied(call, body.clone())?;
                let config = part_of(resource, info, config);
                let writer = Self::writer(call, &now);
                let new = apply::apply(old, &config, &resource.node, writer, options.force)
                    .map_err(|conflicts| apply_conflict(&conflicts))?;
                (new, decode::told_twice(call))
            }
            PatchKind::Json => (patch::json(old, body).map_err(failed)?, Vec::new()),
            PatchKind::Merge => (patch::merge(old, body).map_err(failed)?, Vec::new()),
            PatchKind::Strategic => (patch::strategic(old, body, &resource.node).map_err(failed)?, Vec::new()),
        })
    }

    async fn apply_new(&self, call: Call<'_>, body: &Value) -> Result<Written, Failure> {
        let Call { resource, info, .. } = call;
        refuse_terminating(resource, &info.name)?;
        let mut config = Self::decode_applied(call, body.clone())?;
        let mut warnings = decode::told_twice(call);
        let uid = text(&config["metadata"], "uid");
        if !uid.is_empty() {
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(Failure::conflict(resource, &info.name, &why));
        }
        if !text(&config["metadata"], "resourceVersion").is_empty() {
            let why = "the object has been deleted; please apply your changes without uid and resourceVersion";
            return Err(Failure::conflict(resource, &info.name, why));
        }
        if text(&config["metadata"], "name").is_empty() {
            config["metadata"]["name"] = info.name.clone().into();
        }
        let now = base::clock::now_rfc3339();
        let empty = json!({"metadata": {}});
        let writer = Self::writer(call, &now);
        let config = part_of(resource, info, config);
        let mut object = apply::apply(&empty, &config, &resource.node, writer, true)
            .map_err(|conflicts| apply_conflict(&conflicts))?;
        let owners = object["metadata"]["managedFields"].take();
        Self::default(resource, &mut object);
        warnings.extend(self.mutate(call, Operation::Create, &mut object, None).await?);
        prepare_new(resource, &mut object, &now);
        (resource.rules.create)(&mut object);
        (resource.rules.asked_by)(call.user, &mut object);
        warnings.extend(Self::finish(call, &mut object, None)?);
        warnings.extend((resource.rules.warn)(&object));
        object["metadata"]["managedFields"] = owners;
        self.add(call, object, warnings, false).await
    }

    /// Stores a changed object in the place of `entry`; `None` if another writer came first.
    pub(crate) async fn replace(
        &self,
        call: Call<'_>,
        entry: &Entry,
        change: Change,
    ) -> Result<Option<Written>, Failure> {
        let Call { resource, info, options, .. } = call;
        let Change { mut new, mut warnings, owners, admitted } = change;
        let old = at_version(resource, entry.value());
        if !admitted {
            Self::default(resource, &mut new);
        }
        new = reset(resource, info, &old, new);
        // Who owns what follows from what was sent, as far as this path may change it.
        Self::own(call, &old, &mut new, owners);
        if !admitted {
            warnings.extend(self.mutate(call, Operation::Update, &mut new, Some(&old)).await?);
            new = reset(resource, info, &old, new);
        }
        if matches!(info.subresource.as_str(), "" | "scale") {
            (resource.rules.keep)(&old, &mut new);
        }
        keep_identity(resource, info, &old, &mut new)?;
        // What a binding sets, an update may not.
        let binding = info.subresource == "binding";
        if !binding {
            warnings.extend(Self::finish(call, &mut new, Some(&old))?);
        }
        if !binding && info.subresource != "status" && (resource.counts)(&old, &new) {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
            new["metadata"]["generation"] = generation.into();
        }
        let mut held = Vec::new();
        if !admitted {
            let admission = Admission { call, operation: Operation::Update, new: Some(&new), old: Some(&old) };
            let admitted = self.admit(admission).await?;
            warnings.extend(admitted.warnings);
            held = admitted.held;
        }
        let done = |object: Object| Ok(Some(Written { code: StatusCode::OK, object, warnings }));
        if same(&old, &new) {
            return done(old.into());
        }
        if options.dry_run {
            return done(new.into());
        }
        let key = resource.key(&info.namespace, &info.name);
        let gone = is_finished(resource, &new);
        let stored = to_storage(resource, new);
        let write = if gone { Write::Delete(stored) } else { Write::Put(stored) };
        let outcome = self.store().write(&key, Expect::Revision(entry.revision), write).await?;
        drop(held);
        match outcome {
            Outcome::Done(written) => {
                self.noticed(call, Some(&old), &written).await;
                done(Object::Stored(written))
            }
            Outcome::Mismatch(_) => Ok(None),
        }
    }

    /// Returns who owns what of a new object: the caller every field but those of the status, which is nobody's.
    fn owners_of_new(call: Call<'_>, before: &Value, object: &mut Value) -> Option<Value> {
        let mut shown = stored_and_shown(call.resource, object);
        let object = shown.as_mut().unwrap_or(object);
        Self::own_new(call, before, object);
        object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")
    }

    /// Writes down that the caller owns every field of a new object.
    pub(crate) fn own_new(call: Call<'_>, before: &Value, object: &mut Value) {
        let now = base::clock::now_rfc3339();
        owners::created(before, object, &call.resource.node, Self::writer(call, &now));
    }

    /// Writes down who owns which field of `new` from now on.
    fn own(call: Call<'_>, old: &Value, new: &mut Value, settled: Option<Value>) {
        let resource = call.resource;
        if let Some(owners) = settled {
            new["metadata"]["managedFields"] = owners;
        } else {
            let before = match owners::given(new) {
                _ if owners::is_reset(new) => Vec::new(),
                Some(given) => given,
                None => owners::managers(old),
            };
            let now = base::clock::now_rfc3339();
            match stored_and_shown(resource, new) {
                Some(mut shown) => {
                    owners::updated(old, before, &mut shown, &resource.node, Self::writer(call, &now));
                    new["metadata"]["managedFields"] = shown["metadata"]["managedFields"].take();
                }
                None => owners::updated(old, before, new, &resource.node, Self::writer(call, &now)),
            }
        }
        if let Some(metadata) = new["metadata"].as_object_mut() {
            metadata.retain(|_, value| !value.is_null());
        }
    }

    /// Fills in what is not given, and gives built-in kinds their one form.
    pub(crate) fn default(resource: &Resource, object: &mut Value) {
        if resource.custom {
            validate::default(object, &resource.node);
            return (resource.rules.default)(object);
        }
        settle(object, &resource.node);
        crate::builtin::by_type(object, &resource.node, resource.type_name);
        (resource.rules.default)(object);
        settle(object, &resource.node);
    }

    /// Defaults what is still not given, and validates; returns what to warn of.
    fn finish(call: Call<'_>, object: &mut Value, old: Option<&Value>) -> Result<Vec<String>, Failure> {
        let Call { resource, info, .. } = call;
        Self::default(resource, object);
        let mut causes = metadata::rules(resource, object, old);
        let mut warnings = Vec::new();
        if resource.custom {
            let part = if info.subresource == "status" { custom::Part::Status } else { custom::Part::Whole };
            warnings = custom::check(resource, part, object, old, &mut causes);
        }
        (resource.rules.validate)(object, old, &mut causes);
        if resource.custom {
            let mut seen = std::collections::HashSet::new();
            causes.retain(|cause| seen.insert((cause.field.clone(), cause.reason, cause.message.clone())));
        }
        if causes.is_empty() {
            if resource.custom {
                custom::whole_numbers(object);
            }
            return Ok(warnings);
        }
        Err(Failure::invalid(resource, text(&object["metadata"], "name"), &causes))
    }

    pub(crate) fn writer<'a>(call: Call<'a>, now: &'a str) -> Writer<'a> {
        let Call { resource, info, options, .. } = call;
        let subresource = if info.verb == "create" { "" } else { info.subresource.as_str() };
        let reset: &[&str] = match subresource {
            "" if resource.has_status() => &["status"],
            "" => &[],
            _ => &["spec"],
        };
        Writer { name: &options.manager, api_version: &resource.api_version, subresource, time: now, reset }
    }
}

fn refuse_terminating(resource: &Resource, name: &str) -> Result<(), Failure> {
    if resource.terminating {
        let why = "create not allowed while custom resource definition is terminating";
        return Err(Failure::forbidden(resource, name, why));
    }
    Ok(())
}

/// Returns the subresource that a path names, or why it cannot be served.
pub(crate) fn subresource<'a>(resource: &'a Resource, info: &Info) -> Result<Option<&'a Subresource>, Failure> {
    if info.subresource.is_empty() {
        return Ok(None);
    }
    resource.subresources.get(info.subresource.as_str()).map(Some).ok_or_else(|| {
        // Custom kinds are answered by a server of their own, which has looked no path up.
        if resource.custom { Failure::not_found(resource, &info.name) } else { Failure::no_such_path() }
    })
}
