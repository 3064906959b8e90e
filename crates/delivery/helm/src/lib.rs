//! Helm v3's charts: a map of files and some values in, manifests out, as `helm template` prints them.
//!
//! Never talks to a cluster: `lookup` finds nothing. Never fetches: subcharts stand in `charts/` as folders.

pub mod archive;
mod chart;
mod functions;
mod glob;
pub mod head;
pub mod ignore;
mod manifests;
mod metadata;
mod objects;
mod record;
mod schema;
mod set;
mod values;

use std::{collections::BTreeMap, fmt, rc::Rc, sync::Arc};

use jiff::Zoned;

use base::fault::{Class, Fault};

pub use chart::Chart;
pub use manifests::{Hook, Manifest, flatten, parse_manifests, split as split_manifests};
pub use set::set_file_paths;

use gotmpl::{Limits, Templates, Value, World};
use set::Typing;

/// A chart's files by path within the chart, for example `templates/deployment.yaml`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// One value given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Set {
    /// `--set-json`: `a.b={"c":1}`.
    Json(String),
    /// `--set`: `a.b=1`; the value's type is guessed as Helm guesses it.
    Typed(String),
    /// `--set-string`: `a.b=1`; the value stays text.
    Text(String),
    /// `--set-file`: `a.b=path`.
    File {
        /// The whole of it.
        text: String,
        /// What the files hold that it names, by path; [`set_file_paths`] says which.
        contents: BTreeMap<String, String>,
    },
    /// `--set-literal`: `a.b=x,y`; the value is all that follows `=`.
    Literal(String),
}

impl Set {
    /// Helm takes them in this order, whatever order they were given in.
    fn rank(&self) -> usize {
        match self {
            Set::Json(_) => 0,
            Set::Typed(_) => 1,
            Set::Text(_) => 2,
            Set::File { .. } => 3,
            Set::Literal(_) => 4,
        }
    }

    fn lay_over(&self, to: &Value) -> Result<(), String> {
        let (text, typing, flag) = match self {
            Set::Json(text) => {
                // Helm keeps the cause to itself here.
                return set::parse_into(text, to, Typing::Json)
                    .map_err(|_cause| format!("failed parsing --set-json data {text}"));
            }
            Set::Typed(text) => (text, Typing::Guess, "--set"),
            Set::Text(text) => (text, Typing::Text, "--set-string"),
            Set::File { text, contents } => (text, Typing::File(contents), "--set-file"),
            Set::Literal(text) => (text, Typing::Literal, "--set-literal"),
        };
        set::parse_into(text, to, typing).map_err(|cause| format!("failed parsing {flag} data: {cause}"))
    }
}

/// Finds objects of a cluster for `lookup`: API version, kind, namespace, name (empty: a list).
pub type Lookup = Arc<dyn Fn(&str, &str, &str, &str) -> Result<serde_json::Value, String> + Send + Sync>;

/// What becomes of the values of an earlier release.
#[derive(Clone, Debug, Default)]
pub enum Previous {
    /// Nothing: `--reset-values`.
    #[default]
    Forgotten,
    /// They are taken where none are given.
    Otherwise {
        /// The values that it was given.
        given: serde_json::Value,
    },
    /// New values are laid over them: `--reset-then-reuse-values`.
    Under {
        /// The values that it was given.
        given: serde_json::Value,
    },
    /// New values are laid over them and over its chart's own: `--reuse-values`.
    Instead {
        /// The values that it was given.
        given: serde_json::Value,
        /// Those of its chart.
        chart: serde_json::Value,
    },
}

/// What a release's record needs beside what was rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// What was rendered.
    pub rendered: Rendered,
    /// The chart as records hold it: `metadata`, `lock`, `templates`, `values`, `schema`, `files`.
    pub chart: serde_json::Value,
    /// The values that were given, without the chart's own.
    pub given: serde_json::Value,
}

/// What a chart is rendered with.
#[derive(Clone)]
pub struct Options {
    /// Release name.
    pub name: String,
    /// Release namespace.
    pub namespace: String,
    /// Values files in order: YAML texts, the last one wins.
    pub values: Vec<String>,
    /// Values as given by `--set`, in order; they win over files.
    pub set: Vec<Set>,
    /// `.Capabilities.KubeVersion`, for example `v1.36.0`.
    pub kube_version: String,
    /// Group versions (and `group/version/Kind`) beyond the ones every Kubernetes has.
    pub api_versions: Vec<String>,
    /// Everything that the cluster has, as group versions and `group/version/Kind`, instead of what every Kubernetes has.
    pub discovered: Option<Vec<String>>,
    /// Sets `.Release.IsUpgrade` rather than `.Release.IsInstall`.
    pub upgrade: bool,
    /// `.Release.Revision`.
    pub revision: u32,
    /// What becomes of an earlier release's values.
    pub previous: Previous,
    /// Gives the files of `crds/` too.
    pub include_crds: bool,
    /// Leaves values unchecked although the chart has a schema for them.
    pub skip_schema: bool,
    /// How far the render may go.
    pub limits: Limits,
    /// The time, and what random text, keys and passwords follow from. Without it, charts that ask for the time or
    /// for chance are refused: a render gives the same answer twice.
    pub moment: Option<(Zoned, [u8; 32])>,
    /// What `lookup` asks; without one, nothing is found, as with `helm template`.
    pub lookup: Option<Lookup>,
}

