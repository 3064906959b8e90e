//! What a failure means to whoever has to act on it.
//!
//! The REST layer, the API server, the reconcilers and the CLI read [`Fault`]
//! only, never an error's variants; [`Class`] is mapped to HTTP, Kubernetes
//! `Status` and exit codes in one place.

use std::{error::Error, fmt, time::Duration};

/// What the caller should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The user has to change something; retrying alone cannot help.
    Stalled,
    /// Something else has to happen first; look again after this long.
    Waiting(Duration),
    /// Expected to pass; retry with back-off.
    Transient,
    /// A bug of ours; retry slowly and tell somebody.
    Internal,
}

impl Class {
    /// Returns the exit code of a command that failed with this class.
    ///
    /// All failures are `1`; `2` is kept for usage errors.
    pub fn exit_code(self) -> u8 {
        1
    }

    /// Returns the HTTP status that a REST answer carries for this class.
    pub fn http_status(self) -> u16 {
        match self {
            Class::Stalled => 422,
            Class::Waiting(_) => 409,
            Class::Transient => 503,
            Class::Internal => 500,
        }
    }

    /// Returns how long to wait before trying again, or `None` to wait for a change.
    ///
    /// `attempt` counts from 0 and doubles the wait up to five minutes.
    pub fn retry_after(self, attempt: u32) -> Option<Duration> {
        match self {
            Class::Stalled => None,
            Class::Waiting(after) => Some(after),
            Class::Transient => Some(Duration::from_millis(200 << attempt.min(10)).min(Duration::from_secs(300))),
            Class::Internal => Some(Duration::from_secs(300)),
        }
    }
}

/// An error that can be acted on without knowing its type.
pub trait Fault: Error + Send + Sync + 'static {
    /// Returns what the caller should do next.
    fn class(&self) -> Class;
    /// Returns the documented code of this failure, for example `GIT0002`; `docs/errors/` has a page for it.
    fn code(&self) -> &'static str;
}

/// Prints an error and its causes once each, joined by `: `.
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to render chart {chart}")]
    struct Render {
        chart: String,
        source: std::io::Error,
    }

    #[test]
    fn a_chain_prints_each_cause_once() {
        let error = Render { chart: "web".into(), source: std::io::Error::other("file not found") };
        assert_eq!(Chain(&error).to_string(), "failed to render chart web: file not found");
    }

    #[test]
    fn transient_failures_back_off_and_stalled_ones_wait_for_a_change() {
        assert_eq!(Class::Stalled.retry_after(9), None);
        assert!(Class::Transient.retry_after(3) > Class::Transient.retry_after(2));
        assert_eq!(Class::Transient.retry_after(40), Class::Transient.retry_after(10));
    }
}
