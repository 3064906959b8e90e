//! Where files come from, and which of them a kustomization may read.

use std::{collections::BTreeMap, rc::Rc};

use gotmpl::sprig::clean;

use crate::{
    fail::{Cause, Fail, Step},
    repo::Repository,
};

/// Files by their path, for example `overlays/prod/kustomization.yaml`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What stands at a path, with symbolic links followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file at this real path.
    File(String),
    /// A folder at this real path.
    Folder(String),
}

/// Where a build reads from. Paths are absolute and have no `.` or `..` in them.
pub trait Source {
    /// Returns what stands at a path, or `None`.
    fn entry(&self, path: &str) -> Option<Entry>;
    /// Reads a file; the text says why it cannot.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
    /// Fetches a repository and returns the real path of its root; the text says why it cannot.
    fn fetch(&self, repository: &Repository) -> Result<String, String>;
}

impl Source for Files {
    fn entry(&self, path: &str) -> Option<Entry> {
        let key = path.trim_start_matches('/');
        if self.contains_key(key) {
            return Some(Entry::File(path.to_owned()));
        }
        let folder = format!("{key}/");
        let inside =
            key.is_empty() || self.range(folder.clone()..).next().is_some_and(|(name, _)| name.starts_with(&folder));
        inside.then(|| Entry::Folder(path.to_owned()))
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.get(path.trim_start_matches('/')).cloned().ok_or_else(|| format!("open {path}: no such file or directory"))
    }

    fn fetch(&self, repository: &Repository) -> Result<String, String> {
        Err(format!("repositories are not fetched here: {}", repository.raw))
    }
}

/// What a kustomization may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restriction {
    /// Files in its own folder and below (`LoadRestrictionsRootOnly`).
    #[default]
    RootOnly,
    /// Any file (`LoadRestrictionsNone`).
    None,
}

pub(crate) fn join(root: &str, path: &str) -> String {
    clean(&format!("{root}/{path}"))
}

fn is_below(path: &str, root: &str) -> bool {
    root == "/" || path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
}

/// The folder of a kustomization, and who asked for it.
pub(crate) struct Loader<'a> {
    pub(crate) root: String,
    source: &'a dyn Source,
    restriction: Restriction,
    referrer: Option<Rc<Loader<'a>>>,
    repository: Option<(Repository, String)>,
    pub(crate) depth: usize,
}

impl<'a> Loader<'a> {
    /// Starts at a folder.
    pub(crate) fn start(source: &'a dyn Source, path: &str, restriction: Restriction) -> Step<Rc<Self>> {
        if let Ok(repository) = Repository::read(path) {
            return Self::clone_of(source, repository, None);
        }
        let path = join("/", path);
        let root =
            folder(source, &path).map_err(|fail| fail.under("must build at directory: not a valid directory"))?;
        Ok(Rc::new(Self { root, source, restriction, referrer: None, repository: None, depth: 0 }))
    }

    fn clone_of(source: &'a dyn Source, repository: Repository, referrer: Option<Rc<Self>>) -> Step<Rc<Self>> {
        let clone = source.fetch(&repository).map_err(|text| Fail::new(Cause::Remote, text))?;
        let path = join(&clone, &repository.folder);
        let root = match source.entry(&path) {
            Some(Entry::Folder(root)) => root,
            Some(Entry::File(file)) => {
                let name = file.rsplit('/').next().unwrap_or_default();
                return Err(Fail::new(Cause::Load, format!("'{path}' refers to file '{name}'; expecting directory")));
            }
            None => return Err(absent(&path)),
        };
        if !is_below(&root, &clone) {
            return Err(Fail::new(Cause::Load, format!("{path:?} refers to directory outside of repo {clone:?}")));
        }
        let depth = referrer.as_ref().map_or(0, |referrer| referrer.depth + 1);
        let restriction = Restriction::RootOnly;
        Ok(Rc::new(Self { root, source, restriction, referrer, repository: Some((repository, clone)), depth }))
    }

