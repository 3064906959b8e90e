//! The pipeline that every request goes through, in one place:
//!
//! authenticate → authorize → decode → mutate → default → validate → admit → store → encode → audit.
//!
//! Here is the order of the outer steps and who answers what; the steps of a write from
//! decoding to the store are in [`crate::write`], those of a read in [`crate::read`].

use std::{io::Write, sync::Arc, time::Duration};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{
    access::{Caller, wish_of},
    audit::{Content, Level, Stage, Trail},
    body::{self, Sent},
    fair::Full,
    flow::Flow,
    health,
    metrics::{Labels, RequestKind},
    rbac::{User, Wish},
    read::form_of,
    registry::{Resource, Subresource},
    request::{self, Info, Query, Target},
    server::Server,
    snapshot,
    status::Failure,
    table::{self, Form},
    write::{Call, Deletion, Notes, Object, Options, PatchKind, Written, subresource},
};

/// The size from which on an answer is compressed (kube-apiserver's).
const GZIP_FROM: u64 = 128 << 10;
/// How long a request takes at most (kube-apiserver's).
const TAKES_AT_MOST: Duration = Duration::from_secs(60);
/// The time of a request that is handed on: nobody here ends it.
const WITHOUT_END: Duration = Duration::from_secs(60 * 60 * 24 * 365);

