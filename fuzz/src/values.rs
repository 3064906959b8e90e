//! Values: the parts of the text are a values file, flags, and a schema.
#![no_main]

use helm::{Files, Options, Set};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut parts = text.split('\u{1f}').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let mut files = Files::new();
    files.insert("Chart.yaml".into(), b"apiVersion: v2\nname: fuzz\nversion: 0.1.0\n".to_vec());
    files.insert("templates/all.yaml".into(), b"kind: Dump\nvalues: {{ toJson .Values }}\n".to_vec());
    let mut options = Options::new("release", "namespace");
    options.values = vec![next()];
    options.set = vec![Set::Json(next()), Set::Typed(next()), Set::Text(next()), Set::Literal(next())];
    let schema = next();
    if !schema.is_empty() {
        files.insert("values.schema.json".into(), schema.into_bytes());
    }
    if let Ok(rendered) = helm::render(&files, &options) {
        assert_eq!(rendered.manifests.len(), 1);
    }
});
