//! From git to the cluster: the git host, and the controllers of `Environment`, `Microservice` and Argo CD's
//! `Application`.
//!
//! It speaks to the cluster through a Kubernetes client only and to git through child processes only. It never
//! builds images and never routes traffic.

mod applications;
mod cache;
mod conditions;
mod content;
mod environments;
pub mod git;
mod microservices;
mod objects;
mod seed;
mod work;

use std::{path::PathBuf, sync::Arc, time::Duration};

use base::{
    clock,
    fault::{Chain, Class, Fault},
    task::{OnError, Tasks},
};
use kube::Client;
use platform::kinds::MICROSERVICE_LABEL;
use tokio_util::sync::CancellationToken;

pub use content::{Template, templates};
pub use objects::Error as ObjectError;
pub use seed::Error as SeedError;

use crate::{
    cache::Cache,
    git::Host,
    work::{Key, Queue},
};

/// How long running work may take to finish when delivery stops.
const GRACE: Duration = Duration::from_secs(10);
/// How often everything is looked at without a reason, for changes that were missed.
const RESYNC: Duration = Duration::from_mins(3);
/// Microservices and environments that are worked on at one time.
const CONCURRENCY: usize = 8;

/// What delivery needs to start.
#[derive(Clone)]
pub struct Config {
    /// A client that may do everything in the cluster.
    pub client: Client,
    /// The platform's data folder; repositories lie in `git/` below it.
    pub data: PathBuf,
    /// The image of new services, with a tag: `registry.cluster.local/sample:1`.
    pub sample_image: String,
    /// The cluster's version, for `.Capabilities.KubeVersion`: `v1.36.0`.
    pub kube_version: String,
}

/// Why delivery could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The git host could not be opened.
    #[error("the git host cannot be opened")]
    Git {
        /// The host's error.
        source: git::Error,
    },
    /// The image of new services is not one.
    #[error("image {image:?} is not a repository with a tag, such as registry.cluster.local/sample:1")]
    Image {
        /// What was given.
        image: String,
    },
}

impl Fault for Error {
    fn class(&self) -> Class {
        match self {
            Error::Git { source } => source.class(),
            Error::Image { .. } => Class::Stalled,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Error::Git { source } => source.code(),
            Error::Image { .. } => "DEL0006",
        }
    }
}

/// Delivery, ready to run.
pub struct Gitops {
    client: Client,
    host: Host,
    sample: (String, String),
    kube_version: String,
    tasks: Tasks,
}

/// A hold on a running delivery. Clones share it.
#[derive(Clone)]
pub struct Handle {
    host: Host,
}

impl Handle {
    /// Returns the git host.
    pub fn host(&self) -> Host {
        self.host.clone()
    }
}

impl Gitops {
    /// Checks the configuration and opens the git host.
    pub fn build(config: Config) -> Result<Self, Error> {
        let host = Host::open(config.data.join("git")).map_err(|source| Error::Git { source })?;
        let sample = split_image(&config.sample_image).ok_or(Error::Image { image: config.sample_image })?;
        Ok(Self { client: config.client, host, sample, kube_version: config.kube_version, tasks: Tasks::new() })
    }

    /// Returns git's smart HTTP below `/git/`.
    pub fn router(&self) -> axum::Router {
        git::http::router(self.host.clone(), self.client.clone(), self.tasks.clone())
    }

    /// Returns a hold on it.
    pub fn handle(&self) -> Handle {
        Handle { host: self.host.clone() }
    }

    /// Runs until `stop`; then lets what runs finish for a while.
    ///
    /// The definitions of the kinds (`platform::crds`) must be in the cluster. What is missing of the platform's own
    /// objects is put in place first, for as long as that takes.
    pub async fn run(self, stop: CancellationToken) {
        let tasks = self.tasks.clone();
        let work = async {
            self.seed().await;
            self.start().await;
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tasks.stop().cancelled_owned() => {}
        }
        if !tasks.shut_down(GRACE).await {
            tracing::warn!("some work of delivery did not end in time");
        }
    }

    async fn seed(&self) {
        let mut attempt = 0;
        loop {
            let result = match seed::charts(&self.host).await {
                Ok(()) => seed::cluster(&self.client, &format!("{}:{}", self.sample.0, self.sample.1)).await,
                Err(error) => Err(error),
            };
            let Err(error) = result else { return };
            let wait =
                error.class().retry_after(attempt).unwrap_or(Duration::from_secs(2)).min(Duration::from_secs(10));
            tracing::warn!(code = error.code(), error = %Chain(&error), ?wait, "delivery cannot start yet");
            tokio::time::sleep_until(clock::instant() + wait).await;
            attempt += 1;
        }
    }

