//! What is wrong with an expression (when it is compiled) or with a value (when it is evaluated).

use std::fmt;

/// One thing that is wrong with an expression's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The byte of the source where it begins.
    pub at: usize,
    /// What is wrong, in the words of Kubernetes' compiler.
    pub message: String,
}

impl Issue {
    pub(crate) fn new(at: usize, message: String) -> Issue {
        Issue { at, message }
    }
}

/// Why an expression cannot be used: every issue, each with the line that it is on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct CompileError {
    source_text: String,
    /// What is wrong.
    pub issues: Vec<Issue>,
}

impl CompileError {
    pub(crate) fn new(source: &str, issues: Vec<Issue>) -> CompileError {
        CompileError { source_text: source.to_owned(), issues }
    }

    fn text(&self) -> String {
        self.issues.iter().map(|issue| self.place(issue)).collect::<Vec<_>>().join("\n")
    }

    /// Shows an issue below the line it is on, with a caret.
    fn place(&self, issue: &Issue) -> String {
        let at = issue.at.min(self.source_text.len());
        let at = (0..=at).rev().find(|at| self.source_text.is_char_boundary(*at)).unwrap_or_default();
        let before = &self.source_text[..at];
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let column = self.source_text[start..at].chars().count();
        // A dot for every letter before it, a wide one for a letter that takes more than a byte.
        let dots: String = self.source_text[start..at].chars().map(|c| if c.is_ascii() { '.' } else { '．' }).collect();
        let caret = if self.source_text[at..].chars().next().is_none_or(|c| c.is_ascii()) { '^' } else { '＾' };
        let shown = self.source_text[start..].lines().next().unwrap_or_default();
        format!("ERROR: <input>:{line}:{}: {}\n | {shown}\n | {dots}{caret}", column + 1, issue.message)
    }
}

/// Why an evaluation gave no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvalError {
    /// The expression failed, for example `no such key: x`.
    Failed(String),
    /// The evaluation cost more than it may.
    CostExceeded,
}

impl EvalError {
    pub(crate) fn failed(message: impl Into<String>) -> EvalError {
        EvalError::Failed(message.into())
    }

    pub(crate) fn overload() -> EvalError {
        EvalError::Failed("no such overload".to_owned())
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvalError::Failed(message) => f.write_str(message),
            EvalError::CostExceeded => f.write_str("operation cancelled: actual cost limit exceeded"),
        }
    }
}

impl std::error::Error for EvalError {}
