//! Rows of `storage.k8s.io`, `scheduling.k8s.io` and `node.k8s.io`.

use super::{
    super::{PLAIN, Row, columns::settings as columns},
    status,
};

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
            ..STORAGE
        },
        Row {
            kind: "VolumeAttributesClass",
            returns_deleted: true,
            plural: "volumeattributesclasses",
            short: &["vac"],
            type_name: "io.k8s.api.storage.v1.VolumeAttributesClass",
            columns: columns::volume_attributes_class,
            ..STORAGE
        },
        Row {
            kind: "VolumeAttachment",
            returns_deleted: true,
            plural: "volumeattachments",
            type_name: "io.k8s.api.storage.v1.VolumeAttachment",
            columns: columns::volume_attachment,
            subresources: status,
            ..STORAGE
        },
        Row {
            kind: "CSIDriver",
            returns_deleted: true,
            plural: "csidrivers",
            type_name: "io.k8s.api.storage.v1.CSIDriver",
            columns: columns::csi_driver,
            ..STORAGE
        },
        Row {
            kind: "CSINode",
            returns_deleted: true,
            plural: "csinodes",
            type_name: "io.k8s.api.storage.v1.CSINode",
            columns: columns::csi_node,
            ..STORAGE
        },
        Row {
            kind: "CSIStorageCapacity",
            plural: "csistoragecapacities",
            namespaced: true,
            type_name: "io.k8s.api.storage.v1.CSIStorageCapacity",
            columns: columns::csi_storage_capacity,
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
            generation: true,
            ..PLAIN
        },
        Row {
            group: "node.k8s.io",
            kind: "RuntimeClass",
            plural: "runtimeclasses",
            namespaced: false,
            type_name: "io.k8s.api.node.v1.RuntimeClass",
            columns: columns::runtime_class,
            ..PLAIN
        },
    ]
}
