//! What stands between the pure engines and the machine: charts from folders, archives,
//! repositories and registries, values from files, and where the output goes.
//!
//! Never decides what a template means; never talks to a cluster.
//!
//! The parts that whoever installs a chart needs too are open: [`load_chart`], [`given_values`], [`release_name`],
//! [`post_render`], [`seed`].

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
pub use charts::load as load_chart;
pub use error::Error;
pub use helm::{Naming, post_render, release_name, run as helm_run};
pub use kustomize::{KustomizeArgs, LoadRestrictor, ReorderFlag, run as kustomize_run};
pub use lint::{FailOn, LintArgs, LintForm, run as lint_run};
pub use seed::of as seed;
pub use template::{Form, TemplateArgs, TemplateInput, given, run as template_run, world};
pub use values::{Given, given as given_values};
