//! The service's own database: items by id, each write on disk before it is answered.

use std::path::Path;

use redb::{Database, ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::Error;

const ITEMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("items");

/// What is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    /// Random and unique.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) quantity: u32,
    /// RFC 3339.
    pub(crate) created_at: String,
}

/// The database.
pub(crate) struct Store(Database);

impl Store {
    /// Opens or makes the database in `folder`.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let made = std::fs::create_dir_all(folder).and_then(|()| {
            // A folder may exist and still not be ours to write to.
            let probe = folder.join(".write-probe");
            std::fs::write(&probe, [])?;
            std::fs::remove_file(probe)
        });
        made.map_err(|source| Error::MakeFolder { path: folder.to_owned(), source })?;
        let path = folder.join("items.redb");
        let opened = || {
            let database = Database::create(&path)?;
            let write = database.begin_write()?;
            write.open_table(ITEMS)?;
            write.commit()?;
            Ok(Store(database))
        };
        opened().map_err(|source| Error::OpenDatabase { path: path.clone(), source })
    }

    /// Fails if the database does not answer.
    pub(crate) fn check(&self) -> Result<(), redb::Error> {
        self.0.begin_read()?.open_table(ITEMS)?;
        Ok(())
    }

    /// Stores an item.
    pub(crate) fn put(&self, item: &Item) -> Result<(), redb::Error> {
        let write = self.0.begin_write()?;
        // A struct of texts and a number always serialises.
        let bytes = serde_json::to_vec(item).unwrap_or_default();
        write.open_table(ITEMS)?.insert(item.id.as_str(), bytes.as_slice())?;
        write.commit()?;
        Ok(())
    }

    /// Returns an item.
    pub(crate) fn get(&self, id: &str) -> Result<Option<Item>, redb::Error> {
        let found = self.0.begin_read()?.open_table(ITEMS)?.get(id)?;
        Ok(found.and_then(|bytes| serde_json::from_slice(bytes.value()).ok()))
    }

    /// Removes an item; returns whether it was there.
    pub(crate) fn remove(&self, id: &str) -> Result<bool, redb::Error> {
        let write = self.0.begin_write()?;
        let removed = write.open_table(ITEMS)?.remove(id)?.is_some();
        write.commit()?;
        Ok(removed)
    }

    /// Returns at most `limit` items whose ids follow `after`, in the order of their ids.
    pub(crate) fn list(&self, after: &str, limit: usize) -> Result<Vec<Item>, redb::Error> {
        let table = self.0.begin_read()?.open_table(ITEMS)?;
        let mut items = Vec::new();
        for entry in table.range(after..)? {
            let (id, bytes) = entry?;
            if items.len() == limit {
                break;
            }
            if id.value() != after
                && let Ok(item) = serde_json::from_slice(bytes.value())
            {
                items.push(item);
            }
        }
        Ok(items)
    }
}
