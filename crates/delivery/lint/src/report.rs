//! Collects findings, leaves out what a comment suppresses, and tells objects apart.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use crate::{
    Finding, Lines, Severity, rule_of,
    tree::{self, Data, Mistake, Node, Place},
};

/// Most findings of one input: what comes after them is left aside, and a last one says so.
const MOST: usize = 5_000;

/// A text as read, with where it came from.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) file: String,
    pub(crate) lines: Lines,
    pub(crate) documents: Vec<Node>,
    mistakes: Vec<Mistake>,
    ignored: HashMap<usize, Vec<String>>,
}

impl Input {
    pub(crate) fn read(file: &str, text: &str, lines: Lines) -> Self {
        let read = tree::read(text);
        Self {
            file: file.to_owned(),
            lines,
            documents: read.documents,
            mistakes: read.mistakes,
            ignored: ignored(text, &read.comments),
        }
    }

    /// Takes a text that is no YAML by itself: only its comments are looked for.
    pub(crate) fn template(file: &str, text: &str) -> Self {
        let asked = text.lines().enumerate().filter_map(|(index, line)| {
            let at = line.find("# lint:ignore")?;
            Some((index + 1, line[at + 1..].trim_end_matches([' ', '}', '-', '/', '*']).to_owned()))
        });
        Self {
            file: file.to_owned(),
            lines: Lines::Source,
            documents: Vec::new(),
            mistakes: Vec::new(),
            ignored: ignored(text, &asked.collect::<Vec<_>>()),
        }
    }

    fn ignores(&self, line: usize, rule: &str) -> bool {
        self.ignored.get(&line).is_some_and(|rules| rules.iter().any(|ignored| ignored == rule))
    }
}

/// Rules that `# lint:ignore` comments name, by the line that they are for.
fn ignored(text: &str, comments: &[(usize, String)]) -> HashMap<usize, Vec<String>> {
    let mut ignored: HashMap<usize, Vec<String>> = HashMap::new();
    let asked: Vec<(usize, &str)> = comments
        .iter()
        .filter_map(|(line, comment)| Some((*line, comment.trim().strip_prefix("lint:ignore")?)))
        .filter(|(_, rules)| rules.starts_with([' ', '\t']))
        .collect();
    if asked.is_empty() {
        return ignored;
    }
    // A comment that has its line to itself is for the next line that is none.
    let mut targets: Vec<usize> = Vec::new();
    let comment: Vec<bool> = text.lines().map(|line| line.trim_start().starts_with('#')).collect();
    for (index, is_comment) in comment.iter().enumerate().rev() {
        let below = targets.last().copied().unwrap_or(index + 2);
        targets.push(if *is_comment { below } else { index + 1 });
    }
    targets.reverse();
    for (line, rules) in asked.into_iter().filter(|(line, _)| *line > 0) {
        let of = targets.get(line - 1).copied().unwrap_or(line);
        let rules = rules.split([' ', '\t', ',']).filter(|rule| !rule.is_empty()).map(str::to_owned);
        ignored.entry(of).or_default().extend(rules);
    }
    ignored
}

/// An object of the input.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    pub(crate) node: &'a Node,
    pub(crate) input: usize,
    pub(crate) api_version: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    label: String,
}

impl Object<'_> {
    /// Returns its API group; empty for the core group.
    pub(crate) fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Returns whether two objects may stand in one namespace: where one is not said, it is given later.
    pub(crate) fn beside(&self, other: &Object<'_>) -> bool {
        self.namespace.is_empty() || other.namespace.is_empty() || self.namespace == other.namespace
    }
}

/// Returns the objects of all inputs, those of lists one by one, and reports documents that are none.
pub(crate) fn objects<'a>(inputs: &'a [Input], report: &mut Report) -> Vec<Object<'a>> {
    let mut objects = Vec::new();
    for (input, read) in inputs.iter().enumerate() {
        for document in &read.documents {
            push(document, input, &mut objects, report);
        }
    }
    let mut seen: HashMap<(&str, &str, &str, &str), usize> = HashMap::new();
    for (index, object) in objects.iter().enumerate() {
        if object.name.is_empty() {
            continue;
        }
        let first = *seen.entry((object.group(), object.kind, object.namespace, object.name)).or_insert(index);
        if first != index {
            let (at, file) = (objects[first].node.at, &inputs[objects[first].input].file);
            let message = format!("{} is there already: {file}, line {}", object.label, at.line);
            let fix = "rename or remove one of them".to_owned();
            report.add("duplicate-object", object, object.node.at, String::new(), message, fix);
        }
    }
    objects
}

