//! The corpus against what the original made of it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops where its world cannot be made"
)]

mod archive;

use archive::{Outcome, cases};

#[test]
fn every_case_builds_to_what_the_original_built() {
    let mut wrong = Vec::new();
    let all = cases();
    for case in &all {
        let outcome = case.outcome();
        let same = match (&outcome, case.expected.as_ref().unwrap()) {
            (Outcome::Text(ours), Outcome::Text(theirs)) => ours == theirs,
            (Outcome::Error(ours), Outcome::Error(theirs)) => case.head.contains("words: own") || ours == theirs,
            _ => false,
        };
        if !same {
            wrong.push(format!("{}:\n--- expected {:#?}\n--- got {outcome:#?}", case.name, case.expected));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), all.len(), wrong.join("\n"));
}
