//! Rows of `resource.k8s.io`: devices, and who asks for them.

use super::{
    super::{PLAIN, Row, columns::devices as columns, rules},
    status,
};
use crate::registry::{ALL_METADATA, Rules};

const DEVICES: Row = Row { group: "resource.k8s.io", returns_deleted: true, ..PLAIN };

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            kind: "DeviceClass",
            plural: "deviceclasses",
            namespaced: false,
            generation: true,
            type_name: "io.k8s.api.resource.v1.DeviceClass",
            rules: Rules { validate: rules::devices::class, ..Rules::NONE },
            ..DEVICES
        },
        Row {
            kind: "ResourceClaim",
            plural: "resourceclaims",
            type_name: "io.k8s.api.resource.v1.ResourceClaim",
            columns: columns::claim,
            subresources: status,
            status_keeps: ALL_METADATA,
            rules: Rules { validate: rules::devices::claim, ..Rules::NONE },
            ..DEVICES
        },
        Row {
            kind: "ResourceClaimTemplate",
            plural: "resourceclaimtemplates",
            type_name: "io.k8s.api.resource.v1.ResourceClaimTemplate",
            rules: Rules { validate: rules::devices::template, ..Rules::NONE },
            ..DEVICES
        },
        Row {
            kind: "ResourceSlice",
            plural: "resourceslices",
            namespaced: false,
            generation: true,
            type_name: "io.k8s.api.resource.v1.ResourceSlice",
            columns: columns::slice,
            selectable: &["spec.driver", "spec.nodeName"],
            rules: Rules { validate: rules::devices::slice, warn: rules::devices::slice_warnings, ..Rules::NONE },
            ..DEVICES
        },
    ]
}
