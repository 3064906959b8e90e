//! Rows of `networking.k8s.io`, `discovery.k8s.io` and `coordination.k8s.io`.

use super::{
    super::{PLAIN, Row, columns::network as columns, rules},
    status,
};
use serde_json::Value;

use crate::{
    registry::{ALL_METADATA, NameRule, Rules},
    write::spec_changed,
};

/// What a writer says of an object beside its content.
fn labels_of(value: &Value) -> [&Value; 4] {
    ["labels", "annotations", "ownerReferences", "finalizers"].map(|name| &value["metadata"][name])
}

const NETWORKING: Row = Row { group: "networking.k8s.io", ..PLAIN };

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            kind: "Ingress",
            plural: "ingresses",
            short: &["ing"],
            type_name: "io.k8s.api.networking.v1.Ingress",
            columns: columns::ingress,
            subresources: status,
            generation: true,
            rules: Rules { validate: rules::network::ingress, ..Rules::NONE },
            ..NETWORKING
        },
        Row {
            kind: "IngressClass",
            plural: "ingressclasses",
            namespaced: false,
            type_name: "io.k8s.api.networking.v1.IngressClass",
            columns: columns::ingress_class,
            generation: true,
            rules: Rules { validate: rules::network::ingress_class, ..Rules::NONE },
            ..NETWORKING
        },
        Row {
            kind: "NetworkPolicy",
            plural: "networkpolicies",
            short: &["netpol"],
            type_name: "io.k8s.api.networking.v1.NetworkPolicy",
            columns: columns::network_policy,
            generation: true,
            rules: Rules { validate: rules::network::network_policy, ..Rules::NONE },
            ..NETWORKING
        },
        Row {
            kind: "ServiceCIDR",
            plural: "servicecidrs",
            namespaced: false,
            type_name: "io.k8s.api.networking.v1.ServiceCIDR",
            status_keeps: ALL_METADATA,
            columns: columns::service_cidr,
            subresources: status,
            rules: Rules { validate: rules::network::service_cidr, ..Rules::NONE },
            ..NETWORKING
        },
        Row {
            kind: "IPAddress",
            plural: "ipaddresses",
            short: &["ip"],
            namespaced: false,
            type_name: "io.k8s.api.networking.v1.IPAddress",
            columns: columns::ip_address,
            name: NameRule::Segment,
            rules: Rules { validate: rules::network::ip_address, ..Rules::NONE },
            ..NETWORKING
        },
        Row {
            group: "discovery.k8s.io",
            kind: "EndpointSlice",
            plural: "endpointslices",
            type_name: "io.k8s.api.discovery.v1.EndpointSlice",
            columns: columns::endpoint_slice,
            counts: Some(|old, new| spec_changed(old, new) || labels_of(old) != labels_of(new)),
            generation: true,
            rules: Rules {
                validate: rules::network::endpoint_slice,
                warn: rules::network::slice_warnings,
                ..Rules::NONE
            },
            ..PLAIN
        },
        Row {
            group: "coordination.k8s.io",
            kind: "Lease",
            created_by_updates: true,
            unconditional: false,
            plural: "leases",
            type_name: "io.k8s.api.coordination.v1.Lease",
            columns: columns::lease,
            rules: Rules { validate: rules::network::lease, ..Rules::NONE },
            ..PLAIN
        },
    ]
}
