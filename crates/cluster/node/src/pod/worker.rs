//! One pod's task: it looks at what is wanted and seen, does what `lifecycle` decides,
//! and reports what `status` makes of it.
//!
//! It never decides by itself when a container starts or stops, and never touches
//! another pod.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use base::{
    fault::{Chain, Fault},
    task::OnError,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    health::{Counter, Kind},
    launch::{self, Job, Tokens},
    lifecycle::{self, Action, Phase, Plan, PodView, Policy, State, View},
    prober,
    status::{self, Record, Summary},
    support,
};
use crate::{
    Error, cgroups,
    context::Context,
    error::say,
    history, plan, proc,
    sandbox::Shim,
    shim::protocol::{Exit, PodNetwork, Sandbox, Seen},
};

/// How often a pod is looked at although nothing happened: volumes and tokens are renewed then.
const RESYNC: Duration = Duration::from_secs(30);

/// Something that happened to a pod's containers.
#[derive(Debug)]
pub(crate) enum Event {
    Snapshot(Vec<Seen>),
    ShimGone,
    Probe { name: String, attempt: u32, kind: Kind, result: Result<(), String> },
    Started { name: String, attempt: u32, hook: Result<(), String> },
}

/// One pod's task.
pub(crate) struct Worker {
    pub(super) context: Arc<Context>,
    pub(super) pod: Arc<Pod>,
    pub(super) dir: PathBuf,
    pub(super) shim: Shim,
    /// There is a shim, and a connection that tells what changes.
    pub(super) watched: bool,
    pub(super) sandbox: Option<Sandbox>,
    pub(super) records: BTreeMap<String, Record>,
    /// Cancelled when the attempt ends: its probes and its stopper stop.
    pub(super) live: BTreeMap<String, CancellationToken>,
    pub(super) counters: BTreeMap<(String, Kind), Counter>,
    /// Failures to start in a row, and when to try again.
    pub(super) retries: BTreeMap<String, (u32, Timestamp)>,
    pub(super) tokens: Tokens,
    pub(super) refused: Vec<String>,
    pub(super) finished: Option<Phase>,
    pub(super) failure: Option<(String, String)>,
    pub(super) gone: bool,
    pub(super) sent: Option<serde_json::Value>,
    /// When volumes were last brought up to date.
    pub(super) renewed: Timestamp,
    pub(super) events: mpsc::Sender<Event>,
}

