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
mod kustomize;
mod lint;
mod output;
mod seed;
mod template;
mod values;

pub use args::{ChartSource, HelmArgs, ValuesArgs};
pub use error::Error;
pub use folder::read as read_folder;
pub use helm::{render as helm_render, run as helm_run};
pub use kustomize::{KustomizeArgs, LoadRestrictor, ReorderFlag, build as kustomize_build, run as kustomize_run};
pub use lint::{FailOn, LintArgs, LintForm, run as lint_run};
pub use template::{Form, TemplateArgs, TemplateInput, process as template_process, run as template_run};
pub use values::{Given, given};
