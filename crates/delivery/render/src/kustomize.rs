//! `roadstead render kustomize`: kustomizations on this machine, with the repositories and charts that they name.

mod helm_charts;

use std::{io::Write, path::PathBuf};

use clap::{Args, ValueEnum};
use jiff::Zoned;
use kustomize::{Built, Limits, Options, Reorder, Restriction};

use self::helm_charts::LocalCharts;
use crate::Error;

/// What a kustomization may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LoadRestrictor {
    /// Files in its own folder and below.
    #[default]
    #[value(name = "LoadRestrictionsRootOnly")]
    RootOnly,
    /// Any file.
    #[value(name = "LoadRestrictionsNone")]
    None,
}

/// In which order resources are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReorderFlag {
    /// Namespaces first, webhooks last.
    Legacy,
    /// As they are found.
    None,
}

/// What `roadstead render kustomize` takes: the flags of `kustomize build`.
#[derive(Clone, Debug, Args)]
pub struct KustomizeArgs {
    /// Folder of the kustomization, or a git URL such as https://example.com/team/app//overlays/prod?ref=v1.
    #[arg(default_value = ".", value_name = "DIR")]
    pub folder: String,
    /// Write to this file, or one file per resource into this folder.
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Render the charts of helmCharts.
    #[arg(long)]
    pub enable_helm: bool,
    /// What a kustomization may read.
    #[arg(long, value_enum, default_value_t, ignore_case = true)]
    pub load_restrictor: LoadRestrictor,
    /// Add the label app.kubernetes.io/managed-by.
    #[arg(long)]
    pub enable_managedby_label: bool,
    /// Order of the resources [default: as sortOptions of the kustomization says].
    #[arg(long, value_enum)]
    pub reorder: Option<ReorderFlag>,
    /// Kubernetes version for Capabilities.KubeVersion of charts.
    #[arg(long, value_name = "VERSION")]
    pub helm_kube_version: Option<String>,
    /// Kubernetes API versions for Capabilities.APIVersions of charts.
    #[arg(long, value_name = "GROUP/VERSION", value_delimiter = ',')]
    pub helm_api_versions: Vec<String>,
}

/// Builds a kustomization and writes what `kustomize build` would write; warnings go to `notes`.
pub fn run(args: &KustomizeArgs, now: Zoned, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Error> {
    let built = build(args, now)?;
    for warning in &built.warnings {
        // Whoever does not want to be told may close standard error.
        let _closed = writeln!(notes, "# Warning: {warning}");
    }
    match &args.output {
        Some(path) => loader::write(&built, path).map_err(|source| Error::Write { path: path.clone(), source }),
        None => crate::output::all(out, built.text().as_bytes()),
    }
}

/// Builds a kustomization.
fn build(args: &KustomizeArgs, now: Zoned) -> Result<Built, Error> {
    let charts =
        LocalCharts { now, kube_version: args.helm_kube_version.clone(), api_versions: args.helm_api_versions.clone() };
    let options = Options {
        restriction: match args.load_restrictor {
            LoadRestrictor::RootOnly => Restriction::RootOnly,
            LoadRestrictor::None => Restriction::None,
        },
        reorder: match args.reorder {
            Some(ReorderFlag::Legacy) => Reorder::Legacy,
            Some(ReorderFlag::None) => Reorder::None,
            None => Reorder::default(),
        },
        managed_by_label: args.enable_managedby_label,
        charts: args.enable_helm.then_some(&charts),
        limits: Limits::default(),
    };
    Ok(loader::build(&args.folder, &options)?)
}
