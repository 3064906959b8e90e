//! Reads the bodies of requests: their size, their media types and the text in them.

mod told;

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use crate::{status::Failure, write::PatchKind};

pub(crate) use told::{Told, Twice};

/// The largest body that is read, in bytes (kube-apiserver's limit).
const MAX_BODY: usize = 3 << 20;
/// How long a body may take to arrive.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);

/// The bodies that are read for every kind.
pub(crate) const TEXT_TYPES: &str = "application/json, application/yaml";

/// Returns the body's media type without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// Returns which patch the body is.
pub(crate) fn patch_kind(headers: &HeaderMap) -> Result<PatchKind, Failure> {
    match media_type(headers) {
        "application/json-patch+json" => Ok(PatchKind::Json),
        "application/merge-patch+json" => Ok(PatchKind::Merge),
        "application/strategic-merge-patch+json" => Ok(PatchKind::Strategic),
        "application/apply-patch+yaml" => Ok(PatchKind::Apply),
        other => Err(Failure::unsupported_media(
            other,
            "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml",
        )),
    }
}

/// Reads the body whole and decodes it; an empty one is an empty object.
pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Value, Failure> {
    Ok(read_told(headers, body).await?.value)
}

/// Reads the body as [`read`] does, and what it says twice.
pub(crate) async fn read_told(headers: &HeaderMap, body: Body) -> Result<Told, Failure> {
    decode(media_type(headers), &read_bytes(headers, body).await?)
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

/// Decodes a body of this media type; an empty one is an empty object.
pub(crate) fn decode(media: &str, bytes: &[u8]) -> Result<Told, Failure> {
    if bytes.is_empty() {
        return Ok(json!({}).into());
    }
    match media {
        "application/yaml" | "application/apply-patch+yaml" => {
            let text = std::str::from_utf8(bytes).map_err(|error| Failure::bad_request(error.to_string()))?;
            let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
            let told: Told = serde_json::from_slice(bytes)
                .or_else(|_| serde_saphyr::from_str_with_options(text, options.clone()))
                .map_err(|error| Failure::bad_request(format!("error converting YAML to JSON: {error}")))?;
            Ok(told.with_lines(text, options))
        }
        ""
        | "application/json"
        | "application/json-patch+json"
        | "application/merge-patch+json"
        | "application/strategic-merge-patch+json" => serde_json::from_slice(bytes)
            .map_err(|error| Failure::bad_request(format!("couldn't get version/kind; json parse error: {error}"))),
        schema::wire::MEDIA_TYPE => schema::wire::decode(bytes)
            .map(Told::from)
            .map_err(|error| Failure::bad_request(format!("couldn't read the protobuf body: {error}"))),
        other => Err(Failure::unsupported_media(other, &format!("{TEXT_TYPES}, {}", schema::wire::MEDIA_TYPE))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_says_twice_what_json_does() {
        let yaml = "kind: ConfigMap\ndata:\n  a: b\n  a: c\n  n: '1'\nkind: ConfigMap\n";
        let told = decode("application/yaml", yaml.as_bytes()).unwrap();
        assert_eq!(told.twice().fields, ["data.a", "kind"]);
        let lines = ["line 4: key \"a\" already set in map", "line 6: key \"kind\" already set in map"];
        assert_eq!(told.twice().lines, lines);
        let json = decode("application/apply-patch+yaml", br#"{"a": {"b": 1, "b": 2}}"#).unwrap();
        assert_eq!(json.twice().lines, ["line 1: key \"b\" already set in map"]);
        assert_eq!(told.value, json!({"kind": "ConfigMap", "data": {"a": "c", "n": "1"}}));
    }
}
