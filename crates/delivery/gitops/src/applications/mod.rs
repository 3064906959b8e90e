//! The controller of Argo CD's `Application`: fetch, render, plan, apply, tell.
//!
//! It never prunes on doubt: not when a source cannot be read or rendered, not when a
//! kind is unknown, not when a source renders to nothing unless that is allowed.

mod apply;
mod build;
mod health;
mod live;
mod plan;
mod summarize;
mod validate;

use std::{collections::HashMap, sync::Arc, time::Duration};

use base::{
    clock,
    fault::{Chain, Class, Fault},
    task::Tasks,
};
use kube::{
    Client,
    api::{ApiResource, DynamicObject, Patch},
    core::GroupVersionKind,
};
use parking_lot::Mutex;
use platform::argo::{AppProjectSpec, ApplicationCondition, ApplicationStatus};
use serde_json::{Value, json};

use self::{
    apply::{Allowed, Propagation},
    live::{Applied, CONTROL_NAMESPACE, Watches, tracking_name},
    plan::{Desired, Live, MANAGER, Plan, Ref, has_option},
    summarize::{Seen, summarize},
    validate::{Valid, condition},
};
use crate::{
    cache::Cache,
    git::{self, Host},
    objects::{self, Kinds},
    work::{Key, Queue},
};

/// Finalizer that asks for an application's objects to be deleted with it.
pub(crate) const FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";
/// Annotation that asks for a new look at once.
const REFRESH: &str = "argocd.argoproj.io/refresh";
/// Applications that are worked on at one time.
pub(crate) const CONCURRENCY: usize = 8;

/// Why an application could not be brought to its end in this pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server did not do its part.
    #[error(transparent)]
    Objects(objects::Error),
    /// A git repository could not be read.
    #[error(transparent)]
    Git(git::Error),
    /// Some objects could not be applied; the status names them.
    #[error("the sync failed: {message}")]
    Sync {
        /// What the first failure was.
        message: String,
        /// What to do about it.
        class: Class,
    },
}

impl Fault for Error {
    fn class(&self) -> Class {
        match self {
            Error::Objects(error) => error.class(),
            Error::Git(error) => error.class(),
            Error::Sync { class, .. } => *class,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Error::Objects(error) => error.code(),
            Error::Git(error) => error.code(),
            Error::Sync { .. } => "DEL0003",
        }
    }
}

/// What is remembered of an application between passes.
#[derive(Default)]
struct Memory {
    rendered: Option<(String, Arc<build::Built>)>,
    applied: Applied,
}

pub(crate) struct Controller {
    client: Client,
    host: Host,
    kinds: Kinds,
    applications: Cache,
    projects: Cache,
    watches: Watches,
    memory: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<Memory>>>>,
    kube_version: String,
}

/// What is wanted, or why that is not known.
struct Wanted {
    desired: Vec<Desired>,
    /// Kinds that the API server does not have.
    unknown: Vec<String>,
    built: Arc<build::Built>,
}

impl Controller {
    pub(crate) fn new(
        client: &Client,
        host: &Host,
        tasks: &Tasks,
        queue: &Queue,
        applications: Cache,
        kube_version: String,
    ) -> Self {
        let projects_queue = queue.clone();
        let all = applications.clone();
        let projects = Cache::watch(tasks, client, objects::app_project(), move |_| {
            all.all().iter().for_each(|application| projects_queue.add(Key::of(application)));
        });
        Self {
            client: client.clone(),
            host: host.clone(),
            kinds: Kinds::new(client.clone()),
            applications,
            projects,
            watches: Watches::new(client.clone(), tasks.clone(), queue.clone()),
            memory: Mutex::default(),
            kube_version,
        }
    }

    /// Waits until the caches are filled.
    pub(crate) async fn ready(&self) {
        self.projects.ready().await;
    }

