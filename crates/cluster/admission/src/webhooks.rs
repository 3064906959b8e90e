//! Validating and mutating webhooks: which are asked, what they are asked, and what their
//! answers mean. Asking is the API server's part.

use expressions::Scope;
use schema::patch;
use serde_json::{Map, Value, json};

use crate::{
    items,
    matching::{Request, selected, version_for},
    policies::{Condition, conditions},
    text,
};

/// Whether a webhook may change the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It may.
    Mutating,
    /// It may refuse alone.
    Validating,
}

/// What becomes of a request whose webhook cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// It is refused.
    Fail,
    /// It goes on.
    Ignore,
}

/// Why a request is refused: an HTTP status, a reason and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// Kubernetes' reason; empty if the webhook gave none.
    pub reason: String,
    /// The sentence.
    pub message: String,
    /// `Status.details`, or nothing.
    pub details: Value,
}

/// Why a webhook's answer is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It could not be asked, or what it said is no answer: its failure policy decides.
    Call(String),
    /// It answered what cannot be done: the request is refused whatever its policy.
    Patch(String),
}

/// What a webhook says of a request that it lets through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The object as it is from now on, if it was changed.
    pub object: Option<Value>,
    /// What to warn of.
    pub warnings: Vec<String>,
    /// What to write to the audit log, by `webhook/key`.
    pub audit: Vec<(String, String)>,
}

/// Returns the failure policy of a webhook.
pub fn failure_policy(webhook: &Value) -> FailurePolicy {
    if text(webhook, "failurePolicy") == "Ignore" { FailurePolicy::Ignore } else { FailurePolicy::Fail }
}

/// Returns whether webhooks and policies are never asked about a kind: those that define them.
pub fn is_exempt(group: &str, resource: &str) -> bool {
    group == "admissionregistration.k8s.io"
        && matches!(
            resource,
            "validatingwebhookconfigurations"
                | "mutatingwebhookconfigurations"
                | "validatingadmissionpolicies"
                | "validatingadmissionpolicybindings"
                | "mutatingadmissionpolicies"
                | "mutatingadmissionpolicybindings"
        )
}

/// Returns the version that a webhook wants to see the object at, if it is to be asked.
pub fn asks<'a>(webhook: &Value, request: &Request<'a>) -> Option<&'a str> {
    if is_exempt(request.group, request.resource) {
        return None;
    }
    let version = version_for(&webhook["rules"], text(webhook, "matchPolicy"), request)?;
    selected(webhook, request).then_some(version)
}

/// Returns whether the conditions of a webhook let it be asked.
pub fn passes(webhook: &Value, scope: &dyn Scope) -> Result<bool, Refusal> {
    match conditions(&webhook["matchConditions"], scope) {
        Condition::Holds => Ok(true),
        Condition::DoesNot => Ok(false),
        Condition::Failed(error) => match failure_policy(webhook) {
            FailurePolicy::Ignore => Ok(false),
            FailurePolicy::Fail => {
                Err(Refusal { code: 403, reason: "Forbidden".to_owned(), message: error, details: Value::Null })
            }
        },
    }
}

/// Returns why a webhook cannot take part in a dry run.
pub fn dry_run_refusal(webhook: &Value) -> Option<String> {
    if matches!(text(webhook, "sideEffects"), "None" | "NoneOnDryRun") {
        return None;
    }
    Some(format!("admission webhook {:?} does not support dry run", text(webhook, "name")))
}

/// Returns the `AdmissionReview` that a webhook is sent.
pub fn review(uid: &str, described: &Value, object: Option<&Value>, old: Option<&Value>, options: &Value) -> Value {
    let mut request = described.clone();
    request["uid"] = uid.into();
    request["object"] = object.cloned().unwrap_or_default();
    request["oldObject"] = old.cloned().unwrap_or_default();
    request["options"] = options.clone();
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
}

