//! The revisioned store: every object as bytes ready to serve, every change in order.
//!
//! One thread commits. It checks each write's expectation against the newest
//! state, gives it the next revision, syncs the whole group to disk and only then
//! shows it to readers and watchers: an acknowledged write is on disk, and a
//! reader never sees one that is not.
//!
//! It knows keys, bytes and revisions; nothing of kinds.

mod backup;
mod disk;
mod encryption;
mod ring;
mod rows;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use bytes::Bytes;
use imbl::OrdMap;
use parking_lot::RwLock;
use serde_json::{Map, Value};
use tokio::sync::{oneshot, watch};

pub use backup::{Report, check, restore};
pub use encryption::{Encryption, InvalidEncryption};
use ring::Ring;
pub use ring::{Change, ChangeKind};

/// How many writes share one sync at most.
const GROUP: usize = 512;
/// How long a group waits for the next write of as many as came together before.
const PATIENCE: Duration = Duration::from_micros(150);
/// How many writes may wait for the disk.
const WAITING: usize = 4096;
/// Bytes of objects that all rings hold at most.
const HISTORY: usize = 128 << 20;

/// How a store on disk is kept.
#[derive(Debug)]
pub struct Options {
    /// How long changes are remembered on disk, so that a watcher goes on after a restart.
    pub history_age: Duration,
    /// How many bytes of them at most.
    pub history_bytes: usize,
    /// What is encrypted, and how.
    pub encryption: Encryption,
}

impl Default for Options {
    fn default() -> Options {
        Options { history_age: Duration::from_secs(5 * 60), history_bytes: 64 << 20, encryption: Encryption::default() }
    }
}

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
    /// A file of the store is not as it was written.
    #[error("the store's file {path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A snapshot could not be written.
    #[error("failed to write the snapshot {path}: {reason}")]
    Snapshot {
        /// The file.
        path: String,
        /// The cause.
        reason: String,
    },
    /// A store could not be made from a snapshot.
    #[error("failed to restore the store {path}: {reason}")]
    Restore {
        /// The file.
        path: String,
        /// The cause.
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

enum Message {
    Write(Request),
    Save { target: PathBuf, reply: oneshot::Sender<Result<(), Error>> },
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
    /// Changes up to this revision were forgotten before the store was opened.
    compacted: u64,
    opened_at: u64,
    /// Every change up to this revision is in its ring.
    published: AtomicU64,
    /// Why the last group of writes did not reach the disk; `None`: it did.
    trouble: RwLock<Option<String>>,
    room: tokio::sync::Semaphore,
}

/// The store. Clones share it; it closes when the last one goes.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Message>,
}

impl Store {
    /// Opens the store in the folder `dir`, which is made if it is missing.
    pub fn open(dir: &Path) -> Result<Store, Error> {
        Self::open_with(dir, Options::default())
    }

    /// Opens the store in the folder `dir` with options of its own.
    pub fn open_with(dir: &Path, options: Options) -> Result<Store, Error> {
        let limits = disk::Limits { age: options.history_age, bytes: options.history_bytes };
        Self::start(disk::Disk::open(dir, options.encryption, limits)?)
    }

    /// Opens a store that lives in memory alone.
    pub fn in_memory() -> Result<Store, Error> {
        Self::start(disk::Disk::in_memory()?)
    }

    fn start(mut disk: disk::Disk) -> Result<Store, Error> {
        let disk::Loaded { revision, compacted, objects, changes } = disk.load()?;
        let shared = Arc::new(Shared {
            current: RwLock::new(Snapshot { revision, objects }),
            rings: RwLock::default(),
            compacted,
            opened_at: revision,
            published: AtomicU64::new(revision),
            trouble: RwLock::new(None),
            room: tokio::sync::Semaphore::new(WAITING),
        });
        shared.publish(&changes);
        let (requests, inbox) = mpsc::channel();
        let committer = Committer { disk, shared: shared.clone() };
        std::thread::Builder::new()
            .name("store-commit".to_owned())
            .spawn(move || committer.run(&inbox))
            .map_err(|error| Error::Write { reason: format!("the commit thread did not start: {error}") })?;
        Ok(Store { shared, requests })
    }

    /// Writes a snapshot of everything into the file `target`, while the store goes on working.
    pub async fn save(&self, target: &Path) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Save { target: target.to_owned(), reply };
        self.requests.send(message).map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
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
        // So many wait for the disk at once; the others wait here.
        let _room = self.shared.room.acquire().await.map_err(|_| Error::Closed)?;
        self.requests.send(Message::Write(request)).map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Returns the changes after `revision` of the keys below `group/resource/`, oldest first and no more
    /// than `most`, or `None` if some of them are no longer kept.
    pub fn changes(&self, resource: &str, revision: u64, most: usize) -> Option<Vec<Arc<Change>>> {
        self.ring(resource).since(revision, most)
    }

