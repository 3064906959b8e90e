//! Rows of `flowcontrol.apiserver.k8s.io`.

use super::{
    super::{PLAIN, Row, columns::settings as columns, rules},
    status,
};
use crate::registry::{ALL_METADATA, Rules};

const FLOW: Row = Row {
    group: "flowcontrol.apiserver.k8s.io",
    namespaced: false,
    subresources: status,
    generation: true,
    divides_seats: true,
    status_keeps: ALL_METADATA,
    ..PLAIN
};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            kind: "FlowSchema",
            plural: "flowschemas",
            type_name: "io.k8s.api.flowcontrol.v1.FlowSchema",
            columns: columns::flow_schema,
            rules: Rules { validate: rules::flow::flow_schema, ..Rules::NONE },
            ..FLOW
        },
        Row {
            kind: "PriorityLevelConfiguration",
            plural: "prioritylevelconfigurations",
            type_name: "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
            columns: columns::priority_level,
            rules: Rules { validate: rules::flow::priority_level, ..Rules::NONE },
            ..FLOW
        },
    ]
}
