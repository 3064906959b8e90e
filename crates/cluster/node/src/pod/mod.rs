//! A pod's life on this node. The files ending in decisions (`lifecycle`, `health`,
//! `env`, `oci`, `status`, `support`, `volumes`) are functions of values; `worker`,
//! `observe`, `launch` and `prober` do the input and output.

pub(crate) mod env;
pub(crate) mod health;
pub(crate) mod launch;
pub(crate) mod lifecycle;
mod observe;
pub(crate) mod oci;
pub(crate) mod prober;
pub(crate) mod quantity;
pub(crate) mod status;
pub(crate) mod support;
pub(crate) mod volumes;
pub(crate) mod worker;
