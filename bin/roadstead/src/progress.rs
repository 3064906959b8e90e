//! Steps with their seconds, as they pass.
//!
//! A detached platform writes its steps to a file; the command that started it reads
//! them from there.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use base::clock;

use crate::output;

/// Where steps go.
pub(crate) struct Progress {
    start: tokio::time::Instant,
    file: Option<PathBuf>,
}

impl Progress {
    pub(crate) fn new(file: Option<PathBuf>) -> Progress {
        Progress { start: clock::instant(), file }
    }

    /// Says that something is done.
    pub(crate) fn done(&self, what: &str) {
        let line = format!("{:6.2} s  {what}", self.start.elapsed().as_secs_f64());
        match &self.file {
            None => output::note(&line),
            Some(file) => append(file, &line),
        }
    }
}

fn append(file: &Path, line: &str) {
    let written =
        std::fs::OpenOptions::new().create(true).append(true).open(file).and_then(|mut file| writeln!(file, "{line}"));
    if let Err(error) = written {
        tracing::warn!(%error, "a step could not be written for the command that waits");
    }
}
