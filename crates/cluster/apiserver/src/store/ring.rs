//! The recent changes of one resource. Watchers are cursors into it, so a slow one
//! costs nothing and is told when it fell too far behind.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Entry;

/// Bytes of objects that one resource's ring holds at most.
const MAX_BYTES: usize = 16 << 20;
/// Changes that one resource's ring holds at most.
const MAX_CHANGES: usize = 50_000;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It came into being.
    Added,
    /// It changed.
    Modified,
    /// It went.
    Deleted,
}

/// One change.
#[derive(Debug)]
pub struct Change {
    /// The revision that it made.
    pub revision: u64,
    /// What happened.
    pub kind: ChangeKind,
    /// The object's key.
    pub key: String,
    /// The object after it; for a deletion what it was last, at this revision.
    pub entry: Arc<Entry>,
    /// The object before it.
    pub previous: Option<Arc<Entry>>,
}

pub(super) struct Ring {
    inner: Mutex<Inner>,
    newest: watch::Sender<u64>,
}

struct Inner {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    /// Changes up to and with this revision are no longer here.
    gone: u64,
}

impl Ring {
    pub(super) fn new(opened_at: u64) -> Ring {
        // A store that has just been made has no history to miss.
        let gone = if opened_at <= 1 { 0 } else { opened_at };
        Ring {
            inner: Mutex::new(Inner { changes: VecDeque::new(), bytes: 0, gone }),
            newest: watch::Sender::new(opened_at),
        }
    }

    pub(super) fn push(&self, change: Arc<Change>) {
        let revision = change.revision;
        let mut inner = self.inner.lock();
        inner.bytes += change.entry.bytes.len();
        inner.changes.push_back(change);
        while inner.bytes > MAX_BYTES || inner.changes.len() > MAX_CHANGES {
            let Some(oldest) = inner.changes.pop_front() else { break };
            inner.bytes -= oldest.entry.bytes.len();
            inner.gone = oldest.revision;
        }
        drop(inner);
        self.newest.send_replace(revision);
    }

    pub(super) fn since(&self, revision: u64) -> Option<Vec<Arc<Change>>> {
        let inner = self.inner.lock();
        if revision < inner.gone {
            return None;
        }
        let from = inner.changes.partition_point(|change| change.revision <= revision);
        Some(inner.changes.range(from..).cloned().collect())
    }

    pub(super) fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    pub(super) fn notices(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}
