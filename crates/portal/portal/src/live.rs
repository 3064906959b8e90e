//! Server-sent events: what changes is sent to whoever watches.

use std::{collections::BTreeMap, collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures::Stream;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::portal::App;

/// How long one stream lives; the browser then comes again and is checked again.
const LONGEST: Duration = Duration::from_mins(15);
/// Changes that come together are sent together.
const GATHER: Duration = Duration::from_millis(50);

struct Watching<F> {
    app: Arc<App>,
    versions: tokio::sync::watch::Receiver<u64>,
    produce: F,
    waiting: VecDeque<Event>,
    until: Instant,
    fresh: bool,
}

/// Sends what `produce` returns, now and after each change of the index.
fn stream<F>(app: Arc<App>, produce: F) -> impl Stream<Item = Result<Event, Infallible>>
where
    F: FnMut(&App) -> Vec<Event> + Send + 'static,
{
    let versions = app.index.versions();
    let until = base::clock::instant() + LONGEST;
    let watching = Watching { app, versions, produce, waiting: VecDeque::new(), until, fresh: true };
    futures::stream::unfold(watching, |mut watching| async move {
        loop {
            if let Some(event) = watching.waiting.pop_front() {
                return Some((Ok(event), watching));
            }
            if !std::mem::take(&mut watching.fresh) {
                tokio::select! {
                    changed = watching.versions.changed() => changed.ok()?,
                    () = watching.app.stop.cancelled() => return None,
                    () = tokio::time::sleep_until(watching.until) => return None,
                }
                tokio::time::sleep(GATHER).await;
            }
            watching.versions.borrow_and_update();
            watching.waiting = (watching.produce)(&watching.app).into();
        }
    })
}

fn response(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// Sends `ADDED`, `MODIFIED` and `DELETED` for the items that `list` returns, by key.
pub(crate) fn items(app: Arc<App>, list: impl Fn(&App) -> Vec<(String, Value)> + Send + 'static) -> Response {
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    response(stream(app, move |app| {
        let now: BTreeMap<String, Value> = list(app).into_iter().collect();
        let events =
            changes(&known, &now).iter().filter_map(|change| Event::default().json_data(change).ok()).collect();
        known = now;
        events
    }))
}

/// Returns what became of `before` in `after`.
fn changes(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<Value> {
    let gone = before
        .iter()
        .filter(|(key, _)| !after.contains_key(*key))
        .map(|(_, object)| json!({"type": "DELETED", "object": object}));
    let here = after.iter().filter_map(|(key, object)| match before.get(key) {
        None => Some(json!({"type": "ADDED", "object": object})),
        Some(old) if old != object => Some(json!({"type": "MODIFIED", "object": object})),
        Some(_) => None,
    });
    gone.chain(here).collect()
}

/// Sends the parts of a page that have changed: pairs of element id and HTML.
pub(crate) fn fragments(
    app: Arc<App>,
    render: impl Fn(&App) -> Vec<(&'static str, String)> + Send + 'static,
) -> Response {
    let mut known: BTreeMap<&'static str, String> = BTreeMap::new();
    response(stream(app, move |app| {
        let mut events = Vec::new();
        for (id, html) in render(app) {
            if known.get(id) != Some(&html) {
                let event = Event::default().event("fragment").json_data(json!({"id": id, "html": html}));
                events.extend(event.ok());
                known.insert(id, html);
            }
        }
        events
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_once() {
        let map = |pairs: &[(&str, i32)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        assert_eq!(
            changes(&map(&[("a", 1), ("b", 1), ("c", 1)]), &map(&[("b", 2), ("c", 1), ("d", 1)])),
            [
                json!({"type": "DELETED", "object": 1}),
                json!({"type": "MODIFIED", "object": 2}),
                json!({"type": "ADDED", "object": 1}),
            ]
        );
    }
}
