//! A revision comes into the cluster: hooks, objects, waiting, hooks; the same for each verb that brings one.

use release::{Event, Release, ready::Jobs};

use crate::{
    Error,
    args::WaitArgs,
    cluster::Placed,
    hooks::Runner,
    objects::{self, Outcome},
    stop, wait,
};

/// What is run and waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) hooks: bool,
    /// Whether objects have to be ready, and Jobs complete.
    pub(crate) wait: Option<Jobs>,
}

impl WaitArgs {
    /// Returns what the flags ask for; what is undone when it fails is waited for in any case.
    pub(crate) fn patience(&self, atomic: bool) -> Patience {
        let jobs = if self.wait_for_jobs { Jobs::Awaited } else { Jobs::Ignored };
        Patience { hooks: !self.no_hooks, wait: (self.wait || atomic).then_some(jobs) }
    }
}

/// One revision on its way.
pub(crate) struct Operation<'o> {
    pub(crate) runner: Runner<'o>,
    pub(crate) patience: Patience,
    /// The hooks before and after.
    pub(crate) events: (Event, Event),
    /// What the last revision has in the cluster.
    pub(crate) before: &'o [Placed],
    /// What this one has there.
    pub(crate) target: &'o [Placed],
}

impl Operation<'_> {
    /// Makes the cluster as the revision says; `outcome` tells what was done also when it fails or is interrupted.
    pub(crate) async fn run(&self, release: &mut Release, outcome: &mut Outcome) -> Result<(), Error> {
        stop::or_interrupted(self.steps(release, outcome)).await
    }

    async fn steps(&self, release: &mut Release, outcome: &mut Outcome) -> Result<(), Error> {
        let Runner { cluster, timeout, tell, .. } = self.runner;
        if self.patience.hooks {
            self.runner.run(release, self.events.0).await?;
        }
        objects::bring(cluster, self.before, self.target, outcome).await?;
        tell(&format!("objects: {}", outcome.line()));
        if let Some(jobs) = self.patience.wait {
            wait::ready(cluster, self.target, jobs, timeout, tell).await?;
        }
        if self.patience.hooks {
            self.runner.run(release, self.events.1).await?;
        }
        Ok(())
    }
}
