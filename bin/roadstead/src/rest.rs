//! A client of the platform's own REST API, for the verbs of the CLI.

use anyhow::{Context, anyhow, bail};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use platform::rest::Problem;
use serde::{Serialize, de::DeserializeOwned};

use crate::{paths::Paths, state::Platform};

/// A client with the platform's own token.
pub(crate) struct Rest {
    pub(crate) platform: Platform,
    token: String,
}

impl Rest {
    /// Returns a client of the platform that runs on this folder.
    pub(crate) fn connect(paths: &Paths) -> anyhow::Result<Rest> {
        let platform = Platform::running(paths)?;
        let token = std::fs::read_to_string(paths.token())
            .with_context(|| format!("failed to read {}", paths.token().display()))?;
        Ok(Rest { platform, token: token.trim().to_owned() })
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.send(Method::GET, path, None::<&()>).await
    }

    /// Returns `None` for 404.
    pub(crate) async fn get_opt<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        let response = self.request(Method::GET, path, None::<&()>).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        read(response).await.map(Some)
    }

    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<T> {
        read(self.request(method, path, body).await?).await
    }

    /// Returns an answer whose body is still to be read.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<http::Response<Incoming>> {
        let stream = tokio::net::TcpStream::connect(self.platform.portal).await.with_context(|| {
            format!("the platform does not answer on {}: see 'roadstead status'", self.platform.portal)
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let tasks = base::task::Tasks::new();
        tasks.spawn("connection", base::task::OnError::Log, connection);
        let bytes = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::HOST, format!("localhost:{}", self.platform.portal.port()))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        Ok(sender.send_request(request.body(Full::new(Bytes::from(bytes)))?).await?)
    }
}

async fn read<T: DeserializeOwned>(response: http::Response<Incoming>) -> anyhow::Result<T> {
    let status = response.status();
    let bytes = response.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        let problem: Problem = serde_json::from_slice(&bytes)
            .map_err(|_| anyhow!("the platform answered {status}: {}", String::from_utf8_lossy(&bytes)))?;
        let title = if problem.detail.is_empty() { problem.title } else { problem.detail };
        bail!("{title} [{}]", problem.code);
    }
    let bytes = if bytes.is_empty() { Bytes::from_static(b"null") } else { bytes };
    serde_json::from_slice(&bytes)
        .context("the platform's answer is not what this version expects: are both the same version?")
}
