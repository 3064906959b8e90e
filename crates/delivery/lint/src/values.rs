//! Values of a chart and the templates that use them.
//!
//! Looks for `.Values.a.b` in the text of actions. Where a template takes all values at once, nothing can be said
//! of those that seem unused.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use helm::Files;
use regex::Regex;

use crate::{
    report::{Input, Report},
    tree::{Data, Node, Place},
};

/// Functions and words beside which a value may be absent.
const GUARDS: &[&str] = &["default", "if", "with", "or", "and", "not", "coalesce", "empty", "hasKey", "dig", "ternary"];

static USE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\.Values((?:\.[A-Za-z_][A-Za-z0-9_]*)*)").ok());
static COMMENT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\{\{-?\s*/\*").ok());

/// A place where a template uses a value.
struct Used {
    input: usize,
    at: Place,
    path: Vec<String>,
    guarded: bool,
}

/// Reports values that templates use and `values.yaml` does not have, and the other way round.
pub(crate) fn check(files: &Files, inputs: &[Input], report: &mut Report) {
    let Some(index) = inputs.iter().position(|input| input.file == "values.yaml") else { return };
    let Some(values) = inputs[index].documents.first() else { return };
    let mut used = Vec::new();
    for (input, source) in inputs.iter().enumerate() {
        if source.file.contains("templates/") {
            let text = files.get(&source.file).map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
            scan(&text, input, &mut used);
        }
    }
    let own = |used: &&Used| inputs[used.input].file.starts_with("templates/");
    undefined(values, &used.iter().filter(own).collect::<Vec<_>>(), report);

    // Values that are templates themselves use others.
    let text = files.get("values.yaml").map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
    scan(&text, index, &mut used);
    let passed = passed_on(files, inputs);
    if used.iter().any(|used| used.path.is_empty()) {
        return;
    }
    let mut paths: BTreeMap<String, Tree> = BTreeMap::new();
    for path in used.iter().map(|used| used.path.clone()).chain(passed) {
        plant(&mut paths, &path);
    }
    unused(values, &paths, &mut Vec::new(), index, report);
}

/// What templates use, as a tree; one without branches is used as a whole.
#[derive(Default)]
struct Tree {
    whole: bool,
    below: BTreeMap<String, Tree>,
}

fn plant(paths: &mut BTreeMap<String, Tree>, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    let tree = paths.entry(first.clone()).or_default();
    if rest.is_empty() {
        tree.whole = true;
    }
    plant(&mut tree.below, rest);
}

fn scan(text: &str, input: usize, used: &mut Vec<Used>) {
    let (Some(uses), Some(comment)) = (USE.as_ref(), COMMENT.as_ref()) else { return };
    let (mut from, mut at, mut counted) = (0, Place { line: 1, column: 1 }, 0);
    while let Some(start) = text[from..].find("{{").map(|at| from + at) {
        let end = text[start..].find("}}").map_or(text.len(), |at| start + at);
        let action = &text[start..end];
        from = end.max(start + 2);
        if comment.is_match(action) {
            continue;
        }
        let guarded = action.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| GUARDS.contains(&word));
        for found in uses.captures_iter(action) {
            let (Some(whole), Some(path)) = (found.get(0), found.get(1)) else { continue };
            let byte = start + whole.start();
            for c in text[counted..byte].chars() {
                at = match c {
                    '\n' => Place { line: at.line + 1, column: 1 },
                    _ => Place { column: at.column + 1, ..at },
                };
            }
            counted = byte;
            let path = path.as_str().split('.').skip(1).map(str::to_owned).collect();
            used.push(Used { input, at, path, guarded });
        }
    }
}

/// Keys that subcharts, conditions and tags read.
fn passed_on(files: &Files, inputs: &[Input]) -> BTreeSet<Vec<String>> {
    let mut passed = BTreeSet::from([vec!["global".to_owned()], vec!["tags".to_owned()]]);
    let children = files.keys().filter_map(|path| path.strip_prefix("charts/")?.split(['/', '.']).next());
    passed.extend(children.map(|name| vec![name.to_owned()]));
    let metadata = inputs.iter().find(|input| input.file == "Chart.yaml").and_then(|input| input.documents.first());
    let dependencies = metadata.and_then(|node| node.get("dependencies")).map(Node::items).unwrap_or_default();
    for dependency in dependencies {
        passed.extend([vec![dependency.str("name").to_owned()], vec![dependency.str("alias").to_owned()]]);
        let conditions = dependency.str("condition").split(',').map(str::trim).filter(|path| !path.is_empty());
        passed.extend(conditions.map(|path| path.split('.').map(str::to_owned).collect()));
    }
    passed
}

fn undefined(values: &Node, used: &[&Used], report: &mut Report) {
    let guarded: BTreeSet<&[String]> = used.iter().filter(|used| used.guarded).map(|used| &used.path[..]).collect();
    let mut told = BTreeSet::new();
    for Used { input, at, path, .. } in used {
        let asked_for = (1..=path.len()).any(|most| guarded.contains(&path[..most]));
        if asked_for || path.first().is_some_and(|first| first == "global") || has(values, path) || !told.insert(path) {
            continue;
        }
        let name = path.join(".");
        let message = format!("values.yaml has no {name}");
        report.add_file("undefined-value", *input, *at, message, format!("add {name} to values.yaml"));
    }
}

/// Returns whether values have a path, or may have it: of what is empty or no map nothing is said.
fn has(values: &Node, path: &[String]) -> bool {
    let mut node = values;
    for key in path {
        match &node.data {
            Data::Map(entries) if !entries.is_empty() => match entries.iter().find(|entry| entry.key == *key) {
                Some(entry) => node = &entry.value,
                None => return false,
            },
            _ => return true,
        }
    }
    true
}

fn unused(node: &Node, used: &BTreeMap<String, Tree>, path: &mut Vec<String>, index: usize, report: &mut Report) {
    for entry in node.entries() {
        path.push(entry.key.clone());
        match used.get(&entry.key) {
            Some(tree) if tree.whole => {}
            Some(tree) => unused(&entry.value, &tree.below, path, index, report),
            None => {
                let name = path.join(".");
                let message = format!("no template uses {name}");
                report.add_file("unused-value", index, entry.at, message, format!("remove {name}, or use it"));
            }
        }
        path.pop();
    }
}
