//! Manifests, tags, the catalog and referrers.

use axum::{
    Json,
    body::Body,
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::{Access, Call, Shared, failure::Failure};
use crate::{
    Digest, Error, Manifest, Target, reference,
    store::{MANIFEST_LIMIT, is_index},
};

const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `/v2/<name>/manifests/<reference>`.
pub(super) async fn manifest<A: Access>(
    shared: &Shared<A>,
    call: Call,
    name: &str,
    target: Target,
) -> Result<Response, Failure> {
    if !reference::is_repository(name) {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            "NAME_INVALID",
            format!("{name:?} is not a repository name"),
        ));
    }
    let shown = match &target {
        Target::Digest(digest) => digest.to_string(),
        Target::Tag(tag) => tag.clone(),
    };
    let unknown = || Failure::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", format!("{name} has no manifest {shown}"));
    match call.method {
        Method::GET | Method::HEAD => {
            let Manifest { digest, media_type, bytes } = shared.store.manifest(name, &target)?.ok_or_else(unknown)?;
            let length = bytes.len();
            let body = if call.method == Method::HEAD { Body::empty() } else { Body::from(bytes) };
            let builder = Response::builder()
                .header(header::CONTENT_TYPE, media_type)
                .header(header::CONTENT_LENGTH, length)
                .header(header::ETAG, format!("\"{digest}\""))
                .header("docker-content-digest", digest.to_string());
            build(builder, body)
        }
        Method::PUT => put(shared, call, name, target).await,
        Method::DELETE => {
            if !shared.store.delete_manifest(name, &target)? {
                return Err(unknown());
            }
            build(Response::builder().status(StatusCode::ACCEPTED), Body::empty())
        }
        _ => Err(Failure::not_allowed()),
    }
}

async fn put<A: Access>(shared: &Shared<A>, call: Call, name: &str, target: Target) -> Result<Response, Failure> {
    let invalid = |why: String| Failure::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", why);
    let sent = call.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut bytes = Vec::new();
    let mut stream = call.body.into_data_stream();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.map_err(|error| invalid(format!("the body was cut off: {error}")))?);
        if bytes.len() as u64 > MANIFEST_LIMIT {
            return Err(Error::TooLarge { what: "a manifest", limit: MANIFEST_LIMIT }.into());
        }
    }
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| invalid(format!("it is not JSON: {error}")))?;
    if value["schemaVersion"] != 2 {
        return Err(invalid("schemaVersion is not 2".to_owned()));
    }
    let own = value["mediaType"].as_str().map(str::to_owned);
    if let (Some(own), Some(sent)) = (&own, &sent)
        && own != sent
    {
        return Err(invalid(format!("it says that it is {own}, and the request that it is {sent}")));
    }
    let media_type =
        own.or(sent).ok_or_else(|| invalid("neither it nor the request says its media type".to_owned()))?;
    check_references(shared, name, &value, is_index(&media_type))?;
    let (store, repository, of) = (shared.store.clone(), name.to_owned(), target.clone());
    let put = tokio::task::spawn_blocking(move || store.put_manifest(&repository, &of, &media_type, &bytes)).await;
    let digest =
        put.map_err(|_| Failure::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "the registry is stopping"))??;
    let mut builder = Response::builder()
        .status(StatusCode::CREATED)
        .header(header::LOCATION, format!("/v2/{name}/manifests/{digest}"))
        .header("docker-content-digest", digest.to_string());
    if let Some(subject) = value["subject"]["digest"].as_str() {
        builder = builder.header("oci-subject", subject);
    }
    build(builder, Body::empty())
}

