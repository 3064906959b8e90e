//! What may go wrong with a release, and what to do.

use std::time::Duration;

use base::fault::{Class, Fault};
use client::Cause;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No cluster answers.
    #[error(
        "the cluster cannot be reached: {reason}; name one with --kubeconfig, or start a platform with 'roadstead up'"
    )]
    Unreachable {
        /// What was tried and what came of it.
        reason: String,
    },
    /// There is no such release, or no such revision of it.
    #[error("{what} is not found in namespace {namespace}; 'roadstead helm list -A' shows what there is")]
    NoRelease {
        /// Which one.
        what: String,
        /// Where it was looked for.
        namespace: String,
    },
    /// Somebody works on the release, or stopped in the middle.
    #[error(
        "another operation is in progress: revision {revision} is {status} since {since}; if nobody works on it any more, 'roadstead helm rollback {name}' brings the last good revision back, and 'roadstead helm uninstall {name}' takes the release away"
    )]
    Pending {
        /// The release.
        name: String,
        /// Its newest revision.
        revision: u32,
        /// How it stands.
        status: &'static str,
        /// Since when.
        since: String,
    },
    /// The name is taken.
    #[error(
        "release {name} is there already ({status}): upgrade it with 'roadstead helm upgrade {name}', or choose another name"
    )]
    NameInUse {
        /// The name.
        name: String,
        /// How it stands.
        status: &'static str,
    },
    /// An object of that name is there and belongs to somebody else.
    #[error(
        "{object} is there already and is not this release's ({reason}); delete it, or take it over with --take-ownership"
    )]
    Foreign {
        /// Which one.
        object: String,
        /// What its marks say.
        reason: String,
    },
    /// The cluster does not have the kind.
    #[error("{object}: the cluster has no kind {kind} in {version}; install its definition first")]
    NoKind {
        /// What was to be made.
        object: String,
        /// The kind.
        kind: String,
        /// Its group and version.
        version: String,
    },
    /// The API server refused.
    #[error("failed to {operation} {object}")]
    Api {
        /// What was tried.
        operation: &'static str,
        /// With what.
        object: String,
        /// What it said.
        source: Cause,
    },
    /// A hook failed.
    #[error("{event} hook {path} failed: {reason}")]
    Hook {
        /// When it ran.
        event: &'static str,
        /// Its template.
        path: String,
        /// What became of it.
        reason: String,
    },
    /// Something was not there in time.
    #[error("{what} after {after:?}: {missing}; give it longer with --timeout, or look with 'kubectl describe'")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
        /// What was missing.
        missing: String,
    },
    /// Something will never be there.
    #[error("{object} failed: {reason}")]
    Failed {
        /// Which one.
        object: String,
        /// Why.
        reason: String,
    },
    /// A record cannot be read or written.
    #[error("release {name}")]
    Record {
        /// The release.
        name: String,
        /// What is wrong.
        source: release::record::Error,
    },
    /// A definition cannot become the chart's.
    #[error("definition {name} cannot be brought up to date: {reason}")]
    Definition {
        /// Which one.
        name: String,
        /// What stands against it.
        reason: String,
    },
    /// Somebody stopped it.
    #[error("interrupted")]
    Interrupted,
    /// It failed and was undone.
    #[error("release {name} failed, and {undone} because of --atomic")]
    Undone {
        /// The release.
        name: String,
        /// What was done about it.
        undone: String,
        /// Why it failed.
        source: Box<Error>,
    },
    /// It failed, and so did undoing it.
    #[error("release {name} failed ({first}), and undoing it failed too")]
    NotUndone {
        /// The release.
        name: String,
        /// Why it failed.
        first: String,
        /// Why it could not be undone.
        source: Box<Error>,
    },
    /// The command does not make sense.
    #[error("{reason}")]
    Usage {
        /// Why, and what would.
        reason: String,
    },
    /// The chart, or what it is rendered with.
    #[error(transparent)]
    Render {
        /// What the engine says.
        #[from]
        source: render::Error,
    },
    /// Something would change, and the command was told to fail then.
    #[error("{count} objects would change")]
    Differs {
        /// How many.
        count: usize,
        /// What is printed anyway.
        text: String,
    },
}

impl From<helm::Error> for Error {
    fn from(source: helm::Error) -> Self {
        Error::Render { source: render::Error::Chart { source } }
    }
}

impl Error {
    /// Returns the status that the API server answered with.
    pub(crate) fn status(&self) -> Option<u16> {
        self.answer().map(|status| status.code)
    }

    /// Returns whether the API server answered with this reason, for example `AlreadyExists`.
    pub(crate) fn is_because(&self, reason: &str) -> bool {
        self.answer().is_some_and(|status| status.reason == reason)
    }

    fn answer(&self) -> Option<&kube::core::Status> {
        let Error::Api { source, .. } = self else { return None };
        match source.0.as_ref() {
            kube::Error::Api(status) => Some(status),
            _ => None,
        }
    }

    /// Returns all of it in one line, for the record.
    pub(crate) fn line(&self) -> String {
        base::fault::Chain(self).to_string()
    }
}

impl Fault for Error {
    fn class(&self) -> Class {
        match self {
            Error::Unreachable { .. } | Error::Timeout { .. } | Error::Interrupted => Class::Transient,
            Error::Pending { .. } => Class::Waiting(Duration::from_secs(10)),
            Error::Api { .. } if self.status().is_none_or(|code| code >= 500 || code == 429) => Class::Transient,
            Error::Render { source } => source.class(),
            Error::Undone { source, .. } | Error::NotUndone { source, .. } => source.class(),
            _ => Class::Stalled,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Error::Unreachable { .. } => "HLM0001",
            Error::NoRelease { .. } => "HLM0002",
            Error::Pending { .. } => "HLM0003",
            Error::NameInUse { .. } => "HLM0004",
            Error::Foreign { .. } => "HLM0005",
            Error::NoKind { .. } => "HLM0006",
            Error::Api { .. } => "HLM0007",
            Error::Hook { .. } => "HLM0008",
            Error::Timeout { .. } => "HLM0009",
            Error::Failed { .. } => "HLM0010",
            Error::Record { .. } => "HLM0011",
            Error::Definition { .. } => "HLM0012",
            Error::Interrupted => "HLM0013",
            Error::Undone { .. } | Error::NotUndone { .. } => "HLM0014",
            Error::Usage { .. } | Error::Differs { .. } => "HLM0015",
            Error::Render { source } => source.code(),
        }
    }
}
