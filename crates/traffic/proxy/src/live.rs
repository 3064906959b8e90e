//! What all workers share: the snapshot in force, counters, and whether the end has come.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use routes::{Backend, Snapshot};
use tokio_util::sync::CancellationToken;

use crate::metrics::Meter;

/// A snapshot in force, with the turns of its backends.
pub(crate) struct Live {
    /// Counts publications of this process.
    pub(crate) generation: u64,
    /// The routes.
    pub(crate) snapshot: Snapshot,
    turns: Vec<AtomicUsize>,
    /// `namespace/service` of each backend, as metrics name it.
    pub(crate) names: Vec<Arc<str>>,
    rolls: AtomicU64,
}

impl Live {
    fn new(generation: u64, snapshot: Snapshot) -> Self {
        let turns = snapshot.backends.iter().map(|_| AtomicUsize::new(0)).collect();
        let names = snapshot.backends.iter().map(name).collect();
        Live { generation, snapshot, turns, names, rolls: AtomicU64::new(0) }
    }

    /// Returns the next number of a backend's round.
    pub(crate) fn turn(&self, backend: usize) -> usize {
        self.turns.get(backend).map_or(0, |turn| turn.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns a number spread evenly over all of `u64` (the finaliser of splitmix64 over a count).
    pub(crate) fn roll(&self) -> u64 {
        let mut mixed = self.rolls.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn name(backend: &Backend) -> Arc<str> {
    format!("{}/{}", backend.namespace, backend.service).into()
}

/// Bounds on what a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a request's head to arrive, and for a connection to lie idle.
    pub head: Duration,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// For a connection to an endpoint.
    pub connect: Duration,
    /// Connections of one worker at a time.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head: Duration::from_mins(1),
            handshake: Duration::from_secs(10),
            head_bytes: 64 << 10,
            connect: Duration::from_secs(2),
            connections: 16_384,
        }
    }
}

/// Counters of the whole process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) open: AtomicUsize,
    pub(crate) accepted: AtomicU64,
    pub(crate) turned_away: AtomicU64,
    pub(crate) handshakes_failed: AtomicU64,
    pub(crate) retried: AtomicU64,
}

/// What all workers share.
pub(crate) struct Shared {
    live: ArcSwap<Live>,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) meters: Mutex<Vec<Arc<Meter>>>,
    /// No new connections; answers ask clients to connect anew.
    pub(crate) leaving: CancellationToken,
    /// Idle connections are closed.
    pub(crate) closing: CancellationToken,
    /// Whether another process has the listeners now.
    pub(crate) succeeded: CancellationToken,
    /// Ports that redirects name, by scheme.
    pub(crate) ports: Mutex<BTreeMap<routes::Scheme, u16>>,
}

impl Shared {
    /// Returns a state that serves nothing yet.
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Shared {
            live: ArcSwap::from_pointee(Live::new(0, Snapshot::default())),
            limits,
            counters: Counters::default(),
            meters: Mutex::default(),
            leaving: CancellationToken::new(),
            closing: CancellationToken::new(),
            succeeded: CancellationToken::new(),
            ports: Mutex::default(),
        })
    }

    /// Returns what is in force.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Puts `snapshot` in force for every request from now on; requests under way end by the one they began with.
    pub(crate) fn publish(&self, snapshot: Snapshot) -> u64 {
        let generation = self.live().generation + 1;
        self.live.store(Arc::new(Live::new(generation, snapshot)));
        generation
    }
}
