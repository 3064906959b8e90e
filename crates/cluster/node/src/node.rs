//! The node as a component: configuration, start, the watch of its pods, stop.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};

use base::{
    fault::Chain,
    task::{OnError, Tasks},
};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    Error, Handle, Isolation, cgroups,
    context::Context,
    events::{self, Events},
    figures::{self, Looks},
    handle::Pods,
    isolation, network,
    plan::{Cidr, Naming},
    pod::worker,
    proc, purge, register,
    sandbox::Shim,
};

/// What a node is made from.
pub struct Config {
    /// The Kubernetes API.
    pub client: kube::Client,
    /// The node's name; pods name it in `spec.nodeName`.
    pub name: String,
    /// A folder of the node's own; names of bridge and control groups follow from its path.
    pub data: PathBuf,
    /// Where images are.
    pub images: images::Store,
    /// How pods are kept apart; see [`crate::probe`].
    pub isolation: Isolation,
    /// The program that is run as `<executable> shim …`.
    pub executable: PathBuf,
    /// The range of pod addresses; `None` derives one from the data folder.
    pub pod_cidr: Option<Cidr>,
}

/// A node that is ready to run.
pub struct Node {
    context: Arc<Context>,
    isolation: Isolation,
    pods: Pods,
    looks: Arc<Looks>,
    queue: tokio::sync::mpsc::Receiver<k8s_openapi::api::core::v1::Event>,
}

type Workers = BTreeMap<String, watch::Sender<Option<Arc<Pod>>>>;

impl Node {
    /// Prepares folder and bridge, and removes what an earlier boot of the machine left.
    ///
    /// Containers that run from before are left running; [`Node::run`] goes on with them.
    pub async fn build(config: Config) -> Result<Self, Error> {
        std::fs::create_dir_all(config.data.join("pods")).map_err(Error::disk("create", &config.data))?;
        let dir = purge::absolute(&config.data)?;
        let naming = Naming::of(&dir);
        let isolated = config.isolation == Isolation::Full;
        let range = match config.pod_cidr {
            Some(range) if isolated => range,
            // Chosen once: running pods keep their addresses over a restart.
            None if isolated => match proc::read_state(&dir.join("range.json"))? {
                Some(range) => range,
                None => naming.pods(&network::addresses(&naming.bridge).await?),
            },
            _ => naming.loopback(),
        };
        if isolated {
            proc::write_state(&dir.join("range.json"), &range)?;
        }
        let boot = proc::boot_id();
        let last_boot: Option<String> = proc::read_state(&dir.join("boot.json"))?;
        if last_boot.as_ref() != Some(&boot) {
            // What was unpacked was not synced to disk, so after a power cut it may be damaged.
            proc::remove_dir(&dir.join("roots"))?;
            cgroups_after_reboot(&naming, isolated)?;
            proc::write_state(&dir.join("boot.json"), &boot)?;
        }
        images::unpack::sweep(&dir.join("roots"))
            .map_err(|source| Error::Image { image: "left from before".to_owned(), source })?;
        if isolated {
            network::ensure_bridge(&naming.bridge, range.gateway(), range.prefix).await?;
        }
        let machine = register::machine();
        let (events, queue) = Events::new(&config.name);
        let context = Context {
            client: config.client,
            node: config.name,
            dir,
            images: config.images,
            executable: config.executable,
            isolated,
            naming,
            range,
            host_ip: machine.address,
            allocatable: (machine.cpu, machine.memory),
            capabilities: isolation::capabilities(),
            tasks: Tasks::new(),
            events,
            last_address: std::sync::Mutex::default(),
            unpacking: tokio::sync::Mutex::default(),
        };
        Ok(Self {
            context: Arc::new(context),
            isolation: config.isolation,
            pods: Pods::default(),
            looks: Arc::default(),
            queue,
        })
    }

    /// Returns a handle to the node's HTTP API.
    pub fn handle(&self) -> Handle {
        Handle {
            pods: self.pods.clone(),
            dir: self.context.dir.clone(),
            tasks: self.context.tasks.clone(),
            context: self.context.clone(),
            looks: self.looks.clone(),
        }
    }

