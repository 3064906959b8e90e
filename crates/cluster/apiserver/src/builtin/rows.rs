//! The rows of the built-in kinds, group by group.

mod aggregation;
mod apps;
mod core;
mod devices;
mod flow;
mod metrics;
mod network;
mod policy;
mod reviews;
mod storage;

use std::collections::BTreeMap;

use super::Row;
use crate::registry::Subresource;

/// Returns all rows.
pub(super) fn all() -> Vec<Row> {
    [
        core::rows(),
        apps::rows(),
        network::rows(),
        storage::rows(),
        policy::rows(),
        flow::rows(),
        devices::rows(),
        aggregation::rows(),
        reviews::rows(),
        metrics::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn status() -> BTreeMap<&'static str, Subresource> {
    BTreeMap::from([("status", Subresource::Status)])
}

fn scaled() -> BTreeMap<&'static str, Subresource> {
    let path = |path: &str| path.split('.').map(str::to_owned).collect();
    BTreeMap::from([
        ("status", Subresource::Status),
        (
            "scale",
            Subresource::Scale {
                spec: path("spec.replicas"),
                status: path("status.replicas"),
                selector: Some(path("spec.selector")),
            },
        ),
    ])
}
