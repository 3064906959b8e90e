//! Errors as the OCI distribution specification wants them. The one place that maps [`crate::Error`] to a status.

use axum::response::{IntoResponse, Response};
use base::fault::Chain;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::Error;

/// An error answer.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    challenge: bool,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), challenge: false }
    }

    pub(super) fn unauthorized() -> Self {
        let message = "authentication required: any user name, and a token of this platform as the password";
        Self { challenge: true, ..Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message) }
    }

    pub(super) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "the registry has no such path")
    }

    pub(super) fn not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "the registry does not support this method here")
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, code) = match &error {
            Error::Disk { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
            Error::InvalidDigest { .. } | Error::DigestMismatch { .. } => (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
            Error::InvalidReference { .. } => (StatusCode::BAD_REQUEST, "NAME_INVALID"),
            Error::NotFound { .. } => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
            Error::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID"),
            _ => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
        };
        if status.is_server_error() {
            // Paths of this machine are for its log, not for clients.
            tracing::error!(error = %Chain(&error), "the registry's disk failed");
            return Self::new(status, code, "the registry cannot read or write its disk; its log says why");
        }
        Self::new(status, code, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = json!({ "errors": [{ "code": self.code, "message": self.message }] });
        let mut response = (self.status, axum::Json(body)).into_response();
        if self.challenge {
            let challenge = HeaderValue::from_static("Basic realm=\"Roadstead registry\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
