//! What stands between the pure engines and the machine: charts from folders, archives,
//! repositories and registries, values from files, and where the output goes.
//!
//! Never decides what a template means; never talks to a cluster.

mod args;
mod charts;
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
pub use helm::run as helm_run;
pub use kustomize::{KustomizeArgs, LoadRestrictor, ReorderFlag, run as kustomize_run};
pub use lint::{FailOn, LintArgs, LintForm, run as lint_run};
pub use template::{Form, TemplateArgs, TemplateInput, given, run as template_run, world};
