//! Asks before something is destroyed.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::bail;

/// Returns if the person agrees; without a terminal to ask at, `--yes` is needed.
pub(crate) fn ask(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("{question}: there is no terminal to ask at; say --yes if you mean it");
    }
    let mut out = std::io::stderr().lock();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { bail!("nothing was done") }
}
