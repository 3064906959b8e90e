//! Child `git` processes: how they are started, fed and read.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Stdio,
};

use base::settings;
use tokio::{io::AsyncWriteExt, process::Command};

use super::{Commit, Error, MAX_FILE, MAX_TREE, Tree};

/// Who commits in the platform's name.
const IDENTITY: &str = "Roadstead <platform@roadstead.local>";

/// A repository to run `git` in.
pub(super) struct Git {
    path: PathBuf,
    repository: String,
}

impl Git {
    pub(super) fn new(path: PathBuf, repository: &str) -> Self {
        Self { path, repository: repository.to_owned() }
    }

    /// Returns a command that sees nothing of the surroundings but the PATH.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", settings::env("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned()))
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .args(["-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*"])
            .args(["-c", "receive.autogc=false", "-c", "gc.auto=0", "-c", "core.fsync=committed,reference"])
            .arg("--git-dir")
            .arg(&self.path)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Returns where the repository lies.
    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    pub(super) fn failed(&self, operation: &'static str, stderr: &[u8]) -> Error {
        let message: String = String::from_utf8_lossy(stderr).trim().chars().take(500).collect();
        Error::Run { operation, repository: self.repository.clone(), message }
    }

    pub(super) async fn init(&self) -> Result<(), Error> {
        let mut command = self.command();
        command.args(["init", "--quiet", "--bare", "--template=", &format!("--initial-branch={}", super::BRANCH)]);
        let output = command.output().await.map_err(|source| Error::Start { source })?;
        if output.status.success() { Ok(()) } else { Err(self.failed("init", &output.stderr)) }
    }

