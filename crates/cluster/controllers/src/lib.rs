//! The cluster's own controllers and its scheduler: Kubernetes clients like any
//! other, on the API alone. None knows which server answers.
//!
//! Each turns what is wanted into requests in a pure function; the file that runs it
//! holds the client.

pub mod deployment;
pub mod endpoints;
pub mod garbage;
pub mod namespace;
mod owner;
pub mod replicaset;
pub mod scheduler;

use std::{sync::Arc, time::Duration};

use base::{
    fault::{Chain, Class, Fault},
    task::{OnError, Tasks},
};
use futures::StreamExt;
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{Namespace, Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, Resource,
    runtime::{
        Controller, WatchStreamExt,
        controller::{Action, Error as RunError},
        reflector::ObjectRef,
        watcher,
    },
};
use tokio_util::sync::CancellationToken;

/// Why a controller could not bring an object to what is wanted.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation}")]
pub struct Error {
    /// What was being done, with the object's name.
    operation: String,
    #[source]
    source: kube::Error,
}

impl Error {
    pub(crate) fn new(operation: impl Into<String>, source: kube::Error) -> Error {
        Error { operation: operation.into(), source }
    }

    /// Returns whether somebody else's write or deletion came first, which the next look sorts out.
    pub fn is_race(&self) -> bool {
        matches!(&self.source, kube::Error::Api(status) if matches!(status.code, 404 | 409))
    }
}

impl Fault for Error {
    fn class(&self) -> Class {
        match &self.source {
            kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422) => {
                Class::Waiting(Duration::from_secs(30))
            }
            _ => Class::Transient,
        }
    }

    fn code(&self) -> &'static str {
        "CTL0001"
    }
}

/// What every controller is given.
#[derive(Clone)]
pub struct Context {
    /// A client that may read and write everything the controllers manage.
    pub client: Client,
    /// The API's certificate authority (PEM), which each namespace gets as `kube-root-ca.crt`.
    pub root_ca: Option<String>,
}

/// Runs all controllers and the scheduler until `stop`.
pub fn run(context: Context, tasks: &Tasks) {
    let stop = tasks.stop();
    let context = Arc::new(context);
    let client = context.client.clone();
    let all = || watcher::Config::default().streaming_lists();

    let namespaces = Controller::new(Api::<Namespace>::all(client.clone()), all());
    start(
        tasks,
        "namespaces",
        namespaces.graceful_shutdown_on(stop.clone().cancelled_owned()).run(
            namespace::reconcile,
            policy,
            context.clone(),
        ),
    );

    let deployments = Controller::new(Api::<Deployment>::all(client.clone()), all())
        .owns(Api::<ReplicaSet>::all(client.clone()), all());
    start(
        tasks,
        "deployments",
        deployments.graceful_shutdown_on(stop.clone().cancelled_owned()).run(
            deployment::reconcile,
            policy,
            context.clone(),
        ),
    );

    let sets =
        Controller::new(Api::<ReplicaSet>::all(client.clone()), all()).owns(Api::<Pod>::all(client.clone()), all());
    start(
        tasks,
        "replicasets",
        sets.graceful_shutdown_on(stop.clone().cancelled_owned()).run(replicaset::reconcile, policy, context.clone()),
    );

    let services = Controller::new(Api::<Service>::all(client.clone()), all());
    let store = services.store();
    let services = services.owns(Api::<EndpointSlice>::all(client.clone()), all()).watches(
        Api::<Pod>::all(client.clone()),
        all(),
        move |pod| {
            let selected: Vec<ObjectRef<Service>> = store
                .state()
                .iter()
                .filter(|service| endpoints::selects(service, &pod))
                .map(|service| ObjectRef::from_obj(service.as_ref()))
                .collect();
            selected
        },
    );
    start(
        tasks,
        "endpoints",
        services.graceful_shutdown_on(stop.clone().cancelled_owned()).run(
            endpoints::reconcile,
            policy,
            context.clone(),
        ),
    );

    tasks.spawn("garbage", OnError::Shutdown, garbage::run(client.clone(), stop.clone()));
    tasks.spawn("scheduler", OnError::Shutdown, Box::pin(schedule(client, stop)));
}

/// Runs one controller's stream. Failures are logged here, once, in one place.
fn start<K>(
    tasks: &Tasks,
    name: &'static str,
    stream: impl futures::Stream<Item = Result<(ObjectRef<K>, Action), RunError<Error, watcher::Error>>> + Send + 'static,
) where
    K: Resource<DynamicType = ()> + 'static,
{
    let run = stream.for_each(move |result| async move {
        match result {
            Ok(_) => {}
            Err(RunError::ReconcilerFailed(error, object)) if error.is_race() => {
                tracing::debug!(controller = name, %object, error = %Chain(&error), "another write came first");
            }
            Err(RunError::ObjectNotFound(object)) => {
                tracing::debug!(controller = name, %object, "the object went meanwhile");
            }
            Err(error) => {
                tracing::warn!(controller = name, error = %Chain(&error), "an object could not be reconciled");
            }
        }
    });
    tasks.spawn(name, OnError::Shutdown, async move {
        run.await;
        Ok::<(), Error>(())
    });
}

/// Chooses when to look again from the error's class alone.
fn policy<K>(_: Arc<K>, error: &Error, _: Arc<Context>) -> Action {
    if error.is_race() {
        return Action::requeue(Duration::from_millis(50));
    }
    error.class().retry_after(3).map_or_else(Action::await_change, Action::requeue)
}

/// Binds pods to nodes until `stop`.
async fn schedule(client: Client, stop: CancellationToken) -> Result<(), Error> {
    let scheduler = scheduler::Scheduler::new(client.clone());
    let pods = watcher(Api::<Pod>::all(client.clone()), watcher::Config::default().streaming_lists()).default_backoff();
    let nodes = watcher(Api::<Node>::all(client), watcher::Config::default().streaming_lists()).default_backoff();
    Box::pin(scheduler.run(pods, nodes, stop)).await
}
