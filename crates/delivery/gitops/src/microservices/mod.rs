//! The controller of `Microservice`: the one thing people write becomes a repository and an `Application`.
//!
//! It never touches what runs: that is the `Application`'s. It never throws a repository away: it archives it.

mod build;
mod summarize;
mod validate;

use std::time::Duration;

use base::{
    clock,
    fault::{Chain, Class, Fault},
};
use kube::{
    Client,
    api::{DeleteParams, DynamicObject, Patch},
};
use platform::kinds::{EnvironmentSpec, MicroserviceSpec, MicroserviceStatus, REQUESTED_REPLICAS};
use serde_json::json;

use self::{
    summarize::{Seen, summarize},
    validate::Valid,
};
use crate::{
    cache::Cache,
    content::Fill,
    git::{self, Host},
    objects,
    work::Key,
};

/// Finalizer: the application goes first, then the repository is archived.
const FINALIZER: &str = "platform.io/microservice";
/// The name that fields are applied under.
const MANAGER: &str = "roadstead-microservices";

/// Why a microservice could not be brought to its end in this pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server did not do its part.
    #[error(transparent)]
    Objects(objects::Error),
    /// The git host did not do its part.
    #[error(transparent)]
    Git(git::Error),
}

impl Fault for Error {
    fn class(&self) -> Class {
        match self {
            Error::Objects(error) => error.class(),
            Error::Git(error) => error.class(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Error::Objects(error) => error.code(),
            Error::Git(error) => error.code(),
        }
    }
}

/// What keeps a microservice from being ready: a word and a sentence.
type Problem = (String, String);

pub(crate) struct Controller {
    pub(crate) client: Client,
    pub(crate) host: Host,
    pub(crate) microservices: Cache,
    pub(crate) environments: Cache,
    pub(crate) applications: Cache,
    /// Repository and tag of the image that new services run.
    pub(crate) sample: (String, String),
}

impl Controller {
    /// Brings one microservice a step on.
    pub(crate) async fn reconcile(&self, key: Key) -> Result<Option<Duration>, Error> {
        let Some(service) = self.microservices.get(&key) else { return Ok(None) };
        if service.metadata.deletion_timestamp.is_some() {
            return self.delete(&key, &service).await;
        }
        let api = objects::api(&self.client, &objects::microservice(), &key.namespace);
        if !service.metadata.finalizers.iter().flatten().any(|one| one == FINALIZER) {
            objects::add_finalizer(&api, &service, FINALIZER).await.map_err(Error::Objects)?;
        }
        let mut seen = Seen { generation: service.metadata.generation.unwrap_or(0), ..Seen::default() };
        let result = self.provision(&key, &service, &mut seen).await;
        if let Err(error) = &result {
            seen.problem = Some((error.code().to_owned(), Chain(error).to_string()));
        }
        seen.application = self
            .applications
            .get(&key)
            .map(|application| serde_json::from_value(application.data["status"].clone()).unwrap_or_default());
        seen.now = clock::now_rfc3339();
        self.tell(&key, &service, seen).await?;
        result.map(|()| None)
    }

