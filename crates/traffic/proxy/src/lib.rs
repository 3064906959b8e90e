//! The gateway: an L7 proxy in a process of its own, so that the control plane can stop,
//! crash or be upgraded without a dropped request.
//!
//! Responsible for listening, forwarding, TLS and its own hand-over to a successor; it
//! watches the Kubernetes API itself and keeps its last good routes on disk. It decides
//! nothing about routes: that is the `routes` crate's.

mod answer;
mod body;
mod ca;
mod control;
mod error;
mod feed;
mod forward;
mod gateway;
mod headers;
mod keep;
mod live;
mod metrics;
mod pool;
mod process;
mod sockets;
mod statuses;
mod worker;

pub use ca::Authority;
pub use control::{Status, metrics, status, stop};
pub use error::Error;
pub use feed::Link;
pub use gateway::Gateway;
pub use keep::purge;
pub use live::Limits;
pub use process::{Config, main, run};
pub use sockets::{Listening, bind_all};
