//! Being asked to stop: what is under way is recorded as failed, not left pending.

use tokio::signal::unix::{SignalKind, signal};

use crate::Error;

/// Runs work until it ends or somebody interrupts it.
pub(crate) async fn or_interrupted<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let signals = signal(SignalKind::interrupt()).and_then(|one| Ok((one, signal(SignalKind::terminate())?)));
    // Without a place for signals the process ends as usual.
    let Ok((mut interrupt, mut terminate)) = signals else { return work.await };
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => Err(Error::Interrupted),
        _ = terminate.recv() => Err(Error::Interrupted),
    }
}
