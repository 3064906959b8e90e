//! Calls of the OCI runtime, each in a short-lived process of its own.
//!
//! It never decides what a container may do: that is in `config.json`.

use std::{path::Path, time::Duration};

use libcontainer::{
    container::{Container, builder::ContainerBuilder},
    syscall::syscall::SyscallType,
};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// Creates and starts the container of `bundle`; its process is left to the caller's sub-reaper.
pub(super) fn create(bundle: &Path, id: &str, state: &Path) -> Result<(), String> {
    let mut container = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(state)
        .and_then(|builder| builder.with_pid_file(Some(bundle.join("pid"))))
        .and_then(ContainerBuilder::validate_id)
        .and_then(|builder| builder.as_init(bundle).with_systemd(false).with_detach(true).build())
        .map_err(|error| chain(&error))?;
    container.start().map_err(|error| chain(&error))
}

/// Runs `command` in a container and returns its exit code, or `None` if it took longer than `timeout`.
pub(super) fn exec(id: &str, state: &Path, command: Vec<String>, timeout: Duration) -> Result<Option<u8>, String> {
    let pid = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(state)
        .and_then(|builder| builder.as_tenant().with_detach(true).with_container_args(command).build())
        .map_err(|error| chain(&error))?;
    let pid = Pid::from_raw(pid.as_raw());
    let deadline = base::clock::now() + timeout;
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(Some(code as u8)),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(Some(128 + signal as u8)),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.to_string()),
        }
        if base::clock::now() > deadline {
            kill(pid, Signal::SIGKILL).ok();
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Removes what the runtime keeps of a container that ended, its cgroup included.
pub(super) fn delete(id: &str, state: &Path) -> Result<(), String> {
    let dir = state.join(id);
    if !dir.exists() {
        return Ok(());
    }
    let mut container = Container::load(dir).map_err(|error| chain(&error))?;
    container.delete(true).map_err(|error| chain(&error))
}

fn chain(error: &dyn std::error::Error) -> String {
    base::fault::Chain(error).to_string()
}