    /// Brings one application a step on.
    pub(crate) async fn reconcile(&self, key: Key) -> Result<Option<Duration>, Error> {
        let Some(application) = self.applications.get(&key) else {
            self.memory.lock().remove(&key);
            return Ok(None);
        };
        let old: ApplicationStatus = serde_json::from_value(application.data["status"].clone()).unwrap_or_default();
        if application.metadata.deletion_timestamp.is_some() {
            return self.delete(&key, &application, &old).await;
        }
        let memory = self.memory.lock().entry(key.clone()).or_default().clone();
        let mut memory = memory.lock().await;
        let refresh = application.metadata.annotations.as_ref().and_then(|all| all.get(REFRESH)).cloned();
        if let Some(kind) = &refresh {
            self.host.forget();
            if kind == "hard" {
                *memory = Memory::default();
            }
        }
        let valid = match self.validate(&application) {
            Ok(valid) => valid,
            Err(conditions) => {
                let seen = Seen { conditions, now: clock::now_rfc3339(), ..Seen::default() };
                self.tell(&key, &application, &old, &summarize(&old, seen)).await?;
                return Ok(None);
            }
        };
        let asked = asked(&application);
        let result = self.compare_and_sync(&key, &application, &old, &valid, &mut memory).await;
        if asked.is_some() {
            self.patch(&key, &json!({"operation": null})).await?;
        }
        if refresh.is_some() {
            let patch = json!({"metadata": {"annotations": {REFRESH: null}}});
            self.patch(&key, &patch).await?;
        }
        result
    }

    fn validate(&self, application: &DynamicObject) -> Result<Valid, Vec<ApplicationCondition>> {
        let valid = validate::validate(application)?;
        let project = self.project(&valid.project).ok_or_else(|| {
            vec![condition(
                "InvalidSpecError",
                format!("application references project {} which does not exist", valid.project),
            )]
        })?;
        let mistakes = validate::permits(&project, &valid);
        if mistakes.is_empty() { Ok(valid) } else { Err(mistakes) }
    }

    fn project(&self, name: &str) -> Option<AppProjectSpec> {
        let project = self.projects.get(&Key::new(CONTROL_NAMESPACE, name))?;
        serde_json::from_value(project.data["spec"].clone()).ok()
    }

    async fn compare_and_sync(
        &self,
        key: &Key,
        application: &DynamicObject,
        old: &ApplicationStatus,
        valid: &Valid,
        memory: &mut Memory,
    ) -> Result<Option<Duration>, Error> {
        let mut seen = Seen { several: valid.several, history: valid.history, ..Seen::default() };
        let wanted = match self.wanted(key, validate::confined_to(application), valid, memory, &mut seen).await {
            Ok(wanted) => wanted,
            Err((message, error)) => {
                seen.conditions.push(condition("ComparisonError", message));
                seen.now = clock::now_rfc3339();
                self.tell(key, application, old, &summarize(old, seen)).await?;
                return error.map_or(Ok(None), Err);
            }
        };
        self.watch(old, &wanted.desired).await?;
        let live_of =
            |one: &Desired, applied: &Applied| applied.newest(&one.id, self.watches.get(&one.resource, &one.id));
        let owned = self.watches.owned(key);
        let mut plan = plan::plan(
            &wanted.desired,
            |id| {
                let one = wanted.desired.iter().find(|one| one.id == *id)?;
                live_of(one, &memory.applied)
            },
            owned,
        );
        plan.apply.retain(|index| {
            let one = &wanted.desired[*index];
            !live_of(one, &memory.applied).is_some_and(|live| memory.applied.untouched(&one.id, &one.object, &live))
        });
        for kind in &wanted.unknown {
            let text = format!("the API server has no kind {kind}; install its CustomResourceDefinition");
            seen.conditions.push(condition("SyncError", text));
        }

        let mut failure = None;
        if let Some(allowed) = may_sync(valid, asked(application), old, &seen, &wanted, &plan) {
            let (operation, error) = self.sync(valid, &wanted, &plan, allowed, memory).await;
            if let Some(error) = &error {
                seen.conditions.push(condition("SyncError", error.to_string()));
            }
            seen.operation = Some(operation);
            failure = error;
        } else if wanted.desired.is_empty() && !plan.prune.is_empty() && !valid.allow_empty {
            let text =
                "auto-sync will wipe out all resources: the source renders to nothing, and allowEmpty is not set";
            seen.conditions.push(condition("SyncError", text));
        }

        let synced = seen.operation.is_some();
        let extra: Vec<&Live> = plan
            .prune
            .iter()
            .filter(|one| !has_option(&one.object, "Prune=false"))
            .filter(|one| !synced || !valid.prune || self.watches.get(&one.resource, &one.id).is_some())
            .collect();
        seen.wanted = Some(
            wanted
                .desired
                .iter()
                .map(|one| {
                    let live = live_of(one, &memory.applied);
                    let differs = live.as_ref().is_none_or(|live| {
                        !memory.applied.untouched(&one.id, &one.object, live) && plan::differs(&one.object, live)
                    });
                    (one, live, differs)
                })
                .collect(),
        );
        seen.extra = extra;
        seen.source_type = Some(wanted.built.source_type);
        seen.now = clock::now_rfc3339();
        let retry = (!wanted.unknown.is_empty()).then_some(Duration::from_secs(5)).or_else(|| memory.applied.unsure());
        let status = summarize(old, seen);
        self.tell(key, application, old, &status).await?;
        failure.map_or(Ok(retry), Err)
    }