    /// Returns what the keys below `group/resource/` were at an earlier revision, or `None` if that is no longer known.
    /// Other keys of the snapshot are as they are now.
    pub fn past(&self, resource: &str, revision: u64) -> Option<Snapshot> {
        let mut snapshot = self.snapshot();
        // Readers see a group of writes a moment before it is in the rings.
        while self.published() < snapshot.revision {
            std::thread::yield_now();
        }
        let changes = self.changes(resource, revision, usize::MAX)?;
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
        self.rings
            .write()
            .entry(resource.to_owned())
            .or_insert_with(|| Arc::new(Ring::new(self.compacted, self.opened_at)))
            .clone()
    }

    /// Tells the watchers.
    fn publish(&self, changes: &[Arc<Change>]) {
        for change in changes {
            self.ring(resource_of(&change.key)).push(change.clone());
        }
        self.published.store(self.current.read().revision, Ordering::Release);
        let rings = self.rings.read();
        let mut sizes: Vec<(usize, &Arc<Ring>)> = rings.values().map(|ring| (ring.bytes(), ring)).collect();
        // All rings together are bounded too: the largest gives way.
        if sizes.iter().map(|(size, _)| size).sum::<usize>() > HISTORY {
            sizes.sort_by_key(|(size, _)| *size);
            if let Some((_, largest)) = sizes.last() {
                largest.halve();
            }
        }
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
    fn run(mut self, inbox: &mpsc::Receiver<Message>) {
        let mut usual = 1;
        while let Ok(first) = inbox.recv() {
            let mut group = Vec::new();
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Write(request) => group.push(request),
                    Message::Save { target, reply } => {
                        self.commit(std::mem::take(&mut group));
                        self.save(target, reply);
                    }
                }
                // Writers that were told together come back one after the other: who goes ahead with the first of them
                // pays a sync for it alone.
                next = match group.len() {
                    GROUP.. => None,
                    length if length < usual => inbox.recv_timeout(PATIENCE).ok(),
                    _ => inbox.try_recv().ok(),
                };
            }
            usual = group.len();
            self.commit(group);
        }
    }

    /// Takes a view of what is committed, and writes it elsewhere on a thread of its own.
    fn save(&self, target: PathBuf, reply: oneshot::Sender<Result<(), Error>>) {
        let fail = |reason: String| Error::Snapshot { path: target.display().to_string(), reason };
        let view = match self.disk.view().map_err(fail) {
            Ok(view) => view,
            Err(error) => return drop(reply.send(Err(error))),
        };
        // Who asked may have gone; a thread that does not start drops the reply, which says so.
        let work = move || drop(reply.send(backup::save(&view, &target)));
        if let Err(error) = std::thread::Builder::new().name("store-snapshot".to_owned()).spawn(work) {
            tracing::error!(%error, "a snapshot could not be begun");
        }
    }

    /// Opens the file anew after a failure, and tells what reached it all the same.
    fn recover(&mut self) -> Result<(), Error> {
        let known = self.shared.current.read().revision;
        let Some(loaded) = self.disk.recover(known)? else { return Ok(()) };
        let disk::Loaded { revision, objects, mut changes, .. } = loaded;
        changes.retain(|change| change.revision > known);
        *self.shared.current.write() = Snapshot { revision, objects };
        self.shared.publish(&changes);
        Ok(())
    }

    fn refuse(&self, replies: Vec<oneshot::Sender<Result<Outcome, Error>>>, reason: &str) {
        tracing::error!(reason, "a group of writes did not reach the disk; none of it is acknowledged");
        *self.shared.trouble.write() = Some(reason.to_owned());
        for reply in replies {
            // A caller that has gone needs no answer.
            drop(reply.send(Err(Error::Write { reason: reason.to_owned() })));
        }
    }

    fn commit(&mut self, group: Vec<Request>) {
        if group.is_empty() {
            return;
        }
        if let Err(error) = self.recover() {
            let replies = group.into_iter().map(|request| request.reply).collect();
            return self.refuse(replies, &error.to_string());
        }
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
            return self.refuse(replies.into_iter().map(|(reply, _)| reply).collect(), &error);
        }
        if self.shared.trouble.read().is_some() {
            *self.shared.trouble.write() = None;
        }
        // A watcher that is told of a revision finds it in a snapshot taken afterwards.
        *self.shared.current.write() = next;
        self.shared.publish(&changes);
        for (reply, outcome) in replies {
            drop(reply.send(Ok(outcome)));
        }
    }
}

#[cfg(test)]
mod tests;
