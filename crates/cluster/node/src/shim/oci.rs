//! Calls of the OCI runtime, each in a short-lived process of its own.
//!
//! It never decides what a container may do: that is in `config.json`.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

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
use serde_json::Value;

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
///
/// Its terminal, if it has one, is sent to `console`.
pub(super) fn create(bundle: &Path, id: &str, state: &Path, console: Option<&Path>) -> Result<(), String> {
    let mut container = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(state)
        .and_then(|builder| builder.with_pid_file(Some(bundle.join("pid"))))
        .and_then(ContainerBuilder::validate_id)
        .map(|builder| builder.with_executor(Become).with_console_socket(console))
        .and_then(|builder| builder.as_init(bundle).with_systemd(false).with_detach(true).build())
        .map_err(|error| chain(&error))?;
    container.start().map_err(|error| chain(&error))
}

/// Runs `command` in a container and returns its exit code, or `None` if it took longer than `timeout`.
pub(super) fn exec(id: &str, state: &Path, command: Vec<String>, timeout: Duration) -> Result<Option<u8>, String> {
    let file = Removed(state.join(format!("process-{}.json", std::process::id())));
    let pid = join(id, state, &process(id, state, command, false)?, &file.0, None, None)?;
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

/// Runs `command` in a container with this process's streams, or with a terminal that is sent to the
/// socket in `dir`; returns its exit code. Its number is in the file `pid` there while it runs.
pub(super) fn session(id: &str, state: &Path, dir: &Path, tty: bool, command: Vec<String>) -> Result<u8, String> {
    let console = dir.join("console.sock");
    let console = tty.then_some(console.as_path());
    let process = process(id, state, command, tty)?;
    let pid = join(id, state, &process, &dir.join("process.json"), console, Some(dir.join("pid")))?;
    loop {
        match waitpid(pid, None) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(code as u8),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as u8),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Starts a process in a container; `file` is where it is described to the runtime.
fn join(
    id: &str,
    state: &Path,
    process: &Value,
    file: &Path,
    console: Option<&Path>,
    pid_file: Option<PathBuf>,
) -> Result<Pid, String> {
    std::fs::write(file, process.to_string()).map_err(|error| chain(&error))?;
    let pid = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(state)
        .and_then(|builder| builder.with_pid_file(pid_file))
        .map(|builder| builder.with_executor(Become).with_console_socket(console))
        .and_then(|builder| builder.as_tenant().with_detach(true).with_process(Some(file)).build())
        .map_err(|error| chain(&error))?;
    Ok(Pid::from_raw(pid.as_raw()))
}

/// Returns a process like the container's own, its user and its rights, that runs another command.
fn process(id: &str, state: &Path, command: Vec<String>, tty: bool) -> Result<Value, String> {
    let container = Container::load(state.join(id)).map_err(|error| chain(&error))?;
    let config = std::fs::read(container.bundle().join("config.json")).map_err(|error| chain(&error))?;
    let config: Value = serde_json::from_slice(&config).map_err(|error| chain(&error))?;
    let mut process = config["process"].clone();
    process["args"] = command.into();
    process["terminal"] = tty.into();
    if let Some(env) = process["env"].as_array_mut().filter(|_| tty)
        && !env.iter().any(|pair| pair.as_str().is_some_and(|pair| pair.starts_with("TERM=")))
    {
        env.push("TERM=xterm".into());
    }
    Ok(process)
}

/// A file that is removed when it is no longer needed.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
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
