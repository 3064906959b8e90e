//! `cargo xtask bench`: start, memory and push, each beside its target; the API server beside the real one.

mod render;

use std::{process::Command, time::Instant};

pub(crate) use render::run as render;

use anyhow::{Context, bail};

use crate::{platform::Platform, run::step};

/// How often each figure is measured; the median is printed.
const RUNS: usize = 7;

/// Measures and prints.
pub(crate) fn up() -> anyhow::Result<()> {
    step("build for figures", "cargo", &["build", "--profile", "dist", "--package", "roadstead"])?;
    let binary = std::env::current_dir()?.join("target/dist/roadstead");
    let size = std::fs::metadata(&binary)?.len();
    let (mut api, mut sample, mut push, mut memory) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        // A first start makes the data folder and packs the sample; it is measured as a user meets it.
        let platform = Platform::start(&binary, &format!("bench-{run}"))?;
        api.push(seconds(&platform.steps, "Kubernetes API answers")?);
        sample.push(seconds(&platform.steps, "the sample answers")?);
        push.push(self::push(&platform)?);
        memory.push(platform.memory()?);
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

/// Builds both API servers and compares them.
pub(crate) fn api() -> anyhow::Result<()> {
    crate::peers::servers()?;
    step("build for figures", "cargo", &["build", "--profile", "dist", "--package", "bench-api"])?;
    step("API", "target/dist/bench-api", &["target/peers"])
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

/// Returns the seconds from a push until the three pods that it asks for are ready.
fn push(platform: &Platform) -> anyhow::Result<f64> {
    platform.run(&["new", "bench"])?;
    let clone = platform.data.join("clone");
    platform.run(&["repo", "clone", "bench", &clone.display().to_string()])?;
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
    platform.run(&["wait", "bench", "--synced", "--healthy"])?;
    Ok(start.elapsed().as_secs_f64())
}
