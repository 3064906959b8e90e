//! From a microservice and its `Application` to the status. Pure.

use platform::{
    argo::ApplicationStatus,
    kinds::{Condition, MicroserviceStatus},
};

use crate::conditions;

/// What was seen of a microservice in one pass.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) generation: i64,
    pub(crate) host: Option<String>,
    pub(crate) repository: Option<String>,
    pub(crate) requested_commit: Option<String>,
    /// Reason and message of what keeps it from being ready.
    pub(crate) problem: Option<(String, String)>,
    /// The status of its application, if there is one.
    pub(crate) application: Option<ApplicationStatus>,
    pub(crate) now: String,
}

/// Makes the new status out of the old one.
pub(crate) fn summarize(old: &MicroserviceStatus, seen: Seen) -> MicroserviceStatus {
    let set = |kind: &str, status: &str, reason: &str, message: &str| -> Condition {
        conditions::set(&old.conditions, kind, status, reason, message, seen.generation, &seen.now)
    };
    let application = seen.application.unwrap_or_default();
    let ready = match &seen.problem {
        Some((reason, message)) => set("Ready", "False", reason, message),
        None => set("Ready", "True", "Provisioned", "repository and application exist"),
    };
    let wrong: Vec<&str> = application.conditions.iter().map(|one| one.message.as_str()).collect();
    let going_on = application.operation_state.as_ref().map_or("", |state| state.message.as_str());
    let said = if wrong.is_empty() { going_on.to_owned() } else { wrong.join("; ") };
    let synced = match application.sync.status.as_str() {
        "Synced" => set("Synced", "True", "Synced", ""),
        "OutOfSync" => set("Synced", "False", "OutOfSync", &said),
        other => set("Synced", "Unknown", if other.is_empty() { "Unknown" } else { other }, &said),
    };
    let health = application.health.message.as_deref().unwrap_or_default();
    let healthy = match application.health.status.as_str() {
        "Healthy" => set("Healthy", "True", "Healthy", ""),
        "Unknown" | "" => set("Healthy", "Unknown", "Unknown", health),
        other => set("Healthy", "False", other, health),
    };
    let last = application.sync.revisions.last().cloned();
    MicroserviceStatus {
        observed_generation: seen.generation,
        conditions: vec![ready, synced, healthy],
        host: seen.host.or_else(|| old.host.clone()),
        repository: seen.repository.or_else(|| old.repository.clone()),
        commit: last.or_else(|| old.commit.clone()),
        requested_commit: seen.requested_commit.or_else(|| old.requested_commit.clone()),
    }
}

#[cfg(test)]
mod tests {
    use platform::argo::{HealthStatus, SyncStatus};

    use super::*;

    #[test]
    fn the_application_is_mirrored_and_times_move_only_with_the_status() {
        let seen = |health: &str, now: &str| Seen {
            now: now.into(),
            application: Some(ApplicationStatus {
                sync: SyncStatus {
                    status: "Synced".into(),
                    revision: None,
                    revisions: vec!["chart".into(), "service".into()],
                },
                health: HealthStatus { status: health.into(), message: Some("why".into()) },
                ..ApplicationStatus::default()
            }),
            ..Seen::default()
        };
        let first = summarize(&MicroserviceStatus::default(), seen("Progressing", "t1"));
        assert_eq!(first.commit.as_deref(), Some("service"));
        let second = summarize(&first, seen("Progressing", "t2"));
        assert_eq!(first, second);
        let third = summarize(&second, seen("Healthy", "t3"));
        let healthy = third.conditions.iter().find(|one| one.kind == "Healthy").unwrap();
        assert_eq!((healthy.status.as_str(), healthy.last_transition_time.as_str()), ("True", "t3"));
    }
}
