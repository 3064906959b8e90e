//! The revisioned store: every object as bytes ready to serve, every change in order.
//!
//! One thread commits. It checks each write's expectation against the newest
//! state, gives it the next revision, syncs the whole group to disk and only then
//! shows it to readers and watchers: an acknowledged write is on disk, and a
//! reader never sees one that is not.
//!
//! It knows keys, bytes and revisions; nothing of kinds.

mod disk;
mod ring;

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
};

use bytes::Bytes;
use imbl::OrdMap;
use parking_lot::RwLock;
use serde_json::{Map, Value};
use tokio::sync::{oneshot, watch};

use ring::Ring;
pub use ring::{Change, ChangeKind};

/// How many writes share one sync at most.
const GROUP: usize = 512;

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store's file cannot be opened.
    #[error("failed to open the store {path}: {reason}")]
    Open {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The group could not be written; nothing of it was acknowledged.
    #[error("failed to write to the store: {reason}")]
    Write {
        /// The cause, for example a full disk.
        reason: String,
    },
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

/// An object at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The revision of its last change: its `resourceVersion`.
    pub revision: u64,
    /// The object as JSON, `resourceVersion` in it.
    pub bytes: Bytes,
}

impl Entry {
    /// Returns the object as a tree.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }
}

/// What must be so for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key does not exist.
    Absent,
    /// The key's newest revision is this one.
    Revision(u64),
}

/// A write.
#[derive(Debug)]
pub enum Write {
    /// Stores an object. The store puts the revision in as `metadata.resourceVersion`.
    Put(Value),
    /// Removes an object; what it was last is given to watchers.
    Delete(Value),
}

/// How a write ended.
#[derive(Debug)]
pub enum Outcome {
    /// It is on disk.
    Done(Arc<Entry>),
    /// The expectation did not hold; what is there instead.
    Mismatch(Option<Arc<Entry>>),
}

struct Request {
    key: String,
    expect: Expect,
    write: Prepared,
    delete: bool,
    reply: oneshot::Sender<Result<Outcome, Error>>,
}

/// An object's JSON with a gap where the revision goes.
struct Prepared {
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// All objects at one revision.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The revision that the snapshot shows.
    pub revision: u64,
    objects: OrdMap<String, Arc<Entry>>,
}

impl Snapshot {
    /// Returns the object at `key`.
    pub fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.objects.get(key)
    }

    /// Returns the objects whose keys begin with `prefix`, in the order of their keys, from after `after`.
    pub fn range<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&str>,
    ) -> impl Iterator<Item = (&'a String, &'a Arc<Entry>)> {
        let start = match after {
            Some(after) => std::ops::Bound::Excluded(after.to_owned()),
            None => std::ops::Bound::Included(prefix.to_owned()),
        };
        self.objects.range((start, std::ops::Bound::Unbounded)).take_while(move |(key, _)| key.starts_with(prefix))
    }
}

struct Shared {
    current: RwLock<Snapshot>,
    rings: RwLock<HashMap<String, Arc<Ring>>>,
    /// Changes up to this revision were never kept in a ring.
    opened_at: u64,
    /// Every change up to this revision is in its ring.
    published: AtomicU64,
    /// Why the last group of writes did not reach the disk; `None`: it did.
    trouble: RwLock<Option<String>>,
}

/// The store. Clones share it; it closes when the last one goes.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
}

impl Store {
    /// Opens the store in the folder `dir`, which is made if it is missing.
    pub fn open(dir: &Path) -> Result<Store, Error> {
        Self::start(disk::Disk::open(dir)?)
    }

    /// Opens a store that lives in memory alone.
    pub fn in_memory() -> Result<Store, Error> {
        Self::start(disk::Disk::in_memory()?)
    }

