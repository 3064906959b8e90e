//! What every wing asks of a Kubernetes API besides reading and writing objects:
//! who a credential belongs to, what its holder may do, and what went wrong.

pub mod access;
mod cause;

pub use cause::Cause;
