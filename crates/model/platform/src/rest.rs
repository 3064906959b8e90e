//! The types of the REST API (`/api/v1`), shared by server, portal and CLI.

use serde::{Deserialize, Serialize};

/// Body of `POST /microservices`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateMicroservice {
    /// A DNS label.
    pub name: String,
    /// Name of a template, as `GET /templates` lists them.
    pub template: String,
    /// Name of an environment, as `GET /environments` lists them.
    #[serde(default = "development")]
    pub environment: String,
}

fn development() -> String {
    "development".to_owned()
}

/// One service and what is known of it now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Microservice {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its environment.
    pub environment: String,
    /// The template it came from.
    pub template: Option<String>,
    /// `Healthy`, `Progressing`, `Degraded`, `Missing` or `Unknown` (Argo CD's words).
    pub health: String,
    /// `Synced`, `OutOfSync` or `Unknown`.
    pub sync: String,
    /// What is wrong or going on, for people; empty if all is well.
    pub message: String,
    /// Where it answers, with scheme and port.
    pub url: Option<String>,
    /// How to call it where `*.localhost` does not resolve.
    pub curl: Option<String>,
    /// Clone URL of its repository.
    pub repository: Option<String>,
    /// The commit that is deployed (40 hex digits).
    pub commit: Option<String>,
    /// How many pods were asked for and are not committed yet.
    #[serde(default)]
    pub requested_replicas: Option<i32>,
    /// The commit that the platform made for the last scale request.
    pub requested_commit: Option<String>,
    /// Image reference that its pods are asked to run.
    pub image: Option<String>,
    /// Digest of the image that they run, as the node reports it.
    pub image_digest: Option<String>,
    /// The Deployment's counts.
    pub deployment: DeploymentCounts,
    /// The Service, if there is one.
    pub service: Option<ServiceView>,
    /// Its pods, by name.
    pub pods: Vec<PodView>,
    /// When it was created, RFC 3339.
    pub created_at: String,
}

/// Counts of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentCounts {
    /// Asked for.
    pub desired: i32,
    /// In existence.
    pub replicas: i32,
    /// Ready.
    pub ready_replicas: i32,
    /// At the newest template.
    pub updated_replicas: i32,
}

/// A Service as the seeds show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    /// Its address in the cluster.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    /// Its ports.
    pub ports: Vec<i32>,
}

/// A pod in short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodView {
    /// Name.
    pub name: String,
    /// Phase, or the reason it waits (`CrashLoopBackOff`).
    pub status: String,
    /// Passes its readiness probe.
    pub ready: bool,
    /// Restarts of its containers.
    pub restarts: i32,
    /// Its address.
    pub ip: Option<String>,
    /// When it started, RFC 3339.
    pub started_at: Option<String>,
}

/// Body of `PUT /microservices/{name}/scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// How many pods (0 to 1,000).
    pub replicas: u32,
}

/// Answer of `GET /microservices/{name}/logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// The lines as one text, each led by its pod's name if there are several pods.
    pub logs: String,
}

/// A template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// What it makes, in a sentence.
    pub description: String,
    /// What it is for.
    #[serde(default)]
    pub makes: Makes,
    /// What it asks for, where it makes objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
}

/// What comes of a template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Makes {
    /// A microservice with a repository: `POST /microservices`.
    #[default]
    Microservice,
    /// Objects: `POST /templates/{name}/deploy`.
    Objects,
}

/// What a template asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Its value where none is given.
    #[serde(default)]
    pub value: String,
    /// It may not stay empty.
    #[serde(default)]
    pub required: bool,
    /// A value is generated where none is given.
    #[serde(default)]
    pub generated: bool,
}

/// Body of `POST /templates/{name}/deploy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeployTemplate {
    /// Where objects go that name no namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Values of parameters by name.
    #[serde(default)]
    pub parameters: std::collections::BTreeMap<String, String>,
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// What became of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// Its objects, in the order in which they were applied.
    pub objects: Vec<DeployedObject>,
    /// What the template says to whoever deploys it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// An object of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployedObject {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its `kind`.
    pub kind: String,
    /// Its namespace; empty if it lives in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `created`, `configured` or `unchanged`.
    pub outcome: String,
}

/// An environment; also the body of `POST /environments`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Environment {
    /// A DNS label.
    pub name: String,
    /// The namespace its services run in; the name if absent.
    #[serde(default)]
    pub namespace: String,
    /// Services answer at `<service>.<domain>`; `<name>.localhost` if absent.
    #[serde(default)]
    pub domain: String,
    /// Place in the order of promotion.
    #[serde(default)]
    pub order: i32,
    /// Pod Security level of the namespace.
    #[serde(default = "baseline")]
    pub pod_security: String,
}

fn baseline() -> String {
    "baseline".to_owned()
}

/// An entry of the catalog.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogEntry {
    /// Its type, for example `microservice`.
    pub service_type: String,
    /// What one gets, in a sentence.
    pub description: String,
    /// JSON Schema of its parameters.
    pub parameters: serde_json::Value,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Give this as `continue` to get the next page; absent on the last.
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// URI of the code's page.
    #[serde(rename = "type")]
    pub kind: String,
    /// The failure in a few words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened and what to do.
    pub detail: String,
    /// The documented code.
    pub code: String,
    /// Trace id: what to look for in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}