    fn start(disk: disk::Disk) -> Result<Store, Error> {
        let (revision, objects) = disk.load()?;
        let shared = Arc::new(Shared {
            current: RwLock::new(Snapshot { revision, objects }),
            rings: RwLock::default(),
            opened_at: revision,
            published: AtomicU64::new(revision),
            trouble: RwLock::new(None),
        });
        let (requests, inbox) = mpsc::channel();
        let committer = Committer { disk, shared: shared.clone() };
        std::thread::Builder::new()
            .name("store-commit".to_owned())
            .spawn(move || committer.run(&inbox))
            .map_err(|error| Error::Write { reason: format!("the commit thread did not start: {error}") })?;
        Ok(Store { shared, requests })
    }

    /// Returns all objects as they are now. Cheap: the snapshot shares them.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.current.read().clone()
    }

    /// Returns a revision up to which every watcher can be told all changes: what a bookmark may say.
    pub fn published(&self) -> u64 {
        self.shared.published.load(Ordering::Acquire)
    }

    /// Returns why the last group of writes did not reach the disk, if it did not.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble.read().clone()
    }

    /// Writes when `expect` holds, and returns when the write is on disk.
    pub async fn write(&self, key: &str, expect: Expect, write: Write) -> Result<Outcome, Error> {
        let (value, delete) = match write {
            Write::Put(value) => (value, false),
            Write::Delete(value) => (value, true),
        };
        let (reply, answer) = oneshot::channel();
        let request = Request { key: key.to_owned(), expect, write: prepare(value), delete, reply };
        self.requests.send(request).map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Returns the changes after `revision` of the keys below `group/resource/`, oldest first,
    /// or `None` if some of them are no longer kept.
    pub fn changes(&self, resource: &str, revision: u64) -> Option<Vec<Arc<Change>>> {
        self.ring(resource).since(revision)
    }

    /// Returns what the keys below `group/resource/` were at an earlier revision, or `None` if that is no longer known.
    /// Other keys of the snapshot are as they are now.
    pub fn past(&self, resource: &str, revision: u64) -> Option<Snapshot> {
        let mut snapshot = self.snapshot();
        // Readers see a group of writes a moment before it is in the rings.
        while self.published() < snapshot.revision {
            std::thread::yield_now();
        }
        let changes = self.changes(resource, revision)?;
        // Changes that were published after the snapshot was taken are not in it.
        for change in changes.iter().rev().filter(|change| change.revision <= snapshot.revision) {
            match &change.previous {
                Some(previous) => snapshot.objects.insert(change.key.clone(), previous.clone()),
                None => snapshot.objects.remove(&change.key),
            };
        }
        snapshot.revision = revision;
        Some(snapshot)
    }

    /// Returns a receiver that is told the newest revision of a resource whenever it changes.
    pub fn notices(&self, resource: &str) -> watch::Receiver<u64> {
        self.ring(resource).notices()
    }

    /// Returns the revision of the newest change below `group/resource/`, or the one the store was opened at.
    pub fn newest(&self, resource: &str) -> u64 {
        self.ring(resource).newest()
    }

    fn ring(&self, resource: &str) -> Arc<Ring> {
        self.shared.ring(resource)
    }
}

impl Shared {
    fn ring(&self, resource: &str) -> Arc<Ring> {
        if let Some(ring) = self.rings.read().get(resource) {
            return ring.clone();
        }
        // Only a commit adds changes, and it makes the ring first, so none is missed.
        self.rings.write().entry(resource.to_owned()).or_insert_with(|| Arc::new(Ring::new(self.opened_at))).clone()
    }
}

/// Returns the resource (`group/plural`) that a key belongs to.
fn resource_of(key: &str) -> &str {
    let mut slashes = key.match_indices('/');
    slashes.next();
    slashes.next().map_or(key, |(at, _)| &key[..at])
}

