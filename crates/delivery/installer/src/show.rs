//! Releases as people and programs read them.

use std::fmt::Write as _;

use gotmpl::{Value as Plain, yaml};
use release::{Event, Release, hook};
use serde_json::{Value, json};

use crate::args::Output;

/// Whether notes are part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notes {
    /// They are.
    Shown,
    /// They are not.
    Hidden,
}

/// Returns how a release stands.
pub(crate) fn status(release: &Release, output: Output, notes: Notes) -> String {
    if output != Output::Table {
        return structured(&whole(release), output);
    }
    let mut out = String::new();
    let rows = [
        ("NAME", release.name.as_str()),
        ("LAST DEPLOYED", &time(&release.info.last_deployed)),
        ("NAMESPACE", &release.namespace),
        ("STATUS", release.info.status.name()),
        ("REVISION", &release.version.to_string()),
        ("CHART", &release.chart_name()),
        ("DESCRIPTION", &release.info.description),
    ];
    for (name, value) in rows {
        let _infallible = writeln!(out, "{name}: {value}");
    }
    for index in hook::at(&release.hooks, Event::Test) {
        let hook = &release.hooks[index];
        let phase = match hook.last_run.phase {
            release::Phase::Never => "not run yet".to_owned(),
            phase => format!("{phase:?}"),
        };
        let _infallible = writeln!(out, "TEST: {} ({phase})", hook.name);
    }
    if notes == Notes::Shown && !release.info.notes.is_empty() {
        let _infallible = writeln!(out, "NOTES:\n{}", release.info.notes.trim());
    }
    out
}

/// Returns what would be installed.
pub(crate) fn dry_run(release: &Release, output: Output) -> String {
    if output != Output::Table {
        return structured(&whole(release), output);
    }
    let mut out = status(release, output, Notes::Hidden);
    let _infallible = write!(out, "{}MANIFEST:\n{}", hooks(release), release.manifest);
    if !release.info.notes.is_empty() {
        let _infallible = writeln!(out, "NOTES:\n{}", release.info.notes.trim());
    }
    out
}

/// Returns the hooks as `helm get hooks` prints them.
pub(crate) fn hooks(release: &Release) -> String {
    let mut out = String::new();
    for hook in &release.hooks {
        let _infallible = write!(out, "---\n# Source: {}\n{}\n", hook.path, hook.manifest);
    }
    out
}

fn whole(release: &Release) -> Value {
    serde_json::to_value(release).unwrap_or_else(|error| json!({"error": error.to_string()}))
}

/// Returns a value as JSON or YAML.
pub(crate) fn structured(value: &Value, output: Output) -> String {
    match output {
        Output::Yaml => yaml::write(&Plain::from_json(value)),
        _ => format!("{value}\n"),
    }
}

/// Returns a time of a record as lists show it, to the second.
pub(crate) fn time(text: &str) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => text.to_owned(),
    }
}

/// Returns rows as a table, or as a list of maps with the same names.
pub(crate) fn rows(head: &[&str], rows: Vec<Vec<Value>>, output: Output) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if output == Output::Table {
        let head: Vec<String> = head.iter().map(|name| name.replace('_', " ").to_uppercase()).collect();
        let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(text).collect()).collect();
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        return format!("{}\n", base::table::columns(&head, &cells));
    }
    let maps: Vec<Value> = rows
        .into_iter()
        .map(|row| Value::Object(head.iter().map(|name| (*name).to_owned()).zip(row).collect()))
        .collect();
    structured(&Value::Array(maps), output)
}
