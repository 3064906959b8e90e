//! A real kube-apiserver with its etcd, started on free ports and ended with the value.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};

use crate::cluster::{Call, Cluster};

/// Where a peer keeps its objects, and how surely.
pub enum Disk {
    /// In a temporary folder, without waiting for the disk: comparisons of answers need no more.
    Fast,
    /// In this folder, each acknowledged write on disk.
    Synced(PathBuf),
}

/// A program that runs. Dropped, it is ended, by its id.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A running peer. Dropped, it ends its processes.
pub struct Peer {
    children: Vec<Running>,
    commands: Vec<(PathBuf, Vec<String>)>,
    folder: tempfile::TempDir,
    cluster: Cluster,
    port: u16,
    token: String,
}

impl Peer {
    /// Starts `etcd` and `kube-apiserver` from `binaries` and waits until the API is ready.
    ///
    /// # Errors
    ///
    /// A program is missing or does not become ready within a minute; its log is part of the error.
    pub async fn start(binaries: &Path, disk: Disk) -> anyhow::Result<Peer> {
        Peer::start_with(binaries, disk, &[]).await
    }

    /// Starts a peer as [`Peer::start`] does, its API server with `more` arguments, which win.
    ///
    /// # Errors
    ///
    /// As [`Peer::start`].
    pub async fn start_with(binaries: &Path, disk: Disk, more: &[String]) -> anyhow::Result<Peer> {
        let folder = tempfile::tempdir()?;
        let key = folder.path().join("signer.pem");
        let signer = rcgen::KeyPair::generate()?;
        std::fs::write(&key, signer.serialize_pem())?;
        let public = folder.path().join("public.pem");
        std::fs::write(&public, signer.public_key_pem())?;
        let token = uuid::Uuid::new_v4().simple().to_string();
        std::fs::write(folder.path().join("tokens.csv"), format!("{token},admin,,\"system:masters\"\n"))?;
        let clients = folder.path().join("clients.pem");
        std::fs::write(&clients, crate::identity::trusted()?.0)?;
        let [client, peers, api] = free_ports()?;
        let cluster = Cluster::at(&format!("https://127.0.0.1:{api}"), &token)?;
        let mut peer = Peer { children: Vec::new(), commands: Vec::new(), folder, cluster, port: api, token };
        let at = |name: &str| peer.folder.path().join(name).display().to_string();
        let (data, synced) = match disk {
            Disk::Fast => (at("etcd"), false),
            Disk::Synced(folder) => (folder.display().to_string(), true),
        };
        let mut etcd = vec![
            format!("--data-dir={data}"),
            format!("--listen-client-urls=http://127.0.0.1:{client}"),
            format!("--advertise-client-urls=http://127.0.0.1:{client}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peers}"),
            format!("--initial-advertise-peer-urls=http://127.0.0.1:{peers}"),
            format!("--initial-cluster=default=http://127.0.0.1:{peers}"),
        ];
        if !synced {
            etcd.push("--unsafe-no-fsync".to_owned());
        }
        let mut server = vec![
            format!("--etcd-servers=http://127.0.0.1:{client}"),
            format!("--secure-port={api}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--cert-dir={}", at("certs")),
            format!("--token-auth-file={}", at("tokens.csv")),
            format!("--client-ca-file={}", clients.display()),
            format!("--service-account-key-file={}", public.display()),
            format!("--service-account-signing-key-file={}", key.display()),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--allow-privileged=true".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            // What these plugins add is taken away again by controllers that do not run here.
            "--disable-admission-plugins=StorageObjectInUseProtection,TaintNodesByCondition".to_owned(),
        ];
        server.extend_from_slice(more);
        // They run in a folder of their own.
        let binaries = binaries
            .canonicalize()
            .with_context(|| format!("failed to find {}: run `cargo xtask peers`", binaries.display()))?;
        peer.commands = vec![(binaries.join("etcd"), etcd), (binaries.join("kube-apiserver"), server)];
        peer.restart().await?;
        Ok(peer)
    }

