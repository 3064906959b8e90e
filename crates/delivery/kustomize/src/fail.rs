//! Failures on their way up: the text grows as kustomize's does.

use crate::Error;

/// Which kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A file cannot be read.
    Load,
    /// A text is no YAML, or no resource.
    Yaml,
    /// A kustomization says what it cannot say.
    Kustomization,
    /// Resources cannot be built as asked.
    Build,
    /// What kustomize has and this engine has not.
    Unsupported,
    /// A bound was reached.
    Limit,
    /// A repository cannot be fetched.
    Remote,
}

/// A failure with its text so far.
#[derive(Clone, Debug)]
pub(crate) struct Fail {
    pub(crate) cause: Cause,
    pub(crate) text: String,
    /// The text stands for a file that is no YAML at all.
    pub(crate) malformed: bool,
}

/// What a step returns.
pub(crate) type Step<T> = Result<T, Fail>;

impl Fail {
    pub(crate) fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self { cause, text: text.into(), malformed: false }
    }

    pub(crate) fn build(text: impl Into<String>) -> Self {
        Self::new(Cause::Build, text)
    }

    pub(crate) fn said(text: impl Into<String>) -> Self {
        Self::new(Cause::Kustomization, text)
    }

    /// Puts `prefix: ` before the text.
    pub(crate) fn under(mut self, prefix: impl std::fmt::Display) -> Self {
        self.text = format!("{prefix}: {}", self.text);
        self
    }

    pub(crate) fn into_error(self) -> Error {
        let text = self.text;
        match self.cause {
            Cause::Load => Error::Load { text },
            Cause::Yaml => Error::Yaml { text },
            Cause::Kustomization => Error::Kustomization { text },
            Cause::Build => Error::Build { text },
            Cause::Unsupported => Error::Unsupported { text },
            Cause::Limit => Error::Limit { text },
            Cause::Remote => Error::Remote { text },
        }
    }
}

impl From<String> for Fail {
    fn from(text: String) -> Self {
        Fail::build(text)
    }
}

/// Adds context to a failure.
pub(crate) trait Context<T> {
    /// Puts `prefix: ` before the failure's text.
    fn under(self, prefix: impl FnOnce() -> String) -> Step<T>;
}

impl<T> Context<T> for Step<T> {
    fn under(self, prefix: impl FnOnce() -> String) -> Step<T> {
        self.map_err(|fail| fail.under(prefix()))
    }
}
