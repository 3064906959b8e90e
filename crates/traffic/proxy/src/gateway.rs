//! The workers together: started on sockets, fed with snapshots, drained at the end.

use std::{net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

use routes::{Scheme, Snapshot};
use tokio::task::LocalSet;

use crate::{
    ca::{Authority, server_config},
    error::Error,
    live::{Limits, Shared},
    metrics,
    sockets::Listening,
    worker,
};

/// How long clients have after a hand-over to send one more request on an idle connection.
const LINGER: Duration = Duration::from_secs(5);

/// A running proxy: the data plane alone.
pub struct Gateway {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
}

impl Gateway {
    /// Starts a worker per processor on `listening`, of which each socket is served by one of them.
    pub fn start(listening: Vec<Listening>, authority: Authority, limits: Limits) -> Result<Self, Error> {
        let failed = |source| Error::StartWorker { source };
        let shared = Shared::new(limits);
        let tls = server_config(authority, shared.clone())?;
        let address =
            |scheme| listening.iter().find(|one| one.scheme == scheme).and_then(|one| one.listener.local_addr().ok());
        let (http, https) = (address(Scheme::Http), address(Scheme::Https));
        for (scheme, address) in [(Scheme::Http, http), (Scheme::Https, https)] {
            if let Some(address) = address {
                shared.ports.lock().insert(scheme, address.port());
            }
        }
        let count = workers().min(listening.len()).max(1);
        let mut shares: Vec<Vec<Listening>> = (0..count).map(|_| Vec::new()).collect();
        let (plain, secure): (Vec<_>, Vec<_>) = listening.into_iter().partition(|one| one.scheme == Scheme::Http);
        for (at, one) in plain.into_iter().enumerate().chain(secure.into_iter().enumerate()) {
            shares[at % count].push(one);
        }
        let mut threads = Vec::new();
        for share in shares {
            let (shared, tls) = (shared.clone(), tls.clone());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
            let work = move || {
                let set = LocalSet::new();
                if let Err(error) = set.block_on(&runtime, worker::run(shared, tls, share)) {
                    tracing::error!(%error, "a worker of the proxy failed");
                }
            };
            threads.push(std::thread::Builder::new().name("proxy".to_owned()).spawn(work).map_err(failed)?);
        }
        Ok(Gateway { shared, threads, http, https })
    }

    /// Puts a snapshot in force for every request from now on; returns its generation.
    pub fn publish(&self, snapshot: Snapshot) -> u64 {
        self.shared.publish(snapshot)
    }

    /// Returns the address of plain HTTP.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Returns the address of HTTPS.
    pub fn https(&self) -> Option<SocketAddr> {
        self.https
    }

    /// Returns all counts as Prometheus text.
    pub fn metrics(&self) -> String {
        metrics::exposition(&self.shared.meters.lock())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Leaves: takes no new connections, lets requests under way end, and returns whether all did within `grace`.
    pub async fn leave(self, grace: Duration) -> bool {
        self.shared.leaving.cancel();
        let shared = self.shared.clone();
        let ended = tokio::task::spawn_blocking(move || {
            for thread in self.threads {
                if thread.join().is_err() {
                    tracing::error!("a worker of the proxy panicked");
                }
            }
        });
        let linger = async {
            if shared.succeeded.is_cancelled() {
                tokio::time::sleep(LINGER.min(grace)).await;
            }
            shared.closing.cancel();
            std::future::pending::<()>().await;
        };
        let left = async {
            tokio::select! {
                ended = ended => ended.is_ok(),
                () = linger => false,
            }
        };
        tokio::time::timeout(grace, left).await.unwrap_or(false)
    }
}

/// Returns how many workers there are: one per processor.
pub(crate) fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