impl Server {
    /// Answers one request. The user is taken from the request's extensions (a client
    /// certificate's, an in-process client's) or its bearer token.
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let begun = base::clock::instant();
        let (parts, body) = request.into_parts();
        let mut trail = Trail::begin(&parts);
        let query = Query::parse(parts.uri.query());
        let target = request::parse(&parts.method, parts.uri.path(), &query);
        let kind = if parts.method.is_safe() { RequestKind::ReadOnly } else { RequestKind::Mutating };
        let under_way = self.metrics().under_way(kind);
        let answered = match time_of(&query, &target) {
            // What is written by then stays written: the client is told that nobody knows.
            Ok(time) => {
                let answer = self.answer(&parts, body, &query, &target, &mut trail);
                tokio::time::timeout(time, answer).await.unwrap_or_else(|_| Err(Failure::took_too_long()))
            }
            Err(failure) => Err(failure),
        };
        drop(under_way);
        let flow = trail.flow.take();
        let labels = labels_of(&target, &parts, &query);
        let mut answer = self.record(answered, labels, trail, begun).await;
        name_flow(&mut answer.0, flow);
        if let Ok(id) = HeaderValue::from_str(answer.1.as_str()) {
            answer.0.headers_mut().insert("audit-id", id);
        }
        let kept = HeaderValue::from_static("no-cache, private");
        answer.0.headers_mut().entry(header::CACHE_CONTROL).or_insert(kept);
        let answer = if query.flag("pretty") { spread(answer.0).await } else { answer.0 };
        shrink(&parts.headers, answer).await
    }

    /// Authenticates, authorizes, and hands the request to what stands at its path.
    async fn answer(
        &self,
        parts: &Parts,
        body: Body,
        query: &Query,
        target: &Target,
        trail: &mut Trail,
    ) -> Result<Response<Body>, Failure> {
        let path = parts.uri.path();
        let user = self.authenticate(parts.extensions.get::<User>(), &parts.headers)?;
        if let Some(log) = self.audit() {
            trail.identify(&log.policy, &user, target, &parts.method, path);
            trail.log(log, Stage::RequestReceived);
        }
        let wish = match target {
            Target::Path => {
                let verb = parts.method.as_str().to_lowercase();
                Wish { verb, path: path.to_owned(), ..Wish::default() }
            }
            Target::Objects(info) => wish_of(info, query),
        };
        let Caller { user, real } = self.impersonate(user, &parts.headers, &wish)?;
        if real.is_some() {
            trail.impersonated(&user);
        }
        // Who is handed on to somebody else takes no place here.
        let _seat = if matches!(target, Target::Objects(info) if info.is_handed_on()) {
            None
        } else {
            let flow = self.flows().classify(&user, &wish);
            trail.flow = Some(flow.uids.clone());
            let seat = self.fair().seat(&flow.level, flow.key).await;
            Some(seat.map_err(|full| self.too_many(&flow, full))?)
        };
        let allowed = self.authorize(&user, &wish);
        trail.annotate("authorization.k8s.io/decision", if allowed.is_ok() { "allow" } else { "forbid" });
        trail.annotate("authorization.k8s.io/reason", allowed.as_deref().unwrap_or_default());
        allowed?;
        let Target::Objects(info) = target else {
            if path == snapshot::PATH {
                return self.snapshot().await;
            }
            return self.path(&parts.method, path, &parts.headers, query);
        };
        let served = self.served();
        let resource = served
            .registry
            .get(&info.group, &info.version, &info.resource)
            .ok_or_else(|| served.registry.unknown(path))?;
        let info = placed(resource, info.clone())?;
        if !takes(&info, &parts.method) {
            return Err(Failure::method_not_allowed());
        }
        if resource.confidential || resource.subresources.get(info.subresource.as_str()) == Some(&Subresource::Token) {
            trail.confidential(Content::Confidential);
        }
        if let Some(Subresource::Connect(connect)) = resource.subresources.get(info.subresource.as_str()) {
            let notes = Notes::default();
            let asked = Asked { user: &user, resource, info: &info, query, headers: &parts.headers, notes: &notes };
            let answered = self.connect(asked, *connect, parts, body).await;
            for (key, value) in notes.take() {
                trail.annotate(&key, &value);
            }
            return answered;
        }
        let body = if trail.level >= Level::Request && !parts.method.is_safe() {
            let bytes = body::read_bytes(&parts.headers, body).await?;
            if let Ok(object) = body::decode(body::media_type(&parts.headers), &bytes) {
                trail.request(object.value);
            }
            Body::from(bytes)
        } else {
            body
        };
        let notes = Notes::default();
        let asked = Asked { user: &user, resource, info: &info, query, headers: &parts.headers, notes: &notes };
        let answered = match &resource.converts {
            Some(converts) => self.objects_converted(asked, converts, body).await,
            None => self.objects(asked, body).await,
        };
        for (key, value) in notes.take() {
            trail.annotate(&key, &value);
        }
        let mut response = match answered {
            Err(failure) if resource.deprecation.is_none() => return Err(failure),
            answer => answer.unwrap_or_else(|failure| refuse(&failure)),
        };
        warn(&mut response, resource.deprecation.iter());
        Ok(response)
    }

    fn too_many(&self, flow: &Flow, full: Full) -> Failure {
        let reason = match full {
            Full::Queue => "queue-full",
            Full::Level => "concurrency-limit",
        };
        self.metrics().rejected(&flow.schema, &flow.level, reason);
        Failure {
            retry_after: Some(1),
            ..Failure::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequests",
                "Too many requests, please try again later.",
            )
        }
    }

    /// Counts and logs an answer; one that stays open is counted and logged again when it ends.
    async fn record(
        &self,
        answered: Result<Response<Body>, Failure>,
        labels: Labels,
        mut trail: Trail,
        begun: tokio::time::Instant,
    ) -> (Response<Body>, String) {
        let id = trail.id().to_owned();
        let mut response = answered.unwrap_or_else(|failure| refuse(&failure));
        let code = response.status();
        let carried = response.extensions_mut().remove::<Carried>();
        self.metrics().answered(&labels, code.as_u16(), begun.elapsed());
        // Watches and logs that go on have no size yet.
        let open = carried.is_some() || code.is_success() && response.body().size_hint().exact().is_none();
        let stage = if open { Stage::ResponseStarted } else { Stage::ResponseComplete };
        let response = match self.audit() {
            Some(log) => trail.answered(log, stage, response).await,
            None => response,
        };
        if !open {
            return (response, id);
        }
        self.metrics().long_running(&labels, 1);
        let ending = Ending { server: self.clone(), labels, trail };
        if let Some(carried) = carried {
            *carried.0.lock() = Some(ending);
            return (response, id);
        }
        let (parts, body) = response.into_parts();
        let body = Body::from_stream(body.into_data_stream().map(move |event| {
            let _until_the_last = &ending;
            event
        }));
        (Response::from_parts(parts, body), id)
    }

    /// Answers a request for a kind's objects: hands it to the verb, and encodes what that returns.
    pub(crate) async fn objects(&self, asked: Asked<'_>, body: Body) -> Result<Response<Body>, Failure> {
        let Asked { user, resource, info, query, headers, .. } = asked;
        let part = subresource(resource, info)?;
        if let Some(review) = resource.review {
            if !info.name.is_empty() {
                return Err(Failure::no_such_path());
            }
            if info.verb != "create" {
                return Err(Failure::method_not_allowed());
            }
            if !table::takes_whole(headers) {
                return Err(Failure::not_acceptable(&format!("{}, {}", body::TEXT_TYPES, schema::wire::MEDIA_TYPE)));
            }
            let mut options = Options::parse(query, headers, "CreateOptions")?;
            let (value, sent) = object(resource, headers, body).await?;
            options.sent = sent;
            let call = Call { user, resource, info, options: &options };
            return Ok(encode(resource, Form::Whole, self.review(call, review, value).await?));
        }
        if part.is_none() && !resource.verbs.contains(&info.verb) {
            return Err(Failure::method_not_allowed());
        }
        let form = form_of(resource, info, headers, query)?;
        if let Some(measured) = resource.measured {
            return self.figures(resource, measured, info, query, form).await;
        }
        match (info.verb, part) {
            ("get", Some(Subresource::Log)) => return self.log(resource, info, query).await,
            ("get", None | Some(Subresource::Status | Subresource::Approval)) => {
                return self.get(resource, info, query, form);
            }
            ("list", None) => return self.list(resource, info, query, form),
            ("watch", None) => return self.watch(resource, info, query, form),
            ("deletecollection", None) => return self.delete_collection(asked, body).await,
            _ => {}
        }
        let written = self.write(asked, part, body).await?;
        Ok(encode(resource, form, written))
    }

    /// Hands a write to its verb.
    async fn write(&self, asked: Asked<'_>, part: Option<&Subresource>, body: Body) -> Result<Written, Failure> {
        let Asked { user, resource, info, query, headers, .. } = asked;
        let kind = match info.verb {
            "create" => "CreateOptions",
            "patch" => "PatchOptions",
            "delete" => "DeleteOptions",
            _ => "UpdateOptions",
        };
        let patch = if info.verb == "patch" { Some(body::patch_kind(headers, resource.custom)?) } else { None };
        asked.refuse_binary_custom()?;
        let mut options = Options::parse(query, headers, kind)?;
        options.notes = asked.notes.clone();
        let body = match (patch, info.verb) {
            (Some(kind), _) => {
                let bytes = body::read_bytes(headers, body).await?;
                let empty = kind == PatchKind::Apply && bytes.trim_ascii().is_empty();
                let told = if empty {
                    json!({}).into()
                } else {
                    body::decode(body::media_type(headers), &bytes).map_err(|why| why.of_patch(kind))?
                };
                options.sent = Sent::new(body::media_type(headers), bytes, &told);
                told.value
            }
            (None, "create" | "update") => {
                let (value, sent) = object(resource, headers, body).await?;
                options.sent = sent;
                value
            }
            _ => body::read(headers, body).await?,
        };
        let call = Call { user, resource, info, options: &options };
        match (info.verb, part) {
            ("get", Some(scale @ Subresource::Scale { .. })) => self.scale(call, scale, None).await,
            ("create", Some(Subresource::Binding)) => self.bind(call, body).await,
            ("create", Some(Subresource::Eviction)) => self.evict(call, body).await,
            ("create", Some(Subresource::Token)) => self.token(call, body).await,
            ("create", None) if info.name.is_empty() => self.create(call, body).await,
            ("update" | "patch", Some(scale @ Subresource::Scale { .. })) => {
                self.scale(call, scale, Some((body, patch))).await
            }
            ("update", None | Some(Subresource::Status | Subresource::Finalize | Subresource::Approval)) => {
                self.update(call, body).await
            }
            ("patch", None | Some(Subresource::Status | Subresource::Approval)) => match patch {
                Some(kind) => self.patch(call, kind, &body).await,
                None => Err(Failure::method_not_allowed()),
            },
            ("delete", None) => {
                let deletion = Deletion::parse(query, &body)?;
                let options = Options { dry_run: deletion.dry_run, said: deletion.said(), ..options.clone() };
                self.delete(Call { options: &options, ..call }, &deletion).await
            }
            _ => Err(Failure::method_not_allowed()),
        }
    }

    async fn delete_collection(&self, asked: Asked<'_>, body: Body) -> Result<Response<Body>, Failure> {
        let Asked { user, resource, info, query, headers, .. } = asked;
        let body = body::read(headers, body).await?;
        let deletion = Deletion::parse(query, &body)?;
        let options = Options {
            dry_run: deletion.dry_run,
            said: deletion.said(),
            notes: asked.notes.clone(),
            ..Options::parse(query, headers, "DeleteOptions")?
        };
        let list = self.list(resource, info, query, Form::Whole)?;
        let bytes = axum::body::to_bytes(list.into_body(), usize::MAX)
            .await
            .map_err(|error| Failure::internal(error.to_string()))?;
        let list: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| Failure::internal(error.to_string()))?;
        for item in list["items"].as_array().into_iter().flatten() {
            let metadata = &item["metadata"];
            let one = Info {
                verb: "delete",
                name: metadata["name"].as_str().unwrap_or_default().to_owned(),
                namespace: metadata["namespace"].as_str().unwrap_or_default().to_owned(),
                ..info.clone()
            };
            match self.delete(Call { user, resource, info: &one, options: &options }, &deletion).await {
                Err(failure) if failure.code != StatusCode::NOT_FOUND => return Err(failure),
                _ => {}
            }
        }
        Ok(respond(StatusCode::OK, bytes))
    }
}

