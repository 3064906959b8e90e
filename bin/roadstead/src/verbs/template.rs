//! `template deploy` and `template list`, against any cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use deploy::{Conflicts, Mode};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use template::{Template, Unknown};

use crate::{cli::Output, output, paths::Paths, state::Platform, verbs};

#[derive(Debug, Subcommand)]
pub(crate) enum TemplateVerb {
    /// Apply the objects that a template makes; all are tried before the first is written.
    #[command(
        after_help = "Examples:\n  roadstead template deploy environment -p NAME=orders-test -p PROJECT=orders\n  roadstead template deploy ./service.yaml -p NAME=orders -n orders-test --dry-run\n  roadstead template deploy service --param-file orders.env -n orders-test --kubeconfig ~/.kube/config\n\nValues that are secret belong in a --param-file: other users of the machine can read a command line."
    )]
    Deploy(Deploy),
    /// Show the templates that a cluster has, and what they ask for.
    #[command(after_help = "Examples:\n  roadstead template list\n  roadstead template list -o json")]
    List {
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
        /// Which cluster.
        #[command(flatten)]
        cluster: Cluster,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// A template's file ('-' is standard input), or its name in the cluster.
    #[arg(value_name = "FILE|NAME")]
    source: String,
    /// Value of a parameter (can specify multiple).
    #[arg(short, long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// File with a NAME=VALUE per line; --param wins (can specify multiple).
    #[arg(long = "param-file", value_name = "FILE")]
    param_files: Vec<PathBuf>,
    /// Where objects go that name no namespace [default: the kubeconfig's].
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Try everything, write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Take over fields that somebody else has set.
    #[arg(long)]
    force_conflicts: bool,
    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Args)]
pub(crate) struct Cluster {
    /// The cluster's kubeconfig [default: $KUBECONFIG, else that of the platform that runs here].
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

pub(crate) async fn run(paths: &Paths, verb: TemplateVerb) -> anyhow::Result<()> {
    match verb {
        TemplateVerb::Deploy(wish) => deploy(paths, &wish).await,
        TemplateVerb::List { output, cluster } => list(paths, &cluster, output).await,
    }
}

async fn deploy(paths: &Paths, wish: &Deploy) -> anyhow::Result<()> {
    // What is wrong with the parameters is said before any cluster is asked.
    let given = render::given(&wish.params, &wish.param_files)?;
    let local = file(&wish.source)?;
    let client = connect(paths, &wish.cluster).await?;
    let text = match local {
        Some(text) => text,
        None => named(&client, &wish.source).await?,
    };
    let template = Template::read(&text).map_err(told)?;
    let processed = {
        let world = render::world(base::clock::zoned(), None);
        template.process(&given, Unknown::Refused, &world).map_err(told)?
    };
    let namespace = wish.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let mode = if wish.dry_run { Mode::Trial } else { Mode::Apply };
    let conflicts = if wish.force_conflicts { Conflicts::TakeOver } else { Conflicts::Refuse };
    let done = deploy::deploy(&client, &processed, &namespace, mode, conflicts).await.map_err(told)?;
    let on_trial = if wish.dry_run { " (dry run)" } else { "" };
    for one in done {
        let place = if one.namespace.is_empty() { String::new() } else { format!(" in {}", one.namespace) };
        output::data(&format!("{}/{}{place} {}{on_trial}", one.kind.to_lowercase(), one.name, one.outcome));
    }
    if let Some(message) = &processed.message {
        output::note(message);
    }
    Ok(())
}

/// Returns the text of a file; nothing if the source is a name.
fn file(source: &str) -> anyhow::Result<Option<String>> {
    if source == "-" {
        return std::io::read_to_string(std::io::stdin().lock()).map(Some).context("failed to read standard input");
    }
    let path = Path::new(source);
    let is_path = source.contains('/') || path.extension().is_some() || path.is_file();
    if !is_path {
        return Ok(None);
    }
    std::fs::read_to_string(path).map(Some).with_context(|| format!("failed to read {source}"))
}

/// Returns the text of the template that the cluster has under this name.
async fn named(client: &Client, name: &str) -> anyhow::Result<String> {
    let all = deploy::stored(client).await.map_err(told)?;
    let known = all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = all.into_iter().find(|one| one.name == name).map(|one| one.text);
    found.ok_or_else(|| told(deploy::Error::NotFound { name: name.to_owned(), known }))
}

async fn list(paths: &Paths, cluster: &Cluster, format: Output) -> anyhow::Result<()> {
    let client = connect(paths, cluster).await?;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for stored in deploy::stored(&client).await.map_err(told)? {
        let template = match Template::read(&stored.text) {
            Ok(template) => template,
            Err(error) => {
                output::note(&format!("{}: {error}", stored.name));
                continue;
            }
        };
        let asks = template.parameters.iter().map(|one| {
            let known = !one.required || !one.value.is_empty() || one.from.is_some();
            if known { format!("[{}]", one.name) } else { one.name.clone() }
        });
        rows.push(vec![stored.name.clone(), asks.collect::<Vec<_>>().join(" "), template.description.clone()]);
        let parameters: Vec<_> = template
            .parameters
            .iter()
            .map(|one| {
                serde_json::json!({"name": one.name, "description": one.description, "value": one.value,
                "required": one.required, "generated": one.from.is_some()})
            })
            .collect();
        values.push(
            serde_json::json!({"name": stored.name, "description": template.description, "parameters": parameters}),
        );
    }
    if format != Output::Table {
        return verbs::print(&values, format);
    }
    output::data(&base::table::columns(&["NAME", "PARAMETERS", "DESCRIPTION"], &rows));
    Ok(())
}

/// Returns a client of the cluster that is meant.
async fn connect(paths: &Paths, cluster: &Cluster) -> anyhow::Result<Client> {
    let kubeconfig = match &cluster.kubeconfig {
        Some(file) => read(file)?,
        None => match Kubeconfig::from_env().context("failed to read $KUBECONFIG")? {
            Some(kubeconfig) => kubeconfig,
            None => {
                Platform::running(paths).map_err(|error| {
                    anyhow!("{error:#}; for another cluster, give its file with --kubeconfig or $KUBECONFIG")
                })?;
                read(&paths.kubeconfig())?
            }
        },
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .context("the kubeconfig's current context cannot be used")?;
    Client::try_from(config).context("the kubeconfig's credentials cannot be used")
}

fn read(file: &Path) -> anyhow::Result<Kubeconfig> {
    if !file.is_file() {
        bail!("there is no kubeconfig {}", file.display());
    }
    Kubeconfig::read_from(file).with_context(|| format!("failed to read {}", file.display()))
}

/// An error as the command line tells it: with the code of its page.
#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn told(error: impl base::fault::Fault) -> anyhow::Error {
    let code = error.code();
    anyhow!("{} [{code}]", base::fault::Chain(&error))
}
