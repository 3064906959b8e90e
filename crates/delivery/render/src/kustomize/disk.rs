//! The files of this machine, and repositories that the machine's git fetches.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use kustomize::{Entry, Repository, Source};
use tempfile::TempDir;

use crate::Error;

/// Largest file that is read.
const LARGEST: u64 = 64 << 20;

/// This machine's files.
#[derive(Default)]
pub(super) struct Disk {
    /// Each address is fetched once; the folders go with this value.
    fetched: RefCell<HashMap<String, Result<TempDir, String>>>,
}

impl Disk {
    /// Returns the absolute path of a folder as the command line has it; URLs stay as they are.
    pub(super) fn start(&self, folder: &str) -> Result<String, Error> {
        if folder.contains("://") || folder.starts_with("git@") {
            return Ok(folder.to_owned());
        }
        let path = Path::new(folder);
        let absolute = if path.is_absolute() {
            path.to_owned()
        } else {
            let here = std::env::current_dir().map_err(|source| Error::Read { path: ".".into(), source })?;
            here.join(path)
        };
        // What is not there may be a repository's address without a scheme.
        if !absolute.exists() && folder.contains('/') && !folder.starts_with('.') {
            return Ok(folder.to_owned());
        }
        absolute
            .into_os_string()
            .into_string()
            .map_err(|path| Error::Folder { path: path.into(), reason: "its path is no UTF-8 text".to_owned() })
    }
}

impl Source for Disk {
    fn entry(&self, path: &str) -> Option<Entry> {
        let real = fs::canonicalize(path).ok()?;
        let folder = real.is_dir();
        let real = real.into_os_string().into_string().ok()?;
        Some(if folder { Entry::Folder(real) } else { Entry::File(real) })
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let size = fs::metadata(path).map_err(|error| format!("open {path}: {error}"))?.len();
        if size > LARGEST {
            return Err(format!("{path} is larger than {LARGEST} bytes"));
        }
        fs::read(path).map_err(|error| format!("open {path}: {error}"))
    }

    fn fetch(&self, repository: &Repository) -> Result<String, String> {
        let key = format!("{}?ref={}&submodules={}", repository.url, repository.revision, repository.submodules);
        if !self.fetched.borrow().contains_key(&key) {
            let got = clone(repository);
            self.fetched.borrow_mut().insert(key.clone(), got);
        }
        match self.fetched.borrow().get(&key) {
            Some(Ok(folder)) => {
                let real = fs::canonicalize(folder.path()).map_err(|error| error.to_string())?;
                real.into_os_string().into_string().map_err(|_| "the temporary folder's path is no text".to_owned())
            }
            Some(Err(reason)) => Err(reason.clone()),
            None => Err("nothing was fetched".to_owned()),
        }
    }
}

fn clone(repository: &Repository) -> Result<TempDir, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let revision = if repository.revision.is_empty() { "HEAD" } else { &repository.revision };
    let path = folder.path();
    git(repository, path, &["init", "--quiet"])?;
    git(repository, path, &["remote", "add", "origin", "--", &repository.url])?;
    // A revision that begins with a dash would be read as an option.
    if revision.starts_with('-') {
        return Err(format!("{revision:?} is no revision"));
    }
    git(repository, path, &["fetch", "--quiet", "--depth=1", "origin", revision])?;
    git(repository, path, &["checkout", "--quiet", "FETCH_HEAD"])?;
    if repository.submodules {
        git(repository, path, &["submodule", "update", "--quiet", "--init", "--recursive"])?;
    }
    Ok(folder)
}

fn git(repository: &Repository, folder: &Path, args: &[&str]) -> Result<(), String> {
    let mut child = Command::new("git")
        .args(args)
        .current_dir(folder)
        // Nobody is there to answer, and a submodule may not reach this machine's files.
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!("{} is fetched with git, which is not installed here", repository.raw)
            }
            _ => format!("git did not start: {error}"),
        })?;
    let begun = base::clock::instant();
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if begun.elapsed() > repository.timeout => {
                let _gone = child.kill();
                let _reaped = child.wait();
                return Err(format!("hit {} s timeout running 'git {}'", repository.timeout.as_secs(), args.join(" ")));
            }
            None => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        use std::io::Read as _;
        let _cut = stderr.by_ref().take(4096).read_to_string(&mut said);
    }
    Err(format!("failed to run 'git {}' for {}: {}", args.join(" "), repository.raw, said.trim()))
}
