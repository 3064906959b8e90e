//! The last good snapshot on disk, readable by its owner only.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use routes::Snapshot;
use serde::{Deserialize, Serialize};

use crate::error::Error;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Kept<S> {
    version: u32,
    snapshot: S,
}

fn file(data: &Path) -> PathBuf {
    data.join("snapshot.json")
}

/// Makes the data folder, for its owner only.
pub(crate) fn make_folder(data: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(|source| Error::MakeFolder { path: data.to_owned(), source })
}

/// Returns the last snapshot that was kept; a file that cannot be read is said in the log and counts as none.
pub(crate) fn load(data: &Path) -> Option<Snapshot> {
    let path = file(data);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "failed to read the last routes; waiting for the control plane");
            return None;
        }
    };
    match serde_json::from_slice::<Kept<Snapshot>>(&bytes) {
        Ok(kept) if kept.version == VERSION => Some(kept.snapshot),
        Ok(kept) => {
            tracing::warn!(path = %path.display(), version = kept.version, "the last routes were kept by another version; waiting for the control plane");
            None
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "failed to understand the last routes; waiting for the control plane");
            None
        }
    }
}

/// Keeps `snapshot`: a reader sees all of the old file or all of the new one, also after a power cut.
pub(crate) fn save(data: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let temporary = data.join(format!("snapshot.json.{}", std::process::id()));
    let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    out.write_all(&serde_json::to_vec(&Kept { version: VERSION, snapshot })?)?;
    out.sync_all()?;
    fs::rename(&temporary, file(data))?;
    fs::File::open(data)?.sync_all()
}

/// Removes everything that a proxy keeps in `data`. The proxy has to be stopped first.
pub fn purge(data: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(data) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Purge { path: data.to_owned(), source }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_what_is_broken_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("proxy");
        make_folder(&data).unwrap();
        assert_eq!(load(&data), None);
        save(&data, &Snapshot::default()).unwrap();
        assert_eq!(load(&data), Some(Snapshot::default()));
        assert_eq!(fs::metadata(file(&data)).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(file(&data), "{").unwrap();
        assert_eq!(load(&data), None);
        purge(&data).unwrap();
        purge(&data).unwrap();
    }
}
