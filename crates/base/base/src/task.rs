//! Supervised tasks: each says what its failure means, none is detached in silence.

use std::{fmt, future::Future, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, warn};

/// What the end of a task by error or panic means for the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The whole group stops: the process cannot do its work without this task.
    Shutdown,
    /// The failure is logged; the rest goes on.
    Log,
}

/// A group of tasks that start, stop and fail together. Clones share the group.
#[derive(Clone, Default)]
pub struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// Returns an empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the token that is cancelled when the group stops.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs `work` under `name`. A panic counts as an error.
    pub fn spawn<E>(
        &self,
        name: &'static str,
        on_error: OnError,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        E: fmt::Display + Send + 'static,
    {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            let failure = match AssertUnwindSafe(work).catch_unwind().await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it panicked".to_owned(),
            };
            match on_error {
                OnError::Shutdown => {
                    error!(task = name, failure, "a task failed that the process needs; stopping");
                    stop.cancel();
                }
                OnError::Log => warn!(task = name, failure, "a task failed"),
            }
        });
    }

    /// Tells every task to stop and waits at most `grace`; returns whether all ended in time.
    pub async fn shut_down(&self, grace: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(grace, self.tracker.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failing_needed_task_stops_the_group() {
        let tasks = Tasks::new();
        tasks.spawn("lease", OnError::Shutdown, async { Err("lost") });
        tasks.stop().cancelled().await;
        assert!(tasks.shut_down(Duration::from_secs(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_logged_failure_or_panic_leaves_the_rest_running() {
        let tasks = Tasks::new();
        tasks.spawn("report", OnError::Log, async { Err("later") });
        tasks.spawn("panics", OnError::Log, async {
            if true {
                std::panic::resume_unwind(Box::new(()))
            }
            Ok::<(), String>(())
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!tasks.stop().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ignores_stop_is_reported() {
        let tasks = Tasks::new();
        tasks.spawn("stuck", OnError::Log, async { std::future::pending::<Result<(), String>>().await });
        assert!(!tasks.shut_down(Duration::from_secs(1)).await);
    }
}
