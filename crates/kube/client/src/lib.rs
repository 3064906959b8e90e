//! What every wing asks of a Kubernetes API besides reading and writing objects:
//! who a credential belongs to, and what its holder may do.

pub mod access;
