//! What a row of probe results means: counting successes and failures to their thresholds.

use k8s_openapi::api::core::v1::Probe;

/// Which question a probe answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Whether the container has started; until then the others wait.
    Startup,
    /// Whether it has to be restarted.
    Liveness,
    /// Whether it may be sent requests.
    Readiness,
}

/// What a probe has found so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Too few results yet.
    Unknown,
    /// The success threshold is reached.
    Good,
    /// The failure threshold is reached.
    Bad,
}

/// Counts one probe's results.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    successes: i32,
    failures: i32,
    need: i32,
    allow: i32,
    verdict: Verdict,
}

impl Counter {
    pub(crate) fn new(probe: &Probe) -> Self {
        Self {
            successes: 0,
            failures: 0,
            need: probe.success_threshold.unwrap_or(1).max(1),
            allow: probe.failure_threshold.unwrap_or(3).max(1),
            verdict: Verdict::Unknown,
        }
    }

    /// Adds one result and returns the verdict, which stays until the other threshold is reached.
    pub(crate) fn add(&mut self, success: bool) -> Verdict {
        if success {
            self.failures = 0;
            self.successes = (self.successes + 1).min(self.need);
            if self.successes == self.need {
                self.verdict = Verdict::Good;
            }
        } else {
            self.successes = 0;
            self.failures = (self.failures + 1).min(self.allow);
            if self.failures == self.allow {
                self.verdict = Verdict::Bad;
            }
        }
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_decide_and_a_verdict_stays_until_the_other_is_reached() {
        let probe = Probe { success_threshold: Some(2), failure_threshold: Some(3), ..Probe::default() };
        let mut counter = Counter::new(&probe);
        let verdicts: String = "+-++--+---+++"
            .chars()
            .map(|c| match counter.add(c == '+') {
                Verdict::Unknown => '?',
                Verdict::Good => 'G',
                Verdict::Bad => 'B',
            })
            .collect();
        assert_eq!(verdicts, "???GGGGGGBBGG");
    }
}
