//! Who is logged in to the pages: links that work once, and the sessions they open.
//!
//! Secrets are kept as hashes only; whoever reads the file cannot log in with it.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use client::access::User;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// How long a link works, in seconds.
pub(crate) const LINK: i64 = 15 * 60;
/// How long a session lasts, in seconds.
pub(crate) const SESSION: i64 = 7 * 24 * 3600;
/// The most links or sessions at a time; beyond, the oldest ends.
const MOST: usize = 1000;

#[derive(Clone, Serialize, Deserialize)]
struct Entry {
    user: String,
    groups: Vec<String>,
    /// Unix seconds.
    until: i64,
}

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    /// By hash of the secret.
    links: BTreeMap<String, Entry>,
    sessions: BTreeMap<String, Entry>,
}

/// Links and sessions, in memory and on disk.
pub(crate) struct Sessions {
    file: PathBuf,
    kept: Mutex<Kept>,
}

/// Returns a secret of 244 random bits.
fn secret() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

impl Sessions {
    /// Reads the sessions kept in `folder`, which is made if it is missing.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| Error::MakeFolder { path: folder.to_owned(), source })?;
        let file = folder.join("sessions.json");
        let kept = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(path = %file.display(), %error, "failed to understand the sessions; everyone has to log in again");
                Kept::default()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(source) => return Err(Error::ReadSessions { path: file, source }),
        };
        Ok(Sessions { file, kept: Mutex::new(kept) })
    }

    /// Returns the secret of a new link for `user`.
    pub(crate) fn link(&self, user: &User, now: i64) -> Result<String, Error> {
        let secret = secret();
        let mut kept = self.kept.lock();
        insert(&mut kept.links, hash(&secret), entry(user, now + LINK), now);
        self.save(&kept)?;
        Ok(secret)
    }

    /// Opens a session for whoever holds a link's secret; the link ends. `None` if it is not valid.
    pub(crate) fn open_session(&self, link: &str, now: i64) -> Result<Option<String>, Error> {
        let mut kept = self.kept.lock();
        let Some(found) = kept.links.remove(&hash(link)).filter(|found| found.until > now) else { return Ok(None) };
        let secret = secret();
        insert(&mut kept.sessions, hash(&secret), Entry { until: now + SESSION, ..found }, now);
        self.save(&kept)?;
        Ok(Some(secret))
    }

    /// Returns whose session it is.
    pub(crate) fn user(&self, session: &str, now: i64) -> Option<User> {
        let kept = self.kept.lock();
        let found = kept.sessions.get(&hash(session)).filter(|found| found.until > now)?;
        Some(User { name: found.user.clone(), groups: found.groups.clone(), uid: None })
    }

    /// Ends a session.
    pub(crate) fn close(&self, session: &str) -> Result<(), Error> {
        let mut kept = self.kept.lock();
        kept.sessions.remove(&hash(session));
        self.save(&kept)
    }

    fn save(&self, kept: &Kept) -> Result<(), Error> {
        let temporary = self.file.with_extension("json.new");
        let write = || {
            let mut out =
                fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            out.write_all(&serde_json::to_vec(kept)?)?;
            out.sync_all()?;
            fs::rename(&temporary, &self.file)
        };
        write().map_err(|source| Error::WriteSessions { path: self.file.clone(), source })
    }
}

fn entry(user: &User, until: i64) -> Entry {
    Entry { user: user.name.clone(), groups: user.groups.clone(), until }
}

fn insert(into: &mut BTreeMap<String, Entry>, key: String, entry: Entry, now: i64) {
    into.retain(|_, entry| entry.until > now);
    if into.len() >= MOST
        && let Some(oldest) = into.iter().min_by_key(|(_, entry)| entry.until).map(|(key, _)| key.clone())
    {
        into.remove(&oldest);
    }
    into.insert(key, entry);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn admin() -> User {
        User { name: "system:admin".into(), groups: vec!["system:masters".into()], uid: None }
    }

    #[test]
    fn a_link_works_once_and_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(folder.path()).unwrap();
        let link = sessions.link(&admin(), 100).unwrap();
        let session = sessions.open_session(&link, 100 + LINK - 1).unwrap().unwrap();
        assert_eq!(sessions.user(&session, 1000).unwrap(), admin());
        assert_eq!(sessions.open_session(&link, 101).unwrap(), None, "it was used");
        let late = sessions.link(&admin(), 100).unwrap();
        assert_eq!(sessions.open_session(&late, 100 + LINK).unwrap(), None, "it is over");
        assert_eq!(sessions.open_session("", 100).unwrap(), None);
    }

    #[test]
    fn a_session_survives_a_restart_ends_in_time_and_is_kept_as_a_hash() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(folder.path()).unwrap();
        let session = sessions.open_session(&sessions.link(&admin(), 0).unwrap(), 0).unwrap().unwrap();
        drop(sessions);
        let sessions = Sessions::open(folder.path()).unwrap();
        assert!(sessions.user(&session, SESSION - 1).is_some());
        assert!(sessions.user(&session, SESSION).is_none());
        let file = folder.path().join("sessions.json");
        assert!(!fs::read_to_string(&file).unwrap().contains(&session));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        sessions.close(&session).unwrap();
        assert!(sessions.user(&session, 1).is_none());
    }
}
