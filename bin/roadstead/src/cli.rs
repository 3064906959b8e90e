//! The commands and their options.

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A complete microservices platform in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "roadstead",
    version,
    propagate_version = true,
    after_help = "Examples:
  roadstead up --detach
  roadstead new orders --template microservice --environment development
  roadstead get orders
  roadstead logs orders --follow
  roadstead down"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// The platform's data folder [default: $ROADSTEAD_DATA, else ~/.local/share/roadstead].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
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

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start the platform on this machine.
    #[command(
        after_help = "Examples:\n  roadstead up\n  roadstead up --detach --gateway-port 9443\n  roadstead up --portal-address 192.168.1.20"
    )]
    Up(Up),
    /// Stop the platform and what it runs; the data stays.
    Down(Down),
    /// Show what runs here.
    Status {
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Make a service from a template.
    #[command(
        after_help = "Examples:\n  roadstead new orders\n  roadstead new orders --template microservice --environment development"
    )]
    New {
        /// Its name: a DNS label.
        name: String,
        /// The template.
        #[arg(long, default_value = "microservice")]
        template: String,
        /// The environment.
        #[arg(long, default_value = "development")]
        environment: String,
        /// Do not wait until it answers.
        #[arg(long)]
        no_wait: bool,
    },
    /// Show services, or one of them.
    Get {
        /// Its name; all if absent.
        name: Option<String>,
        /// Only services of this environment.
        #[arg(long)]
        environment: Option<String>,
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Wait until a service is at its newest commit, healthy, or both.
    Wait {
        /// Its name.
        name: String,
        /// Until the newest commit of its repository is applied.
        #[arg(long)]
        synced: bool,
        /// Until all its pods are ready.
        #[arg(long)]
        healthy: bool,
        /// Seconds to wait at most.
        #[arg(long, default_value_t = 120)]
        timeout: u64,
    },
    /// Show a service's log.
    Logs {
        /// Its name.
        name: String,
        /// How many lines.
        #[arg(long, default_value_t = 100)]
        lines: u32,
        /// Go on as lines come.
        #[arg(short, long)]
        follow: bool,
    },
    /// Change how many pods a service has: commits it to its repository and waits.
    Scale {
        /// Its name.
        name: String,
        /// How many (0 to 1000).
        replicas: u32,
        /// Do not wait until they are ready.
        #[arg(long)]
        no_wait: bool,
    },
    /// Delete a service; its repository is archived.
    Delete {
        /// Its name.
        name: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Work with services' repositories.
    #[command(subcommand)]
    Repo(Repo),
    /// The kubeconfig of this platform.
    #[command(subcommand)]
    Kubeconfig(PathOf),
    /// The certificate authority to trust for services.
    #[command(subcommand)]
    Ca(PathOf),
    /// Print a link that opens the portal: valid once, for 15 minutes.
    LoginLink,
    /// Tell this machine to trust the gateway's certificate authority (needs root).
    Trust,
    /// Take the gateway's certificate authority back out of this machine's trust.
    Untrust,
    /// Render charts, kustomizations and templates as helm, kustomize and oc do.
    #[command(subcommand)]
    Render(Box<Render>),
    /// Install, upgrade, roll back and show releases of charts, as helm does; both read the same records.
    #[command(
        subcommand,
        after_help = "Examples:\n  roadstead helm install orders ./chart -f prod.yaml --atomic\n  roadstead helm diff orders ./chart -f prod.yaml\n  roadstead helm upgrade orders ./chart -f prod.yaml --wait\n  roadstead helm rollback orders"
    )]
    Helm(Box<installer::Verb>),
    /// Deploy templates into a cluster, and show which ones it has.
    #[command(subcommand)]
    Template(Box<crate::verbs::template::TemplateVerb>),
    /// Look for mistakes in charts, kustomizations and manifests.
    #[command(
        after_help = "Examples:\n  roadstead lint ./chart -f values.yaml\n  roadstead lint overlays/prod manifests/ --fail-on warning\n  roadstead lint ./chart -o sarif > lint.sarif\n\nA comment '# lint:ignore RULE' on a line, or on the one before, leaves a finding out."
    )]
    Lint(Box<render::LintArgs>),
    /// Work with images.
    #[command(subcommand)]
    Image(Image),
    /// Snapshots of everything the platform knows.
    #[command(subcommand)]
    Store(StoreVerb),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// The gateway's process.
    #[command(hide = true)]
    Proxy(Proxy),
    /// A sample service.
    #[command(hide = true)]
    Sample {
        /// Its name; `SERVICE_NAME` if absent.
        name: Option<String>,
    },
    /// Answers git's question for credentials.
    #[command(hide = true)]
    GitCredential {
        /// `get`, `store` or `erase`.
        action: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Render {
    /// Render a Helm chart: prints what `helm template` prints.
    #[command(
        after_help = "Examples:\n  roadstead render helm ./chart\n  roadstead render helm orders ./chart -f values.yaml --set image.tag=1.2\n  roadstead render helm orders oci://registry.example/charts/orders --version ^1.2\n  roadstead render helm orders ./chart --show-only 'templates/dep*.yaml'"
    )]
    Helm(Box<render::HelmArgs>),
    /// Build a kustomization: prints what `kustomize build` prints.
    #[command(
        after_help = "Examples:\n  roadstead render kustomize overlays/prod\n  roadstead render kustomize overlays/prod -o out/\n  roadstead render kustomize 'https://example.com/team/app//overlays/prod?ref=v1.2'"
    )]
    Kustomize(render::KustomizeArgs),
    /// Process a template with parameters: prints what `oc process` prints.
    #[command(
        after_help = "Examples:\n  roadstead render template service.yaml --parameters\n  roadstead render template service.yaml -p NAME=orders -p REPLICAS=3 -o yaml\n  roadstead render template service.yaml --param-file prod.env | kubectl apply -f -"
    )]
    Template(render::TemplateArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreVerb {
    /// Write a snapshot of the running platform's objects into a file.
    Snapshot {
        /// The file.
        file: PathBuf,
    },
    /// Begin with a snapshot's objects; the platform is stopped and its store moved away.
    Restore {
        /// The file.
        file: PathBuf,
    },
    /// Tell whether a snapshot, or the stopped platform's store, is sound.
    Check {
        /// The snapshot; the store if absent.
        file: Option<PathBuf>,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Up {
    /// Return when everything runs.
    #[arg(long)]
    pub(crate) detach: bool,
    /// Port of the Kubernetes API.
    #[arg(long, default_value_t = 6443)]
    pub(crate) api_port: u16,
    /// Port of portal and REST API (plain HTTP on loopback).
    #[arg(long, default_value_t = 8080)]
    pub(crate) portal_port: u16,
    /// Port of git, registry and REST API (HTTPS).
    #[arg(long, default_value_t = 8444)]
    pub(crate) https_port: u16,
    /// Port where services answer (HTTPS).
    #[arg(long, default_value_t = 8443)]
    pub(crate) gateway_port: u16,
    /// Address on which portal, REST API, git and registry are reached from other machines too, over TLS at --https-port.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) portal_address: Option<IpAddr>,
    /// How pods are kept apart.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) isolation: IsolationChoice,
    /// Do not make the sample service.
    #[arg(long)]
    pub(crate) no_sample: bool,
    /// What is logged of which API request: a `Policy` of audit.k8s.io/v1 [default: each request's metadata].
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_policy: Option<PathBuf>,
    /// What lies encrypted on disk: an `EncryptionConfiguration` of apiserver.config.k8s.io/v1.
    #[arg(long, value_name = "FILE")]
    pub(crate) encryption_config: Option<PathBuf>,
    /// Set by `--detach` for the process that stays.
    #[arg(long, hide = true)]
    pub(crate) steps: Option<PathBuf>,
}

/// How pods are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsolationChoice {
    /// Containers where the machine allows it, plain processes elsewhere.
    #[default]
    Auto,
    /// Containers, or an error that says what is missing.
    Full,
    /// Plain processes.
    Processes,
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Remove all data too: services, repositories, images.
    #[arg(long)]
    pub(crate) purge: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Repo {
    /// Clone a service's repository, with credentials set up in the clone alone.
    Clone {
        /// The service.
        name: String,
        /// Where to; a folder of its name if absent.
        directory: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PathOf {
    /// Print where the file is.
    Path,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Make an image of an executable and the libraries that it needs, and put it into the registry.
    #[command(after_help = "Example:\n  roadstead image pack ./target/release/server --tag server:1")]
    Pack {
        /// The executable.
        elf: PathBuf,
        /// Repository and tag; the file's name and `latest` if absent.
        #[arg(long)]
        tag: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Proxy {
    /// Port of HTTPS.
    #[arg(long)]
    pub(crate) https_port: u16,
}
