//! What can fail with images. It decides nothing: the registry maps these to OCI
//! error codes, the node to waiting reasons.

use std::{io, path::PathBuf};

use base::fault::{Class, Fault};

/// Why an operation on images failed.
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
    /// A text is not a digest that is supported.
    #[error("{value:?} is not a digest: use sha256: and 64 hexadecimal digits")]
    InvalidDigest {
        /// What was given.
        value: String,
    },
    /// Content does not have the digest that it is known by.
    #[error("content has the digest {actual}, not {expected}")]
    DigestMismatch {
        /// What it should be.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// A text is not an image reference.
    #[error("{value:?} is not an image reference: {why}")]
    InvalidReference {
        /// What was given.
        value: String,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// The image lies in a registry that the platform does not pull from.
    #[error(
        "images are run from {registry} only, and {reference} names {host}: copy it with \
         `skopeo copy docker://{reference} docker://<this platform's registry address>/{repository}` and use {registry}/{repository}",
        registry = crate::REGISTRY_HOST
    )]
    RemoteRegistry {
        /// The reference as written.
        reference: String,
        /// The registry that it names.
        host: String,
        /// Repository and tag, for the command in the message.
        repository: String,
    },
    /// There is no such image.
    #[error("{reference} is not in the platform's registry: push it there first")]
    NotFound {
        /// What was looked for.
        reference: String,
    },
    /// A manifest or configuration is not what the specification says.
    #[error("{digest} is not a valid image: {why}")]
    InvalidManifest {
        /// Its digest.
        digest: String,
        /// What is wrong.
        why: String,
    },
    /// A file is not an executable that can be packed.
    #[error("{} cannot be packed: {why}", path.display())]
    Elf {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// A library that an executable names is not on this machine.
    #[error("{} needs {name}, which is in none of the places that the dynamic linker looks", needed_by.display())]
    LibraryNotFound {
        /// The library.
        name: String,
        /// Who names it.
        needed_by: PathBuf,
    },
    /// A layer holds an entry that must not be extracted.
    #[error("layer {layer} is refused because of its entry {entry:?}: {why}")]
    UnsafeLayer {
        /// The layer's digest.
        layer: String,
        /// The entry's path.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Something is larger than is allowed.
    #[error("{what} is larger than the limit of {limit}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// The limit, in bytes or entries.
        limit: u64,
    },
}

impl Error {
    pub(crate) fn disk(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { operation, path, source }
    }
}

impl Fault for Error {
    fn class(&self) -> Class {
        match self {
            Self::Disk { .. } => Class::Transient,
            _ => Class::Stalled,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Disk { .. } => "IMG0001",
            Self::InvalidDigest { .. } => "IMG0002",
            Self::DigestMismatch { .. } => "IMG0003",
            Self::InvalidReference { .. } => "IMG0004",
            Self::RemoteRegistry { .. } => "IMG0005",
            Self::NotFound { .. } => "IMG0006",
            Self::InvalidManifest { .. } => "IMG0007",
            Self::Elf { .. } => "IMG0008",
            Self::LibraryNotFound { .. } => "IMG0009",
            Self::UnsafeLayer { .. } => "IMG0010",
            Self::TooLarge { .. } => "IMG0011",
        }
    }
}
