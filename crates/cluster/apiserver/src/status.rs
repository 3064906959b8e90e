//! Failures as Kubernetes' `Status` objects: one constructor for each reason, in
//! Kubernetes' words.

use http::StatusCode;
use schema::validate::Cause;
use serde_json::{Map, Value, json};

use crate::registry::Resource;

/// A failure to be sent to the client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    /// HTTP status.
    pub code: StatusCode,
    /// Kubernetes' reason, for example `NotFound`.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
    /// `Status.details`.
    pub details: Value,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u32>,
    /// What few failures have.
    pub beside: Option<Box<Beside>>,
}

/// What few failures have beside what all have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Beside {
    /// `Status.metadata.continue`: where a list may go on.
    pub goes_on: Option<String>,
    /// What to warn of all the same.
    pub warnings: Vec<String>,
    /// Nobody serves the path: answered as a page and not as a `Status`.
    pub page: bool,
    /// Refused before anything looked at it: browsers are told not to guess what the answer is.
    pub guarded: bool,
    /// A reason that is none of Kubernetes' own.
    pub reason: Option<String>,
}

impl Failure {
    /// A failure of any reason.
    pub(crate) fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Failure {
        Failure { code, reason, message: message.into(), details: Value::Null, retry_after: None, beside: None }
    }

    /// The same, with what to warn of before.
    #[must_use]
    pub(crate) fn warned(mut self, mut before: Vec<String>) -> Failure {
        if before.is_empty() {
            return self;
        }
        let beside = self.beside.get_or_insert_default();
        before.append(&mut beside.warnings);
        beside.warnings = before;
        self
    }

    /// The same, with where a list may go on.
    #[must_use]
    pub(crate) fn going_on(mut self, token: String) -> Failure {
        self.beside.get_or_insert_default().goes_on = Some(token);
        self
    }

    /// The same, as a refusal of whoever guards the way.
    #[must_use]
    pub(crate) fn guarded(mut self) -> Failure {
        self.beside.get_or_insert_default().guarded = true;
        self
    }

    /// The same, for a reason that is none of Kubernetes' own.
    #[must_use]
    pub(crate) fn because(mut self, reason: String) -> Failure {
        self.beside.get_or_insert_default().reason = Some(reason).filter(|reason| !reason.is_empty());
        self
    }

    /// Returns whether browsers are told not to guess what the answer is.
    pub(crate) fn is_guarded(&self) -> bool {
        self.beside.as_ref().is_some_and(|beside| beside.guarded)
    }

    /// Returns what to warn of.
    pub(crate) fn warnings(&self) -> &[String] {
        self.beside.as_ref().map_or(&[], |beside| &beside.warnings)
    }

    /// Returns whether nobody serves the path.
    pub(crate) fn is_page(&self) -> bool {
        self.beside.as_ref().is_some_and(|beside| beside.page)
    }

    /// The body or a parameter makes no sense.
    pub(crate) fn bad_request(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// The options of a request break rules; `wrong` names each field.
    pub(crate) fn invalid_options(kind: &str, wrong: &[String]) -> Failure {
        let list = if wrong.len() == 1 { wrong[0].clone() } else { format!("[{}]", wrong.join(", ")) };
        let causes: Vec<Value> = wrong
            .iter()
            .map(|wrong| {
                let (field, message) = wrong.split_once(": ").unwrap_or(("", wrong));
                let reason = match message.split(':').next().unwrap_or_default() {
                    "Forbidden" => "FieldValueForbidden",
                    "Required value" => "FieldValueRequired",
                    "Unsupported value" => "FieldValueNotSupported",
                    "Too long" => "FieldValueTooLong",
                    _ => "FieldValueInvalid",
                };
                json!({"reason": reason, "message": message, "field": field})
            })
            .collect();
        Failure {
            details: json!({"group": "meta.k8s.io", "kind": kind, "causes": causes}),
            ..Failure::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid",
                format!("{kind}.meta.k8s.io \"\" is invalid: {list}"),
            )
        }
    }

    /// No such object.
    pub(crate) fn not_found(resource: &Resource, name: &str) -> Failure {
        Failure {
            details: json!({"name": name, "group": resource.gvk.group, "kind": resource.plural}),
            ..Failure::new(StatusCode::NOT_FOUND, "NotFound", format!("{} {name:?} not found", resource.qualified()))
        }
    }

    /// No such object of a kind that is known by name alone.
    pub(crate) fn not_found_named(group: &str, plural: &str, name: &str) -> Failure {
        let qualified = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
        Failure {
            details: json!({"name": name, "group": group, "kind": plural}),
            ..Failure::new(StatusCode::NOT_FOUND, "NotFound", format!("{qualified} {name:?} not found"))
        }
    }

