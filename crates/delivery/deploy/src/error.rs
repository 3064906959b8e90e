//! Why a template was not deployed, and what to do now.

use std::fmt;

use base::fault::{Class, Fault};
use client::Cause;

use crate::Done;

/// An object that the cluster did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which one: `Deployment shop/orders`.
    pub object: String,
    /// The HTTP status of the answer; 0 where none came.
    pub code: u16,
    /// The API server's own words.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.message)?;
        match self.next() {
            "" => Ok(()),
            next => write!(f, " ({next})"),
        }
    }
}

impl Refusal {
    /// Says what to do now.
    fn next(&self) -> &'static str {
        match self.code {
            401 => "log in with credentials that the cluster knows",
            403 => "ask whoever runs the cluster for a role or a quota that allows it",
            404 if self.message.contains("namespaces") => "make the namespace first, or choose another",
            409 => "leave the field to whom it belongs, or take it over with --force-conflicts",
            400 | 422 | 500 => "change the parameters or the template",
            _ => "",
        }
    }
}

/// Why a template was not deployed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Objects of the template are none that can be applied.
    #[error("nothing was applied: {reason}")]
    Objects {
        /// Every mistake.
        reason: String,
    },
    /// The cluster does not have these kinds.
    #[error(
        "nothing was applied: the cluster does not serve the kind of {objects}; install what defines it, or correct apiVersion and kind"
    )]
    Kinds {
        /// The objects.
        objects: String,
    },
    /// The cluster would not take these objects.
    #[error("nothing was applied: {}", list(refusals))]
    Refused {
        /// Every one of them.
        refusals: Vec<Refusal>,
    },
    /// An object was refused after all were tried; those before it are applied.
    #[error(
        "it broke off at {refusal}; {} applied before it: deploy again to go on, nothing is done twice",
        applied(done)
    )]
    Broken {
        /// What was refused.
        refusal: Refusal,
        /// What is applied.
        done: Vec<Done>,
    },
    /// The cluster could not be asked.
    #[error("failed to {operation}")]
    Ask {
        /// What for.
        operation: String,
        /// The client's error.
        source: Cause,
    },
    /// There is no such template.
    #[error("there is no template {name:?} in the cluster; there is {}", if known.is_empty() { "none" } else { known })]
    NotFound {
        /// Its name.
        name: String,
        /// Those that there are.
        known: String,
    },
}

fn list(refusals: &[Refusal]) -> String {
    refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ")
}

fn applied(done: &[Done]) -> String {
    let names = done.iter().map(|one| format!("{} {}", one.kind, one.name)).collect::<Vec<_>>();
    match names.as_slice() {
        [] => "nothing was".to_owned(),
        [one] => format!("{one} was"),
        _ => format!("{} were", names.join(", ")),
    }
}

impl Fault for Error {
    fn class(&self) -> Class {
        match self {
            Error::Ask { .. } => Class::Transient,
            _ => Class::Stalled,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Error::Objects { .. } => "TPL0004",
            Error::Kinds { .. } => "TPL0005",
            Error::Refused { .. } => "TPL0006",
            Error::Broken { .. } => "TPL0007",
            Error::Ask { .. } => "TPL0008",
            Error::NotFound { .. } => "TPL0009",
        }
    }
}
