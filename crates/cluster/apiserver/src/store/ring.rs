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

/// What a change costs: its object, and a little for itself.
fn weight(change: &Change) -> usize {
    change.entry.bytes.len() + change.key.len() + 128
}

impl Ring {
    /// Returns a ring that lacks the changes up to `gone`, of a store at revision `opened_at`.
    pub(super) fn new(gone: u64, opened_at: u64) -> Ring {
        Ring {
            inner: Mutex::new(Inner { changes: VecDeque::new(), bytes: 0, gone }),
            newest: watch::Sender::new(opened_at),
        }
    }

    pub(super) fn push(&self, change: Arc<Change>) {
        let revision = change.revision;
        let mut inner = self.inner.lock();
        inner.bytes += weight(&change);
        inner.changes.push_back(change);
        while inner.bytes > MAX_BYTES || inner.changes.len() > MAX_CHANGES {
            let Some(oldest) = inner.changes.pop_front() else { break };
            inner.bytes -= weight(&oldest);
            inner.gone = oldest.revision;
        }
        drop(inner);
        self.newest.send_replace(revision);
    }

    /// Returns the changes after `revision`, oldest first and `most` of them, or `None` if some are gone.
    pub(super) fn since(&self, revision: u64, most: usize) -> Option<Vec<Arc<Change>>> {
        let inner = self.inner.lock();
        if revision < inner.gone {
            return None;
        }
        let from = inner.changes.partition_point(|change| change.revision <= revision);
        Some(inner.changes.range(from..).take(most).cloned().collect())
    }

    /// Returns how many bytes of objects it holds.
    pub(super) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }

    /// Forgets the older half of what it holds.
    pub(super) fn halve(&self) {
        let mut inner = self.inner.lock();
        let target = inner.bytes / 2;
        while inner.bytes > target {
            let Some(oldest) = inner.changes.pop_front() else { break };
            inner.bytes -= weight(&oldest);
            inner.gone = oldest.revision;
        }
    }

    pub(super) fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    pub(super) fn notices(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}
