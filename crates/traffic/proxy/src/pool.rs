//! Connections to endpoints, kept by one worker for itself.
//!
//! A connection that lay idle may have been closed by its endpoint in the meantime: who
//! uses one has to be ready to send again on a new one.

use std::{cell::RefCell, collections::HashMap, io, net::SocketAddr, rc::Rc, time::Duration};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::body::Sent;

/// Idle connections per endpoint; beyond, they are closed when they come back.
const MOST_IDLE: usize = 512;
/// How long a connection may lie idle.
const IDLE: Duration = Duration::from_secs(30);
/// How long an endpoint that could not be reached is asked last.
const SHUNNED: Duration = Duration::from_secs(2);

struct Idle {
    sender: SendRequest<Sent>,
    since: Instant,
}

/// One worker's connections.
#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<SocketAddr, Vec<Idle>>>,
    shunned: RefCell<HashMap<SocketAddr, Instant>>,
}

/// A connection in use.
pub(crate) struct Lease {
    pub(crate) sender: SendRequest<Sent>,
    address: SocketAddr,
    pool: Rc<Pool>,
}

impl Lease {
    /// Keeps the connection for the next request. Dropping a lease closes it.
    pub(crate) fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let mut idle = self.pool.idle.borrow_mut();
        let kept = idle.entry(self.address).or_default();
        if kept.len() < MOST_IDLE {
            kept.push(Idle { sender: self.sender, since: base::clock::instant() });
        }
    }
}

/// Whether a connection that lay idle will do.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Wanted {
    /// Any.
    Any,
    /// A new one: an idle one has just failed.
    New,
}

impl Pool {
    /// Returns a connection to `address`, an idle one if there is one.
    pub(crate) async fn get(
        self: &Rc<Self>,
        address: SocketAddr,
        wanted: Wanted,
        within: Duration,
    ) -> io::Result<Lease> {
        if wanted == Wanted::Any
            && let Some(sender) = self.idle(address)
        {
            return Ok(Lease { sender, address, pool: self.clone() });
        }
        match timeout(within, connect(address)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(sender) => Ok(Lease { sender, address, pool: self.clone() }),
            Err(error) => {
                self.shunned.borrow_mut().insert(address, base::clock::instant());
                Err(error)
            }
        }
    }

    fn idle(&self, address: SocketAddr) -> Option<SendRequest<Sent>> {
        let mut all = self.idle.borrow_mut();
        let kept = all.get_mut(&address)?;
        // The youngest first: the old ones can then age and be closed. One that is still busy
        // with the end of its last request is left for later.
        let mut at = kept.len();
        while at > 0 {
            at -= 1;
            if kept[at].sender.is_closed() {
                kept.swap_remove(at);
            } else if kept[at].sender.is_ready() {
                return Some(kept.swap_remove(at).sender);
            }
        }
        None
    }

    /// Returns whether `address` could not be reached a moment ago.
    pub(crate) fn shuns(&self, address: SocketAddr) -> bool {
        let mut shunned = self.shunned.borrow_mut();
        if shunned.is_empty() {
            return false;
        }
        let now = base::clock::instant();
        shunned.retain(|_, since| now.duration_since(*since) < SHUNNED);
        shunned.contains_key(&address)
    }

    /// Closes what has lain idle for too long.
    pub(crate) fn sweep(&self) {
        let now = base::clock::instant();
        self.idle.borrow_mut().retain(|_, kept| {
            kept.retain(|idle| !idle.sender.is_closed() && now.duration_since(idle.since) < IDLE);
            !kept.is_empty()
        });
    }
}

async fn connect(address: SocketAddr) -> io::Result<SendRequest<Sent>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::task::spawn_local(async move {
        // Whoever waits for an answer on this connection is told of its failure there.
        if let Err(error) = connection.with_upgrades().await {
            tracing::trace!(%address, %error, "a connection to an endpoint ended");
        }
    });
    Ok(sender)
}