/// Returns what a webhook's answer means.
///
/// # Errors
///
/// It makes no sense, or its patch cannot be applied.
pub fn read(
    webhook: &Value,
    kind: Kind,
    uid: &str,
    review: &Value,
    object: Option<&Value>,
) -> Result<Result<Answer, Refusal>, Failed> {
    let invalid = |why: String| Failed::Call(format!("received invalid webhook response: {why}"));
    let response = &review["response"];
    let (api_version, what) = (text(review, "apiVersion"), text(review, "kind"));
    if api_version == "admission.k8s.io/v1beta1" && what == "AdmissionReview" {
        let why = "converting (v1beta1.AdmissionReview) to (v1.AdmissionReview): unknown conversion";
        return Err(Failed::Call(format!("failed to call webhook: {why}")));
    }
    if !response.is_object() {
        return Err(invalid("webhook response was absent".to_owned()));
    }
    if what != "AdmissionReview" || api_version != "admission.k8s.io/v1" {
        return Err(invalid(format!(
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {api_version}, Kind={what}"
        )));
    }
    if response["uid"] != uid {
        return Err(invalid(format!("expected response.uid={uid:?}, got {:?}", text(response, "uid"))));
    }
    let name = text(webhook, "name");
    let patched = !response["patch"].is_null();
    if patched && kind == Kind::Validating {
        return Err(invalid("webhook response.patch is not allowed for validating webhooks".to_owned()));
    }
    let typed = !response["patchType"].is_null();
    if patched && !typed {
        return Err(invalid("webhook returned response.patch but not response.patchType".to_owned()));
    }
    if typed && text(response, "patchType") != "JSONPatch" {
        return Err(invalid(format!(
            "webhook returned invalid response.patchType of {:?}",
            text(response, "patchType")
        )));
    }
    let warnings = items(&response["warnings"]).filter_map(Value::as_str).filter(|warning| !warning.is_empty());
    let warnings: Vec<String> = warnings.map(shorten).collect();
    let audit = response["auditAnnotations"].as_object().into_iter().flatten();
    let audit =
        audit.map(|(key, value)| (format!("{name}/{key}"), value.as_str().unwrap_or_default().to_owned())).collect();
    if response["allowed"] != true {
        return Ok(Err(refusal(name, &response["status"])));
    }
    let object = match object.filter(|_| patched) {
        None => None,
        Some(object) => Some(apply(response, object)?),
    };
    Ok(Ok(Answer { object, warnings, audit }))
}

fn apply(response: &Value, object: &Value) -> Result<Value, Failed> {
    let unread = |why: String| Failed::Call(format!("received undecodable patch in webhook response: {why}"));
    let bytes = decode(text(response, "patch")).ok_or_else(|| unread("illegal base64 data".to_owned()))?;
    let patch: Value = serde_json::from_slice(&bytes).map_err(|error| unread(error.to_string()))?;
    patch::json(object, &patch).map_err(|error| match error {
        patch::Error::Operation { .. } => Failed::Patch(misfit(object, &patch)),
        error => Failed::Patch(error.to_string()),
    })
}

/// Names the first operation of a patch that does not fit the object.
fn misfit(object: &Value, patch: &Value) -> String {
    let mut object = object.clone();
    for step in items(patch) {
        match patch::json(&object, &json!([step])) {
            Ok(next) => object = next,
            Err(error) => {
                let (operation, path) = (text(step, "op"), text(step, "path"));
                return if error.is_test() {
                    format!("testing value {path} failed: test failed")
                } else {
                    format!("{operation} operation does not apply: doc is missing path: {path}: missing value")
                };
            }
        }
    }
    "the patch does not apply".to_owned()
}

fn decode(text: &str) -> Option<Vec<u8>> {
    // The schema's `byte` format is the same encoding.
    let node = schema::model::Node {
        kind: schema::model::Kind::String,
        format: Some("byte".to_owned()),
        ..Default::default()
    };
    match expressions::schemas::value_of(&text.into(), &node, expressions::schemas::Place::Inner)? {
        expressions::Value::Bytes(bytes) => Some(bytes.to_vec()),
        _ => None,
    }
}

