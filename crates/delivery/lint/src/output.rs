//! Findings as text, JSON and SARIF 2.1.0.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use crate::{Finding, Lines, RULES, Severity};

/// Returns a line per finding, and its fix indented below it.
pub fn text(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let Finding { rule, severity, file, line, column, message, .. } = finding;
        let place = place(finding);
        let place = if place.is_empty() { place } else { format!("{place}: ") };
        let rendered = rendered(finding);
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "{}:{line}:{column}: {severity} {rule} {}{}{rendered}",
            line_of(file),
            line_of(&place),
            line_of(message)
        );
        if !finding.fix.is_empty() {
            let _ = writeln!(out, "    fix: {}", line_of(&finding.fix));
        }
    }
    out
}

/// Returns the findings and how many there are of each severity.
pub fn json(findings: &[Finding]) -> Json {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let list: Vec<Json> = findings
        .iter()
        .map(|finding| {
            json!({
                "rule": finding.rule,
                "severity": finding.severity.to_string(),
                "file": finding.file,
                "lines": match finding.lines { Lines::Source => "source", Lines::Rendered => "rendered" },
                "line": finding.line,
                "column": finding.column,
                "object": finding.object,
                "path": finding.path,
                "message": finding.message,
                "fix": finding.fix,
            })
        })
        .collect();
    json!({
        "findings": list,
        "errors": count(Severity::Error),
        "warnings": count(Severity::Warning),
        "infos": count(Severity::Info),
    })
}

/// Returns a SARIF 2.1.0 log of one run.
///
/// A finding about what a file renders to points at the file's first line, since its own line is of another text;
/// its message and `properties.renderedLine` say which.
pub fn sarif(findings: &[Finding]) -> Json {
    let rules: Vec<Json> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "shortDescription": {"text": rule.what},
                "help": {"text": rule.help},
                "defaultConfiguration": {"level": level(rule.severity)},
            })
        })
        .collect();
    let results: Vec<Json> = findings.iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "roadstead", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(finding: &Finding) -> Json {
    let (region, properties) = match finding.lines {
        Lines::Source => (
            json!({"startLine": finding.line.max(1), "startColumn": finding.column.max(1)}),
            json!({"fix": finding.fix}),
        ),
        Lines::Rendered => (
            json!({"startLine": 1}),
            json!({"fix": finding.fix, "renderedLine": finding.line, "renderedColumn": finding.column}),
        ),
    };
    let place = place(finding);
    let place = if place.is_empty() { place } else { format!("{place}: ") };
    let text = format!("{place}{}{}. Fix: {}.", finding.message, rendered(finding), finding.fix);
    let mut location = json!({
        "physicalLocation": {"artifactLocation": {"uri": uri(&finding.file)}, "region": region},
    });
    let logical = [&finding.object, &finding.path].map(String::as_str);
    let logical: Vec<&str> = logical.into_iter().filter(|part| !part.is_empty()).collect();
    if !logical.is_empty() {
        location["logicalLocations"] = json!([{"fullyQualifiedName": logical.join("/"), "kind": "object"}]);
    }
    json!({
        "ruleId": finding.rule,
        "ruleIndex": RULES.iter().position(|rule| rule.id == finding.rule),
        "level": level(finding.severity),
        "message": {"text": text},
        "locations": [location],
        "properties": properties,
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

/// The object and field that a finding is about.
fn place(finding: &Finding) -> String {
    let parts = [&finding.object, &finding.path].map(String::as_str);
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn rendered(finding: &Finding) -> &'static str {
    match finding.lines {
        Lines::Source => "",
        Lines::Rendered => " (the line is one of the rendered text)",
    }
}

/// Keeps a finding on its line, whatever stands in a name.
fn line_of(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A path as a relative URI reference.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
