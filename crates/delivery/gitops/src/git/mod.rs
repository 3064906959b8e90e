//! The git host: bare repositories in a folder, reached through child `git` processes only.
//!
//! It never runs hooks, never reads anybody's git configuration and never lets the
//! environment through. What the platform itself commits goes the same way as a push:
//! a branch only moves from the commit that was read.

pub mod http;
mod process;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use base::{
    clock,
    fault::{Class, Fault},
    names::DnsLabel,
};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use process::Git;

/// A repository's name: a DNS label, so that it is a safe folder name too.
pub type Name = DnsLabel;

/// Branch that new repositories have.
pub const BRANCH: &str = "main";

/// Where the git host is reached from within: `https://git.cluster.local/<name>.git`.
pub const URL_PREFIX: &str = "https://git.cluster.local/";

/// Largest file that is read, in bytes.
const MAX_FILE: usize = 5 << 20;
/// Largest sum of files of one commit that is read, in bytes.
const MAX_TREE: usize = 64 << 20;
/// Commits whose files are kept in memory.
const CACHED_TREES: usize = 64;
/// How often a change is tried again when somebody else commits at the same time.
const COMMIT_ATTEMPTS: usize = 10;

/// A commit's id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commit(String);

impl Commit {
    /// Takes 40 hex digits for a commit.
    pub fn of_hex(text: &str) -> Option<Self> {
        (text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| Self(text.to_owned()))
    }

    /// Returns the 40 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The files of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The commit.
    pub commit: Commit,
    /// Contents by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Paths of symbolic links and submodules, which are not followed.
    pub links: BTreeSet<String>,
}

/// Why the git host could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `git` cannot be run.
    #[error("git cannot be started; install git and see that it is on the PATH")]
    Start {
        /// What the system said.
        source: std::io::Error,
    },
    /// `git` failed.
    #[error("git {operation} failed in repository {repository}: {message}")]
    Run {
        /// The subcommand.
        operation: &'static str,
        /// The repository.
        repository: String,
        /// What git said.
        message: String,
    },
    /// A folder cannot be made, moved or read.
    #[error("failed to {operation} {}", path.display())]
    Folder {
        /// What was tried.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no such repository.
    #[error("repository {name} does not exist on the platform's git host")]
    NoRepository {
        /// Its name.
        name: String,
    },
    /// There is a repository of that name already.
    #[error("repository {name} exists already")]
    Exists {
        /// Its name.
        name: String,
    },
    /// There is no such branch, tag or commit.
    #[error("repository {name} has no branch, tag or commit {revision:?}")]
    NoRevision {
        /// The repository.
        name: String,
        /// What was asked for.
        revision: String,
    },
    /// There is no such file.
    #[error("repository {name} has no file {path:?} on branch {branch}")]
    NoFile {
        /// The repository.
        name: String,
        /// The branch.
        branch: String,
        /// The file.
        path: String,
    },
    /// The files are too large to be read.
    #[error("repository {name} is too large to be read: {what}")]
    TooLarge {
        /// The repository.
        name: String,
        /// Which bound is broken.
        what: String,
    },
    /// Others kept committing to the branch.
    #[error("repository {name}: branch {branch} kept moving while a change was committed")]
    Contended {
        /// The repository.
        name: String,
        /// The branch.
        branch: String,
    },
    /// The change cannot be made to the file as it is.
    #[error("repository {name}: {reason}")]
    Change {
        /// The repository.
        name: String,
        /// Why not.
        reason: String,
    },
}

impl Fault for Error {
    fn class(&self) -> Class {
        match self {
            Error::Start { .. } | Error::Folder { .. } | Error::Contended { .. } | Error::Run { .. } => {
                Class::Transient
            }
            Error::NoRepository { .. }
            | Error::Exists { .. }
            | Error::NoRevision { .. }
            | Error::NoFile { .. }
            | Error::TooLarge { .. }
            | Error::Change { .. } => Class::Stalled,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Error::Start { .. } => "GIT0001",
            Error::Run { .. } => "GIT0002",
            Error::Folder { .. } => "GIT0003",
            Error::NoRepository { .. } => "GIT0004",
            Error::Exists { .. } => "GIT0005",
            Error::NoRevision { .. } => "GIT0006",
            Error::NoFile { .. } => "GIT0007",
            Error::TooLarge { .. } => "GIT0008",
            Error::Contended { .. } => "GIT0009",
            Error::Change { .. } => "GIT0010",
        }
    }
}

