//! Get, list and watch, for every kind alike.

mod figures;
mod page;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, Response, StatusCode};
use parking_lot::Mutex;
use schema::{
    model::Kind,
    selector::{Fields, Labels},
};
use serde_json::{Value, json};

use crate::{
    metrics::Metrics,
    pipeline::respond,
    registry::Resource,
    request::{Info, Query},
    server::Server,
    status::Failure,
    store::{Change, ChangeKind, Entry, Snapshot, Store},
    table::{self, Form, Include},
    write::at_version,
};

use page::{Moment, Page};

/// How many snapshots are kept for pages that are still to be read.
const SNAPSHOTS: usize = 32;
/// How often a watch without events says how far it is.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How many objects or changes a watcher is told at once.
const BATCH: usize = 256;
/// How long a watch lasts if its client does not say.
const WATCH_FOR: Duration = Duration::from_secs(30 * 60);

/// What a list or watch selects.
#[derive(Clone, Debug, Default)]
struct Selection {
    labels: Labels,
    fields: Fields,
}

impl Selection {
    fn parse(resource: &Resource, info: &Info, query: &Query) -> Result<Selection, Failure> {
        let bad = |error: schema::selector::Error| Failure::bad_request(error.to_string());
        // Whose own words its fields are refused in: a kind that names some has a table of them, others have none.
        let known_fields = || {
            let known = ["metadata.name", "metadata.namespace"].into_iter().map(str::to_owned);
            let known = known.chain(resource.selectable.iter().cloned()).map(|field| format!("{field:?}"));
            known.collect::<Vec<_>>().join(", ")
        };
        let labels = query.get("labelSelector").map(Labels::parse).transpose().map_err(bad)?.unwrap_or_default();
        let mut text = query.get("fieldSelector").unwrap_or_default().to_owned();
        if !info.name.is_empty() {
            text = format!("metadata.name={}{}{text}", info.name, if text.is_empty() { "" } else { "," });
        }
        let fields = Fields::parse(&text).map_err(bad)?;
        for path in fields.paths() {
            let known = matches!(path, "metadata.name" | "metadata.namespace")
                || resource.selectable.iter().any(|known| known == path);
            if !known {
                return Err(Failure::bad_request(if resource.selectable.is_empty() && !resource.custom {
                    format!("{path:?} is not a known field selector: only {}", known_fields())
                } else {
                    format!("field label not supported: {path}")
                }));
            }
        }
        let fields = fields.absent_as(|path| text_of_absent(resource, path));
        let places = |path: &str| resource.elsewhere.iter().find(|(name, _)| *name == path).map(|(_, places)| *places);
        Ok(Selection { labels, fields: fields.elsewhere(places) })
    }

    fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    fn takes(&self, object: &Value) -> bool {
        self.labels.matches(object["metadata"]["labels"].as_object()) && self.fields.matches(object)
    }
}

/// Returns how a field selector reads a field that is not there: a built-in type has no absent flags and numbers.
fn text_of_absent(resource: &Resource, path: &str) -> &'static str {
    let place = path.split('.').try_fold(&*resource.node, |place, step| place.field(step));
    match place.map(|place| &place.kind) {
        Some(Kind::Boolean) if !resource.custom => "false",
        Some(Kind::Integer) if !resource.custom => "0",
        _ => "",
    }
}

/// Snapshots that pages are read from, newest last.
#[derive(Default)]
pub(crate) struct Pages(Mutex<VecDeque<Snapshot>>);

impl Pages {
    fn keep(&self, snapshot: Snapshot) {
        let mut kept = self.0.lock();
        if kept.iter().all(|other| other.revision != snapshot.revision) {
            kept.push_back(snapshot);
        }
        while kept.len() > SNAPSHOTS {
            kept.pop_front();
        }
    }

    fn find(&self, revision: u64) -> Option<Snapshot> {
        self.0.lock().iter().find(|snapshot| snapshot.revision == revision).cloned()
    }
}