    /// Sees that repository and application exist and that wishes are committed.
    async fn provision(&self, key: &Key, service: &DynamicObject, seen: &mut Seen) -> Result<(), Error> {
        let (valid, environment) = match self.validate(key, service) {
            Ok(found) => found,
            Err(problem) => {
                seen.problem = Some(problem);
                return Ok(());
            }
        };
        seen.host = Some(format!("{}.{}", key.name, environment.domain));
        seen.repository = Some(valid.repository.to_string());
        if !self.host.exists(&valid.repository) {
            let Some(template) = valid.template else {
                let text =
                    format!("repository {} does not exist, and no template is named to make it from", valid.repository);
                seen.problem = Some(("NoRepository".to_owned(), text));
                return Ok(());
            };
            let spec: MicroserviceSpec =
                serde_json::from_value(service.data["spec"].clone()).unwrap_or_else(|_| empty());
            let files = template.files(&Fill {
                name: key.name.clone(),
                environment: spec.environment,
                host: format!("{}.{}", key.name, environment.domain),
                image_repository: self.sample.0.clone(),
                image_tag: self.sample.1.clone(),
            });
            let message = format!("Begin {} from template {}", key.name, template.name);
            match self.host.create(&valid.repository, &files, &message).await {
                // Somebody else made it in the meantime: it is as good.
                Ok(_) | Err(git::Error::Exists { .. }) => {}
                Err(error) => return Err(Error::Git(error)),
            }
        }
        let uid = service.metadata.uid.clone().unwrap_or_default();
        let wanted = build::application(&key.name, &key.namespace, &uid, &valid, &environment);
        let there = self.applications.get(key);
        if !there.is_some_and(|there| is_as_wanted(&there, &wanted)) {
            let api = objects::api(&self.client, &objects::application(), &key.namespace);
            objects::apply(&api, MANAGER, &wanted).await.map_err(Error::Objects)?;
        }
        self.scale(key, service, &valid, seen).await
    }

    fn validate(&self, key: &Key, service: &DynamicObject) -> Result<(Valid, EnvironmentSpec), Problem> {
        let spec: MicroserviceSpec = serde_json::from_value(service.data["spec"].clone())
            .map_err(|error| ("InvalidSpec".to_owned(), format!("spec cannot be read: {error}")))?;
        let valid = validate::validate(&key.name, &spec).map_err(|(reason, message)| (reason.to_owned(), message))?;
        let owner = self.microservices.all().into_iter().find(|other| {
            let repository = other.data["spec"]["repository"].as_str().or(other.metadata.name.as_deref());
            repository == Some(valid.repository.as_str())
                && Key::of(other) != *key
                && other.metadata.creation_timestamp < service.metadata.creation_timestamp
        });
        if let Some(owner) = owner {
            let text = format!("repository {} belongs to {}; name another one", valid.repository, Key::of(&owner));
            return Err(("RepositoryTaken".to_owned(), text));
        }
        let Some(environment) = self.environments.get(&Key::new("", &spec.environment)) else {
            let text = format!("environment {} does not exist; create it or name another", spec.environment);
            return Err(("NoEnvironment".to_owned(), text));
        };
        match serde_json::from_value(environment.data["spec"].clone()) {
            Ok(environment) => {
                in_its_namespace(key, &spec.environment, environment).map(|environment| (valid, environment))
            }
            Err(error) => Err(("InvalidEnvironment".to_owned(), format!("environment {}: {error}", spec.environment))),
        }
    }

    /// Commits the wish for another number of pods, then takes the wish away.
    async fn scale(&self, key: &Key, service: &DynamicObject, valid: &Valid, seen: &mut Seen) -> Result<(), Error> {
        let wish = service.metadata.annotations.as_ref().and_then(|all| all.get(REQUESTED_REPLICAS));
        let Some(wish) = wish else { return Ok(()) };
        match validate::replicas(wish) {
            Err(text) => {
                seen.problem = Some(("InvalidReplicas".to_owned(), format!("annotation {REQUESTED_REPLICAS}: {text}")));
            }
            Ok(replicas) => {
                let message = format!("Run {replicas} {}", if replicas == 1 { "replica" } else { "replicas" });
                let change = |text: &str| build::with_replicas(text, replicas);
                match self.host.edit(&valid.repository, &valid.revision, "values.yaml", &message, change).await {
                    Ok(commit) => seen.requested_commit = Some(commit.to_string()),
                    Err(error) if error.class() == Class::Stalled => {
                        seen.problem = Some((error.code().to_owned(), Chain(&error).to_string()));
                        return Ok(());
                    }
                    Err(error) => return Err(Error::Git(error)),
                }
                // A newer wish changes the version, and this patch then fails and is tried with it.
                let patch = json!({"metadata": {
                    "annotations": {REQUESTED_REPLICAS: null}, "resourceVersion": service.metadata.resource_version}});
                let api = objects::api(&self.client, &objects::microservice(), &key.namespace);
                match api.patch(&key.name, &objects::named(MANAGER), &Patch::Merge(&patch)).await {
                    Ok(_) => {}
                    // The newer version comes by the watch.
                    Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => {}
                    Err(source) => {
                        return Err(Error::Objects(objects::Error::new("update", "Microservice", key, source)));
                    }
                }
            }
        }
        Ok(())
    }

