//! The verbs and their flags, under Helm's names.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use render::{ChartSource, ValuesArgs};

use crate::ClusterArgs;

/// What `roadstead helm` does.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// Install a chart.
    #[command(
        after_help = "Examples:\n  roadstead helm install orders ./chart\n  roadstead helm install orders oci://registry.example/charts/orders --version ^1.2 -f prod.yaml --atomic\n  roadstead helm install ./chart --generate-name --create-namespace -n shop --wait --timeout 2m"
    )]
    Install(Box<InstallArgs>),
    /// Upgrade a release to a chart, or to other values.
    #[command(
        after_help = "Examples:\n  roadstead helm upgrade orders ./chart --set image.tag=1.3 --atomic\n  roadstead helm upgrade --install orders ./chart -n shop --create-namespace\n  roadstead helm upgrade orders ./chart --upgrade-crds      # Helm leaves definitions as they are"
    )]
    Upgrade(Box<UpgradeArgs>),
    /// Bring an earlier revision back.
    #[command(
        after_help = "Examples:\n  roadstead helm rollback orders        # to the revision before this one\n  roadstead helm rollback orders 3 --wait"
    )]
    Rollback(RollbackArgs),
    /// Take releases out of the cluster.
    #[command(
        visible_aliases = ["delete", "del", "un"],
        after_help = "Examples:\n  roadstead helm uninstall orders\n  roadstead helm uninstall orders --keep-history --wait"
    )]
    Uninstall(UninstallArgs),
    /// Show what an upgrade would change; values of Secrets are not shown.
    #[command(
        after_help = "Examples:\n  roadstead helm diff orders ./chart -f prod.yaml\n  roadstead helm diff orders ./chart --exit-code        # 1 if something would change\n  roadstead helm diff orders --revision 2 --revision 5"
    )]
    Diff(Box<DiffArgs>),
    /// Run a release's tests.
    #[command(after_help = "Example:\n  roadstead helm test orders --logs")]
    Test(TestArgs),
    /// List releases.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  roadstead helm list -A\n  roadstead helm list --failed -o json"
    )]
    List(ListArgs),
    /// Show a release's revisions.
    #[command(visible_alias = "hist", after_help = "Example:\n  roadstead helm history orders")]
    History(HistoryArgs),
    /// Show how a release stands.
    #[command(after_help = "Example:\n  roadstead helm status orders --revision 2")]
    Status(StatusArgs),
    /// Show what a release's record holds.
    #[command(
        after_help = "Examples:\n  roadstead helm get values orders --all\n  roadstead helm get manifest orders --revision 2"
    )]
    Get(GetArgs),
}

impl Verb {
    /// Returns where its cluster is.
    pub(crate) fn cluster(&self) -> &ClusterArgs {
        match self {
            Verb::Install(args) => &args.cluster,
            Verb::Upgrade(args) => &args.cluster,
            Verb::Rollback(args) => &args.cluster,
            Verb::Uninstall(args) => &args.cluster,
            Verb::Diff(args) => &args.cluster,
            Verb::Test(args) => &args.cluster,
            Verb::List(args) => &args.cluster,
            Verb::History(args) => &args.cluster,
            Verb::Status(args) => &args.cluster,
            Verb::Get(args) => &args.cluster,
        }
    }
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For both.
    Yaml,
}

/// Reads `5m0s`, `90s`, or seconds.
fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let nanoseconds = gotmpl::time::parse_duration(text)?;
    u64::try_from(nanoseconds).map(Duration::from_nanos).map_err(|_| "it is negative".to_owned())
}

