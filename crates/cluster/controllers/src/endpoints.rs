//! `EndpointSlice`s: where the pods of a Service are.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::{
        core::v1::{ObjectReference, Pod, Service, ServicePort},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
    runtime::controller::Action,
};

use crate::{Context, Error, owner, replicaset::is_ready};

const SERVICE: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const OURS: &str = "endpointslice-controller.k8s.io";
/// Endpoints that one slice holds at most, as Kubernetes has it.
const PER_SLICE: usize = 100;

/// Returns whether a Service's selector takes this pod.
pub fn selects(service: &Service, pod: &Pod) -> bool {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    service.namespace() == pod.namespace()
        && selector.is_some_and(|selector| {
            !selector.is_empty() && selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value))
        })
}

/// Returns the slices that a Service with these pods has. Pure.
pub fn build(service: &Service, pods: &[Pod]) -> Vec<EndpointSlice> {
    let spec = service.spec.clone().unwrap_or_default();
    let publish = spec.publish_not_ready_addresses == Some(true);
    // Pods may give one port name different numbers; each set of numbers has slices of its own.
    let mut groups: BTreeMap<Vec<(String, i32, String)>, Vec<Endpoint>> = BTreeMap::new();
    let mut sorted: Vec<&Pod> = pods.iter().filter(|pod| selects(service, pod)).collect();
    sorted.sort_by_key(|pod| pod.name_any());
    for pod in sorted {
        let Some(endpoint) = endpoint(pod, publish) else { continue };
        let ports = spec.ports.iter().flatten().filter_map(|port| {
            Some((
                port.name.clone().unwrap_or_default(),
                number(port, pod)?,
                port.protocol.clone().unwrap_or_else(|| "TCP".into()),
            ))
        });
        groups.entry(ports.collect()).or_default().push(endpoint);
    }
    if groups.is_empty() {
        groups.insert(Vec::new(), Vec::new());
    }
    let name = service.name_any();
    let chunks = groups.into_iter().flat_map(|(ports, endpoints)| {
        let chunks: Vec<Vec<Endpoint>> = if endpoints.is_empty() {
            vec![Vec::new()]
        } else {
            endpoints.chunks(PER_SLICE).map(<[_]>::to_vec).collect()
        };
        chunks.into_iter().map(move |chunk| (ports.clone(), chunk))
    });
    chunks
        .enumerate()
        .map(|(index, (ports, endpoints))| EndpointSlice {
            metadata: ObjectMeta {
                name: Some(if index == 0 { format!("{name}-endpoints") } else { format!("{name}-endpoints-{index}") }),
                namespace: service.namespace(),
                labels: Some(BTreeMap::from([
                    (SERVICE.to_owned(), name.clone()),
                    (MANAGED_BY.to_owned(), OURS.to_owned()),
                ])),
                owner_references: Some(vec![owner::reference(service)]),
                ..ObjectMeta::default()
            },
            address_type: "IPv4".to_owned(),
            endpoints: Some(endpoints),
            ports: Some(
                ports
                    .into_iter()
                    .map(|(name, port, protocol)| EndpointPort {
                        name: Some(name),
                        port: Some(port),
                        protocol: Some(protocol),
                        app_protocol: None,
                    })
                    .collect(),
            ),
        })
        .collect()
}

fn endpoint(pod: &Pod, publish: bool) -> Option<Endpoint> {
    let status = pod.status.as_ref()?;
    let address = status.pod_ip.clone().filter(|address| !address.is_empty())?;
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let (serving, terminating) = (is_ready(pod), pod.metadata.deletion_timestamp.is_some());
    Some(Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(publish || serving && !terminating),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".into()),
            name: pod.metadata.name.clone(),
            namespace: pod.namespace(),
            uid: pod.uid(),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    })
}

fn number(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match port.target_port.as_ref() {
        None => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let containers = &pod.spec.as_ref()?.containers;
            let mut ports = containers.iter().flat_map(|container| container.ports.iter().flatten());
            ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port)
        }
    }
}

