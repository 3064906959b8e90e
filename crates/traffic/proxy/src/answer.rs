//! The proxy's own answers: problem documents that say which link is missing.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::body::Answered;

/// Why a request was not answered by an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The request is malformed or of a kind that is not served.
    Refused(&'static str),
    /// No route matches.
    NoRoute(String),
    /// The route's backend does not exist.
    NoBackend(String),
    /// The backend has no endpoint that is ready.
    NoEndpoint(String),
    /// None of the endpoints could be reached.
    Unreachable(String),
    /// The endpoint broke the exchange off.
    Broken(String),
    /// The endpoint took longer than the route allows.
    TooLate(u64),
}

impl Why {
    fn parts(&self) -> (u16, &'static str, &'static str, String) {
        match self {
            Why::Refused(what) => (400, "GW0020", "Request refused", (*what).to_owned()),
            Why::NoRoute(host) => (
                404,
                "GW0021",
                "No route",
                format!("No route matches this host and path on {host}; see 'kubectl get httproute -A'."),
            ),
            Why::NoBackend(what) => (500, "GW0022", "No backend", format!("The route leads nowhere: {what}.")),
            Why::NoEndpoint(service) => {
                (503, "GW0023", "No endpoint", format!("Service {service} has no ready endpoint; see its pods."))
            }
            Why::Unreachable(service) => {
                (502, "GW0024", "Endpoint unreachable", format!("No endpoint of Service {service} could be reached."))
            }
            Why::Broken(service) => (
                502,
                "GW0025",
                "Endpoint failed",
                format!("An endpoint of Service {service} closed the connection before it answered."),
            ),
            Why::TooLate(ms) => {
                (504, "GW0026", "Endpoint too slow", format!("The endpoint did not answer within the route's {ms} ms."))
            }
        }
    }
}

/// Returns the answer.
pub(crate) fn failed(why: &Why) -> Response<Answered> {
    let (status, code, title, detail) = why.parts();
    let document = serde_json::json!({
        "type": format!("urn:roadstead:error:{code}"), "title": title, "status": status, "detail": detail, "code": code,
    });
    let mut response = Response::new(Answered::Own(Some(Bytes::from(document.to_string()))));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Returns a redirect.
pub(crate) fn redirect(status: u16, location: &str) -> Response<Answered> {
    let Ok(location) = HeaderValue::from_str(location) else {
        return failed(&Why::Refused("the redirect's location is not a header value"));
    };
    let mut response = Response::new(Answered::Own(None));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND);
    response.headers_mut().insert(header::LOCATION, location);
    response
}
