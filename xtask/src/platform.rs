//! A platform for a chore: with a data folder and ports of its own, removed at the end.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::bail;

/// A running platform. Dropping it purges it.
pub(crate) struct Platform {
    pub(crate) data: PathBuf,
    binary: PathBuf,
    /// Where its REST API answers.
    pub(crate) portal: String,
    /// What it said while it started.
    pub(crate) steps: String,
}

impl Platform {
    /// Starts `binary` and waits until its sample answers. `name` tells data folders apart.
    pub(crate) fn start(binary: &Path, name: &str) -> anyhow::Result<Platform> {
        let data = std::env::temp_dir().join(format!("roadstead-{name}-{}", std::process::id()));
        // Held until all are chosen, so that no port is given twice.
        let held: Vec<TcpListener> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
        let ports: Vec<String> = held
            .iter()
            .map(|listener| Ok(listener.local_addr()?.port().to_string()))
            .collect::<std::io::Result<_>>()?;
        drop(held);
        let portal = format!("http://127.0.0.1:{}", ports[1]);
        let mut platform = Platform { data, binary: binary.to_owned(), portal, steps: String::new() };
        let flags = ["--api-port", "--portal-port", "--https-port", "--gateway-port"];
        let mut arguments = vec!["up", "--detach"];
        for (flag, port) in flags.iter().zip(&ports) {
            arguments.extend([*flag, port]);
        }
        platform.steps = platform.run(&arguments)?;
        Ok(platform)
    }

    /// Runs a verb, which has to succeed; returns what it said on standard error.
    pub(crate) fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.binary)
            .args(arguments)
            .env("ROADSTEAD_DATA", &self.data)
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            bail!("roadstead {arguments:?} failed: {said}");
        }
        Ok(said)
    }

    /// Returns the PSS of its control plane and gateway, in MB.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        let mut total = 0.0;
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let arguments: Vec<&str> = std::str::from_utf8(&arguments).unwrap_or_default().split('\0').collect();
            let ours = arguments.first().is_some_and(|program| Path::new(program) == self.binary)
                && arguments.get(1).is_some_and(|verb| matches!(*verb, "up" | "proxy"));
            if ours && arguments.iter().any(|argument| Path::new(argument) == self.data) {
                let rollup = std::fs::read_to_string(entry.path().join("smaps_rollup"))?;
                let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
                total += line.trim().trim_end_matches(" kB").parse::<f64>()? / 1000.0;
            }
        }
        Ok(total)
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if let Err(error) = self.run(&["down", "--purge", "--yes"]) {
            eprintln!("{error:#}");
        }
    }
}