    /// Ends its processes, if they run, and starts them again on the same objects.
    ///
    /// # Errors
    ///
    /// As [`Peer::start`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.end();
        for (program, arguments) in self.commands.clone() {
            self.spawn(&program, &arguments)?;
        }
        self.wait().await
    }

    /// Returns the ids of its processes.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().map(|running| running.0.id()).collect()
    }

    /// Returns the port of its API.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the token of its administrator.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Writes a kubeconfig of its administrator and returns where. Its certificate names no address but its own.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn kubeconfig(&self) -> anyhow::Result<PathBuf> {
        let file = self.folder.path().join("kubeconfig");
        let text = serde_json::json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("https://localhost:{}", self.port),
                "certificate-authority": self.authority()}}],
            "users": [{"name": "c", "user": {"token": self.token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]});
        std::fs::write(&file, text.to_string()).context("the temporary folder is full")?;
        Ok(file)
    }

    /// Returns the file of the certificate that its clients trust.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("certs/apiserver.crt")
    }

    /// Returns how to ask it.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn end(&mut self) {
        // The one started last ends first.
        while self.children.pop().is_some() {}
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    fn spawn(&mut self, program: &Path, arguments: &[String]) -> anyhow::Result<()> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = File::create(self.log(&name))?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start {}: run `cargo xtask peers`", program.display()))?;
        self.children.push(Running(child));
        Ok(())
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        for _ in 0..3000 {
            for Running(child) in &mut self.children {
                if let Some(status) = child.try_wait()? {
                    bail!("a peer ended with {status}:\n{}", self.tail());
                }
            }
            let ready = self.cluster.send(&Call::get("/api/v1/namespaces/default")).await;
            // The default roles come a moment after the first answers.
            let settled = self.cluster.send(&Call::get("/readyz")).await;
            if [ready, settled].into_iter().all(|answer| answer.is_ok_and(|answer| answer.code == 200)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the peer was not ready within a minute:\n{}", self.tail())
    }

    fn tail(&self) -> String {
        let text = std::fs::read_to_string(self.log("kube-apiserver")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
    }
}

/// The peer that all tests of a process ask, and what ends it with the process.
static SHARED: tokio::sync::OnceCell<(Peer, Child)> = tokio::sync::OnceCell::const_new();

/// Returns a client of the peer that all tests of this process share, if `CONFORMANCE_PEERS` names its programs.
///
/// # Errors
///
/// As [`Peer::start`].
pub async fn shared() -> anyhow::Result<Option<Cluster>> {
    let Ok(binaries) = std::env::var("CONFORMANCE_PEERS") else { return Ok(None) };
    let start = async || {
        let peer = Peer::start(Path::new(&binaries), Disk::Fast).await?;
        let keeper = keeper(&peer)?;
        anyhow::Ok((peer, keeper))
    };
    let (peer, _) = SHARED.get_or_try_init(start).await?;
    // Connections belong to the test that opens them.
    Ok(Some(Cluster::at(&format!("https://127.0.0.1:{}", peer.port), &peer.token)?))
}

/// Returns a file that tells programs where the shared peer is and who they are, if `CONFORMANCE_PEERS` names its
/// programs.
///
/// # Errors
///
/// As [`Peer::start`], or the file cannot be written.
pub async fn shared_kubeconfig() -> anyhow::Result<Option<PathBuf>> {
    if shared().await?.is_none() {
        return Ok(None);
    }
    let Some((peer, _)) = SHARED.get() else { return Ok(None) };
    let file = peer.folder.path().join("kubeconfig");
    let kubeconfig = serde_json::json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("https://127.0.0.1:{}", peer.port), "insecure-skip-tls-verify": true}}],
        "users": [{"name": "c", "user": {"token": peer.token}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]});
    std::fs::write(&file, kubeconfig.to_string()).with_context(|| format!("failed to write {}", file.display()))?;
    Ok(Some(file))
}

/// Starts what ends a peer when this process is gone, however it ends: nothing drops what is static.
fn keeper(peer: &Peer) -> anyhow::Result<Child> {
    let script = "folder=$1; shift; read -r _; kill -9 \"$@\"; rm -rf \"$folder\"";
    Command::new("sh")
        .args(["-c", script, "keeper"])
        .arg(peer.folder.path())
        .args(peer.pids().iter().map(u32::to_string))
        // Its end is what the script waits for.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("failed to start a shell")
}

/// Returns ports that were free a moment ago.
fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port is free")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
