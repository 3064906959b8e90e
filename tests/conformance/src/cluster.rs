//! A cluster that is asked over HTTP, by whoever is to ask it.

use std::io::Read;

use anyhow::Context;
use apiserver::{Server, User};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::TryStreamExt;
use http::{HeaderMap, Method, Request, header};
use kube::{
    Client, Config,
    client::Body,
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

use crate::identity::Identity;

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
    /// The body; of a stream its lines. A text if it is no JSON, `null` if there is none.
    pub body: Value,
    /// The `Warning` headers' texts.
    pub warnings: Vec<String>,
    /// All headers.
    pub headers: HeaderMap,
    /// The size of the body as it came.
    pub size: usize,
}

impl Answer {
    /// Returns the sentence of a refusal, or nothing.
    #[must_use]
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// Returns the reason of a refusal, or nothing.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }

    /// Returns the text at a JSON pointer, or nothing.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the revision of the object or list.
    #[must_use]
    pub fn version(&self) -> &str {
        self.text("/metadata/resourceVersion")
    }

    /// Returns the names of the objects of a list.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let items = self.body["items"].as_array().into_iter().flatten();
        items.filter_map(|item| item["metadata"]["name"].as_str()).collect()
    }

    /// Returns a header's value, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    media: String,
    accept: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
}

impl Call {
    /// Makes a request of any method.
    pub fn new(method: &str, path: impl Into<String>) -> Call {
        Call {
            method: method.parse().unwrap_or_default(),
            path: path.into(),
            media: "application/json".to_owned(),
            accept: "application/json".to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// Reads `path`.
    pub fn get(path: impl Into<String>) -> Call {
        Call::new("GET", path)
    }

    /// Creates `body` in the collection at `path`.
    #[expect(clippy::needless_pass_by_value, reason = "bodies are written where they are sent")]
    pub fn post(path: impl Into<String>, body: Value) -> Call {
        Call::new("POST", path).text(&body.to_string())
    }

    /// Replaces what stands at `path`.
    #[expect(clippy::needless_pass_by_value, reason = "bodies are written where they are sent")]
    pub fn put(path: impl Into<String>, body: Value) -> Call {
        Call::new("PUT", path).text(&body.to_string())
    }

    /// Patches what stands at `path`.
    #[expect(clippy::needless_pass_by_value, reason = "bodies are written where they are sent")]
    pub fn patch(path: impl Into<String>, media: &str, body: Value) -> Call {
        Call::new("PATCH", path).media(media).text(&body.to_string())
    }

    /// Deletes what stands at `path`.
    pub fn delete(path: impl Into<String>) -> Call {
        Call::new("DELETE", path)
    }

    /// Sends this text as it is.
    #[must_use]
    pub fn text(self, text: &str) -> Call {
        Call { body: Some(text.as_bytes().to_vec()), ..self }
    }

    /// Sends this value.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "bodies are written where they are sent")]
    pub fn body(self, body: Value) -> Call {
        self.text(&body.to_string())
    }

    /// Says that the body is of another type.
    #[must_use]
    pub fn media(self, media: &str) -> Call {
        Call { media: media.to_owned(), ..self }
    }

    /// Asks for another form of the answer.
    #[must_use]
    pub fn accept(self, accept: &str) -> Call {
        Call { accept: accept.to_owned(), ..self }
    }

    /// Sends a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Call {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Acts as somebody else, in these groups.
    #[must_use]
    pub fn as_user(self, name: &str, groups: &[&str]) -> Call {
        let call = self.header("impersonate-user", name);
        groups.iter().fold(call, |call, group| call.header("impersonate-group", group))
    }

    /// Returns what is asked in a few words.
    #[must_use]
    pub fn title(&self) -> String {
        let mut title = format!("{} {}", self.method, self.path.chars().take(200).collect::<String>());
        for part in [&self.media, &self.accept].into_iter().filter(|part| *part != "application/json") {
            title = format!("{title} [{part}]");
        }
        for (name, value) in &self.headers {
            title = format!("{title} [{name}: {}]", value.chars().take(40).collect::<String>());
        }
        let body = String::from_utf8_lossy(self.body.as_deref().unwrap_or_default()).into_owned();
        format!("{title} {}", body.chars().take(160).collect::<String>().replace('\n', "\\n"))
    }
}

/// A cluster.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    config: Option<Config>,
}

impl Cluster {
    /// Returns the embedded server, in this process and with nothing in it but what is there from the start.
    ///
    /// # Errors
    ///
    /// The server does not start.
    pub async fn ours() -> anyhow::Result<Cluster> {
        let server = Server::in_memory().await.map_err(|error| anyhow::anyhow!("the server did not start: {error}"))?;
        let client = server.client(User::new("admin", &["system:masters", "system:authenticated"]));
        Ok(Cluster { client, config: None })
    }

