//! The corpus against the original itself, where it was built (`cargo xtask peers`).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops where its world cannot be made"
)]

mod archive;

use archive::{Outcome, cases, folder, original};

#[test]
fn the_corpus_says_what_the_original_says() {
    let Some(program) = original() else { return };
    let update = std::env::var_os("UPDATE").is_some();
    for case in cases() {
        let outcome = case.original(&program);
        if update {
            let path = folder().join(format!("{}.txt", case.name));
            let text = std::fs::read_to_string(&path).unwrap();
            let end = text
                .find("\n-- expected --\n")
                .or_else(|| text.find("\n-- error --\n"))
                .map_or(text.len(), |at| at + 1);
            let body = match outcome {
                Outcome::Text(text) => format!("-- expected --\n{text}"),
                Outcome::Error(text) => format!("-- error --\n{text}\n"),
            };
            std::fs::write(path, format!("{}{body}", &text[..end])).unwrap();
        } else if case.head.contains("words: own") {
            // The original's words hold addresses in memory.
            let alike = matches!(
                (&outcome, &case.expected),
                (Outcome::Error(_), Some(Outcome::Error(_))) | (Outcome::Text(_), Some(Outcome::Text(_)))
            );
            assert!(alike, "{}: {outcome:?}", case.name);
        } else {
            assert_eq!(Some(outcome), case.expected, "{}", case.name);
        }
    }
}
