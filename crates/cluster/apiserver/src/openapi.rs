//! The documents that describe what is served, in OpenAPI v3 (one for each group and
//! version) and v2 (one for all). They are written when they are first asked for, once for
//! each set of kinds, and lie compressed in memory: most clients take them as they lie.

mod operations;
mod types;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{Read, Write as _},
    sync::OnceLock,
};

use axum::body::Body;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use schema::openapi::{binary, published::Version};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};

use crate::{discovery::VERSION, kinds::Served, pipeline::respond, request::Query, status::Failure};
use types::Types;

/// The binary form as clients ask for it (the first, with a character that media types do not have, is older), and
/// as answers name it.
const BINARY_V2: [&str; 2] =
    ["com.github.proto-openapi.spec.v2@v1.0+protobuf", "com.github.proto-openapi.spec.v2.v1.0+protobuf"];

/// The documents of one set of kinds.
#[derive(Default)]
pub(crate) struct Documents {
    v3: OnceLock<BTreeMap<String, Document>>,
    v2: OnceLock<Document>,
    v2_binary: OnceLock<Packed>,
}

/// A document, and the name of this very content.
struct Document {
    text: Packed,
    hash: String,
}

/// Bytes that lie compressed.
struct Packed(Vec<u8>);

impl Packed {
    fn new(bytes: &[u8]) -> Packed {
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::default());
        // Writing to a vector cannot fail.
        let _ = encoder.write_all(bytes);
        Packed(encoder.finish().unwrap_or_default())
    }

    fn unpack(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // What was packed here can be unpacked.
        let _ = GzDecoder::new(self.0.as_slice()).read_to_end(&mut bytes);
        bytes
    }
}

impl Document {
    fn new(value: &Value) -> Document {
        let text = value.to_string();
        let hash = Sha512::digest(text.as_bytes()).iter().fold(String::new(), |mut hash, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hash, "{byte:02X}");
            hash
        });
        Document { text: Packed::new(text.as_bytes()), hash }
    }
}

impl Served {
    /// Answers a request for `/openapi/v2`, in the form that the client prefers.
    pub(crate) fn openapi_v2(&self, headers: &HeaderMap) -> Response<Body> {
        let document = self.documents().v2.get_or_init(|| Document::new(&self.write_v2()));
        let Some(chosen) = chosen(headers, &["json", BINARY_V2[0], BINARY_V2[1]]) else {
            return not_acceptable();
        };
        let (packed, media) = if chosen == "json" {
            (&document.text, "json")
        } else {
            let binary = self.documents().v2_binary.get_or_init(|| {
                let value = serde_json::from_slice(&document.text.unpack()).unwrap_or_default();
                Packed::new(&binary::encode(&value))
            });
            (binary, BINARY_V2[1])
        };
        answer(headers, packed, &document.hash, &format!("application/{media}"))
    }

    /// Answers a request for the index at `/openapi/v3`.
    pub(crate) fn openapi_v3_index(&self) -> Response<Body> {
        let paths: Map<String, Value> = self
            .documents_v3()
            .iter()
            .map(|(path, document)| {
                let url = format!("/openapi/v3/{path}?hash={}", document.hash);
                (path.clone(), json!({"serverRelativeURL": url}))
            })
            .collect();
        respond(StatusCode::OK, json!({"paths": paths}).to_string())
    }

