//! Kubernetes' validation of the built-in kinds, with its own fields, reasons and words.
//! Each file holds the kinds of some groups; the checks they share are in [`check`].

pub(super) mod admission;
pub(super) mod aggregation;
pub(super) mod apps;
pub(super) mod batch;
pub(super) mod certificates;
pub(crate) mod check;
pub(super) mod core;
mod cron;
pub(super) mod devices;
mod env;
pub(super) mod flow;
pub(super) mod limits;
pub(super) mod network;
pub(super) mod pods;
pub(super) mod policy;
pub(super) mod scaling;
mod scheduling;
pub(super) mod services;
pub(super) mod storage;
mod volumes;

use serde_json::Value;

/// For kinds whose spec is written by its own path, or once and for all.
pub(super) fn keep_spec(old: &Value, new: &mut Value) {
    new["spec"] = old["spec"].clone();
}
