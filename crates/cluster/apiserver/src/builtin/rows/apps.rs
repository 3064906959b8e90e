//! Rows of `apps`, `batch`, `autoscaling` and `policy`: what runs pods, and how many of them.

use super::{
    super::{PLAIN, Row, Stored, columns::workloads as columns, conversion, defaults, rules},
    scaled, status,
};
use crate::registry::Rules;

const APPS: Row = Row { group: "apps", categories: &["all"], generation: true, ..PLAIN };
const BATCH: Row = Row { group: "batch", categories: &["all"], generation: true, subresources: status, ..PLAIN };
const AUTOSCALER: Row = Row {
    group: "autoscaling",
    kind: "HorizontalPodAutoscaler",
    plural: "horizontalpodautoscalers",
    short: &["hpa"],
    categories: &["all"],
    subresources: status,
    columns: columns::autoscaler,
    ..PLAIN
};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            kind: "Deployment",
            plural: "deployments",
            short: &["deploy"],
            type_name: "io.k8s.api.apps.v1.Deployment",
            columns: columns::deployment,
            rules: Rules { default: defaults::deployment, validate: rules::deployment, ..Rules::NONE },
            subresources: scaled,
            ..APPS
        },
        Row {
            kind: "ReplicaSet",
            plural: "replicasets",
            short: &["rs"],
            type_name: "io.k8s.api.apps.v1.ReplicaSet",
            columns: columns::replica_set,
            selectable: &["status.replicas"],
            rules: Rules { default: defaults::replica_set, validate: rules::replica_set, ..Rules::NONE },
            subresources: scaled,
            ..APPS
        },
        Row {
            kind: "StatefulSet",
            plural: "statefulsets",
            short: &["sts"],
            type_name: "io.k8s.api.apps.v1.StatefulSet",
            columns: columns::stateful_set,
            subresources: scaled,
            ..APPS
        },
        Row {
            kind: "DaemonSet",
            plural: "daemonsets",
            short: &["ds"],
            type_name: "io.k8s.api.apps.v1.DaemonSet",
            columns: columns::daemon_set,
            subresources: status,
            ..APPS
        },
        Row {
            kind: "ControllerRevision",
            plural: "controllerrevisions",
            categories: &[],
            type_name: "io.k8s.api.apps.v1.ControllerRevision",
            columns: columns::controller_revision,
            generation: false,
            ..APPS
        },
        Row {
            kind: "Job",
            plural: "jobs",
            type_name: "io.k8s.api.batch.v1.Job",
            columns: columns::job,
            selectable: &["status.successful"],
            ..BATCH
        },
        Row {
            kind: "CronJob",
            plural: "cronjobs",
            short: &["cj"],
            type_name: "io.k8s.api.batch.v1.CronJob",
            columns: columns::cron_job,
            ..BATCH
        },
        Row { version: "v2", type_name: "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler", ..AUTOSCALER },
        Row {
            version: "v1",
            type_name: "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
            stored: Some(Stored { group: "autoscaling", version: "v2", conversion: conversion::AUTOSCALER }),
            ..AUTOSCALER
        },
        Row {
            group: "policy",
            kind: "PodDisruptionBudget",
            plural: "poddisruptionbudgets",
            short: &["pdb"],
            type_name: "io.k8s.api.policy.v1.PodDisruptionBudget",
            columns: columns::disruption_budget,
            subresources: status,
            generation: true,
            ..PLAIN
        },
    ]
}
