//! What the tests run against: a server, the stock controllers beside it, and two nodes that
//! are there as objects alone. Dropped, everything is ended, by its id.

use std::{
    any::Any,
    fmt,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use conformance::{
    cluster::{Call, Cluster, MERGE_PATCH},
    peer::{Disk, Peer},
    served::Served,
};
use serde_json::json;

/// The embedded server or a real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Ours,
    Real,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Which::Ours { "ours" } else { "real" })
    }
}

impl FromStr for Which {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Which> {
        match text {
            "ours" => Ok(Which::Ours),
            "real" => Ok(Which::Real),
            _ => bail!("{text} is neither ours nor real"),
        }
    }
}

/// A program that is ended with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// One side of the comparison.
pub(crate) struct Side {
    // Dropped in this order: the programs before the server that they talk to.
    running: Vec<Running>,
    _server: Box<dyn Any>,
    folder: tempfile::TempDir,
    peers: PathBuf,
    pub(crate) which: Which,
    pub(crate) kubeconfig: PathBuf,
}

impl Side {
    /// Starts a side; its nodes are ready when this returns.
    pub(crate) async fn start(which: Which, peers: &Path) -> anyhow::Result<Side> {
        let (server, kubeconfig, authority) = match which {
            Which::Ours => {
                let served = Served::start().await?;
                let (kubeconfig, authority) = (served.kubeconfig(), served.authority());
                (Box::new(served) as Box<dyn Any>, kubeconfig, authority)
            }
            Which::Real => {
                // Its own Service has an endpoint only if it has an address that is not of this machine alone.
                let more = ["--endpoint-reconciler-type=lease", "--bind-address=0.0.0.0"].map(str::to_owned);
                let peer = Peer::start_with(peers, Disk::Fast, &more).await?;
                let (kubeconfig, authority) = (peer.kubeconfig()?, peer.authority());
                (Box::new(peer) as Box<dyn Any>, kubeconfig, authority)
            }
        };
        let folder = tempfile::tempdir()?;
        let mut side =
            Side { running: Vec::new(), _server: server, folder, peers: peers.to_owned(), which, kubeconfig };
        let cluster = Cluster::of_kubeconfig(side.kubeconfig.to_str().context("a path is no text")?).await?;
        for name in ["node-1", "node-2"] {
            register(&cluster, name).await?;
        }
        side.spawn(
            "kube-controller-manager",
            &[
                "--leader-elect=false".to_owned(),
                "--secure-port=0".to_owned(),
                format!("--root-ca-file={}", authority.display()),
                // Nobody renews the leases of nodes that are objects alone.
                "--controllers=*,-node-lifecycle-controller".to_owned(),
                // As short as a test of garbage expects it.
                "--concurrent-gc-syncs=20".to_owned(),
            ],
        )?;
        let deadline = Instant::now() + Duration::from_secs(60);
        let account = Call::get("/api/v1/namespaces/default/serviceaccounts/default");
        while cluster.send(&account).await?.code != 200 {
            if Instant::now() > deadline {
                bail!("the controllers did not begin: see {}", side.folder.path().display());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(side)
    }

    /// Starts the stock scheduler beside the server.
    pub(crate) fn schedule(&mut self) -> anyhow::Result<()> {
        self.spawn("kube-scheduler", &["--leader-elect=false".to_owned(), "--secure-port=0".to_owned()])
    }

    fn spawn(&mut self, name: &str, arguments: &[String]) -> anyhow::Result<()> {
        let log = File::create(self.folder.path().join(format!("{name}.log")))?;
        let child = Command::new(self.peers.join(name))
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        self.running.push(Running(child));
        Ok(())
    }
}

/// Makes a node that is ready and has room, as far as its object says.
async fn register(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let labels = json!({"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"});
    let node = json!({"metadata": {"name": name, "labels": labels}});
    let room = json!({"cpu": "8", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"});
    let status = json!({"status": {"capacity": room, "allocatable": room,
        "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}, {"type": "Hostname", "address": name}],
        "nodeInfo": {"architecture": "amd64", "operatingSystem": "linux", "kubeletVersion": "v1.36.3"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
            "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    for call in
        [Call::post("/api/v1/nodes", node), Call::patch(format!("/api/v1/nodes/{name}/status"), MERGE_PATCH, status)]
    {
        let answer = cluster.send(&call).await?;
        if answer.code >= 300 {
            bail!("the node {name} could not be made: {}", answer.body);
        }
    }
    Ok(())
}
