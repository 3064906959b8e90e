//! The one binary: wiring only. What each part does is in its crate.

mod cli;
mod confirm;
mod deployer;
mod local;
mod output;
mod paths;
mod pki;
mod ports;
mod progress;
mod rest;
mod services;
mod state;
mod stop;
mod up;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A shim must not carry a runtime or a logger: it becomes a container's parent.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == "shim") {
        return node::shim::main(std::env::args_os().skip(2));
    }
    let cli = cli::Cli::parse();
    if let Some(code) = local::process(&cli) {
        return code;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(&format!("error: the runtime did not start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(verbs::run(cli));
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
