//! Files to a chart: metadata, templates, subcharts, `.helmignore`.

use std::collections::BTreeMap;

use super::{Error, Files, Manifest};
use gotmpl::{
    Value,
    sprig::{Constraint, Version},
    yaml,
};

/// A loaded chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Its name; an alias if its parent gives one.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `Chart.yaml` as read.
    pub(super) metadata: Value,
    /// Whether it has no parent.
    pub(super) root: bool,
    /// Path within the release: `parent/charts/child`.
    pub(super) path: String,
    pub(super) values: Value,
    pub(super) schema: Option<String>,
    pub(super) templates: BTreeMap<String, String>,
    pub(super) files: Files,
    pub(super) children: Vec<Chart>,
    pub(super) dependencies: Vec<Dependency>,
}

/// An entry of `dependencies` in `Chart.yaml`.
#[derive(Clone, Debug)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) alias: String,
    pub(super) version: String,
    pub(super) conditions: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) import_values: Vec<Value>,
    pub(super) enabled: bool,
}

impl Chart {
    /// Loads a chart from its files.
    pub fn load(files: &Files) -> Result<Self, Error> {
        let ignored = match files.get(".helmignore") {
            Some(rules) => Ignore::parse(&String::from_utf8_lossy(rules))?,
            None => Ignore::default(),
        };
        let kept = files.iter().filter(|(path, _)| !ignored.matches(path));
        let mut chart = Self::build(&kept.map(|(path, bytes)| (path.clone(), bytes.clone())).collect())?;
        chart.place("");
        Ok(chart)
    }

    fn build(files: &Files) -> Result<Self, Error> {
        let fail = |reason: String| Err(Error::Load { reason });
        let Some(metadata) = files.get("Chart.yaml") else { return fail("Chart.yaml file is missing".to_owned()) };
        let metadata = read_yaml("Chart.yaml", metadata)?;
        let text = |key: &str| metadata.get(key).map(|value| scalar_text(&value)).unwrap_or_default();
        let (name, version) = (text("name"), text("version"));
        if text("apiVersion").is_empty() {
            return fail("validation: chart.metadata.apiVersion is required".to_owned());
        }
        if name.is_empty() {
            return fail("validation: chart.metadata.name is required".to_owned());
        }
        if version.is_empty() {
            return fail("validation: chart.metadata.version is required".to_owned());
        }
        if Version::parse(&version).is_err() {
            return fail(format!("validation: chart.metadata.version {version:?} is invalid"));
        }
        if !matches!(text("type").as_str(), "" | "application" | "library") {
            return fail("validation: chart.metadata.type must be application or library".to_owned());
        }
        let library = text("type").eq_ignore_ascii_case("library");
        let mut chart = Chart {
            name,
            version,
            dependencies: dependencies(&metadata)?,
            metadata,
            root: false,
            path: String::new(),
            values: Value::pairs::<&str>([]),
            schema: None,
            templates: BTreeMap::new(),
            files: Files::new(),
            children: Vec::new(),
        };
        let mut children: BTreeMap<String, Files> = BTreeMap::new();
        for (path, bytes) in files {
            if path == "values.yaml" {
                let values = read_yaml(path, bytes)?.floats();
                if !values.is_nil() {
                    chart.values = values;
                }
            } else if path == "values.schema.json" {
                chart.schema = Some(String::from_utf8_lossy(bytes).into_owned());
            } else if path.starts_with("templates/") {
                // A library's own manifests are not rendered, its definitions are.
                if !library || gotmpl::sprig::base(path).starts_with('_') {
                    chart.templates.insert(path.clone(), String::from_utf8_lossy(bytes).into_owned());
                }
            } else if let Some(rest) = path.strip_prefix("charts/") {
                match rest.split_once('/') {
                    Some((child, _)) if child.starts_with(['_', '.']) => {}
                    Some((child, inner)) => {
                        children.entry(child.to_owned()).or_default().insert(inner.to_owned(), bytes.clone());
                    }
                    None if rest.to_lowercase().ends_with(".tgz") => {
                        return fail(format!("{path}: a packed subchart is not supported, unpack it to a folder"));
                    }
                    None => {}
                }
            } else if !matches!(path.as_str(), "Chart.yaml" | "Chart.lock" | "requirements.lock") {
                if path == "requirements.yaml" {
                    return fail("requirements.yaml is not supported, move it to Chart.yaml's dependencies".to_owned());
                }
                chart.files.insert(path.clone(), bytes.clone());
            }
        }
        for (name, files) in children {
            let child = Self::build(&files).map_err(|error| Error::Load {
                reason: format!("error unpacking subchart {name} in {}: {error}", chart.name),
            })?;
            chart.children.push(child);
        }
        for dependency in &chart.dependencies {
            if !chart.children.iter().any(|child| child.name == dependency.name) {
                return fail(format!("found in Chart.yaml, but missing in charts/ directory: {}", dependency.name));
            }
        }
        Ok(chart)
    }

