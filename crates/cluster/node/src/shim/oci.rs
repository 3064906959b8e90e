//! Calls of the OCI runtime, each in a short-lived process of its own.
//!
//! It never decides what a container may do: that is in `config.json`.

use std::{os::unix::process::CommandExt, path::Path, process::Command, time::Duration};

use libcontainer::{
    container::{Container, builder::ContainerBuilder},
    oci_spec::runtime::Spec,
    syscall::syscall::SyscallType,
    workload::{Executor, ExecutorError, ExecutorValidationError, default::DefaultExecutor},
};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// Becomes the container's program.
///
/// A Rust process ignores SIGPIPE, and what is ignored stays so over `execve`; the
/// standard library's `exec` puts it back, or `yes | head` would not end in a container.
#[derive(Clone)]
struct Become;

impl Executor for Become {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let words = spec.process().as_ref().and_then(|process| process.args().clone()).unwrap_or_default();
        let (program, args) = words.split_first().ok_or(ExecutorError::InvalidArg)?;
        let error = Command::new(program).args(args).exec();
        Err(ExecutorError::Execution(format!("failed to execute {program:?}: {error}").into()))
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        DefaultExecutor {}.validate(spec)
    }
}

/// Creates and starts the container of `bundle`; its process is left to the caller's sub-reaper.
pub(super) fn create(bundle: &Path, id: &str, state: &Path) -> Result<(), String> {
    let mut container = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(state)
        .and_then(|builder| builder.with_pid_file(Some(bundle.join("pid"))))
        .and_then(ContainerBuilder::validate_id)
        .map(|builder| builder.with_executor(Become))
        .and_then(|builder| builder.as_init(bundle).with_systemd(false).with_detach(true).build())
        .map_err(|error| chain(&error))?;
    container.start().map_err(|error| chain(&error))
}

/// Runs `command` in a container and returns its exit code, or `None` if it took longer than `timeout`.
pub(super) fn exec(id: &str, state: &Path, command: Vec<String>, timeout: Duration) -> Result<Option<u8>, String> {
    let pid = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(state)
        .map(|builder| builder.with_executor(Become))
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
