//! How a command in a container ended, in the words of the error channel.

use serde_json::{Value, json};

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With exit code 0, or an attached container's output is over.
    Success,
    /// With another exit code.
    Exit(i32),
    /// It was not run, or the end is not known.
    Failed(String),
}

impl Outcome {
    /// Returns the `Status` of the fourth and later versions of the protocols.
    pub fn status(&self) -> Value {
        match self {
            Outcome::Success => json!({"metadata": {}, "status": "Success"}),
            Outcome::Exit(code) => json!({
                "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
                "message": self.sentence(),
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Outcome::Failed(_) => json!({
                "metadata": {}, "status": "Failure", "reason": "InternalError",
                "message": self.sentence(), "code": 500,
            }),
        }
    }

    /// Returns the sentence of earlier versions; empty if all went well.
    pub fn sentence(&self) -> String {
        match self {
            Outcome::Success => String::new(),
            Outcome::Exit(code) => {
                format!("command terminated with non-zero exit code: command terminated with exit code {code}")
            }
            Outcome::Failed(why) => format!("Internal error occurred: {why}"),
        }
    }

    /// Returns what goes to the error channel, or nothing if it stays silent.
    pub fn told(&self, as_status: bool) -> String {
        if as_status { self.status().to_string() } else { self.sentence() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_a_cause_and_success_a_status_alone() {
        let status = Outcome::Exit(7).status();
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(status["details"]["causes"][0], json!({"reason": "ExitCode", "message": "7"}));
        assert_eq!(Outcome::Success.told(true), r#"{"metadata":{},"status":"Success"}"#);
        assert_eq!(Outcome::Success.told(false), "");
        assert_eq!(Outcome::Failed("x".into()).status()["code"], 500);
    }
}
