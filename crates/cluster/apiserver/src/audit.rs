//! The audit log: who asked for what and what became of it, in Kubernetes'
//! `audit.k8s.io/v1` form, as much of it as a [`Policy`] says.
//!
//! Secret data never gets into it: a kind whose row says that it is confidential is
//! logged by its metadata at most, whatever the policy says.

mod log;
mod policy;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::{Response, header, request::Parts};
use serde_json::{Value, json};

pub(crate) use log::Log;
pub use policy::{InvalidPolicy, Policy};
pub(crate) use policy::{Level, Stage};

use crate::{
    rbac::User,
    request::{Info, Target},
};

/// Where the log lies and what stands in it.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is logged of which request.
    pub policy: Policy,
    /// The file, one JSON event a line.
    pub file: std::path::PathBuf,
    /// The size at which the file is put aside and a new one begun.
    pub max_bytes: u64,
    /// How many files that were put aside are kept.
    pub max_files: usize,
}

/// The kinds whose objects hold what nobody but their reader may see are logged by metadata alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Open,
    Confidential,
}

/// What is known of one request, until its answer is there.
pub(crate) struct Trail {
    pub(crate) level: Level,
    content: Content,
    omit: Vec<Stage>,
    strip_managers: bool,
    event: Value,
    /// The uids of the flow schema and priority level, for the answer.
    pub(crate) flow: Option<(String, String)>,
}

impl Trail {
    /// Begins the trail of a request; it is logged from when its sender is known.
    pub(crate) fn begin(parts: &Parts) -> Trail {
        let text = |name: header::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let given = parts.headers.get("audit-id").and_then(|value| value.to_str().ok());
        let id = given.filter(|id| !id.is_empty() && id.len() <= 64).map(str::to_owned);
        let mut event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1",
            "auditID": id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            "requestURI": parts.uri.path_and_query().map_or(parts.uri.path(), http::uri::PathAndQuery::as_str),
            "requestReceivedTimestamp": now(),
        });
        if let Some(agent) = text(header::USER_AGENT) {
            event["userAgent"] = agent.into();
        }
        if let Some(Peer(address)) = parts.extensions.get::<Peer>() {
            event["sourceIPs"] = json!([address.to_string()]);
        }
        let (level, content) = (Level::None, Content::Open);
        Trail { level, content, omit: Vec::new(), strip_managers: false, event, flow: None }
    }

    /// Returns the id that request, answer and events carry.
    pub(crate) fn id(&self) -> &str {
        self.event["auditID"].as_str().unwrap_or_default()
    }

    /// Notes who asks for what, and how much of it is to be logged.
    pub(crate) fn identify(
        &mut self,
        policy: &Policy,
        user: &User,
        target: &Target,
        method: &http::Method,
        path: &str,
    ) {
        let (verb, info) = match target {
            Target::Objects(info) => (info.verb.to_owned(), Some(info)),
            Target::Path => (method.as_str().to_lowercase(), None),
        };
        let decision = policy.decide(user, &verb, info, path);
        self.level = decision.level;
        self.omit = decision.omit_stages;
        self.strip_managers = decision.omit_managed_fields;
        self.event["verb"] = verb.into();
        self.event["user"] = user.to_json();
        if let Some(info) = info {
            self.event["objectRef"] = reference(info);
        }
    }

    /// The request's kind keeps its objects to itself.
    pub(crate) fn confidential(&mut self, content: Content) {
        self.content = content;
        if content == Content::Confidential {
            self.level = self.level.min(Level::Metadata);
        }
    }

    pub(crate) fn impersonated(&mut self, user: &User) {
        self.event["impersonatedUser"] = user.to_json();
    }

    pub(crate) fn annotate(&mut self, key: &str, value: &str) {
        self.event["annotations"][key] = value.into();
    }

    /// Notes what the client sent.
    pub(crate) fn request(&mut self, object: Value) {
        if self.level >= Level::Request {
            self.event["requestObject"] = self.shown(object);
        }
    }

    /// Logs a stage, if the policy wants it.
    pub(crate) fn log(&self, log: &Log, stage: Stage) {
        if self.level == Level::None || self.omit.contains(&stage) {
            return;
        }
        let mut event = self.event.clone();
        event["level"] = self.level.name().into();
        event["stage"] = stage.name().into();
        event["stageTimestamp"] = now().into();
        log.send(self.level, &event);
    }

    /// Logs the answer; returns it with its body read if the log wanted it.
    pub(crate) async fn answered(&mut self, log: &Log, stage: Stage, response: Response<Body>) -> Response<Body> {
        if self.level == Level::None {
            return response;
        }
        let code = response.status().as_u16();
        self.event["responseStatus"] = json!({"metadata": {}, "code": code});
        // The path of a creation does not name what is created.
        let unnamed = self.event["verb"] == "create" && self.event["objectRef"]["name"].is_null();
        let wants_body =
            stage == Stage::ResponseComplete && (unnamed || code >= 400 || self.level >= Level::RequestResponse);
        // A stream has no size, and is passed on as it comes.
        if !wants_body || response.body().size_hint().exact().is_none() {
            self.log(log, stage);
            return response;
        }
        let (parts, body) = response.into_parts();
        // Answers that are no streams lie in memory already.
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        if unnamed && let Ok(Named { metadata: Some(Name { name: Some(name) }) }) = serde_json::from_slice(&bytes) {
            self.event["objectRef"]["name"] = name.into();
        }
        if code >= 400 || self.level >= Level::RequestResponse {
            self.note_answer(code, &bytes);
        }
        self.log(log, stage);
        Response::from_parts(parts, Body::from(bytes))
    }

    fn note_answer(&mut self, code: u16, bytes: &Bytes) {
        let Ok(object) = serde_json::from_slice::<Value>(bytes) else { return };
        if code >= 400 {
            let mut status =
                json!({"metadata": {}, "status": object["status"], "reason": object["reason"], "code": code});
            // A message may quote what was sent.
            if self.content == Content::Open {
                status["message"] = object["message"].clone();
            }
            self.event["responseStatus"] = status;
        }
        if self.level >= Level::RequestResponse {
            self.event["responseObject"] = self.shown(object);
        }
    }

    fn shown(&self, mut object: Value) -> Value {
        if self.strip_managers {
            strip(&mut object);
            object["items"].as_array_mut().into_iter().flatten().for_each(strip);
            if object["items"].is_null()
                && let Some(map) = object.as_object_mut()
            {
                map.remove("items");
            }
        }
        object
    }
}

/// Of an object, its name alone.
#[derive(serde::Deserialize)]
struct Named {
    metadata: Option<Name>,
}

#[derive(serde::Deserialize)]
struct Name {
    name: Option<String>,
}

fn strip(object: &mut Value) {
    object.get_mut("metadata").and_then(Value::as_object_mut).map(|metadata| metadata.remove("managedFields"));
}

/// The address that a request came from, in its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub std::net::IpAddr);

fn reference(info: &Info) -> Value {
    let mut reference = json!({"resource": info.resource, "apiVersion": info.version});
    let facts = [
        ("namespace", &info.namespace),
        ("name", &info.name),
        ("apiGroup", &info.group),
        ("subresource", &info.subresource),
    ];
    for (name, value) in facts.into_iter().filter(|(_, value)| !value.is_empty()) {
        reference[name] = value.clone().into();
    }
    reference
}

fn now() -> String {
    base::clock::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
