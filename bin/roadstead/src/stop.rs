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
        return orphaned(paths).await;
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

/// Ends what still runs of a data folder that somebody removed by hand.
async fn orphaned(paths: &Paths) -> anyhow::Result<()> {
    let found = processes(paths);
    for pid in &found {
        if let Err(error) = nix::sys::signal::kill(*pid, Signal::SIGTERM) {
            output::note(&format!("process {pid} was not told to end: {error}"));
        }
    }
    let deadline = clock::instant() + GRACE;
    while processes(paths).iter().any(|pid| found.contains(pid)) && clock::instant() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let node = paths.node();
    tokio::task::spawn_blocking(move || node::purge(&node)).await.context("the clean-up broke off")??;
    if paths.root().exists() {
        // The platform wrote its last words into the folder that was gone.
        std::fs::remove_dir_all(paths.root())
            .with_context(|| format!("failed to remove {}", paths.root().display()))?;
    }
    let what = if found.is_empty() { "nothing ran" } else { "what still ran is stopped" };
    output::note(&format!("{what} on {}, and there is no data", paths.root().display()));
    Ok(())
}

/// Returns the platform's and gateway's processes that name this folder.
fn processes(paths: &Paths) -> Vec<Pid> {
    let root = paths.root().display().to_string();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let arguments = std::fs::read(entry.path().join("cmdline")).ok()?;
            let arguments: Vec<String> =
                arguments.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
            let ours =
                arguments.get(1).is_some_and(|verb| verb == "up" || verb == "proxy") && arguments.contains(&root);
            ours.then(|| Pid::from_raw(pid))
        })
        .collect()
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
