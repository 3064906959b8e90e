//! `cargo xtask fuzz`: inputs that nobody wrote, guided by the code that they reach.
//!
//! The targets are the binaries of `fuzz/`, with seeds beside them; what was found to
//! reach new code is kept below `target/fuzz` from run to run, what failed too.

use std::{path::Path, process::Command};

use anyhow::{Context, bail};

use crate::run::{step, step_with};

/// What rustc does for libFuzzer: counters, and the operands of comparisons.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
/// Named, so that the flags are for the targets and not for what runs while they are built.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Whether each run is another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Draw {
    /// Other inputs each time: to find something.
    Anew,
    /// The same inputs each time: a change that breaks one is to blame for it, and no other.
    Same,
}

/// Targets of what people hand in from elsewhere, which every run feeds for [`LONG`]: templates, YAML, values, archives,
/// kustomizations.
const FOREIGN: &[&str] = &["template", "yaml", "values", "archive", "kustomization"];
/// How long the [`FOREIGN`] ones are fed when all are checked, in seconds.
const LONG: u64 = 60;
/// How many targets run at once.
const AT_ONCE: usize = 2;

/// Runs one target, or all of them, for some seconds each; fails at the first input that breaks one.
pub(crate) fn run(target: Option<&str>, seconds: u64, draw: Draw) -> anyhow::Result<()> {
    let targets = targets()?;
    let chosen: Vec<&String> = targets.iter().filter(|name| target.is_none_or(|wanted| wanted == *name)).collect();
    if chosen.is_empty() {
        bail!("no target {}: there are {}", target.unwrap_or_default(), targets.join(", "));
    }
    build()?;
    run_each(&chosen.into_iter().map(|name| (name.as_str(), seconds)).collect::<Vec<_>>(), draw)
}

/// Runs all targets for some seconds each, those of foreign input for a minute, with the same inputs each time.
pub(crate) fn check(seconds: u64) -> anyhow::Result<()> {
    let targets = targets()?;
    let long = |name: &str| FOREIGN.contains(&name);
    let mut chosen: Vec<(&str, u64)> =
        targets.iter().map(|name| (name.as_str(), if long(name) { LONG } else { seconds })).collect();
    // The long ones side by side.
    chosen.sort_by_key(|(name, _)| !long(name));
    build()?;
    run_each(&chosen, Draw::Same)
}

fn build() -> anyhow::Result<()> {
    if Command::new("c++").arg("--version").output().is_err() {
        bail!("libFuzzer needs a C++ compiler: apt-get install g++");
    }
    let build =
        ["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target/fuzz", "--target", TRIPLE];
    step_with("fuzz targets", "cargo", &build, &[("RUSTFLAGS", FLAGS)])
}

fn run_each(chosen: &[(&str, u64)], draw: Draw) -> anyhow::Result<()> {
    for together in chosen.chunks(AT_ONCE) {
        let done: Vec<anyhow::Result<()>> = std::thread::scope(|scope| {
            let runs: Vec<_> =
                together.iter().map(|(name, seconds)| scope.spawn(move || one(name, *seconds, draw))).collect();
            runs.into_iter().map(|run| run.join().unwrap_or_else(|_| bail!("a run panicked"))).collect()
        });
        done.into_iter().collect::<anyhow::Result<()>>()?;
    }
    Ok(())
}

fn one(name: &str, seconds: u64, draw: Draw) -> anyhow::Result<()> {
    let (corpus, found) = (format!("target/fuzz/corpus/{name}"), format!("target/fuzz/found/{name}/"));
    for folder in [&corpus, &found] {
        std::fs::create_dir_all(folder).with_context(|| format!("failed to create {folder}"))?;
    }
    let program = format!("target/fuzz/{TRIPLE}/release/{name}");
    let (time, artifacts) = (format!("-max_total_time={seconds}"), format!("-artifact_prefix={found}"));
    let seed = match draw {
        Draw::Anew => "-seed=0",
        Draw::Same => "-seed=1",
    };
    let limits = [seed, "-timeout=10", "-rss_limit_mb=1024", "-max_len=16384", "-verbosity=0"];
    let seeds = format!("fuzz/seeds/{name}");
    let arguments = [&[time.as_str(), &artifacts][..], &limits, &[&corpus, &seeds]].concat();
    step(&format!("fuzz {name}"), &program, &arguments)
}

fn targets() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(Path::new("fuzz/src")).context("run it in the workspace's folder")? {
        let path = entry.context("failed to list fuzz/src")?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}
