//! What went wrong with a request, as a problem document (RFC 9457).

use axum::response::{IntoResponse, Response};
use base::fault::{Chain, Fault};
use http::{HeaderValue, StatusCode, header};
use platform::rest;

/// Why a request was not done. The code stands in `docs/errors/`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The request is malformed.
    #[error("{0}")]
    Malformed(String),
    /// Nobody is logged in.
    #[error("send a token as 'Authorization: Bearer …', or open the link that 'roadstead login-link' prints")]
    Unauthenticated,
    /// The user may not do this.
    #[error("{user} may not {verb} {resource}; ask an administrator for a role that allows it")]
    Forbidden { user: String, verb: &'static str, resource: &'static str },
    /// A form came from elsewhere.
    #[error("the request comes from another origin than this portal")]
    ForeignOrigin,
    /// There is no such thing.
    #[error("there is no {kind} {name}")]
    NotFound { kind: &'static str, name: String },
    /// There is nothing at this path.
    #[error("there is nothing at this path; see /api/v1/openapi.json")]
    NoPath,
    /// The method is not served here.
    #[error("this path does not serve this method; see /api/v1/openapi.json")]
    Method,
    /// It exists, or the state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// A field is not acceptable.
    #[error("{field}: {message}")]
    Invalid { field: &'static str, message: String },
    /// The body is too large.
    #[error("the body is larger than 64 KiB")]
    TooLarge,
    /// An idempotency key was used for something else.
    #[error("this Idempotency-Key was used for another request; use a new one")]
    KeyReused,
    /// The Kubernetes API refused.
    #[error("the cluster refused: {0}")]
    Refused(String),
    /// A template was not deployed.
    #[error("{}", Chain(.0.as_ref()))]
    Deployment(Box<dyn Fault>),
    /// The Kubernetes API could not be asked.
    #[error("the cluster could not be asked; try again in a moment")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The portal itself failed.
    #[error("the portal failed; look for this trace in its log")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Problem {
    fn parts(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Problem::Malformed(_) => (StatusCode::BAD_REQUEST, "REST0001", "Request not understood"),
            Problem::Unauthenticated => (StatusCode::UNAUTHORIZED, "REST0002", "Not logged in"),
            Problem::Forbidden { .. } => (StatusCode::FORBIDDEN, "REST0003", "Not allowed"),
            Problem::ForeignOrigin => (StatusCode::FORBIDDEN, "REST0004", "Foreign origin"),
            Problem::NotFound { .. } => (StatusCode::NOT_FOUND, "REST0005", "Not found"),
            Problem::NoPath => (StatusCode::NOT_FOUND, "REST0006", "No such path"),
            Problem::Method => (StatusCode::METHOD_NOT_ALLOWED, "REST0007", "Method not allowed"),
            Problem::Conflict(_) => (StatusCode::CONFLICT, "REST0008", "Conflict"),
            Problem::Invalid { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "REST0009", "Not acceptable"),
            Problem::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "REST0010", "Too large"),
            Problem::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "REST0011", "Idempotency key reused"),
            Problem::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "REST0012", "Refused by the cluster"),
            Problem::Deployment(fault) => {
                let status = StatusCode::from_u16(fault.class().http_status());
                (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), fault.code(), "Template not deployed")
            }
            Problem::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "REST0013", "Cluster not available"),
            Problem::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "REST0014", "Internal failure"),
        }
    }

    /// Returns the HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        self.parts().0
    }

    /// Returns the title, for people.
    pub(crate) fn title(&self) -> &'static str {
        self.parts().2
    }

    /// Returns the documented code.
    pub(crate) fn code(&self) -> &'static str {
        self.parts().1
    }

    /// Says what a Kubernetes client's failure means for the caller.
    pub(crate) fn from_kube(error: kube::Error, kind: &'static str, name: &str) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                404 => Problem::NotFound { kind, name: name.to_owned() },
                409 => Problem::Conflict(format!("{kind} {name}: {}", status.message)),
                400 | 403 | 422 => Problem::Refused(status.message.clone()),
                _ => Problem::Unavailable(Box::new(kube::Error::Api(status))),
            },
            other => Problem::Unavailable(Box::new(other)),
        }
    }

    /// Writes what the caller is not told into the log, and returns the trace to look for.
    pub(crate) fn log(&self) -> Option<String> {
        let (Problem::Unavailable(source) | Problem::Internal(source)) = self else { return None };
        let trace = uuid::Uuid::new_v4().simple().to_string();
        tracing::error!(trace, code = self.code(), "{}: {}", self, Chain(source.as_ref()));
        Some(trace)
    }
}

impl From<client::access::Error> for Problem {
    fn from(error: client::access::Error) -> Self {
        Problem::Unavailable(Box::new(error))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, title) = self.parts();
        let document = rest::Problem {
            kind: format!("urn:roadstead:error:{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.to_string(),
            code: code.to_owned(),
            trace: self.log(),
        };
        let mut response = (status, axum::Json(document)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"roadstead\""));
        }
        response
    }
}
