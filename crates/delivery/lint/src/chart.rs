//! Charts: `Chart.yaml`, values, templates, and what they render to.

use std::sync::LazyLock;

use helm::{Error, Files, Options};
use regex::Regex;

use crate::{
    Finding, Lines, look,
    report::{self, Input, Report},
    tree::{Data, Node, Place},
    values,
};

/// Most templates that may fail before the chart is no longer rendered without them.
const MOST_FAILURES: usize = 10;

/// Looks at a chart: its own files, and what they render to with some options.
///
/// Lines of rendered manifests are lines of the rendered document, and `Finding::lines` says so.
pub fn chart(files: &Files, options: &Options) -> Vec<Finding> {
    let sources = Sources::read(files);
    let mut report = Report::new(sources.inputs);
    report.mistakes();
    let inputs = report.inputs();
    let at = |file: &str| inputs.iter().position(|input| input.file == file);
    let metadata = at("Chart.yaml").and_then(|index| Some((index, inputs[index].documents.first()?)));
    match metadata {
        Some((index, node)) => check_metadata(index, node, &mut report),
        None => {
            let (message, fix) = ("Chart.yaml is missing or empty", "add it with apiVersion, name and version");
            report.add_file("chart-metadata", at("Chart.yaml").unwrap_or(0), START, message.into(), fix.into());
        }
    }
    if let (Some(index), Some(text)) = (at("values.schema.json"), files.get("values.schema.json")) {
        check_schema(index, text, &mut report);
    }
    values::check(files, &inputs, &mut report);
    let library = metadata.is_some_and(|(_, node)| node.str("type").eq_ignore_ascii_case("library"));
    let mut findings = if library { Vec::new() } else { look(render(files, options, &mut report)) };
    findings.extend(report.finish());
    report::sort(&mut findings);
    findings
}

const START: Place = Place { line: 1, column: 1 };

struct Sources {
    inputs: Vec<Input>,
}

impl Sources {
    fn read(files: &Files) -> Self {
        let mut inputs = vec![Input::read("Chart.yaml", &text_of(files, "Chart.yaml"), Lines::Source)];
        if files.contains_key("values.yaml") {
            inputs.push(Input::read("values.yaml", &text_of(files, "values.yaml"), Lines::Source));
        }
        let plain = files.keys().filter(|path| *path == "values.schema.json" || is_template(path));
        inputs.extend(plain.map(|path| Input::template(path, &text_of(files, path))));
        Self { inputs }
    }
}

fn is_template(path: &str) -> bool {
    path.starts_with("templates/") || path.contains("/templates/")
}

