//! The embedded Kubernetes API server.
//!
//! It is responsible for everything between a request and the store:
//! authenticate → authorize → decode → mutate → default → validate → admit → store →
//! encode → audit. It never acts on what objects ask for; controllers do, as clients. [`Server::client`]
//! mounts it behind a [`kube::Client`] without a port, [`listen`] serves it over TLS.

mod access;
mod addresses;
mod admission;
mod aggregate;
pub mod audit;
mod body;
mod bootstrap;
mod builtin;
mod certificates;
mod connect;
mod custom;
mod discovery;
mod escalation;
mod evict;
mod fair;
mod flow;
mod groups;
mod health;
mod impersonate;
mod kinds;
mod listen;
mod metrics;
mod nodes;
mod openapi;
mod paths;
mod pipeline;
mod rbac;
mod read;
mod registry;
mod request;
mod reviews;
mod server;
mod snapshot;
mod startup;
mod status;
pub mod store;
mod subresources;
mod table;
mod token_requests;
mod tokens;
mod write;

pub use admission::Exemptions;
pub use discovery::VERSION;
pub use listen::{Handler, Tls, TlsError, listen};
pub use rbac::User;
pub use server::{Config, Error, Server};
pub use tokens::{InvalidKey, Tokens};