    async fn sync(
        &self,
        valid: &Valid,
        wanted: &Wanted,
        plan: &Plan,
        allowed: Allowed,
        memory: &mut Memory,
    ) -> ((&'static str, String), Option<Error>) {
        if let (true, Some(namespace)) = (valid.create_namespace, &valid.destination.namespace)
            && let Err(error) = apply::ensure_namespace(&self.client, namespace).await
        {
            let message = Chain(&error).to_string();
            let class = error.class();
            return (("Failed", message.clone()), Some(Error::Sync { message, class }));
        }
        let watches = &self.watches;
        let live = |one: &Desired, applied: &Applied| applied.newest(&one.id, watches.get(&one.resource, &one.id));
        let done = apply::run(&self.client, &wanted.desired, plan, allowed, &mut memory.applied, live).await;
        if let Some(first) = done.failures.first() {
            let more = done.failures.len() - 1;
            let mut message = Chain(first).to_string();
            if more > 0 {
                message = format!("{message} (and {more} more)");
            }
            // What the API server refuses now may be right once something else is there.
            let class = match first.class() {
                Class::Stalled => Class::Waiting(Duration::from_secs(30)),
                other => other,
            };
            return (("Failed", message.clone()), Some(Error::Sync { message, class }));
        }
        if let Some(waiting) = done.waiting {
            return (("Running", waiting), None);
        }
        let message = format!("successfully synced: {} applied, {} pruned", done.applied, done.pruned);
        (("Succeeded", message), None)
    }

    /// Fetches and renders. An error is its text for the status, and what to do about it if that is not to wait for a
    /// change.
    async fn wanted(
        &self,
        key: &Key,
        confined: Option<&str>,
        valid: &Valid,
        memory: &mut Memory,
        seen: &mut Seen<'_>,
    ) -> Result<Wanted, (String, Option<Error>)> {
        let git = |error: git::Error| (Chain(&error).to_string(), Some(Error::Git(error)));
        let mut commits = Vec::new();
        for source in &valid.sources {
            commits.push(self.host.resolve(&source.repository, &source.revision).await.map_err(git)?);
        }
        seen.revisions = commits.iter().map(|commit| commit.as_str().to_owned()).collect();
        let cause = format!("{:?} {:?} {:?}", seen.revisions, valid.sources, valid.destination.namespace);
        let built = match &memory.rendered {
            Some((known, built)) if *known == cause => built.clone(),
            _ => {
                let mut trees = Vec::new();
                for (source, commit) in valid.sources.iter().zip(&commits) {
                    trees.push(self.host.tree(&source.repository, commit).await.map_err(git)?);
                }
                let inputs = build::Inputs {
                    application: key.name.clone(),
                    valid: valid.clone(),
                    trees,
                    kube_version: self.kube_version.clone(),
                    api_versions: self
                        .kinds
                        .api_versions()
                        .await
                        .map_err(|error| (Chain(&error).to_string(), Some(Error::Objects(error))))?,
                };
                let built = tokio::task::spawn_blocking(move || build::build(&inputs))
                    .await
                    .map_err(|error| (format!("the render broke off: {error}"), None))?
                    .map_err(|text| (text, None))?;
                let built = Arc::new(built);
                memory.rendered = Some((cause, built.clone()));
                built
            }
        };
        self.place(key, confined, valid, built).await
    }

    /// Finds each object's resource and namespace, and marks it.
    async fn place(
        &self,
        key: &Key,
        confined: Option<&str>,
        valid: &Valid,
        built: Arc<build::Built>,
    ) -> Result<Wanted, (String, Option<Error>)> {
        let project = self.project(&valid.project).unwrap_or_default();
        let application = tracking_name(key);
        let mut wanted = Wanted { desired: Vec::new(), unknown: Vec::new(), built: built.clone() };
        for object in &built.objects {
            let (version, kind) =
                (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default());
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let found = self
                .kinds
                .find(&GroupVersionKind::gvk(group, version, kind))
                .await
                .map_err(|error| (Chain(&error).to_string(), Some(Error::Objects(error))))?;
            let Some((resource, namespaced)) = found else {
                wanted.unknown.push(format!("{kind} in {}", object["apiVersion"].as_str().unwrap_or_default()));
                continue;
            };
            if !validate::kind_allowed(&project, group, kind, namespaced) {
                return Err((
                    format!("kind {kind} (group '{group}') is not permitted in project '{}'", valid.project),
                    None,
                ));
            }
            let mut object = object.clone();
            let mut namespace = String::new();
            if namespaced {
                let own = object["metadata"]["namespace"].as_str().filter(|own| !own.is_empty());
                own.or(valid.destination.namespace.as_deref()).unwrap_or("default").clone_into(&mut namespace);
                if !validate::destination_allowed(&project, &namespace) {
                    return Err((
                        format!("namespace {namespace} is not permitted in project '{}'", valid.project),
                        None,
                    ));
                }
                if confined.is_some_and(|own| own != namespace) {
                    return Err((
                        format!("{kind} in namespace {namespace}: the application may not leave its own"),
                        None,
                    ));
                }
                object["metadata"]["namespace"] = json!(namespace);
            } else if let Some(own) = confined {
                let text = format!("{kind} belongs to no namespace: the application may not leave its own, {own}");
                return Err((text, None));
            } else if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("namespace");
            }
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let id = Ref { group: group.to_owned(), kind: kind.to_owned(), namespace, name };
            build::track(&mut object, &id.tracking_id(&application));
            wanted.desired.push(Desired { id, resource, object });
        }
        Ok(wanted)
    }