    /// Answers a request for the document of `path`, for example `apis/apps/v1`.
    pub(crate) fn openapi_v3(&self, path: &str, headers: &HeaderMap, query: &Query) -> Result<Response<Body>, Failure> {
        let document = self.documents_v3().get(path).ok_or_else(Failure::no_such_path)?;
        if chosen(headers, &["json"]).is_none() {
            return Ok(not_acceptable());
        }
        let asked = query.get("hash").filter(|hash| !hash.is_empty());
        if asked.is_some_and(|hash| hash != document.hash) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
            if let Ok(place) = HeaderValue::from_str(&format!("/openapi/v3/{path}?hash={}", document.hash)) {
                response.headers_mut().insert(header::LOCATION, place);
            }
            return Ok(response);
        }
        let mut response = answer(headers, &document.text, &document.hash, "application/json");
        if asked.is_some() {
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        }
        Ok(response)
    }

    fn documents_v3(&self) -> &BTreeMap<String, Document> {
        self.documents().v3.get_or_init(|| {
            let mut documents = BTreeMap::new();
            for (group, versions) in self.registry.groups() {
                for (version, resources) in versions {
                    let mut types = Types::new(self, Version::V3);
                    let paths: Map<String, Value> = resources
                        .into_iter()
                        .flat_map(|resource| operations::paths(resource, &mut types, Version::V3))
                        .collect();
                    let document = json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": VERSION.2},
                        "paths": paths, "components": {"schemas": types.finish()}});
                    let path =
                        if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
                    documents.insert(path, Document::new(&document));
                }
            }
            documents
        })
    }

    fn write_v2(&self) -> Value {
        let mut types = Types::new(self, Version::V2);
        let mut paths = Map::new();
        for versions in self.registry.groups().into_values() {
            for (_, resources) in versions {
                for resource in resources {
                    paths.extend(operations::paths(resource, &mut types, Version::V2));
                }
            }
        }
        json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": VERSION.2}, "paths": paths,
            "definitions": types.finish(), "parameters": operations::shared_parameters(),
            "securityDefinitions": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header",
                "description": "A token, after the word Bearer."}},
            "security": [{"BearerToken": []}]})
    }
}

/// Returns which of the subtypes of `application` a client would rather have, or `None` if it takes none of them.
fn chosen<'a>(headers: &HeaderMap, offered: &[&'a str]) -> Option<&'a str> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let accept = if accept.trim().is_empty() { "*/*" } else { accept };
    let mut clauses: Vec<(f32, &str, &str)> = accept
        .split(',')
        .filter_map(|clause| {
            let mut parts = clause.split(';').map(str::trim);
            let (main, sub) = parts.next()?.split_once('/').unwrap_or(("*", "*"));
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |text| text.parse().ok())?;
            Some((weight, main, sub))
        })
        .collect();
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    clauses
        .into_iter()
        .filter(|(_, main, _)| matches!(*main, "application" | "*"))
        .find_map(|(_, _, sub)| offered.iter().copied().find(|offered| sub == "*" || sub == *offered))
}

fn not_acceptable() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// Returns a document, or that the client has it already.
fn answer(headers: &HeaderMap, packed: &Packed, hash: &str, media: &str) -> Response<Body> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let tag = format!("\"{hash}\"");
    let known = text(header::IF_NONE_MATCH).split(',').any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    });
    let zipped = text(header::ACCEPT_ENCODING)
        .split(',')
        .any(|coding| coding.split(';').next().unwrap_or_default().trim() == "gzip");
    let body = match (known, zipped) {
        (true, _) => Body::empty(),
        (false, true) => Body::from(packed.0.clone()),
        (false, false) => Body::from(packed.unpack()),
    };
    let mut response = Response::new(body);
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else if zipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    for (name, value) in
        [(header::ETAG, tag.as_str()), (header::CONTENT_TYPE, media), (header::VARY, "Accept, Accept-Encoding")]
    {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(accept: &str) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        chosen(&headers, &["json", BINARY_V2[0], BINARY_V2[1]])
    }

    #[test]
    fn a_client_gets_the_form_that_it_prefers() {
        assert_eq!(asks("application/com.github.proto-openapi.spec.v2@v1.0+protobuf"), Some(BINARY_V2[0]));
        assert_eq!(
            asks("application/json;q=0.5, application/com.github.proto-openapi.spec.v2.v1.0+protobuf"),
            Some(BINARY_V2[1])
        );
        assert_eq!(asks("*/*"), Some("json"));
        assert_eq!(asks(""), Some("json"));
        assert_eq!(asks("text/plain"), None);
    }
}
