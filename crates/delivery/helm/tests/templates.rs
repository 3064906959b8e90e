//! Templates from `tests/corpus/templates`, with what stock Helm makes of them.
//!
//! A file holds cases: a line `=== TITLE`, the template, a line `--- output` or
//! `--- error`, and what came of it. The values are the same for all. With
//! `CORPUS=compare` stock Helm is asked again and has to say the same; with
//! `CORPUS=remake` what it says is written.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fmt::Write as _, fs, path::PathBuf};

use helm::{Files, Options};

mod cases;
mod support;

struct Case {
    title: String,
    template: String,
    expected: Result<String, String>,
}

fn files() -> Vec<PathBuf> {
    let folder = support::workspace("tests/corpus/templates");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn read(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for part in text.split("=== ").skip(1) {
        let (title, rest) = part.split_once('\n').unwrap();
        let (template, expected) = match (rest.split_once("\n--- output\n"), rest.split_once("\n--- error\n")) {
            (Some((template, output)), _) => (template, Ok(output.strip_suffix('\n').unwrap_or(output).to_owned())),
            (None, Some((template, error))) => (template, Err(error.strip_suffix('\n').unwrap_or(error).to_owned())),
            (None, None) => (rest.strip_suffix('\n').unwrap_or(rest), Ok(String::new())),
        };
        cases.push(Case { title: title.to_owned(), template: template.to_owned(), expected });
    }
    cases
}

fn write(cases: &[Case]) -> String {
    let mut text = String::new();
    for case in cases {
        let (kind, shown) = match &case.expected {
            Ok(output) => ("output", output),
            Err(error) => ("error", error),
        };
        write!(text, "=== {}\n{}\n--- {kind}\n{shown}\n", case.title, case.template).unwrap();
    }
    text
}

/// A chart whose notes are the template: they are shown as they come, whatever they are.
fn chart(template: &str) -> (Files, Options) {
    let mut files = cases::chart("corpus");
    files.insert("templates/NOTES.txt".to_owned(), template.as_bytes().to_vec());
    let mut options = Options::new("release", "space");
    options.values.push(cases::values());
    (files, options)
}

#[test]
fn templates_give_what_helm_gives() {
    let mode = base::settings::env("CORPUS").unwrap_or_default();
    let mut oracle = (!mode.is_empty()).then(support::Oracle::start);
    let (mut count, mut wrong) = (0, Vec::new());
    for path in files() {
        let mut cases = read(&fs::read_to_string(&path).unwrap());
        count += cases.len();
        for case in &mut cases {
            let (files, options) = chart(&case.template);
            if let Some(oracle) = &mut oracle {
                let said = oracle.render(&files, &options).map(|(_, notes)| notes);
                if mode == "remake" {
                    case.expected = said;
                } else if case.expected != said {
                    wrong.push(format!("{}: helm says now {said:?}, the corpus {:?}", case.title, case.expected));
                }
            }
            let ours = support::ours(&files, &options).map(|(_, notes)| notes);
            if ours != case.expected {
                let of = |outcome: &Result<String, String>| match outcome {
                    Ok(text) => text.clone(),
                    Err(text) => format!("ERROR {text}"),
                };
                wrong.push(format!(
                    "{} ({})\n{}\n   ours: {}\n   helm: {}",
                    case.title,
                    path.file_name().unwrap().display(),
                    case.template,
                    of(&ours),
                    of(&case.expected)
                ));
            }
        }
        if mode == "remake" {
            fs::write(&path, write(&cases)).unwrap();
        }
    }
    assert!(count >= 300, "the corpus has {count} cases");
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}
