//! The scheduler: gives each pod that has none a node that fits.
//!
//! `choose` decides; the rest watches and binds. What it does not weigh (affinity,
//! topology spread) keeps a pod pending with a message that names it.

use std::collections::{BTreeMap, HashMap};

use futures::{Stream, StreamExt};
use k8s_openapi::{
    api::core::v1::{Binding, Node, ObjectReference, Pod, PodSpec},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, Patch, PatchParams},
    runtime::watcher::{Error as WatchError, Event},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{Error, replicaset::is_active};

/// The name that pods ask for.
const NAME: &str = "default-scheduler";

/// Milli-units of each resource.
type Amounts = BTreeMap<String, i128>;

/// Binds pods.
pub struct Scheduler {
    client: Client,
    nodes: HashMap<String, Node>,
    pods: HashMap<String, Pod>,
}

impl Scheduler {
    /// Returns a scheduler that binds through `client`.
    pub fn new(client: Client) -> Scheduler {
        Scheduler { client, nodes: HashMap::new(), pods: HashMap::new() }
    }

    /// Binds pods until `stop`.
    pub async fn run(
        mut self,
        pods: impl Stream<Item = Result<Event<Pod>, WatchError>> + Send,
        nodes: impl Stream<Item = Result<Event<Node>, WatchError>> + Send,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        let (mut pods, mut nodes) = (Box::pin(pods), Box::pin(nodes));
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(event) = pods.next() => match event {
                    Ok(Event::Apply(pod) | Event::InitApply(pod)) => {
                        self.pods.insert(key(&pod), pod.clone());
                        self.place(&pod).await;
                    }
                    Ok(Event::Delete(pod)) => {
                        self.pods.remove(&key(&pod));
                        self.place_all().await;
                    }
                    Ok(Event::Init) => self.pods.clear(),
                    Ok(Event::InitDone) => self.place_all().await,
                    Err(error) => tracing::warn!(%error, "the scheduler's watch of pods broke off"),
                },
                Some(event) = nodes.next() => match event {
                    Ok(Event::Apply(node) | Event::InitApply(node)) => {
                        let changed = self.nodes.insert(node.name_any(), node.clone()).is_none_or(|old| old.spec != node.spec || ready(&old) != ready(&node));
                        if changed {
                            self.place_all().await;
                        }
                    }
                    Ok(Event::Delete(node)) => drop(self.nodes.remove(&node.name_any())),
                    Ok(Event::Init) => self.nodes.clear(),
                    Ok(Event::InitDone) => self.place_all().await,
                    Err(error) => tracing::warn!(%error, "the scheduler's watch of nodes broke off"),
                },
            }
        }
    }

    async fn place_all(&mut self) {
        let waiting: Vec<Pod> = self.pods.values().filter(|pod| is_waiting(pod)).cloned().collect();
        for pod in waiting {
            self.place(&pod).await;
        }
    }

    async fn place(&mut self, pod: &Pod) {
        if !is_waiting(pod) {
            return;
        }
        let nodes: Vec<(&Node, Amounts)> =
            self.nodes.values().map(|node| (node, used(&node.name_any(), self.pods.values()))).collect();
        let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        match choose(pod, &nodes) {
            Ok(node) => {
                let binding = Binding {
                    metadata: ObjectMeta {
                        name: Some(name.clone()),
                        namespace: Some(namespace.clone()),
                        ..ObjectMeta::default()
                    },
                    target: ObjectReference {
                        kind: Some("Node".into()),
                        name: Some(node.clone()),
                        ..ObjectReference::default()
                    },
                };
                match pods
                    .create_subresource::<Binding, serde_json::Value>(
                        "binding",
                        &name,
                        &kube::api::PostParams::default(),
                        &binding,
                    )
                    .await
                {
                    Ok(_) => {
                        let mut bound = pod.clone();
                        bound.spec.get_or_insert_default().node_name = Some(node);
                        self.pods.insert(key(&bound), bound);
                    }
                    // It went, or somebody else bound it; the watch tells.
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                    Err(error) => tracing::warn!(pod = name, namespace, %error, "a pod could not be bound"),
                }
            }
            Err(why) => {
                let known = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
                if known
                    .clone()
                    .any(|condition| condition.type_ == "PodScheduled" && condition.message.as_deref() == Some(&why))
                {
                    return;
                }
                let mut conditions: Vec<_> = known
                    .filter(|condition| condition.type_ != "PodScheduled")
                    .map(|condition| json!(condition))
                    .collect();
                conditions.push(json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why, "lastTransitionTime": base::clock::now_rfc3339()}));
                let patch = json!({"status": {"conditions": conditions}});
                match pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                    Err(error) => tracing::warn!(pod = name, namespace, %error, "a pod's status could not be written"),
                }
            }
        }
    }
}

