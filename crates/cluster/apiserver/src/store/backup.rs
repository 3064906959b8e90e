//! Snapshots of the store in files: taken while it works, checked, and restored.

use std::{fs, path::Path};

use redb::{Database, ReadTransaction, ReadableTable};

use super::{
    Error,
    disk::restrict,
    rows::{self, FACTS, LOG, Logged, OBJECTS},
};

/// How far a restored store's revisions are moved on: what was written after its snapshot
/// had revisions too, and nobody may take an old one for a new one.
const STEP: u64 = 1_000_000;

/// What a store's file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The revision that it is at.
    pub revision: u64,
    /// Objects, each with the right checksum.
    pub objects: usize,
    /// Changes that are remembered, each with the right checksum.
    pub changes: usize,
}

/// Checks a snapshot, or the store in a folder. Nobody may have it open.
pub fn check(path: &Path) -> Result<Report, Error> {
    let path = &if path.is_dir() { path.join(rows::FILE) } else { path.to_owned() };
    inspect(path).map_err(|reason| Error::Damaged { path: path.display().to_string(), reason })
}

fn inspect(path: &Path) -> Result<Report, String> {
    let mut database = Database::open(path).map_err(rows::text)?;
    if !database.check_integrity().map_err(rows::text)? {
        return Err("its pages were damaged, and have been repaired as far as they could be".into());
    }
    drop(database);
    let (_database, read) = rows::open(path)?;
    let mut report = Report { revision: rows::revision(&read)?, objects: 0, changes: 0 };
    let objects = read.open_table(OBJECTS).map_err(rows::text)?;
    for row in objects.iter().map_err(rows::text)? {
        let (key, value) = row.map_err(rows::text)?;
        rows::checked(key.value(), value.value()).ok_or_else(|| format!("the checksum of {} is wrong", key.value()))?;
        report.objects += 1;
    }
    let log = read.open_table(LOG).map_err(rows::text)?;
    for row in log.iter().map_err(rows::text)? {
        let (revision, value) = row.map_err(rows::text)?;
        Logged::decode(revision.value(), value.value())
            .ok_or_else(|| format!("the checksum of change {} is wrong", revision.value()))?;
        report.changes += 1;
    }
    Ok(report)
}

/// Makes a store in `dir` from a snapshot. A store that is there already is left alone: move it away first.
pub fn restore(snapshot: &Path, dir: &Path) -> Result<Report, Error> {
    let report = check(snapshot)?;
    let target = dir.join(rows::FILE);
    let fail = |reason: String| Error::Restore { path: target.display().to_string(), reason };
    if target.exists() {
        return Err(fail("a store is there already: move it away first".into()));
    }
    fs::create_dir_all(dir).map_err(|error| fail(error.to_string()))?;
    let (_database, read) = rows::open(snapshot).map_err(fail)?;
    write(&read, &target, STEP).map_err(fail)?;
    Ok(Report { revision: report.revision + STEP, changes: 0, ..report })
}

/// Writes a view of a store into a file of its own; it is there whole or not at all.
pub(super) fn save(read: &ReadTransaction, target: &Path) -> Result<(), Error> {
    write(read, target, 0).map_err(|reason| Error::Snapshot { path: target.display().to_string(), reason })
}

fn write(read: &ReadTransaction, target: &Path, step: u64) -> Result<(), String> {
    let draft = target.with_extension("draft");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.to_string()),
        _ => {}
    }
    let written = copy(read, &draft, step).and_then(|()| fs::rename(&draft, target).map_err(|error| error.to_string()));
    if written.is_err() {
        if let Err(error) = fs::remove_file(&draft) {
            tracing::debug!(%error, "a draft of a snapshot stays; the next one overwrites it");
        }
        return written;
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| error.to_string())
}

fn copy(read: &ReadTransaction, draft: &Path, step: u64) -> Result<(), String> {
    let database = Database::create(draft).map_err(rows::text)?;
    restrict(draft).map_err(|error| error.to_string())?;
    let transaction = database.begin_write().map_err(rows::text)?;
    {
        let mut objects = transaction.open_table(OBJECTS).map_err(rows::text)?;
        for row in read.open_table(OBJECTS).map_err(rows::text)?.iter().map_err(rows::text)? {
            let (key, value) = row.map_err(rows::text)?;
            objects.insert(key.value(), value.value()).map_err(rows::text)?;
        }
        let mut log = transaction.open_table(LOG).map_err(rows::text)?;
        // Restored revisions go on elsewhere: the changes before lead nowhere.
        if step == 0 {
            for row in read.open_table(LOG).map_err(rows::text)?.iter().map_err(rows::text)? {
                let (revision, value) = row.map_err(rows::text)?;
                log.insert(revision.value(), value.value()).map_err(rows::text)?;
            }
        }
        let mut facts = transaction.open_table(FACTS).map_err(rows::text)?;
        for row in read.open_table(FACTS).map_err(rows::text)?.iter().map_err(rows::text)? {
            let (name, value) = row.map_err(rows::text)?;
            facts.insert(name.value(), value.value()).map_err(rows::text)?;
        }
        let revision = rows::revision(read)? + step;
        facts.insert("revision", revision).map_err(rows::text)?;
        if step > 0 {
            facts.insert("compacted", revision).map_err(rows::text)?;
        }
    }
    transaction.commit().map_err(rows::text)
}
