//! What the node and a pod's shim say to each other, and what the shim leaves on disk.
//!
//! One JSON line per message over the socket in the pod's folder. The shim may be
//! older than the node that talks to it, so fields are only ever added.

use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// What a shim is told before it starts, in `sandbox.json` of the pod's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sandbox {
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) hostname: String,
    pub(crate) address: Ipv4Addr,
    /// The boot that this sandbox belongs to.
    pub(crate) boot: String,
    /// `None` if the pod's containers are plain processes.
    pub(crate) network: Option<PodNetwork>,
    /// Volumes in memory: folder and size in bytes, 0 for the kernel's default.
    pub(crate) memory_volumes: Vec<(PathBuf, u64)>,
}

/// How a pod is joined to the bridge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PodNetwork {
    pub(crate) bridge: String,
    pub(crate) veth: String,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) prefix: u8,
}

/// What the node asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Start a container; answered when its process runs.
    Start(Start),
    /// Send a signal to a container's first process.
    Signal { name: String, attempt: u32, signal: i32 },
    /// Run a command in a container.
    Exec { name: String, attempt: u32, command: Vec<String>, timeout_ms: u64 },
    /// Answer with a snapshot now and after every change.
    Watch,
    /// Kill what still runs and end.
    Stop,
}

/// A container to start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) name: String,
    pub(crate) attempt: u32,
    /// The container's own folder.
    pub(crate) bundle: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) launch: Launch,
}

/// How a container is started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Launch {
    /// By the OCI runtime, from `config.json` in the bundle, over this image root.
    Container {
        /// The unpacked image.
        lower: PathBuf,
        /// Relative to the root of each hierarchy.
        cgroup: String,
    },
    /// As a plain process.
    Process { command: Vec<String>, env: BTreeMap<String, String>, dir: PathBuf },
}

/// What the shim answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    Failed { why: String },
    Exec(ExecResult),
    Snapshot(Vec<Seen>),
}

/// How a command in a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExecResult {
    /// `None` if it took too long.
    pub(crate) code: Option<i32>,
    /// The beginning of what it wrote.
    pub(crate) output: String,
}

/// One attempt of a container, as the shim sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) attempt: u32,
    pub(crate) started: Option<Started>,
    pub(crate) exit: Option<Exit>,
}

/// `started.json` in the bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) pid: i32,
    pub(crate) at: jiff::Timestamp,
}

/// `exit.json` in the bundle; written and synced before anybody hears of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Exit {
    /// The exit code, 128 and the signal's number if a signal ended it.
    pub(crate) code: i32,
    pub(crate) at: jiff::Timestamp,
    /// Whether the kernel killed it for using too much memory.
    #[serde(default)]
    pub(crate) out_of_memory: bool,
    /// Why it never ran, if so.
    #[serde(default)]
    pub(crate) failed: Option<String>,
}