    /// Returns the cluster that a kubeconfig's current context names.
    ///
    /// # Errors
    ///
    /// The file cannot be read or its credentials cannot be used.
    pub async fn of_kubeconfig(file: &str) -> anyhow::Result<Cluster> {
        let kubeconfig = Kubeconfig::read_from(file).with_context(|| format!("failed to read {file}"))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Cluster::of(config)
    }

    /// Returns the cluster at `url` that takes `token`; its certificate is not checked.
    ///
    /// # Errors
    ///
    /// The URL cannot be used.
    pub fn at(url: &str, token: &str) -> anyhow::Result<Cluster> {
        let mut config = Config::new(url.parse().with_context(|| format!("{url} is no URL"))?);
        config.accept_invalid_certs = true;
        config.auth_info.token = Some(token.to_owned().into());
        Cluster::of(config)
    }

    fn of(mut config: Config) -> anyhow::Result<Cluster> {
        // What is answered first is what is looked at.
        config.default_retry = false;
        Ok(Cluster { client: Client::try_from(config.clone())?, config: Some(config) })
    }

    /// Returns the same cluster for whoever has this token; without one, for a stranger.
    ///
    /// # Errors
    ///
    /// The cluster is not one that is asked over a network.
    pub fn known_by(&self, token: Option<&str>) -> anyhow::Result<Cluster> {
        let mut config = self.config.clone().context("a server in this process is asked by its client alone")?;
        config.auth_info = AuthInfo { token: token.map(|token| token.to_owned().into()), ..AuthInfo::default() };
        Cluster::of(config)
    }

    /// Returns the same cluster for whoever has this certificate.
    ///
    /// # Errors
    ///
    /// The cluster is not one that is asked over a network, or the certificate cannot be used.
    pub fn certified(&self, identity: &Identity) -> anyhow::Result<Cluster> {
        let mut config = self.config.clone().context("a server in this process is asked by its client alone")?;
        config.auth_info = AuthInfo {
            client_certificate_data: Some(STANDARD.encode(&identity.certificate)),
            client_key_data: Some(STANDARD.encode(&identity.key).into()),
            ..AuthInfo::default()
        };
        Cluster::of(config)
    }

    /// Returns a client for those who want more than single requests.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Sends one request.
    ///
    /// # Errors
    ///
    /// No answer came.
    pub async fn send(&self, call: &Call) -> anyhow::Result<Answer> {
        self.read(call, usize::MAX).await
    }

    /// Sends one request and reads no more than this many lines of its answer.
    ///
    /// # Errors
    ///
    /// No answer came.
    pub async fn read(&self, call: &Call, lines: usize) -> anyhow::Result<Answer> {
        let mut request = Request::builder()
            .method(&call.method)
            .uri(&call.path)
            .header(header::ACCEPT, &call.accept)
            .header(header::CONTENT_TYPE, &call.media)
            .header(header::USER_AGENT, "conformance/1");
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Body::from(call.body.clone().unwrap_or_default()))?;
        let answer = self.client.send(request).await.with_context(|| format!("{} {}", call.method, call.path))?;
        let (parts, body) = answer.into_parts();
        let warnings = parts
            .headers
            .get_all(header::WARNING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .map(|text| text.trim_start_matches("299 - ").trim_matches('"').to_owned())
            .collect();
        let mut bytes = Vec::new();
        let mut stream = std::pin::pin!(http_body_util::BodyDataStream::new(body));
        let mut read = 0;
        while read < lines {
            let Some(chunk) = stream.try_next().await? else { break };
            read += chunk.split(|byte| *byte == b'\n').count() - 1;
            bytes.extend_from_slice(&chunk);
        }
        let size = bytes.len();
        if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding == "gzip") {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).context("the body is no gzip")?;
            bytes = plain;
        }
        Ok(Answer { code: parts.status.as_u16(), body: told(&bytes), warnings, headers: parts.headers, size })
    }
}

/// A body as a value: JSON, several lines of it, or a text.
fn told(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    if let Ok(value) = serde_json::from_slice(bytes) {
        return value;
    }
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(serde_json::from_slice::<Value>);
    lines
        .collect::<Result<Vec<_>, _>>()
        .map_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into(), Value::Array)
}
