//! `roadstead helm upgrade`.

use helm::Previous;
use release::{Event, Release, Status};
use serde_json::Value;

use crate::{
    Cluster, Error, Tell,
    args::{InstallArgs, ReuseArgs, UpgradeArgs},
    definitions::{self, Differing},
    history::{History, deployed},
    hooks::Runner,
    install,
    objects::{self, Outcome},
    operation::Operation,
    prepare::{self, Revision},
    rollback, show,
};

/// What becomes of the last revision's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// They are taken where none are given.
    Otherwise,
    /// They are forgotten.
    Never,
    /// New ones are laid over them, and the chart's own stay as they were.
    All,
    /// New ones are laid over them.
    Given,
}

impl Reuse {
    pub(crate) fn of(args: &ReuseArgs) -> Self {
        match (args.reset_values, args.reuse_values, args.reset_then_reuse_values) {
            (true, ..) => Reuse::Never,
            (_, true, _) => Reuse::All,
            (.., true) => Reuse::Given,
            _ => Reuse::Otherwise,
        }
    }

    /// Returns the same as the engine takes it.
    pub(crate) fn from(self, last: &Release) -> Previous {
        let given = Value::Object(last.config.clone());
        match self {
            Reuse::Otherwise => Previous::Otherwise { given },
            Reuse::Never => Previous::Forgotten,
            Reuse::All => Previous::Instead { given, chart: last.chart["values"].clone() },
            Reuse::Given => Previous::Under { given },
        }
    }
}

/// Upgrades a release, or installs it if it is missing and that is asked for.
pub(crate) async fn run(cluster: &Cluster, args: UpgradeArgs, tell: &Tell) -> Result<String, Error> {
    let history = History::new(cluster);
    let earlier = history.of(&args.name).await?;
    let uninstalled = |release: &Release| release.info.status == Status::Uninstalled;
    if args.install && earlier.last().is_none_or(uninstalled) {
        tell(&format!("release {} is not there; installing it", args.name));
        let (name, chart) = (args.name.clone(), args.chart_name.clone());
        return install::install(cluster, &name, &chart, &as_install(args), tell).await;
    }
    let Some(last) = earlier.last() else { return Err(history.missing(format!("release {}", args.name))) };
    let current = current(last, &earlier)?.clone();
    let revision = || Revision {
        name: args.name.clone(),
        number: last.version + 1,
        upgrade: true,
        previous: Reuse::of(&args.reuse).from(&current),
    };
    let loaded = prepare::load(args.chart_name.clone(), args.chart.render.clone()).await?;
    let crds = prepare::definitions(&loaded, &revision())?;
    if !args.skip_crds && !args.chart.dry_run {
        let differing = if args.upgrade_crds { Differing::Changed } else { Differing::Told };
        definitions::bring(cluster, crds, differing, tell).await?;
    }
    let mut release = prepare::render(cluster, loaded, revision()).await?;
    if let Some(warning) = prepare::warnings(&release) {
        tell(&warning);
    }
    release.labels = last.labels.clone();
    release.labels.extend(args.chart.labels.iter().cloned());
    release.labels.retain(|_, value| value != "null");
    release.info.first_deployed.clone_from(&current.info.first_deployed);
    release.set(Status::PendingUpgrade, "Preparing upgrade");

    let before = cluster.place_known(&current.manifest, &current.namespace).await?;
    let mut target = cluster.place(&release.manifest, &release.namespace).await?;
    objects::mark(&mut target, &release);
    objects::rehearse(cluster, &before, &target, &release, args.chart.taking()).await?;
    if args.chart.dry_run {
        "Dry run complete".clone_into(&mut release.info.description);
        return Ok(show::dry_run(&release, args.chart.output));
    }
    history.create(&release, args.history_max).await?;
    let mut outcome = Outcome::default();
    let operation = Operation {
        runner: Runner { cluster, history: &history, timeout: args.wait.timeout, tell },
        patience: args.wait.patience(args.chart.atomic),
        events: (Event::PreUpgrade, Event::PostUpgrade),
        before: &before,
        target: &target,
    };
    if let Err(error) = operation.run(&mut release, &mut outcome).await {
        return Err(fail(cluster, &history, release, error, outcome, &args, tell).await);
    }
    let mut current = current;
    current.info.status = Status::Superseded;
    history.update(&current).await?;
    let description = args.chart.description.clone().unwrap_or_else(|| "Upgrade complete".to_owned());
    release.set(Status::Deployed, description);
    history.update(&release).await?;
    Ok(show::status(&release, args.chart.output, args.chart.notes()))
}

/// Returns the revision that is in the cluster: the newest that is deployed, or the newest that failed.
pub(crate) fn current<'h>(last: &'h Release, history: &'h [Release]) -> Result<&'h Release, Error> {
    if last.info.status.is_pending() {
        return Err(Error::Pending {
            name: last.name.clone(),
            revision: last.version,
            status: last.info.status.name(),
            since: last.info.last_deployed.clone(),
        });
    }
    match deployed(history) {
        Some(found) => Ok(found),
        None if matches!(last.info.status, Status::Failed | Status::Superseded) => Ok(last),
        None => Err(Error::NoRelease {
            what: format!("a deployed revision of release {}", last.name),
            namespace: last.namespace.clone(),
        }),
    }
}

/// Records the failure; deletes what was created, or brings the last good revision back, as asked.
async fn fail(
    cluster: &Cluster,
    history: &History<'_>,
    mut release: Release,
    error: Error,
    outcome: Outcome,
    args: &UpgradeArgs,
    tell: &Tell,
) -> Error {
    let name = release.name.clone();
    release.set(Status::Failed, format!("Upgrade {name:?} failed: {}", error.line()));
    if let Err(unrecorded) = history.update(&release).await {
        tell(&format!("warning: the failure could not be recorded: {}", unrecorded.line()));
    }
    let not_undone =
        |second: Error| Error::NotUndone { name: name.clone(), first: error.line(), source: Box::new(second) };
    if args.cleanup_on_fail
        && let Err(second) = objects::remove(cluster, outcome.created, "Background").await
    {
        return not_undone(second);
    }
    if !args.chart.atomic {
        return error;
    }
    let good = match history.of(&name).await {
        Ok(all) => all.into_iter().rev().find(|one| matches!(one.info.status, Status::Deployed | Status::Superseded)),
        Err(second) => return not_undone(second),
    };
    let Some(good) = good else { return error };
    tell(&format!("{}; bringing revision {} back", error.line(), good.version));
    let options = rollback::Options {
        patience: args.wait.patience(true),
        timeout: args.wait.timeout,
        cleanup: false,
        history_max: args.history_max,
    };
    match rollback::rollback(cluster, &name, good.version, &options, tell).await {
        Ok(_) => {
            let undone = format!("revision {} has been brought back", good.version);
            Error::Undone { name, undone, source: Box::new(error) }
        }
        Err(second) => not_undone(second),
    }
}

fn as_install(args: UpgradeArgs) -> InstallArgs {
    InstallArgs {
        name_and_chart: Vec::new(),
        generate_name: false,
        name_template: None,
        chart: args.chart,
        wait: args.wait,
        create_namespace: args.create_namespace,
        skip_crds: args.skip_crds,
        replace: true,
        cluster: args.cluster,
    }
}