impl Server {
    /// Returns one object.
    pub(crate) fn get(
        &self,
        resource: &Resource,
        info: &Info,
        query: &Query,
        form: Form,
    ) -> Result<Response<Body>, Failure> {
        let snapshot = self.store().snapshot();
        let given = page::revision(query)?;
        if given > snapshot.revision {
            return Err(page::too_large(given, snapshot.revision));
        }
        let entry = snapshot
            .get(&resource.key(&info.namespace, &info.name))
            .ok_or_else(|| Failure::not_found(resource, &info.name))?;
        if form == Form::Whole && resource.is_as_stored(entry) {
            return Ok(respond(StatusCode::OK, entry.bytes.clone()));
        }
        let object = shown(resource, entry, form);
        Ok(respond(StatusCode::OK, table::one(form, resource, object, base::clock::now()).to_string()))
    }

    /// Returns the state that a page shows.
    fn at(&self, resource: &Resource, page: &Page) -> Result<Snapshot, Failure> {
        let current = self.store().snapshot();
        let (Moment::At(revision) | Moment::Now(revision)) = page.moment;
        if revision > current.revision {
            return Err(page::too_large(revision, current.revision));
        }
        if matches!(page.moment, Moment::Now(_)) || revision == current.revision {
            return Ok(current);
        }
        // What changed since is known for a while: the state before it follows from that.
        let past = self.pages().find(revision).or_else(|| self.store().past(&resource.ring(), revision));
        past.ok_or_else(|| page.gone())
    }

    /// Returns the objects that are selected, a page of them if `limit` says so.
    pub(crate) fn list(
        &self,
        resource: &Resource,
        info: &Info,
        query: &Query,
        form: Form,
    ) -> Result<Response<Body>, Failure> {
        let selection = Selection::parse(resource, info, query)?;
        let page = Page::parse(query)?;
        let now = base::clock::now().as_second();
        if page.is_over(now) {
            return Err(page.gone());
        }
        let prefix = prefix_of(resource, info);
        let snapshot = self.at(resource, &page)?;
        let limit = page.limit;
        let after = page.after.as_ref().map(|after| format!("{prefix}{after}"));
        let mut items: Vec<&Arc<Entry>> = Vec::new();
        let (mut last, mut left) = (None, 0_usize);
        for (key, entry) in snapshot.range(&prefix, after.as_deref()) {
            if !selection.is_everything() && !selection.takes(&at_version(resource, entry.value())) {
                continue;
            }
            if limit.is_some_and(|limit| items.len() >= limit) {
                left += 1;
                if !selection.is_everything() {
                    break;
                }
                continue;
            }
            items.push(entry);
            last = Some(key.clone());
        }
        let mut metadata = json!({"resourceVersion": snapshot.revision.to_string()});
        if resource.custom && form == Form::Whole {
            // A list of custom objects says that it does not go on.
            metadata["continue"] = "".into();
        }
        if let (true, Some(last)) = (left > 0, last) {
            let revision = i64::try_from(snapshot.revision).unwrap_or(-1);
            metadata["continue"] =
                page::encode(revision, last.strip_prefix(&prefix).unwrap_or(&last), Some(page.begun.unwrap_or(now)))
                    .into();
            if selection.is_everything() {
                metadata["remainingItemCount"] = left.into();
            }
        }
        let body = if form == Form::Whole && items.iter().all(|entry| resource.is_as_stored(entry)) {
            whole_list(resource, &metadata, &items)
        } else {
            let objects: Vec<Value> = items.iter().map(|entry| shown(resource, entry, form)).collect();
            table::many(form, resource, &objects, &metadata, base::clock::now()).to_string().into()
        };
        if left > 0 {
            self.pages().keep(snapshot);
        }
        Ok(respond(StatusCode::OK, body))
    }

