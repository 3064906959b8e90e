//! What happens to a pod's containers, taken into what its worker knows: starts, ends, probes, hooks.
//!
//! It starts hooks and probes; it never starts or stops a container.

use std::time::Duration;

use base::task::OnError;
use k8s_openapi::api::core::v1::{Container, Probe};

use super::{
    health::{Counter, Kind, Verdict},
    launch,
    prober::{self, Target},
    worker::{Event, Worker},
};
use crate::{
    Error, logs,
    shim::protocol::{Exit, Seen},
};

impl Worker {
    /// Takes in what happened.
    pub(super) fn happened(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Snapshot(seen) => seen.into_iter().for_each(|seen| self.saw(seen)),
            Event::ShimGone => self.lost_shim()?,
            Event::Started { name, attempt, hook } => self.hooked(&name, attempt, hook),
            Event::Probe { name, attempt, kind, result } => self.probed(&name, attempt, kind, &result),
        }
        Ok(())
    }

    fn saw(&mut self, seen: Seen) {
        let Some(record) = self.records.get_mut(&seen.name) else { return };
        let Some(last) = record.last.as_mut().filter(|last| last.number == seen.attempt) else { return };
        if last.started.is_none() && seen.started.is_some() {
            last.started = seen.started;
            if seen.exit.is_none() {
                self.begin(&seen.name, false);
            }
        }
        let open = self.records.get(&seen.name).and_then(|r| r.last.as_ref()).is_some_and(|last| last.exit.is_none());
        if let Some(exit) = seen.exit.filter(|_| open) {
            let message = self.termination_message(&seen.name, seen.attempt, &exit);
            self.ended(&seen.name, exit, message);
        }
    }

    /// A container runs: its hook or probes begin. An adopted one has had its hook.
    pub(super) fn begin(&mut self, name: &str, adopted: bool) {
        let Some(container) = self.container(name) else { return };
        let token = self.context.tasks.stop().child_token();
        self.live.insert(name.to_owned(), token.clone());
        let Some(target) = self.target(&container) else { return };
        let attempt = target.attempt;
        if let Some(record) = self.records.get_mut(name) {
            record.unhealthy = false;
            record.stopping = false;
            if !adopted {
                record.up = false;
                record.ready = false;
            }
        }
        if !adopted {
            self.context.events.normal(&self.pod, Some(name), "Started", format!("Started container {name}"));
        }
        let hook = container.lifecycle.and_then(|l| l.post_start).filter(|_| !adopted);
        let Some(hook) = hook else { return self.hooked(name, attempt, Ok(())) };
        let (events, name) = (self.events.clone(), name.to_owned());
        self.context.tasks.spawn("run a postStart hook", OnError::Log, async move {
            let hook = prober::hook(&target, &hook, Duration::from_hours(1)).await;
            events.send(Event::Started { name, attempt, hook }).await
        });
    }

    pub(super) fn container(&self, name: &str) -> Option<Container> {
        let spec = self.pod.spec.as_ref()?;
        spec.containers.iter().chain(spec.init_containers.iter().flatten()).find(|c| c.name == name).cloned()
    }

    pub(super) fn target(&self, container: &Container) -> Option<Target> {
        let attempt = self.records.get(&container.name)?.last.as_ref()?.number;
        let pod_ip = self.sandbox.as_ref()?.address.to_string();
        Some(Target { container: container.clone(), attempt, pod_ip, shim: self.shim.clone() })
    }

    fn hooked(&mut self, name: &str, attempt: u32, hook: Result<(), String>) {
        let Some(container) = self.container(name) else { return };
        if !self.is_current(name, attempt) {
            return;
        }
        if let Err(why) = hook {
            let text = format!("PostStartHook failed: {why}");
            self.context.events.warning(&self.pod, Some(name), "FailedPostStartHook", text);
            if let Some(record) = self.records.get_mut(name) {
                record.unhealthy = true;
            }
            return;
        }
        let started = self.records.get(name).is_some_and(|record| record.up);
        match &container.startup_probe {
            Some(probe) if !started => self.probe(name, Kind::Startup, probe.clone()),
            _ => self.up(name),
        }
    }

    /// A container has started in the sense of its startup probe.
    fn up(&mut self, name: &str) {
        let Some(container) = self.container(name) else { return };
        if let Some(record) = self.records.get_mut(name) {
            record.up = true;
            if container.readiness_probe.is_none() {
                record.ready = true;
            }
        }
        if let Some(probe) = container.liveness_probe {
            self.probe(name, Kind::Liveness, probe);
        }
        if let Some(probe) = container.readiness_probe {
            self.probe(name, Kind::Readiness, probe);
        }
    }

    fn probe(&mut self, name: &str, kind: Kind, probe: Probe) {
        let (Some(container), Some(token)) = (self.container(name), self.live.get(name)) else { return };
        let Some(target) = self.target(&container) else { return };
        self.counters.insert((name.to_owned(), kind), Counter::new(&probe));
        let (events, token) = (self.events.clone(), token.child_token());
        self.context.tasks.spawn("probe a container", OnError::Log, async move {
            prober::run(target, kind, probe, events, token).await;
            Ok::<(), std::convert::Infallible>(())
        });
    }

    pub(super) fn is_current(&self, name: &str, attempt: u32) -> bool {
        let record = self.records.get(name);
        record.is_some_and(|r| r.runs_now() && r.last.as_ref().is_some_and(|last| last.number == attempt))
    }

    fn probed(&mut self, name: &str, attempt: u32, kind: Kind, result: &Result<(), String>) {
        if !self.is_current(name, attempt) {
            return;
        }
        let Some(counter) = self.counters.get_mut(&(name.to_owned(), kind)) else { return };
        let verdict = counter.add(result.is_ok());
        if let Err(why) = result {
            let text = format!("{kind:?} probe failed: {why}");
            self.context.events.warning(&self.pod, Some(name), "Unhealthy", text);
        }
        let Some(record) = self.records.get_mut(name) else { return };
        match (kind, verdict) {
            (Kind::Readiness, Verdict::Good) => record.ready = true,
            (Kind::Readiness, Verdict::Bad) => record.ready = false,
            (Kind::Startup, Verdict::Good) if !record.up => {
                self.counters.remove(&(name.to_owned(), Kind::Startup));
                // Its own task goes on until the container ends; without a counter it changes nothing.
                self.up(name);
            }
            (Kind::Startup | Kind::Liveness, Verdict::Bad) if !record.unhealthy => {
                record.unhealthy = true;
                let text =
                    format!("Container {name} failed {} probe, will be restarted", format!("{kind:?}").to_lowercase());
                self.context.events.normal(&self.pod, Some(name), "Killing", text);
            }
            _ => {}
        }
    }

    pub(super) fn ended(&mut self, name: &str, exit: Exit, message: Option<String>) {
        if let Some(token) = self.live.remove(name) {
            token.cancel();
        }
        self.counters.retain(|(of, _), _| of != name);
        let Some(record) = self.records.get_mut(name) else { return };
        let Some(last) = record.last.as_mut() else { return };
        let began = last.started.as_ref().map_or(exit.at, |started| started.at);
        record.runs.push((began, exit.at));
        last.exit = Some(exit);
        last.message = message;
        record.up = false;
        record.ready = false;
        record.unhealthy = false;
        record.stopping = false;
    }

    fn termination_message(&self, name: &str, attempt: u32, exit: &Exit) -> Option<String> {
        let container = self.container(name)?;
        let path = self.dir.join("c").join(name).join(attempt.to_string()).join("termination-log");
        let text = std::fs::read(path).unwrap_or_default();
        if !text.is_empty() {
            return Some(String::from_utf8_lossy(&text[..text.len().min(4096)]).into_owned());
        }
        let from_log = container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
        // A plain process has no file of its own for a message.
        let from_log = exit.code != 0 && (from_log || !self.context.isolated);
        from_log.then(|| logs::tail_text(&launch::log_path(&self.dir, name, attempt), 80, 2048))
    }
}
