//! What goes where: compiles Gateway API and Istio route objects, Services and
//! `EndpointSlices` into one immutable [`Snapshot`], and decides about requests by it.
//!
//! Responsible for precedence, for what is refused and under which name, and for
//! the status that says so. It never opens a socket, reads a file or asks the time.

mod compile;
mod condition;
pub mod crds;
mod edit;
mod endpoints;
mod gateway;
mod hosts;
mod http_route;
mod matching;
mod objects;
mod snapshot;
mod supported;
mod virtual_service;

pub use compile::{Compiled, Placement, StatusUpdate, compile};
pub use crds::crds;
pub use edit::{Target, redirect_location, rewritten_path};
pub use hosts::{Hosts, covers, intersect};
pub use matching::{Match, NameMatch, PathMatch, Pattern, Request, TextMatch};
pub use objects::{CONTROLLER, Key, Kind, Objects};
pub use snapshot::{
    Action, Backend, Forward, HeaderEdits, Listener, PathRewrite, Redirect, Rewrite, RouteKey, Rule, Scheme, Snapshot,
    Table, Unserved, Weighted,
};
