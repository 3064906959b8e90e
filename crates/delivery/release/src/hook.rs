//! What runs before or after a release comes or goes, and what becomes of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ready::condition;

/// When hooks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Before anything is created.
    PreInstall,
    /// After everything is created (and, if asked for, ready).
    PostInstall,
    /// Before anything is deleted.
    PreDelete,
    /// After everything is deleted.
    PostDelete,
    /// Before anything is changed.
    PreUpgrade,
    /// After everything is changed.
    PostUpgrade,
    /// Before anything is changed back.
    PreRollback,
    /// After everything is changed back.
    PostRollback,
    /// When tests are asked for.
    Test,
}

impl Event {
    /// Returns its name in `helm.sh/hook`.
    pub fn name(self) -> &'static str {
        match self {
            Event::PreInstall => "pre-install",
            Event::PostInstall => "post-install",
            Event::PreDelete => "pre-delete",
            Event::PostDelete => "post-delete",
            Event::PreUpgrade => "pre-upgrade",
            Event::PostUpgrade => "post-upgrade",
            Event::PreRollback => "pre-rollback",
            Event::PostRollback => "post-rollback",
            Event::Test => "test",
        }
    }
}

/// When a hook's object is deleted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Before the hook runs again; so it is where nothing is said.
    BeforeHookCreation,
    /// When it went well.
    HookSucceeded,
    /// When it did not.
    HookFailed,
}

impl Policy {
    /// Returns its name in `helm.sh/hook-delete-policy` and `helm.sh/hook-output-log-policy`.
    pub fn name(self) -> &'static str {
        match self {
            Policy::BeforeHookCreation => "before-hook-creation",
            Policy::HookSucceeded => "hook-succeeded",
            Policy::HookFailed => "hook-failed",
        }
    }
}

/// How far a hook got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It never ran.
    #[default]
    #[serde(rename = "")]
    Never,
    /// It runs.
    Running,
    /// It went well.
    Succeeded,
    /// It did not.
    Failed,
    /// Nobody knows.
    #[serde(other)]
    Unknown,
}

/// When a hook ran last. Times are RFC 3339; empty means never.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastRun {
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub completed_at: String,
    /// How it ended.
    pub phase: Phase,
}

/// A hook, as a record holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hook {
    /// Its object's name.
    pub name: String,
    /// Its object's kind.
    pub kind: String,
    /// The template that it comes from.
    pub path: String,
    /// Its object.
    pub manifest: String,
    /// When it runs.
    pub events: Vec<String>,
    /// When it ran last.
    pub last_run: LastRun,
    /// Order among hooks of one event.
    #[serde(skip_serializing_if = "is_zero")]
    pub weight: i64,
    /// When its object is deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub delete_policies: Vec<String>,
    /// When its log is shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub output_log_policies: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(weight: &i64) -> bool {
    *weight == 0
}

impl Hook {
    /// Returns the record of a hook that was rendered.
    pub fn of(rendered: &helm::Hook) -> Result<Self, helm::Error> {
        let manifest = &rendered.manifest;
        let object = helm::parse_manifests(&manifest.source, &manifest.text)?.into_iter().next().unwrap_or_default();
        let policies = |name: &str| -> Vec<String> {
            let text = object["metadata"]["annotations"][name].as_str().unwrap_or_default();
            text.split(',').map(|policy| policy.trim().to_lowercase()).filter(|policy| !policy.is_empty()).collect()
        };
        Ok(Self {
            name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            kind: manifest.kind.clone(),
            path: manifest.source.clone(),
            manifest: manifest.text.clone(),
            events: rendered.events.clone(),
            last_run: LastRun::default(),
            weight: rendered.weight,
            delete_policies: policies("helm.sh/hook-delete-policy"),
            output_log_policies: policies("helm.sh/hook-output-log-policy"),
        })
    }

    /// Returns whether its object goes now. Definitions stay whatever is asked: all objects of their kind would go too.
    pub fn goes(&self, policy: Policy) -> bool {
        let unsaid = self.delete_policies.is_empty() && policy == Policy::BeforeHookCreation;
        self.kind != "CustomResourceDefinition" && (unsaid || self.delete_policies.iter().any(|p| p == policy.name()))
    }

    /// Returns whether its log is shown now.
    pub fn tells(&self, policy: Policy) -> bool {
        self.output_log_policies.iter().any(|p| p == policy.name())
    }
}

/// Returns which hooks run at an event, in their order: by weight, then by name; places in `hooks`.
pub fn at(hooks: &[Hook], event: Event) -> Vec<usize> {
    let mut found: Vec<usize> =
        (0..hooks.len()).filter(|index| hooks[*index].events.iter().any(|one| one == event.name())).collect();
    found.sort_by(|a, b| {
        let key = |index: &usize| (hooks[*index].weight, hooks[*index].name.as_str());
        key(a).cmp(&key(b))
    });
    found
}