/// Serialises with `apiVersion`, `kind` and `metadata` first, so that the place of the revision is known.
fn prepare(mut value: Value) -> Prepared {
    let mut map = match value.as_object_mut() {
        Some(map) => std::mem::take(map),
        None => Map::new(),
    };
    let mut metadata = match map.remove("metadata") {
        Some(Value::Object(metadata)) => metadata,
        _ => Map::new(),
    };
    metadata.remove("resourceVersion");
    let mut head = Vec::with_capacity(512);
    head.push(b'{');
    for name in ["apiVersion", "kind"] {
        if let Some(value) = map.remove(name) {
            head.extend_from_slice(format!("\"{name}\":{value},").as_bytes());
        }
    }
    head.extend_from_slice(b"\"metadata\":{");
    let metadata = Value::Object(metadata).to_string();
    let mut tail = Vec::with_capacity(1024);
    if metadata.len() > 2 {
        tail.push(b',');
    }
    tail.extend_from_slice(&metadata.as_bytes()[1..]);
    for (name, value) in &map {
        tail.extend_from_slice(format!(",{}:{value}", Value::String(name.clone())).as_bytes());
    }
    tail.push(b'}');
    Prepared { head, tail }
}

impl Prepared {
    fn at(&self, revision: u64) -> Bytes {
        let version = format!("\"resourceVersion\":\"{revision}\"");
        let mut bytes = Vec::with_capacity(self.head.len() + version.len() + self.tail.len());
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(version.as_bytes());
        bytes.extend_from_slice(&self.tail);
        bytes.into()
    }
}

struct Committer {
    disk: disk::Disk,
    shared: Arc<Shared>,
}

impl Committer {
    fn run(mut self, inbox: &mpsc::Receiver<Request>) {
        while let Ok(first) = inbox.recv() {
            let mut group = vec![first];
            while group.len() < GROUP {
                let Ok(next) = inbox.try_recv() else { break };
                group.push(next);
            }
            self.commit(group);
        }
    }

