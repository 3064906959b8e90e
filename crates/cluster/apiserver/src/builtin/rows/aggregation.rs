//! Row of `apiregistration.k8s.io`.

use super::{
    super::{PLAIN, Row, columns::devices as columns, rules},
    status,
};
use crate::registry::{ALL_METADATA, NameRule, Rules};

pub(super) fn rows() -> Vec<Row> {
    vec![Row {
        group: "apiregistration.k8s.io",
        kind: "APIService",
        plural: "apiservices",
        categories: &["api-extensions"],
        namespaced: false,
        name: NameRule::Segment,
        type_name: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
        columns: columns::api_service,
        subresources: status,
        status_keeps: ALL_METADATA,
        rules: Rules {
            default: rules::aggregation::default,
            validate: rules::aggregation::api_service,
            create: rules::aggregation::available,
            ..Rules::NONE
        },
        ..PLAIN
    }]
}
