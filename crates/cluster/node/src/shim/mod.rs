//! The pod's shim: a small process of its own per pod, so that containers, their logs
//! and their exit codes do not depend on the platform's process.
//!
//! It holds the pod's namespaces and mounts, is the parent of its containers and does
//! what the node asks over a socket. It decides nothing: no restart, no probe, no
//! back-off. The OCI runtime runs in short-lived children (`create`, `exec`, `delete`),
//! because it forks and changes the working directory.

mod log;
mod oci;
pub(crate) mod protocol;
mod reaper;
mod server;
mod session;
mod terminal;

use std::{
    ffi::OsString,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

pub(crate) use log::LOG_LIMIT;

/// The file in a pod's folder that says which process its shim is.
pub(crate) const IDENTITY: &str = "shim.json";
/// The socket in a pod's folder.
pub(crate) const SOCKET: &str = "shim.sock";
/// The exit code of `exec` when the command took too long.
pub(crate) const EXEC_TIMED_OUT: u8 = 254;
/// The exit code of `exec` when the command could not be run.
pub(crate) const EXEC_FAILED: u8 = 253;

/// Runs a shim command; `args` are what follows `shim`.
///
/// The binary calls this before it starts threads or a runtime.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the node and the log read what a shim prints")]
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["pod", dir] => match server::prepare(Path::new(dir)) {
            Ok(server) => {
                println!("ready");
                std::io::stdout().flush().ok();
                server.run()
            }
            Err(error) => {
                println!("{}", base::fault::Chain(&error));
                ExitCode::FAILURE
            }
        },
        ["create", bundle, id, state, console @ ..] => {
            let bundle = PathBuf::from(bundle);
            match oci::create(&bundle, id, Path::new(state), console.first().map(|&path| Path::new(path))) {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => {
                    // Its standard error is the container's log: the reason goes to a file.
                    std::fs::write(bundle.join("error"), why).ok();
                    ExitCode::FAILURE
                }
            }
        }
        ["exec", id, state, timeout, "--", command @ ..] => {
            let timeout = Duration::from_millis(timeout.parse().unwrap_or(1000));
            let command = command.iter().map(|&word| word.to_owned()).collect();
            match oci::exec(id, Path::new(state), command, timeout) {
                Ok(Some(code)) => ExitCode::from(code),
                Ok(None) => ExitCode::from(EXEC_TIMED_OUT),
                Err(why) => {
                    println!("{why}");
                    ExitCode::from(EXEC_FAILED)
                }
            }
        }
        ["session", id, state, dir, streams, "--", command @ ..] => {
            let (dir, command) = (PathBuf::from(dir), command.iter().map(|&word| word.to_owned()).collect());
            match oci::session(id, Path::new(state), &dir, *streams == "tty", command) {
                Ok(code) => ExitCode::from(code),
                Err(why) => {
                    // Its streams are the command's: the reason goes to a file.
                    std::fs::write(dir.join("error"), why).ok();
                    ExitCode::FAILURE
                }
            }
        }
        ["tty", "--", command @ ..] => {
            eprintln!("{}", terminal::lead(command));
            ExitCode::from(127)
        }
        ["delete", id, state] => match oci::delete(id, Path::new(state)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("failed to remove container {id}: {why}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("`shim` is started by the platform, not by people");
            ExitCode::from(2)
        }
    }
}