/// Refuses a manifest of which a part is missing, so that what can be pulled is whole.
fn check_references<A: Access>(shared: &Shared<A>, name: &str, value: &Value, index: bool) -> Result<(), Failure> {
    let missing =
        |code, digest: &Digest| Failure::new(StatusCode::BAD_REQUEST, code, format!("{name} does not have {digest}"));
    let digest_of = |entry: &Value| Digest::parse(entry["digest"].as_str().unwrap_or_default());
    if index {
        for entry in value["manifests"].as_array().into_iter().flatten() {
            let digest = digest_of(entry)?;
            if shared.store.manifest(name, &Target::Digest(digest.clone()))?.is_none() {
                return Err(missing("MANIFEST_BLOB_UNKNOWN", &digest));
            }
        }
        return Ok(());
    }
    let config = value.get("config").into_iter();
    for entry in config.chain(value["layers"].as_array().into_iter().flatten()) {
        // A layer with addresses of its own may lie elsewhere.
        if entry["urls"].as_array().is_some_and(|urls| !urls.is_empty()) {
            continue;
        }
        let digest = digest_of(entry)?;
        if !shared.store.has_blob(name, &digest)? {
            return Err(missing("MANIFEST_BLOB_UNKNOWN", &digest));
        }
        if entry["size"].as_u64() != shared.store.blob_length(&digest) {
            let text = format!("the size of {digest} is not what the manifest says");
            return Err(Failure::new(StatusCode::BAD_REQUEST, "SIZE_INVALID", text));
        }
    }
    Ok(())
}

/// `GET /v2/<name>/tags/list`.
pub(super) fn tags<A: Access>(shared: &Shared<A>, call: &Call, name: &str) -> Result<Response, Failure> {
    let unknown = || Failure::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", format!("there is no repository {name}"));
    let all = shared.store.tags(name)?.ok_or_else(unknown)?;
    let (tags, next) = page(all, call)?;
    let link = next.map(|(n, last)| format!("</v2/{name}/tags/list?n={n}&last={last}>; rel=\"next\""));
    Ok(linked(json!({ "name": name, "tags": tags }), link))
}

/// `GET /v2/_catalog`.
pub(super) fn catalog<A: Access>(shared: &Shared<A>, call: &Call) -> Result<Response, Failure> {
    let (repositories, next) = page(shared.store.repositories()?, call)?;
    let link = next.map(|(n, last)| format!("</v2/_catalog?n={n}&last={last}>; rel=\"next\""));
    Ok(linked(json!({ "repositories": repositories }), link))
}

/// One page of names, and where the next one begins.
type Page = (Vec<String>, Option<(usize, String)>);

fn page(names: Vec<String>, call: &Call) -> Result<Page, Failure> {
    let n = call.query("n").map(str::parse::<usize>).transpose();
    let n = n.map_err(|_| Failure::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", "n is not a number"))?;
    let last = call.query("last").unwrap_or_default();
    let mut rest: Vec<String> = names.into_iter().filter(|name| name.as_str() > last).collect();
    let Some(n) = n.filter(|n| *n < rest.len()) else { return Ok((rest, None)) };
    rest.truncate(n);
    let next = rest.last().cloned().map(|last| (n, last));
    Ok((rest, next))
}

fn linked(body: Value, link: Option<String>) -> Response {
    let mut response = Json(body).into_response();
    if let Some(link) = link.and_then(|link| link.parse().ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// `GET /v2/<name>/referrers/<digest>`: the manifests whose subject is this one.
pub(super) fn referrers<A: Access>(
    shared: &Shared<A>,
    call: &Call,
    name: &str,
    subject: &Digest,
) -> Result<Response, Failure> {
    let wanted = call.query("artifactType");
    let mut found = Vec::new();
    for digest in shared.store.manifests(name)? {
        let Some(manifest) = shared.store.manifest(name, &Target::Digest(digest.clone()))? else { continue };
        let Ok(value) = serde_json::from_slice::<Value>(&manifest.bytes) else { continue };
        if value["subject"]["digest"] != subject.to_string() {
            continue;
        }
        let kind = value["artifactType"].as_str().or(value["config"]["mediaType"].as_str()).unwrap_or_default();
        if wanted.is_some_and(|wanted| wanted != kind) {
            continue;
        }
        let mut entry = json!({
            "mediaType": manifest.media_type, "digest": digest.to_string(), "size": manifest.bytes.len(), "artifactType": kind,
        });
        if let Some(annotations) = value.get("annotations") {
            entry["annotations"] = annotations.clone();
        }
        found.push(entry);
    }
    let body = json!({ "schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": found });
    let mut builder = Response::builder().header(header::CONTENT_TYPE, IMAGE_INDEX);
    if wanted.is_some() {
        builder = builder.header("oci-filters-applied", "artifactType");
    }
    build(builder, Body::from(body.to_string()))
}

fn build(builder: http::response::Builder, body: Body) -> Result<Response, Failure> {
    builder.body(body).map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", error.to_string()))
}
