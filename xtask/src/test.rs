//! `cargo xtask test`: every check, cheapest first.

use crate::{fuzz, peers, run::step, tidy};

/// How long each parser is fed inputs that nobody wrote, in seconds; `cargo xtask fuzz` does it for longer.
const FUZZ_SECONDS: u64 = 4;

/// How much is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    All,
    /// All but the end-to-end session.
    Fast,
}

/// Runs the checks and stops at the first that fails.
pub(crate) fn run(extent: Extent) -> anyhow::Result<()> {
    step("format", "cargo", &["fmt", "--all", "--check"])?;
    tidy::run()?;
    step("lint", "cargo", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    peers::tools()?;
    step("unit", "cargo", &["test", "--workspace", "--exclude", "roadstead"])?;
    step("unit of the binary", "cargo", &["test", "--package", "roadstead", "--bins"])?;
    if extent == Extent::Fast {
        return Ok(());
    }
    fuzz::check(FUZZ_SECONDS)?;
    step("release build", "cargo", &["build", "--release", "--package", "roadstead"])?;
    step(
        "end to end",
        "cargo",
        &["test", "--release", "--package", "roadstead", "--test", "e2e", "--", "--test-threads", "1"],
    )
}
