//! The node: the kubelet's part of the embedded cluster.
//!
//! It is responsible for the pods that name this node in `spec.nodeName`: it runs their
//! containers, watches their health, reports their status and removes them. It is a
//! client of the Kubernetes API like any other. It never chooses a node for a pod,
//! never serves a port, and never stops a container because the API is away.
//!
//! Containers hang under a small process per pod ([`shim`]), so that the platform can
//! stop, crash or be upgraded while they run; the next [`Node`] on the same folder
//! goes on with them.

mod cgroups;
mod context;
mod error;
mod events;
mod figures;
mod handle;
mod history;
mod isolation;
mod logs;
mod network;
mod node;
mod plan;
mod pod;
mod proc;
mod purge;
mod register;
mod sandbox;
pub mod shim;
mod streams;

pub use error::Error;
pub use handle::Handle;
pub use isolation::{Isolation, probe};
pub use node::{Config, Node};
pub use plan::Cidr;
pub use purge::{purge, stop_all};
