//! Sends a review to a webhook and reads its answer: TLS, one request, one deadline.

use std::{sync::Arc, time::Duration};

use axum::body::Bytes;
use base64::Engine;
use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::server::Server;

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 3 << 20;

/// Where a webhook is reached and who it has to be.
struct Place {
    /// Host and port to connect to.
    address: (String, u16),
    /// The name in its certificate.
    name: String,
    /// What is asked for.
    path: String,
    /// How messages name it.
    url: String,
}

impl Server {
    /// Sends `review` to where `config` says; an error says what went wrong, in Go's words where there are some.
    pub(crate) async fn call_webhook(&self, config: &Value, review: &Value, seconds: u64) -> Result<Value, String> {
        let place = self.place_of(config, seconds)?;
        let failed = |why: String| format!("Post {:?}: {why}", place.url);
        let tls = tls_config(config).map_err(&failed)?;
        let sending = send(&place, tls, review);
        match tokio::time::timeout(Duration::from_secs(seconds), sending).await {
            Err(_) => Err(failed("context deadline exceeded".to_owned())),
            Ok(Err(Unsent::Said(why))) => Err(why),
            Ok(Err(Unsent::Lost(why))) => Err(failed(why)),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    fn place_of(&self, config: &Value, seconds: u64) -> Result<Place, String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if let Some(url) = config["url"].as_str() {
            let uri: http::Uri = url.parse().map_err(|error| format!("invalid URL {url:?}: {error}"))?;
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let path = if uri.path().is_empty() { "/" } else { uri.path() };
            return Ok(Place {
                address: (host.clone(), uri.port_u16().unwrap_or(443)),
                name: host,
                path: format!("{path}?timeout={seconds}s"),
                url: format!("{url}?timeout={seconds}s"),
            });
        }
        let service = &config["service"];
        let (namespace, name) = (text(&service["namespace"]), text(&service["name"]));
        let port = service["port"].as_i64().unwrap_or(443);
        let path = format!("/{}", text(&service["path"]).trim_start_matches('/'));
        let host = format!("{name}.{namespace}.svc");
        Ok(Place {
            address: self.endpoint(&namespace, &name, port)?,
            url: format!("https://{host}:{port}{path}?timeout={seconds}s"),
            path: format!("{path}?timeout={seconds}s"),
            name: host,
        })
    }

    /// Returns an address that is ready to serve a Service's port.
    fn endpoint(&self, namespace: &str, name: &str, port: i64) -> Result<(String, u16), String> {
        let snapshot = self.store().snapshot();
        let service = snapshot
            .get(&format!("core/services/{namespace}/{name}"))
            .ok_or_else(|| format!("service {name:?} not found"))?
            .value();
        let ports = service["spec"]["ports"].as_array().map_or(&[][..], Vec::as_slice);
        let Some(wanted) = ports.iter().find(|found| found["port"] == port) else {
            return Err(format!("no service port {port} found for service {name:?}"));
        };
        if service["spec"]["type"] == "ExternalName" {
            let host = service["spec"]["externalName"].as_str().unwrap_or_default().to_owned();
            return Ok((host, u16::try_from(port).unwrap_or(443)));
        }
        let prefix = format!("discovery.k8s.io/endpointslices/{namespace}/");
        let slices = snapshot.range(&prefix, None).map(|(_, entry)| entry.value());
        for slice in slices.filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == name) {
            let port_name = |port: &Value| port["name"].as_str().unwrap_or_default().to_owned();
            let ports = slice["ports"].as_array().map_or(&[][..], Vec::as_slice);
            let number =
                ports.iter().find(|port| port_name(port) == port_name(wanted)).and_then(|port| port["port"].as_u64());
            let Some(number) = number.and_then(|number| u16::try_from(number).ok()) else { continue };
            let ready = slice["endpoints"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|endpoint| endpoint["conditions"]["ready"] != false);
            if let Some(address) = ready.and_then(|endpoint| endpoint["addresses"][0].as_str()) {
                return Ok((address.to_owned(), number));
            }
        }
        Err(format!("no endpoints available for service {name:?}"))
    }
}

fn tls_config(config: &Value) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    if let Some(bundle) = config["caBundle"].as_str() {
        let pem = base64::engine::general_purpose::STANDARD
            .decode(bundle)
            .map_err(|error| format!("unable to load root certificates: {error}"))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| format!("unable to load root certificates: {error}"))?;
            roots.add(certificate).map_err(|error| format!("unable to load root certificates: {error}"))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// Why no answer came.
enum Unsent {
    /// On the way to the webhook or back.
    Lost(String),
    /// The webhook said something else.
    Said(String),
}

impl From<String> for Unsent {
    fn from(why: String) -> Unsent {
        Unsent::Lost(why)
    }
}

async fn send(place: &Place, tls: ClientConfig, review: &Value) -> Result<Value, Unsent> {
    let (host, port) = &place.address;
    let stream = TcpStream::connect((host.as_str(), *port))
        .await
        .map_err(|error| format!("dial tcp {host}:{port}: connect: {}", lowercase(&error.to_string())))?;
    let name = ServerName::try_from(place.name.clone()).map_err(|error| error.to_string())?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(tls))
        .connect(name, stream)
        .await
        .map_err(|error| format!("tls: failed to verify certificate: {error}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = Request::post(&place.path)
        .header(header::HOST, &place.name)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "kube-apiserver-admission")
        .body(Full::new(Bytes::from(review.to_string())))
        .map_err(|error| error.to_string())?;
    let asking = async move {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let code = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
        let bytes = body.to_bytes();
        if !code.is_success() {
            let text = String::from_utf8_lossy(&bytes);
            let text: String = text.trim().chars().take(256).collect();
            return Err(Unsent::Said(if code.is_server_error() {
                format!("an error on the server ({text:?}) has prevented the request from succeeding")
            } else {
                format!("the server returned {code}: {text}")
            }));
        }
        serde_json::from_slice(&bytes).map_err(|error| Unsent::Said(format!("the answer is no JSON: {error}")))
    };
    tokio::pin!(asking, connection);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            answer = &mut asking => return answer,
            // Its failure reaches the request too.
            _ = &mut connection, if open => open = false,
        }
    }
}

fn lowercase(text: &str) -> String {
    text.split(" (os error").next().unwrap_or(text).to_lowercase()
}
