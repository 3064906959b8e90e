//! Clients that create, read, change, delete and list a few objects, and watchers that are
//! told of it. Each notes what it asked, when, and what it was told.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use futures::StreamExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    Dice, PATIENCE,
    model::{Did, Event, History, Kind, Seen, Told},
};

const KEYS: u64 = 10;
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Traffic that goes on until it is ended.
pub(crate) struct Traffic {
    world: Arc<World>,
    clients: JoinSet<Vec<Did>>,
    watchers: JoinSet<Vec<Event>>,
}

struct World {
    address: watch::Sender<SocketAddr>,
    http: Client<HttpConnector, Body>,
    /// Ticks at each beginning and end of a request: an order of what happened before what.
    clock: AtomicU64,
    done: watch::Sender<u64>,
    /// Acknowledged writes.
    written: watch::Sender<u64>,
    over: AtomicBool,
    start: u64,
    /// What was there at the end, and the revision up to which watchers read.
    last: Mutex<Option<u64>>,
}

enum Answer {
    Said(u16, Value),
    /// The connection broke, or the server did not know: it may have happened.
    Unknown,
}

impl World {
    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let address = *self.address.borrow();
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://{address}{path}"))
            .header("content-type", "application/json")
            .body(Body::from(text))
            .unwrap();
        let answer = async {
            let answer = self.http.request(request).await.ok()?;
            let code = answer.status().as_u16();
            let bytes = axum::body::to_bytes(Body::new(answer.into_body()), 64 << 20).await.ok()?;
            Some((code, serde_json::from_slice(&bytes).ok()?))
        };
        match tokio::time::timeout(PATIENCE, answer).await.expect("a request ends in time") {
            Some((code, value)) if code < 500 => Answer::Said(code, value),
            _ => Answer::Unknown,
        }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Waits until the server is elsewhere, or a moment.
    async fn moved(&self) {
        let mut address = self.address.subscribe();
        // Whether it moved or time went by: the next try tells.
        drop(tokio::time::timeout(Duration::from_millis(20), address.changed()).await);
    }
}

impl Traffic {
    /// Begins traffic against the server at `address`.
    pub(crate) async fn begin(address: SocketAddr, seed: u64, clients: u64, watchers: usize) -> Traffic {
        let mut world = World {
            address: watch::Sender::new(address),
            http: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
            clock: AtomicU64::new(0),
            done: watch::Sender::new(0),
            written: watch::Sender::new(0),
            over: AtomicBool::new(false),
            start: 0,
            last: Mutex::new(None),
        };
        let Answer::Said(200, list) = world.ask("GET", MAPS, Value::Null).await else { panic!("no first list") };
        world.start = number(&list["metadata"]["resourceVersion"]);
        let world = Arc::new(world);
        let mut traffic = Traffic { world: world.clone(), clients: JoinSet::new(), watchers: JoinSet::new() };
        for client in 0..clients {
            let dice = Dice::new(seed.wrapping_add(client + 1));
            traffic.clients.spawn(be_client(world.clone(), client, dice));
        }
        for _ in 0..watchers {
            traffic.watchers.spawn(be_watcher(world.clone()));
        }
        traffic
    }

    /// Returns when so many more requests have been made.
    pub(crate) async fn goes_on(&self, requests: u64) {
        let mut done = self.world.done.subscribe();
        let goal = *done.borrow() + requests;
        let reached = done.wait_for(|done| *done >= goal);
        tokio::time::timeout(PATIENCE, reached).await.expect("requests are answered").unwrap();
    }

    /// Returns when so many more writes have been acknowledged.
    pub(crate) async fn is_written_again(&self, writes: u64) {
        let mut written = self.world.written.subscribe();
        let goal = *written.borrow() + writes;
        let reached = written.wait_for(|written| *written >= goal);
        tokio::time::timeout(PATIENCE, reached).await.expect("a freed disk is written to again").unwrap();
    }

    pub(crate) fn moves_to(&self, address: SocketAddr) {
        self.world.address.send_replace(address);
    }

    pub(crate) fn done(&self) -> u64 {
        *self.world.done.borrow()
    }

    /// Ends the traffic; returns what everybody saw.
    pub(crate) async fn end(mut self) -> History {
        self.world.over.store(true, Ordering::SeqCst);
        let mut did = Vec::new();
        while let Some(client) = self.clients.join_next().await {
            did.extend(client.unwrap());
        }
        let Answer::Said(200, list) = self.world.ask("GET", MAPS, Value::Null).await else { panic!("no last list") };
        // Something newer than anything that can be in question, which ends the watchers.
        let body = json!({"metadata": {"name": "the-end"}, "data": {"id": "the-end"}});
        let Answer::Said(201, end) = self.world.ask("POST", MAPS, body).await else { panic!("no end") };
        *self.world.last.lock() = Some(number(&end["metadata"]["resourceVersion"]));
        let mut watchers = Vec::new();
        while let Some(events) =
            tokio::time::timeout(PATIENCE, self.watchers.join_next()).await.expect("watchers are told the end")
        {
            watchers.push(events.unwrap());
        }
        History { start: self.world.start, did, watchers, last: seen_list(&list) }
    }
}

