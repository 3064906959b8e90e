//! Processes as `/proc` shows them, and files of state. It never signals a process
//! whose identity it has not just compared.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Error, figures::Usage};

/// Which process this is, safe against reuse of its number and against reboots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// In clock ticks since boot.
    pub(crate) started: u64,
    pub(crate) boot: String,
}

impl Identity {
    /// Returns the identity of a process that runs now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, started: start_time(pid)?, boot: boot_id() })
    }

    /// Returns whether this very process still runs; a zombie does not.
    pub(crate) fn is_alive(&self) -> bool {
        boot_id() == self.boot && start_time(self.pid) == Some(self.started)
    }

    /// Sends `signal` if this very process still runs.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.is_alive() {
            // It may end between the check and the signal, which is what was wanted.
            kill(Pid::from_raw(self.pid), signal).ok();
        }
    }
}

/// Returns the id of this boot of the machine.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Returns the fields of `/proc/<pid>/stat` from the state on, or `None` if there is no such process.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses included.
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn start_time(pid: i32) -> Option<u64> {
    let fields = stat(pid)?;
    if matches!(fields.first().map(String::as_str), Some("Z" | "X")) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// Returns the numbers of all processes.
pub(crate) fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Returns every descendant of `pid`.
pub(crate) fn descendants(pid: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> =
        all().into_iter().filter_map(|child| Some((child, stat(child)?.get(1)?.parse().ok()?))).collect();
    let mut found = vec![pid];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        at += 1;
    }
    found.split_off(1)
}

/// Returns how many nanoseconds a tick of `/proc` has.
pub(crate) fn tick() -> u64 {
    1_000_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

/// Returns what a process and its descendants use.
pub(crate) fn usage(pid: i32) -> Usage {
    let page = rustix::param::page_size() as u64;
    let mut all = Usage::default();
    for pid in descendants(pid).into_iter().chain([pid]) {
        let Some(fields) = stat(pid) else { continue };
        let of = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
        // Its own time, and that of its children that have ended; its pages in memory.
        all.cpu += (of(11) + of(12) + of(13) + of(14)) * tick();
        all.memory += of(21) * page;
    }
    all
}

/// Returns a process's arguments; empty if it is gone.
pub(crate) fn arguments(pid: i32) -> Vec<String> {
    list(&format!("/proc/{pid}/cmdline"))
}

/// Returns a process's environment at its start; empty if it is gone or not ours to see.
pub(crate) fn environment(pid: i32) -> Vec<String> {
    list(&format!("/proc/{pid}/environ"))
}

fn list(path: &str) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_default();
    bytes.split(|b| *b == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// Writes `value` so that after a crash the file has either its old or its new content.
pub(crate) fn write_state<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let bytes = serde_json::to_vec(value).map_err(|source| Error::State { path: path.to_owned(), source })?;
    let temporary = path.with_extension("tmp");
    let mut file = fs::File::create(&temporary).map_err(Error::disk("create", &temporary))?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(Error::disk("write", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::disk("rename to", path))
}

/// Reads what [`write_state`] wrote, or `None` if there is no such file.
pub(crate) fn read_state<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match fs::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::State { path: path.to_owned(), source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::disk("read", path)(error)),
    }
}

/// Removes a folder with all that is in it, if it is there.
pub(crate) fn remove_dir(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::disk("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Returns the folders in `dir`, sorted; empty if it is not there.
pub(crate) fn folders(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_until_it_ends() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(child.id() as i32).unwrap();
        assert!(identity.is_alive());
        assert!(!Identity { started: identity.started + 1, ..identity.clone() }.is_alive(), "another process");
        assert!(!Identity { boot: "earlier".into(), ..identity.clone() }.is_alive(), "another boot");
        assert!(descendants(std::process::id() as i32).contains(&identity.pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!identity.is_alive());
    }
}