/// Runs the task of one pod until it is gone; `None` in `wanted` means that the API has it no more.
pub(crate) async fn run(context: Arc<Context>, mut wanted: watch::Receiver<Option<Arc<Pod>>>) -> Result<(), Error> {
    let Some(pod) = wanted.borrow_and_update().clone() else { return Ok(()) };
    let stop = context.tasks.stop();
    let (events, mut happened) = mpsc::channel(64);
    let mut worker = Worker::new(context, pod, events);
    worker.adopt().await?;
    loop {
        let mut wait = worker.step().await.unwrap_or_else(|error| {
            tracing::warn!(pod = worker.name(), error = %Chain(&error), code = error.code(), "a pod could not be brought on");
            Duration::from_secs(2)
        });
        if worker.gone && worker.is_removed() {
            return Ok(());
        }
        wait = wait.min(RESYNC);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = wanted.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                match wanted.borrow_and_update().clone() {
                    Some(pod) => worker.pod = pod,
                    None => worker.gone = true,
                }
            }
            event = happened.recv() => {
                if let Some(event) = event {
                    worker.happened(event)?;
                }
                while let Ok(event) = happened.try_recv() {
                    worker.happened(event)?;
                }
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl Worker {
    fn new(context: Arc<Context>, pod: Arc<Pod>, events: mpsc::Sender<Event>) -> Self {
        let dir = context.pod_dir(pod.metadata.uid.as_deref().unwrap_or_default());
        let finished = match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
            Some("Succeeded") => Some(Phase::Succeeded),
            Some("Failed") => Some(Phase::Failed),
            _ => None,
        };
        let failure =
            pod.status.as_ref().and_then(|s| s.reason.clone().zip(s.message.clone())).filter(|_| finished.is_some());
        let refused = pod.spec.as_ref().map(support::unsupported).unwrap_or_default();
        Self {
            shim: Shim::of(&dir),
            context,
            pod,
            dir,
            watched: false,
            sandbox: None,
            records: BTreeMap::new(),
            live: BTreeMap::new(),
            counters: BTreeMap::new(),
            retries: BTreeMap::new(),
            tokens: Tokens::new(),
            refused,
            finished,
            failure,
            gone: false,
            sent: None,
            renewed: base::clock::now(),
            events,
        }
    }

    fn name(&self) -> String {
        let meta = &self.pod.metadata;
        format!("{}/{}", meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
    }

    fn uid(&self) -> String {
        self.pod.metadata.uid.clone().unwrap_or_default()
    }

    fn spec(&self) -> PodSpec {
        self.pod.spec.clone().unwrap_or_default()
    }

    fn is_removed(&self) -> bool {
        !self.dir.exists()
    }

    /// Finds what an earlier run of the platform left of this pod, and goes on from there.
    async fn adopt(&mut self) -> Result<(), Error> {
        let spec = self.spec();
        let inits = spec.init_containers.iter().flatten().map(|container| (container, true));
        for (container, init) in inits.chain(spec.containers.iter().map(|container| (container, false))) {
            let mut record = history::read(&self.dir.join("c").join(&container.name))?;
            record.init = init;
            let statuses =
                self.pod.status.iter().flat_map(|s| {
                    s.container_statuses.iter().flatten().chain(s.init_container_statuses.iter().flatten())
                });
            if let Some(status) = statuses.into_iter().find(|status| status.name == container.name) {
                record.image_id.clone_from(&status.image_id);
                // What was ready stays so until its probe says otherwise.
                if record.last.as_ref().is_some_and(|last| last.number as i32 == status.restart_count) {
                    record.ready = status.ready;
                    record.up = status.started == Some(true);
                }
            }
            self.records.insert(container.name.clone(), record);
        }
        self.sandbox = proc::read_state(&self.dir.join("sandbox.json"))?;
        if self.shim.is_alive()? {
            self.watch().await?;
            let running: Vec<String> =
                self.records.iter().filter(|(_, record)| record.runs_now()).map(|(name, _)| name.clone()).collect();
            for name in running {
                self.begin(&name, true);
            }
        } else {
            self.lost_shim()?;
        }
        Ok(())
    }

    /// Writes down that what ran under a shim that is gone has ended.
    pub(super) fn lost_shim(&mut self) -> Result<(), Error> {
        self.watched = false;
        if self.sandbox.is_some() && self.context.isolated {
            cgroups::destroy(&self.context.pod_cgroup(&self.uid()))?;
        }
        let now = base::clock::now();
        let names: Vec<String> = self.records.keys().cloned().collect();
        for name in names {
            let Some(last) = self.records.get(&name).and_then(|record| record.last.as_ref()) else { continue };
            if last.exit.is_some() {
                continue;
            }
            let exit = Exit { code: 137, at: now, out_of_memory: false, failed: None };
            let bundle = self.dir.join("c").join(&name).join(last.number.to_string());
            if bundle.is_dir() {
                proc::write_state(&bundle.join("exit.json"), &exit)?;
            }
            self.ended(&name, exit, Some("the pod's shim, or the machine, went away".to_owned()));
        }
        Ok(())
    }

    async fn watch(&mut self) -> Result<(), Error> {
        let mut watch = self.shim.watch().await?;
        // The first snapshot is taken in before anything is decided: a start that the
        // node did not see the end of, because it was killed, may have succeeded.
        for seen in watch.next().await.unwrap_or_default() {
            let Some(record) = self.records.get_mut(&seen.name) else { continue };
            if record.last.as_ref().is_none_or(|last| last.number < seen.attempt) {
                record.previous = record.last.take();
                let (started, exit) = (seen.started, seen.exit);
                record.last = Some(status::Attempt { number: seen.attempt, started, exit, message: None });
            }
        }
        let (events, stop) = (self.events.clone(), self.context.tasks.stop());
        self.context.tasks.spawn("watch a pod's shim", OnError::Log, async move {
            loop {
                let event = tokio::select! {
                    () = stop.cancelled() => return Ok::<(), std::convert::Infallible>(()),
                    seen = watch.next() => seen.map_or(Event::ShimGone, Event::Snapshot),
                };
                let last = matches!(event, Event::ShimGone);
                if events.send(event).await.is_err() || last {
                    return Ok(());
                }
            }
        });
        self.watched = true;
        Ok(())
    }

    async fn ensure_shim(&mut self) -> Result<Sandbox, Error> {
        if let (true, Some(sandbox)) = (self.watched, self.sandbox.clone()) {
            return Ok(sandbox);
        }
        let (uid, spec) = (self.uid(), self.spec());
        std::fs::create_dir_all(&self.dir).map_err(Error::disk("create", &self.dir))?;
        let meta = &self.pod.metadata;
        let name = meta.name.clone().unwrap_or_default();
        let hostname = spec.hostname.clone().unwrap_or_else(|| name.chars().take(63).collect());
        let context = &self.context;
        let wish = self.sandbox.as_ref().map(|sandbox| sandbox.address);
        let sandbox = context.take_address(wish, |address| Sandbox {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name,
            hostname,
            address,
            boot: proc::boot_id(),
            network: context.isolated.then(|| PodNetwork {
                bridge: context.naming.bridge.clone(),
                veth: plan::Naming::veth(&uid),
                gateway: context.range.gateway(),
                prefix: context.range.prefix,
            }),
            memory_volumes: if context.isolated { launch::memory_volumes(context, &uid, &spec) } else { Vec::new() },
            uid: uid.clone(),
        })?;
        for (dir, _) in &sandbox.memory_volumes {
            super::volumes::make_empty(dir, None)?;
        }
        self.sandbox = Some(sandbox.clone());
        self.shim.start(&context.executable, &sandbox).await?;
        self.watch().await?;
        Ok(sandbox)
    }

    /// Looks at everything once; returns when to look again at the latest.
    async fn step(&mut self) -> Result<Duration, Error> {
        let spec = self.spec();
        if !self.refused.is_empty() && !self.is_ending() {
            self.refuse(&spec);
            self.report(&self.waiting_plan()).await?;
            return Ok(RESYNC);
        }
        let now = base::clock::now();
        if let Some(deadline) = spec.active_deadline_seconds {
            let started = self.pod.status.as_ref().and_then(|status| status.start_time.clone());
            let passed = started.is_some_and(|start| now.duration_since(start.0).as_secs() >= deadline);
            if passed && self.finished.is_none() {
                self.finished = Some(Phase::Failed);
                let text = "Pod was active on the node longer than the specified deadline".to_owned();
                self.failure = Some(("DeadlineExceeded".to_owned(), text));
            }
        }
        let plan = lifecycle::plan(&self.view(&spec), now);
        let mut wait = plan.wake_after.unwrap_or(RESYNC);
        if let Some(deadline) = spec.active_deadline_seconds {
            wait = wait.min(Duration::from_secs(deadline.max(1) as u64));
        }
        for (name, _) in &plan.backing_off {
            let pod = self.name();
            let text = format!("Back-off restarting failed container {name} in pod {pod}");
            self.context.events.warning(&self.pod, Some(name), "BackOff", text);
        }
        for action in plan.actions.clone() {
            match action {
                Action::Stop { name } => self.stop(&spec, &name),
                Action::Start { name, attempt } => {
                    if let Some((_, at)) = self.retries.get(&name).filter(|(_, at)| *at > now) {
                        wait = wait.min(at.duration_since(now).unsigned_abs());
                        continue;
                    }
                    if let Err(error) = self.start(&spec, &name, attempt).await {
                        wait = wait.min(self.not_started(&name, &error, now));
                    }
                }
            }
        }
        if plan.over {
            self.finish(&plan).await?;
        } else {
            self.refresh_volumes().await?;
            self.report(&plan).await?;
        }
        Ok(wait)
    }

    fn is_ending(&self) -> bool {
        self.gone || self.pod.metadata.deletion_timestamp.is_some()
    }

    fn view(&self, spec: &PodSpec) -> PodView {
        let policy = match spec.restart_policy.as_deref() {
            Some("Never") => Policy::Never,
            Some("OnFailure") => Policy::OnFailure,
            _ => Policy::Always,
        };
        let inits = spec.init_containers.iter().flatten();
        let views = inits.chain(&spec.containers).filter_map(|container| {
            let record = self.records.get(&container.name)?;
            let state = match &record.last {
                None => State::Never,
                Some(last) => match (&last.exit, &last.started) {
                    (Some(exit), _) => State::Exited { code: exit.code, at: exit.at },
                    (None, Some(_)) => State::Running,
                    (None, None) => State::Starting,
                },
            };
            Some(View {
                name: container.name.clone(),
                init: record.init,
                attempt: record.last.as_ref().map_or(0, |last| last.number),
                state,
                quick_ends: lifecycle::quick_ends(&record.runs),
                unhealthy: record.unhealthy,
                stopping: record.stopping,
            })
        });
        PodView { policy, ending: self.is_ending(), finished: self.finished, containers: views.collect() }
    }

    fn waiting_plan(&self) -> Plan {
        Plan {
            actions: Vec::new(),
            phase: Phase::Pending,
            backing_off: Vec::new(),
            wake_after: None,
            over: false,
            initialized: self.records.values().all(|record| !record.init),
        }
    }

    fn refuse(&mut self, spec: &PodSpec) {
        let message = Error::Unsupported { fields: self.refused.clone() }.to_string();
        for container in &spec.containers {
            if let Some(record) = self.records.get_mut(&container.name) {
                let waiting = ("CreateContainerConfigError".to_owned(), message.clone());
                if record.waiting.replace(waiting).is_none() {
                    self.context.events.warning(&self.pod, Some(&container.name), "Failed", message.clone());
                }
            }
        }
    }

    async fn start(&mut self, spec: &PodSpec, name: &str, attempt: u32) -> Result<(), Error> {
        let Some(container) = self.container(name) else { return Ok(()) };
        let sandbox = self.ensure_shim().await?;
        let context = self.context.clone();
        let image = launch::image(&context, &container).await?;
        let sources = launch::fetch(&context, &self.pod, &mut self.tokens).await?;
        launch::write_volumes(&context, &self.pod, &sandbox, &sources)?;
        let text =
            format!("Container image {:?} already present on machine", container.image.clone().unwrap_or_default());
        context.events.normal(&self.pod, Some(name), "Pulled", text);
        if support::asks_for_seccomp(spec) && attempt == 0 {
            let text = "seccompProfile RuntimeDefault is not applied: this node has no system call filter".to_owned();
            context.events.warning(&self.pod, Some(name), "SeccompNotApplied", text);
        }
        let start = launch::prepare(&Job {
            context: &context,
            pod: &self.pod,
            spec,
            container: &container,
            sandbox: &sandbox,
            sources: &sources,
            image: &image,
            attempt,
        })?;
        context.events.normal(&self.pod, Some(name), "Created", format!("Created container: {name}"));
        if let Some(record) = self.records.get_mut(name) {
            record.image_id = format!("{}@{}", images::REGISTRY_HOST, image.digest);
            record.waiting = None;
            record.previous = record.last.take();
            record.last = Some(status::Attempt { number: attempt, started: None, exit: None, message: None });
        }
        self.retries.remove(name);
        history::forget_old(&self.dir, name, attempt)?;
        if let Err(error) = self.shim.start_container(start).await {
            // The shim has written the failure down as this attempt's end, and the snapshot brings it.
            let text = format!("Error: {}", say(&error));
            context.events.warning(&self.pod, Some(name), "Failed", text);
        }
        Ok(())
    }

    /// Notes why a container could not be started; returns when to try again.
    fn not_started(&mut self, name: &str, error: &Error, now: Timestamp) -> Duration {
        let failures = self.retries.get(name).map_or(0, |(failures, _)| *failures) + 1;
        let wait = Duration::from_secs((1u64 << failures.min(8)).min(300));
        self.retries.insert(name.to_owned(), (failures, now + wait));
        let reason = match error {
            Error::Image { source: images::Error::InvalidReference { .. }, .. } => "InvalidImageName",
            Error::Image { .. } => "ErrImagePull",
            Error::Config { .. } | Error::Api { .. } | Error::Unsupported { .. } => "CreateContainerConfigError",
            Error::Addresses { .. } | Error::Network { .. } | Error::System { .. } | Error::Shim { .. } => {
                "CreatePodSandboxError"
            }
            _ => "CreateContainerError",
        };
        let message = say(error);
        self.context.events.warning(&self.pod, Some(name), "Failed", format!("Error: {message}"));
        if let Some(record) = self.records.get_mut(name) {
            record.waiting = Some((reason.to_owned(), message));
        }
        wait
    }

    /// Stops a container as its specification says: hook, SIGTERM, grace, SIGKILL.
    fn stop(&mut self, spec: &PodSpec, name: &str) {
        let Some(container) = self.container(name) else { return };
        let Some(record) = self.records.get_mut(name) else { return };
        record.stopping = true;
        let Some(attempt) = record.last.as_ref().map(|last| last.number) else { return };
        let unhealthy = record.unhealthy;
        let grace = if self.gone {
            0
        } else {
            let probes = [&container.startup_probe, &container.liveness_probe];
            let of_probe = probes.iter().find_map(|probe| probe.as_ref()?.termination_grace_period_seconds);
            let own = of_probe.filter(|_| unhealthy).or(self.pod.metadata.deletion_grace_period_seconds);
            own.or(spec.termination_grace_period_seconds).unwrap_or(30).max(0) as u64
        };
        self.context.events.normal(&self.pod, Some(name), "Killing", format!("Stopping container {name}"));
        let hook = container.lifecycle.as_ref().and_then(|l| l.pre_stop.clone());
        let (Some(target), Some(ended)) = (self.target(&container), self.live.get(name).cloned()) else { return };
        let (events, pod, name) = (self.context.events.clone(), self.pod.clone(), name.to_owned());
        self.context.tasks.spawn("stop a container", OnError::Log, async move {
            let deadline = base::clock::instant() + Duration::from_secs(grace);
            if let Some(hook) = hook.filter(|_| grace > 0) {
                let result = tokio::select! {
                    () = ended.cancelled() => return Ok(()),
                    result = prober::hook(&target, &hook, Duration::from_secs(grace)) => result,
                };
                if let Err(why) = result {
                    events.warning(&pod, Some(&name), "FailedPreStopHook", format!("PreStopHook failed: {why}"));
                }
            }
            if grace > 0 {
                target.shim.signal(&name, attempt, Signal::SIGTERM).await?;
                tokio::select! {
                    () = ended.cancelled() => return Ok(()),
                    () = tokio::time::sleep_until(deadline) => {}
                }
            }
            // It may have ended in between, which is what was wanted.
            target
                .shim
                .signal(&name, attempt, Signal::SIGKILL)
                .await
                .or_else(|error| if ended.is_cancelled() { Ok(()) } else { Err(error) })
        });
    }

    /// Nothing runs and nothing will: reports the end, and removes the pod if it is to go.
    async fn finish(&mut self, plan: &Plan) -> Result<(), Error> {
        if self.finished.is_none() && !self.is_ending() {
            self.finished = Some(plan.phase);
        }
        if self.watched || self.shim.is_alive()? {
            self.shim.stop().await?;
            self.watched = false;
        }
        if !self.gone {
            self.report(plan).await?;
        }
        if !self.is_ending() {
            return Ok(());
        }
        if self.context.isolated {
            cgroups::destroy(&self.context.pod_cgroup(&self.uid()))?;
        }
        proc::remove_dir(&self.dir)?;
        if self.gone {
            return Ok(());
        }
        let meta = &self.pod.metadata;
        let api: Api<Pod> =
            Api::namespaced(self.context.client.clone(), meta.namespace.as_deref().unwrap_or("default"));
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: meta.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        match api.delete(meta.name.as_deref().unwrap_or_default(), &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(Error::api(format!("delete pod {}", self.name()))(error)),
        }
    }

    async fn refresh_volumes(&mut self) -> Result<(), Error> {
        let runs = self.records.values().any(Record::runs_now);
        let Some(sandbox) = self.sandbox.clone().filter(|_| runs) else { return Ok(()) };
        let references = super::volumes::references(&self.pod);
        let now = base::clock::now();
        let fresh = now.duration_since(self.renewed).unsigned_abs() < RESYNC;
        if fresh || references == super::volumes::References::default() {
            return Ok(());
        }
        self.renewed = now;
        let context = self.context.clone();
        // What is gone now was there at the start; running containers keep what they have.
        if let Ok(sources) = launch::fetch(&context, &self.pod, &mut self.tokens).await
            && let Err(error) = launch::write_volumes(&context, &self.pod, &sandbox, &sources)
        {
            tracing::debug!(pod = self.name(), error = %Chain(&error), "volumes were not renewed");
        }
        Ok(())
    }

    /// Sends the status if it differs from what the API has.
    async fn report(&mut self, plan: &Plan) -> Result<(), Error> {
        let spec = self.spec();
        let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
        let status = status::summarize(&Summary {
            pod: &self.pod,
            containers: containers.filter_map(|c| Some((c, self.records.get(&c.name)?))).collect(),
            plan,
            host_ip: &self.context.host_ip,
            pod_ip: self.sandbox.as_ref().map(|sandbox| sandbox.address.to_string()),
            failure: self.failure.clone(),
            now: base::clock::now(),
        });
        let value = serde_json::to_value(&status).map_err(|source| Error::State { path: "status".into(), source })?;
        let current = serde_json::to_value(&self.pod.status).unwrap_or_default();
        let same =
            value.as_object().is_some_and(|fields| fields.iter().all(|(key, value)| current.get(key) == Some(value)));
        if self.sent.as_ref() == Some(&value) || same {
            return Ok(());
        }
        let meta = &self.pod.metadata;
        let api: Api<Pod> =
            Api::namespaced(self.context.client.clone(), meta.namespace.as_deref().unwrap_or("default"));
        // The uid makes a patch for a pod that was replaced by one of the same name fail.
        let patch = json!({ "metadata": { "uid": meta.uid }, "status": value });
        let name = meta.name.as_deref().unwrap_or_default();
        match api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => {
                self.sent = Some(value);
                Ok(())
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(Error::api(format!("report the status of pod {}", self.name()))(error)),
        }
    }
}