fn number(text: &Value) -> u64 {
    text.as_str().unwrap().parse().unwrap()
}

fn seen(object: &Value) -> Seen {
    Seen {
        key: object["metadata"]["name"].as_str().unwrap().to_owned(),
        revision: number(&object["metadata"]["resourceVersion"]),
        uid: object["metadata"]["uid"].as_str().unwrap().to_owned(),
        id: object["data"]["id"].as_str().unwrap_or_default().to_owned(),
    }
}

fn seen_list(list: &Value) -> (u64, Vec<Seen>) {
    // Objects of the server itself have no id.
    let items = list["items"].as_array().unwrap().iter().map(seen).filter(|seen| !seen.id.is_empty());
    (number(&list["metadata"]["resourceVersion"]), items.collect())
}

async fn be_client(world: Arc<World>, client: u64, mut dice: Dice) -> Vec<Did> {
    let mut did = Vec::new();
    let mut count = 0;
    while !world.over.load(Ordering::SeqCst) {
        let key = format!("key-{}", dice.below(KEYS));
        count += 1;
        let id = format!("{client}-{count}");
        let roll = dice.below(100);
        let path = format!("{MAPS}/{key}");
        let made = json!({"metadata": {"name": key}, "data": {"id": id, "filler": "x".repeat(200 + dice.below(2000) as usize)}});
        let mut note = Note { world: &world, did: &mut did };
        match roll {
            0..25 => note.down(Kind::Create { key, id }, "POST", MAPS, made).await,
            25..65 => {
                let Told::Object(seen) = note.down(Kind::Get { key: key.clone() }, "GET", &path, Value::Null).await
                else {
                    continue;
                };
                let mut body = made;
                body["metadata"]["resourceVersion"] = seen.revision.to_string().into();
                if roll < 55 {
                    note.down(Kind::Update { key, id }, "PUT", &path, body).await
                } else {
                    let body = json!({"preconditions": {"uid": seen.uid}});
                    note.down(Kind::Delete { key, uid: seen.uid }, "DELETE", &path, body).await
                }
            }
            65..85 => note.down(Kind::Get { key }, "GET", &path, Value::Null).await,
            _ => note.down(Kind::List, "GET", MAPS, Value::Null).await,
        };
    }
    did
}

struct Note<'a> {
    world: &'a World,
    did: &'a mut Vec<Did>,
}

impl Note<'_> {
    /// Asks, and notes when it asked and what it was told.
    async fn down(&mut self, kind: Kind, method: &str, path: &str, body: Value) -> Told {
        let from = self.world.tick();
        let answer = self.world.ask(method, path, body).await;
        let to = self.world.tick();
        let told = match answer {
            Answer::Unknown => Told::Unknown,
            Answer::Said(200 | 201, object) => match &kind {
                Kind::List => Told::List(seen_list(&object)),
                Kind::Delete { .. } => Told::Gone,
                _ => Told::Object(seen(&object)),
            },
            Answer::Said(404, _) => Told::Absent,
            Answer::Said(409, _) => Told::Refused,
            Answer::Said(code, value) => panic!("{method} {path}: {code} {value}"),
        };
        if method != "GET" && matches!(told, Told::Object(_) | Told::Gone) {
            self.world.written.send_modify(|written| *written += 1);
        }
        self.did.push(Did { from, to, kind, told: told.clone() });
        self.world.done.send_modify(|done| *done += 1);
        if matches!(told, Told::Unknown) {
            self.world.moved().await;
        }
        told
    }
}

/// Watches from the first revision to the last, over every death of the server.
async fn be_watcher(world: Arc<World>) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let told = events.last().map_or(world.start, |event| event.revision);
        if let Some(last) = *world.last.lock()
            && told >= last
        {
            return events;
        }
        let address = *world.address.borrow();
        let uri = format!("http://{address}{MAPS}?watch=1&resourceVersion={told}");
        let request = http::Request::get(uri).body(Body::empty()).unwrap();
        let Ok(answer) = world.http.request(request).await else {
            world.moved().await;
            continue;
        };
        assert!(answer.status().is_success(), "a watch from {told} is refused: {}", answer.status());
        let mut lines = Body::new(answer.into_body()).into_data_stream();
        let mut rest = Vec::new();
        'stream: while let Some(Ok(bytes)) = lines.next().await {
            rest.extend_from_slice(&bytes);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line).unwrap();
                let kind = event["type"].as_str().unwrap().to_owned();
                assert_ne!(kind, "ERROR", "a watcher that goes on from {told} is told {event}");
                let seen = seen(&event["object"]);
                if seen.id == "the-end" {
                    return events;
                }
                if !seen.id.is_empty() {
                    events.push(Event { kind, revision: seen.revision, key: seen.key, uid: seen.uid, id: seen.id });
                }
            }
            if world.over.load(Ordering::SeqCst) && world.address.borrow().port() != address.port() {
                break 'stream;
            }
        }
    }
}
