//! Puts the objects of a processed template into a cluster, whichever it is: server-side apply
//! under the manager `roadstead`, namespaces and definitions first.
//!
//! Everything is tried before the first write, and every refusal is told at once, so that
//! nothing is half there. It never processes a template, never prunes, and keeps nothing of
//! what it did: the cluster's objects say it.

mod error;
mod plan;
mod stored;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use base::clock;
use kube::Client;
use serde_json::Value;
use template::Processed;

pub use error::{Error, Refusal};
pub use stored::{Stored, stored};

use crate::{
    plan::{Named, Step},
    wire::{Answer, Wire},
};

/// How long a kind that a template defines may take to be served, and a new namespace to have its service account.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often is looked meanwhile.
const LOOKS: Duration = Duration::from_millis(50);
/// A namespace that every cluster has.
const EVERYWHERE: &str = "default";

/// Whether objects are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    #[default]
    Apply,
    /// They are tried only.
    Trial,
}

/// What happens to fields that somebody else has set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conflicts {
    /// The deployment is refused.
    #[default]
    Refuse,
    /// They are taken over.
    TakeOver,
}

/// What became of an object, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there before.
    Created,
    /// It was another before.
    Configured,
    /// It is as it was.
    Unchanged,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Created => "created",
            Outcome::Configured => "configured",
            Outcome::Unchanged => "unchanged",
        })
    }
}

/// An object and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// Its namespace; empty if it lives in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// Puts the objects of a template into the cluster; those that name no namespace into `namespace`.
///
/// Returns what became of each, in the order in which they were applied.
///
/// # Errors
///
/// All but [`Error::Broken`] mean that nothing was written.
pub async fn deploy(
    client: &Client,
    processed: &Processed,
    namespace: &str,
    mode: Mode,
    conflicts: Conflicts,
) -> Result<Vec<Done>, Error> {
    let wire = Wire::new(client, conflicts);
    let named = plan::read(&processed.objects)?;
    let kinds = kinds(&wire, &named).await?;
    let steps = plan::steps(named, namespace, &kinds);
    let tried = tried(&wire, &steps).await?;
    match mode {
        Mode::Trial => Ok(tried),
        Mode::Apply => applied(&wire, &steps).await,
    }
}

/// Asks how each kind is served; a kind that the template itself defines will be.
async fn kinds(wire: &Wire<'_>, named: &[Named]) -> Result<BTreeMap<plan::Kind, plan::Served>, Error> {
    let mut kinds = plan::defined(named);
    let versions: BTreeSet<&str> = named.iter().map(|one| one.kind.api_version.as_str()).collect();
    for version in versions {
        for (kind, served) in wire.kinds(version).await? {
            // What is served now wins: the definition may say more than is served yet.
            kinds.insert(plan::Kind { api_version: version.to_owned(), kind }, served);
        }
    }
    let unknown: Vec<String> =
        named.iter().filter(|one| !kinds.contains_key(&one.kind)).map(ToString::to_string).collect();
    if unknown.is_empty() { Ok(kinds) } else { Err(Error::Kinds { objects: unknown.join(", ") }) }
}

