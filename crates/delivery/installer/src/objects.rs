//! The objects of a release in the cluster: whose they are, what they become, which of them go.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use release::{Release, merge, owner};
use serde_json::Value;

use crate::{
    Cluster, Error,
    cluster::{Mode, Placed},
};

/// How many objects of one kind are written at once.
const AT_ONCE: usize = 8;

/// How often a change is tried again because somebody else changed the object meanwhile.
const TRIES: usize = 8;

/// What came of bringing objects into the cluster.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) created: Vec<Placed>,
    pub(crate) changed: usize,
    pub(crate) same: usize,
    pub(crate) deleted: usize,
}

impl Outcome {
    /// Returns it as people read it.
    pub(crate) fn line(&self) -> String {
        let created = self.created.len();
        format!("{created} created, {} changed, {} as they were, {} deleted", self.changed, self.same, self.deleted)
    }
}

/// Whether objects that are another's may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taking {
    /// They may.
    Over,
    /// They are refused.
    Refused,
}

/// Marks objects as the release's.
pub(crate) fn mark(objects: &mut [Placed], release: &Release) {
    for placed in objects {
        owner::mark(&mut placed.object, &release.name, &release.namespace);
    }
}

/// Checks that nothing of the target that `before` does not have is there and somebody else's, and asks the API
/// server what it would say of each new object, so that a mistake is told before anything is changed.
pub(crate) async fn rehearse(
    cluster: &Cluster,
    before: &[Placed],
    target: &[Placed],
    release: &Release,
    taking: Taking,
) -> Result<(), Error> {
    let new = target.iter().filter(|one| !before.iter().any(|old| old.id == one.id));
    let checks = stream::iter(new.map(|placed| rehearse_one(cluster, placed, release, taking)));
    checks.buffered(AT_ONCE).try_collect::<Vec<()>>().await.map(drop)
}

async fn rehearse_one(cluster: &Cluster, placed: &Placed, release: &Release, taking: Taking) -> Result<(), Error> {
    if let Some(live) = cluster.get(placed).await? {
        let reasons = owner::foreign(&live, &release.name, &release.namespace);
        if taking == Taking::Refused && !reasons.is_empty() {
            return Err(Error::Foreign { object: placed.id.to_string(), reason: reasons.join("; ") });
        }
        return Ok(());
    }
    match cluster.create(placed, Mode::DryRun).await {
        Ok(_) => Ok(()),
        // Its namespace comes with the release, or a webhook cannot be asked without meaning it.
        Err(error) if error.is_because("NotFound") || error.line().contains("does not support dry run") => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the cluster as the target says: kind by kind in the target's order; then deletes what `before` had besides.
pub(crate) async fn bring(
    cluster: &Cluster,
    before: &[Placed],
    target: &[Placed],
    outcome: &mut Outcome,
) -> Result<(), Error> {
    for same_kind in target.chunk_by(|a, b| a.id.kind == b.id.kind) {
        let steps = stream::iter(same_kind.iter().map(|placed| bring_one(cluster, before, placed)));
        let mut steps = steps.buffered(AT_ONCE);
        let mut first = None;
        // All that began is waited for, so that what was created is known also when one fails.
        while let Some(done) = steps.next().await {
            match done {
                Ok(Done::Created(placed)) => outcome.created.push(*placed),
                Ok(Done::Changed) => outcome.changed += 1,
                Ok(Done::Same) => outcome.same += 1,
                Err(error) => first = first.or(Some(error)),
            }
        }
        if let Some(error) = first {
            return Err(error);
        }
    }
    for gone in before.iter().rev().filter(|old| !target.iter().any(|one| one.id == old.id)) {
        let Some(live) = cluster.get(gone).await? else { continue };
        if !owner::is_kept(&live) && cluster.delete(gone, "Background").await? {
            outcome.deleted += 1;
        }
    }
    Ok(())
}

enum Done {
    Created(Box<Placed>),
    Changed,
    Same,
}

async fn bring_one(cluster: &Cluster, before: &[Placed], placed: &Placed) -> Result<Done, Error> {
    let old = before.iter().find(|old| old.id == placed.id).map(|old| &old.object);
    for _ in 0..TRIES {
        let Some(live) = cluster.get(placed).await? else {
            match cluster.create(placed, Mode::Real).await {
                Ok(_) => return Ok(Done::Created(Box::new(placed.clone()))),
                Err(error) if error.is_because("AlreadyExists") => continue,
                Err(error) => return Err(error),
            }
        };
        let Some(mut patch) = merge::patch(&live, &merge::desired(old, &placed.object, &live)) else {
            return Ok(Done::Same);
        };
        // What was merged with is what is patched.
        patch["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        match cluster.change(placed, &patch, Mode::Real).await {
            Ok(after) if version(&after) == version(&live) => return Ok(Done::Same),
            Ok(_) => return Ok(Done::Changed),
            Err(error) if error.is_because("Conflict") => {}
            Err(error) => return Err(error),
        }
    }
    let reason = format!("somebody else changed it {TRIES} times meanwhile; try again");
    Err(Error::Failed { object: placed.id.to_string(), reason })
}

fn version(object: &Value) -> &Value {
    &object["metadata"]["resourceVersion"]
}

/// Deletes objects, last first; returns those that went and those that are to be kept.
pub(crate) async fn remove(
    cluster: &Cluster,
    objects: Vec<Placed>,
    propagation: &str,
) -> Result<(Vec<Placed>, Vec<Placed>), Error> {
    let (kept, gone): (Vec<Placed>, Vec<Placed>) =
        objects.into_iter().partition(|placed| owner::is_kept(&placed.object));
    let mut failures = Vec::new();
    for placed in gone.iter().rev() {
        if let Err(error) = cluster.delete(placed, propagation).await {
            failures.push(error);
        }
    }
    match failures.into_iter().next() {
        Some(error) => Err(error),
        None => Ok((gone, kept)),
    }
}
