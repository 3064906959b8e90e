//! What a Kubernetes API answers, one file for each subject: asked are the embedded server,
//! the cluster of `CONFORMANCE_KUBECONFIG` instead, and with `CONFORMANCE_PEERS` a real
//! kube-apiserver beside ours, answer by answer.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    reason = "a test stops at what it did not expect, and runs beside the product"
)]

mod access;
mod admission;
mod clients;
mod definitions;
mod definitions_costs;
mod definitions_versions;
mod evictions;
mod expressions;
mod flux;
mod kinds;
mod kubectl;
mod mutating;
mod releases;
mod semantics;
mod verbs;
mod watches;
