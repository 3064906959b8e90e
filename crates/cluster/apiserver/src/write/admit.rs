//! Admission: what may still change or refuse a write that its schema and rules let through.
//!
//! `Server::mutate` comes after decoding and defaulting and may change the object; what
//! it leaves is defaulted again. `Server::admit` comes after validation, directly before
//! the store, and may only refuse. Every write passes both, a dry run too.

use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use super::Call;

/// What a write does, in admission's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A new object, or a subresource that is created (`binding`, `eviction`, `token`).
    Create,
    /// A change, a patch and a status write too.
    Update,
    /// A deletion.
    Delete,
    /// A request that is handed on; its object are the options.
    Connect,
}

/// What admission looks at.
#[derive(Clone, Copy)]
pub(crate) struct Admission<'a> {
    /// Who writes what with which options.
    pub call: Call<'a>,
    /// What the write does.
    pub operation: Operation,
    /// The object as it would be stored; `None` for a deletion.
    pub new: Option<&'a Value>,
    /// The object as it is; `None` for a creation.
    pub old: Option<&'a Value>,
}

/// A write that was let through.
#[derive(Default)]
pub(crate) struct Admitted {
    /// What to warn the client of.
    pub warnings: Vec<String>,
    /// Held until the write is stored, so that what was counted for it stays true.
    pub held: Vec<OwnedMutexGuard<()>>,
}
