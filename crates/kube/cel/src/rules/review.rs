//! What the rules of a definition could cost together, and which of them cost too much.

use super::{Compiled, Fault, Limits, Problem};
use crate::cost::{self, Bound};

/// What the rules of a definition could cost.
pub(super) struct Review {
    limits: Limits,
    total: u64,
    /// The places of the dearest rules, with their costs.
    dearest: Vec<(u64, String)>,
}

impl Review {
    /// How many of the dearest rules are named when all together cost too much.
    const NAMED: usize = 4;

    pub(super) fn new(limits: Limits) -> Review {
        Review { limits, total: 0, dearest: Vec::new() }
    }

    /// Takes a rule into account that stands at `times` places of an object, or as many as there is room for.
    pub(super) fn rule(
        &mut self,
        compiled: &Compiled,
        bound: &Bound,
        times: Option<u64>,
        at: &str,
        problems: &mut Vec<Problem>,
    ) {
        let times = times.unwrap_or_else(|| bound.at_most());
        let each = compiled.program.estimate(bound).saturating_mul(times);
        self.take("estimated rule cost", each, format!("{at}.rule"), problems);
        if let Some(message) = &compiled.message {
            let path = format!("{at}.messageExpression");
            self.take("estimated messageExpression cost", message.estimate(bound), path, problems);
        }
    }

    fn take(&mut self, what: &str, cost: u64, path: String, problems: &mut Vec<Problem>) {
        if cost > cost::RULE_LIMIT && self.limits == Limits::All {
            let message = cost::exceeds(what, cost, cost::RULE_LIMIT);
            problems.push(Problem { path: path.clone(), fault: Fault::Forbidden, message });
        }
        self.total = self.total.saturating_add(cost);
        // What is less than a hundredth of the limit is not named.
        if cost >= cost::DEFINITION_LIMIT / 100 {
            self.dearest.push((cost, path));
        }
    }

    pub(super) fn end(mut self) -> Vec<Problem> {
        if self.total <= cost::DEFINITION_LIMIT {
            return Vec::new();
        }
        self.dearest.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        let message = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        let named = self.dearest.into_iter().take(Self::NAMED);
        let mut problems: Vec<Problem> =
            named.map(|(_, path)| Problem { path, fault: Fault::Forbidden, message: message.to_owned() }).collect();
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        let message = cost::exceeds(what, self.total, cost::DEFINITION_LIMIT);
        problems.push(Problem { path: String::new(), fault: Fault::Forbidden, message });
        problems
    }
}
