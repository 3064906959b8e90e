//! Rows of `storage.k8s.io`, `scheduling.k8s.io` and `node.k8s.io`.

use super::{
    super::{PLAIN, Row, columns::settings as columns, defaults, rules},
    status,
};
use crate::registry::{ALL_METADATA, Rules};

const STORAGE: Row = Row { group: "storage.k8s.io", namespaced: false, ..PLAIN };

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            kind: "StorageClass",
            returns_deleted: true,
            plural: "storageclasses",
            short: &["sc"],
            type_name: "io.k8s.api.storage.v1.StorageClass",
            columns: columns::storage_class,
            rules: Rules { validate: rules::storage::storage_class, ..Rules::NONE },
            ..STORAGE
        },
        Row {
            kind: "VolumeAttributesClass",
            returns_deleted: true,
            plural: "volumeattributesclasses",
            short: &["vac"],
            type_name: "io.k8s.api.storage.v1.VolumeAttributesClass",
            columns: columns::volume_attributes_class,
            rules: Rules { validate: rules::storage::attributes_class, ..Rules::NONE },
            ..STORAGE
        },
        Row {
            kind: "VolumeAttachment",
            unconditional: false,
            returns_deleted: true,
            plural: "volumeattachments",
            type_name: "io.k8s.api.storage.v1.VolumeAttachment",
            status_keeps: ALL_METADATA,
            columns: columns::volume_attachment,
            subresources: status,
            rules: Rules { validate: rules::storage::attachment, ..Rules::NONE },
            ..STORAGE
        },
        Row {
            kind: "CSIDriver",
            unconditional: false,
            returns_deleted: true,
            plural: "csidrivers",
            type_name: "io.k8s.api.storage.v1.CSIDriver",
            columns: columns::csi_driver,
            counts: Some(rules::storage::driver_counts),
            rules: Rules { validate: rules::storage::csi_driver, warn: rules::storage::driver_warnings, ..Rules::NONE },
            ..STORAGE
        },
        Row {
            kind: "CSINode",
            unconditional: false,
            returns_deleted: true,
            plural: "csinodes",
            type_name: "io.k8s.api.storage.v1.CSINode",
            columns: columns::csi_node,
            rules: Rules { validate: rules::storage::csi_node, ..Rules::NONE },
            ..STORAGE
        },
        Row {
            kind: "CSIStorageCapacity",
            unconditional: false,
            plural: "csistoragecapacities",
            namespaced: true,
            type_name: "io.k8s.api.storage.v1.CSIStorageCapacity",
            // Kubernetes prints no columns of its own here.
            columns: super::super::columns::created_at,
            rules: Rules { validate: rules::storage::capacity, ..Rules::NONE },
            ..STORAGE
        },
        Row {
            group: "scheduling.k8s.io",
            kind: "PriorityClass",
            plural: "priorityclasses",
            short: &["pc"],
            namespaced: false,
            type_name: "io.k8s.api.scheduling.v1.PriorityClass",
            columns: columns::priority_class,
            rules: Rules {
                create: defaults::new_priority_class,
                validate: rules::storage::priority_class,
                ..Rules::NONE
            },
            ..PLAIN
        },
        Row {
            group: "node.k8s.io",
            kind: "RuntimeClass",
            created_by_updates: true,
            unconditional: false,
            plural: "runtimeclasses",
            namespaced: false,
            type_name: "io.k8s.api.node.v1.RuntimeClass",
            columns: columns::runtime_class,
            rules: Rules { validate: rules::storage::runtime_class, ..Rules::NONE },
            ..PLAIN
        },
    ]
}
