//! What is asked of the API server: kinds, rights, what is there, trials and writes.

use client::Cause;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use serde_json::{Value, json};

use crate::{
    Conflicts, Error, Mode, Refusal,
    plan::{Served, Step},
};

/// The name that fields are owned under.
const MANAGER: &str = "roadstead";

/// A cluster as it is asked here.
pub(crate) struct Wire<'a> {
    client: &'a Client,
    conflicts: Conflicts,
}

/// What came of a trial or a write.
pub(crate) enum Answer {
    /// The object as it is or would be.
    Done { created: bool, object: Value },
    /// It was not taken.
    Refused(Refusal),
}

impl<'a> Wire<'a> {
    pub(crate) fn new(client: &'a Client, conflicts: Conflicts) -> Self {
        Self { client, conflicts }
    }

    /// Returns the kinds of a group and version; none if there is no such version.
    pub(crate) async fn kinds(&self, api_version: &str) -> Result<Vec<(String, Served)>, Error> {
        let asked = if api_version.contains('/') {
            self.client.list_api_group_resources(api_version).await
        } else {
            self.client.list_core_api_resources(api_version).await
        };
        let list = match asked {
            Ok(list) => list,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
            Err(source) => {
                return Err(Error::Ask {
                    operation: format!("ask for the kinds of {api_version}"),
                    source: Cause::new(source),
                });
            }
        };
        // Subresources have a path of their own, and kinds that are not theirs.
        let kinds = list
            .resources
            .into_iter()
            .filter(|one| !one.name.contains('/') && one.verbs.iter().any(|verb| verb == "patch"));
        Ok(kinds
            .map(|one| (one.kind, Served { plural: one.name, namespaced: one.namespaced, defined_here: false }))
            .collect())
    }

    /// Returns the object as it is, if it is there and may be seen.
    pub(crate) async fn live(&self, step: &Step) -> Result<Option<Value>, Error> {
        let (status, body) = self.send(Method::GET, &step.path(), None, step).await?;
        Ok((status == StatusCode::OK).then_some(body))
    }

    /// Asks whether the caller may create and change the object.
    pub(crate) async fn may_write(&self, step: &Step) -> Result<Result<(), Refusal>, Error> {
        for verb in ["create", "patch"] {
            let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {
                "resourceAttributes": {"verb": verb, "group": step.group(), "resource": step.plural,
                    "namespace": step.namespace, "name": step.name}}});
            let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
            let (status, answer) = self.send(Method::POST, path, Some(("application/json", &review)), step).await?;
            if !status.is_success() {
                return Ok(Err(refusal(step, status, &answer)));
            }
            if answer["status"]["allowed"] != true {
                let place = if step.namespace.is_empty() { String::new() } else { format!(" in {}", step.namespace) };
                let message = format!("you may not {verb} {}{place}", step.plural);
                return Ok(Err(Refusal { object: step.to_string(), code: 403, message }));
            }
        }
        Ok(Ok(()))
    }

    /// Applies an object at a path.
    pub(crate) async fn apply(&self, step: &Step, path: &str, object: &Value, mode: Mode) -> Result<Answer, Error> {
        let trial = if mode == Mode::Trial { "&dryRun=All" } else { "" };
        let force = if self.conflicts == Conflicts::TakeOver { "&force=true" } else { "" };
        let path = format!("{path}?fieldManager={MANAGER}&fieldValidation=Strict{trial}{force}");
        let body = Some(("application/apply-patch+yaml", object));
        let (status, answer) = self.send(Method::PATCH, &path, body, step).await?;
        if status.is_success() {
            return Ok(Answer::Done { created: status == StatusCode::CREATED, object: answer });
        }
        // A server that is busy or on its way up may say something else in a moment. 500 is no such answer: a field
        // of the wrong type gets it.
        if matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504) {
            let operation = format!("apply {step}");
            let status = kube::core::Status::failure(&said(&answer, status), "Unavailable").with_code(status.as_u16());
            return Err(Error::Ask { operation, source: Cause::new(kube::Error::Api(Box::new(status))) });
        }
        Ok(Answer::Refused(refusal(step, status, &answer)))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
        step: &Step,
    ) -> Result<(StatusCode, Value), Error> {
        let failed =
            |source| Error::Ask { operation: format!("ask the cluster about {step}"), source: Cause::new(source) };
        let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, "application/json");
        if let Some((media, _)) = body {
            request = request.header(header::CONTENT_TYPE, media);
        }
        let bytes = body.map(|(_, object)| object.to_string().into_bytes()).unwrap_or_default();
        let request = request.body(Body::from(bytes)).map_err(|error| failed(kube::Error::HttpError(error)))?;
        let (parts, body) = self.client.send(request).await.map_err(failed)?.into_parts();
        let bytes = body.collect().await.map_err(failed)?.to_bytes();
        let told = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok((parts.status, told))
    }
}

fn refusal(step: &Step, status: StatusCode, answer: &Value) -> Refusal {
    Refusal { object: step.to_string(), code: status.as_u16(), message: said(answer, status) }
}

/// Returns the API server's own words.
fn said(answer: &Value, status: StatusCode) -> String {
    let words = answer["message"].as_str().or(answer.as_str()).unwrap_or_default().trim();
    if words.is_empty() { status.to_string() } else { words.to_owned() }
}
