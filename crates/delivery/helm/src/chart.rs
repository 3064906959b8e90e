//! Files to a chart: metadata, templates, subcharts, `.helmignore`.

use std::collections::BTreeMap;

use super::{
    Error, Files, Manifest,
    archive::{self, Bounds},
    ignore::Ignore,
    metadata,
};
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
    /// The name in the paths of its children. Helm forgets to tell them of an alias unless their parent's
    /// `Chart.yaml` names them.
    pub(super) known_as: String,
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
        let rules = files.get(".helmignore").map(|rules| String::from_utf8_lossy(rules));
        let ignored = Ignore::parse(&rules.unwrap_or_default())?;
        let kept = files.iter().filter(|(path, _)| !ignored.hides(path));
        let mut chart = Self::build(&kept.map(|(path, bytes)| (path.clone(), bytes.clone())).collect())?;
        chart.place("");
        Ok(chart)
    }

    fn build(files: &Files) -> Result<Self, Error> {
        let Some(metadata) = files.get("Chart.yaml") else {
            return Err(Error::Load { reason: "Chart.yaml file is missing".to_owned() });
        };
        let mut metadata = read_yaml("Chart.yaml", metadata)?;
        let v1 = metadata::normalize(&mut metadata);
        if let Some(requirements) = files.get("requirements.yaml") {
            metadata::lay_over(&metadata, &read_yaml("requirements.yaml", requirements)?);
        }
        metadata::validate(&metadata)?;
        let text = |key: &str| metadata.get(key).map(|value| scalar_text(&value)).unwrap_or_default();
        let library = text("type").eq_ignore_ascii_case("library");
        let mut chart = Chart {
            name: text("name"),
            known_as: text("name"),
            version: text("version"),
            dependencies: dependencies(&metadata),
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
            let owned = || String::from_utf8_lossy(bytes).into_owned();
            if path == "values.yaml" {
                match read_yaml(path, bytes)?.floats() {
                    Value::Nil => {}
                    values @ Value::Map(..) => chart.values = values,
                    other => {
                        let reason = format!(
                            "cannot load values.yaml: error unmarshaling JSON: while decoding JSON: json: cannot \
                             unmarshal {} into Go value of type map[string]interface {{}}",
                            super::functions::go_kind(&other)
                        );
                        return Err(Error::Load { reason });
                    }
                }
            } else if path == "values.schema.json" {
                chart.schema = Some(owned());
            } else if path.starts_with("templates/") {
                // A library's own manifests are not rendered, its definitions are.
                if !library || gotmpl::sprig::base(path).starts_with('_') {
                    chart.templates.insert(path.clone(), owned());
                }
            } else if let Some(rest) = path.strip_prefix("charts/").filter(|_| extension(path) != ".prov") {
                let (child, inner) = rest.split_once('/').unwrap_or((rest, ""));
                if !child.starts_with(['_', '.']) {
                    children.entry(child.to_owned()).or_default().insert(inner.to_owned(), bytes.clone());
                }
            } else {
                let about_dependencies = matches!(path.as_str(), "requirements.yaml" | "requirements.lock");
                if !matches!(path.as_str(), "Chart.yaml" | "Chart.lock") && (v1 || !about_dependencies) {
                    chart.files.insert(path.clone(), bytes.clone());
                }
            }
        }
        for (name, files) in children {
            chart.adopt(&name, files)?;
        }
        Ok(chart)
    }

    /// Loads what stands under one name in `charts/`: a folder, an archive, or nothing of a chart's.
    fn adopt(&mut self, name: &str, mut files: Files) -> Result<(), Error> {
        let single = files.remove("");
        let child = match single {
            Some(packed) if extension(name) == ".tgz" => {
                archive::unpack(&packed, Bounds::default()).and_then(|files| Self::build(&files))
            }
            Some(_) if files.is_empty() => return Ok(()),
            _ => Self::build(&files),
        };
        let child = child.map_err(|error| Error::Load {
            reason: format!("error unpacking subchart {name} in {}: {}", self.name, error),
        })?;
        self.children.push(child);
        Ok(())
    }

    /// Checks that every dependency is there.
    pub(super) fn check_dependencies(&self) -> Result<(), Error> {
        let missing: Vec<&str> = self
            .dependencies
            .iter()
            .filter(|dependency| !self.children.iter().any(|child| child.name == dependency.name))
            .map(|dependency| dependency.name.as_str())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let reason = format!(
            "An error occurred while checking for chart dependencies. You may need to run `helm dependency build` to \
             fetch missing dependencies: found in Chart.yaml, but missing in charts/ directory: {}",
            missing.join(", ")
        );
        Err(Error::Load { reason })
    }

    /// Checks that it is a chart by itself, and no library for others.
    pub(super) fn check_installable(&self) -> Result<(), Error> {
        match self.metadata.get("type").map(|value| scalar_text(&value)).unwrap_or_default().as_str() {
            "" | "application" => Ok(()),
            other => Err(Error::Load { reason: format!("{other} charts are not installable") }),
        }
    }

    /// Sets the paths of this chart and its children.
    pub(super) fn place(&mut self, parent: &str) {
        self.root = parent.is_empty();
        let below = |name: &str| if parent.is_empty() { name.to_owned() } else { format!("{parent}/charts/{name}") };
        self.path = below(&self.name);
        let path = below(&self.known_as);
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
                source: format!("{}/{path}", self.path),
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

/// The end of a name from its last dot on, or nothing.
fn extension(path: &str) -> &str {
    path.rfind(['.', '/']).map(|at| &path[at..]).filter(|end| end.starts_with('.')).unwrap_or_default()
}

fn read_yaml(path: &str, bytes: &[u8]) -> Result<Value, Error> {
    yaml::read(&String::from_utf8_lossy(bytes))
        .map_err(|error| Error::Load { reason: format!("cannot load {path}: error converting YAML to JSON: {error}") })
}

fn dependencies(metadata: &Value) -> Vec<Dependency> {
    let Some(items) = metadata.get("dependencies").and_then(|value| value.items()) else { return Vec::new() };
    let mut dependencies = Vec::new();
    for item in items.iter() {
        let text = |key: &str| item.get(key).map(|value| scalar_text(&value)).unwrap_or_default();
        let strings = |key: &str| item.get(key).and_then(|value| value.items()).unwrap_or_default();
        let name = text("name");
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
    dependencies
}
