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
            status_keeps: &["labels"],
            columns: columns::deployment,
            rules: Rules { validate: rules::apps::deployment, ..Rules::NONE },
            subresources: scaled,
            ..APPS
        },
        Row {
            kind: "ReplicaSet",
            plural: "replicasets",
            short: &["rs"],
            type_name: "io.k8s.api.apps.v1.ReplicaSet",
            columns: columns::replica_set,
            rules: Rules { validate: rules::apps::replica_set, ..Rules::NONE },
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
            rules: Rules { validate: rules::apps::stateful_set, ..Rules::NONE },
            ..APPS
        },
        Row {
            kind: "DaemonSet",
            plural: "daemonsets",
            short: &["ds"],
            type_name: "io.k8s.api.apps.v1.DaemonSet",
            columns: columns::daemon_set,
            subresources: status,
            rules: Rules {
                validate: rules::apps::daemon_set,
                default: defaults::daemon_set,
                create: defaults::new_daemon_set,
                keep: defaults::changed_daemon_set,
                ..Rules::NONE
            },
            ..APPS
        },
        Row {
            kind: "ControllerRevision",
            plural: "controllerrevisions",
            categories: &[],
            type_name: "io.k8s.api.apps.v1.ControllerRevision",
            columns: columns::controller_revision,
            generation: false,
            rules: Rules { validate: rules::apps::controller_revision, ..Rules::NONE },
            ..APPS
        },
        Row {
            kind: "Job",
            plural: "jobs",
            type_name: "io.k8s.api.batch.v1.Job",
            columns: columns::job,
            rules: Rules { validate: rules::batch::job, create: defaults::new_job, ..Rules::NONE },
            selectable: &["status.successful"],
            ..BATCH
        },
        Row {
            kind: "CronJob",
            plural: "cronjobs",
            short: &["cj"],
            type_name: "io.k8s.api.batch.v1.CronJob",
            columns: columns::cron_job,
            rules: Rules { validate: rules::batch::cron_job, ..Rules::NONE },
            ..BATCH
        },
        Row {
            version: "v2",
            type_name: "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
            rules: Rules { validate: rules::scaling::autoscaler, ..Rules::NONE },
            ..AUTOSCALER
        },
        Row {
            version: "v1",
            type_name: "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
            rules: Rules { validate: rules::scaling::old_autoscaler, ..Rules::NONE },
            stored: Some(Stored { group: "autoscaling", version: "v2", conversion: conversion::AUTOSCALER }),
            ..AUTOSCALER
        },
        Row {
            group: "policy",
            kind: "PodDisruptionBudget",
            unconditional: false,
            plural: "poddisruptionbudgets",
            short: &["pdb"],
            type_name: "io.k8s.api.policy.v1.PodDisruptionBudget",
            columns: columns::disruption_budget,
            subresources: status,
            generation: true,
            rules: Rules { validate: rules::scaling::disruption_budget, ..Rules::NONE },
            ..PLAIN
        },
    ]
}
