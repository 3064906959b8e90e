//! The `authorizer` of admission policies: questions put together step by step, and
//! asked of whoever evaluates the expression.

use std::{fmt, sync::Arc};

/// What an expression asks whether the user may do it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The ServiceAccount asked for instead of the user: namespace and name.
    pub service_account: Option<(String, String)>,
    /// A path that is no object's.
    pub path: Option<String>,
    /// API group.
    pub group: String,
    /// Plural name.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Namespace; empty for all or none.
    pub namespace: String,
    /// Name; empty for all.
    pub name: String,
    /// Verb.
    pub verb: String,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// They may.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What went wrong while deciding.
    pub error: Option<String>,
}

/// Answers questions.
pub type Ask = Arc<dyn Fn(&Question) -> Decision + Send + Sync>;

/// A step on the way to an answer.
#[derive(Clone)]
pub struct Check {
    pub(crate) ask: Ask,
    pub(crate) question: Question,
    pub(crate) step: Step,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Authorizer,
    Path,
    Group,
    Resource,
    Decision(Decision),
}

impl Check {
    /// Returns the `authorizer` variable.
    pub fn authorizer(ask: Ask) -> Check {
        Check { ask, question: Question::default(), step: Step::Authorizer }
    }

    /// Returns the `authorizer.requestResource` variable: a check of the request's own object.
    pub fn resource(ask: Ask, question: Question) -> Check {
        Check { ask, question, step: Step::Resource }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self.step {
            Step::Authorizer => "kubernetes.authorization.Authorizer",
            Step::Path => "kubernetes.authorization.PathCheck",
            Step::Group => "kubernetes.authorization.GroupCheck",
            Step::Resource => "kubernetes.authorization.ResourceCheck",
            Step::Decision(_) => "kubernetes.authorization.Decision",
        }
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("question", &self.question).field("step", &self.step).finish_non_exhaustive()
    }
}