/// Held by whoever carries a connection on after its request was answered: the end is noted when the last lets go.
#[derive(Clone, Default)]
pub(crate) struct Carried(Arc<Mutex<Option<Ending>>>);

/// Notes the end of an answer that stayed open.
struct Ending {
    server: Server,
    labels: Labels,
    trail: Trail,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.server.metrics().long_running(&self.labels, -1);
        if let Some(log) = self.server.audit() {
            self.trail.log(log, Stage::ResponseComplete);
        }
    }
}

/// A request for a kind's objects, after its path was read.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) user: &'a User,
    pub(crate) resource: &'a Arc<Resource>,
    pub(crate) info: &'a Info,
    pub(crate) query: &'a Query,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) notes: &'a Notes,
}

impl Asked<'_> {
    /// Custom kinds have no binary form; a `Scale` and the options of a delete have, whatever they are for.
    fn refuse_binary_custom(&self) -> Result<(), Failure> {
        if self.resource.custom
            && matches!(self.info.verb, "create" | "update")
            && self.info.subresource != "scale"
            && body::media_type(self.headers) == schema::wire::MEDIA_TYPE
        {
            return Err(body::unread(body::TEXT_TYPES));
        }
        Ok(())
    }
}

/// Says in an answer which flow schema and priority level its request belonged to.
fn name_flow(response: &mut Response<Body>, flow: Option<(String, String)>) {
    let Some((schema, level)) = flow else { return };
    for (name, uid) in [("x-kubernetes-pf-flowschema-uid", schema), ("x-kubernetes-pf-prioritylevel-uid", level)] {
        if let Ok(value) = HeaderValue::from_str(&uid) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// Reads an object of a kind, with the text that it was sent as.
async fn object(resource: &Resource, headers: &HeaderMap, body: Body) -> Result<(Value, Sent), Failure> {
    let (media, bytes) = (body::media_type(headers), body::read_bytes(headers, body).await?);
    // What a patch is sent as is no object.
    if media.ends_with("patch+json") || media.ends_with("patch+yaml") {
        return Err(body::Unreadable::Media.plainly());
    }
    let told = body::decode(media, &bytes).map_err(|why| why.of_kind(&resource.gvk.kind, &bytes))?;
    let sent = Sent::new(media, bytes, &told);
    Ok((told.value, sent))
}

/// Returns whether a path takes a method at all: a collection is not replaced, and nothing but a proxy takes odd ones.
fn takes(info: &Info, method: &Method) -> bool {
    if info.subresource == "proxy" {
        return true;
    }
    let one = !matches!(info.verb, "update" | "patch") || !info.name.is_empty();
    *method != Method::HEAD && !info.verb.is_empty() && one
}

/// Checks that a path fits its kind's scope; what lives in no namespace is in none.
fn placed(resource: &Resource, info: Info) -> Result<Info, Failure> {
    let absent = || if resource.custom { Failure::no_such_page() } else { Failure::no_such_path() };
    if resource.namespaced && info.namespace.is_empty() && !matches!(info.verb, "list" | "watch") {
        return Err(if info.name.is_empty() && !resource.custom && resource.review.is_none() {
            Failure::method_not_allowed()
        } else {
            absent()
        });
    }
    let itself = info.resource == "namespaces" && info.namespace == info.name;
    if !resource.namespaced && !info.namespace.is_empty() && !itself {
        return Err(absent());
    }
    Ok(Info { namespace: if resource.namespaced { info.namespace } else { String::new() }, ..info })
}

fn encode(resource: &Resource, form: Form, written: Written) -> Response<Body> {
    let Written { code, object, warnings } = written;
    let bytes: Bytes = match object {
        Object::Stored(entry) if form == Form::Whole && resource.is_as_stored(&entry) => entry.bytes.clone(),
        object => {
            let tree = object.tree(resource);
            let answer = match tree["kind"].as_str() {
                Some("Status" | "TokenRequest") => tree,
                Some("Scale") => table::scale(form, tree, base::clock::now()),
                _ => table::one(form, resource, tree, base::clock::now()),
            };
            answer.to_string().into()
        }
    };
    let mut response = respond(code, bytes);
    warn(&mut response, warnings.iter());
    response
}

fn warn<'a>(response: &mut Response<Body>, warnings: impl Iterator<Item = &'a String>) {
    for warning in warnings {
        let text: String = warning.chars().filter(|c| c.is_ascii() && !c.is_ascii_control()).collect();
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

/// Returns what a request is counted as.
fn labels_of(target: &Target, parts: &Parts, query: &Query) -> Labels {
    let dry_run = if query.get("dryRun").is_some() { "All" } else { "" };
    let Target::Objects(info) = target else {
        return Labels { verb: parts.method.as_str().to_owned(), dry_run, ..Labels::default() };
    };
    let applies = body::media_type(&parts.headers) == "application/apply-patch+yaml";
    let verb = match info.verb {
        _ if info.is_handed_on() => "CONNECT",
        "create" => "POST",
        "update" => "PUT",
        "patch" if applies => "APPLY",
        other => &other.to_uppercase(),
    };
    let scope = match (info.name.is_empty() && info.verb != "create", info.namespace.is_empty()) {
        (false, _) => "resource",
        (true, false) => "namespace",
        (true, true) => "cluster",
    };
    Labels {
        verb: verb.to_owned(),
        group: info.group.clone(),
        version: info.version.clone(),
        resource: info.resource.clone(),
        subresource: info.subresource.clone(),
        scope,
        dry_run,
    }
}

/// Returns how long a request may take; one that stays open has its own time.
fn time_of(query: &Query, target: &Target) -> Result<Duration, Failure> {
    if matches!(target, Target::Objects(info) if info.is_handed_on()) {
        return Ok(WITHOUT_END);
    }
    let open = matches!(target, Target::Objects(info) if info.verb == "watch");
    let Some(text) = query.get("timeout").filter(|_| !open) else { return Ok(TAKES_AT_MOST) };
    let invalid = |why| Failure::bad_request(format!("invalid timeout specified in the request URL - {why}"));
    // A time before now is none that anybody waits for.
    let time = request::duration(text.strip_prefix('-').unwrap_or(text)).map_err(invalid)?;
    Ok(if time.is_zero() { TAKES_AT_MOST } else { time.min(TAKES_AT_MOST) })
}

/// Writes an answer over several lines, for people.
async fn spread(response: Response<Body>) -> Response<Body> {
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|media| media == "application/json");
    if !is_json || response.body().size_hint().exact().is_none() {
        return response;
    }
    let (parts, body) = response.into_parts();
    // It lies in memory whole: its size is known.
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let wide = serde_json::from_slice::<serde_json::Value>(&bytes).ok();
    let wide = wide.and_then(|value| serde_json::to_vec_pretty(&value).ok());
    Response::from_parts(parts, Body::from(wide.map_or(bytes, Bytes::from)))
}

/// Compresses a large answer for a client that asks for it; a stream stays as it is.
async fn shrink(headers: &HeaderMap, response: Response<Body>) -> Response<Body> {
    let wants = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        // As Kubernetes reads it: one that is weighed is not asked for.
        value.split(',').any(|coding| coding.trim() == "gzip")
    });
    let large = response.body().size_hint().exact().is_some_and(|size| size > GZIP_FROM);
    if !wants || !large || response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // It lies in memory whole: its size is known.
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 4), flate2::Compression::fast());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(&bytes);
    let shrunk = encoder.finish().unwrap_or_default();
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    Response::from_parts(parts, Body::from(shrunk))
}

/// Returns a failure as the answer that tells it.
fn refuse(failure: &Failure) -> Response<Body> {
    if failure.is_page() {
        return health::plain(failure.code, "404 page not found\n".to_owned());
    }
    let mut response = respond(failure.code, failure.to_json().to_string());
    warn(&mut response, failure.warnings().iter());
    if failure.is_guarded() {
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if let Some(seconds) = failure.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Returns a JSON answer.
pub(crate) fn respond(code: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}
