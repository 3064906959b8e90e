//! A webhook that tests start: it answers by the path that it is asked at.

use std::sync::Arc;

use axum::body::Body;
use base64::Engine;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

pub(crate) struct Hook {
    /// Where it listens, on this host.
    pub(crate) port: u16,
    /// Its authority, as configurations carry it.
    pub(crate) bundle: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hook {
    pub(crate) fn config(&self, path: &str) -> Value {
        json!({"url": format!("https://localhost:{}{path}", self.port), "caBundle": self.bundle})
    }
}

pub(crate) async fn start() -> Hook {
    let names = ["localhost", "hook.default.svc"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let bundle = base64::engine::general_purpose::STANDARD.encode(made.cert.pem());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper::service::service_fn(|request| async {
                    Ok::<_, std::convert::Infallible>(answer(request).await)
                });
                let served = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                drop(served.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    Hook { port, bundle, task }
}

async fn answer(request: Request<hyper::body::Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let review: Value = serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
    let asked = &review["request"];
    if path == "/convert" {
        return convert(asked);
    }
    let allowed = json!({"uid": asked["uid"], "allowed": true});
    let response = match path.as_str() {
        "/mutate" => {
            let user = asked["userInfo"]["username"].as_str().unwrap_or_default();
            let seen = if asked["dryRun"] == true { format!("{user} (dry run)") } else { user.to_owned() };
            let patch = if asked["object"]["data"].is_object() {
                json!([{"op": "add", "path": "/data/seen-by", "value": seen}])
            } else {
                json!([{"op": "add", "path": "/data", "value": {"seen-by": seen}}])
            };
            let patch = base64::engine::general_purpose::STANDARD.encode(patch.to_string());
            json!({"uid": asked["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch, "warnings": ["be careful"]})
        }
        "/cpu" if asked["object"]["apiVersion"] == "autoscaling/v1" => {
            let patch = json!([{"op": "replace", "path": "/spec/targetCPUUtilizationPercentage", "value": 42}]);
            let patch = base64::engine::general_purpose::STANDARD.encode(patch.to_string());
            json!({"uid": asked["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch})
        }
        "/validate" if asked["object"]["data"]["refuse"] == "yes" => {
            json!({"uid": asked["uid"], "allowed": false, "status": {"code": 418, "message": "no tea"}})
        }
        "/hang" => std::future::pending().await,
        "/nonsense" => return Response::new(Body::from("hello")),
        _ => allowed,
    };
    let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    Response::new(Body::from(answer.to_string()))
}

/// A boat's `size` of v1 is its `length` in v2.
fn convert(asked: &Value) -> Response<Body> {
    let wanted = asked["desiredAPIVersion"].as_str().unwrap();
    let (from, to) = if wanted.ends_with("/v2") { ("size", "length") } else { ("length", "size") };
    let converted: Vec<Value> = asked["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| {
            let mut object = object.clone();
            object["apiVersion"] = wanted.into();
            if let Some(value) = object["spec"].as_object_mut().and_then(|spec| spec.remove(from)) {
                object["spec"][to] = value;
            }
            object
        })
        .collect();
    let response = json!({"uid": asked["uid"], "convertedObjects": converted, "result": {"status": "Success"}});
    let answer = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response});
    Response::new(Body::from(answer.to_string()))
}