impl Options {
    /// Returns options for a release, everything else as Helm has it by default.
    pub fn new(name: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            namespace: namespace.into(),
            values: Vec::new(),
            set: Vec::new(),
            kube_version: "v1.36.0".to_owned(),
            api_versions: Vec::new(),
            discovered: None,
            upgrade: false,
            revision: 1,
            previous: Previous::Forgotten,
            include_crds: false,
            skip_schema: false,
            limits: Limits::default(),
            moment: None,
            lookup: None,
        }
    }

    fn world(&self) -> World {
        let world = match &self.moment {
            Some((now, seed)) => World::new(now.clone(), *seed),
            None => World::still(),
        };
        let mut world = world.within(self.limits);
        if let Some(find) = self.lookup.clone() {
            let lookup: gotmpl::Lookup = Rc::new(move |version, kind, namespace, name| {
                find(version, kind, namespace, name).map(|found| Value::from_json(&found).floats())
            });
            world.lookup = Some(lookup);
        }
        world
    }
}

/// What a chart renders to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Files of `crds/`, if asked for.
    pub crds: Vec<Manifest>,
    /// Manifests in the order to apply them.
    pub manifests: Vec<Manifest>,
    /// Manifests with a `helm.sh/hook` annotation.
    pub hooks: Vec<Hook>,
    /// The chart's `NOTES.txt`.
    pub notes: Option<String>,
}

impl Rendered {
    /// Returns what `helm template` prints: definitions, manifests, hooks.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let _infallible = self.write(&mut text, |_| true);
        text
    }

    /// Writes what `helm template` prints, with the hooks that are wanted.
    pub fn write(&self, out: &mut impl fmt::Write, wanted: impl Fn(&Hook) -> bool) -> fmt::Result {
        let mut manifests = self.crds.iter().chain(&self.manifests).peekable();
        if manifests.peek().is_none() {
            out.write_char('\n')?;
        }
        while let Some(manifest) = manifests.next() {
            // Definitions are whole files: the last one's blanks go.
            match manifest.text.trim_end() {
                _ if manifests.peek().is_some() => one(out, &manifest.source, &[&manifest.text, "\n"])?,
                "" => one(out, &manifest.source, &[])?,
                text => one(out, &manifest.source, &[text, "\n"])?,
            }
        }
        for Hook { manifest, .. } in self.hooks.iter().filter(|hook| wanted(hook)) {
            one(out, &manifest.source, &[&manifest.text, "\n"])?;
        }
        Ok(())
    }
}

fn one(out: &mut impl fmt::Write, source: &str, text: &[&str]) -> fmt::Result {
    ["---\n# Source: ", source, "\n"].iter().chain(text).try_for_each(|part| out.write_str(part))
}

/// Why a chart could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The files are not a chart.
    #[error("{reason}")]
    Load {
        /// What is wrong with it.
        reason: String,
    },
    /// The values cannot be read.
    #[error("{reason}")]
    Values {
        /// What is wrong with them.
        reason: String,
    },
    /// The values break the chart's `values.schema.json`.
    #[error("values don't meet the specifications of the schema(s) in the following chart(s):\n{reason}")]
    Schema {
        /// A line per mistake.
        reason: String,
    },
    /// A template failed; the text is what Helm prints.
    #[error("{text}")]
    Template {
        /// Where and why.
        text: String,
    },
    /// What came out is not YAML.
    #[error("YAML parse error on {source_file}: {reason}")]
    Manifest {
        /// The template it came from.
        source_file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The machine gave no thread to render on.
    #[error("no thread to render on: {reason}")]
    Thread {
        /// What the system said.
        reason: String,
    },
}

impl Fault for Error {
    fn class(&self) -> Class {
        match self {
            Error::Thread { .. } => Class::Transient,
            _ => Class::Stalled,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Error::Load { .. } => "RND0001",
            Error::Values { .. } => "RND0002",
            Error::Schema { .. } => "RND0003",
            Error::Template { .. } => "RND0004",
            Error::Manifest { .. } => "RND0005",
            Error::Thread { .. } => "RND0006",
        }
    }
}

/// Returns whether a release may have this name: a DNS subdomain of at most 53 characters.
pub fn is_release_name(name: &str) -> bool {
    let label = |label: &str| {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        label.starts_with(edge) && label.ends_with(edge) && label.chars().all(|c| edge(c) || c == '-')
    };
    name.len() <= 53 && name.split('.').all(label)
}

