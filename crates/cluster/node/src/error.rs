//! What can fail in the node. It decides nothing: pods turn these into waiting reasons.

use std::{io, path::PathBuf, time::Duration};

use base::fault::{Class, Fault};

/// Why an operation of the node failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused an operation.
    #[error("failed to {operation} {}", path.display())]
    Disk {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel refused a change of the network.
    #[error("failed to {operation} {name}")]
    Network {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On which interface.
        name: String,
        /// The kernel's answer.
        source: rtnetlink::Error,
    },
    /// The kernel refused a system call.
    #[error("failed to {operation}")]
    System {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The kernel's answer.
        source: nix::Error,
    },
    /// A pod's shim does not do what it is asked.
    #[error("the shim of pod {pod} failed: {why}")]
    Shim {
        /// The pod's uid.
        pod: String,
        /// What happened.
        why: String,
    },
    /// The API server refused or did not answer.
    #[error("failed to {operation}")]
    Api {
        /// What was tried.
        operation: String,
        /// The client's error.
        source: kube::Error,
    },
    /// An image could not be had.
    #[error("image {image} cannot be used")]
    Image {
        /// The reference in the pod.
        image: String,
        /// Why.
        source: images::Error,
    },
    /// Something that the pod refers to is not there or not right.
    #[error("{field} cannot be resolved: {why}")]
    Config {
        /// The field that refers to it.
        field: String,
        /// What is wrong.
        why: String,
    },
    /// The pod asks for what this node does not do.
    #[error("this node does not support {}", fields.join(", "))]
    Unsupported {
        /// Each field with the reason.
        fields: Vec<String>,
    },
    /// Every address of the range is taken.
    #[error("no pod address is free in {range}")]
    Addresses {
        /// The range.
        range: String,
    },
    /// A state file is damaged.
    #[error("{} is damaged", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
}

impl Error {
    pub(crate) fn disk(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { operation, path, source }
    }

    pub(crate) fn system(operation: &'static str) -> impl FnOnce(nix::Error) -> Self {
        move |source| Self::System { operation, source }
    }

    pub(crate) fn api(operation: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Api { operation, source }
    }
}

/// Returns an error as people read it in a status or event: causes once each, and of an
/// API server's answer its message alone.
pub(crate) fn say(error: &Error) -> String {
    match error {
        Error::Api { source: kube::Error::Api(status), .. } => format!("{error}: {}", status.message),
        _ => base::fault::Chain(error).to_string(),
    }
}

impl Fault for Error {
    fn class(&self) -> Class {
        match self {
            Self::Disk { .. } | Self::Network { .. } | Self::Shim { .. } | Self::Api { .. } => Class::Transient,
            Self::System { .. } | Self::Unsupported { .. } => Class::Stalled,
            Self::Image { source, .. } => source.class(),
            Self::Config { .. } | Self::Addresses { .. } => Class::Waiting(Duration::from_secs(10)),
            Self::State { .. } => Class::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Disk { .. } => "NODE0001",
            Self::Network { .. } => "NODE0002",
            Self::System { .. } => "NODE0003",
            Self::Shim { .. } => "NODE0004",
            Self::Api { .. } => "NODE0005",
            Self::Image { source, .. } => source.code(),
            Self::Config { .. } => "NODE0006",
            Self::Unsupported { .. } => "NODE0007",
            Self::Addresses { .. } => "NODE0008",
            Self::State { .. } => "NODE0009",
        }
    }
}
