//! The own kinds (`platform.io/v1alpha1`) as Rust types.
//!
//! `crds` holds their schemas; a field stands in both or in neither.

use serde::{Deserialize, Serialize};

/// API group of the own kinds.
pub const GROUP: &str = "platform.io";
/// The version they are served and stored at.
pub const VERSION: &str = "v1alpha1";

/// Annotation: a wish to run this many replicas. The controller commits it to the
/// service's repository, where replicas are kept, and takes the annotation away.
pub const REQUESTED_REPLICAS: &str = "platform.io/requested-replicas";
/// Annotation on a `Namespace`: the environment that it belongs to.
pub const ENVIRONMENT_LABEL: &str = "platform.io/environment";
/// Label on everything that a `Microservice` brought about: its name.
pub const MICROSERVICE_LABEL: &str = "platform.io/microservice";
/// Namespace of the platform's own objects.
pub const SYSTEM_NAMESPACE: &str = "roadstead-system";
/// Label, `true`, of a ConfigMap in the platform's namespace that holds a template.
pub const TEMPLATE_LABEL: &str = "platform.io/template";
/// The key of such a ConfigMap under which the template's text stands.
pub const TEMPLATE_KEY: &str = "template";

/// A stage such as development or production.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentSpec {
    /// The namespace that its services run in; made if it is missing.
    pub namespace: String,
    /// Services are reached at `<service>.<domain>`.
    pub domain: String,
    /// Place in the order of promotion, lowest first.
    #[serde(default)]
    pub order: i32,
    /// Pod Security level of its namespace: `privileged`, `baseline` or `restricted`.
    #[serde(default = "baseline")]
    pub pod_security: String,
}

fn baseline() -> String {
    "baseline".to_owned()
}

/// One service: the only thing people write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MicroserviceSpec {
    /// The `Environment` that it runs in.
    pub environment: String,
    /// The template that its repository was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Name of its repository on the git host; the service's own name if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Branch, tag or commit that is deployed.
    #[serde(default = "main_branch")]
    pub revision: String,
}

fn main_branch() -> String {
    "main".to_owned()
}

/// What was observed of a `Microservice`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MicroserviceStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready` (repository and application exist), `Synced`, `Healthy`; standard condition shape.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Where the service answers, without the gateway's port: `orders.dev.localhost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Name of the repository on the git host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The commit that is deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The newest commit that the controller itself made (a scale, say).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_commit: Option<String>,
}

/// A condition as `metav1.Condition` is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word for machines.
    #[serde(default)]
    pub reason: String,
    /// One sentence for people: what happened and what to do.
    #[serde(default)]
    pub message: String,
    /// When `status` last changed, RFC 3339.
    #[serde(default)]
    pub last_transition_time: String,
    /// The generation that was looked at.
    #[serde(default)]
    pub observed_generation: i64,
}
