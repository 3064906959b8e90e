//! `roadstead down`, and the end of a platform in the foreground.

use std::time::Duration;

use anyhow::{Context, bail};
use base::clock;
use nix::{sys::signal::Signal, unistd::Pid};

use crate::{
    cli::Down,
    confirm, output,
    paths::Paths,
    services,
    state::{self, Platform},
};

/// How long workloads may take to end.
const GRACE: Duration = Duration::from_secs(30);

/// Stops what runs; with `--purge` removes the data as well.
pub(crate) async fn run(paths: &Paths, options: &Down) -> anyhow::Result<()> {
    if !paths.root().exists() {
        output::note(&format!("nothing runs on {}, and there is no data", paths.root().display()));
        return Ok(());
    }
    if options.purge {
        output::note(&format!("this stops everything and removes {}:", paths.root().display()));
        for line in contents(paths) {
            output::note(&format!("  {line}"));
        }
        confirm::ask("remove all of it?", options.yes)?;
    }
    if state::is_locked(paths)? {
        let platform = Platform::read(paths)?;
        let pid = Pid::from_raw(i32::try_from(platform.pid).context("the recorded process id is no process id")?);
        nix::sys::signal::kill(pid, Signal::SIGTERM).with_context(|| format!("failed to stop process {pid}"))?;
        let deadline = clock::instant() + GRACE + Duration::from_secs(15);
        while state::is_locked(paths)? {
            if clock::instant() > deadline {
                bail!("process {pid} does not end: see {}", paths.log("platform").display());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // A platform that was killed leaves workloads and gateway running.
    workloads(paths).await?;
    services::forget(paths)?;
    if options.purge {
        let data = paths.clone();
        tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
            node::purge(&data.node())?;
            proxy::purge(&data.gateway())?;
            std::fs::remove_dir_all(data.root()).with_context(|| format!("failed to remove {}", data.root().display()))
        })
        .await
        .context("the removal broke off")??;
        output::note("stopped, and all data removed");
    } else {
        output::note("stopped; the data stays, 'roadstead up' goes on with it");
    }
    Ok(())
}

/// Stops workloads, then the gateway.
pub(crate) async fn workloads(paths: &Paths) -> anyhow::Result<()> {
    if paths.node().exists() {
        node::stop_all(&paths.node(), GRACE).await?;
    }
    if proxy::status(&paths.gateway()).await.is_ok() {
        proxy::stop(&paths.gateway()).await?;
    }
    Ok(())
}

fn contents(paths: &Paths) -> Vec<String> {
    let count = |folder: std::path::PathBuf| {
        std::fs::read_dir(folder).map_or(0, |entries| {
            entries.flatten().filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count()
        })
    };
    vec![
        format!("{} repositories", count(paths.delivery().join("git"))),
        format!("{} pods with their volumes and logs", count(paths.node().join("pods"))),
        "all Kubernetes objects, images, certificates and tokens".to_owned(),
    ]
}
