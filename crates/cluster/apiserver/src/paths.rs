//! What stands at paths that lead to no kind: discovery, documents, version, health.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::{discovery, pipeline::respond, request::Query, server::Server, status::Failure, tokens::ISSUER};

impl Server {
    /// Answers a request for such a path.
    pub(crate) fn path(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        query: &Query,
    ) -> Result<Response<Body>, Failure> {
        let served = self.served();
        let trimmed = path.trim_end_matches('/');
        let versioned = trimmed == "/version" || trimmed.starts_with("/api/") || trimmed.matches('/').count() >= 3;
        if method != Method::GET && versioned && (trimmed == "/version" || trimmed.starts_with("/api")) {
            return Err(Failure::method_not_allowed());
        }
        if matches!(trimmed, "/api" | "/apis") && discovery::wants_aggregated(headers) {
            let mut response =
                respond(StatusCode::OK, discovery::aggregated(&served.registry, trimmed == "/api").to_string());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(discovery::AGGREGATED));
            return Ok(response);
        }
        if let Some(answer) = discovery::plain(&served.registry, trimmed) {
            let answer = answer.map_err(|_| served.registry.unknown(path))?;
            return Ok(respond(StatusCode::OK, answer.to_string()));
        }
        if let Some(answer) = self.health(trimmed, query) {
            return answer;
        }
        match trimmed {
            "/.well-known/openid-configuration" => {
                let body = serde_json::json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/openid/v1/jwks"),
                    "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["ES256"]});
                Ok(respond(StatusCode::OK, body.to_string()))
            }
            "/openid/v1/jwks" => {
                let mut response = respond(StatusCode::OK, self.tokens().key_set().to_string());
                let media = HeaderValue::from_static("application/jwk-set+json");
                response.headers_mut().insert(header::CONTENT_TYPE, media);
                Ok(response)
            }
            "/version" => Ok(respond(StatusCode::OK, discovery::version().to_string())),
            "/metrics" => Ok(self.measured()),
            "/openapi/v2" => Ok(served.openapi_v2(headers)),
            "/openapi/v3" => Ok(served.openapi_v3_index()),
            _ => {
                let document = trimmed.strip_prefix("/openapi/v3/").ok_or_else(|| served.registry.unknown(path))?;
                match served.openapi_v3(document, headers, query) {
                    // Who serves the documents says no more than that there is none.
                    Err(failure) if failure.code == StatusCode::NOT_FOUND => {
                        let mut response = Response::new(Body::empty());
                        *response.status_mut() = StatusCode::NOT_FOUND;
                        Ok(response)
                    }
                    answered => answered,
                }
            }
        }
    }
}