    /// Returns a stream of changes.
    pub(crate) fn watch(
        &self,
        resource: &Arc<Resource>,
        info: &Info,
        query: &Query,
        form: Form,
    ) -> Result<Response<Body>, Failure> {
        let selection = Selection::parse(resource, info, query)?;
        let bookmarks = query.flag("allowWatchBookmarks");
        let initial = page::check_watch(query)?;
        let given = page::revision(query)?;
        let lasts = query
            .number("timeoutSeconds")?
            .and_then(|s| u64::try_from(s).ok())
            .filter(|s| *s > 0)
            .map_or(WATCH_FOR, Duration::from_secs);
        let snapshot = self.store().snapshot();
        if given > snapshot.revision && initial {
            let failure = page::too_large(given, snapshot.revision);
            return Ok(streamed(Body::from(line(&json!({"type": "ERROR", "object": failure.to_json()})))));
        }
        let watch = Watch {
            store: self.store().clone(),
            metrics: self.metrics().clone(),
            resource: resource.clone(),
            prefix: prefix_of(resource, info),
            selection,
            form,
            columns_sent: false,
            bookmarks,
        };
        // Without a revision, or with 0, a watch begins with what is there, unless it asks not to. One from a revision
        // that is still to come waits for what comes after it.
        let from_state = initial || (given == 0 && !query.has("sendInitialEvents"));
        let told = if from_state || given == 0 { snapshot.revision } else { given };
        let ends_with_bookmark = initial && bookmarks;
        let initial = from_state.then_some(Initial { snapshot, after: None, ends_with_bookmark });
        let queue = VecDeque::new();
        let notices = self.store().notices(&resource.ring());
        let stop = self.stop();
        let ends = base::clock::instant() + lasts;
        let state = Cursor { watch, initial, told, queue, notices, ends, failed: false };
        let events = stream::unfold(state, |mut state| async move { state.next().await.map(|bytes| (bytes, state)) });
        let events: std::pin::Pin<Box<dyn Stream<Item = Bytes> + Send>> =
            Box::pin(events.take_until(async move { stop.cancelled().await }));
        Ok(streamed(Body::from_stream(events.map(Ok::<_, std::convert::Infallible>))))
    }
}

/// Returns an answer that goes on as long as its body does.
fn streamed(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

struct Watch {
    store: Store,
    metrics: Arc<Metrics>,
    resource: Arc<Resource>,
    prefix: String,
    selection: Selection,
    form: Form,
    columns_sent: bool,
    bookmarks: bool,
}

/// A watch that is being read.
struct Cursor {
    watch: Watch,
    /// All changes up to this revision were told.
    told: u64,
    /// What was there at its start, as far as it is still to be told.
    initial: Option<Initial>,
    queue: VecDeque<Bytes>,
    notices: tokio::sync::watch::Receiver<u64>,
    ends: tokio::time::Instant,
    failed: bool,
}

/// The state that a watch begins with, told piece by piece: a client that reads slowly holds
/// a view of it and not its events.
struct Initial {
    snapshot: Snapshot,
    after: Option<String>,
    ends_with_bookmark: bool,
}

impl Cursor {
    /// Queues the next objects of the initial state.
    fn go_on(&mut self, mut initial: Initial) {
        let prefix = self.watch.prefix.clone();
        let mut last = None;
        for (key, entry) in initial.snapshot.range(&prefix, initial.after.as_deref()).take(BATCH) {
            self.queue.extend(self.watch.of_entry(entry));
            last = Some(key.clone());
        }
        if last.is_some() {
            initial.after = last;
            self.initial = Some(initial);
        } else if initial.ends_with_bookmark {
            self.queue.push_back(self.watch.bookmark(initial.snapshot.revision, true));
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                let gvk = &self.watch.resource.gvk;
                self.watch.metrics.watch_event(&gvk.group, &gvk.version, &gvk.kind);
                return Some(event);
            }
            if let Some(initial) = self.initial.take() {
                self.go_on(initial);
                continue;
            }
            if self.failed {
                return None;
            }
            self.notices.borrow_and_update();
            let published = self.watch.store.published();
            match self.watch.store.changes(&self.watch.resource.ring(), self.told, BATCH) {
                None => {
                    self.failed = true;
                    let failure = Failure::expired(format!("too old resource version: {} ({published})", self.told));
                    return Some(line(&json!({"type": "ERROR", "object": failure.to_json()})));
                }
                Some(changes) if !changes.is_empty() => {
                    for change in changes {
                        self.told = change.revision;
                        if let Some(event) = self.watch.of_change(&change) {
                            self.queue.push_back(event);
                        }
                    }
                    continue;
                }
                // `published` was read before the changes, so none up to it is missing.
                Some(_) => self.told = self.told.max(published),
            }
            tokio::select! {
                changed = self.notices.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
                () = tokio::time::sleep_until(self.ends) => return None,
                () = tokio::time::sleep(BOOKMARK_EVERY), if self.watch.bookmarks => {
                    return Some(self.watch.bookmark(self.told, false));
                }
            }
        }
    }
}

