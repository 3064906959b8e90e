//! Kustomizations: fields that are deprecated, and the resources that are built.

use kustomize::{Entry, Options, Source};

use crate::{
    Finding, Lines, look,
    report::{self, Input, Report},
    tree::{Node, Place},
};

/// Names of the file, in the order that they are looked for.
const NAMES: &[&str] = &["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// A field that is deprecated, and what to write instead.
const DEPRECATED: &[(&str, &str)] = &[
    ("bases", "resources"),
    ("commonLabels", "labels"),
    ("imageTags", "images"),
    ("patchesJson6902", "patches"),
    ("patchesStrategicMerge", "patches"),
    ("vars", "replacements"),
    ("helmChartInflationGenerator", "helmCharts"),
];

/// Looks at the kustomization in a folder of a source: its own fields, and what it builds to.
///
/// Lines of what is built are lines of the whole output, and `Finding::lines` says so.
pub fn kustomization(source: &dyn Source, path: &str) -> Vec<Finding> {
    let folder = path.trim_end_matches('/');
    let names = NAMES.iter().map(|name| format!("{folder}/{name}"));
    let file = names.into_iter().find(|file| matches!(source.entry(file), Some(Entry::File(_))));
    let shown = file.clone().unwrap_or_else(|| format!("{folder}/{}", NAMES[0]));
    let shown = shown.trim_start_matches('/');
    let bytes = file.as_deref().map(|file| source.read(file));
    let text = match &bytes {
        Some(Ok(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    };
    let mut report = Report::new(vec![Input::read(shown, &text, Lines::Source)]);
    report.mistakes();
    for document in &report.inputs()[0].documents {
        deprecated(document, &mut report);
    }
    let mut findings = match kustomize::build(source, path, &Options::default()) {
        Ok(built) => look(vec![Input::read(shown, &built.text(), Lines::Rendered)]),
        Err(error) => {
            // A text that is broken is told with its place already.
            if !report.has_errors() {
                let at = Place { line: 1, column: 1 };
                let fix = "correct what the message names".to_owned();
                report.add_file("kustomization-error", 0, at, error.to_string(), fix);
            }
            Vec::new()
        }
    };
    findings.extend(report.finish());
    report::sort(&mut findings);
    findings
}

fn deprecated(document: &Node, report: &mut Report) {
    for entry in document.entries() {
        let row = DEPRECATED.iter().find(|(field, _)| *field == entry.key);
        if let Some((field, instead)) = row {
            let message = format!("{field} is deprecated");
            let fix = format!("use {instead}; `kustomize edit fix` writes it anew");
            report.add_file("kustomization-deprecated-field", 0, entry.at, message, fix);
        }
    }
}
