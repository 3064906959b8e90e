//! What a Helm release is: its record, its hooks, what an upgrade changes and when it is there.
//!
//! Values in, values out: never asks a cluster, never reads the clock.

pub mod definition;
pub mod difference;
pub mod hook;
pub mod merge;
pub mod owner;
pub mod ready;
pub mod record;

pub use hook::{Event, Hook, Phase, Policy};
pub use ready::Readiness;
pub use record::{Info, Release, Status};