/// Stack for one render: charts may nest as deep as [`Limits::depth`] allows.
const STACK: usize = 256 << 20;

/// Renders a chart.
///
/// Works on a thread of its own, because a deep chart needs a deep stack; the answer is the same for the same
/// input.
pub fn render(files: &Files, options: &Options) -> Result<Rendered, Error> {
    on_thread(|| Ok(render_here(files, options)?.0))
}

/// Renders a chart as [`render`] does, and returns what a release's record holds of it.
pub fn record(files: &Files, options: &Options) -> Result<Recorded, Error> {
    on_thread(|| {
        let (rendered, chart, given) = render_here(files, options)?;
        Ok(Recorded { rendered, chart: record::of(&chart, files)?, given: record::numbers(&given) })
    })
}

/// Returns the files of `crds/`, those of children that are switched on among them.
pub fn definitions(files: &Files, options: &Options) -> Result<Vec<Manifest>, Error> {
    on_thread(|| {
        let (chart, _) = prepared(files, options)?;
        Ok(chart.crds())
    })
}

/// Returns `given` laid over a chart's own values, as templates see them.
pub fn values_over(given: &serde_json::Value, own: &serde_json::Value) -> serde_json::Value {
    let (given, own) = (Value::from_json(given).floats(), Value::from_json(own).floats());
    record::numbers(&values::over(given, &own))
}

fn on_thread<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new()
            .name("render".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(|error| Error::Thread { reason: error.to_string() })?;
        worker.join().unwrap_or_else(|_| Err(Error::Thread { reason: "it panicked".to_owned() }))
    })
}

/// Returns the chart with the children that are switched on, and the values that were given.
fn prepared(files: &Files, options: &Options) -> Result<(Chart, Value), Error> {
    let mut chart = Chart::load(files)?;
    let given = values::given(options)?;
    let given = values::previous(&mut chart, given, &options.previous);
    chart.check_installable()?;
    chart.check_dependencies()?;
    values::process_dependencies(&mut chart, &given)?;
    Ok((chart, given))
}

/// Returns what a chart renders to, the chart with the children that are switched on, and the values that were given.
fn render_here(files: &Files, options: &Options) -> Result<(Rendered, Chart, Value), Error> {
    let (chart, given) = prepared(files, options)?;
    chart.check_kube_version(&options.kube_version)?;
    let values = values::coalesce(&chart, given.deep_copy())?;
    if !options.skip_schema {
        schema::check(&chart, &values)?;
    }
    let renderables = objects::renderables(&chart, &values, options);

    let mut templates = Templates::new(functions::all());
    for item in &renderables {
        templates.parse(&item.name, &item.text).map_err(|error| parse_error(&item.name, &error.text))?;
    }
    let world = options.world();
    let mut outputs = BTreeMap::new();
    for item in &renderables {
        if gotmpl::sprig::base(&item.name).starts_with('_') {
            continue;
        }
        if let Some(scope) = item.scope.as_map() {
            let template = Value::pairs([("Name", Value::str(&item.name)), ("BasePath", Value::str(&item.base_path))]);
            scope.borrow_mut().insert("Template".into(), template);
        }
        let mut out = templates
            .render(&item.name, &item.scope, &world)
            .map_err(|error| Error::Template { text: exec_error(&error.text) })?;
        if out.contains("<no value>") {
            out = out.replace("<no value>", "");
        }
        outputs.insert(item.name.clone(), out);
    }
    let notes = outputs.get(&format!("{}/templates/NOTES.txt", chart.name)).cloned();
    outputs.retain(|name, _| !name.ends_with("NOTES.txt"));
    let (manifests, hooks) = manifests::sort(outputs)?;
    let crds = if options.include_crds { chart.crds() } else { Vec::new() };
    Ok((Rendered { crds, manifests, hooks, notes }, chart, given))
}

/// Helm's wording of a text that does not parse.
fn parse_error(file: &str, text: &str) -> Error {
    let mut parts = text.split(": ");
    let text = match (parts.next(), parts.next(), text.rsplit(": ").next()) {
        (Some(_), Some(location), Some(last)) => format!("parse error at ({location}): {last}"),
        _ => format!("parse error in ({file}): {text}"),
    };
    Error::Template { text }
}

/// Helm's wording of a template that failed: `required` and `fail` are shown without their chain.
fn exec_error(text: &str) -> String {
    let mut parts = text.splitn(3, ": ");
    let (Some(_), Some(location), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return text.to_owned();
    };
    match (rest.find(functions::WARN_START), rest.rfind(functions::WARN_END)) {
        (Some(start), Some(end)) if start < end => {
            format!("execution error at ({location}): {}", &rest[start + functions::WARN_START.len()..end])
        }
        _ => text.to_owned(),
    }
}