fn push<'a>(node: &'a Node, input: usize, objects: &mut Vec<Object<'a>>, report: &mut Report) {
    if matches!(node.data, Data::Null) {
        return;
    }
    let (api_version, kind) = (node.str("apiVersion"), node.str("kind"));
    let metadata = node.get("metadata");
    let of = |key: &str| metadata.map(|metadata| metadata.str(key)).unwrap_or_default();
    let (namespace, name) = (of("namespace"), of("name"));
    let label = if name.is_empty() { kind.to_owned() } else { format!("{kind}/{name}") };
    let object = Object { node, input, api_version, kind, namespace, name, label };
    if api_version.is_empty() || kind.is_empty() {
        let what = match (&node.data, api_version.is_empty()) {
            (Data::Map(_), true) => "it has no apiVersion",
            (Data::Map(_), false) => "it has no kind",
            _ => "the document is no object",
        };
        let fix = "begin it with apiVersion and kind".to_owned();
        report.add("not-an-object", &object, node.at, String::new(), what.to_owned(), fix);
        return;
    }
    match node.get("items") {
        Some(items) if kind.ends_with("List") && matches!(items.data, Data::List(_)) => {
            items.items().iter().for_each(|item| push(item, input, objects, report));
        }
        _ => objects.push(object),
    }
}

/// What was found so far.
pub(crate) struct Report {
    inputs: Rc<Vec<Input>>,
    findings: Vec<Finding>,
    left_aside: usize,
}

impl Report {
    pub(crate) fn new(inputs: Vec<Input>) -> Self {
        Self { inputs: Rc::new(inputs), findings: Vec::new(), left_aside: 0 }
    }

    pub(crate) fn inputs(&self) -> Rc<Vec<Input>> {
        self.inputs.clone()
    }

    /// Returns whether there are errors among the findings.
    pub(crate) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Returns whether what is added from now on is left aside.
    pub(crate) fn is_full(&self) -> bool {
        self.findings.len() >= MOST
    }

    /// Adds a finding about an object.
    pub(crate) fn add(
        &mut self,
        rule: &'static str,
        object: &Object<'_>,
        at: Place,
        path: String,
        message: String,
        fix: String,
    ) {
        self.put(rule, object.input, at, (object.label.clone(), path), message, fix);
    }

    /// Adds a finding about a file.
    pub(crate) fn add_file(&mut self, rule: &'static str, input: usize, at: Place, message: String, fix: String) {
        self.put(rule, input, at, (String::new(), String::new()), message, fix);
    }

    fn put(
        &mut self,
        rule: &'static str,
        input: usize,
        at: Place,
        (object, path): (String, String),
        message: String,
        fix: String,
    ) {
        let Some(source) = self.inputs.get(input) else { return };
        if source.ignores(at.line, rule) {
            return;
        }
        if self.findings.len() >= MOST {
            self.left_aside += 1;
            return;
        }
        self.findings.push(Finding {
            rule,
            severity: rule_of(rule).map_or(Severity::Error, |rule| rule.severity),
            file: source.file.clone(),
            lines: source.lines,
            line: at.line,
            column: at.column,
            object,
            path,
            message,
            fix,
        });
    }

    /// Reports what is wrong with the texts themselves.
    pub(crate) fn mistakes(&mut self) {
        let inputs = self.inputs();
        for (index, input) in inputs.iter().enumerate() {
            for mistake in &input.mistakes {
                let (rule, at, message, fix) = match mistake {
                    Mistake::Syntax(at, message) => {
                        ("yaml-syntax", *at, message.clone(), "correct the text; this document was not looked at")
                    }
                    Mistake::Twice(at, key, first) => {
                        let message = format!("{key:?} stands already on line {first}");
                        ("yaml-duplicate-key", *at, message, "keep one of the two")
                    }
                    Mistake::Truth(at, key) => {
                        let message = format!("the key {key} is read as a truth: true or false");
                        ("yaml-truth-key", *at, message, "quote it, or call it otherwise")
                    }
                    Mistake::Bounds(at, message) => {
                        ("input-too-large", *at, message.clone(), "split it; the rest was not looked at")
                    }
                };
                self.add_file(rule, index, at, message, fix.to_owned());
            }
        }
    }

    /// Returns the findings by file and place, each once.
    pub(crate) fn finish(self) -> Vec<Finding> {
        let Self { mut findings, left_aside, .. } = self;
        if let (true, Some(last)) = (left_aside > 0, findings.last()) {
            let message = format!("{left_aside} more findings are left aside");
            let fix = "correct what is shown and look again".to_owned();
            findings.push(Finding { rule: "input-too-large", severity: Severity::Error, message, fix, ..last.clone() });
        }
        sort(&mut findings);
        findings
    }
}

/// Puts findings in the order of their files and places, each once.
pub(crate) fn sort(findings: &mut Vec<Finding>) {
    findings.sort_by(|a, b| {
        (&a.file, a.lines, a.line, a.column, a.rule, &a.path)
            .cmp(&(&b.file, b.lines, b.line, b.column, b.rule, &b.path))
    });
    let mut seen = HashSet::new();
    findings.retain(|found| {
        seen.insert((
            found.rule,
            found.file.clone(),
            found.line,
            found.column,
            found.object.clone(),
            found.path.clone(),
            found.message.clone(),
        ))
    });
}