    async fn start(&self) {
        let (client, tasks) = (&self.client, &self.tasks);
        let (applications_queue, microservices_queue, environments_queue) =
            (Queue::default(), Queue::default(), Queue::default());

        let (own, theirs) = (applications_queue.clone(), microservices_queue.clone());
        let applications = Cache::watch(tasks, client, objects::application(), move |application| {
            own.add(Key::of(application));
            if application.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(MICROSERVICE_LABEL)) {
                theirs.add(Key::of(application));
            }
        });
        let queue = microservices_queue.clone();
        let microservices = Cache::watch(tasks, client, objects::microservice(), move |one| queue.add(Key::of(one)));
        let (queue, theirs, all) = (environments_queue.clone(), microservices_queue.clone(), microservices.clone());
        let environments = Cache::watch(tasks, client, objects::environment(), move |one| {
            queue.add(Key::of(one));
            all.all().iter().for_each(|service| theirs.add(Key::of(service)));
        });
        let controller = Arc::new(applications::Controller::new(
            client,
            &self.host,
            tasks,
            &applications_queue,
            applications.clone(),
            self.kube_version.clone(),
        ));
        for cache in [&applications, &microservices, &environments] {
            cache.ready().await;
        }
        controller.ready().await;

        self.follow_pushes(&applications, &applications_queue);
        let stop = tasks.stop();
        tasks.spawn("applications", OnError::Shutdown, async move {
            let reconcile = |key| {
                let controller = controller.clone();
                async move { controller.reconcile(key).await }
            };
            work::run("applications", applications_queue, applications::CONCURRENCY, stop, reconcile).await;
            Ok::<(), String>(())
        });
        let controller = Arc::new(microservices::Controller {
            client: client.clone(),
            host: self.host.clone(),
            microservices,
            environments: environments.clone(),
            applications,
            sample: self.sample.clone(),
        });
        let stop = tasks.stop();
        tasks.spawn("microservices", OnError::Shutdown, async move {
            let reconcile = |key| {
                let controller = controller.clone();
                async move { controller.reconcile(key).await }
            };
            work::run("microservices", microservices_queue, CONCURRENCY, stop, reconcile).await;
            Ok::<(), String>(())
        });
        let controller = Arc::new(environments::Controller { client: client.clone(), environments });
        let stop = tasks.stop();
        tasks.spawn("environments", OnError::Shutdown, async move {
            let reconcile = |key| {
                let controller = controller.clone();
                async move { controller.reconcile(key).await }
            };
            work::run("environments", environments_queue, CONCURRENCY, stop, reconcile).await;
            Ok::<(), String>(())
        });
    }

    /// Queues the applications that use a repository when it changes, and all of them now and then.
    fn follow_pushes(&self, applications: &Cache, queue: &Queue) {
        let (host, stop) = (self.host.clone(), self.tasks.stop());
        let (applications, queue) = (applications.clone(), queue.clone());
        let mut changes = host.changes();
        self.tasks.spawn("pushes", OnError::Shutdown, async move {
            loop {
                let changed = tokio::select! {
                    () = stop.cancelled() => return Ok::<(), String>(()),
                    () = tokio::time::sleep_until(clock::instant() + RESYNC) => None,
                    change = changes.recv() => match change {
                        Ok(name) => Some(git::url_of(&name)),
                        // Too many at once to tell them apart: all are looked at.
                        Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => None,
                        Err(tokio::sync::broadcast::error::RecvError::Closed) => return Ok(()),
                    },
                };
                if changed.is_none() {
                    host.forget();
                }
                for application in applications.all() {
                    if changed.as_deref().is_none_or(|url| uses(&application, url)) {
                        queue.add(Key::of(&application));
                    }
                }
            }
        });
    }
}

fn uses(application: &kube::api::DynamicObject, url: &str) -> bool {
    let spec = &application.data["spec"];
    let several = spec["sources"].as_array().into_iter().flatten();
    let mut urls = several.chain([&spec["source"]]).filter_map(|source| source["repoURL"].as_str());
    urls.any(|used| git::repository_of(used).is_some_and(|name| git::url_of(&name) == url))
}

/// Splits an image into repository and tag.
fn split_image(image: &str) -> Option<(String, String)> {
    let (repository, tag) = image.rsplit_once(':')?;
    let valid = !repository.is_empty() && !tag.is_empty() && !tag.contains('/') && !repository.contains('@');
    valid.then(|| (repository.to_owned(), tag.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_needs_a_tag() {
        assert_eq!(split_image("r.local:5000/sample:1"), Some(("r.local:5000/sample".into(), "1".into())));
        assert_eq!(split_image("r.local:5000/sample"), None);
        assert_eq!(split_image("sample@sha256:abc"), None);
    }
}
