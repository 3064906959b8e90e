//! A cluster that is asked over HTTP.

use anyhow::Context;
use apiserver::{Server, User};
use http::{Method, Request, header};
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

/// The media types of the patches.
pub const JSON_PATCH: &str = "application/json-patch+json";
/// See [`JSON_PATCH`].
pub const MERGE_PATCH: &str = "application/merge-patch+json";
/// See [`JSON_PATCH`].
pub const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
/// See [`JSON_PATCH`].
pub const APPLY_PATCH: &str = "application/apply-patch+yaml";
/// What asks for a table.
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub code: u16,
    /// The body, `null` if it is no JSON.
    pub body: Value,
    /// The `Warning` headers' texts.
    pub warnings: Vec<String>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    media: &'static str,
    accept: &'static str,
    body: Option<Value>,
}

impl Call {
    /// Reads `path`.
    pub fn get(path: impl Into<String>) -> Call {
        Call {
            method: Method::GET,
            path: path.into(),
            media: "application/json",
            accept: "application/json",
            body: None,
        }
    }

    /// Creates `body` in the collection at `path`.
    pub fn post(path: impl Into<String>, body: Value) -> Call {
        Call { method: Method::POST, body: Some(body), ..Call::get(path) }
    }

    /// Replaces what stands at `path`.
    pub fn put(path: impl Into<String>, body: Value) -> Call {
        Call { method: Method::PUT, body: Some(body), ..Call::get(path) }
    }

    /// Patches what stands at `path`.
    pub fn patch(path: impl Into<String>, media: &'static str, body: Value) -> Call {
        Call { method: Method::PATCH, media, body: Some(body), ..Call::get(path) }
    }

    /// Deletes what stands at `path`.
    pub fn delete(path: impl Into<String>) -> Call {
        Call { method: Method::DELETE, ..Call::get(path) }
    }

    /// Asks for another form of the answer.
    #[must_use]
    pub fn accept(self, accept: &'static str) -> Call {
        Call { accept, ..self }
    }
}

/// A cluster.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl Cluster {
    /// Returns the embedded server, in this process and with nothing in it but what is there from the start.
    ///
    /// # Errors
    ///
    /// The server does not start.
    pub async fn ours() -> anyhow::Result<Cluster> {
        let server = Server::in_memory().await.map_err(|error| anyhow::anyhow!("the server did not start: {error}"))?;
        Ok(Cluster { client: server.client(User::new("admin", &["system:masters", "system:authenticated"])) })
    }

    /// Returns the cluster that a kubeconfig's current context names.
    ///
    /// # Errors
    ///
    /// The file cannot be read or its credentials cannot be used.
    pub async fn of_kubeconfig(file: &str) -> anyhow::Result<Cluster> {
        let kubeconfig = Kubeconfig::read_from(file).with_context(|| format!("failed to read {file}"))?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        // An answer that tells to come again is an answer.
        config.default_retry = false;
        Ok(Cluster { client: Client::try_from(config)? })
    }

    /// Returns the cluster at `url` that takes `token`; its certificate is not checked.
    ///
    /// # Errors
    ///
    /// The URL cannot be used.
    pub fn at(url: &str, token: &str) -> anyhow::Result<Cluster> {
        let mut config = Config::new(url.parse().with_context(|| format!("{url} is no URL"))?);
        config.accept_invalid_certs = true;
        config.default_retry = false;
        config.auth_info.token = Some(token.to_owned().into());
        Ok(Cluster { client: Client::try_from(config)? })
    }

    /// Sends one request.
    ///
    /// # Errors
    ///
    /// No answer came.
    pub async fn send(&self, call: &Call) -> anyhow::Result<Answer> {
        let body = call.body.as_ref().map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let request = Request::builder()
            .method(&call.method)
            .uri(&call.path)
            .header(header::ACCEPT, call.accept)
            .header(header::CONTENT_TYPE, call.media)
            .header(header::USER_AGENT, "conformance/1")
            .body(Body::from(body))?;
        let answer = self.client.send(request).await.with_context(|| format!("{} {}", call.method, call.path))?;
        let code = answer.status().as_u16();
        let warnings = answer
            .headers()
            .get_all(header::WARNING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .map(|text| text.trim_start_matches("299 - ").trim_matches('"').to_owned())
            .collect();
        let bytes = answer.into_body().collect_bytes().await?;
        Ok(Answer { code, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null), warnings })
    }
}
