//! Rows of the core group and of `events.k8s.io`.

use std::collections::BTreeMap;

use super::{
    super::{PLAIN, Row, Stored, columns::core as columns, conversion, defaults, rules},
    scaled, status,
};
use crate::registry::{Connect, NameRule, Rules, Subresource};

fn of_pods() -> BTreeMap<&'static str, Subresource> {
    BTreeMap::from([
        ("status", Subresource::Status),
        ("log", Subresource::Log),
        ("binding", Subresource::Binding),
        ("eviction", Subresource::Eviction),
        ("exec", Subresource::Connect(Connect::Exec)),
        ("attach", Subresource::Connect(Connect::Attach)),
        ("portforward", Subresource::Connect(Connect::PortForward)),
        ("proxy", Subresource::Connect(Connect::PodProxy)),
    ])
}

fn with_proxy(to: Connect) -> BTreeMap<&'static str, Subresource> {
    BTreeMap::from([("status", Subresource::Status), ("proxy", Subresource::Connect(to))])
}

const NO_COLLECTION: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            kind: "Namespace",
            returns_deleted: true,
            plural: "namespaces",
            short: &["ns"],
            namespaced: false,
            verbs: NO_COLLECTION,
            name: NameRule::Label,
            type_name: "io.k8s.api.core.v1.Namespace",
            columns: columns::namespace,
            selectable: &["status.phase"],
            rules: Rules { create: defaults::new_namespace, keep: rules::keep_spec, ..Rules::NONE },
            subresources: || BTreeMap::from([("status", Subresource::Status), ("finalize", Subresource::Finalize)]),
            ..PLAIN
        },
        Row {
            kind: "Pod",
            returns_deleted: true,
            plural: "pods",
            short: &["po"],
            categories: &["all"],
            type_name: "io.k8s.api.core.v1.Pod",
            status_keeps: &["ownerReferences"],
            columns: columns::pod,
            selectable: &[
                "spec.nodeName",
                "spec.restartPolicy",
                "spec.schedulerName",
                "spec.serviceAccountName",
                "spec.hostNetwork",
                "status.phase",
                "status.podIP",
                "status.podIPs",
                "status.nominatedNodeName",
            ],
            rules: Rules { validate: rules::pods::pod, create: defaults::new_pod, ..Rules::NONE },
            subresources: of_pods,
            generation: true,
            graceful: true,
            ..PLAIN
        },
        Row {
            kind: "PodTemplate",
            returns_deleted: true,
            plural: "podtemplates",
            type_name: "io.k8s.api.core.v1.PodTemplate",
            columns: columns::pod_template,
            generation: true,
            rules: Rules { validate: rules::pods::pod_template, ..Rules::NONE },
            ..PLAIN
        },
        Row {
            kind: "ReplicationController",
            plural: "replicationcontrollers",
            short: &["rc"],
            categories: &["all"],
            type_name: "io.k8s.api.core.v1.ReplicationController",
            columns: columns::replication_controller,
            selectable: &["status.replicas"],
            subresources: scaled,
            generation: true,
            rules: Rules { validate: rules::apps::replication_controller, ..Rules::NONE },
            ..PLAIN
        },
        Row {
            kind: "Service",
            created_by_updates: true,
            returns_deleted: true,
            plural: "services",
            short: &["svc"],
            categories: &["all"],
            name: NameRule::Label,
            type_name: "io.k8s.api.core.v1.Service",
            columns: columns::service,
            selectable: &["spec.clusterIP", "spec.type"],
            rules: Rules {
                validate: rules::services::service,
                create: defaults::service,
                keep: defaults::changed_service,
                ..Rules::NONE
            },
            subresources: || with_proxy(Connect::ServiceProxy),
            addressed: true,
            ..PLAIN
        },
        Row {
            kind: "Endpoints",
            created_by_updates: true,
            plural: "endpoints",
            short: &["ep"],
            type_name: "io.k8s.api.core.v1.Endpoints",
            columns: columns::endpoints,
            deprecated: Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
            rules: Rules { validate: rules::core::endpoints, ..Rules::NONE },
            ..PLAIN
        },
        Row {
            kind: "ConfigMap",
            plural: "configmaps",
            short: &["cm"],
            type_name: "io.k8s.api.core.v1.ConfigMap",
            columns: columns::config_map,
            rules: Rules { validate: rules::core::config_map, ..Rules::NONE },
            ..PLAIN
        },
        Row {
            kind: "Secret",
            plural: "secrets",
            type_name: "io.k8s.api.core.v1.Secret",
            confidential: true,
            columns: columns::secret,
            selectable: &["type"],
            rules: Rules { validate: rules::core::secret, default: defaults::secret, ..Rules::NONE },
            ..PLAIN
        },
        Row {
            kind: "ServiceAccount",
            returns_deleted: true,
            plural: "serviceaccounts",
            short: &["sa"],
            type_name: "io.k8s.api.core.v1.ServiceAccount",
            rules: Rules { warn: rules::core::account_warnings, ..Rules::NONE },
            subresources: || BTreeMap::from([("token", Subresource::Token)]),
            ..PLAIN
        },
        Row {
            kind: "Node",
            plural: "nodes",
            short: &["no"],
            namespaced: false,
            type_name: "io.k8s.api.core.v1.Node",
            columns: columns::node,
            selectable: &["spec.unschedulable"],
            subresources: || with_proxy(Connect::NodeProxy),
            rules: Rules { validate: rules::core::node, ..Rules::NONE },
            ..PLAIN
        },
        Row {
            kind: "PersistentVolume",
            returns_deleted: true,
            plural: "persistentvolumes",
            short: &["pv"],
            namespaced: false,
            type_name: "io.k8s.api.core.v1.PersistentVolume",
            columns: columns::persistent_volume,
            subresources: status,
            rules: Rules { validate: rules::storage::persistent_volume, create: defaults::new_volume, ..Rules::NONE },
            ..PLAIN
        },
        Row {
            kind: "PersistentVolumeClaim",
            returns_deleted: true,
            plural: "persistentvolumeclaims",
            short: &["pvc"],
            type_name: "io.k8s.api.core.v1.PersistentVolumeClaim",
            columns: columns::persistent_volume_claim,
            subresources: status,
            rules: Rules { validate: rules::storage::claim, create: defaults::new_claim, ..Rules::NONE },
            ..PLAIN
        },
        Row {
            kind: "ResourceQuota",
            returns_deleted: true,
            plural: "resourcequotas",
            short: &["quota"],
            type_name: "io.k8s.api.core.v1.ResourceQuota",
            columns: columns::resource_quota,
            subresources: status,
            rules: Rules { validate: rules::core::resource_quota, ..Rules::NONE },
            ..PLAIN
        },
        Row {
            kind: "LimitRange",
            created_by_updates: true,
            plural: "limitranges",
            short: &["limits"],
            type_name: "io.k8s.api.core.v1.LimitRange",
            columns: super::super::columns::created_at,
            rules: Rules { validate: rules::limits::limit_range, ..Rules::NONE },
            ..PLAIN
        },
        Row {
            selectable: &[
                "involvedObject.kind",
                "involvedObject.namespace",
                "involvedObject.name",
                "involvedObject.uid",
                "involvedObject.apiVersion",
                "involvedObject.resourceVersion",
                "involvedObject.fieldPath",
                "reason",
                "reportingComponent",
                "source",
                "type",
            ],
            elsewhere: &[("source", &["source.component", "reportingComponent"])],
            type_name: "io.k8s.api.core.v1.Event",
            rules: Rules { validate: rules::core::event, ..Rules::NONE },
            ..EVENT
        },
        Row {
            group: "events.k8s.io",
            selectable: &[
                "regarding.kind",
                "regarding.namespace",
                "regarding.name",
                "regarding.uid",
                "regarding.apiVersion",
                "regarding.resourceVersion",
                "regarding.fieldPath",
                "reason",
                "reportingController",
                "type",
            ],
            type_name: "io.k8s.api.events.v1.Event",
            rules: Rules { validate: rules::core::new_event, ..Rules::NONE },
            stored: Some(Stored { group: "", version: "v1", conversion: conversion::EVENT }),
            ..EVENT
        },
    ]
}

const EVENT: Row = Row {
    kind: "Event",
    created_by_updates: true,
    plural: "events",
    short: &["ev"],
    name: NameRule::Segment,
    columns: columns::event,
    ..PLAIN
};
