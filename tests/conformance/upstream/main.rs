//! Runs the conformance tests of Kubernetes' own end-to-end suite that need no container,
//! against the embedded server and a real one, and writes what came of it into a document.
//!
//! This file is the order of the work; [`choice`] says which tests are run, [`side`] starts
//! what they run against, [`suite`] runs them, [`document`] writes the result.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a chore prints, and runs beside the product"
)]

mod choice;
mod document;
mod side;
mod suite;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use choice::Choice;
use side::{Side, Which};
use suite::{Outcome, Suite};

/// What came of each test that was run.
type Outcomes = BTreeMap<String, Outcome>;

/// Where output and outcomes are kept.
const KEPT: &str = "target/upstream";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let suite = Suite::new(&options.peers, Path::new(KEPT))?;
    let choice = Choice::of(suite.names()?)?;
    for &which in &options.sides {
        let found = run(&options, &suite, &choice, which).await?;
        for (name, outcome) in &found {
            if let Outcome::Failed(why) = outcome {
                println!("\n-- {which}: {name}\n{why}");
            }
        }
        let passed = found.values().filter(|outcome| matches!(outcome, Outcome::Passed)).count();
        println!("== {which}: {passed} of {} pass", found.len());
        if options.focus.is_empty() {
            std::fs::write(kept(which), serde_json::to_vec_pretty(&found)?)?;
        }
    }
    let Some(file) = options.document else { return Ok(()) };
    let text = document::write(&choice, &last(Which::Ours)?, &last(Which::Real)?)?;
    std::fs::write(&file, text).with_context(|| format!("failed to write {}", file.display()))
}

/// Returns the file that keeps what came of the last whole run against a side.
fn kept(which: Which) -> PathBuf {
    Path::new(KEPT).join(format!("{which}.json"))
}

fn last(which: Which) -> anyhow::Result<Outcomes> {
    let text = std::fs::read(kept(which)).with_context(|| format!("a document needs a whole run against {which}"))?;
    Ok(serde_json::from_slice(&text)?)
}

async fn run(options: &Options, suite: &Suite, choice: &Choice, which: Which) -> anyhow::Result<Outcomes> {
    let focus = |names: &[String]| -> Vec<String> {
        names.iter().filter(|name| options.focus.iter().all(|words| name.contains(words))).cloned().collect()
    };
    let (alone, scheduled) = (focus(&choice.run), focus(&choice.scheduled));
    let mut side = Side::start(which, &options.peers).await?;
    let mut found = suite.run(&side, &alone).await?;
    if !scheduled.is_empty() {
        side.schedule()?;
        found.extend(suite.run(&side, &scheduled).await?);
    }
    Ok(found)
}

struct Options {
    peers: PathBuf,
    document: Option<PathBuf>,
    /// Words that a test's name has to contain.
    focus: Vec<String>,
    /// What the tests are run against; a document takes the last whole run of each.
    sides: Vec<Which>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Options> {
        let mut options = Options {
            peers: PathBuf::from("target/peers"),
            document: None,
            focus: Vec::new(),
            sides: vec![Which::Ours, Which::Real],
        };
        while let Some(flag) = args.next() {
            let value = args.next().with_context(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--peers" => options.peers = PathBuf::from(value),
                "--document" => options.document = Some(PathBuf::from(value)),
                "--focus" => options.focus.push(value),
                "--against" if value == "none" => options.sides = Vec::new(),
                "--against" => options.sides = vec![value.parse()?],
                _ => bail!(
                    "usage: upstream [--peers FOLDER] [--focus WORDS] [--against ours|real|none] [--document FILE]"
                ),
            }
        }
        options.peers = options.peers.canonicalize().context("the folder of the peers is not there")?;
        Ok(options)
    }
}
