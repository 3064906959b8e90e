//! The definitions that a chart brings in `crds/`: created once, and brought up to date if asked.
//!
//! Helm creates them and never looks at them again; here an upgrade tells how they differ, and `--upgrade-crds` makes
//! them the chart's.

use std::time::Duration;

use release::{
    definition::{Step, step},
    ready::Jobs,
};
use serde_json::Value;

use crate::{
    Cluster, Error, Tell,
    cluster::{Mode, Placed},
    wait,
};

/// How long a definition may take to be served.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether definitions that differ become the chart's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Differing {
    /// They stay as they are, as with Helm, and what differs is told.
    Told,
    /// They become the chart's.
    Changed,
}

/// Creates the definitions that are missing, and changes or tells those that differ; waits until they are served.
pub(crate) async fn bring(
    cluster: &Cluster,
    definitions: Vec<Value>,
    differing: Differing,
    tell: &Tell,
) -> Result<(), Error> {
    let mut steps = Vec::new();
    for definition in definitions {
        let placed = cluster.place_one(definition, &cluster.namespace).await?;
        let live = cluster.get(&placed).await?;
        let step = step(&placed.object, live.as_ref());
        if let (Step::Refuse { reason }, Differing::Changed) = (&step, differing) {
            return Err(Error::Definition { name: placed.id.name, reason: reason.clone() });
        }
        steps.push((placed, step));
    }
    let mut touched = Vec::new();
    for (placed, step) in steps {
        match step {
            Step::Nothing => {}
            Step::Create => {
                match cluster.create(&placed, Mode::Real).await {
                    Ok(_) => tell(&format!("definition {} is created", placed.id.name)),
                    Err(error) if error.is_because("AlreadyExists") => {}
                    Err(error) => return Err(error),
                }
                touched.push(placed);
            }
            Step::Change { patch, what } if differing == Differing::Changed => {
                cluster.change(&placed, &patch, Mode::Real).await?;
                tell(&format!("definition {}: {}", placed.id.name, what.join(", ")));
                touched.push(placed);
            }
            Step::Change { what, .. } => differs(&placed, &what.join(", "), tell),
            Step::Refuse { reason } => differs(&placed, &reason, tell),
        }
    }
    if touched.is_empty() {
        return Ok(());
    }
    wait::ready(cluster, &touched, Jobs::Ignored, PATIENCE, tell).await?;
    cluster.forget_kinds();
    Ok(())
}

fn differs(placed: &Placed, what: &str, tell: &Tell) {
    let name = &placed.id.name;
    tell(&format!(
        "warning: definition {name} is not the chart's ({what}); 'roadstead helm upgrade --upgrade-crds' makes it so"
    ));
}
