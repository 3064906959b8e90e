//! What a running platform says of itself, for the commands beside it.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::paths::{Paths, write_private};

/// Version of the data folder's layout.
const LAYOUT: u32 = 1;

/// A running platform.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Platform {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) api: SocketAddr,
    pub(crate) portal: SocketAddr,
    pub(crate) https: SocketAddr,
    /// Where the same is reached from other machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) public: Option<SocketAddr>,
    pub(crate) gateway: SocketAddr,
    pub(crate) isolation: String,
    /// What is not isolated, and why.
    pub(crate) not_isolated: Vec<String>,
    pub(crate) data: String,
    pub(crate) started_at: String,
}

impl Platform {
    pub(crate) fn portal_url(&self) -> String {
        format!("http://localhost:{}", self.portal.port())
    }

    pub(crate) fn https_url(&self) -> String {
        format!("https://localhost:{}", self.https.port())
    }

    pub(crate) fn write(&self, paths: &Paths) -> anyhow::Result<()> {
        write_private(&paths.platform(), &serde_json::to_vec_pretty(self)?)
    }

    pub(crate) fn read(paths: &Paths) -> anyhow::Result<Platform> {
        let file = paths.platform();
        let text = std::fs::read(&file).with_context(|| {
            format!("no platform runs on {}: start one with 'roadstead up'", paths.root().display())
        })?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged: run 'roadstead down', then 'roadstead up'", file.display()))
    }

    /// Returns the platform that runs on this folder, or an error that says how to start one.
    pub(crate) fn running(paths: &Paths) -> anyhow::Result<Platform> {
        if !is_locked(paths)? {
            bail!("no platform runs on {}: start one with 'roadstead up'", paths.root().display());
        }
        Platform::read(paths)
    }
}

/// Holds the data folder for one platform, for as long as the process lives.
pub(crate) struct Lock(
    #[expect(dead_code, reason = "the lock lives as long as the file is open")] Flock<std::fs::File>,
);

/// Takes the data folder; `None` if a platform has it.
pub(crate) fn lock(paths: &Paths) -> anyhow::Result<Option<Lock>> {
    check_folder(paths)?;
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(paths.lock())
        .with_context(|| format!("failed to open {}", paths.lock().display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(Lock(lock))),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => bail!("failed to lock {}: {error}", paths.lock().display()),
    }
}

/// Returns whether a platform has the data folder.
pub(crate) fn is_locked(paths: &Paths) -> anyhow::Result<bool> {
    if !paths.lock().exists() {
        return Ok(false);
    }
    lock(paths).map(|lock| lock.is_none())
}

fn check_folder(paths: &Paths) -> anyhow::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    let root = paths.root();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .with_context(|| format!("failed to create the data folder {}: choose another with --data", root.display()))?;
    let owner = std::fs::metadata(root).with_context(|| format!("failed to look at {}", root.display()))?.uid();
    let me = nix::unistd::geteuid().as_raw();
    if owner != me {
        bail!(
            "the data folder {} belongs to user {owner}, and you are user {me}: choose another with --data, or run as its owner",
            root.display()
        );
    }
    check_version(&paths.version())
}

fn check_version(file: &Path) -> anyhow::Result<()> {
    match std::fs::read_to_string(file) {
        Ok(text) => {
            let found: u32 =
                text.trim().parse().with_context(|| format!("{} does not hold a version", file.display()))?;
            if found > LAYOUT {
                bail!(
                    "the data folder has layout {found}, and this roadstead knows up to {LAYOUT}: use the newer roadstead that made it, or another folder with --data"
                );
            }
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            write_private(file, format!("{LAYOUT}\n").as_bytes())
        }
        Err(error) => Err(error).with_context(|| format!("failed to read {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_folder_is_refused_and_a_second_lock_is_not_had() {
        let dir = std::env::temp_dir().join(format!("roadstead-state-{}", std::process::id()));
        let paths = Paths::new(&dir);
        let held = lock(&paths).unwrap();
        assert!(held.is_some() && lock(&paths).unwrap().is_none());
        drop(held);
        std::fs::write(paths.version(), "99\n").unwrap();
        let error = lock(&paths).err().unwrap().to_string();
        assert!(error.contains("layout 99"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
