//! Builds the kustomization that the first argument names, as `kustomize build` does.

use std::{io::Write as _, process::ExitCode};

fn main() -> ExitCode {
    let path = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    match loader::build(&path, &kustomize::Options::default()) {
        Ok(built) => {
            let written = std::io::stdout().write_all(built.text().as_bytes());
            if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}
