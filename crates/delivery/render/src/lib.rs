//! What stands between the pure engines and the machine: charts from folders, archives,
//! repositories and registries, values from files, and where the output goes.
//!
//! Never decides what a template means; never talks to a cluster.

mod args;
pub mod charts;
mod error;
mod fetch;
mod folder;
mod helm;
mod output;
mod values;

pub use args::{ChartSource, HelmArgs, ValuesArgs};
pub use error::Error;
pub use folder::read as read_folder;
pub use helm::{render as helm_render, run as helm_run};
pub use values::{Given, given};