    /// Sees that every kind is watched that the application has or had.
    async fn watch(&self, old: &ApplicationStatus, desired: &[Desired]) -> Result<(), Error> {
        let mut resources: Vec<ApiResource> = desired.iter().map(|one| one.resource.clone()).collect();
        for resource in &old.resources {
            let kind = GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
            // A kind that is gone has taken its objects along.
            if let Some((resource, _)) = self.kinds.find(&kind).await.map_err(Error::Objects)? {
                resources.push(resource);
            }
        }
        for resource in resources {
            self.watches.ensure(&resource).await;
        }
        Ok(())
    }

    async fn delete(
        &self,
        key: &Key,
        application: &DynamicObject,
        old: &ApplicationStatus,
    ) -> Result<Option<Duration>, Error> {
        let finalizers = application.metadata.finalizers.clone().unwrap_or_default();
        let Some(own) = finalizers
            .iter()
            .find(|one| **one == FINALIZER || one.starts_with("resources-finalizer.argocd.argoproj.io/"))
        else {
            return Ok(None);
        };
        self.watch(old, &[]).await?;
        let left: Vec<Live> =
            self.watches.owned(key).into_iter().filter(|one| !has_option(&one.object, "Delete=false")).collect();
        if left.is_empty() {
            let api = objects::api(&self.client, &objects::application(), &key.namespace);
            objects::drop_finalizer(&api, application, own).await.map_err(Error::Objects)?;
            return Ok(None);
        }
        let propagation = if own.ends_with("/foreground") { Propagation::Foreground } else { Propagation::Background };
        for one in &left {
            apply::delete(&self.client, one, propagation).await.map_err(Error::Objects)?;
        }
        // The watches bring it back when they are gone; this is for a watch that broke off.
        Ok(Some(Duration::from_secs(5)))
    }

