//! The store's file: objects and the revision in one redb database.
//!
//! A group of writes is one transaction, so it is there whole or not at all.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use imbl::OrdMap;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, backends::InMemoryBackend};

use super::{Change, ChangeKind, Entry, Error};

/// key → revision (8 bytes, big-endian) and the object's JSON.
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");

/// Version of the file's layout; a newer one is refused.
const FORMAT: u64 = 1;

pub(super) struct Disk {
    database: Database,
}

impl Disk {
    pub(super) fn open(dir: &Path) -> Result<Disk, Error> {
        let path = dir.join("objects.redb");
        let fail = |reason: String| Error::Open { path: path.display().to_string(), reason };
        std::fs::create_dir_all(dir).map_err(|error| fail(error.to_string()))?;
        let database = Database::create(&path).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => fail("another process has it open; stop that one first".into()),
            other => fail(other.to_string()),
        })?;
        restrict(&path).map_err(|error| fail(error.to_string()))?;
        Ok(Disk { database })
    }

    pub(super) fn in_memory() -> Result<Disk, Error> {
        let database = Database::builder()
            .create_with_backend(InMemoryBackend::new())
            .map_err(|error| Error::Open { path: "memory".into(), reason: error.to_string() })?;
        Ok(Disk { database })
    }

    pub(super) fn load(&self) -> Result<(u64, OrdMap<String, Arc<Entry>>), Error> {
        self.read().map_err(|reason| Error::Open { path: "objects.redb".into(), reason })
    }

    fn read(&self) -> Result<(u64, OrdMap<String, Arc<Entry>>), String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let begin = self.database.begin_write().map_err(|error| text(&error))?;
        let format = {
            begin.open_table(OBJECTS).map_err(|error| text(&error))?;
            let mut facts = begin.open_table(FACTS).map_err(|error| text(&error))?;
            let found = facts.get("format").map_err(|error| text(&error))?.map(|value| value.value());
            if found.is_none() {
                facts.insert("format", FORMAT).map_err(|error| text(&error))?;
            }
            found.unwrap_or(FORMAT)
        };
        begin.commit().map_err(|error| text(&error))?;
        if format > FORMAT {
            return Err(format!("it has format {format}, this version reads up to {FORMAT}: use a newer roadstead"));
        }
        let read = self.database.begin_read().map_err(|error| text(&error))?;
        let facts = read.open_table(FACTS).map_err(|error| text(&error))?;
        let revision = facts.get("revision").map_err(|error| text(&error))?.map_or(1, |value| value.value());
        let mut objects = OrdMap::new();
        let table = read.open_table(OBJECTS).map_err(|error| text(&error))?;
        for row in table.iter().map_err(|error| text(&error))? {
            let (key, value) = row.map_err(|error| text(&error))?;
            let value = value.value();
            let Some((head, bytes)) = value.split_first_chunk::<8>() else {
                return Err(format!("the object {} is damaged: restore a backup", key.value()));
            };
            let entry = Entry { revision: u64::from_be_bytes(*head), bytes: Bytes::copy_from_slice(bytes) };
            objects.insert(key.value().to_owned(), Arc::new(entry));
        }
        Ok((revision, objects))
    }

    pub(super) fn write(&mut self, revision: u64, changes: &[Arc<Change>]) -> Result<(), Box<dyn std::error::Error>> {
        let transaction = self.database.begin_write()?;
        {
            let mut objects = transaction.open_table(OBJECTS)?;
            for change in changes {
                if change.kind == ChangeKind::Deleted {
                    objects.remove(change.key.as_str())?;
                } else {
                    let mut value = Vec::with_capacity(8 + change.entry.bytes.len());
                    value.extend_from_slice(&change.entry.revision.to_be_bytes());
                    value.extend_from_slice(&change.entry.bytes);
                    objects.insert(change.key.as_str(), value.as_slice())?;
                }
            }
            transaction.open_table(FACTS)?.insert("revision", revision)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

/// Secrets lie in this file: its owner alone reads it.
fn restrict(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}