/// How an object that a hook made stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It ended well, or is of a kind that does not run.
    Done,
    /// It runs.
    Under,
    /// It failed, and why.
    Failed(String),
}

/// Tells how the object of a hook stands: Jobs and Pods run to their end, all else is done when it is there.
pub fn progress(object: &Value) -> Progress {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match object["kind"].as_str() {
        Some("Pod") => match object["status"]["phase"].as_str() {
            Some("Succeeded") => Progress::Done,
            Some("Failed") => {
                let why = object["status"]["message"].as_str().or(object["status"]["reason"].as_str());
                let ended = exit_codes(object);
                Progress::Failed(format!("pod {name} failed: {}", why.map_or(ended, str::to_owned)))
            }
            _ => Progress::Under,
        },
        Some("Job") => {
            let holds = |kind: &str| condition(&object["status"], kind, "True");
            if holds("Complete").is_some() {
                Progress::Done
            } else if let Some(failed) = holds("Failed") {
                let why = failed["reason"].as_str().unwrap_or("it failed");
                Progress::Failed(format!("job {name} failed: {why}"))
            } else {
                Progress::Under
            }
        }
        _ => Progress::Done,
    }
}

fn exit_codes(pod: &Value) -> String {
    let states = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    let ended: Vec<String> = states
        .filter_map(|status| {
            let code = status["state"]["terminated"]["exitCode"].as_i64().filter(|code| *code != 0)?;
            Some(format!("container {} ended with exit code {code}", status["name"].as_str().unwrap_or_default()))
        })
        .collect();
    if ended.is_empty() { "it ended without success".to_owned() } else { ended.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hook(name: &str, weight: i64, events: &[&str]) -> Hook {
        let events = events.iter().map(|event| (*event).to_owned()).collect();
        Hook { name: name.to_owned(), weight, events, ..Hook::default() }
    }

    #[test]
    fn hooks_run_by_weight_and_then_by_name() {
        let hooks = [
            hook("late", 5, &["pre-install"]),
            hook("b", 0, &["pre-install", "pre-upgrade"]),
            hook("other", -9, &["post-install"]),
            hook("a", 0, &["pre-install"]),
            hook("early", -5, &["pre-install"]),
        ];
        assert_eq!(at(&hooks, Event::PreInstall), [4, 3, 1, 0]);
        assert_eq!(at(&hooks, Event::PreUpgrade), [1]);
        assert_eq!(at(&hooks, Event::Test), [0usize; 0]);
    }

    #[test]
    fn a_hook_goes_before_it_runs_again_unless_another_policy_is_given() {
        let mut one = hook("x", 0, &[]);
        assert!(one.goes(Policy::BeforeHookCreation) && !one.goes(Policy::HookSucceeded));
        one.delete_policies = vec!["hook-succeeded".to_owned()];
        assert!(!one.goes(Policy::BeforeHookCreation) && one.goes(Policy::HookSucceeded));
        one.kind = "CustomResourceDefinition".to_owned();
        assert!(!one.goes(Policy::HookSucceeded));
    }

    #[test]
    fn pods_and_jobs_run_to_their_end() {
        let pod = |status: Value| json!({"kind": "Pod", "metadata": {"name": "p"}, "status": status});
        assert_eq!(progress(&pod(json!({"phase": "Running"}))), Progress::Under);
        assert_eq!(progress(&pod(json!({"phase": "Succeeded"}))), Progress::Done);
        let failed = pod(json!({"phase": "Failed", "containerStatuses": [
            {"name": "c", "state": {"terminated": {"exitCode": 3}}}]}));
        let words = "pod p failed: container c ended with exit code 3".to_owned();
        assert_eq!(progress(&failed), Progress::Failed(words));
        let job = |kind: &str| {
            json!({"kind": "Job", "metadata": {"name": "j"},
            "status": {"conditions": [{"type": kind, "status": "True", "reason": "BackoffLimitExceeded"}]}})
        };
        assert_eq!(progress(&job("Complete")), Progress::Done);
        assert_eq!(progress(&job("Failed")), Progress::Failed("job j failed: BackoffLimitExceeded".to_owned()));
        assert_eq!(progress(&job("Suspended")), Progress::Under);
        assert_eq!(progress(&json!({"kind": "ConfigMap"})), Progress::Done);
    }

    #[test]
    fn a_hook_is_written_as_the_original_writes_it() {
        let written = serde_json::to_value(hook("x", 0, &["test"])).unwrap();
        let expected = json!({"name": "x", "kind": "", "path": "", "manifest": "", "events": ["test"],
            "last_run": {"started_at": "", "completed_at": "", "phase": ""}});
        assert_eq!(written, expected);
    }
}