    pub(super) async fn rev_parse(&self, revision: &str) -> Result<Option<String>, Error> {
        let mut command = self.command();
        command.args(["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{commit}}")]);
        let output = command.output().await.map_err(|source| Error::Start { source })?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        // With --end-of-options git 2.39 prints that marker as well.
        let commit = text.lines().last().unwrap_or_default().to_owned();
        let is_id = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
        Ok((output.status.success() && is_id).then_some(commit))
    }

    async fn feed(
        &self,
        mut command: Command,
        operation: &'static str,
        input: Vec<u8>,
    ) -> Result<std::process::Output, Error> {
        let mut child = command.stdin(Stdio::piped()).spawn().map_err(|source| Error::Start { source })?;
        let stdin = child.stdin.take();
        let write = async move {
            if let Some(mut stdin) = stdin {
                stdin.write_all(&input).await?;
                stdin.shutdown().await?;
            }
            Ok::<(), std::io::Error>(())
        };
        let (written, output) = tokio::join!(write, child.wait_with_output());
        let output = output.map_err(|source| Error::Start { source })?;
        // A child that gave up early says why itself; a broken pipe alone says nothing.
        if let (Err(error), true) = (written, output.status.success()) {
            return Err(self.failed(operation, error.to_string().as_bytes()));
        }
        Ok(output)
    }

    /// Commits files on top of `parent`; returns `None` if the branch is elsewhere by now.
    pub(super) async fn import(
        &self,
        branch: &str,
        parent: Option<&Commit>,
        files: &BTreeMap<String, Vec<u8>>,
        message: &str,
    ) -> Result<Option<String>, Error> {
        self.fast_import(branch, parent, false, files, message).await
    }

    /// Commits files in place of all that `parent` has.
    pub(super) async fn import_all(
        &self,
        branch: &str,
        parent: &Commit,
        files: &BTreeMap<String, Vec<u8>>,
        message: &str,
    ) -> Result<Option<String>, Error> {
        self.fast_import(branch, Some(parent), true, files, message).await
    }

    async fn fast_import(
        &self,
        branch: &str,
        parent: Option<&Commit>,
        clear: bool,
        files: &BTreeMap<String, Vec<u8>>,
        message: &str,
    ) -> Result<Option<String>, Error> {
        // fast-import only looks whether a branch can be forwarded, not where it is; so the commit goes to a name of
        // its own first, and the branch then moves from the commit that was read or not at all.
        let target = match parent {
            Some(_) => format!("refs/roadstead/{}", super::unique()),
            None => format!("refs/heads/{branch}"),
        };
        let mut input = Vec::new();
        let mut line = |text: String| {
            input.extend_from_slice(text.as_bytes());
            input.push(b'\n');
        };
        line("feature done".to_owned());
        line(format!("commit {target}"));
        line("mark :1".to_owned());
        line(format!("author {IDENTITY} now"));
        line(format!("committer {IDENTITY} now"));
        line(format!("data {}\n{message}", message.len()));
        if let Some(parent) = parent {
            line(format!("from {parent}"));
        }
        if clear {
            line("deleteall".to_owned());
        }
        for (path, bytes) in files {
            input.extend_from_slice(format!("M 100644 inline {}\ndata {}\n", quoted(path), bytes.len()).as_bytes());
            input.extend_from_slice(bytes);
            input.push(b'\n');
        }
        input.extend_from_slice(b"\nget-mark :1\ndone\n");
        let mut command = self.command();
        command.args(["fast-import", "--quiet", "--date-format=now"]);
        let output = self.feed(command, "fast-import", input).await?;
        if !output.status.success() {
            return Err(self.failed("fast-import", &output.stderr));
        }
        let commit = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let Some(parent) = parent else { return Ok(Some(commit)) };
        let moves = format!("update refs/heads/{branch}\0{commit}\0{parent}\0delete {target}\0{commit}\0");
        let mut command = self.command();
        command.args(["update-ref", "--stdin", "-z"]);
        let output = self.feed(command, "update-ref", moves.into_bytes()).await?;
        if output.status.success() {
            return Ok(Some(commit));
        }
        let mut command = self.command();
        command.args(["update-ref", "-d", &target]);
        let cleared = command.output().await.map_err(|source| Error::Start { source })?;
        if !cleared.status.success() {
            return Err(self.failed("update-ref", &cleared.stderr));
        }
        let said = String::from_utf8_lossy(&output.stderr);
        // All say that the branch is not where it was, or that somebody moves it just now.
        if ["but expected", "cannot lock ref", "Unable to create"].iter().any(|words| said.contains(words)) {
            return Ok(None);
        }
        Err(self.failed("update-ref", &output.stderr))
    }

    /// Reads all files of a commit.
    pub(super) async fn tree(&self, commit: &Commit) -> Result<Tree, Error> {
        let mut command = self.command();
        command.args(["ls-tree", "-r", "-z", "--full-tree", "--end-of-options", commit.as_str()]);
        let output = command.output().await.map_err(|source| Error::Start { source })?;
        if !output.status.success() {
            return Err(self.failed("ls-tree", &output.stderr));
        }
        let mut links = BTreeSet::new();
        let mut blobs = Vec::new();
        for entry in String::from_utf8_lossy(&output.stdout).split('\0').filter(|entry| !entry.is_empty()) {
            let Some((head, path)) = entry.split_once('\t') else { continue };
            let mut words = head.split(' ');
            let (mode, _, id) = (words.next().unwrap_or(""), words.next(), words.next().unwrap_or(""));
            if mode.starts_with("100") {
                blobs.push((path.to_owned(), id.to_owned()));
            } else {
                links.insert(path.to_owned());
            }
        }
        let mut wanted = blobs.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>().join("\n");
        wanted.push('\n');
        let mut command = self.command();
        command.args(["cat-file", "--batch"]);
        let output = self.feed(command, "cat-file", wanted.into_bytes()).await?;
        if !output.status.success() {
            return Err(self.failed("cat-file", &output.stderr));
        }
        let files = self.batch(&output.stdout, blobs)?;
        Ok(Tree { commit: commit.clone(), files, links })
    }

    fn batch(&self, mut rest: &[u8], blobs: Vec<(String, String)>) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let too_large = |what: String| Error::TooLarge { name: self.repository.clone(), what };
        let mut files = BTreeMap::new();
        let mut total = 0;
        for (path, _) in blobs {
            let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            let head = String::from_utf8_lossy(&rest[..end]);
            let size: usize = head.rsplit(' ').next().and_then(|size| size.parse().ok()).unwrap_or(usize::MAX);
            let Some(bytes) = end.checked_add(1).and_then(|start| rest.get(start..start.checked_add(size)?)) else {
                return Err(self.failed("cat-file", b"its answer is cut short"));
            };
            if size > MAX_FILE {
                return Err(too_large(format!("{path} has {size} bytes, at most {MAX_FILE} are read")));
            }
            total += size;
            if total > MAX_TREE {
                return Err(too_large(format!("its files have more than {MAX_TREE} bytes")));
            }
            files.insert(path, bytes.to_vec());
            rest = rest.get(end + 1 + size + 1..).unwrap_or_default();
        }
        Ok(files)
    }
}

/// A path as fast-import reads it.
fn quoted(path: &str) -> String {
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
