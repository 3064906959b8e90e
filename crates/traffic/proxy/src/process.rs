//! The life of the proxy's process: sockets, workers, control socket, watch, and the end.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use parking_lot::Mutex;
use routes::{Placement, Scheme};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use crate::{
    ca::Authority,
    control::{self, Control},
    error::Error,
    feed::{self, Link, Outlets},
    gateway::{Gateway, workers},
    keep,
    live::Limits,
    sockets::{Listening, bind_all},
    statuses,
};

/// What the proxy needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its own folder: last good snapshot and control socket.
    pub data: PathBuf,
    /// How to reach the Kubernetes API; read again when it changes and the API cannot be reached.
    pub kubeconfig: PathBuf,
    /// Address of plain HTTP, if it is served.
    pub http: Option<SocketAddr>,
    /// Address of HTTPS.
    pub https: SocketAddr,
    /// The gateway's certificate authority (PEM).
    pub ca_cert: PathBuf,
    /// Its key (PEM).
    pub ca_key: PathBuf,
    /// How long requests under way may take at the end.
    pub grace: Duration,
}

/// Runs the proxy until SIGTERM or SIGINT, then drains. A second signal ends it at once.
///
/// If a proxy with the same data folder runs, its listeners are taken over without a dropped request.
#[expect(clippy::needless_pass_by_value, reason = "it is the process's own configuration")]
pub fn main(config: Config) -> ExitCode {
    // A provider that the caller has installed is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stop = CancellationToken::new();
    let watched = stop.clone();
    let signals = std::thread::Builder::new().name("signals".to_owned()).spawn(move || signals(&watched));
    let ended = signals.map_err(|source| Error::StartWorker { source }).and_then(|_| run(&config, &stop));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(code = base::fault::Fault::code(&error), "{}", base::fault::Chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn signals(stop: &CancellationToken) {
    let listen = async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        for second in [false, true] {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            stop.cancel();
            if second {
                std::process::exit(1);
            }
        }
        Ok::<(), std::io::Error>(())
    };
    let ended =
        tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| runtime.block_on(listen));
    if let Err(error) = ended {
        tracing::error!(%error, "failed to listen for signals; use 'roadstead down' to stop");
    }
}

/// Runs the proxy until `stop` is cancelled, a successor takes over, or somebody asks over the control socket.
pub fn run(config: &Config, stop: &CancellationToken) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::StartWorker { source })?;
    let ended = runtime.block_on(live(config, stop.child_token()));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn live(config: &Config, stop: CancellationToken) -> Result<(), Error> {
    keep::make_folder(&config.data)?;
    let authority = Authority::read(&config.ca_cert, &config.ca_key)?;
    let mut predecessor = control::take_over(&config.data).await;
    let listening = match &mut predecessor {
        Some(takeover) => fitted(&std::mem::take(&mut takeover.listening), config)?,
        None => bound(config)?,
    };
    let spare = second_handles(&listening)?;
    let gateway = Gateway::start(listening, authority, Limits::default())?;
    let shared = gateway.shared().clone();
    if let Some(snapshot) = keep::load(&config.data) {
        let rules = snapshot.rules();
        shared.publish(snapshot);
        tracing::info!(rules, "serving the last good routes");
    }
    if let Some(takeover) = predecessor {
        takeover.confirm(&config.data).await?;
    }
    let control_listener = control::bind(&config.data)?;
    tracing::info!(http = ?gateway.http(), https = ?gateway.https(), "the proxy listens");

    let (saved, to_save) = watch::channel(None);
    let (wanted, to_write) = watch::channel((None, Vec::new()));
    let link = Arc::new(Mutex::new(Link::Waiting));
    let gone = CancellationToken::new();
    let control = Control {
        shared: shared.clone(),
        link: link.clone(),
        http: gateway.http(),
        https: gateway.https(),
        listening: spare,
        stop: stop.clone(),
        gone: gone.clone(),
    };
    let outlets = Outlets { saved, statuses: wanted, link };
    let control = control::serve(control_listener, control);
    let placement = placement(&gateway);
    let work = async {
        tokio::join!(
            feed::follow(config.kubeconfig.clone(), shared.clone(), placement, outlets),
            statuses::write(to_write),
            save(config, to_save),
        )
    };
    let mut control = std::pin::pin!(futures::FutureExt::fuse(control));
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = &mut control => {}
            _ = &mut work => {}
        }
    }
    // The control socket goes on answering while connections end.
    let succeeded = shared.succeeded.is_cancelled();
    let leave = gateway.leave(config.grace);
    let mut leave = std::pin::pin!(leave);
    let drained = loop {
        tokio::select! {
            drained = &mut leave => break drained,
            () = &mut control => {}
        }
    };
    if !drained {
        tracing::warn!(grace = ?config.grace, "connections were still open at the end of the grace period");
    }
    if !succeeded {
        control::unbind(&config.data);
    }
    gone.cancel();
    Ok(())
}

fn bound(config: &Config) -> Result<Vec<Listening>, Error> {
    let mut all = bind_all(Scheme::Https, config.https, workers())?;
    if let Some(http) = config.http {
        all.extend(bind_all(Scheme::Http, http, workers())?);
    }
    Ok(all)
}

/// Returns what of a predecessor's listeners has the addresses asked for, and binds what is missing.
fn fitted(handed: &[Listening], config: &Config) -> Result<Vec<Listening>, Error> {
    let mut all = Vec::new();
    for (scheme, address) in [(Scheme::Https, Some(config.https)), (Scheme::Http, config.http)] {
        let Some(address) = address else { continue };
        let fits = |one: &Listening| {
            one.scheme == scheme
                && one
                    .listener
                    .local_addr()
                    .is_ok_and(|has| has.ip() == address.ip() && (address.port() == 0 || has.port() == address.port()))
        };
        let before = all.len();
        for one in handed.iter().filter(|one| fits(one)) {
            all.push(Listening {
                scheme,
                listener: one.listener.try_clone().map_err(|source| Error::Bind { address, source })?,
            });
        }
        if all.len() == before {
            all.extend(bind_all(scheme, address, workers())?);
        }
    }
    Ok(all)
}

fn second_handles(listening: &[Listening]) -> Result<Vec<Listening>, Error> {
    listening
        .iter()
        .map(|one| {
            let listener = one.listener.try_clone().map_err(|source| Error::StartWorker { source })?;
            Ok(Listening { scheme: one.scheme, listener })
        })
        .collect()
}

fn placement(gateway: &Gateway) -> Placement {
    let shown = |address: SocketAddr| {
        if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() }
    };
    Placement { addresses: gateway.https().map(shown).into_iter().collect(), http: gateway.http().is_some() }
}

async fn save(config: &Config, mut to_save: watch::Receiver<Option<Arc<routes::Snapshot>>>) {
    while to_save.changed().await.is_ok() {
        let Some(snapshot) = to_save.borrow_and_update().clone() else { continue };
        let data = config.data.clone();
        let saved = tokio::task::spawn_blocking(move || keep::save(&data, &snapshot)).await;
        if let Err(error) = saved.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            tracing::error!(path = %config.data.display(), %error, "failed to keep the routes; a restart would serve older ones");
        }
    }
}