/// Reads `team=shop`.
fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is written key=value")?;
    if release::record::SYSTEM_LABELS.contains(&key) {
        return Err(format!("{key} is one of the labels that the record itself has"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// How long to wait, and for what.
#[derive(Clone, Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait until everything is ready before the release counts as deployed.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Wait for Jobs to complete too.
    #[arg(long)]
    pub(crate) wait_for_jobs: bool,
    /// How long to wait for hooks and for what is waited for: 5m0s, 90s, or seconds.
    #[arg(long, default_value = "5m0s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Run no hooks.
    #[arg(long)]
    pub(crate) no_hooks: bool,
}

/// Which values a chart is rendered with, and where it comes from.
#[derive(Clone, Debug, Args)]
pub(crate) struct RenderArgs {
    /// Where values come from.
    #[command(flatten)]
    pub(crate) values: ValuesArgs,
    /// Where the chart comes from.
    #[command(flatten)]
    pub(crate) source: ChartSource,
    /// Do not check values against the chart's values.schema.json.
    #[arg(long)]
    pub(crate) skip_schema_validation: bool,
    /// A program that gets the manifests on its input and gives the ones to take.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) post_renderer: Option<String>,
    /// An argument of the post renderer (can specify multiple).
    #[arg(long, value_name = "ARG", requires = "post_renderer", allow_hyphen_values = true)]
    pub(crate) post_renderer_args: Vec<String>,
    /// What random text, keys and passwords follow from. Random if absent.
    #[arg(long, value_name = "TEXT")]
    pub(crate) seed: Option<String>,
}

/// What becomes of the last revision's values; without a flag they are taken where none are given.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReuseArgs {
    /// Forget the last revision's values.
    #[arg(long, conflicts_with_all = ["reuse_values", "reset_then_reuse_values"])]
    pub(crate) reset_values: bool,
    /// Lay new values over the last revision's, and keep its chart's own.
    #[arg(long, conflicts_with = "reset_then_reuse_values")]
    pub(crate) reuse_values: bool,
    /// Lay new values over the last revision's, and take the new chart's own.
    #[arg(long)]
    pub(crate) reset_then_reuse_values: bool,
}

/// How a chart becomes a revision.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct ChartArgs {
    /// How it is rendered.
    #[command(flatten)]
    pub(crate) render: RenderArgs,
    /// What the history says of this revision.
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Labels of the record (can specify multiple, or key=value,key=value).
    #[arg(short, long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Show what would be installed, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Take over objects that are there already and belong to no release, or to another.
    #[arg(long)]
    pub(crate) take_ownership: bool,
    /// Undo everything if something fails; waits for readiness too.
    #[arg(long)]
    pub(crate) atomic: bool,
    /// Do not show the chart's notes.
    #[arg(long)]
    pub(crate) hide_notes: bool,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// What `install` takes.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct InstallArgs {
    /// [NAME] CHART: a folder, a packed chart, an oci:// reference, a URL, or a name with --repo.
    #[arg(required = true, num_args = 1..=2, value_name = "[NAME] CHART")]
    pub(crate) name_and_chart: Vec<String>,
    /// Generate the name (and leave out the NAME parameter).
    #[arg(short, long)]
    pub(crate) generate_name: bool,
    /// Template that the name follows from.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) name_template: Option<String>,
    /// How the chart is rendered.
    #[command(flatten)]
    pub(crate) chart: ChartArgs,
    /// What is waited for.
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    /// Create the release's namespace if it is missing.
    #[arg(long)]
    pub(crate) create_namespace: bool,
    /// Leave the definitions in the chart's crds/ out.
    #[arg(long)]
    pub(crate) skip_crds: bool,
    /// Take the name of a release that was uninstalled or failed.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Which cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// What `upgrade` takes.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct UpgradeArgs {
    /// The release.
    pub(crate) name: String,
    /// The chart.
    pub(crate) chart_name: String,
    /// Install it if there is no such release.
    #[arg(short, long)]
    pub(crate) install: bool,
    /// What becomes of the last revision's values.
    #[command(flatten)]
    pub(crate) reuse: ReuseArgs,
    /// How the chart is rendered.
    #[command(flatten)]
    pub(crate) chart: ChartArgs,
    /// What is waited for.
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    /// Bring the definitions in the chart's crds/ up to date first. Without it, what would change is told.
    #[arg(long)]
    pub(crate) upgrade_crds: bool,
    /// With --install: leave the definitions in the chart's crds/ out.
    #[arg(long, conflicts_with = "upgrade_crds")]
    pub(crate) skip_crds: bool,
    /// With --install: create the release's namespace if it is missing.
    #[arg(long)]
    pub(crate) create_namespace: bool,
    /// Delete what a failed upgrade created.
    #[arg(long)]
    pub(crate) cleanup_on_fail: bool,
    /// Most revisions to keep; 0 means all.
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    pub(crate) history_max: usize,
    /// Which cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// What `rollback` takes.
#[derive(Clone, Debug, Args)]
pub struct RollbackArgs {
    /// The release.
    pub(crate) name: String,
    /// The revision; the one before this one if absent.
    #[arg(default_value_t = 0, hide_default_value = true)]
    pub(crate) revision: u32,
    /// What is waited for.
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    /// Delete what a failed rollback created.
    #[arg(long)]
    pub(crate) cleanup_on_fail: bool,
    /// Show what would change, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Most revisions to keep; 0 means all.
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    pub(crate) history_max: usize,
    /// Which cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// What becomes of what depends on deleted objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cascade {
    /// It goes afterwards.
    #[default]
    Background,
    /// It goes first.
    Foreground,
    /// It stays.
    Orphan,
}

impl Cascade {
    pub(crate) fn policy(self) -> &'static str {
        match self {
            Cascade::Background => "Background",
            Cascade::Foreground => "Foreground",
            Cascade::Orphan => "Orphan",
        }
    }
}

