//! What is said: the platform's own kinds, the foreign kinds as far as it reads them,
//! and the types of its REST API. Values only; nothing here acts.

pub mod argo;
pub mod crds;
pub mod kinds;
pub mod rest;