/// Tries every step without writing; returns what would become of each.
async fn tried(wire: &Wire<'_>, steps: &[Step]) -> Result<Vec<Done>, Error> {
    let (mut done, mut refusals) = (Vec::new(), Vec::new());
    // Namespaces that will only be there when the template's own are applied.
    let mut coming = BTreeSet::new();
    // Namespaces of the template that are refused: nothing more can be said of what is in them.
    let mut missing = BTreeSet::new();
    for step in steps {
        if missing.contains(&step.namespace) {
            continue;
        }
        let outcome = if step.defined_here {
            wire.may_write(step).await?
        } else if coming.contains(&step.namespace) {
            match wire.may_write(step).await? {
                Ok(()) => stood_in(wire, step).await?,
                refused => refused,
            }
        } else {
            let before = wire.live(step).await?;
            match wire.apply(step, &step.path(), &step.object, Mode::Trial).await? {
                Answer::Done { created, object } => {
                    if created && step.is_namespace() {
                        coming.insert(step.name.clone());
                    }
                    done.push(step.done(outcome(created, before.as_ref(), &object)));
                    continue;
                }
                Answer::Refused(refusal) => {
                    if before.is_none() && step.is_namespace() {
                        missing.insert(step.name.clone());
                    }
                    Err(refusal)
                }
            }
        };
        match outcome {
            Ok(()) => done.push(step.done(Outcome::Created)),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if refusals.is_empty() { Ok(done) } else { Err(Error::Refused { refusals }) }
}

/// Tries an object of a namespace that is not there yet in one that is, under a name that nobody has: what is wrong
/// with the object itself comes to light. What that other namespace forbids means nothing here.
async fn stood_in(wire: &Wire<'_>, step: &Step) -> Result<Result<(), Refusal>, Error> {
    let name = plan::stand_in(&step.name, &uuid::Uuid::new_v4().simple().to_string());
    let mut object = step.object.clone();
    object["metadata"]["namespace"] = EVERYWHERE.into();
    object["metadata"]["name"] = name.clone().into();
    Ok(match wire.apply(step, &step.path_of(EVERYWHERE, &name), &object, Mode::Trial).await? {
        Answer::Refused(refusal) if matches!(refusal.code, 400 | 422 | 500) => {
            Err(Refusal { message: refusal.message.replace(&name, &step.name), ..refusal })
        }
        _ => Ok(()),
    })
}

/// Applies every step; the first that fails ends it.
async fn applied(wire: &Wire<'_>, steps: &[Step]) -> Result<Vec<Done>, Error> {
    let mut done: Vec<Done> = Vec::new();
    for step in steps {
        match apply(wire, step).await {
            Ok(Ok(outcome)) => done.push(step.done(outcome)),
            Ok(Err(refusal)) => return Err(Error::Broken { refusal, done }),
            Err(error) => {
                let refusal =
                    Refusal { object: step.to_string(), code: 0, message: base::fault::Chain(&error).to_string() };
                return Err(Error::Broken { refusal, done });
            }
        }
    }
    Ok(done)
}

async fn apply(wire: &Wire<'_>, step: &Step) -> Result<Result<Outcome, Refusal>, Error> {
    let before = wire.live(step).await?;
    let deadline = clock::instant() + PATIENCE;
    loop {
        match wire.apply(step, &step.path(), &step.object, Mode::Apply).await? {
            Answer::Done { created, object } => {
                if step.is_definition() {
                    served(wire, step, deadline).await?;
                }
                return Ok(Ok(outcome(created, before.as_ref(), &object)));
            }
            // A kind that was defined just now, a namespace whose service account is still to come.
            Answer::Refused(refusal) if step.comes_late(&refusal) && clock::instant() < deadline => {
                tokio::time::sleep(LOOKS).await;
            }
            Answer::Refused(refusal) => return Ok(Err(refusal)),
        }
    }
}

/// Waits until the kind of a definition is served.
async fn served(wire: &Wire<'_>, step: &Step, deadline: tokio::time::Instant) -> Result<(), Error> {
    while clock::instant() < deadline {
        let live = wire.live(step).await?.unwrap_or_default();
        let conditions = live["status"]["conditions"].as_array().into_iter().flatten();
        if conditions.into_iter().any(|one| one["type"] == "Established" && one["status"] == "True") {
            return Ok(());
        }
        tokio::time::sleep(LOOKS).await;
    }
    // Who needs the kind says what is missing.
    Ok(())
}

/// Says what became of an object that was `before`.
fn outcome(created: bool, before: Option<&Value>, after: &Value) -> Outcome {
    if created {
        return Outcome::Created;
    }
    let same = before.is_some_and(|before| plan::content(before) == plan::content(after));
    if same { Outcome::Unchanged } else { Outcome::Configured }
}