fn refusal(name: &str, status: &Value) -> Refusal {
    let denied = format!("admission webhook {name:?} denied the request");
    let (message, reason) = (text(status, "message"), text(status, "reason"));
    let message = if !message.is_empty() {
        format!("{denied}: {message}")
    } else if !reason.is_empty() {
        format!("{denied}: {reason}")
    } else {
        format!("{denied} without explanation")
    };
    let code =
        status["code"].as_u64().and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
    Refusal { code: code.unwrap_or(400), reason: reason.to_owned(), message, details: status["details"].clone() }
}

/// Warnings are for people: a long one is cut.
fn shorten(warning: &str) -> String {
    warning.chars().take(256).collect()
}

/// Returns what is refused when a webhook could not be asked, or its patch not applied.
pub fn call_failure(name: &str, failed: &Failed) -> Refusal {
    let why = match failed {
        Failed::Call(why) => format!("failed calling webhook {name:?}: {why}"),
        Failed::Patch(why) => why.clone(),
    };
    Refusal {
        code: 500,
        reason: "InternalError".to_owned(),
        message: format!("Internal error occurred: {why}"),
        details: json!({"causes": [{"message": why}]}),
    }
}

/// Returns the webhooks of all configurations in the order that they are asked: by configuration, then as listed.
pub fn in_order(configurations: &[Value]) -> Vec<&Value> {
    let mut sorted: Vec<&Value> = configurations.iter().collect();
    sorted.sort_by_key(|configuration| text(&configuration["metadata"], "name").to_owned());
    sorted.into_iter().flat_map(|configuration| items(&configuration["webhooks"])).collect()
}

/// Returns the labels of an object.
pub fn labels(object: &Value) -> Option<&Map<String, Value>> {
    object["metadata"]["labels"].as_object()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(kind: Kind, response: impl Into<Value>) -> Result<Result<Answer, Refusal>, Failed> {
        let response: Value = response.into();
        let review = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response});
        read(&json!({"name": "w.example"}), kind, "u", &review, Some(&json!({"a": 1})))
    }

    #[test]
    fn an_answer_patches_refuses_or_makes_no_sense() {
        // [{"op":"add","path":"/b","value":2}]
        let patch = "W3sib3AiOiJhZGQiLCJwYXRoIjoiL2IiLCJ2YWx1ZSI6Mn1d";
        let good = json!({"uid": "u", "allowed": true, "patchType": "JSONPatch", "patch": patch, "warnings": ["careful"], "auditAnnotations": {"k": "v"}});
        let answer = answered(Kind::Mutating, good.clone()).unwrap().unwrap();
        assert_eq!(answer.object, Some(json!({"a": 1, "b": 2})));
        assert_eq!(answer.audit, [("w.example/k".to_owned(), "v".to_owned())]);
        assert!(answered(Kind::Validating, good).is_err());
        assert!(answered(Kind::Mutating, json!({"uid": "x", "allowed": true})).is_err());
        let refused =
            answered(Kind::Validating, json!({"uid": "u", "allowed": false, "status": {"message": "no", "code": 403}}))
                .unwrap()
                .unwrap_err();
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (403, "admission webhook \"w.example\" denied the request: no")
        );
        let silent = answered(Kind::Validating, json!({"uid": "u", "allowed": false})).unwrap().unwrap_err();
        assert_eq!(
            (silent.code, silent.message.as_str()),
            (400, "admission webhook \"w.example\" denied the request without explanation")
        );
    }

    #[test]
    fn those_that_define_webhooks_are_never_asked_about() {
        let webhook =
            json!({"rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]});
        let request = |group: &'static str, resource: &'static str| Request {
            operation: "CREATE",
            group,
            version: "v1",
            resource,
            ..Request::default()
        };
        assert_eq!(asks(&webhook, &request("apps", "deployments")), Some("v1"));
        assert_eq!(asks(&webhook, &request("admissionregistration.k8s.io", "validatingwebhookconfigurations")), None);
    }
}
