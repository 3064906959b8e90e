//! Kustomizations: the parts of the text are an overlay, its base, resources and a patch.
#![no_main]

use kustomize::{Files, Limits, Options};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut files = Files::new();
    let names = ["over/kustomization.yaml", "base/kustomization.yaml", "base/all.yaml", "over/patch.yaml"];
    for (name, part) in names.into_iter().zip(text.split('\u{1f}')) {
        files.insert(name.to_owned(), part.as_bytes().to_vec());
    }
    let limits = Limits { depth: 8, file: 1 << 16, resources: 200, output: 1 << 20 };
    let options = Options { limits, ..Options::default() };
    if let Ok(built) = kustomize::build(&files, "/over", &options) {
        assert!(built.text().len() <= 1 << 20);
    }
});
