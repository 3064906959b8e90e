//! The verbs that are processes of their own or need no runtime.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use base::{fault::Fault as _, settings};
use clap::CommandFactory;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Cli, Render, Verb},
    output,
    paths::Paths,
};

/// How long requests under way may take when the gateway stops.
const GRACE: Duration = Duration::from_secs(20);

/// Runs the verb if it is one of these.
pub(crate) fn process(cli: &Cli) -> Option<ExitCode> {
    let data = cli.data.clone().unwrap_or_else(settings::default_data_dir);
    match &cli.verb {
        Verb::Proxy(options) => {
            log_to_stderr();
            let paths = Paths::new(&data);
            Some(proxy::main(proxy::Config {
                data: paths.gateway(),
                kubeconfig: paths.gateway_kubeconfig(),
                http: None,
                https: SocketAddr::from((Ipv4Addr::LOCALHOST, options.https_port)),
                ca_cert: paths.gateway_ca(),
                ca_key: paths.gateway_ca_key(),
                grace: GRACE,
            }))
        }
        Verb::Sample { name } => {
            log_to_stderr();
            Some(sample(name.as_deref()))
        }
        Verb::Render(what) => Some(rendered(what)),
        Verb::Lint(args) => Some(ended(render::lint_run(args, &base::clock::zoned(), &mut std::io::stdout().lock()))),
        Verb::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "roadstead", &mut text);
            output::raw(&text);
            Some(ExitCode::SUCCESS)
        }
        _ => None,
    }
}

/// Renders, and says what went wrong with its code.
fn rendered(what: &Render) -> ExitCode {
    let now = base::clock::zoned();
    let (mut out, mut notes) = (std::io::stdout().lock(), std::io::stderr().lock());
    let done = match what {
        Render::Helm(args) => render::helm_run(args, now, &mut out, &mut notes),
        Render::Kustomize(args) => render::kustomize_run(args, now, &mut out, &mut notes),
        Render::Template(args) => render::template_run(args, now, &mut out, &mut notes),
    };
    drop(notes);
    ended(done)
}

fn ended(done: Result<(), render::Error>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("error: {} ({})", base::fault::Chain(&error), error.code()));
            ExitCode::from(error.class().exit_code())
        }
    }
}

/// Sends the log to standard error, as `RUST_LOG` asks.
pub(crate) fn log_to_stderr() {
    let filter = settings::env("RUST_LOG")
        .unwrap_or_else(|| "info,kube=warn,kube_client::client=off,hyper=warn,tower=warn".to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

fn sample(name: Option<&str>) -> ExitCode {
    let value = |key: &str| match key {
        "SERVICE_NAME" => name.map(str::to_owned).or_else(|| settings::env(key)),
        "DATA_DIR" => settings::env(key).or_else(|| Some("/tmp/data".to_owned())),
        _ => settings::env(key),
    };
    let run = || -> anyhow::Result<()> {
        let mut config = shop::Config::from_values(value)?;
        if let Some(address) = settings::env("LISTEN_ADDR") {
            let address: std::net::IpAddr =
                address.parse().map_err(|_| anyhow::anyhow!("LISTEN_ADDR={address:?} is no IP address"))?;
            config.listen.set_ip(address);
            config.metrics.set_ip(address);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let stop = CancellationToken::new();
            let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
            let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
            let serve = shop::serve(config, stop.clone());
            tokio::pin!(serve);
            tokio::select! {
                done = &mut serve => return Ok(done?),
                _ = terminate.recv() => stop.cancel(),
                _ = interrupt.recv() => stop.cancel(),
            }
            Ok(serve.await?)
        })
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
