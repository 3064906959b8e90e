//! Turns charts and values into manifests: Go's `text/template`, Sprig, YAML as
//! `sigs.k8s.io/yaml` reads and writes it, and Helm's own rules on top.
//!
//! Values in, values out: no file, socket, clock or environment is touched. What
//! Helm would take from outside (random numbers, the time, a cluster to look things
//! up in) is refused by name, because a render must give the same answer twice.

pub mod gofmt;
pub mod gotmpl;
pub mod helm;
pub mod json;
pub mod sprig;
pub mod value;
pub mod yaml;

pub use value::Value;

use sprig::base as sprig_base;
