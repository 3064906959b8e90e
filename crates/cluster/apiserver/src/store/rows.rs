//! How objects and changes lie in the store's file: tables, rows and their checksums.

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};

use super::Change;

/// The file's name in the store's folder.
pub(super) const FILE: &str = "objects.redb";
/// key → revision (8 bytes, big-endian), checksum (4 bytes) and the object's JSON, sealed or plain.
pub(super) const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
/// revision → what was before it.
pub(super) const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
pub(super) const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");
/// Version of the file's layout; a newer one is refused, an older one is brought up to it.
pub(super) const FORMAT: u64 = 2;

/// Names an error by its text.
pub(super) fn text(error: impl std::error::Error) -> String {
    error.to_string()
}

fn sum(parts: &[&[u8]]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    for part in parts {
        crc.update(part);
    }
    crc.sum().to_be_bytes()
}

/// Returns an object's row.
pub(super) fn checksummed(key: &str, revision: u64, sealed: &[u8]) -> Vec<u8> {
    let revision = revision.to_be_bytes();
    let mut row = Vec::with_capacity(12 + sealed.len());
    row.extend_from_slice(&revision);
    row.extend_from_slice(&sum(&[key.as_bytes(), &revision, sealed]));
    row.extend_from_slice(sealed);
    row
}

/// Returns revision and value of an object's row, if its checksum is right.
pub(super) fn checked<'a>(key: &str, row: &'a [u8]) -> Option<(u64, &'a [u8])> {
    let (revision, rest) = row.split_first_chunk::<8>()?;
    let (found, sealed) = rest.split_first_chunk::<4>()?;
    (sum(&[key.as_bytes(), revision, sealed]) == *found).then(|| (u64::from_be_bytes(*revision), sealed))
}

/// A row of the log.
pub(super) struct Logged<'a> {
    /// When it happened, in seconds since 1970.
    pub(super) at: u64,
    pub(super) key: String,
    /// The object before it, and its revision.
    pub(super) previous: Option<(u64, &'a [u8])>,
    /// For a deletion: the object as it was last.
    pub(super) deleted: Option<&'a [u8]>,
}

/// Returns a change's row: checksum, time, key, what was before, what was deleted.
pub(super) fn encode(change: &Change, at: u64, previous: Option<&(u64, Vec<u8>)>, deleted: Option<&[u8]>) -> Vec<u8> {
    let mut row = vec![0; 4];
    row.extend_from_slice(&at.to_be_bytes());
    put(&mut row, Some(change.key.as_bytes()));
    row.extend_from_slice(&previous.map_or(0, |(revision, _)| *revision).to_be_bytes());
    put(&mut row, previous.map(|(_, sealed)| sealed.as_slice()));
    put(&mut row, deleted);
    let found = sum(&[&change.revision.to_be_bytes(), &row[4..]]);
    row[..4].copy_from_slice(&found);
    row
}

/// Writes a length and so many bytes; nothing at all is written as the largest length.
fn put(row: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let length = bytes.map_or(u32::MAX, |bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1));
    row.extend_from_slice(&length.to_be_bytes());
    row.extend_from_slice(bytes.unwrap_or_default());
}

/// The row ends before what it says is in it.
struct Cut;

fn take<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Cut> {
    let (length, after) = rest.split_first_chunk::<4>().ok_or(Cut)?;
    let length = u32::from_be_bytes(*length);
    if length == u32::MAX {
        *rest = after;
        return Ok(None);
    }
    let (bytes, after) = after.split_at_checked(length as usize).ok_or(Cut)?;
    *rest = after;
    Ok(Some(bytes))
}

impl Logged<'_> {
    /// Reads a change's row, if its checksum is right.
    pub(super) fn decode(revision: u64, row: &[u8]) -> Option<Logged<'_>> {
        let (found, mut rest) = row.split_first_chunk::<4>()?;
        if sum(&[&revision.to_be_bytes(), rest]) != *found {
            return None;
        }
        let (at, after) = rest.split_first_chunk::<8>()?;
        rest = after;
        let key = std::str::from_utf8(take(&mut rest).ok()??).ok()?.to_owned();
        let (before, after) = rest.split_first_chunk::<8>()?;
        rest = after;
        let previous = take(&mut rest).ok()?.map(|sealed| (u64::from_be_bytes(*before), sealed));
        let deleted = take(&mut rest).ok()?;
        Some(Logged { at: u64::from_be_bytes(*at), key, previous, deleted })
    }
}

/// Makes the tables of a new file, and brings an older layout up to this one.
pub(super) fn prepare(database: &Database) -> Result<(), String> {
    let transaction = database.begin_write().map_err(text)?;
    {
        let mut objects = transaction.open_table(OBJECTS).map_err(text)?;
        transaction.open_table(LOG).map_err(text)?;
        let mut facts = transaction.open_table(FACTS).map_err(text)?;
        let fact = |facts: &redb::Table<'_, &str, u64>, name: &str| {
            facts.get(name).map(|value| value.map(|value| value.value())).map_err(text)
        };
        let format = fact(&facts, "format")?.unwrap_or(FORMAT);
        if format > FORMAT {
            return Err(format!("it has format {format}, this version reads up to {FORMAT}: use a newer roadstead"));
        }
        if format == 1 {
            // The first layout had neither checksums nor a log.
            let mut old = Vec::new();
            for row in objects.iter().map_err(text)? {
                let (key, value) = row.map_err(text)?;
                old.push((key.value().to_owned(), value.value().to_vec()));
            }
            for (key, value) in old {
                let damaged = || format!("the object {key} is damaged: restore a snapshot");
                let (revision, json) = value.split_first_chunk::<8>().ok_or_else(damaged)?;
                let row = checksummed(&key, u64::from_be_bytes(*revision), json);
                objects.insert(key.as_str(), row.as_slice()).map_err(text)?;
            }
            let revision = fact(&facts, "revision")?.unwrap_or(1);
            facts.insert("compacted", revision).map_err(text)?;
        }
        facts.insert("format", FORMAT).map_err(text)?;
    }
    transaction.commit().map_err(text)
}

/// Returns the revision that a file is at.
pub(super) fn revision(read: &ReadTransaction) -> Result<u64, String> {
    let facts = read.open_table(FACTS).map_err(text)?;
    Ok(facts.get("revision").map_err(text)?.map_or(1, |value| value.value()))
}

/// Returns a read-only view of a file that no store has open.
pub(super) fn open(path: &std::path::Path) -> Result<(Database, ReadTransaction), String> {
    let database = Database::open(path).map_err(text)?;
    let read = database.begin_read().map_err(text)?;
    Ok((database, read))
}
