//! The node's own objects: its `Node` with what the machine has, and its `Lease`.

use std::{collections::BTreeMap, fs, net::UdpSocket, sync::Arc, time::Duration};

use k8s_openapi::{
    api::{
        coordination::v1::{Lease, LeaseSpec},
        core::v1::{
            Namespace, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference, Time},
    },
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{Error, Isolation, context::Context, proc};

/// How often the lease is renewed.
const RENEW: Duration = Duration::from_secs(10);
/// How long a lease holds; the node controller looks at it.
const LEASE_SECONDS: i32 = 40;
/// The Kubernetes version that this node behaves as.
const VERSION: &str = "v1.36.0";

/// What the machine has.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Processors in thousandths.
    pub(crate) cpu: i64,
    /// Bytes of memory.
    pub(crate) memory: i64,
    /// The address by which other machines would reach this one.
    pub(crate) address: String,
}

/// Looks at the machine.
pub(crate) fn machine() -> Machine {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<i64>().ok());
    // Connecting a datagram socket sends nothing; it only chooses the source address.
    let address = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let address = address.map_or_else(|_| "127.0.0.1".to_owned(), |address| address.ip().to_string());
    Machine { cpu: cpus as i64 * 1000, memory: kib.unwrap_or(1 << 20) * 1024, address }
}

/// Registers the node and renews its lease until `stop`.
pub(crate) async fn run(context: Arc<Context>, isolation: Isolation, stop: CancellationToken) -> Result<(), Error> {
    let mut registered = false;
    loop {
        let result = async {
            if !registered {
                register(&context, &isolation).await?;
            }
            renew(&context).await
        };
        let wait = match result.await {
            Ok(()) => {
                registered = true;
                RENEW
            }
            Err(error) => {
                tracing::warn!(error = %base::fault::Chain(&error), "the node could not be registered or its lease not be renewed");
                // A node that was deleted registers again.
                registered = false;
                Duration::from_secs(1)
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn labels(name: &str) -> BTreeMap<String, String> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let pairs = [
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", arch),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", arch),
    ];
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn annotations(isolation: &Isolation) -> BTreeMap<String, String> {
    let (kind, why) = match isolation {
        Isolation::Full => ("full", String::new()),
        Isolation::Processes { why } => ("processes", why.join("; ")),
    };
    BTreeMap::from([
        ("platform.io/isolation".to_owned(), kind.to_owned()),
        ("platform.io/isolation-reason".to_owned(), why),
    ])
}

async fn register(context: &Context, isolation: &Isolation) -> Result<(), Error> {
    let api: Api<Node> = Api::all(context.client.clone());
    let name = &context.node;
    let cidr = format!("{}/{}", context.range.network, context.range.prefix);
    let (labels, annotations) = (labels(name), annotations(isolation));
    let found = api.get_opt(name).await.map_err(Error::api(format!("get node {name}")))?;
    let before = match found {
        Some(_) => {
            let patch = json!({ "metadata": { "labels": labels, "annotations": annotations } });
            let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
            patched.map_err(Error::api(format!("update node {name}")))?
        }
        None => {
            let node = Node {
                metadata: ObjectMeta {
                    name: Some(name.clone()),
                    labels: Some(labels),
                    annotations: Some(annotations),
                    ..ObjectMeta::default()
                },
                spec: Some(NodeSpec {
                    pod_cidr: Some(cidr.clone()),
                    pod_cidrs: Some(vec![cidr]),
                    ..NodeSpec::default()
                }),
                status: None,
            };
            api.create(&PostParams::default(), &node).await.map_err(Error::api(format!("create node {name}")))?
        }
    };
    let status = status(context, &before.status.unwrap_or_default());
    let patch = json!({ "status": status });
    let patched = api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    patched.map(drop).map_err(Error::api(format!("report the status of node {name}")))
}

fn status(context: &Context, before: &NodeStatus) -> NodeStatus {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let amounts = BTreeMap::from([
        ("cpu".to_owned(), Quantity(format!("{}m", context.allocatable.0))),
        ("memory".to_owned(), Quantity(context.allocatable.1.to_string())),
        ("pods".to_owned(), Quantity("110".to_owned())),
    ]);
    let now = Time(base::clock::now());
    let condition = |kind: &str, value: &str, reason: &str, message: &str| {
        let same = before.conditions.iter().flatten().find(|c| c.type_ == kind && c.status == value);
        NodeCondition {
            type_: kind.to_owned(),
            status: value.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: Some(now.clone()),
            last_transition_time: Some(
                same.and_then(|c| c.last_transition_time.clone()).unwrap_or_else(|| now.clone()),
            ),
        }
    };
    let os = read("/etc/os-release");
    let os =
        os.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map_or("Linux", |name| name.trim_matches('"'));
    let address = |kind: &str, address: &str| NodeAddress { type_: kind.to_owned(), address: address.to_owned() };
    let machine_id = read("/etc/machine-id");
    NodeStatus {
        addresses: Some(vec![address("InternalIP", &context.host_ip), address("Hostname", &context.node)]),
        capacity: Some(amounts.clone()),
        allocatable: Some(amounts),
        conditions: Some(vec![
            condition(
                "MemoryPressure",
                "False",
                "KubeletHasSufficientMemory",
                "kubelet has sufficient memory available",
            ),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ]),
        daemon_endpoints: Some(NodeDaemonEndpoints::default()),
        node_info: Some(NodeSystemInfo {
            architecture: labels("").get("kubernetes.io/arch").cloned().unwrap_or_default(),
            boot_id: proc::boot_id(),
            container_runtime_version: format!("roadstead://{}", env!("CARGO_PKG_VERSION")),
            kernel_version: read("/proc/sys/kernel/osrelease"),
            kube_proxy_version: String::new(),
            kubelet_version: format!("{VERSION}+roadstead"),
            machine_id: machine_id.clone(),
            operating_system: "linux".to_owned(),
            os_image: os.to_owned(),
            system_uuid: machine_id,
            swap: None,
        }),
        ..NodeStatus::default()
    }
}

async fn renew(context: &Context) -> Result<(), Error> {
    let api: Api<Lease> = Api::namespaced(context.client.clone(), "kube-node-lease");
    let name = &context.node;
    let now = MicroTime(base::clock::now());
    let patch = json!({ "spec": { "renewTime": now, "holderIdentity": name } });
    match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(Error::api(format!("renew lease {name}"))(error)),
    }
    let nodes: Api<Node> = Api::all(context.client.clone());
    let node = nodes.get(name).await.map_err(Error::api(format!("get node {name}")))?;
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Node".to_owned(),
                name: name.clone(),
                uid: node.metadata.uid.unwrap_or_default(),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name.clone()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
    };
    let created = match api.create(&PostParams::default(), &lease).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let namespace = Namespace {
                metadata: ObjectMeta { name: Some("kube-node-lease".to_owned()), ..ObjectMeta::default() },
                ..Namespace::default()
            };
            let spaces: Api<Namespace> = Api::all(context.client.clone());
            let made = spaces.create(&PostParams::default(), &namespace).await;
            made.map_err(Error::api("create namespace kube-node-lease"))?;
            api.create(&PostParams::default(), &lease).await
        }
        result => result,
    };
    created.map(drop).map_err(Error::api(format!("create lease {name}")))
}
