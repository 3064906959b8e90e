//! The shim as a program of its own, for this crate's tests; the product's binary has it as `shim`.

use std::process::ExitCode;

fn main() -> ExitCode {
    node::shim::main(std::env::args_os().skip(2))
}