impl Watch {
    /// Returns whether stored bytes are what this watch shows.
    fn is_plain(&self, entry: &Entry) -> bool {
        self.selection.is_everything() && self.form == Form::Whole && self.resource.is_as_stored(entry)
    }

    fn of_entry(&mut self, entry: &Entry) -> Option<Bytes> {
        if self.is_plain(entry) {
            return Some(raw_line("ADDED", &entry.bytes));
        }
        let object = at_version(&self.resource, entry.value());
        self.selection.takes(&object).then(|| self.event("ADDED", object))
    }

    fn of_change(&mut self, change: &Change) -> Option<Bytes> {
        if !change.key.starts_with(&self.prefix) {
            return None;
        }
        let resource = self.resource.clone();
        if self.is_plain(&change.entry) && change.kind != ChangeKind::Deleted {
            let kind = if change.kind == ChangeKind::Added { "ADDED" } else { "MODIFIED" };
            return Some(raw_line(kind, &change.entry.bytes));
        }
        let object = at_version(&resource, change.entry.value());
        let taken = |entry: &Arc<Entry>| self.selection.takes(&at_version(&resource, entry.value()));
        let was = change.previous.as_ref().is_some_and(taken);
        let is = change.kind != ChangeKind::Deleted && self.selection.takes(&object);
        // An object that leaves the selection is gone for this watcher.
        let kind = match (was, is) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return None,
        };
        // What goes is shown as it was before it went, at the revision at which it did.
        let last = change.previous.as_ref().filter(|_| kind == "DELETED").map(|entry| {
            let mut last = at_version(&resource, entry.value());
            last["metadata"]["resourceVersion"] = change.revision.to_string().into();
            last
        });
        Some(self.event(kind, last.unwrap_or(object)))
    }

    fn event(&mut self, kind: &str, object: Value) -> Bytes {
        let mut shown = table::one(self.form, &self.resource, object, base::clock::now());
        if matches!(self.form, Form::Table(_)) {
            // Only the first table of a watch carries its columns.
            if self.columns_sent {
                shown["columnDefinitions"] = Value::Null;
            }
            self.columns_sent = true;
        }
        line(&json!({"type": kind, "object": shown}))
    }

    fn bookmark(&self, revision: u64, initial: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object =
            json!({"kind": self.resource.gvk.kind, "apiVersion": self.resource.api_version, "metadata": metadata});
        let mut shown = table::one(self.form, &self.resource, object, base::clock::now());
        if let Some(cells) = shown.pointer_mut("/rows/0/cells").and_then(Value::as_array_mut) {
            // An object that says nothing has a name all the same, and none.
            cells.iter_mut().filter(|cell| cell.is_null()).for_each(|cell| *cell = "".into());
            if self.columns_sent {
                shown["columnDefinitions"] = Value::Null;
            }
        }
        line(&json!({"type": "BOOKMARK", "object": shown}))
    }
}

