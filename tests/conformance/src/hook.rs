//! A webhook on loopback: it answers by the path that it is asked at, and remembers what it was asked.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::Uri, response::IntoResponse};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::served::certificate;

/// A running webhook. Dropped, it ends.
pub struct Hook {
    port: u16,
    bundle: String,
    asked: Asked,
    stop: CancellationToken,
}

type Asked = Arc<Mutex<Vec<Value>>>;

impl Hook {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// It cannot listen.
    pub async fn start() -> anyhow::Result<Hook> {
        let (tls, authority) = certificate()?;
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let asked = Asked::default();
        let router = Router::new().fallback(answer).with_state(asked.clone());
        let stop = CancellationToken::new();
        tokio::spawn(apiserver::listen(router, listener, tls, stop.clone(), Duration::from_secs(1)));
        Ok(Hook { port, bundle: STANDARD.encode(authority), asked, stop })
    }

    /// Returns how a configuration names it at a path.
    #[must_use]
    pub fn at(&self, path: &str) -> Value {
        json!({"url": format!("https://127.0.0.1:{}{path}", self.port), "caBundle": self.bundle})
    }

    /// Returns what it was asked since this was called last.
    #[must_use]
    pub fn asked(&self) -> Vec<Value> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn answer(State(asked): State<Asked>, uri: Uri, body: Bytes) -> axum::response::Response {
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let uid = review["request"]["uid"].clone();
    let object = review["request"]["object"].clone();
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(review);
    let patch =
        |steps: Value| json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(steps.to_string())});
    let mut response = match uri.path() {
        "/deny" => json!({"allowed": false}),
        "/deny-said" => json!({"allowed": false, "status": {"code": 418, "message": "no tea", "reason": "Teapot"}}),
        "/deny-reason" => json!({"allowed": false, "status": {"reason": "only a reason"}}),
        "/deny-details" => {
            json!({"allowed": false, "status": {"message": "why", "code": 200, "details": {"name": "x", "causes": [{"message": "m", "field": "f"}]}}})
        }
        "/warn" => {
            json!({"allowed": true, "warnings": ["be careful", "very", ""], "auditAnnotations": {"who": "hook"}})
        }
        "/patch" => {
            let counted = object["metadata"]["labels"]["count"].as_str().and_then(|count| count.parse::<u32>().ok());
            let count = counted.unwrap_or_default() + 1;
            if object["metadata"]["labels"].is_object() {
                patch(json!([{"op": "add", "path": "/metadata/labels/count", "value": count.to_string()}]))
            } else {
                patch(json!([{"op": "add", "path": "/metadata/labels", "value": {"count": count.to_string()}}]))
            }
        }
        "/mark" => patch(json!([{"op": "add", "path": "/metadata/annotations", "value": {"marked": "yes"}}])),
        "/patch-wrongly" => patch(json!([{"op": "replace", "path": "/nowhere/x", "value": 1}])),
        "/patch-nonsense" => json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode("nonsense")}),
        "/patch-untyped" => json!({"allowed": true, "patch": STANDARD.encode("[]")}),
        "/patch-invalid" => patch(json!([{"op": "replace", "path": "/metadata/name", "value": "other"}])),
        "/hang" => std::future::pending().await,
        "/nonsense" => return "hello".into_response(),
        "/broken" => return (axum::http::StatusCode::INTERNAL_SERVER_ERROR, "it broke").into_response(),
        "/moved" => return (axum::http::StatusCode::FOUND, [("location", "/allow")], "").into_response(),
        "/empty" => return "{}".into_response(),
        "/no-response" => {
            return json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}).to_string().into_response();
        }
        _ => json!({"allowed": true}),
    };
    response["uid"] = if uri.path() == "/other-uid" { "other".into() } else { uid };
    let version = if uri.path() == "/other-version" { "admission.k8s.io/v1beta1" } else { "admission.k8s.io/v1" };
    json!({"apiVersion": version, "kind": "AdmissionReview", "response": response}).to_string().into_response()
}