fn key(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}

fn is_waiting(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    is_active(pod)
        && spec.is_some_and(|spec| {
            spec.node_name.as_deref().is_none_or(str::is_empty)
                && spec.scheduler_name.as_deref().is_none_or(|name| name == NAME)
        })
}

fn ready(node: &Node) -> bool {
    node.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn used<'a>(node: &str, pods: impl Iterator<Item = &'a Pod>) -> Amounts {
    pods.filter(|pod| is_active(pod) && pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node))
        .fold(Amounts::new(), |mut total, pod| {
            for (name, amount) in requests(pod.spec.as_ref()) {
                *total.entry(name).or_default() += amount;
            }
            total
        })
}

fn requests(spec: Option<&PodSpec>) -> Amounts {
    let mut total = Amounts::from([("pods".to_owned(), 1000)]);
    for container in spec.into_iter().flat_map(|spec| &spec.containers) {
        for (name, quantity) in container.resources.iter().flat_map(|resources| resources.requests.iter().flatten()) {
            *total.entry(name.clone()).or_default() += milli(quantity);
        }
    }
    total
}

/// Returns a quantity in thousandths; what cannot be read counts as 0.
fn milli(quantity: &Quantity) -> i128 {
    const SUFFIXES: &[(&str, i128)] = &[
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("Ei", 1 << 60),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("E", 1_000_000_000_000_000_000),
    ];
    let text = quantity.0.as_str();
    let number = |text: &str| text.parse::<f64>().unwrap_or_default();
    if let Some(digits) = text.strip_suffix('m') {
        return number(digits).ceil() as i128;
    }
    for (suffix, factor) in SUFFIXES {
        if let Some(digits) = text.strip_suffix(suffix) {
            return (number(digits) * 1000.0) as i128 * factor;
        }
    }
    (number(text) * 1000.0) as i128
}

/// Returns the node for a pod, or why none fits, in Kubernetes' words.
fn choose(pod: &Pod, nodes: &[(&Node, Amounts)]) -> Result<String, String> {
    let spec = pod.spec.clone().unwrap_or_default();
    let affinity = spec.affinity.clone().unwrap_or_default();
    let required = affinity
        .node_affinity
        .as_ref()
        .is_some_and(|node| node.required_during_scheduling_ignored_during_execution.is_some())
        || affinity
            .pod_affinity
            .as_ref()
            .is_some_and(|pod| pod.required_during_scheduling_ignored_during_execution.is_some())
        || affinity
            .pod_anti_affinity
            .as_ref()
            .is_some_and(|pod| pod.required_during_scheduling_ignored_during_execution.is_some());
    if required {
        return Err("spec.affinity: required affinity is not supported by this scheduler; use nodeSelector".into());
    }
    if spec
        .topology_spread_constraints
        .iter()
        .flatten()
        .any(|constraint| constraint.when_unsatisfiable == "DoNotSchedule")
    {
        return Err(
            "spec.topologySpreadConstraints: DoNotSchedule is not supported by this scheduler; use ScheduleAnyway"
                .into(),
        );
    }
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut best: Option<(i128, String)> = None;
    let wanted = requests(Some(&spec));
    for (node, used) in nodes {
        match fits(&spec, node, &wanted, used) {
            Ok(free) => {
                let candidate = (free, node.name_any());
                if best.as_ref().is_none_or(|best| candidate.0 > best.0) {
                    best = Some(candidate);
                }
            }
            Err(reason) => *reasons.entry(reason).or_default() += 1,
        }
    }
    best.map(|(_, name)| name).ok_or_else(|| {
        if nodes.is_empty() {
            return "no nodes available to schedule pods".to_owned();
        }
        let list: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        format!("0/{} nodes are available: {}.", nodes.len(), list.join(", "))
    })
}