/// The git host. Clones share it.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    root: PathBuf,
    changes: broadcast::Sender<Name>,
    trees: Mutex<Trees>,
    revisions: Mutex<Revisions>,
}

/// What revisions mean, as long as nothing moves.
#[derive(Default)]
struct Revisions {
    known: HashMap<(Name, String), Commit>,
    /// Counts every move: an answer of git from before a move is not kept.
    moves: u64,
}

#[derive(Default)]
struct Trees {
    by_commit: HashMap<(Name, Commit), Arc<Tree>>,
    order: VecDeque<(Name, Commit)>,
}

impl Host {
    /// Opens the host whose repositories lie in `root`; the folder is made if it is missing.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = root.into();
        make_folder(&root)?;
        make_folder(&root.join(".archive"))?;
        // Absolute, because git runs elsewhere.
        let root = root.canonicalize().map_err(|source| Error::Folder { operation: "find", path: root, source })?;
        sweep(&root)?;
        let (changes, _) = broadcast::channel(1024);
        Ok(Self(Arc::new(Inner { root, changes, trees: Mutex::default(), revisions: Mutex::default() })))
    }

    /// Returns a receiver of the names of repositories that changed. One that lags must look at all.
    pub fn changes(&self) -> broadcast::Receiver<Name> {
        self.0.changes.subscribe()
    }

    /// Returns where a repository lies.
    fn path(&self, name: &Name) -> PathBuf {
        self.0.root.join(format!("{name}.git"))
    }

    fn git(&self, name: &Name) -> Result<Git, Error> {
        let path = self.path(name);
        if path.is_dir() {
            Ok(Git::new(path, name.as_str()))
        } else {
            Err(Error::NoRepository { name: name.to_string() })
        }
    }

    /// Returns whether there is a repository of that name.
    pub fn exists(&self, name: &Name) -> bool {
        self.path(name).is_dir()
    }

    /// Tells everyone that a repository changed.
    fn changed(&self, name: &Name) {
        {
            let mut revisions = self.0.revisions.lock();
            revisions.moves += 1;
            revisions.known.retain(|(known, _), _| known != name);
        }
        // Nobody listening is not a failure: delivery reads everything when it starts.
        let _listeners = self.0.changes.send(name.clone());
    }

    /// Makes a repository with these files as its first commit.
    pub async fn create(&self, name: &Name, files: &BTreeMap<String, Vec<u8>>, message: &str) -> Result<Commit, Error> {
        let path = self.path(name);
        if path.exists() {
            return Err(Error::Exists { name: name.to_string() });
        }
        let making = self.0.root.join(format!(".making-{name}-{}", unique()));
        let git = Git::new(making.clone(), name.as_str());
        git.init().await?;
        let commit = git.import(BRANCH, None, files, message).await?;
        let moved = std::fs::rename(&making, &path);
        if let Err(source) = moved {
            if path.exists() {
                remove_folder(&making)?;
                return Err(Error::Exists { name: name.to_string() });
            }
            return Err(Error::Folder { operation: "move a new repository to", path, source });
        }
        self.changed(name);
        match commit {
            Some(commit) => Ok(Commit(commit)),
            None => Err(Error::Contended { name: name.to_string(), branch: BRANCH.to_owned() }),
        }
    }

    /// Returns the commit that a branch, tag or commit id means; `HEAD` is the default branch.
    pub async fn resolve(&self, name: &Name, revision: &str) -> Result<Commit, Error> {
        let key = (name.clone(), revision.to_owned());
        let git = self.git(name)?;
        let moves = {
            let revisions = self.0.revisions.lock();
            if let Some(commit) = revisions.known.get(&key) {
                return Ok(commit.clone());
            }
            revisions.moves
        };
        let Some(commit) = git.rev_parse(revision).await? else {
            return Err(Error::NoRevision { name: name.to_string(), revision: revision.to_owned() });
        };
        let commit = Commit(commit);
        let mut revisions = self.0.revisions.lock();
        if revisions.moves == moves {
            revisions.known.insert(key, commit.clone());
        }
        Ok(commit)
    }

    /// Asks git where a branch is now.
    async fn head(&self, git: &Git, name: &Name, branch: &str) -> Result<Commit, Error> {
        match git.rev_parse(&format!("refs/heads/{branch}")).await? {
            Some(commit) => Ok(Commit(commit)),
            None => Err(Error::NoRevision { name: name.to_string(), revision: branch.to_owned() }),
        }
    }

    /// Forgets what revisions mean, so that the next look asks git; for changes that came past this process.
    pub fn forget(&self) {
        let mut revisions = self.0.revisions.lock();
        revisions.moves += 1;
        revisions.known.clear();
    }

    /// Reads the files of a commit.
    pub async fn tree(&self, name: &Name, commit: &Commit) -> Result<Arc<Tree>, Error> {
        let key = (name.clone(), commit.clone());
        let git = self.git(name)?;
        if let Some(tree) = self.0.trees.lock().by_commit.get(&key) {
            return Ok(tree.clone());
        }
        let tree = Arc::new(git.tree(commit).await?);
        let mut trees = self.0.trees.lock();
        if trees.by_commit.insert(key.clone(), tree.clone()).is_none() {
            trees.order.push_back(key);
        }
        while trees.order.len() > CACHED_TREES {
            if let Some(oldest) = trees.order.pop_front() {
                trees.by_commit.remove(&oldest);
            }
        }
        Ok(tree)
    }

    /// Changes one file on a branch and commits it.
    ///
    /// `change` gets the file's text and returns the new one. If somebody else moves the branch meanwhile, it is
    /// called again on their text. If nothing changes, no commit is made and the branch's commit is returned.
    pub async fn edit(
        &self,
        name: &Name,
        branch: &str,
        path: &str,
        message: &str,
        change: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Commit, Error> {
        let git = self.git(name)?;
        for _ in 0..COMMIT_ATTEMPTS {
            let head = self.head(&git, name, branch).await?;
            let tree = self.tree(name, &head).await?;
            let Some(bytes) = tree.files.get(path) else {
                let (name, branch, path) = (name.to_string(), branch.to_owned(), path.to_owned());
                return Err(Error::NoFile { name, branch, path });
            };
            let text = String::from_utf8_lossy(bytes);
            let changed = change(&text).map_err(|reason| Error::Change { name: name.to_string(), reason })?;
            if changed == text {
                return Ok(head);
            }
            let files = BTreeMap::from([(path.to_owned(), changed.into_bytes())]);
            if let Some(commit) = git.import(branch, Some(&head), &files, message).await? {
                self.changed(name);
                return Ok(Commit(commit));
            }
        }
        Err(Error::Contended { name: name.to_string(), branch: branch.to_owned() })
    }

    /// Makes the files of a branch exactly these, in one commit; returns the branch's commit.
    pub async fn replace(
        &self,
        name: &Name,
        files: &BTreeMap<String, Vec<u8>>,
        message: &str,
    ) -> Result<Commit, Error> {
        let git = self.git(name)?;
        for _ in 0..COMMIT_ATTEMPTS {
            let head = self.head(&git, name, BRANCH).await?;
            if self.tree(name, &head).await?.files == *files {
                return Ok(head);
            }
            if let Some(commit) = git.import_all(BRANCH, &head, files, message).await? {
                self.changed(name);
                return Ok(Commit(commit));
            }
        }
        Err(Error::Contended { name: name.to_string(), branch: BRANCH.to_owned() })
    }

    /// Moves a repository out of the way; its history is kept in the archive.
    pub fn archive(&self, name: &Name) -> Result<(), Error> {
        let from = self.path(name);
        if !from.is_dir() {
            return Ok(());
        }
        let time = clock::now().strftime("%Y%m%dT%H%M%S%.6fZ");
        let to = self.0.root.join(".archive").join(format!("{name}-{time}.git"));
        std::fs::rename(&from, &to).map_err(|source| Error::Folder { operation: "archive", path: from, source })?;
        self.changed(name);
        Ok(())
    }
}

/// Returns the repository that a URL of the git host names, or `None` if it is no such URL.
pub fn repository_of(url: &str) -> Option<Name> {
    let rest = url.strip_prefix(URL_PREFIX)?;
    let name = rest.strip_suffix('/').unwrap_or(rest);
    Name::parse(name.strip_suffix(".git").unwrap_or(name)).ok()
}

/// Returns the URL of a repository.
pub fn url_of(name: &Name) -> String {
    format!("{URL_PREFIX}{name}.git")
}

fn make_folder(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| Error::Folder { operation: "make", path: path.to_owned(), source })
}

/// Removes repositories that were being made when the platform stopped.
fn sweep(root: &Path) -> Result<(), Error> {
    let failed = |source| Error::Folder { operation: "read", path: root.to_owned(), source };
    for entry in std::fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with(".making-") {
            remove_folder(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_folder(path: &Path) -> Result<(), Error> {
    std::fs::remove_dir_all(path).map_err(|source| Error::Folder { operation: "remove", path: path.to_owned(), source })
}

/// A part of a name that no other call of this process gets.
fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