    /// Sets the paths of this chart and its children.
    pub(super) fn place(&mut self, parent: &str) {
        self.root = parent.is_empty();
        self.path = if parent.is_empty() { self.name.clone() } else { format!("{parent}/charts/{}", self.name) };
        let path = self.path.clone();
        for child in &mut self.children {
            child.place(&path);
        }
    }

    pub(super) fn check_kube_version(&self, kube_version: &str) -> Result<(), Error> {
        let Some(wanted) = self.metadata.get("kubeVersion").map(|value| scalar_text(&value)).filter(|v| !v.is_empty())
        else {
            return Ok(());
        };
        let fits = Constraint::parse(&wanted)
            .and_then(|constraint| Ok(constraint.admits(&Version::parse(kube_version)?)))
            .map_err(|reason| Error::Load { reason })?;
        if fits {
            return Ok(());
        }
        let reason =
            format!("chart requires kubeVersion: {wanted} which is incompatible with Kubernetes {kube_version}");
        Err(Error::Load { reason })
    }

    pub(super) fn crds(&self) -> Vec<Manifest> {
        let mut crds: Vec<Manifest> = self
            .files
            .iter()
            .filter(|(path, _)| {
                path.starts_with("crds/") && [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end))
            })
            .map(|(path, bytes)| Manifest {
                source: path.clone(),
                kind: "CustomResourceDefinition".to_owned(),
                text: String::from_utf8_lossy(bytes).into_owned(),
            })
            .collect();
        for child in &self.children {
            crds.extend(child.crds());
        }
        crds
    }
}

/// The text of a scalar where Go's type is `string`.
pub(super) fn scalar_text(value: &Value) -> String {
    if value.is_nil() { String::new() } else { gotmpl::gofmt::verb_v(value) }
}

fn read_yaml(path: &str, bytes: &[u8]) -> Result<Value, Error> {
    yaml::read(&String::from_utf8_lossy(bytes))
        .map_err(|error| Error::Load { reason: format!("cannot load {path}: {error}") })
}

fn dependencies(metadata: &Value) -> Result<Vec<Dependency>, Error> {
    let Some(items) = metadata.get("dependencies").and_then(|value| value.items()) else { return Ok(Vec::new()) };
    let mut dependencies = Vec::new();
    for item in items.iter() {
        let text = |key: &str| item.get(key).map(|value| scalar_text(&value)).unwrap_or_default();
        let strings = |key: &str| item.get(key).and_then(|value| value.items()).unwrap_or_default();
        let name = text("name");
        if name.is_empty() {
            return Err(Error::Load { reason: "validation: a dependency has no name".to_owned() });
        }
        dependencies.push(Dependency {
            name,
            alias: text("alias"),
            version: text("version"),
            conditions: text("condition").trim().split(',').filter(|c| !c.is_empty()).map(str::to_owned).collect(),
            tags: strings("tags").iter().map(scalar_text).collect(),
            import_values: strings("import-values").to_vec(),
            enabled: true,
        });
    }
    Ok(dependencies)
}

#[derive(Default)]
struct Ignore(Vec<String>);

impl Ignore {
    fn parse(text: &str) -> Result<Self, Error> {
        let mut rules = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if line.starts_with('!') || line.contains("**") {
                let reason = format!(".helmignore: {line:?}: negation and double-star (**) are not supported");
                return Err(Error::Load { reason });
            }
            rules.push(line.to_owned());
        }
        Ok(Self(rules))
    }

    fn matches(&self, path: &str) -> bool {
        if path == "Chart.yaml" {
            return false;
        }
        let parts: Vec<&str> = path.split('/').collect();
        self.0.iter().any(|rule| {
            let (rule, folder) = rule.strip_suffix('/').map_or((rule.as_str(), false), |rule| (rule, true));
            (1..=parts.len()).any(|count| {
                if folder && count == parts.len() {
                    return false;
                }
                if let Some(rooted) = rule.strip_prefix('/') {
                    return glob(rooted.as_bytes(), parts[..count].join("/").as_bytes());
                }
                if rule.contains('/') {
                    return glob(rule.as_bytes(), parts[..count].join("/").as_bytes());
                }
                glob(rule.as_bytes(), parts[count - 1].as_bytes())
            })
        })
    }
}

/// `filepath.Match` without character classes: `*` and `?` stop at `/`.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            let end = text.iter().position(|b| *b == b'/').unwrap_or(text.len());
            (0..=end).any(|at| glob(rest, &text[at..]))
        }
        (Some((b'?', rest)), Some((c, tail))) => *c != b'/' && glob(rest, tail),
        (Some((p, rest)), Some((c, tail))) => p == c && glob(rest, tail),
        _ => false,
    }
}
