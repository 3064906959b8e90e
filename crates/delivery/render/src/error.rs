//! What may go wrong on the way in and out.

use std::path::PathBuf;

use base::fault::{Class, Fault};

/// Why something could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder holds more than a chart may.
    #[error("{}: {reason}", path.display())]
    Folder {
        /// Which one.
        path: PathBuf,
        /// What is too much, or of the wrong kind.
        reason: String,
    },
    /// A values file is no map of values.
    #[error("failed to parse {file}: {reason}")]
    Values {
        /// Its name as given.
        file: String,
        /// Where and why.
        reason: String,
    },
    /// There is no such chart.
    #[error("chart {reference:?} is not found: {reason}")]
    NotFound {
        /// The chart as given.
        reference: String,
        /// Where it was looked for, and what to do.
        reason: String,
    },
    /// Another machine did not give what was asked for.
    #[error("failed to fetch {url}: {reason}")]
    Fetch {
        /// What was asked for.
        url: String,
        /// What came instead.
        reason: String,
    },
    /// The release cannot have that name.
    #[error("{reason}")]
    Name {
        /// Why.
        reason: String,
    },
    /// The chart itself.
    #[error(transparent)]
    Chart {
        /// What the engine says.
        #[from]
        source: helm::Error,
    },
    /// The kustomization itself.
    #[error(transparent)]
    Kustomization {
        /// What the engine says.
        #[from]
        source: kustomize::Error,
    },
    /// Something was found.
    #[error(transparent)]
    Lint {
        /// How much.
        #[from]
        source: lint::Error,
    },
    /// The template itself.
    #[error(transparent)]
    Template {
        /// What the engine says.
        #[from]
        source: template::Error,
    },
    /// What was asked to be shown is not in the output.
    #[error("could not find template {name} in chart")]
    ShowOnly {
        /// The name or pattern.
        name: String,
    },
    /// The output cannot be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program that changes the output failed.
    #[error("error while running post render on files: {program}: {reason}")]
    PostRender {
        /// The program.
        program: String,
        /// What it said.
        reason: String,
    },
}

impl Fault for Error {
    fn class(&self) -> Class {
        match self {
            Error::Fetch { .. } => Class::Transient,
            Error::Chart { source } => source.class(),
            Error::Kustomization { source } => source.class(),
            Error::Template { source } => source.class(),
            Error::Lint { source } => source.class(),
            _ => Class::Stalled,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Error::Read { .. } => "RDR0001",
            Error::Folder { .. } => "RDR0002",
            Error::Values { .. } => "RDR0003",
            Error::NotFound { .. } => "RDR0004",
            Error::Fetch { .. } => "RDR0005",
            Error::Name { .. } => "RDR0006",
            Error::Chart { source } => source.code(),
            Error::Kustomization { source } => source.code(),
            Error::Template { source } => source.code(),
            Error::Lint { source } => source.code(),
            Error::ShowOnly { .. } => "RDR0007",
            Error::Write { .. } => "RDR0008",
            Error::PostRender { .. } => "RDR0009",
        }
    }
}