/// What `uninstall` takes.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct UninstallArgs {
    /// The releases.
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Keep the records, so that the release can be rolled back to.
    #[arg(long)]
    pub(crate) keep_history: bool,
    /// A release that is not there is no error.
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
    /// Wait until everything is gone.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait: 5m0s, 90s, or seconds.
    #[arg(long, default_value = "5m0s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Run no hooks.
    #[arg(long)]
    pub(crate) no_hooks: bool,
    /// What becomes of what depends on the deleted objects.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) cascade: Cascade,
    /// What the history says of it.
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Show what would go, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Which cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// What `diff` takes.
#[derive(Clone, Debug, Args)]
pub struct DiffArgs {
    /// The release.
    pub(crate) name: String,
    /// The chart; leave it out to compare two revisions.
    #[arg(required_unless_present = "revision")]
    pub(crate) chart_name: Option<String>,
    /// A revision to compare (given twice: with each other; once: with the newest).
    #[arg(long, conflicts_with = "chart_name")]
    pub(crate) revision: Vec<u32>,
    /// What becomes of the last revision's values.
    #[command(flatten)]
    pub(crate) reuse: ReuseArgs,
    /// A release that is not there is empty.
    #[arg(long)]
    pub(crate) allow_unreleased: bool,
    /// How many lines that stay are shown around a change.
    #[arg(short = 'C', long, default_value_t = 3)]
    pub(crate) context: usize,
    /// Fail if something would change.
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// How the chart is rendered.
    #[command(flatten)]
    pub(crate) render: RenderArgs,
    /// Which cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// What `test` takes.
#[derive(Clone, Debug, Args)]
pub struct TestArgs {
    /// The release.
    pub(crate) name: String,
    /// Run only tests of these names; with ! before it, all but that one.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) filter: Vec<String>,
    /// Show the logs of the tests' pods.
    #[arg(long)]
    pub(crate) logs: bool,
    /// How long each may take: 5m0s, 90s, or seconds.
    #[arg(long, default_value = "5m0s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Which cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// What `list` takes.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct ListArgs {
    /// List releases of all namespaces.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// List releases however they stand; without it, those that are deployed or failed.
    #[arg(short, long)]
    pub(crate) all: bool,
    /// List those that failed.
    #[arg(long)]
    pub(crate) failed: bool,
    /// List those that somebody works on.
    #[arg(long)]
    pub(crate) pending: bool,
    /// List those that were uninstalled and keep their history.
    #[arg(long)]
    pub(crate) uninstalled: bool,
    /// List those whose name holds this text.
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// Names alone.
    #[arg(short = 'q', long)]
    pub(crate) short: bool,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// Which cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// What `history` takes.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    /// The release.
    pub(crate) name: String,
    /// Most revisions to show.
    #[arg(long, default_value_t = 256)]
    pub(crate) max: usize,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// Which cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// What `status` takes.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// The release.
    pub(crate) name: String,
    /// The revision; the newest if absent.
    #[arg(long)]
    pub(crate) revision: Option<u32>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// Which cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// A part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The values that were given; with --all, the chart's own too.
    Values,
    /// What is installed.
    Manifest,
    /// The hooks.
    Hooks,
    /// The notes.
    Notes,
    /// Name, chart, versions.
    Metadata,
    /// All of these.
    All,
}

/// What `get` takes.
#[derive(Clone, Debug, Args)]
pub struct GetArgs {
    /// What of it.
    #[arg(value_enum)]
    pub(crate) part: Part,
    /// The release.
    pub(crate) name: String,
    /// The revision; the newest if absent.
    #[arg(long)]
    pub(crate) revision: Option<u32>,
    /// Values with the chart's own.
    #[arg(short, long)]
    pub(crate) all: bool,
    /// How to print values and metadata.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// Which cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}
