//! Collecting the exit codes of every child and orphan of the shim.
//!
//! One thread collects all of them; others ask it. It never loses a code between a
//! process's end and the question for it.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    os::unix::process::CommandExt,
    process::Command,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};

/// Codes that nobody asked for are forgotten beyond this number.
const KEPT: usize = 4096;

#[derive(Default)]
struct Codes {
    by_pid: HashMap<i32, i32>,
    order: BTreeMap<u64, i32>,
    next: u64,
}

/// The shim's collector of exit codes. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Reaper {
    codes: Arc<(Mutex<Codes>, Condvar)>,
    /// Held while a child is started: a failed start collects its own child.
    starting: Arc<Mutex<()>>,
}

impl Reaper {
    /// Starts the collecting thread.
    pub(super) fn start() -> Self {
        let reaper = Self::default();
        let own = reaper.clone();
        std::thread::spawn(move || own.collect());
        reaper
    }

    /// Starts a child in a process group of its own and returns its number.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<i32> {
        let _guard = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        command.process_group(0).spawn().map(|child| child.id() as i32)
    }

    /// Starts a child that makes a session, and so a group, of its own; returns its number.
    pub(super) fn spawn_leader(&self, command: &mut Command) -> io::Result<i32> {
        let _guard = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        command.spawn().map(|child| child.id() as i32)
    }

    /// Waits until the process `pid`, a child or an orphan left to the shim, ends; returns its code.
    pub(super) fn wait(&self, pid: i32) -> i32 {
        let (codes, changed) = &*self.codes;
        let mut codes = codes.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(code) = codes.by_pid.remove(&pid) {
                return code;
            }
            codes = changed.wait(codes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn collect(&self) {
        loop {
            match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Ok(_) => {}
                Err(nix::Error::ECHILD) => std::thread::sleep(Duration::from_millis(20)),
                Err(_) => continue,
            }
            let _guard = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
            while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                match status {
                    WaitStatus::Exited(pid, code) => self.keep(pid.as_raw(), code),
                    WaitStatus::Signaled(pid, signal, _) => self.keep(pid.as_raw(), 128 + signal as i32),
                    WaitStatus::StillAlive => break,
                    _ => {}
                }
            }
        }
    }

    fn keep(&self, pid: i32, code: i32) {
        let (codes, changed) = &*self.codes;
        let mut codes = codes.lock().unwrap_or_else(PoisonError::into_inner);
        let at = codes.next;
        codes.next += 1;
        codes.by_pid.insert(pid, code);
        codes.order.insert(at, pid);
        if codes.order.len() > KEPT
            && let Some((_, oldest)) = codes.order.pop_first()
            && oldest != pid
        {
            codes.by_pid.remove(&oldest);
        }
        changed.notify_all();
    }
}
