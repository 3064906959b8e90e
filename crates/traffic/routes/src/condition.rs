//! Conditions as `metav1.Condition` is, made without looking at the time.

use serde_json::{Value, json};

/// A condition that holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    /// What it is about.
    pub(crate) kind: &'static str,
    /// Whether it holds.
    pub(crate) holds: bool,
    /// One word for machines, from the specification where it has one.
    pub(crate) reason: String,
    /// What happened and what to do.
    pub(crate) message: String,
}

impl Condition {
    /// Returns a condition that holds; its reason is its own name.
    pub(crate) fn good(kind: &'static str) -> Self {
        Condition { kind, holds: true, reason: kind.to_owned(), message: String::new() }
    }

    /// Returns a condition that does not hold, and why.
    pub(crate) fn bad(kind: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Condition { kind, holds: false, reason: reason.to_owned(), message: message.into() }
    }
}

/// Returns `new` as status holds it; a condition whose status stays keeps the time of `old`.
pub(crate) fn written(old: Option<&Value>, new: &[Condition], generation: i64, now: &str) -> Value {
    let old = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    new.iter()
        .map(|condition| {
            let status = if condition.holds { "True" } else { "False" };
            let since = old
                .iter()
                .find(|old| old["type"] == condition.kind && old["status"] == status)
                .and_then(|old| old["lastTransitionTime"].as_str())
                .filter(|since| *since != "1970-01-01T00:00:00Z")
                .unwrap_or(now);
            json!({
                "type": condition.kind,
                "status": status,
                "reason": condition.reason,
                "message": condition.message,
                "observedGeneration": generation,
                "lastTransitionTime": since,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_changes_with_the_status_only() {
        let first = written(None, &[Condition::good("Accepted")], 1, "2026-01-01T00:00:00Z");
        let same = written(Some(&first), &[Condition::good("Accepted")], 2, "2026-02-02T00:00:00Z");
        assert_eq!(same[0]["lastTransitionTime"], "2026-01-01T00:00:00Z");
        assert_eq!(same[0]["observedGeneration"], 2);
        let worse =
            written(Some(&same), &[Condition::bad("Accepted", "UnsupportedValue", "x")], 3, "2026-03-03T00:00:00Z");
        assert_eq!(worse[0]["lastTransitionTime"], "2026-03-03T00:00:00Z");
    }
}