fn text_of(files: &Files, path: &str) -> String {
    files.get(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

fn check_metadata(index: usize, node: &Node, report: &mut Report) {
    let mut add = |rule, key: &str, message: String, fix: &str| {
        let at = node.get(key).map_or(node.at, |value| value.at);
        report.add_file(rule, index, at, message, fix.to_owned());
    };
    match node.get("apiVersion").map(|value| value.text()) {
        Some(Some("v1" | "v2")) => {}
        Some(_) => add("chart-metadata", "apiVersion", "apiVersion is neither v1 nor v2".into(), "write v2"),
        None => add("chart-metadata", "apiVersion", "apiVersion is missing".into(), "add apiVersion: v2"),
    }
    let name = node.str("name");
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if name.is_empty() {
        add("chart-metadata", "name", "name is missing".into(), "add the chart's name as text");
    } else if name.contains('/') || name == "." || name == ".." {
        let message = format!("{name:?} is no name of a chart");
        add("chart-metadata", "name", message, "use lower-case letters, digits and hyphens");
    } else if !name.chars().all(fits) {
        let message = format!("{name:?} is no name by Helm's convention, and objects cannot be called so");
        add("chart-name", "name", message, "use lower-case letters, digits and hyphens");
    }
    match node.get("version").map(|value| &value.data) {
        None => add("chart-metadata", "version", "version is missing".into(), "add a version as in 1.0.0"),
        Some(Data::Text(text)) if semver::Version::parse(text.strip_prefix('v').unwrap_or(text)).is_ok() => {}
        Some(_) => {
            let message = "version is no semantic version".to_owned();
            add("chart-metadata", "version", message, "write three numbers as in 1.0.0");
        }
    }
    if node.get("appVersion").is_some_and(|value| value.text().is_none()) {
        let message = "appVersion is read as a number, and zeros at its end are lost".to_owned();
        add("chart-app-version", "appVersion", message, "quote it");
    }
    let kind = node.str("type");
    if !matches!(kind, "" | "application" | "library") {
        let message = format!("{kind:?} is no type of chart");
        add("chart-metadata", "type", message, "write application or library");
    }
    if node.get("icon").is_none() && kind != "library" {
        add("chart-icon", "icon", "the chart has no icon".into(), "add icon with the address of an image");
    }
}

fn check_schema(index: usize, bytes: &[u8], report: &mut Report) {
    let fix = "correct the file; without it values are not checked".to_owned();
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(json) if json.is_object() || json.is_boolean() => {}
        Ok(_) => report.add_file("values-schema", index, START, "a schema is an object".to_owned(), fix),
        Err(error) => {
            let at = Place { line: error.line().max(1), column: error.column().max(1) };
            report.add_file("values-schema", index, at, format!("it is no JSON: {error}"), fix);
        }
    }
}

/// Returns what a chart renders to. A template that fails is reported and left out, and the rest is looked at.
fn render(files: &Files, options: &Options, report: &mut Report) -> Vec<Input> {
    let (mut files, mut options) = (files.clone(), options.clone());
    options.include_crds = true;
    for _ in 0..MOST_FAILURES {
        let error = match helm::render(&files, &options) {
            Ok(rendered) => return rendered_inputs(&rendered),
            Err(error) => error,
        };
        let failed = report_error(&error, report);
        let base = failed.as_deref().and_then(|file| file.rsplit('/').next()).unwrap_or_default();
        // What others include cannot be left out.
        match failed {
            Some(file) if !base.starts_with('_') && files.remove(&file).is_some() => {}
            _ => break,
        }
    }
    Vec::new()
}

fn rendered_inputs(rendered: &helm::Rendered) -> Vec<Input> {
    let read = |manifest: &helm::Manifest, lines| Input::read(within(&manifest.source), &manifest.text, lines);
    let crds = rendered.crds.iter().map(|manifest| read(manifest, Lines::Source));
    let manifests = rendered.manifests.iter().map(|manifest| read(manifest, Lines::Rendered));
    let hooks = rendered.hooks.iter().map(|hook| read(&hook.manifest, Lines::Rendered));
    crds.chain(manifests).chain(hooks).collect()
}

/// A path within the chart, of one that begins with the chart's name.
fn within(source: &str) -> &str {
    source.split_once('/').map_or(source, |(_, path)| path)
}

static PLACE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?:template: |error at \()([^\s:()]+):(\d+)(?::(\d+))?").ok());
static LINE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"yaml: line (\d+)").ok());

/// Reports why a chart does not render, and returns the template that is at fault: the outermost one.
fn report_error(error: &Error, report: &mut Report) -> Option<String> {
    let inputs = report.inputs();
    let find = |file: &str| inputs.iter().position(|input| input.file == file);
    match error {
        Error::Template { text } => {
            let places: Vec<(&str, Place)> = PLACE
                .as_ref()
                .into_iter()
                .flat_map(|place| place.captures_iter(text))
                .filter_map(|found| {
                    let number = |group| found.get(group).and_then(|group| group.as_str().parse::<usize>().ok());
                    // Go counts columns from 0.
                    let column = number(3).map_or(1, |column| column.saturating_add(1));
                    Some((within(found.get(1)?.as_str()), Place { line: number(2)?.max(1), column }))
                })
                .collect();
            let innermost = places.iter().rev().find_map(|(file, at)| Some((find(file)?, *at)));
            let (index, at) = innermost.unwrap_or((0, START));
            let fix = "correct the template at this place".to_owned();
            report.add_file("template-error", index, at, text.clone(), fix);
            places.first().map(|(file, _)| (*file).to_owned())
        }
        Error::Manifest { source_file, reason } => {
            let file = within(source_file);
            let line = LINE.as_ref().and_then(|line| line.captures(reason)?.get(1)?.as_str().parse().ok()).unwrap_or(1);
            let message = format!("what it renders to is no YAML: {reason} (the line is one of the rendered text)");
            let fix = "check indentation and quotes of the template".to_owned();
            report.add_file("yaml-syntax", find(file).unwrap_or(0), Place { line, column: 1 }, message, fix);
            Some(file.to_owned())
        }
        // What Chart.yaml and values.yaml lack is told with its place already.
        Error::Load { .. } | Error::Values { .. } if report.has_errors() => None,
        Error::Schema { reason } => {
            let index = find("values.yaml").unwrap_or(0);
            let fix = "correct the values, or values.schema.json".to_owned();
            report.add_file("chart-error", index, START, format!("values break values.schema.json: {reason}"), fix);
            None
        }
        error => {
            let fix = "correct what the message names".to_owned();
            report.add_file("chart-error", 0, START, error.to_string(), fix);
            None
        }
    }
}
