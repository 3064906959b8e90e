//! Why the proxy did not start or could not be asked. Never why a single request failed: see `answer`.

use std::{net::SocketAddr, path::PathBuf};

use base::fault::{Class, Fault};

/// A failure of the proxy process or of a question to it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener's address could not be taken.
    #[error("failed to listen on {address}: {}", taken(source))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The data folder could not be made.
    #[error("failed to make the folder {}", path.display())]
    MakeFolder {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The gateway's certificate authority could not be read.
    #[error("failed to read the gateway's certificate authority from {}", path.display())]
    ReadAuthority {
        /// Certificate or key.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The gateway's certificate authority cannot sign.
    #[error("the gateway's certificate authority is not usable")]
    UseAuthority {
        /// What is wrong with it.
        source: rcgen::Error,
    },
    /// TLS could not be set up.
    #[error("failed to set up TLS")]
    SetUpTls {
        /// The library's answer.
        source: rustls::Error,
    },
    /// A worker or the control runtime could not be started.
    #[error("failed to start a worker of the proxy")]
    StartWorker {
        /// The system's answer.
        source: std::io::Error,
    },
    /// The control socket could not be made.
    #[error("failed to listen on the control socket {}", path.display())]
    BindControl {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// No proxy answers on the control socket.
    #[error("failed to ask the proxy at {}", path.display())]
    Ask {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The proxy's answer could not be read.
    #[error("failed to understand the proxy's answer at {}", path.display())]
    Understand {
        /// The socket.
        path: PathBuf,
        /// The parser's answer.
        source: serde_json::Error,
    },
    /// The proxy's files could not be removed.
    #[error("failed to remove {}", path.display())]
    Purge {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

fn taken(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::AddrInUse => "the port is taken by another process; stop it or choose another port",
        std::io::ErrorKind::PermissionDenied => "this user may not take the port; choose one above 1023",
        _ => "the system refused",
    }
}

impl Fault for Error {
    fn class(&self) -> Class {
        match self {
            Error::Ask { .. } => Class::Transient,
            Error::Understand { .. } | Error::SetUpTls { .. } => Class::Internal,
            _ => Class::Stalled,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Error::Bind { .. } => "GW0001",
            Error::MakeFolder { .. } => "GW0002",
            Error::ReadAuthority { .. } => "GW0003",
            Error::UseAuthority { .. } => "GW0004",
            Error::SetUpTls { .. } => "GW0005",
            Error::StartWorker { .. } => "GW0006",
            Error::BindControl { .. } => "GW0007",
            Error::Ask { .. } => "GW0008",
            Error::Understand { .. } => "GW0009",
            Error::Purge { .. } => "GW0010",
        }
    }
}
