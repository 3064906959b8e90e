//! Rows of `networking.k8s.io`, `discovery.k8s.io` and `coordination.k8s.io`.

use super::{
    super::{PLAIN, Row, columns::network as columns},
    status,
};

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
            ..NETWORKING
        },
        Row {
            kind: "IngressClass",
            plural: "ingressclasses",
            namespaced: false,
            type_name: "io.k8s.api.networking.v1.IngressClass",
            columns: columns::ingress_class,
            generation: true,
            ..NETWORKING
        },
        Row {
            kind: "NetworkPolicy",
            plural: "networkpolicies",
            short: &["netpol"],
            type_name: "io.k8s.api.networking.v1.NetworkPolicy",
            columns: columns::network_policy,
            generation: true,
            ..NETWORKING
        },
        Row {
            kind: "ServiceCIDR",
            plural: "servicecidrs",
            namespaced: false,
            type_name: "io.k8s.api.networking.v1.ServiceCIDR",
            columns: columns::service_cidr,
            subresources: status,
            ..NETWORKING
        },
        Row {
            kind: "IPAddress",
            plural: "ipaddresses",
            short: &["ip"],
            namespaced: false,
            type_name: "io.k8s.api.networking.v1.IPAddress",
            columns: columns::ip_address,
            selectable: &[],
            ..NETWORKING
        },
        Row {
            group: "discovery.k8s.io",
            kind: "EndpointSlice",
            plural: "endpointslices",
            type_name: "io.k8s.api.discovery.v1.EndpointSlice",
            columns: columns::endpoint_slice,
            generation: true,
            ..PLAIN
        },
        Row {
            group: "coordination.k8s.io",
            kind: "Lease",
            plural: "leases",
            type_name: "io.k8s.api.coordination.v1.Lease",
            columns: columns::lease,
            ..PLAIN
        },
    ]
}
