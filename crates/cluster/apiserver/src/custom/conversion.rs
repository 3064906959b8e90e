//! Versions of a custom kind that a webhook converts: a request at another version than the
//! stored one is served at the stored one, with what goes in and comes out converted.

use axum::body::Body;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use schema::patch;
use serde_json::{Value, json};

use crate::{
    body,
    pipeline::Asked,
    registry::{Converts, Resource},
    request::Info,
    server::Server,
    status::Failure,
    store::{Expect, Write},
    write::{ATTEMPTS, PatchKind, changed_meanwhile},
};

/// How long a conversion may take, in seconds.
const SECONDS: u64 = 30;
/// How many objects a webhook is sent at once.
const AT_ONCE: usize = 100;

impl Server {
    /// Answers a request for objects of a version that is converted.
    pub(crate) async fn objects_converted(
        &self,
        asked: Asked<'_>,
        converts: &Converts,
        body: Body,
    ) -> Result<Response<Body>, Failure> {
        let stored = &converts.stored;
        let mut info = Info { version: stored.gvk.version.clone(), ..asked.info.clone() };
        let mut headers = asked.headers.clone();
        let whole = matches!(asked.info.subresource.as_str(), "" | "status");
        let body = match asked.info.verb {
            "create" | "update" if whole => {
                let object = body::read(asked.headers, body).await?;
                named(&object, asked.resource)?;
                self.convert_in(&mut headers, converts, object).await?
            }
            "patch" if whole => match body::patch_kind(asked.headers, true)? {
                PatchKind::Apply => {
                    let config = body::read(asked.headers, body).await?;
                    let mut plain = HeaderMap::new();
                    self.convert_in(&mut plain, converts, config).await?
                }
                kind => {
                    let change = body::read(asked.headers, body).await?;
                    return self.patch_converted(asked, converts, kind, &change).await;
                }
            },
            _ => body,
        };
        info.version.clone_from(&stored.gvk.version);
        let inner = Asked { resource: stored, info: &info, headers: &headers, ..asked };
        let response = self.objects(inner, body).await?;
        self.convert_out(asked.resource, converts, response, asked.info.verb == "watch").await
    }

    /// Applies a patch to the object as its version shows it, and stores what that gives.
    async fn patch_converted(
        &self,
        asked: Asked<'_>,
        converts: &Converts,
        kind: PatchKind,
        change: &Value,
    ) -> Result<Response<Body>, Failure> {
        let (resource, stored) = (asked.resource, &converts.stored);
        let name = &asked.info.name;
        for _ in 0..ATTEMPTS {
            let Some(entry) = self.store().snapshot().get(&resource.key(&asked.info.namespace, name)).cloned() else {
                return Err(Failure::not_found(resource, name));
            };
            let old = self.convert(converts, vec![entry.value()], &resource.api_version).await?.remove(0);
            let patched = match kind {
                PatchKind::Json => patch::json(&old, change),
                PatchKind::Merge => patch::merge(&old, change),
                PatchKind::Strategic | PatchKind::Apply => {
                    return Err(body::unread(body::CUSTOM_PATCHES));
                }
            };
            let new = patched.map_err(|error| Failure::bad_request(error.to_string()))?;
            let pinned = new["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"];
            let mut headers = asked.headers.clone();
            let body = self.convert_in(&mut headers, converts, new).await?;
            let info = Info { verb: "update", version: stored.gvk.version.clone(), ..asked.info.clone() };
            let inner = Asked { resource: stored, info: &info, headers: &headers, ..asked };
            match self.objects(inner, body).await {
                Err(failure) if failure.code == StatusCode::CONFLICT && !pinned => {}
                answered => return self.convert_out(resource, converts, answered?, false).await,
            }
        }
        Err(changed_meanwhile(resource, name))
    }

