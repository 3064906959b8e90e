//! `roadstead helm install`.

use release::{Event, Release, Status};

use crate::{
    Cluster, Error, Tell,
    args::{ChartArgs, InstallArgs},
    cluster::Mode,
    definitions::{self, Differing},
    history::History,
    hooks::Runner,
    objects::{self, Outcome, Taking},
    operation::Operation,
    prepare::{self, Revision},
    show, uninstall,
};

/// Installs a chart under a name that is free.
pub(crate) async fn run(cluster: &Cluster, args: InstallArgs, tell: &Tell) -> Result<String, Error> {
    let (given, chart) = match args.name_and_chart.as_slice() {
        [name, chart, ..] => (Some(name.clone()), chart.clone()),
        [chart] => (None, chart.clone()),
        [] => return Err(Error::Usage { reason: "a chart has to be named".to_owned() }),
    };
    if given.is_none() && !args.generate_name && args.name_template.is_none() {
        let reason = format!("a release needs a name: 'roadstead helm install NAME {chart}', or --generate-name");
        return Err(Error::Usage { reason });
    }
    let naming = render::Naming {
        given,
        template: args.name_template.clone(),
        generate: args.generate_name,
        seed: args.chart.render.seed.clone(),
    };
    let name = render::release_name(&naming, &chart, &base::clock::zoned())?;
    install(cluster, &name, &chart, &args, tell).await
}

/// Installs a chart.
pub(crate) async fn install(
    cluster: &Cluster,
    name: &str,
    chart: &str,
    args: &InstallArgs,
    tell: &Tell,
) -> Result<String, Error> {
    let history = History::new(cluster);
    let mut earlier = history.of(name).await?;
    let last = earlier.pop();
    if let Some(last) = &last
        && !args.chart.dry_run
        && !(args.replace && matches!(last.info.status, Status::Uninstalled | Status::Failed))
    {
        return Err(Error::NameInUse { name: name.to_owned(), status: last.info.status.name() });
    }
    let number = last.as_ref().filter(|_| args.replace).map_or(1, |last| last.version + 1);
    let revision = || Revision { name: name.to_owned(), number, upgrade: false, previous: helm::Previous::Forgotten };
    let loaded = prepare::load(chart.to_owned(), args.chart.render.clone()).await?;
    let crds = prepare::definitions(&loaded, &revision())?;
    if !args.skip_crds && !args.chart.dry_run {
        definitions::bring(cluster, crds, Differing::Told, tell).await?;
    }
    let mut release = prepare::render(cluster, loaded, revision()).await?;
    release.labels = args.chart.labels.iter().cloned().collect();
    if let Some(warning) = prepare::warnings(&release) {
        tell(&warning);
    }
    release.set(Status::PendingInstall, "Initial install underway");
    let mut target = cluster.place(&release.manifest, &release.namespace).await?;
    objects::mark(&mut target, &release);
    objects::rehearse(cluster, &[], &target, &release, args.chart.taking()).await?;
    if args.chart.dry_run {
        "Dry run complete".clone_into(&mut release.info.description);
        return Ok(show::dry_run(&release, args.chart.output));
    }
    if args.create_namespace {
        create_namespace(cluster, tell).await?;
    }
    if let Some(mut last) = last {
        last.set(Status::Superseded, last.info.description.clone());
        history.update(&last).await?;
    }
    history.create(&release, 0).await?;
    let operation = Operation {
        runner: Runner { cluster, history: &history, timeout: args.wait.timeout, tell },
        patience: args.wait.patience(args.chart.atomic),
        events: (Event::PreInstall, Event::PostInstall),
        before: &[],
        target: &target,
    };
    if let Err(error) = operation.run(&mut release, &mut Outcome::default()).await {
        return Err(fail(cluster, &history, release, error, args, tell).await);
    }
    let description = args.chart.description.clone().unwrap_or_else(|| "Install complete".to_owned());
    release.set(Status::Deployed, description);
    history.update(&release).await?;
    Ok(show::status(&release, args.chart.output, args.chart.notes()))
}

/// Records the failure, or with `--atomic` takes everything away again.
async fn fail(
    cluster: &Cluster,
    history: &History<'_>,
    mut release: Release,
    error: Error,
    args: &InstallArgs,
    tell: &Tell,
) -> Error {
    let name = release.name.clone();
    release.set(Status::Failed, format!("Release {name:?} failed: {}", error.line()));
    if let Err(unrecorded) = history.update(&release).await {
        tell(&format!("warning: the failure could not be recorded: {}", unrecorded.line()));
    }
    if !args.chart.atomic {
        return error;
    }
    tell(&format!("{}; taking everything away again", error.line()));
    let options = uninstall::Options { hooks: !args.wait.no_hooks, timeout: args.wait.timeout, ..Default::default() };
    match uninstall::uninstall(cluster, &name, &options, tell).await {
        Ok(_) => Error::Undone { name, undone: "has been uninstalled".to_owned(), source: Box::new(error) },
        Err(second) => Error::NotUndone { name, first: error.line(), source: Box::new(second) },
    }
}

async fn create_namespace(cluster: &Cluster, tell: &Tell) -> Result<(), Error> {
    let name = &cluster.namespace;
    let object = serde_json::json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"name": name}},
    });
    let placed = cluster.place_one(object, name).await?;
    if cluster.get(&placed).await?.is_some() {
        return Ok(());
    }
    match cluster.create(&placed, Mode::Real).await {
        Ok(_) => tell(&format!("namespace {name} is created")),
        Err(error) if error.is_because("AlreadyExists") => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

impl ChartArgs {
    pub(crate) fn taking(&self) -> Taking {
        if self.take_ownership { Taking::Over } else { Taking::Refused }
    }

    pub(crate) fn notes(&self) -> show::Notes {
        if self.hide_notes { show::Notes::Hidden } else { show::Notes::Shown }
    }
}
