//! Clones by the machine's `git`.

use std::{
    io::Read as _,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use kustomize::Repository;
use tempfile::TempDir;

/// How much of git's words a message keeps.
const WORDS: u64 = 4096;

/// Fetches a repository at its revision, without history.
pub(crate) fn fetch(repository: &Repository) -> Result<TempDir, String> {
    for (what, text) in [("address", &repository.url), ("ref", &repository.revision)] {
        if text.starts_with('-') {
            return Err(format!("the {what} of a repository must not start with '-': {text}"));
        }
    }
    let folder = tempfile::Builder::new()
        .prefix("kustomize-")
        .tempdir()
        .map_err(|error| format!("no folder for a clone of {}: {error}", repository.url))?;
    let revision = if repository.revision.is_empty() { "HEAD" } else { &repository.revision };
    let run = |arguments: &[&str]| run(folder.path(), arguments, repository.timeout);
    run(&["init", "--quiet"])?;
    run(&["remote", "add", "origin", &repository.url])?;
    run(&["fetch", "--quiet", "--depth=1", &repository.url, revision])?;
    run(&["checkout", "--quiet", "FETCH_HEAD"])?;
    if repository.submodules {
        run(&["submodule", "--quiet", "update", "--init", "--recursive"])?;
    }
    Ok(folder)
}

fn run(folder: &Path, arguments: &[&str], timeout: Duration) -> Result<(), String> {
    let mut child = Command::new("git")
        .args(["-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("no 'git' program on path: {error}"))?;
    let shown = format!("git {}", arguments.join(" "));
    let (told, hears) = mpsc::channel();
    let errors = child.stderr.take();
    // Ends with the child, whose last words it reads.
    let reader = std::thread::Builder::new().name("git".to_owned()).spawn(move || {
        let mut words = Vec::new();
        if let Some(mut errors) = errors {
            let read = errors.by_ref().take(WORDS).read_to_end(&mut words);
            let rest = std::io::copy(&mut errors, &mut std::io::sink());
            if read.is_err() || rest.is_err() {
                words.extend_from_slice(b" (its words ended early)");
            }
        }
        // Nobody listens after the timeout.
        drop(told.send(words));
    });
    if let Err(error) = reader {
        stop(&mut child);
        return Err(format!("no thread to listen to '{shown}': {error}"));
    }
    let Ok(words) = hears.recv_timeout(timeout) else {
        stop(&mut child);
        return Err(format!("hit {}s timeout running '{shown}'", timeout.as_secs()));
    };
    let status = child.wait().map_err(|error| format!("'{shown}' was lost: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("failed to run '{shown}': {}: {status}", String::from_utf8_lossy(&words).trim()))
}

fn stop(child: &mut std::process::Child) {
    if child.kill().is_ok() {
        // It is gone; there is nothing to learn from how.
        drop(child.wait());
    }
}
