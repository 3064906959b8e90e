//! Black-box tests of a Kubernetes API: how to reach a cluster (the embedded server, one
//! that a kubeconfig names, a real kube-apiserver), what to ask it, and how two answers
//! are compared. The subjects themselves are the files beside `src`.
#![allow(clippy::disallowed_methods, reason = "tests run beside the product and read their own environment")]

pub mod case;
pub mod cluster;
pub mod difference;
pub mod hook;
pub mod identity;
pub mod peer;
pub mod served;
pub mod walk;