    async fn tell(
        &self,
        key: &Key,
        application: &DynamicObject,
        old: &ApplicationStatus,
        new: &ApplicationStatus,
    ) -> Result<(), Error> {
        if old == new && application.data["status"].is_object() {
            return Ok(());
        }
        let new = serde_json::to_value(new).unwrap_or(Value::Null);
        match release::merge::patch(&application.data["status"], &new) {
            Some(patch) => self.patch(key, &json!({ "status": patch })).await,
            None => Ok(()),
        }
    }

    async fn patch(&self, key: &Key, patch: &Value) -> Result<(), Error> {
        let api = objects::api(&self.client, &objects::application(), &key.namespace);
        match api.patch(&key.name, &objects::named(MANAGER), &Patch::Merge(patch)).await {
            Ok(_) => Ok(()),
            Err(error) if objects::is_not_found(&error) => Ok(()),
            Err(source) => Err(Error::Objects(objects::Error::new("write the status of", "Application", key, source))),
        }
    }
}

/// A sync that somebody asks for by hand (`operation.sync`).
#[derive(Clone, Copy)]
struct Asked {
    prune: bool,
}

fn asked(application: &DynamicObject) -> Option<Asked> {
    let sync = application.data["operation"]["sync"].as_object()?;
    Some(Asked { prune: sync.get("prune").and_then(Value::as_bool).unwrap_or(false) })
}

/// Decides whether to sync, and what the sync may do.
fn may_sync(
    valid: &Valid,
    asked: Option<Asked>,
    old: &ApplicationStatus,
    seen: &Seen<'_>,
    wanted: &Wanted,
    plan: &Plan,
) -> Option<Allowed> {
    if !valid.automated && asked.is_none() {
        return None;
    }
    // An unknown kind may hide objects that are wanted: nothing is deleted meanwhile.
    let prune = (valid.prune || asked.is_some_and(|asked| asked.prune)) && wanted.unknown.is_empty();
    let there =
        |one: &&Live| !has_option(&one.object, "Prune=false") && one.object["metadata"]["deletionTimestamp"].is_null();
    let prunes = prune && plan.prune.iter().any(|one| there(&one));
    if plan.apply.is_empty() && !prunes && asked.is_none() {
        return None;
    }
    if wanted.desired.is_empty() && !valid.allow_empty {
        return None;
    }
    let last = old
        .operation_state
        .as_ref()
        .filter(|state| state.phase == "Succeeded")
        .and_then(|state| state.sync_result.as_ref());
    let same = last.is_some_and(|last| {
        if seen.several { last.revisions == seen.revisions } else { last.revision.as_ref() == seen.revisions.first() }
    });
    if same && !valid.self_heal && asked.is_none() {
        return None;
    }
    let propagation = if valid.foreground { Propagation::Foreground } else { Propagation::Background };
    Some(Allowed { prune, prune_last: valid.prune_last, propagation })
}
