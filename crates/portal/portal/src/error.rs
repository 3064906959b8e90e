//! Why the portal did not start. Never why a request failed: see `problem`.

use std::path::PathBuf;

use base::fault::{Class, Fault};

/// A failure of the portal itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder for sessions cannot be made.
    #[error("failed to make the folder {}", path.display())]
    MakeFolder {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The sessions cannot be read.
    #[error("failed to read the sessions in {}", path.display())]
    ReadSessions {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The sessions cannot be written.
    #[error("failed to write the sessions to {}", path.display())]
    WriteSessions {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl Fault for Error {
    fn class(&self) -> Class {
        Class::Stalled
    }

    fn code(&self) -> &'static str {
        match self {
            Error::MakeFolder { .. } => "REST0101",
            Error::ReadSessions { .. } => "REST0102",
            Error::WriteSessions { .. } => "REST0103",
        }
    }
}
