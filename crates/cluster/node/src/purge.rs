//! Removing everything that a platform has put on the machine, and stopping what it runs.
//!
//! What is removed is found by names that follow from the data folder and by the
//! folder's path in processes' arguments and environment, so it also works when the
//! folder is half gone. Nothing that carries neither is touched.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Error, cgroups, history, network, plan::Naming, proc, sandbox::Shim};

/// Returns the folder's absolute path without links, also when it does not exist.
pub(crate) fn absolute(data: &Path) -> Result<PathBuf, Error> {
    let path = std::path::absolute(data).map_err(Error::disk("find", data))?;
    if let Ok(path) = std::fs::canonicalize(&path) {
        return Ok(path);
    }
    let parent = path.parent().and_then(|parent| std::fs::canonicalize(parent).ok());
    Ok(parent.zip(path.file_name()).map_or(path.clone(), |(parent, name)| parent.join(name)))
}

/// Stops every container of the platform whose node has its data in `data`, and removes
/// its namespaces, interfaces, bridge, control groups, mounts and the folder itself.
///
/// # Guarantees
/// It may be called again, after a reboot, and when the folder is gone or half removed.
///
/// # Assumptions
/// No node runs on this folder.
pub fn purge(data: &Path) -> Result<(), Error> {
    let data = absolute(data)?;
    let naming = Naming::of(&data);
    kill_processes(&data)?;
    cgroups::destroy(&naming.cgroup)?;
    let bridge = naming.bridge;
    let removed = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::disk("start a runtime for", "netlink"))?;
        runtime.block_on(async { network::remove_bridge(&bridge).await })
    });
    match removed.join() {
        // Who may not change the network has no bridge either: it ran plain processes.
        Ok(Err(error)) if matches!(crate::isolation::probe(), crate::Isolation::Full) => return Err(error),
        _ => {}
    }
    proc::remove_dir(&data)
}

/// Kills the shims and plain processes whose arguments or environment name a folder below `data`.
fn kill_processes(data: &Path) -> Result<(), Error> {
    let pods = data.join("pods");
    let ours = |pid: &i32| {
        let args = proc::arguments(*pid);
        let shim = args.len() > 3 && args[1] == "shim" && args[2] == "pod" && Path::new(&args[3]).starts_with(&pods);
        let folder = |variable: &String| {
            variable.strip_prefix("ROADSTEAD_POD_DIR=").is_some_and(|d| Path::new(d).starts_with(&pods))
        };
        shim || proc::environment(*pid).iter().any(folder)
    };
    let deadline = base::clock::now() + Duration::from_secs(20);
    loop {
        let found: Vec<proc::Identity> = proc::all().into_iter().filter(ours).filter_map(proc::Identity::of).collect();
        if found.is_empty() {
            return Ok(());
        }
        if base::clock::now() > deadline {
            let pods: Vec<String> = found.iter().map(|identity| identity.pid.to_string()).collect();
            return Err(Error::Shim {
                pod: data.display().to_string(),
                why: format!("processes {} do not end", pods.join(", ")),
            });
        }
        for identity in found {
            for child in proc::descendants(identity.pid) {
                kill(Pid::from_raw(child), Signal::SIGKILL).ok();
            }
            identity.signal(Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Stops every container of the node whose data lies in `data`: SIGTERM, then after `grace` SIGKILL.
///
/// Volumes and logs stay; the next start of a node on this folder starts the containers again.
///
/// # Assumptions
/// No node runs on this folder: it would start what is stopped here.
pub async fn stop_all(data: &Path, grace: Duration) -> Result<(), Error> {
    let data = absolute(data)?;
    let deadline = base::clock::instant() + grace;
    let pods: Vec<PathBuf> = proc::folders(&data.join("pods"));
    let mut alive = Vec::new();
    for dir in pods {
        let shim = Shim::of(&dir);
        if !shim.is_alive()? {
            continue;
        }
        for container in proc::folders(&dir.join("c")) {
            let record = history::read(&container)?;
            let name = container.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(last) = record.last.filter(|last| last.exit.is_none()) {
                // It may have ended by itself; what has not ends with the shim below.
                shim.signal(&name, last.number, Signal::SIGTERM).await.ok();
            }
        }
        alive.push(shim);
    }
    for shim in &alive {
        if let Ok(mut watch) = shim.watch().await {
            let ended = async {
                while let Some(seen) = watch.next().await {
                    if seen.iter().all(|seen| seen.exit.is_some()) {
                        return;
                    }
                }
            };
            tokio::time::timeout_at(deadline, ended).await.ok();
        }
        shim.stop().await?;
    }
    Ok(())
}
