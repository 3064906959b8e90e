//! `roadstead helm uninstall`.

use std::{fmt::Write as _, time::Duration};

use release::{Event, Release, Status};

use crate::{
    Cluster, Error, Tell,
    args::{Cascade, UninstallArgs},
    history::{History, stamp},
    hooks::Runner,
    objects, stop, wait,
};

/// How a release is taken away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) hooks: bool,
    pub(crate) keep_history: bool,
    pub(crate) wait: bool,
    pub(crate) timeout: Duration,
    pub(crate) cascade: Cascade,
    pub(crate) description: Option<String>,
}

/// Takes releases away.
pub(crate) async fn run(cluster: &Cluster, args: UninstallArgs, tell: &Tell) -> Result<String, Error> {
    let options = Options {
        hooks: !args.no_hooks,
        keep_history: args.keep_history,
        wait: args.wait,
        timeout: args.timeout,
        cascade: args.cascade,
        description: args.description.clone(),
    };
    let mut out = String::new();
    for name in &args.names {
        let history = History::new(cluster);
        if args.dry_run {
            let last = history.last(name).await?;
            let _infallible = writeln!(out, "release {name} would be uninstalled:");
            for placed in cluster.place_known(&last.manifest, &last.namespace).await? {
                let stays = if release::owner::is_kept(&placed.object) { " (stays: resource policy)" } else { "" };
                let _infallible = writeln!(out, "  {}{stays}", placed.id);
            }
            continue;
        }
        match uninstall(cluster, name, &options, tell).await {
            Ok(kept) => {
                let _infallible = writeln!(out, "release {name} is uninstalled");
                for one in kept {
                    let _infallible = writeln!(out, "  {one} stays, as its resource policy says");
                }
            }
            Err(Error::NoRelease { .. }) if args.ignore_not_found => {
                let _infallible = writeln!(out, "release {name} is not there");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(out)
}

/// Takes a release away; returns the objects that stay.
pub(crate) async fn uninstall(
    cluster: &Cluster,
    name: &str,
    options: &Options,
    tell: &Tell,
) -> Result<Vec<String>, Error> {
    let history = History::new(cluster);
    let mut all = history.of(name).await?;
    let Some(mut release) = all.pop() else { return Err(history.missing(format!("release {name}"))) };
    if release.info.status == Status::Uninstalled {
        if options.keep_history {
            let what = format!("release {name}, which is uninstalled already and keeps its history,");
            return Err(history.missing(what));
        }
        forget(&history, &all, &release).await?;
        return Ok(Vec::new());
    }
    release.info.deleted = stamp();
    release.set(Status::Uninstalling, "Deletion in progress (or silently failed)");
    history.update(&release).await?;
    let kept = match stop::or_interrupted(perform(cluster, &history, &mut release, options, tell)).await {
        Ok(kept) => kept,
        Err(error) => {
            release.set(Status::Failed, format!("Uninstall {name:?} failed: {}", error.line()));
            history.update(&release).await?;
            return Err(error);
        }
    };
    if !options.keep_history {
        forget(&history, &all, &release).await?;
        return Ok(kept);
    }
    for mut earlier in all.into_iter().filter(|one| one.info.status == Status::Deployed) {
        earlier.info.status = Status::Superseded;
        history.update(&earlier).await?;
    }
    let description = options.description.clone().unwrap_or_else(|| "Uninstallation complete".to_owned());
    release.set(Status::Uninstalled, description);
    history.update(&release).await?;
    Ok(kept)
}

async fn perform(
    cluster: &Cluster,
    history: &History<'_>,
    release: &mut Release,
    options: &Options,
    tell: &Tell,
) -> Result<Vec<String>, Error> {
    let runner = Runner { cluster, history, timeout: options.timeout, tell };
    if options.hooks {
        runner.run(release, Event::PreDelete).await?;
    }
    let placed = cluster.place_known(&release.manifest, &release.namespace).await?;
    let (gone, kept) = objects::remove(cluster, placed, options.cascade.policy()).await?;
    if options.wait {
        wait::gone(cluster, &gone, options.timeout).await?;
    }
    if options.hooks {
        runner.run(release, Event::PostDelete).await?;
    }
    Ok(kept.into_iter().map(|placed| placed.id.to_string()).collect())
}

/// Takes all records away, the newest last: whoever stops in between can go on.
async fn forget(history: &History<'_>, earlier: &[Release], newest: &Release) -> Result<(), Error> {
    for release in earlier.iter().chain([newest]) {
        history.delete(&release.name, release.version).await?;
    }
    Ok(())
}
