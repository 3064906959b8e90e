//! Runs other programs, says what it runs and how long that took.

use std::{process::Command, time::Instant};

use anyhow::{Context, bail};

/// Runs a command that has to succeed.
pub(crate) fn step(title: &str, program: &str, args: &[&str]) -> anyhow::Result<()> {
    step_with(title, program, args, &[])
}

/// Runs a command with variables of its own.
pub(crate) fn step_with(title: &str, program: &str, args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<()> {
    println!("== {title}: {program} {}", args.join(" "));
    let start = Instant::now();
    let mut command = Command::new(program);
    // What cargo tells this program of itself would make an inner cargo build crates anew that look at it.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"].iter().any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    let status =
        command.args(args).envs(env.iter().copied()).status().with_context(|| format!("failed to start {program}"))?;
    if !status.success() {
        bail!("{title} failed ({status}): {program} {}", args.join(" "));
    }
    println!("== {title}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