/// An object in the version of `resource`; a table without objects is made of what is stored, which says most.
fn shown(resource: &Resource, entry: &Entry, form: Form) -> Value {
    match form {
        Form::Table(Include::Nothing | Include::Metadata) if resource.conversion.is_some() => entry.value(),
        _ => at_version(resource, entry.value()),
    }
}

fn prefix_of(resource: &Resource, info: &Info) -> String {
    let prefix = resource.prefix();
    if resource.namespaced && !info.namespace.is_empty() { format!("{prefix}{}/", info.namespace) } else { prefix }
}

fn line(value: &Value) -> Bytes {
    let mut text = value.to_string();
    text.push('\n');
    text.into()
}

fn raw_line(kind: &str, object: &[u8]) -> Bytes {
    let head = format!("{{\"type\":\"{kind}\",\"object\":");
    let mut bytes = Vec::with_capacity(head.len() + object.len() + 2);
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(object);
    bytes.extend_from_slice(b"}\n");
    bytes.into()
}

fn whole_list(resource: &Resource, metadata: &Value, items: &[&Arc<Entry>]) -> Bytes {
    let head = format!(
        "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
        resource.list_kind, resource.api_version
    );
    let mut bytes = Vec::with_capacity(head.len() + 2 + items.iter().map(|entry| entry.bytes.len() + 1).sum::<usize>());
    bytes.extend_from_slice(head.as_bytes());
    // The objects of built-in lists do not say their kind again.
    let said = format!("{{\"apiVersion\":\"{}\",\"kind\":\"{}\",", resource.api_version, resource.gvk.kind);
    for (index, entry) in items.iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        match entry.bytes.strip_prefix(said.as_bytes()).filter(|_| !resource.custom) {
            Some(rest) => {
                bytes.push(b'{');
                bytes.extend_from_slice(rest);
            }
            None => bytes.extend_from_slice(&entry.bytes),
        }
    }
    bytes.extend_from_slice(b"]}");
    bytes.into()
}

/// Returns the form that a request's headers and query ask for.
pub(crate) fn form_of(resource: &Resource, info: &Info, headers: &HeaderMap, query: &Query) -> Result<Form, Failure> {
    let stream = if matches!(info.verb, "list" | "watch") {
        ", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
    } else {
        ""
    };
    let refused = |message: String| Failure::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message);
    // Custom kinds are answered by a server of their own, which asks no router first.
    if !resource.custom && !table::routed(headers) {
        let failure = refused(format!("406: Not Acceptable\n\nAvailable representations: {SERVED}{stream}"));
        return Err(Failure { details: json!({}), ..failure });
    }
    let include = query.get("includeObject");
    if let Some(other) = include.filter(|include| !matches!(*include, "None" | "Metadata" | "Object"))
        && matches!(table::form(headers, None), Some((Form::Table(_), _)))
    {
        return Err(Failure::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
        )));
    }
    let (form, single) = table::form(headers, include)
        .ok_or_else(|| refused(format!("only the following media types are accepted: {SERVED}")))?;
    let kind = if resource.custom {
        "unstructured.Unstructured".to_owned()
    } else {
        format!("{}.{}", crate::write::hub(&resource.gvk.group), resource.gvk.kind)
    };
    match (form, single, info.verb) {
        (Form::Metadata, true, "list") => Err(refused(format!(
            "you requested PartialObjectMetadata, but the requested object is a list (*{kind}List)"
        ))),
        (Form::Metadata, false, verb) if verb != "list" && verb != "watch" => Err(refused(format!(
            "you requested PartialObjectMetadataList, but the requested object is not a list (*{kind})"
        ))),
        _ => Ok(form),
    }
}

/// The forms that Kubernetes names when none of them is asked for.
const SERVED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
