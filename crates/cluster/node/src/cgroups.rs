//! Control groups as files: where the hierarchies are, what is in a group, removing groups.
//!
//! Limits are set by the OCI runtime; here groups are only looked at and removed.
//! It never touches a group outside of the one it is given.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Error,
    figures::{Usage, number, working_set},
};

const ROOT: &str = "/sys/fs/cgroup";

/// Returns the root of each mounted hierarchy.
pub(crate) fn hierarchies() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    lines.filter(|f| f.len() > 2 && f[2].starts_with("cgroup")).map(|f| PathBuf::from(f[1])).collect()
}

/// Returns whether the kernel killed something in `group` for using too much memory.
pub(crate) fn out_of_memory(group: &str) -> bool {
    let group = group.trim_start_matches('/');
    let files = [format!("{ROOT}/memory/{group}/memory.oom_control"), format!("{ROOT}/{group}/memory.events")];
    files
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .any(|text| text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|n| n.trim() != "0")))
}

/// Returns what the processes of `group` use, or `None` if there is no such group.
pub(crate) fn usage(group: &str) -> Option<Usage> {
    let group = group.trim_start_matches('/');
    let at = |hierarchy: &str| Path::new(ROOT).join(hierarchy).join(group);
    let stat = |dir: &Path| fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
    let memory = at("memory");
    if let Some(used) = number(&memory.join("memory.usage_in_bytes")) {
        let cpu = number(&at("cpuacct").join("cpuacct.usage"))?;
        return Some(Usage { cpu, memory: working_set(used, &stat(&memory), "total_inactive_file") });
    }
    let dir = at("");
    let used = number(&dir.join("memory.current"))?;
    let text = fs::read_to_string(dir.join("cpu.stat")).ok()?;
    let micros: u64 = text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.trim().parse().ok())?;
    Some(Usage { cpu: micros * 1000, memory: working_set(used, &stat(&dir), "inactive_file") })
}

/// Kills everything in `group` and below, and removes it from every hierarchy; absent ones are fine.
pub(crate) fn destroy(group: &str) -> Result<(), Error> {
    let group = group.trim_start_matches('/');
    for hierarchy in hierarchies() {
        let top = hierarchy.join(group);
        let deadline = base::clock::now() + Duration::from_secs(10);
        while top.exists() {
            let groups = below(&top);
            for pid in groups.iter().flat_map(|group| members(group)) {
                kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
            }
            // A group goes when its last process has ended, which the kernel does not announce.
            let removed = groups.iter().rev().map(fs::remove_dir).find_map(Result::err);
            match removed {
                Some(error) if error.kind() != io::ErrorKind::NotFound && base::clock::now() > deadline => {
                    return Err(Error::disk("remove", &top)(error));
                }
                Some(_) => std::thread::sleep(Duration::from_millis(5)),
                None => {}
            }
        }
    }
    Ok(())
}

/// Returns `top` and every group below it, parents first.
fn below(top: &Path) -> Vec<PathBuf> {
    let mut found = vec![top.to_owned()];
    let mut at = 0;
    while at < found.len() {
        found.extend(crate::proc::folders(&found[at]));
        at += 1;
    }
    found
}

fn members(group: &Path) -> Vec<i32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 1).collect()
}
