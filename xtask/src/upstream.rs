//! Runs Kubernetes' own conformance tests, as far as they need no container, against the
//! embedded API server and a real one: builds what is missing, and hands over to the program
//! in `tests/conformance/upstream`, which writes `docs/conformance.md`.

use anyhow::bail;

use crate::{peers, run::step};

const DOCUMENT: &str = "docs/conformance.md";

/// Runs the tests; the words of `--focus` choose among them, `--against` one of the servers. All tests against both
/// servers make the document.
pub(crate) fn run(rest: &[&str]) -> anyhow::Result<()> {
    if rest.len() % 2 == 1 || rest.chunks(2).any(|pair| !matches!(pair[0], "--focus" | "--against")) {
        bail!("usage: cargo xtask conformance --upstream [--focus WORDS] [--against ours|real|none]");
    }
    peers::suite()?;
    let mut args = vec!["run", "--package", "conformance", "--bin", "upstream", "--"];
    args.extend(rest);
    // Against none, the document is written anew from the last whole runs.
    if rest.is_empty() || rest == ["--against", "none"] {
        args.extend(["--document", DOCUMENT]);
    }
    step("conformance tests of Kubernetes", "cargo", &args)
}