/// Returns how much CPU stays free on a node that fits, or why it does not.
fn fits(spec: &PodSpec, node: &Node, wanted: &Amounts, used: &Amounts) -> Result<i128, String> {
    if !ready(node) {
        return Err("node(s) were not ready".into());
    }
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        return Err("node(s) were unschedulable".into());
    }
    if !spec.node_selector.iter().flatten().all(|(key, value)| node.labels().get(key) == Some(value)) {
        return Err("node(s) didn't match Pod's node affinity/selector".into());
    }
    for taint in node
        .spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten())
        .filter(|taint| taint.effect != "PreferNoSchedule")
    {
        let tolerated = spec.tolerations.iter().flatten().any(|toleration| {
            let key = toleration.key.as_deref().is_none_or(|key| key.is_empty() || key == taint.key);
            let value = toleration.operator.as_deref() == Some("Exists")
                || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
            key && value
                && toleration.effect.as_deref().is_none_or(|effect| effect.is_empty() || effect == taint.effect)
        });
        if !tolerated {
            return Err(format!(
                "node(s) had untolerated taint {{{}: {}}}",
                taint.key,
                taint.value.as_deref().unwrap_or_default()
            ));
        }
    }
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.clone()).unwrap_or_default();
    for (name, amount) in wanted {
        let free = allocatable.get(name).map_or(0, milli) - used.get(name).copied().unwrap_or_default();
        if *amount > 0 && *amount > free {
            return Err(if name == "pods" { "Too many pods".into() } else { format!("Insufficient {name}") });
        }
    }
    Ok(allocatable.get("cpu").map_or(0, milli) - used.get("cpu").copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, cpu: &str, ready: &str) -> Node {
        serde_json::from_value(json!({"metadata": {"name": name, "labels": {"disk": "ssd"}}, "spec": {}, "status": {"allocatable": {"cpu": cpu, "memory": "1Gi", "pods": "10"},
            "conditions": [{"type": "Ready", "status": ready}]}})).unwrap()
    }

    fn pod(spec: serde_json::Value) -> Pod {
        let mut spec = spec;
        spec["containers"] = json!([{"name": "c", "resources": {"requests": spec["requests"].clone()}}]);
        spec.as_object_mut().unwrap().remove("requests");
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    #[test]
    fn the_freest_node_that_fits_is_chosen_and_reasons_are_counted() {
        let (small, big, down) = (node("small", "1", "True"), node("big", "4", "True"), node("down", "9", "False"));
        let nodes = [(&small, Amounts::new()), (&big, Amounts::new()), (&down, Amounts::new())];
        assert_eq!(choose(&pod(json!({"requests": {"cpu": "500m"}})), &nodes), Ok("big".into()));
        assert_eq!(
            choose(&pod(json!({"requests": {"cpu": "5"}})), &nodes),
            Err("0/3 nodes are available: 2 Insufficient cpu, 1 node(s) were not ready.".into())
        );
        assert!(choose(&pod(json!({"nodeSelector": {"disk": "ssd"}})), &nodes).is_ok());
        assert!(choose(&pod(json!({"nodeSelector": {"disk": "hdd"}})), &nodes).unwrap_err().contains("didn't match"));
        assert!(
            choose(&pod(json!({"requests": {"memory": "2Gi"}})), &nodes).unwrap_err().contains("Insufficient memory")
        );
        assert_eq!(choose(&pod(json!({})), &[]), Err("no nodes available to schedule pods".into()));
    }

    #[test]
    fn quantities_count_in_thousandths() {
        for (text, expected) in [("1", 1000), ("250m", 250), ("1.5", 1500), ("1Ki", 1_024_000), ("2k", 2_000_000)] {
            assert_eq!(milli(&Quantity(text.into())), expected, "{text}");
        }
    }
}
