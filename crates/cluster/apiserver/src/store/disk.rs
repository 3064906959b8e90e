//! The store's file: objects, the recent changes and the revision in one redb database.
//!
//! A group of writes is one transaction, so it is there whole or not at all. What is
//! encrypted is sealed and opened here and nowhere else; every row carries a checksum.

use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use imbl::OrdMap;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, backends::InMemoryBackend};

use super::{
    Change, ChangeKind, Encryption, Entry, Error,
    rows::{self, FACTS, LOG, Logged, OBJECTS},
};

/// How many changes are forgotten in one transaction beyond those that it adds.
const FORGET: usize = 64;
/// Bytes of the file that are kept in memory. All objects are there already, so this is for the tree's inner pages.
const CACHE: usize = 8 << 20;

/// A file that holds this many times what it needs is made smaller when it is opened.
const SLACK: u64 = 4;
const SLACK_FROM: u64 = 64 << 20;

/// How long and how many changes are remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) age: std::time::Duration,
    pub(super) bytes: usize,
}

pub(super) struct Disk {
    /// `None` lives in memory alone, and logs nothing.
    path: Option<PathBuf>,
    /// `None` after a failure, until it is opened anew.
    database: Option<Arc<Database>>,
    encryption: Encryption,
    limits: Limits,
    /// Revision, size and time of every change in the log, oldest first.
    log: VecDeque<(u64, usize, u64)>,
    log_bytes: usize,
    compacted: u64,
}

/// What the file holds.
pub(super) struct Loaded {
    pub(super) revision: u64,
    /// Changes up to this revision are no longer known.
    pub(super) compacted: u64,
    pub(super) objects: OrdMap<String, Arc<Entry>>,
    /// The changes since, oldest first.
    pub(super) changes: Vec<Arc<Change>>,
}

/// An object that was sealed by an older key.
struct Stale {
    key: String,
    entry: Entry,
}

impl Disk {
    pub(super) fn open(dir: &Path, encryption: Encryption, limits: Limits) -> Result<Disk, Error> {
        let path = dir.join(rows::FILE);
        let fail = |reason: String| Error::Open { path: path.display().to_string(), reason };
        std::fs::create_dir_all(dir).map_err(|error| fail(error.to_string()))?;
        let mut database = create(&path).map_err(fail)?;
        restrict(&path).map_err(|error| fail(error.to_string()))?;
        shrink(&mut database, &path);
        let mut disk = Disk::new(database, encryption, limits);
        disk.path = Some(path);
        Ok(disk)
    }

    pub(super) fn in_memory() -> Result<Disk, Error> {
        let database = Database::builder()
            .create_with_backend(InMemoryBackend::new())
            .map_err(|error| Error::Open { path: "memory".into(), reason: error.to_string() })?;
        let limits = Limits { age: std::time::Duration::MAX, bytes: 0 };
        Ok(Disk::new(database, Encryption::default(), limits))
    }

    fn new(database: Database, encryption: Encryption, limits: Limits) -> Disk {
        let database = Some(Arc::new(database));
        Disk { path: None, database, encryption, limits, log: VecDeque::new(), log_bytes: 0, compacted: 0 }
    }

    /// Reads everything, and seals anew what was sealed by an older key.
    pub(super) fn load(&mut self) -> Result<Loaded, Error> {
        let path = self.path.as_ref().map_or("memory".to_owned(), |path| path.display().to_string());
        let loaded = self
            .database()
            .and_then(|database| {
                rows::prepare(&database)?;
                let (loaded, stale) = self.read(&database)?;
                if !stale.is_empty() {
                    tracing::info!(objects = stale.len(), "objects are encrypted anew with the key that writes now");
                    self.reseal(&database, &stale)?;
                }
                Ok(loaded)
            })
            .map_err(|reason| Error::Open { path, reason })?;
        Ok(loaded)
    }

    fn database(&self) -> Result<Arc<Database>, String> {
        self.database.clone().ok_or_else(|| "the file is not open".to_owned())
    }

