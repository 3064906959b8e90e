//! Folders and repositories that kustomizations are read from.
//!
//! Decides nothing: which paths may be read is the engine's to say. Repositories are fetched by
//! the machine's `git` into folders that go with the [`Disk`].

mod git;

use std::{cell::RefCell, collections::HashMap, path::Path};

use kustomize::{Built, Entry, Error, Options, Repository, Source};
use tempfile::TempDir;

/// The machine's files, and clones of repositories for as long as it lives.
#[derive(Debug, Default)]
pub struct Disk {
    clones: RefCell<HashMap<(String, String), TempDir>>,
}

impl Source for Disk {
    fn entry(&self, path: &str) -> Option<Entry> {
        let real = std::fs::canonicalize(path).ok()?;
        let text = real.to_str()?.to_owned();
        Some(if real.is_dir() { Entry::Folder(text) } else { Entry::File(text) })
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let meta = std::fs::metadata(path).map_err(|error| format!("open {path}: {error}"))?;
        if !meta.is_file() {
            return Err(format!("open {path}: it is no regular file"));
        }
        std::fs::read(path).map_err(|error| format!("open {path}: {error}"))
    }

    fn fetch(&self, repository: &Repository) -> Result<String, String> {
        let key = (repository.url.clone(), repository.revision.clone());
        let mut clones = self.clones.borrow_mut();
        if !clones.contains_key(&key) {
            clones.insert(key.clone(), git::fetch(repository)?);
        }
        let folder = clones.get(&key).ok_or("the clone is gone")?;
        let real = folder.path().canonicalize().map_err(|error| format!("{}: {error}", folder.path().display()))?;
        real.to_str().map(str::to_owned).ok_or_else(|| "the path of the clone is no text".to_owned())
    }
}

/// Builds the kustomization in a folder, or in a repository that `path` is the address of.
///
/// Relative paths are looked up from the folder that the process is in.
pub fn build(path: &str, options: &Options<'_>) -> Result<Built, Error> {
    let absolute = std::path::absolute(path).ok().filter(|absolute| absolute.exists());
    let path = absolute.as_deref().and_then(Path::to_str).unwrap_or(path);
    kustomize::build(&Disk::default(), path, options)
}

/// Writes what was built: to a file, or one file per resource if `output` is a folder.
pub fn write(built: &Built, output: &Path) -> std::io::Result<()> {
    if !output.is_dir() {
        return std::fs::write(output, built.text());
    }
    let mut namespaces: Vec<&str> = built.resources.iter().filter_map(|resource| resource.scope.as_deref()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    for resource in &built.resources {
        std::fs::write(output.join(resource.file_name(namespaces.len())), &resource.text)?;
    }
    Ok(())
}
