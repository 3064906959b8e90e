//! Running hooks: in order, each to its end, with what becomes of their objects.

use std::time::Duration;

use release::{
    Event, Hook, Phase, Policy, Release,
    hook::{self, LastRun},
};

use crate::{
    Cluster, Error, Tell,
    cluster::{Mode, Placed},
    history::{History, stamp},
    wait,
};

/// What hooks run in.
pub(crate) struct Runner<'c> {
    pub(crate) cluster: &'c Cluster,
    pub(crate) history: &'c History<'c>,
    pub(crate) timeout: Duration,
    pub(crate) tell: &'c Tell,
}

impl Runner<'_> {
    /// Runs the hooks of an event, one after the other; the first that fails ends it.
    pub(crate) async fn run(&self, release: &mut Release, event: Event) -> Result<(), Error> {
        let order = hook::at(&release.hooks, event);
        self.run_these(release, event, &order).await
    }

    /// Runs some hooks of an event.
    pub(crate) async fn run_these(&self, release: &mut Release, event: Event, order: &[usize]) -> Result<(), Error> {
        for (done, index) in order.iter().enumerate() {
            if let Err(error) = self.one(release, event, *index).await {
                for before in &order[..done] {
                    self.delete(release, *before, Policy::HookSucceeded).await?;
                }
                return Err(error);
            }
        }
        for index in order.iter().rev() {
            self.show_log(release, *index, Policy::HookSucceeded).await;
            self.delete(release, *index, Policy::HookSucceeded).await?;
        }
        Ok(())
    }

    async fn one(&self, release: &mut Release, event: Event, index: usize) -> Result<(), Error> {
        self.delete(release, index, Policy::BeforeHookCreation).await?;
        let placed = self.placed(release, index).await?;
        (self.tell)(&format!("{} hook {}", event.name(), shown(&release.hooks[index])));
        release.hooks[index].last_run =
            LastRun { started_at: stamp(), completed_at: String::new(), phase: Phase::Running };
        self.history.update(release).await?;
        let done = self.execute(&placed).await;
        let last = &mut release.hooks[index].last_run;
        last.completed_at = stamp();
        last.phase = if done.is_ok() { Phase::Succeeded } else { Phase::Failed };
        let Err(reason) = done else { return Ok(()) };
        self.show_log(release, index, Policy::HookFailed).await;
        self.delete(release, index, Policy::HookFailed).await?;
        Err(Error::Hook { event: event.name(), path: release.hooks[index].path.clone(), reason })
    }

    async fn execute(&self, placed: &[Placed]) -> Result<(), String> {
        for one in placed {
            self.cluster.create(one, Mode::Real).await.map_err(|error| error.line())?;
        }
        for one in placed {
            wait::ended(self.cluster, one, self.timeout).await.map_err(|error| error.line())??;
        }
        Ok(())
    }

    async fn placed(&self, release: &Release, index: usize) -> Result<Vec<Placed>, Error> {
        self.cluster.place(&release.hooks[index].manifest, &release.namespace).await
    }

    async fn delete(&self, release: &Release, index: usize, policy: Policy) -> Result<(), Error> {
        if !release.hooks[index].goes(policy) {
            return Ok(());
        }
        let placed = self.cluster.place_known(&release.hooks[index].manifest, &release.namespace).await?;
        for one in &placed {
            self.cluster.delete(one, "Background").await?;
        }
        wait::gone(self.cluster, &placed, self.timeout).await
    }

    /// Shows the log of a hook's pods if it asks for that.
    async fn show_log(&self, release: &Release, index: usize, policy: Policy) {
        let hook = &release.hooks[index];
        if hook.tells(policy) {
            self.log(release, hook).await;
        }
    }

    /// Shows the logs of a hook's pods. A log that cannot be read is told and ends nothing.
    pub(crate) async fn log(&self, release: &Release, hook: &Hook) {
        let namespace = match self.placed_namespace(release, hook).await {
            Ok(namespace) => namespace,
            Err(error) => return (self.tell)(&format!("no log of {}: {}", shown(hook), error.line())),
        };
        let selector = match hook.kind.as_str() {
            "Job" => format!("labelSelector=job-name%3D{}", hook.name),
            "Pod" => format!("fieldSelector=metadata.name%3D{}", hook.name),
            _ => return,
        };
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let found = match self.cluster.ask(http::Method::GET, &format!("{pods}?{selector}"), None).await {
            Ok(found) => found,
            Err(error) => {
                let cause = client::Cause::new(error);
                return (self.tell)(&format!("no log of {}: {cause}", shown(hook)));
            }
        };
        for pod in found["items"].as_array().into_iter().flatten() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
                let container = container["name"].as_str().unwrap_or_default();
                let url = format!("{pods}/{name}/log?container={container}&limitBytes=1048576");
                match self.cluster.text(&url).await {
                    Ok(log) => (self.tell)(&format!("log of pod {name}, container {container}:\n{}", log.trim_end())),
                    Err(error) => {
                        let cause = client::Cause::new(error);
                        (self.tell)(&format!("no log of pod {name}, container {container}: {cause}"));
                    }
                }
            }
        }
    }

    async fn placed_namespace(&self, release: &Release, hook: &Hook) -> Result<String, Error> {
        let placed = self.cluster.place(&hook.manifest, &release.namespace).await?;
        let first = placed.into_iter().next().and_then(|one| one.id.namespace);
        Ok(first.unwrap_or_else(|| release.namespace.clone()))
    }
}

fn shown(hook: &Hook) -> String {
    format!("{} {}", hook.kind, hook.name)
}