/// Brings a Service's slices to what its pods are.
pub async fn reconcile(service: Arc<Service>, context: Arc<Context>) -> Result<Action, Error> {
    let (name, namespace) = (service.name_any(), service.namespace().unwrap_or_default());
    let selects_any =
        service.spec.as_ref().and_then(|spec| spec.selector.as_ref()).is_some_and(|selector| !selector.is_empty());
    if service.metadata.deletion_timestamp.is_some() || !selects_any {
        // Slices of a Service without a selector are its author's own.
        return Ok(Action::await_change());
    }
    let fail = |what: &str| {
        let what = format!("{what} of Service {namespace}/{name}");
        move |source| Error::new(what, source)
    };
    let pods = Api::<Pod>::namespaced(context.client.clone(), &namespace)
        .list(&ListParams::default())
        .await
        .map_err(fail("list the pods"))?;
    let slices: Api<EndpointSlice> = Api::namespaced(context.client.clone(), &namespace);
    let ours = ListParams::default().labels(&format!("{SERVICE}={name},{MANAGED_BY}={OURS}"));
    let mut existing = slices.list(&ours).await.map_err(fail("list the EndpointSlices"))?.items;
    for wanted in build(&service, &pods.items) {
        let at = existing.iter().position(|slice| slice.name_any() == wanted.name_any());
        match at.map(|at| existing.swap_remove(at)) {
            None => {
                slices.create(&PostParams::default(), &wanted).await.map_err(fail("create an EndpointSlice"))?;
            }
            Some(found)
                if found.endpoints.as_deref().unwrap_or_default()
                    != wanted.endpoints.as_deref().unwrap_or_default()
                    || found.ports.as_deref().unwrap_or_default() != wanted.ports.as_deref().unwrap_or_default() =>
            {
                let mut changed = found;
                (changed.endpoints, changed.ports) = (wanted.endpoints, wanted.ports);
                slices
                    .replace(&changed.name_any(), &PostParams::default(), &changed)
                    .await
                    .map_err(fail("change an EndpointSlice"))?;
            }
            Some(_) => {}
        }
    }
    for surplus in existing {
        match slices.delete(&surplus.name_any(), &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(source) => return Err(fail("delete an EndpointSlice")(source)),
        }
    }
    Ok(Action::await_change())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(target: &serde_json::Value) -> Service {
        serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "a", "uid": "u"}, "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": target}]}})).unwrap()
    }

    fn pod(name: &str, label: &str, ready: &str, port: i32) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "a", "labels": {"app": label}}, "spec": {"containers": [{"name": "c", "ports": [{"name": "web", "containerPort": port}]}]},
            "status": {"podIP": format!("10.0.0.{port}"), "conditions": [{"type": "Ready", "status": ready}]}})).unwrap()
    }

    #[test]
    fn a_slice_holds_the_selected_pods_and_says_which_serve() {
        let slices = build(
            &service(&json!("web")),
            &[pod("p1", "web", "True", 1), pod("p2", "web", "False", 1), pod("p3", "db", "True", 1)],
        );
        assert_eq!(slices.len(), 1);
        let ready: Vec<_> =
            slices[0].endpoints.iter().flatten().map(|endpoint| endpoint.conditions.as_ref().unwrap().ready).collect();
        assert_eq!(ready, [Some(true), Some(false)]);
        assert_eq!(slices[0].ports.as_ref().unwrap()[0].port, Some(1));
    }

    #[test]
    fn a_named_port_with_two_numbers_has_two_slices() {
        let slices = build(&service(&json!("web")), &[pod("p1", "web", "True", 1), pod("p2", "web", "True", 2)]);
        let ports: Vec<_> = slices.iter().map(|slice| slice.ports.as_ref().unwrap()[0].port.unwrap()).collect();
        assert_eq!(ports, [1, 2]);
    }

    #[test]
    fn many_pods_are_split_over_slices() {
        let pods: Vec<Pod> = (0..250).map(|index| pod(&format!("p{index}"), "web", "True", 7)).collect();
        let slices = build(&service(&json!(8080)), &pods);
        assert_eq!(
            slices.iter().map(|slice| slice.endpoints.as_ref().unwrap().len()).collect::<Vec<_>>(),
            [100, 100, 50]
        );
        assert_eq!(slices[2].name_any(), "web-endpoints-2");
    }
}
