//! `roadstead helm rollback`.

use std::time::Duration;

use release::{Event, Info, Release, Status};

use crate::{
    Cluster, Error, Tell,
    args::RollbackArgs,
    history::{History, stamp},
    hooks::Runner,
    objects::{self, Outcome},
    operation::{Operation, Patience},
};

/// How a revision is brought back.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) patience: Patience,
    pub(crate) timeout: Duration,
    pub(crate) cleanup: bool,
    pub(crate) history_max: usize,
}

/// Brings an earlier revision back, as a new one.
pub(crate) async fn run(cluster: &Cluster, args: RollbackArgs, tell: &Tell) -> Result<String, Error> {
    if args.dry_run {
        let history = History::new(cluster);
        let all = history.of(&args.name).await?;
        let (last, old) = ends(&history, &all, &args.name, args.revision)?;
        let context = release::difference::Context(3);
        let changes = release::difference::between(&last.manifest, &old.manifest, &last.namespace, context);
        return Ok(release::difference::text(&changes));
    }
    let options = Options {
        patience: args.wait.patience(false),
        timeout: args.wait.timeout,
        cleanup: args.cleanup_on_fail,
        history_max: args.history_max,
    };
    let release = rollback(cluster, &args.name, args.revision, &options, tell).await?;
    Ok(format!("release {} is at revision {}: {}\n", release.name, release.version, release.info.description))
}

/// Returns the newest revision and the one to bring back; 0 means the one before the newest.
fn ends<'h>(
    history: &History<'_>,
    all: &'h [Release],
    name: &str,
    revision: u32,
) -> Result<(&'h Release, &'h Release), Error> {
    let Some(last) = all.last() else { return Err(history.missing(format!("release {name}"))) };
    let wanted = if revision == 0 { last.version.saturating_sub(1) } else { revision };
    let old = all.iter().find(|release| release.version == wanted);
    old.map(|old| (last, old)).ok_or_else(|| history.missing(format!("revision {wanted} of release {name}")))
}

/// Brings a revision back and returns the new one.
pub(crate) async fn rollback(
    cluster: &Cluster,
    name: &str,
    revision: u32,
    options: &Options,
    tell: &Tell,
) -> Result<Release, Error> {
    let history = History::new(cluster);
    let all = history.of(name).await?;
    let (last, old) = ends(&history, &all, name, revision)?;
    let mut release = Release {
        version: last.version + 1,
        info: Info {
            first_deployed: last.info.first_deployed.clone(),
            last_deployed: stamp(),
            status: Status::PendingRollback,
            notes: old.info.notes.clone(),
            description: format!("Rollback to {}", old.version),
            ..Info::default()
        },
        ..old.clone()
    };
    let before = cluster.place_known(&last.manifest, &last.namespace).await?;
    let mut target = cluster.place(&release.manifest, &release.namespace).await?;
    objects::mark(&mut target, &release);
    history.create(&release, options.history_max).await?;
    let mut outcome = Outcome::default();
    let operation = Operation {
        runner: Runner { cluster, history: &history, timeout: options.timeout, tell },
        patience: options.patience,
        events: (Event::PreRollback, Event::PostRollback),
        before: &before,
        target: &target,
    };
    if let Err(error) = operation.run(&mut release, &mut outcome).await {
        release.set(Status::Failed, format!("Rollback {name:?} failed: {}", error.line()));
        history.update(&release).await?;
        if options.cleanup {
            objects::remove(cluster, outcome.created, "Background").await?;
        }
        return Err(error);
    }
    for mut earlier in all {
        if earlier.info.status == Status::Deployed || earlier.info.status.is_pending() {
            earlier.info.status = Status::Superseded;
            history.update(&earlier).await?;
        }
    }
    release.info.status = Status::Deployed;
    history.update(&release).await?;
    Ok(release)
}
