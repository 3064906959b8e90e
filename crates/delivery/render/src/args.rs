//! The flags of `helm template`, under the same names.

use std::path::PathBuf;

use clap::Args;

/// Where values come from.
#[derive(Clone, Debug, Default, Args)]
pub struct ValuesArgs {
    /// Specify values in a YAML file or a URL (can specify multiple; the last one wins).
    #[arg(short = 'f', long = "values", value_name = "FILE", value_delimiter = ',')]
    pub values: Vec<String>,
    /// Set values on the command line: key1=val1,key2=val2.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Set text values on the command line: key1=val1,key2=val2.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set_string: Vec<String>,
    /// Set values from files: key1=path1,key2=path2.
    #[arg(long, value_name = "KEY=FILE")]
    pub set_file: Vec<String>,
    /// Set JSON values on the command line: key1=jsonval1,key2=jsonval2.
    #[arg(long, value_name = "KEY=JSON")]
    pub set_json: Vec<String>,
    /// Set a literal text value on the command line: key=any text, with commas too.
    #[arg(long, value_name = "KEY=TEXT")]
    pub set_literal: Vec<String>,
}

/// Where a chart comes from if it is not a folder or a file.
#[derive(Clone, Debug, Default, Args)]
pub struct ChartSource {
    /// Chart repository URL where to locate the chart.
    #[arg(long, value_name = "URL")]
    pub repo: Option<String>,
    /// A version constraint for the chart: 1.2.3, ^1.2, >=1 <3; the newest one that fits is taken.
    #[arg(long)]
    pub version: Option<String>,
    /// Take development versions too; the same as --version '>0.0.0-0'.
    #[arg(long)]
    pub devel: bool,
    /// User of the chart's repository.
    #[arg(long)]
    pub username: Option<String>,
    /// File that holds the password of the chart's repository.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Verify certificates of the repository with this CA bundle.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Use insecure HTTP connections for an OCI registry.
    #[arg(long)]
    pub plain_http: bool,
    /// Fetch missing dependencies before rendering.
    #[arg(long)]
    pub dependency_update: bool,
}

/// What `roadstead render helm` takes.
#[derive(Clone, Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct HelmArgs {
    /// [NAME] CHART: a folder, a packed chart, an oci:// reference, a URL, or a name with --repo.
    #[arg(required = true, num_args = 1..=2, value_name = "[NAME] CHART")]
    pub name_and_chart: Vec<String>,
    /// Where values come from.
    #[command(flatten)]
    pub values: ValuesArgs,
    /// Where the chart comes from.
    #[command(flatten)]
    pub source: ChartSource,
    /// Namespace of the release.
    #[arg(short, long, env = "HELM_NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// Kubernetes version for Capabilities.KubeVersion.
    #[arg(long, value_name = "VERSION", default_value = "v1.36.0")]
    pub kube_version: String,
    /// Kubernetes API versions for Capabilities.APIVersions (can specify multiple).
    #[arg(short, long, value_name = "GROUP/VERSION", value_delimiter = ',')]
    pub api_versions: Vec<String>,
    /// Include CRDs in the output.
    #[arg(long)]
    pub include_crds: bool,
    /// Set .Release.IsUpgrade instead of .Release.IsInstall.
    #[arg(long)]
    pub is_upgrade: bool,
    /// Leave out hooks.
    #[arg(long)]
    pub no_hooks: bool,
    /// Leave out tests.
    #[arg(long)]
    pub skip_tests: bool,
    /// Only show manifests of these templates (can specify multiple; patterns are allowed).
    #[arg(short, long, value_name = "TEMPLATE")]
    pub show_only: Vec<String>,
    /// Write the files to this folder instead of standard output.
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
    /// Use the release's name in the path of --output-dir.
    #[arg(long)]
    pub release_name: bool,
    /// Generate the name (and leave out the NAME parameter).
    #[arg(short, long)]
    pub generate_name: bool,
    /// Template that the name follows from.
    #[arg(long, value_name = "TEMPLATE")]
    pub name_template: Option<String>,
    /// Do not check values against the chart's values.schema.json.
    #[arg(long)]
    pub skip_schema_validation: bool,
    /// Show the notes too, on standard error.
    #[arg(long)]
    pub notes: bool,
    /// A program that gets the manifests on its input and gives the ones to print.
    #[arg(long, value_name = "PROGRAM")]
    pub post_renderer: Option<String>,
    /// An argument of the post renderer (can specify multiple).
    #[arg(long, value_name = "ARG", requires = "post_renderer", allow_hyphen_values = true)]
    pub post_renderer_args: Vec<String>,
    /// What random text, keys and passwords follow from: the same seed gives the same output. Random if absent.
    #[arg(long, value_name = "TEXT")]
    pub seed: Option<String>,
}
