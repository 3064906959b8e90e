//! `cargo xtask bench up`: start, memory and push, each beside its target.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, bail};

use crate::run::step;

/// How often each figure is measured; the median is printed.
const RUNS: usize = 7;

/// Measures and prints.
pub(crate) fn up() -> anyhow::Result<()> {
    step("build for figures", "cargo", &["build", "--profile", "dist", "--package", "roadstead"])?;
    let binary = std::env::current_dir()?.join("target/dist/roadstead");
    let size = std::fs::metadata(&binary)?.len();
    let (mut api, mut sample, mut push, mut memory) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        let bench = Bench {
            data: std::env::temp_dir().join(format!("roadstead-bench-{}-{run}", std::process::id())),
            binary: binary.clone(),
        };
        // The first start makes the data folder and packs the sample; it is measured as a user meets it.
        let steps = bench.up()?;
        api.push(seconds(&steps, "Kubernetes API answers")?);
        sample.push(seconds(&steps, "the sample answers")?);
        push.push(bench.push()?);
        memory.push(bench.memory()?);
    }
    let row = |name: &str, value: String, target: &str| println!("| {name} | {value} | {target} |");
    println!("\n| figure | median of {RUNS} | target |\n|---|---|---|");
    row("up to API ready, first start", format!("{:.2} s", median(&mut api)), "≤ 1 s");
    row(
        "up to the sample answering through the gateway, first start",
        format!("{:.2} s", median(&mut sample)),
        "≤ 5 s",
    );
    row("push to three new pods ready (as `roadstead wait` sees it)", format!("{:.2} s", median(&mut push)), "≤ 5 s");
    row(
        "platform processes idle, PSS (control plane and gateway)",
        format!("{:.0} MB", median(&mut memory)),
        "≤ 120 MB",
    );
    row("binary, stripped", format!("{:.1} MB", size as f64 / 1e6), "≤ 60 MB");
    Ok(())
}

fn seconds(steps: &str, what: &str) -> anyhow::Result<f64> {
    let line =
        steps.lines().find(|line| line.contains(what)).with_context(|| format!("no step says {what:?}:\n{steps}"))?;
    Ok(line.trim().split(' ').next().unwrap_or_default().parse()?)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Bench {
    data: PathBuf,
    binary: PathBuf,
}

impl Bench {
    fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.binary)
            .args(arguments)
            .env("ROADSTEAD_DATA", &self.data)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("roadstead {arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn up(&self) -> anyhow::Result<String> {
        let held: Vec<_> = (0..4).map(|_| std::net::TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
        let ports: Vec<String> = held
            .iter()
            .map(|listener| Ok(listener.local_addr()?.port().to_string()))
            .collect::<std::io::Result<_>>()?;
        drop(held);
        self.run(&[
            "up",
            "--detach",
            "--api-port",
            &ports[0],
            "--portal-port",
            &ports[1],
            "--https-port",
            &ports[2],
            "--gateway-port",
            &ports[3],
        ])
    }

    fn push(&self) -> anyhow::Result<f64> {
        self.run(&["new", "bench"])?;
        let clone = self.data.join("clone");
        self.run(&["repo", "clone", "bench", &clone.display().to_string()])?;
        let git = |script: &str| -> anyhow::Result<()> {
            let output = Command::new("sh").args(["-ec", script]).current_dir(&clone).output()?;
            if !output.status.success() {
                bail!("{script} failed: {}", String::from_utf8_lossy(&output.stderr));
            }
            Ok(())
        };
        git("sed -i 's/replicaCount: .*/replicaCount: 3/' values.yaml && git commit -qam three")?;
        let start = Instant::now();
        git("git push -q")?;
        self.run(&["wait", "bench", "--synced", "--healthy"])?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// PSS of the control plane and the gateway, in MB.
    fn memory(&self) -> anyhow::Result<f64> {
        let mut total = 0.0;
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let arguments: Vec<&str> = std::str::from_utf8(&arguments).unwrap_or_default().split('\0').collect();
            let ours = arguments.first().is_some_and(|program| Path::new(program) == self.binary)
                && arguments.get(1).is_some_and(|verb| matches!(*verb, "up" | "proxy"));
            if ours && arguments.iter().any(|argument| Path::new(argument) == self.data) {
                let rollup = std::fs::read_to_string(entry.path().join("smaps_rollup"))?;
                let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss line")?;
                total += line.trim().trim_end_matches(" kB").parse::<f64>()? / 1000.0;
            }
        }
        Ok(total)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Err(error) = self.run(&["down", "--purge", "--yes"]) {
            eprintln!("{error:#}");
        }
    }
}