    /// Runs the node's pods until `stop`. Containers go on running after it.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let handle = self.handle();
        let Self { context, isolation, pods, queue, .. } = self;
        let tasks = context.tasks.clone();
        tasks.spawn("look at what is used", OnError::Log, look_at_use(handle));
        tasks.spawn("send events", OnError::Log, {
            let (client, stop) = (context.client.clone(), tasks.stop());
            async move {
                tokio::select! {
                    () = stop.cancelled() => Ok::<(), Infallible>(()),
                    result = events::send(client, queue) => result,
                }
            }
        });
        tasks.spawn("keep the node registered", OnError::Shutdown, {
            let (context, stop) = (context.clone(), tasks.stop());
            async move { register::run(context, isolation, stop).await.map_err(|error| Chain(&error).to_string()) }
        });
        tasks.spawn("watch the node's pods", OnError::Shutdown, watch_pods(context.clone(), pods));
        let ended = tasks.stop();
        tokio::select! {
            () = stop.cancelled() => {}
            () = ended.cancelled() => {}
        }
        if !tasks.shut_down(Duration::from_secs(10)).await {
            tracing::warn!("some of the node's tasks did not stop in time");
        }
        if stop.is_cancelled() {
            return Ok(());
        }
        Err(Error::Shim {
            pod: "all".to_owned(),
            why: "a task that the node needs has failed; the log says which".to_owned(),
        })
    }
}

fn cgroups_after_reboot(naming: &Naming, isolated: bool) -> Result<(), Error> {
    if isolated { cgroups::destroy(&naming.cgroup) } else { Ok(()) }
}

/// Looks at what the node and its containers use, so that there is a rate whenever somebody asks.
async fn look_at_use(handle: Handle) -> Result<(), Infallible> {
    let stop = handle.tasks.stop();
    loop {
        let own = handle.clone();
        // One that fails is made up for by the next.
        tokio::task::spawn_blocking(move || figures::look(&own)).await.ok();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(figures::EVERY) => {}
        }
    }
}

async fn watch_pods(context: Arc<Context>, pods: Pods) -> Result<(), Infallible> {
    let api: Api<Pod> = Api::all(context.client.clone());
    let config = watcher::Config::default().fields(&format!("spec.nodeName={}", context.node));
    let stop = context.tasks.stop();
    let mut stream = Box::pin(watcher(api, config).default_backoff());
    let mut workers = Workers::new();
    let mut listed: Option<BTreeSet<String>> = None;
    let mut swept = false;
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            event = stream.try_next() => event,
        };
        match event {
            Ok(Some(watcher::Event::Init)) => listed = Some(BTreeSet::new()),
            Ok(Some(watcher::Event::InitApply(pod))) => {
                if let Some(listed) = &mut listed {
                    listed.insert(pod.metadata.uid.clone().unwrap_or_default());
                }
                wanted(&context, &mut workers, &pods, pod);
            }
            Ok(Some(watcher::Event::InitDone)) => {
                let listed = listed.take().unwrap_or_default();
                let gone: Vec<String> = workers.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
                for uid in gone {
                    unwanted(&mut workers, &pods, &uid);
                }
                if !swept {
                    swept = true;
                    sweep(&context, &listed);
                }
            }
            Ok(Some(watcher::Event::Apply(pod))) => wanted(&context, &mut workers, &pods, pod),
            Ok(Some(watcher::Event::Delete(pod))) => {
                unwanted(&mut workers, &pods, pod.metadata.uid.as_deref().unwrap_or_default());
            }
            // The stream backs off and goes on by itself; running pods are left as they are.
            Err(error) => tracing::warn!(%error, "the node's pods cannot be watched at the moment"),
            Ok(None) => return Ok(()),
        }
    }
}

fn wanted(context: &Arc<Context>, workers: &mut Workers, pods: &Pods, pod: Pod) {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let pod = Arc::new(pod);
    pods.write().unwrap_or_else(PoisonError::into_inner).insert(uid.clone(), pod.clone());
    workers.retain(|_, worker| !worker.is_closed());
    if let Some(worker) = workers.get(&uid) {
        worker.send_replace(Some(pod));
        return;
    }
    let (sender, receiver) = watch::channel(Some(pod));
    workers.insert(uid, sender);
    let context = context.clone();
    context.tasks.clone().spawn("run a pod", OnError::Log, async move {
        loop {
            match worker::run(context.clone(), receiver.clone()).await {
                Ok(()) => return Ok::<(), Infallible>(()),
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "a pod's task failed and begins anew");
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            }
        }
    });
}

fn unwanted(workers: &mut Workers, pods: &Pods, uid: &str) {
    pods.write().unwrap_or_else(PoisonError::into_inner).remove(uid);
    if let Some(worker) = workers.get(uid) {
        worker.send_replace(None);
    }
}

/// Removes pods on disk that the API has no more; they were deleted while the node was away.
fn sweep(context: &Arc<Context>, listed: &BTreeSet<String>) {
    for dir in proc::folders(&context.pods_dir()) {
        let uid = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if listed.contains(&uid) {
            continue;
        }
        let context = context.clone();
        context.tasks.clone().spawn("remove a pod that is gone", OnError::Log, async move {
            Shim::of(&dir).stop().await?;
            if context.isolated {
                cgroups::destroy(&context.pod_cgroup(&uid))?;
            }
            proc::remove_dir(&dir)
        });
    }
}
