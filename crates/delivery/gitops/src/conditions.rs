//! Conditions as `metav1.Condition` has them: the time moves only when the status does. Pure.

use platform::kinds::Condition;

/// Returns a condition, with the time of the old one if its status was the same.
pub(crate) fn set(
    old: &[Condition],
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    generation: i64,
    now: &str,
) -> Condition {
    let before = old.iter().find(|one| one.kind == kind && one.status == status);
    Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: before.map_or_else(|| now.to_owned(), |one| one.last_transition_time.clone()),
        observed_generation: generation,
    }
}