    async fn delete(&self, key: &Key, service: &DynamicObject) -> Result<Option<Duration>, Error> {
        if !service.metadata.finalizers.iter().flatten().any(|one| one == FINALIZER) {
            return Ok(None);
        }
        let api = objects::api(&self.client, &objects::application(), &key.namespace);
        let there = api
            .get_opt(&key.name)
            .await
            .map_err(|source| Error::Objects(objects::Error::new("read", "Application", key, source)))?;
        if let Some(there) = there.filter(|there| owned_by(there, service)) {
            if there.metadata.deletion_timestamp.is_none() {
                match api.delete(&key.name, &DeleteParams::background()).await {
                    Ok(_) => {}
                    Err(error) if objects::is_not_found(&error) => {}
                    Err(source) => {
                        return Err(Error::Objects(objects::Error::new("delete", "Application", key, source)));
                    }
                }
            }
            // Its end comes by the watch; this is for a watch that broke off.
            return Ok(Some(Duration::from_secs(5)));
        }
        // Only a repository that this service used is put away; another's of that name is left.
        if let Some(name) = service.data["status"]["repository"].as_str().and_then(|name| git::Name::parse(name).ok()) {
            self.host.archive(&name).map_err(Error::Git)?;
        }
        let api = objects::api(&self.client, &objects::microservice(), &key.namespace);
        objects::drop_finalizer(&api, service, FINALIZER).await.map_err(Error::Objects)?;
        Ok(None)
    }

    async fn tell(&self, key: &Key, service: &DynamicObject, seen: Seen) -> Result<(), Error> {
        let old: MicroserviceStatus = serde_json::from_value(service.data["status"].clone()).unwrap_or_default();
        let new = summarize(&old, seen);
        if new == old {
            return Ok(());
        }
        let new = serde_json::to_value(&new).unwrap_or_default();
        let Some(patch) = release::merge::patch(&service.data["status"], &new) else { return Ok(()) };
        let api = objects::api(&self.client, &objects::microservice(), &key.namespace);
        match api.patch_status(&key.name, &objects::named(MANAGER), &Patch::Merge(&json!({ "status": patch }))).await {
            Ok(_) => Ok(()),
            Err(error) if objects::is_not_found(&error) => Ok(()),
            Err(source) => Err(Error::Objects(objects::Error::new("write the status of", "Microservice", key, source))),
        }
    }
}

/// A service stands where it runs, so that whoever may write there decides what runs there.
fn in_its_namespace(key: &Key, name: &str, environment: EnvironmentSpec) -> Result<EnvironmentSpec, Problem> {
    if environment.namespace == key.namespace {
        return Ok(environment);
    }
    let text = format!("environment {name} runs in namespace {}; create the service there", environment.namespace);
    Err(("WrongNamespace".to_owned(), text))
}

fn empty() -> MicroserviceSpec {
    MicroserviceSpec { environment: String::new(), template: None, repository: None, revision: String::new() }
}

fn owned_by(object: &DynamicObject, service: &DynamicObject) -> bool {
    object.metadata.owner_references.iter().flatten().any(|owner| Some(&owner.uid) == service.metadata.uid.as_ref())
}

fn is_as_wanted(there: &DynamicObject, wanted: &serde_json::Value) -> bool {
    let there = serde_json::to_value(there).unwrap_or_default();
    let own = |pointer: &str| there.pointer(pointer) == wanted.pointer(pointer);
    own("/spec") && own("/metadata/labels") && own("/metadata/ownerReferences") && own("/metadata/finalizers")
}
