//! Charts: the parts of the text are values.yaml, a template, a values file and a `--set`.
#![no_main]

use gotmpl::Limits;
use helm::{Files, Options, Set};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut parts = text.split('\u{1f}').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let mut files = Files::new();
    files.insert("Chart.yaml".into(), b"apiVersion: v2\nname: fuzz\nversion: 0.1.0\n".to_vec());
    files.insert("values.yaml".into(), next().into_bytes());
    files.insert("templates/all.yaml".into(), next().into_bytes());
    let mut options = Options::new("release", "namespace");
    options.values = vec![next()];
    options.set = vec![Set::Typed(next())];
    options.limits = Limits { depth: 200, steps: 20_000, output: 1 << 20 };
    let _failed = helm::render(&files, &options).is_err();
});
