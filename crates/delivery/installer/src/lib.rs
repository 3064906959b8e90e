//! `roadstead helm`: releases of charts in a cluster, kept as Helm keeps them.
//!
//! Stock `helm` and this crate read and write the same records. What a record means and what an object becomes is
//! decided in `release`; here it is asked for and done.

mod args;
mod cluster;
mod definitions;
mod difference;
mod error;
mod history;
mod hooks;
mod install;
mod objects;
mod operation;
mod prepare;
mod query;
mod rollback;
mod show;
mod stop;
mod test;
mod uninstall;
mod upgrade;
mod wait;

use std::{path::Path, sync::Arc};

pub use args::Verb;
pub use cluster::{Cluster, ClusterArgs};
pub use error::Error;

/// Says what happens, one line at a time; for people.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// Runs a verb and returns what it prints; `tell` gets what happens meanwhile.
///
/// The cluster is that of `--kubeconfig`, else of `$KUBECONFIG`, else of `platform`, the kubeconfig of the platform
/// that runs here, else of `~/.kube/config`.
pub async fn run(verb: Verb, platform: Option<&Path>, tell: Tell) -> Result<String, Error> {
    let cluster = Cluster::connect(verb.cluster(), platform).await?;
    run_on(&cluster, verb, tell).await
}

/// Runs a verb on a cluster that is connected already.
pub async fn run_on(cluster: &Cluster, verb: Verb, tell: Tell) -> Result<String, Error> {
    match verb {
        Verb::Install(args) => install::run(cluster, *args, &tell).await,
        Verb::Upgrade(args) => upgrade::run(cluster, *args, &tell).await,
        Verb::Rollback(args) => rollback::run(cluster, args, &tell).await,
        Verb::Uninstall(args) => uninstall::run(cluster, args, &tell).await,
        Verb::Diff(args) => difference::run(cluster, *args).await,
        Verb::Test(args) => test::run(cluster, args, &tell).await,
        Verb::List(args) => query::list(cluster, &args).await,
        Verb::History(args) => query::history(cluster, &args).await,
        Verb::Status(args) => query::status(cluster, &args).await,
        Verb::Get(args) => query::get(cluster, &args).await,
    }
}
