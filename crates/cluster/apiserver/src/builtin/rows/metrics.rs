//! Rows of `metrics.k8s.io`: what the connected node measures.

use super::super::{PLAIN, Row, columns};
use crate::registry::Measured;

const READ: &[&str] = &["get", "list"];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            kind: "NodeMetrics",
            plural: "nodes",
            namespaced: false,
            measured: Some(Measured::Nodes),
            columns: columns::figures::of_node,
            ..FIGURES
        },
        Row {
            kind: "PodMetrics",
            plural: "pods",
            measured: Some(Measured::Pods),
            columns: columns::figures::of_pod,
            ..FIGURES
        },
    ]
}

const FIGURES: Row = Row { group: "metrics.k8s.io", version: "v1beta1", verbs: READ, ..PLAIN };
