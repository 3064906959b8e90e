//! `roadstead up`: takes folder and ports, starts every part in its order, waits for
//! the sample, and stays until it is told to stop.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use base::{clock, task::Tasks};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::{IsolationChoice, Up},
    output,
    paths::Paths,
    pki::portal_authority,
    ports,
    progress::Progress,
    services::{self, Listeners, PageListeners},
    state::{self, Platform},
    stop,
};

/// How long a detached platform may take to start.
const START_WITHIN: Duration = Duration::from_secs(120);
/// How long another process may hold the data folder without answering.
const LOCK_WITHIN: Duration = Duration::from_secs(10);
/// How long parts may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// Starts the platform; with `--detach` returns when it runs.
pub(crate) async fn run(paths: &Paths, options: &Up) -> anyhow::Result<()> {
    let deadline = clock::instant() + LOCK_WITHIN;
    let lock = loop {
        if let Some(lock) = state::lock(paths)? {
            break lock;
        }
        // A platform that was killed a moment ago may still hold its folder, and one that has just begun says nothing.
        match Platform::read(paths) {
            Ok(platform) if services::login_link(paths, &platform).await.is_ok() => {
                let folder = paths.root().display();
                output::note(&format!("the platform runs already on {folder} (process {})", platform.pid));
                return print_links(paths, &platform).await;
            }
            other if clock::instant() > deadline => {
                let holder = other.map_or_else(|_| String::new(), |platform| format!(" (process {})", platform.pid));
                bail!(
                    "another platform{holder} holds {} and does not answer: end it with 'roadstead down', or choose another folder with --data",
                    paths.root().display()
                );
            }
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    if options.detach {
        // Ports are looked at here too, so that a taken one is said where the person looks.
        drop(bind(paths, options).await?);
        drop(lock);
        return detach(paths, options).await;
    }
    if options.steps.is_some() {
        // A process of its own: the terminal's signals are not for it.
        nix::unistd::setsid().context("failed to leave the terminal")?;
    }
    crate::local::log_to_stderr();
    let progress = Progress::new(options.steps.clone());
    let listeners = bind(paths, options).await?;
    let isolation = isolation(options.isolation)?;
    let tasks = Tasks::new();
    let started = services::start(paths, options, listeners, isolation, &tasks, &progress).await;
    let running = match started {
        Ok(running) => running,
        Err(error) => {
            tasks.shut_down(GRACE).await;
            return Err(error);
        }
    };
    progress.done("ready");
    if options.steps.is_none() {
        print_links(paths, &running.platform).await?;
    } else {
        std::fs::write(services::ready_file(paths), b"").context("failed to say that the platform is ready")?;
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = tasks.stop().cancelled_owned() => {}
    }
    output::note("stopping: workloads first, then the gateway; a second Ctrl-C leaves at once");
    let orderly = async {
        let ended = tasks.shut_down(GRACE).await;
        let stopped = stop::workloads(paths).await;
        (ended, stopped)
    };
    tokio::select! {
        (ended, stopped) = orderly => {
            if !ended {
                tracing::warn!("some parts did not end in time");
            }
            stopped?;
        }
        _ = interrupt.recv() => bail!("left at once; 'roadstead down' stops what still runs"),
        _ = terminate.recv() => bail!("left at once; 'roadstead down' stops what still runs"),
    }
    services::forget(paths)?;
    drop(lock);
    Ok(())
}

async fn bind(paths: &Paths, options: &Up) -> anyhow::Result<Listeners> {
    let wanted = [options.api_port, options.portal_port, options.https_port, options.gateway_port];
    for (at, port) in wanted.iter().enumerate() {
        if *port != 0 && wanted[..at].contains(port) {
            bail!(
                "port {port} is wanted twice: choose different ports with --api-port, --portal-port, --https-port and --gateway-port"
            );
        }
    }
    let api = ports::bind(options.api_port, "the Kubernetes API", "--api-port").await?;
    let plain = ports::bind(options.portal_port, "the portal", "--portal-port").await?;
    let https = ports::bind(options.https_port, "git and registry", "--https-port").await?;
    let public = match options.portal_address {
        None => None,
        Some(address) if address.is_loopback() || address.is_unspecified() => {
            bail!("--portal-address {address}: name one address of this machine that others reach it at")
        }
        Some(address) => Some(ports::bind_at(address, https.local_addr()?.port(), "the portal", "--https-port").await?),
    };
    let listeners = Listeners { api, pages: PageListeners { plain, https, public } };
    // A gateway that outlived its platform keeps its port and is taken over.
    if !services::gateway_has(paths, options.gateway_port).await {
        drop(ports::bind(options.gateway_port, "the gateway", "--gateway-port").await?);
    }
    Ok(listeners)
}

fn isolation(choice: IsolationChoice) -> anyhow::Result<node::Isolation> {
    match (choice, node::probe()) {
        (IsolationChoice::Processes, _) => {
            Ok(node::Isolation::Processes { why: vec!["--isolation processes was asked for".into()] })
        }
        (IsolationChoice::Full, node::Isolation::Processes { why }) => {
            bail!("containers cannot be run here: {}", why.join("; "))
        }
        (_, found) => Ok(found),
    }
}

async fn detach(paths: &Paths, options: &Up) -> anyhow::Result<()> {
    let log = paths.log("platform");
    std::fs::create_dir_all(log.parent().unwrap_or(paths.root())).context("failed to create the log folder")?;
    let open = |path: &Path| {
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("failed to open {}", path.display()))
    };
    let (out, err) = (open(&log)?, open(&log)?);
    let steps = paths.root().join("steps");
    for stale in [steps.clone(), services::ready_file(paths)] {
        if stale.exists() {
            std::fs::remove_file(&stale).with_context(|| format!("failed to remove {}", stale.display()))?;
        }
    }
    let isolation = match options.isolation {
        IsolationChoice::Auto => "auto",
        IsolationChoice::Full => "full",
        IsolationChoice::Processes => "processes",
    };
    let mut command = std::process::Command::new(services::executable()?);
    command.arg("up").arg("--data").arg(paths.root()).arg("--steps").arg(&steps).arg("--isolation").arg(isolation);
    for (flag, port) in [
        ("--api-port", options.api_port),
        ("--portal-port", options.portal_port),
        ("--https-port", options.https_port),
        ("--gateway-port", options.gateway_port),
    ] {
        command.arg(flag).arg(port.to_string());
    }
    if options.no_sample {
        command.arg("--no-sample");
    }
    for (flag, file) in [("--audit-policy", &options.audit_policy), ("--encryption-config", &options.encryption_config)]
    {
        if let Some(file) = file {
            command.arg(flag).arg(file);
        }
    }
    if let Some(address) = options.portal_address {
        command.arg("--portal-address").arg(address.to_string());
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .context("failed to start the platform's process")?;
    let deadline = clock::instant() + START_WITHIN;
    let mut shown = 0;
    loop {
        let text = std::fs::read_to_string(&steps).unwrap_or_default();
        for line in text.lines().skip(shown) {
            output::note(line);
            shown += 1;
        }
        if services::ready_file(paths).exists() {
            let platform = Platform::read(paths)?;
            return print_links(paths, &platform).await;
        }
        if let Some(status) = child.try_wait().context("failed to watch the platform's process")? {
            bail!("the platform ended while it started ({status}): {}\nits log: {}", last_error(&log), log.display());
        }
        if clock::instant() > deadline {
            bail!("the platform did not start within {} s; its log: {}", START_WITHIN.as_secs(), log.display());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn last_error(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines()
        .rev()
        .find(|line| line.starts_with("error: "))
        .or_else(|| text.lines().last())
        .unwrap_or("it said nothing")
        .to_owned()
}

async fn print_links(paths: &Paths, platform: &Platform) -> anyhow::Result<()> {
    let link = services::login_link(paths, platform).await?;
    let port = platform.gateway.port();
    output::data(&format!("Portal      {link}"));
    if let Some(public) = platform.public {
        let authority = paths.pki().join(format!("{}.crt", portal_authority(public.ip())));
        output::data(&format!("            https://{public}/ (certificate authority: {})", authority.display()));
    }
    output::data(&format!("Sample      https://{}:{port}/", services::SAMPLE_HOST));
    output::data(&format!(
        "            curl --cacert {} --resolve {}:{port}:127.0.0.1 https://{}:{port}/",
        paths.gateway_ca().display(),
        services::SAMPLE_HOST,
        services::SAMPLE_HOST
    ));
    output::data(&format!("Kubernetes  export KUBECONFIG={}", paths.kubeconfig().display()));
    if !platform.not_isolated.is_empty() {
        output::data(&format!("Isolation   {}: {}", platform.isolation, platform.not_isolated.join("; ")));
    }
    output::data("Next        roadstead new orders --template microservice --environment development");
    Ok(())
}