    /// No such path.
    pub(crate) fn no_such_path() -> Failure {
        let sentence = "the server could not find the requested resource";
        Failure { details: json!({}), ..Failure::new(StatusCode::NOT_FOUND, "NotFound", sentence) }
    }

    /// No such path, and nobody serves any that begins like it.
    pub(crate) fn no_such_page() -> Failure {
        let beside = Beside { page: true, ..Beside::default() };
        Failure { beside: Some(Box::new(beside)), ..Failure::no_such_path() }
    }

    /// Something that has no reason of Kubernetes' own.
    pub(crate) fn unreasoned(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    /// The object exists.
    pub(crate) fn already_exists(resource: &Resource, name: &str) -> Failure {
        Failure {
            details: json!({"name": name, "group": resource.gvk.group, "kind": resource.plural}),
            ..Failure::new(
                StatusCode::CONFLICT,
                "AlreadyExists",
                format!("{} {name:?} already exists", resource.qualified()),
            )
        }
    }

    /// The object changed meanwhile.
    pub(crate) fn conflict(resource: &Resource, name: &str, why: &str) -> Failure {
        Failure {
            details: json!({"name": name, "group": resource.gvk.group, "kind": resource.plural}),
            ..Failure::new(
                StatusCode::CONFLICT,
                "Conflict",
                format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.qualified()),
            )
        }
    }

    /// The object breaks rules.
    pub(crate) fn invalid(resource: &Resource, name: &str, causes: &[Cause]) -> Failure {
        let each: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let list = if each.len() == 1 { each[0].clone() } else { format!("[{}]", each.join(", ")) };
        let causes: Vec<Value> = causes
            .iter()
            .map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}))
            .collect();
        Failure {
            details: json!({"name": name, "group": resource.group_of_rules(), "kind": resource.gvk.kind, "causes": causes}),
            ..Failure::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid",
                format!("{} {name:?} is invalid: {list}", resource.qualified_kind()),
            )
        }
    }

    /// Something that is well understood and not allowed.
    pub(crate) fn forbidden(resource: &Resource, name: &str, why: &str) -> Failure {
        Failure {
            details: json!({"name": name, "group": resource.gvk.group, "kind": resource.plural}),
            ..Failure::new(
                StatusCode::FORBIDDEN,
                "Forbidden",
                format!("{} {name:?} is forbidden: {why}", resource.qualified()),
            )
        }
    }

    /// The path does not take this method.
    pub(crate) fn method_not_allowed() -> Failure {
        let sentence = "the server does not allow this method on the requested resource";
        Failure { details: json!({}), ..Failure::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", sentence) }
    }

    /// The client takes no form that there is.
    pub(crate) fn not_acceptable(supported: &str) -> Failure {
        let why = format!("only the following media types are accepted: {supported}");
        Failure::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", why)
    }

    /// The revision is too old for a watch or page.
    pub(crate) fn expired(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::GONE, "Expired", message)
    }

    /// Nobody knows how far the request came.
    pub(crate) fn took_too_long() -> Failure {
        Failure::new(
            StatusCode::GATEWAY_TIMEOUT,
            "Timeout",
            "Timeout: request did not complete within the allotted timeout",
        )
    }

    /// Something broke here; the cause is in the log.
    pub(crate) fn internal(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// Returns the `Status` object.
    pub(crate) fn to_json(&self) -> Value {
        let goes_on = self.beside.as_ref().and_then(|beside| beside.goes_on.as_ref());
        let metadata = goes_on.map_or_else(|| json!({}), |token| json!({"continue": token}));
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure",
            "message": self.message, "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if let Some(reason) = self.beside.as_ref().and_then(|beside| beside.reason.as_ref()) {
            status["reason"] = reason.as_str().into();
        }
        if let Value::Object(details) = &self.details {
            // What is empty is left out: the core group, the name of what has none.
            let said = details.iter().filter(|(_, value)| !value.is_null() && *value != "");
            status["details"] = said.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into();
        }
        if let Some(seconds) = self.retry_after {
            status["details"]["retryAfterSeconds"] = seconds.into();
        }
        status
    }
}

impl From<crate::store::Error> for Failure {
    fn from(error: crate::store::Error) -> Failure {
        tracing::error!(%error, "the store did not do as asked");
        match error {
            crate::store::Error::Closed => {
                Failure::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "the server is shutting down")
            }
            other => Failure::internal(format!("Internal error occurred: {other}")),
        }
    }
}