    /// Returns a body of the stored version.
    async fn convert_in(&self, headers: &mut HeaderMap, converts: &Converts, object: Value) -> Result<Body, Failure> {
        let object = self.convert(converts, vec![object], &converts.stored.api_version).await?.remove(0);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Body::from(object.to_string()))
    }

    /// Converts what an answer carries to the version that was asked for.
    async fn convert_out(
        &self,
        resource: &Resource,
        converts: &Converts,
        response: Response<Body>,
        watch: bool,
    ) -> Result<Response<Body>, Failure> {
        if !response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        if watch {
            let (server, converts, wanted) = (self.clone(), converts.clone(), resource.api_version.clone());
            let lines = body.into_data_stream().then(move |chunk| {
                let (server, converts, wanted) = (server.clone(), converts.clone(), wanted.clone());
                async move { Ok::<_, axum::Error>(server.convert_events(&converts, &wanted, &chunk?).await) }
            });
            return Ok(Response::from_parts(parts, Body::from_stream(lines)));
        }
        let bytes =
            axum::body::to_bytes(body, usize::MAX).await.map_err(|error| Failure::internal(error.to_string()))?;
        let Ok(mut answer) = serde_json::from_slice::<Value>(&bytes) else {
            return Ok(Response::from_parts(parts, Body::from(bytes)));
        };
        if answer["kind"] == resource.list_kind.as_str() {
            let items = answer["items"].as_array().cloned().unwrap_or_default();
            answer["items"] = self.convert(converts, items, &resource.api_version).await?.into();
            answer["apiVersion"] = resource.api_version.clone().into();
        } else if answer["kind"] == resource.gvk.kind.as_str() {
            answer = self.convert(converts, vec![answer], &resource.api_version).await?.remove(0);
        }
        Ok(Response::from_parts(parts, Body::from(answer.to_string())))
    }

    /// Converts the events of one piece of a watch; each piece has whole lines.
    async fn convert_events(&self, converts: &Converts, wanted: &str, chunk: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(chunk.len());
        for line in chunk.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(mut event) = serde_json::from_slice::<Value>(line) else {
                out.extend_from_slice(line);
                out.push(b'\n');
                continue;
            };
            let kind = &event["object"]["kind"];
            if *kind == converts.stored.gvk.kind.as_str() {
                let object = event["object"].take();
                if event["type"] == "BOOKMARK" {
                    event["object"] = object;
                    event["object"]["apiVersion"] = wanted.into();
                } else {
                    match self.convert(converts, vec![object], wanted).await {
                        Ok(mut list) => event["object"] = list.remove(0),
                        Err(failure) => event = json!({"type": "ERROR", "object": failure.to_json()}),
                    }
                }
            }
            out.extend_from_slice(event.to_string().as_bytes());
            out.push(b'\n');
        }
        out
    }

    /// Brings objects that an earlier storage version left to the one that is stored now.
    pub(crate) async fn bring_up(&self, converts: &Converts) {
        let stored = &converts.stored;
        let snapshot = self.store().snapshot();
        let prefix = stored.prefix();
        let left: Vec<_> = snapshot.range(&prefix, None).filter(|(_, entry)| !stored.is_as_stored(entry)).collect();
        for some in left.chunks(AT_ONCE) {
            let objects = some.iter().map(|(_, entry)| entry.value()).collect();
            let converted = match self.convert(converts, objects, &stored.api_version).await {
                Ok(converted) => converted,
                Err(failure) => {
                    let kind = stored.qualified();
                    tracing::warn!(
                        kind,
                        why = failure.message,
                        "objects of an earlier storage version stay as they are until their definition changes again or the server starts anew"
                    );
                    return;
                }
            };
            for ((key, entry), object) in some.iter().zip(converted) {
                let write = self.store().write(key, Expect::Revision(entry.revision), Write::Put(object));
                // Who came first wrote at the version that is stored now.
                if let Err(error) = write.await {
                    tracing::error!(%error, key, "an object could not be stored at its version");
                }
            }
        }
    }

    /// Asks the webhook for objects at another version.
    async fn convert(&self, converts: &Converts, objects: Vec<Value>, wanted: &str) -> Result<Vec<Value>, Failure> {
        let others: Vec<&Value> = objects.iter().filter(|object| object["apiVersion"] != wanted).collect();
        let Some(first) = others.first() else { return Ok(objects) };
        let from = first["apiVersion"].as_str().unwrap_or_default().to_owned();
        let failed = |why: &str| {
            Failure::internal(format!(
                "Internal error occurred: conversion webhook for {from}, Kind={} failed: {why}",
                converts.stored.gvk.kind
            ))
        };
        let uid = uuid::Uuid::new_v4().to_string();
        let review = json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1",
            "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": others}});
        let answer = self.call_webhook(&converts.config, &review, SECONDS).await.map_err(|why| failed(&why))?;
        let response = &answer["response"];
        if answer["kind"] != "ConversionReview" || response["uid"] != uid.as_str() {
            return Err(failed("received invalid webhook response: no ConversionReview with the request's uid"));
        }
        if response["result"]["status"] != "Success" {
            let message = response["result"]["message"].as_str().unwrap_or("no reason was given");
            return Err(failed(message));
        }
        let mut converted = response["convertedObjects"].as_array().cloned().unwrap_or_default().into_iter();
        let mut out = Vec::with_capacity(objects.len());
        for object in objects {
            if object["apiVersion"] == wanted {
                out.push(object);
                continue;
            }
            let Some(new) = converted.next() else {
                return Err(failed("received invalid webhook response: fewer objects than were sent"));
            };
            out.push(restored(&object, new, wanted).ok_or_else(|| {
                failed("received invalid webhook response: an object of another version, kind or name")
            })?);
        }
        Ok(out)
    }
}

/// A conversion changes labels and annotations alone of an object's metadata.
fn restored(old: &Value, mut new: Value, wanted: &str) -> Option<Value> {
    let same = |name: &str| old["metadata"][name] == new["metadata"][name];
    if new["apiVersion"] != wanted || new["kind"] != old["kind"] || !same("name") || !same("namespace") || !same("uid")
    {
        return None;
    }
    let mut metadata = old["metadata"].clone();
    for name in ["labels", "annotations"] {
        match new["metadata"].get(name) {
            Some(value) => metadata[name] = value.clone(),
            None => drop(metadata.as_object_mut().and_then(|map| map.remove(name))),
        }
    }
    new["metadata"] = metadata;
    Some(new)
}

/// The body is of the version that its path names.
fn named(object: &Value, resource: &Resource) -> Result<(), Failure> {
    let found = object["apiVersion"].as_str().unwrap_or_default();
    if found == resource.api_version {
        return Ok(());
    }
    Err(Failure::bad_request(format!(
        "the API version in the data ({found}) does not match the expected API version ({})",
        resource.api_version
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversion_keeps_who_an_object_is() {
        let old = json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a", "uid": "u", "resourceVersion": "5", "labels": {"a": "b"}}});
        let new = json!({"apiVersion": "g/v2", "kind": "K", "metadata": {"name": "a", "uid": "u", "labels": {"c": "d"}, "generation": 9}, "spec": {}});
        let found = restored(&old, new.clone(), "g/v2").unwrap();
        assert_eq!(found["metadata"], json!({"name": "a", "uid": "u", "resourceVersion": "5", "labels": {"c": "d"}}));
        assert!(restored(&old, new, "g/v3").is_none());
    }
}
