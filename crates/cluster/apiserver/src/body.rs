//! Reads the bodies of requests: their size, their media types and the text in them.

mod sent;
mod syntax;
mod told;

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use crate::{status::Failure, write::PatchKind};

pub(crate) use sent::{Sent, summary};
pub(crate) use syntax::problem as syntax_problem;
pub(crate) use told::Told;

/// The largest body that is read, in bytes (kube-apiserver's limit).
const MAX_BODY: usize = 3 << 20;
/// How long a body may take to arrive.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);

/// The patches that are read for custom kinds.
pub(crate) const CUSTOM_PATCHES: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
/// The bodies that are read for every kind.
pub(crate) const TEXT_TYPES: &str = "application/json, application/yaml";

/// Returns the body's media type without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// Returns which patch the body is.
pub(crate) fn patch_kind(headers: &HeaderMap, custom: bool) -> Result<PatchKind, Failure> {
    match media_type(headers) {
        "application/json-patch+json" => Ok(PatchKind::Json),
        "application/merge-patch+json" => Ok(PatchKind::Merge),
        "application/strategic-merge-patch+json" if !custom => Ok(PatchKind::Strategic),
        "application/apply-patch+yaml" => Ok(PatchKind::Apply),
        _ if custom => Err(unread(CUSTOM_PATCHES)),
        _ => Err(Failure {
            details: json!({}),
            ..Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", "415: Unsupported Media Type")
        }),
    }
}

/// Why a body cannot be read as what it says it is.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// Its type is none that is read.
    Media,
    /// It is no JSON: the reader's words.
    Json(String),
    /// It is no YAML, or says nothing that JSON can: the reader's words.
    Yaml(String),
    /// It is none of Kubernetes' binary form.
    Binary(String),
}

impl Unreadable {
    /// Returns the refusal of options or a review.
    pub(crate) fn plainly(self) -> Failure {
        match self {
            Unreadable::Media => unread(&format!("{TEXT_TYPES}, {}", schema::wire::MEDIA_TYPE)),
            Unreadable::Json(why) => {
                Failure::bad_request(format!("couldn't get version/kind; json parse error: {why}"))
            }
            Unreadable::Yaml(why) | Unreadable::Binary(why) => Failure::bad_request(why),
        }
    }

    /// Returns the refusal of a patch: how the patch is named before the reader's words.
    pub(crate) fn of_patch(self, kind: PatchKind) -> Failure {
        let why = match self {
            Unreadable::Media => return Unreadable::Media.plainly(),
            Unreadable::Json(why) | Unreadable::Yaml(why) | Unreadable::Binary(why) => why,
        };
        Failure::bad_request(match kind {
            PatchKind::Strategic => why,
            PatchKind::Json | PatchKind::Merge => format!("error decoding patch: {why}"),
            PatchKind::Apply => format!("error decoding YAML: error converting YAML to JSON: {why}"),
        })
    }

    /// Returns the refusal of an object of this kind.
    pub(crate) fn of_kind(self, kind: &str, bytes: &[u8]) -> Failure {
        let why = match self {
            Unreadable::Media => return Unreadable::Media.plainly(),
            Unreadable::Json(why) => format!("couldn't get version/kind; json parse error: {why}"),
            Unreadable::Yaml(why) | Unreadable::Binary(why) => why,
        };
        Failure::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {why} ({})",
            summary(bytes)
        ))
    }
}

/// A body of a type that is not read.
pub(crate) fn unread(supported: &str) -> Failure {
    Failure::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "UnsupportedMediaType",
        format!("the body of the request was in an unknown format - accepted media types include: {supported}"),
    )
}

/// Reads the body whole and decodes it; an empty one is an empty object.
pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Value, Failure> {
    let bytes = read_bytes(headers, body).await?;
    if bytes.is_empty() {
        return Ok(json!({}));
    }
    Ok(decode(media_type(headers), &bytes).map_err(Unreadable::plainly)?.value)
}

/// Reads the body whole, as far as it is allowed to go.
pub(crate) async fn read_bytes(headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    let too_large = || {
        Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {MAX_BODY}"),
        )
    };
    // A length that is told is believed: nothing of such a body is read.
    let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if told.is_some_and(|told| told > MAX_BODY) {
        return Err(too_large());
    }
    let read = tokio::time::timeout(ARRIVES_WITHIN, axum::body::to_bytes(body, MAX_BODY));
    read.await
        .map_err(|_| Failure::new(StatusCode::REQUEST_TIMEOUT, "Timeout", "the body did not arrive within 60 s"))?
        .map_err(|_| too_large())
}

/// Decodes a body of this media type.
pub(crate) fn decode(media: &str, bytes: &[u8]) -> Result<Told, Unreadable> {
    match media.to_ascii_lowercase().as_str() {
        "application/yaml" | "application/apply-patch+yaml" => serde_json::from_slice(bytes).or_else(|_| {
            let text = std::str::from_utf8(bytes).map_err(|error| Unreadable::Yaml(format!("yaml: {error}")))?;
            let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
            serde_saphyr::from_str_with_options(first_document(text), options)
                .map_err(|error| Unreadable::Yaml(yaml_problem(&error)))
        }),
        ""
        | "application/json"
        | "application/json-patch+json"
        | "application/merge-patch+json"
        | "application/strategic-merge-patch+json" => serde_json::from_slice(bytes)
            .map_err(|error| Unreadable::Json(syntax::problem(bytes).unwrap_or_else(|| error.to_string()))),
        schema::wire::MEDIA_TYPE => schema::wire::decode(bytes)
            .map(Told::from)
            .map_err(|error| Unreadable::Binary(binary_problem(bytes, &error.to_string()))),
        _ => Err(Unreadable::Media),
    }
}

fn yaml_problem(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let why = first.rsplit_once(": ").map_or(first, |(_, why)| why);
    error.location().map_or_else(|| format!("yaml: {why}"), |at| format!("yaml: line {}: {why}", at.line()))
}

fn binary_problem(bytes: &[u8], why: &str) -> String {
    if bytes.starts_with(b"k8s\0") {
        return why.to_owned();
    }
    "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]".to_owned()
}

/// Returns the first document of several: Kubernetes reads no further.
fn first_document(text: &str) -> &str {
    let text = text.strip_prefix("---\n").unwrap_or(text);
    text.find("\n---").map_or(text, |end| &text[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_says_twice_what_json_does() {
        let yaml = "kind: ConfigMap\ndata:\n  a: b\n  a: c\n  n: '1'\nkind: ConfigMap\n";
        let told = decode("application/yaml", yaml.as_bytes()).unwrap();
        assert_eq!(told.twice(), ["data.a", "kind"]);
        assert_eq!(told.value, json!({"kind": "ConfigMap", "data": {"a": "c", "n": "1"}}));
    }
}