    fn read(&mut self, database: &Database) -> Result<(Loaded, Vec<Stale>), String> {
        let read = database.begin_read().map_err(rows::text)?;
        let facts = read.open_table(FACTS).map_err(rows::text)?;
        let fact = |name: &str| facts.get(name).map(|value| value.map(|value| value.value())).map_err(rows::text);
        let revision = fact("revision")?.unwrap_or(1);
        self.compacted = fact("compacted")?.unwrap_or(0);
        let (mut objects, mut stale) = (OrdMap::new(), Vec::new());
        let table = read.open_table(OBJECTS).map_err(rows::text)?;
        for row in table.iter().map_err(rows::text)? {
            let (key, value) = row.map_err(rows::text)?;
            let key = key.value();
            let damaged = |why: &str| format!("the object {key} is damaged ({why}): restore a snapshot");
            let (found, sealed) = rows::checked(key, value.value()).ok_or_else(|| damaged("its checksum is wrong"))?;
            if found > revision {
                return Err(damaged("it is newer than the store"));
            }
            let opened = self.encryption.open(key, sealed).map_err(|why| format!("the object {key} is {why}"))?;
            let entry = Entry { revision: found, bytes: Bytes::from(opened.bytes) };
            if opened.stale {
                stale.push(Stale { key: key.to_owned(), entry: entry.clone() });
            }
            objects.insert(key.to_owned(), Arc::new(entry));
        }
        let changes = self.read_log(&read, &objects)?;
        Ok((Loaded { revision, compacted: self.compacted, objects, changes }, stale))
    }

    /// Puts the changes together: the log has what was before each, the objects what is after the last.
    fn read_log(
        &mut self,
        read: &ReadTransaction,
        objects: &OrdMap<String, Arc<Entry>>,
    ) -> Result<Vec<Arc<Change>>, String> {
        let table = read.open_table(LOG).map_err(rows::text)?;
        let mut after: HashMap<String, Option<Arc<Entry>>> = HashMap::new();
        let mut changes = VecDeque::new();
        (self.log, self.log_bytes) = (VecDeque::new(), 0);
        for row in table.iter().map_err(rows::text)?.rev() {
            let (revision, value) = row.map_err(rows::text)?;
            let (revision, value) = (revision.value(), value.value());
            let damaged = || format!("the change {revision} is damaged: restore a snapshot");
            let logged = Logged::decode(revision, value).ok_or_else(damaged)?;
            let open = |revision: u64, sealed: &[u8]| -> Result<Arc<Entry>, String> {
                let opened = self.encryption.open(&logged.key, sealed);
                let opened = opened.map_err(|why| format!("the change {revision} of {} is {why}", logged.key))?;
                Ok(Arc::new(Entry { revision, bytes: Bytes::from(opened.bytes) }))
            };
            let previous = logged.previous.map(|(revision, sealed)| open(revision, sealed)).transpose()?;
            let entry = match logged.deleted {
                Some(sealed) => open(revision, sealed)?,
                None => {
                    let known = after.get(&logged.key).cloned().unwrap_or_else(|| objects.get(&logged.key).cloned());
                    known.filter(|entry| entry.revision == revision).ok_or_else(damaged)?
                }
            };
            let kind = match (logged.deleted.is_some(), previous.is_some()) {
                (true, _) => ChangeKind::Deleted,
                (false, true) => ChangeKind::Modified,
                (false, false) => ChangeKind::Added,
            };
            after.insert(logged.key.clone(), previous.clone());
            self.log.push_front((revision, value.len(), logged.at));
            self.log_bytes += value.len();
            changes.push_front(Arc::new(Change { revision, kind, key: logged.key, entry, previous }));
        }
        Ok(changes.into())
    }

    fn reseal(&self, database: &Database, stale: &[Stale]) -> Result<(), String> {
        let transaction = database.begin_write().map_err(rows::text)?;
        {
            let mut objects = transaction.open_table(OBJECTS).map_err(rows::text)?;
            for object in stale {
                let Stale { key, entry } = object;
                let row = self.row(key, entry)?;
                objects.insert(key.as_str(), row.as_slice()).map_err(rows::text)?;
            }
        }
        transaction.commit().map_err(rows::text)
    }

    fn row(&self, key: &str, entry: &Entry) -> Result<Vec<u8>, String> {
        Ok(rows::checksummed(key, entry.revision, &self.encryption.seal(key, &entry.bytes)?))
    }

    /// Returns what the file has that memory has not, after it was opened anew; `None`: it need not be.
    pub(super) fn recover(&mut self, known: u64) -> Result<Option<Loaded>, Error> {
        let (None, Some(path)) = (&self.database, &self.path) else { return Ok(None) };
        let fail = |reason: String| Error::Open { path: path.display().to_string(), reason };
        let database = Arc::new(create(path).map_err(fail)?);
        let read = database.begin_read().map_err(rows::text).and_then(|read| rows::revision(&read));
        let found = read.map_err(fail)?;
        self.database = Some(database);
        // A write that failed may have reached the disk all the same.
        if found == known { Ok(None) } else { self.load().map(Some) }
    }