    fn commit(&mut self, group: Vec<Request>) {
        let mut next = self.shared.current.read().clone();
        let mut changes: Vec<Arc<Change>> = Vec::with_capacity(group.len());
        let mut replies = Vec::with_capacity(group.len());
        for request in group {
            let current = next.objects.get(&request.key).cloned();
            let holds = match request.expect {
                Expect::Absent => current.is_none(),
                Expect::Revision(revision) => current.as_ref().is_some_and(|entry| entry.revision == revision),
            };
            if !holds {
                replies.push((request.reply, Outcome::Mismatch(current)));
                continue;
            }
            next.revision += 1;
            let entry = Arc::new(Entry { revision: next.revision, bytes: request.write.at(next.revision) });
            let kind = if request.delete {
                next.objects.remove(&request.key);
                ChangeKind::Deleted
            } else {
                next.objects.insert(request.key.clone(), entry.clone());
                if current.is_some() { ChangeKind::Modified } else { ChangeKind::Added }
            };
            changes.push(Arc::new(Change {
                revision: next.revision,
                kind,
                key: request.key,
                entry: entry.clone(),
                previous: current,
            }));
            replies.push((request.reply, Outcome::Done(entry)));
        }
        if !changes.is_empty()
            && let Err(error) = self.disk.write(next.revision, &changes)
        {
            let reason = error.to_string();
            tracing::error!(reason, "a group of writes did not reach the disk; none of it is acknowledged");
            *self.shared.trouble.write() = Some(reason.clone());
            for (reply, _) in replies {
                // A caller that has gone needs no answer.
                drop(reply.send(Err(Error::Write { reason: reason.clone() })));
            }
            return;
        }
        if self.shared.trouble.read().is_some() {
            *self.shared.trouble.write() = None;
        }
        // A watcher that is told of a revision finds it in a snapshot taken afterwards.
        *self.shared.current.write() = next;
        for change in &changes {
            self.shared.ring(resource_of(&change.key)).push(change.clone());
        }
        self.shared.published.store(self.shared.current.read().revision, Ordering::Release);
        for (reply, outcome) in replies {
            drop(reply.send(Ok(outcome)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn put(store: &Store, key: &str, expect: Expect, value: Value) -> Outcome {
        store.write(key, expect, Write::Put(value)).await.unwrap()
    }

    #[tokio::test]
    async fn a_write_carries_its_revision_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let object = json!({"aaa": {"metadata": {"x": 1}}, "kind": "T", "metadata": {"name": "n"}});
        let Outcome::Done(entry) = put(&store, "g/ts//n", Expect::Absent, object.clone()).await else { panic!() };
        assert_eq!(entry.value()["metadata"]["resourceVersion"], entry.revision.to_string());
        assert_eq!(entry.value()["aaa"], object["aaa"]);
        drop(store);
        let store = reopen(dir.path());
        assert_eq!(store.snapshot().get("g/ts//n").unwrap().value(), entry.value());
        assert_eq!(store.snapshot().revision, entry.revision);
        assert!(store.changes("g/ts", 0).is_none(), "history before the start is gone, and says so");
    }

    fn reopen(dir: &Path) -> Store {
        // The commit thread of the dropped store lets go of the file a moment later.
        let deadline = base::clock::instant() + std::time::Duration::from_secs(5);
        loop {
            match Store::open(dir) {
                Ok(store) => return store,
                Err(error) if base::clock::instant() > deadline => panic!("{error}"),
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    #[tokio::test]
    async fn of_two_writers_one_wins_and_the_other_sees_what_is_there() {
        let store = Store::in_memory().unwrap();
        let Outcome::Done(first) = put(&store, "g/ts//n", Expect::Absent, json!({"v": 1})).await else { panic!() };
        assert!(matches!(put(&store, "g/ts//n", Expect::Absent, json!({"v": 2})).await, Outcome::Mismatch(Some(_))));
        let (a, b) = tokio::join!(
            put(&store, "g/ts//n", Expect::Revision(first.revision), json!({"v": 3})),
            put(&store, "g/ts//n", Expect::Revision(first.revision), json!({"v": 4})),
        );
        let done = [a, b].into_iter().filter(|outcome| matches!(outcome, Outcome::Done(_))).count();
        assert_eq!(done, 1);
    }

    #[tokio::test]
    async fn a_snapshot_stays_as_it_was_and_pages_by_key() {
        let store = Store::in_memory().unwrap();
        for name in ["c", "a", "b"] {
            put(&store, &format!("g/ts/ns/{name}"), Expect::Absent, json!({})).await;
        }
        let snapshot = store.snapshot();
        put(&store, "g/ts/ns/d", Expect::Absent, json!({})).await;
        let keys: Vec<_> = snapshot.range("g/ts/", None).map(|(key, _)| key.clone()).collect();
        assert_eq!(keys, ["g/ts/ns/a", "g/ts/ns/b", "g/ts/ns/c"]);
        let rest: Vec<_> = snapshot.range("g/ts/", Some("g/ts/ns/a")).map(|(key, _)| key.clone()).collect();
        assert_eq!(rest, ["g/ts/ns/b", "g/ts/ns/c"]);
    }

    #[tokio::test]
    async fn a_watcher_is_told_every_change_in_order() {
        let store = Store::in_memory().unwrap();
        let mut notices = store.notices("g/ts");
        let Outcome::Done(entry) = put(&store, "g/ts//n", Expect::Absent, json!({"v": 1})).await else { panic!() };
        put(&store, "g/ts//n", Expect::Revision(entry.revision), json!({"v": 2})).await;
        let last = store.snapshot().get("g/ts//n").unwrap().revision;
        store.write("g/ts//n", Expect::Revision(last), Write::Delete(json!({"v": 2}))).await.unwrap();
        notices.changed().await.unwrap();
        let kinds: Vec<_> = store.changes("g/ts", 0).unwrap().iter().map(|change| change.kind).collect();
        assert_eq!(kinds, [ChangeKind::Added, ChangeKind::Modified, ChangeKind::Deleted]);
        assert_eq!(store.changes("g/ts", entry.revision).unwrap().len(), 2);
        assert!(store.changes("g/other", 0).unwrap().is_empty());
    }
}
