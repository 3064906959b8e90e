//! Findings about manifests, charts and kustomizations: what the API would refuse, what it no
//! longer serves, and what is better done otherwise.
//!
//! Texts in, findings out: no file, socket or clock is touched. Never changes what it reads, and
//! never stops at a mistake: a text that is broken is a finding.

mod chart;
mod kustomization;
mod links;
mod output;
mod pods;
mod report;
mod rules;
mod shape;
mod tree;
mod values;
mod versions;

use std::fmt;

use base::fault::{Class, Fault};

pub use chart::chart;
pub use kustomization::kustomization;
pub use output::{json, sarif, text};
pub use rules::{RULES, Rule, rule_of};

use report::{Input, Report};

/// How severe a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// It works, and is better done otherwise.
    Warning,
    /// It does not work.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// Of what text a finding's line is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lines {
    /// Of the file.
    #[default]
    Source,
    /// Of what the file renders to.
    Rendered,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name, for example `unknown-field`.
    pub rule: &'static str,
    /// How severe it is.
    pub severity: Severity,
    /// The file it is about.
    pub file: String,
    /// Of what text `line` is one.
    pub lines: Lines,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The object, for example `Deployment/web`; empty where there is none.
    pub object: String,
    /// The field, for example `spec.containers[0].image`; empty for the whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

/// Why an input does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There are findings as severe as asked for, or more.
    #[error("{errors} errors and {warnings} warnings were found")]
    Found {
        /// How many errors.
        errors: usize,
        /// How many warnings.
        warnings: usize,
    },
}

impl Fault for Error {
    fn class(&self) -> Class {
        Class::Stalled
    }

    fn code(&self) -> &'static str {
        "LNT0001"
    }
}

/// Looks at one file of manifests.
pub fn manifests(file: &str, text: &str) -> Vec<Finding> {
    folder(&[(file, text)])
}

/// Looks at several files of manifests as one input: a Service may select pods of another file.
pub fn folder(files: &[(&str, &str)]) -> Vec<Finding> {
    let inputs = files.iter().map(|(file, text)| Input::read(file, text, Lines::Source)).collect();
    look(inputs)
}

/// Fails where a finding is as severe as `at_least`, or more.
pub fn pass(findings: &[Finding], at_least: Severity) -> Result<(), Error> {
    if findings.iter().all(|finding| finding.severity < at_least) {
        return Ok(());
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    Err(Error::Found { errors: count(Severity::Error), warnings: count(Severity::Warning) })
}

/// Looks at texts as one input.
fn look(inputs: Vec<Input>) -> Vec<Finding> {
    let mut report = Report::new(inputs);
    report.mistakes();
    let inputs = report.inputs();
    let objects = report::objects(&inputs, &mut report);
    for object in &objects {
        if versions::check(object, &mut report) == versions::Served::Yes {
            shape::check(object, &mut report);
        }
    }
    links::check(&objects, &mut report);
    let accounts = pods::accounts(&objects);
    for object in &objects {
        pods::check(object, &accounts, &mut report);
    }
    report.finish()
}
