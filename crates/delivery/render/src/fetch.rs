//! Reading over HTTP: repositories, registries, values.

use std::{path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore};

use crate::{ChartSource, Error};

/// Most bytes of a values file.
pub(crate) const VALUES: usize = 16 << 20;
/// Most bytes of a repository's index.
pub(crate) const INDEX: usize = 128 << 20;
/// Most bytes of a packed chart.
pub(crate) const CHART: usize = 100 << 20;
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most redirects that are followed.
const REDIRECTS: usize = 10;

/// A client with the credentials of one repository.
pub(crate) struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    runtime: tokio::runtime::Runtime,
    basic: Option<String>,
    pub(crate) plain_http: bool,
}

/// An answer with what registries say in headers.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Fetcher {
    pub(crate) fn new(source: &ChartSource) -> Result<Self, Error> {
        let fail = |reason: String| Error::Fetch { url: "anything".to_owned(), reason };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| fail(format!("no runtime: {error}")))?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(source.ca_file.as_deref())?)
            .https_or_http()
            .enable_http1()
            .build();
        let client = {
            let _context = runtime.enter();
            Client::builder(TokioExecutor::new()).build(connector)
        };
        let basic = match (&source.username, &source.password_file) {
            (Some(user), Some(file)) => {
                let password =
                    std::fs::read_to_string(file).map_err(|source| Error::Read { path: file.clone(), source })?;
                let pair = format!("{user}:{}", password.trim_end_matches(['\n', '\r']));
                Some(format!("Basic {}", STANDARD.encode(pair)))
            }
            _ => None,
        };
        Ok(Self { client, runtime, basic, plain_http: source.plain_http })
    }

    /// Returns what a URL holds; anything but 200 is an error.
    pub(crate) fn get(&self, url: &str, most: usize) -> Result<Vec<u8>, Error> {
        let answer = self.ask(url, &[], most)?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            status => Err(Error::Fetch { url: url.to_owned(), reason: format!("the server answered {status}") }),
        }
    }

    /// Asks, and follows redirects; credentials go to the first host alone.
    pub(crate) fn ask(&self, url: &str, headers: &[(header::HeaderName, &str)], most: usize) -> Result<Answer, Error> {
        let fail = |reason: String| Error::Fetch { url: url.to_owned(), reason };
        let first: http::Uri = url.parse().map_err(|error| fail(format!("it is no URL: {error}")))?;
        let mut uri = first.clone();
        for _ in 0..=REDIRECTS {
            let mut request = Request::builder().method(Method::GET).uri(&uri);
            request = request.header(header::USER_AGENT, concat!("roadstead/", env!("CARGO_PKG_VERSION")));
            for (name, value) in headers {
                if *name != header::AUTHORIZATION || uri.authority() == first.authority() {
                    request = request.header(name, *value);
                }
            }
            let given = headers.iter().any(|(name, _)| *name == header::AUTHORIZATION);
            if let Some(basic) = self.basic.as_ref().filter(|_| !given && uri.authority() == first.authority()) {
                request = request.header(header::AUTHORIZATION, basic);
            }
            let request = request.body(Empty::new()).map_err(|error| fail(error.to_string()))?;
            let answer = self.send(request, most).map_err(fail)?;
            let Some(location) = answer.headers.get(header::LOCATION).filter(|_| answer.status.is_redirection()) else {
                return Ok(answer);
            };
            let location = location.to_str().map_err(|error| fail(format!("redirected to no text: {error}")))?;
            uri =
                resolve(&uri, location).ok_or_else(|| fail(format!("redirected to {location:?}, which is no URL")))?;
        }
        Err(fail(format!("redirected more than {REDIRECTS} times")))
    }

    fn send(&self, request: Request<Empty<Bytes>>, most: usize) -> Result<Answer, String> {
        let work = async {
            let response = self.client.request(request).await.map_err(|error| chain(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, most).collect().await.map_err(|error| error.to_string())?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_vec() })
        };
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, work)
                .await
                .unwrap_or_else(|_late| Err(format!("no answer within {} s", PATIENCE.as_secs())))
        })
    }
}

/// Returns where a reference leads to from a URL.
pub(crate) fn resolve(from: &http::Uri, reference: &str) -> Option<http::Uri> {
    if reference.contains("://") {
        return reference.parse().ok();
    }
    let path = if reference.starts_with('/') {
        reference.to_owned()
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/{reference}")
    };
    let mut parts = from.clone().into_parts();
    parts.path_and_query = path.parse().ok();
    http::Uri::from_parts(parts).ok()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, Error> {
    let fail = |reason: String| Error::Fetch { url: "anything over TLS".to_owned(), reason };
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            let bytes = std::fs::read(file).map_err(|source| Error::Read { path: file.to_owned(), source })?;
            for certificate in rustls_pemfile::certs(&mut bytes.as_slice()) {
                let certificate = certificate.map_err(|error| fail(format!("{}: {error}", file.display())))?;
                roots.add(certificate).map_err(|error| fail(format!("{}: {error}", file.display())))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fail(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
