//! The REST API and the portal's pages, of one process and one set of rules.
//!
//! Responsible for what people and their scripts see and ask for. It keeps no state of its
//! own besides sessions: what it shows is read from watched Kubernetes objects, what it is
//! asked to do becomes a Kubernetes object. It never talks to git, nodes or the gateway.

mod access;
mod api;
mod error;
mod idempotency;
mod index;
mod live;
mod logs;
mod openapi;
mod pages;
mod paging;
mod portal;
mod problem;
mod session;
mod templates;
mod time;
mod view;

pub use error::Error;
pub use portal::{Config, Handle, Portal, Secured};
pub use templates::{Deployer, Deploying, Trial};