    /// Goes to a folder that this kustomization names.
    pub(crate) fn enter(self: &Rc<Self>, path: &str) -> Step<Rc<Self>> {
        let no = |text: String| Err(Fail::new(Cause::Load, text));
        if path.is_empty() {
            return no("new root cannot be empty".to_owned());
        }
        if let Ok(repository) = Repository::read(path) {
            self.refuse_repository_cycle(&repository)?;
            return Self::clone_of(self.source, repository, Some(self.clone()));
        }
        if path.starts_with('/') {
            return no(format!("new root '{path}' cannot be absolute"));
        }
        if path.split('/').any(|part| part != ".." && part.contains("..")) {
            return no(format!(
                "path {path:?} is ambiguous: resolves to {:?} after normalization, which is likely not the intended target; check for YAML indentation errors in your kustomization file",
                clean(path)
            ));
        }
        let root = folder(self.source, &join(&self.root, path)).map_err(|fail| {
            let not = if fail.malformed {
                "must build at directory"
            } else {
                "must build at directory: not a valid directory"
            };
            Fail { malformed: false, ..fail }.under(not)
        })?;
        if let Some(clone) = self.clone_dir()
            && !is_below(&root, clone)
        {
            return no(format!(
                "security; bases in kustomizations found in cloned git repos must be within the repo, but base '{root}' is outside '{clone}'"
            ));
        }
        self.refuse_cycle(&root)?;
        Ok(Rc::new(Self {
            root,
            source: self.source,
            restriction: self.restriction,
            referrer: Some(self.clone()),
            repository: None,
            depth: self.depth + 1,
        }))
    }

    fn clone_dir(&self) -> Option<&str> {
        match &self.repository {
            Some((_, clone)) => Some(clone),
            None => self.referrer.as_ref()?.clone_dir(),
        }
    }

    fn refuse_cycle(&self, root: &str) -> Step<()> {
        if is_below(&self.root, root) {
            return Err(Fail::new(
                Cause::Load,
                format!("cycle detected: candidate root '{root}' contains visited root '{}'", self.root),
            ));
        }
        self.referrer.as_ref().map_or(Ok(()), |referrer| referrer.refuse_cycle(root))
    }

    fn refuse_repository_cycle(&self, repository: &Repository) -> Step<()> {
        if let Some((own, _)) = &self.repository
            && own.raw.starts_with(&repository.raw)
        {
            return Err(Fail::new(
                Cause::Load,
                format!("cycle detected: URI '{}' referenced by previous URI '{}'", repository.raw, own.raw),
            ));
        }
        self.referrer.as_ref().map_or(Ok(()), |referrer| referrer.refuse_repository_cycle(repository))
    }

    /// Reads a file that this kustomization names.
    pub(crate) fn read(&self, path: &str, most: usize) -> Step<Rc<[u8]>> {
        let real = self.locate(path)?;
        let bytes = self.source.read(&real).map_err(|text| Fail::new(Cause::Load, text))?;
        if bytes.len() > most {
            return Err(Fail::new(Cause::Limit, format!("'{real}' is larger than {most} bytes")));
        }
        Ok(bytes.into())
    }

    /// Returns the real path of a file that this kustomization may read.
    pub(crate) fn locate(&self, path: &str) -> Step<String> {
        if path.starts_with("http://") || path.starts_with("https://") {
            return Err(Fail::new(Cause::Unsupported, format!("files are not read from the web: {path}")));
        }
        let path = if path.starts_with('/') { clean(path) } else { join(&self.root, path) };
        let entry = self.source.entry(&path);
        match (entry, self.restriction) {
            (None, _) => Err(absent(&path)),
            (Some(Entry::Folder(_)), Restriction::RootOnly) => {
                Err(Fail::new(Cause::Load, format!("'{path}' must resolve to a file")))
            }
            (Some(Entry::Folder(_)), Restriction::None) => {
                Err(Fail::new(Cause::Load, format!("read {path}: is a directory")))
            }
            (Some(Entry::File(real)), Restriction::RootOnly) if !is_below(&real, &self.root) => {
                Err(Fail::new(Cause::Load, format!("security; file '{path}' is not in or below '{}'", self.root)))
            }
            (Some(Entry::File(real)), _) => Ok(real),
        }
    }

    /// Reads a file if it is there.
    pub(crate) fn read_if_there(&self, name: &str, most: usize) -> Option<Rc<[u8]>> {
        match self.source.entry(&join(&self.root, name)) {
            Some(Entry::File(_)) => self.read(name, most).ok(),
            _ => None,
        }
    }
}

fn absent(path: &str) -> Fail {
    Fail::new(Cause::Load, format!("evalsymlink failure on '{path}' : lstat {path}: no such file or directory"))
}

fn folder(source: &dyn Source, path: &str) -> Step<String> {
    match source.entry(path) {
        Some(Entry::Folder(root)) => Ok(root),
        Some(Entry::File(_)) => {
            Err(Fail { malformed: true, ..Fail::new(Cause::Load, format!("'{path}': file is not directory")) })
        }
        None => Err(absent(path)),
    }
}