    /// Writes a group. After a failure the file has to be recovered before the next.
    pub(super) fn write(&mut self, revision: u64, changes: &[Arc<Change>]) -> Result<(), String> {
        let outcome = self.try_write(revision, changes);
        if outcome.is_err() && self.path.is_some() {
            // What an input or output error leaves behind is used no further.
            self.database = None;
        }
        outcome
    }

    fn try_write(&mut self, revision: u64, changes: &[Arc<Change>]) -> Result<(), String> {
        let transaction = self.database()?.begin_write().map_err(rows::text)?;
        let now = u64::try_from(base::clock::now().as_second()).unwrap_or_default();
        let mut added = Vec::with_capacity(changes.len());
        let (mut forget, mut compacted) = (0, self.compacted);
        {
            let mut objects = transaction.open_table(OBJECTS).map_err(rows::text)?;
            for change in changes {
                if change.kind == ChangeKind::Deleted {
                    objects.remove(change.key.as_str()).map_err(rows::text)?;
                } else {
                    let row = self.row(&change.key, &change.entry)?;
                    objects.insert(change.key.as_str(), row.as_slice()).map_err(rows::text)?;
                }
            }
            let mut facts = transaction.open_table(FACTS).map_err(rows::text)?;
            facts.insert("revision", revision).map_err(rows::text)?;
            if self.path.is_some() {
                let mut log = transaction.open_table(LOG).map_err(rows::text)?;
                for change in changes {
                    let seal = |entry: &Entry| self.encryption.seal(&change.key, &entry.bytes);
                    let previous =
                        change.previous.as_ref().map(|entry| Ok::<_, String>((entry.revision, seal(entry)?)));
                    let deleted = (change.kind == ChangeKind::Deleted).then(|| seal(&change.entry)).transpose()?;
                    let row = rows::encode(change, now, previous.transpose()?.as_ref(), deleted.as_deref());
                    log.insert(change.revision, row.as_slice()).map_err(rows::text)?;
                    added.push((change.revision, row.len(), now));
                }
                forget = self.surplus(now, &added);
                for (old, ..) in self.log.iter().take(forget) {
                    log.remove(*old).map_err(rows::text)?;
                    compacted = *old;
                }
                facts.insert("compacted", compacted).map_err(rows::text)?;
            }
        }
        transaction.commit().map_err(rows::text)?;
        self.compacted = compacted;
        for (_, size, _) in self.log.drain(..forget) {
            self.log_bytes -= size;
        }
        self.log_bytes += added.iter().map(|(_, size, _)| size).sum::<usize>();
        self.log.extend(added);
        Ok(())
    }

    /// Returns how many of the oldest changes are too old or too much.
    fn surplus(&self, now: u64, added: &[(u64, usize, u64)]) -> usize {
        let mut bytes = self.log_bytes + added.iter().map(|(_, size, _)| size).sum::<usize>();
        let most = added.len() + FORGET;
        let too_much = |(_, size, at): &&(u64, usize, u64)| {
            let goes = bytes > self.limits.bytes || now.saturating_sub(*at) > self.limits.age.as_secs();
            bytes -= *size;
            goes
        };
        self.log.iter().take(most).take_while(too_much).count()
    }

    /// Returns a view of everything as it is now, which later writes do not change.
    pub(super) fn view(&self) -> Result<ReadTransaction, String> {
        self.database()?.begin_read().map_err(rows::text)
    }
}

fn create(path: &Path) -> Result<Database, String> {
    Database::builder().set_cache_size(CACHE).create(path).map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => "another process has it open; stop that one first".into(),
        other => other.to_string(),
    })
}

/// Gives back what a file holds far beyond its contents.
fn shrink(database: &mut Database, path: &Path) {
    let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if size < SLACK_FROM {
        return;
    }
    let stored = database.begin_write().map(|write| write.stats().map_or(size, |stats| stats.stored_bytes()));
    if stored.is_ok_and(|stored| stored * SLACK < size)
        && let Err(error) = database.compact()
    {
        tracing::warn!(%error, "the store's file could not be made smaller; it works as it is");
    }
}

/// Secrets lie in this file: its owner alone reads it.
pub(super) fn restrict(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}
