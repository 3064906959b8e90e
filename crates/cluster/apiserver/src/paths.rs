//! What stands at paths that lead to no kind: discovery, documents, version, health.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::{discovery, pipeline::respond, request::Query, server::Server, status::Failure};

impl Server {
    /// Answers a request for such a path.
    pub(crate) fn path(&self, path: &str, headers: &HeaderMap, query: &Query) -> Result<Response<Body>, Failure> {
        let served = self.served();
        let trimmed = path.trim_end_matches('/');
        if matches!(trimmed, "/api" | "/apis") && discovery::wants_aggregated(headers) {
            let mut response =
                respond(StatusCode::OK, discovery::aggregated(&served.registry, trimmed == "/api").to_string());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(discovery::AGGREGATED));
            return Ok(response);
        }
        if let Some(answer) = discovery::plain(&served.registry, trimmed) {
            return Ok(respond(StatusCode::OK, answer?.to_string()));
        }
        match trimmed {
            "/version" => Ok(respond(StatusCode::OK, discovery::version().to_string())),
            "/livez" | "/readyz" | "/healthz" => {
                let text = if query.flag("verbose") {
                    format!("[+]ping ok\n[+]store ok\n{} check passed\n", &trimmed[1..])
                } else {
                    "ok".to_owned()
                };
                let mut response = Response::new(Body::from(text));
                response
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                Ok(response)
            }
            "/openapi/v2" => {
                let mut response = Response::new(Body::from(discovery::openapi_v2()));
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(discovery::OPENAPI_V2));
                Ok(response)
            }
            "/openapi/v3" => Ok(respond(StatusCode::OK, served.documents.index().to_string())),
            _ => {
                let document = trimmed.strip_prefix("/openapi/v3/").and_then(|path| served.documents.get(path));
                let (text, hash) = document.ok_or_else(Failure::no_such_path)?;
                let mut response = respond(StatusCode::OK, text.clone());
                if query.get("hash") == Some(hash) {
                    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
                }
                if let Ok(tag) = HeaderValue::from_str(&format!("\"{hash}\"")) {
                    response.headers_mut().insert(header::ETAG, tag);
                }
                Ok(response)
            }
        }
    }
}
