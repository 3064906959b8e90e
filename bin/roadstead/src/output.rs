//! What the CLI prints: data on standard output, everything else on standard error.

use std::io::Write;

/// Prints a line of data. A reader that has gone away is no error.
pub(crate) fn data(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Prints data as it is, without a line end.
pub(crate) fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Prints a line for people.
pub(crate) fn note(text: &str) {
    let mut out = std::io::stderr().lock();
    // Nobody is left to be told that nobody listens.
    let _unheard = writeln!(out, "{text}");
}
