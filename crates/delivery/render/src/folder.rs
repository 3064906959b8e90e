//! Folders to maps of files.

use std::{fs, path::Path};

use helm::{
    Files,
    archive::Bounds,
    ignore::{Ignore, Kind},
};

use crate::Error;

/// Deepest folder that is read.
const DEEPEST: usize = 50;

/// Reads a chart's folder without what its `.helmignore` names. Links are followed as Helm follows them.
pub(crate) fn read(folder: &Path, bounds: Bounds) -> Result<Files, Error> {
    let rules = folder.join(".helmignore");
    let rules = if rules.is_file() { text(&rules)? } else { String::new() };
    let mut reader = Reader { ignore: Ignore::parse(&rules)?, bounds, total: 0, files: Files::new() };
    reader.folder(folder, "", 0)?;
    Ok(reader.files)
}

fn text(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

struct Reader {
    ignore: Ignore,
    bounds: Bounds,
    total: u64,
    files: Files,
}

impl Reader {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), Error> {
        let fail = |reason: String| Error::Folder { path: folder.to_owned(), reason };
        if depth > DEEPEST {
            return Err(fail(format!("folders nest more than {DEEPEST} levels; does a link lead back?")));
        }
        let entries = fs::read_dir(folder).map_err(|source| Error::Read { path: folder.to_owned(), source })?;
        for entry in entries {
            let entry = entry.map_err(|source| Error::Read { path: folder.to_owned(), source })?;
            let path = entry.path();
            let Ok(name) = entry.file_name().into_string() else {
                return Err(fail("a file's name is no UTF-8 text".to_owned()));
            };
            let inner = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let kind = entry.file_type().map_err(|source| Error::Read { path: path.clone(), source })?;
            let metadata = if kind.is_symlink() { fs::metadata(&path) } else { entry.metadata() };
            let metadata = metadata.map_err(|source| Error::Read { path: path.clone(), source })?;
            if metadata.is_dir() {
                if !self.ignore.matches(&inner, Kind::Folder) {
                    self.folder(&path, &inner, depth + 1)?;
                }
            } else if !self.ignore.matches(&inner, Kind::File) {
                if !metadata.is_file() {
                    return Err(fail(format!("{inner} is no regular file")));
                }
                self.file(&path, inner, metadata.len())?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, inner: String, size: u64) -> Result<(), Error> {
        let fail = |reason: String| Err(Error::Folder { path: path.to_owned(), reason });
        self.total += size;
        if size > self.bounds.file {
            return fail(format!("the file is larger than {} bytes", self.bounds.file));
        }
        if self.total > self.bounds.total || self.files.len() >= self.bounds.files {
            return fail(
                "the folder holds more than a chart may; name what does not belong to it in .helmignore".to_owned(),
            );
        }
        let mut bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        self.files.insert(inner, bytes);
        Ok(())
    }
}
