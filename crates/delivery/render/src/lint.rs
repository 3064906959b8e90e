//! `roadstead lint`: what is found about manifests, charts and kustomizations on this machine.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use helm::{Options, archive::Bounds};
use lint::{Finding, Severity};

use crate::{ChartSource, Error, ValuesArgs, folder, output, values};

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LintForm {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For code hosts: SARIF 2.1.0.
    Sarif,
}

/// From which severity on a finding fails the command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// What does not work.
    #[default]
    Error,
    /// What is better done otherwise too.
    Warning,
    /// Anything.
    Info,
}

/// What `roadstead lint` takes.
#[derive(Clone, Debug, Default, Args)]
pub struct LintArgs {
    /// Charts, kustomizations, manifests, or folders of manifests.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How to print the findings.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: LintForm,
    /// From which severity on a finding fails the command.
    #[arg(long, value_enum, default_value_t)]
    pub fail_on: FailOn,
    /// Values that charts are rendered with.
    #[command(flatten)]
    pub values: ValuesArgs,
    /// Kubernetes version that charts are rendered for.
    #[arg(long, value_name = "VERSION", default_value = "v1.36.0")]
    pub kube_version: String,
}

/// Most files of one folder.
const MOST: usize = 20_000;

/// Looks, prints what was found, and fails if something is severe enough.
pub fn run(args: &LintArgs, now: &jiff::Zoned, out: &mut dyn Write) -> Result<(), Error> {
    let mut findings = Vec::new();
    for path in &args.paths {
        findings.extend(look(args, path, now)?);
    }
    let text = match args.output {
        LintForm::Text => lint::text(&findings),
        LintForm::Json => format!("{:#}\n", lint::json(&findings)),
        LintForm::Sarif => format!("{:#}\n", lint::sarif(&findings)),
    };
    output::all(out, text.as_bytes())?;
    let at_least = match args.fail_on {
        FailOn::Error => Severity::Error,
        FailOn::Warning => Severity::Warning,
        FailOn::Info => Severity::Info,
    };
    Ok(lint::pass(&findings, at_least)?)
}

fn look(args: &LintArgs, path: &Path, now: &jiff::Zoned) -> Result<Vec<Finding>, Error> {
    let metadata = fs::metadata(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    if !metadata.is_dir() {
        let text = read(path)?;
        return Ok(lint::manifests(&path.display().to_string(), &text));
    }
    if path.join("Chart.yaml").is_file() {
        let given = values::given(&args.values, &ChartSource::default())?;
        let mut options = Options::new("release-name", "default");
        (options.values, options.set) = (given.files, given.set);
        options.kube_version.clone_from(&args.kube_version);
        // What is drawn is not looked at: any seed will do.
        options.moment = Some((now.clone(), [0; 32]));
        return Ok(below(path, lint::chart(&folder::read(path, Bounds::default())?, &options)));
    }
    let names = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
    if names.iter().any(|name| path.join(name).is_file()) {
        let absolute = std::path::absolute(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        return Ok(lint::kustomization(&loader::Disk::default(), &absolute.display().to_string()));
    }
    let mut files = Vec::new();
    collect(path, &mut files, 0)?;
    let texts: Vec<(String, String)> =
        files.iter().map(|path| Ok((path.display().to_string(), read(path)?))).collect::<Result<_, Error>>()?;
    let pairs: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    Ok(lint::folder(&pairs))
}

/// Names files from where the command was given, not from the chart.
fn below(folder: &Path, findings: Vec<Finding>) -> Vec<Finding> {
    let name = |mut finding: Finding| {
        finding.file = folder.join(&finding.file).display().to_string();
        finding
    };
    findings.into_iter().map(name).collect()
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// Collects the YAML files below a folder, sorted; links are not followed.
fn collect(folder: &Path, files: &mut Vec<PathBuf>, depth: usize) -> Result<(), Error> {
    let fail = |source: std::io::Error| Error::Read { path: folder.to_owned(), source };
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        entries.push(entry.map_err(fail)?.path());
    }
    entries.sort();
    for path in entries {
        let kind = fs::symlink_metadata(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if kind.is_dir() && !hidden && depth < 50 {
            collect(&path, files, depth + 1)?;
        } else if kind.is_file() && path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            files.push(path);
        }
        if files.len() > MOST {
            let reason = format!("the folder holds more than {MOST} YAML files; name those to look at");
            return Err(Error::Folder { path: folder.to_owned(), reason });
        }
    }
    Ok(())
}
