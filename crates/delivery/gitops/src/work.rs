//! The loop under every controller: keys wait, each once; work on one key never runs twice at a time;
//! failures come back after the wait that their class asks for.
//!
//! Never knows what a key stands for.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    fmt,
    future::Future,
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use base::{
    clock,
    fault::{Chain, Fault},
};
use futures::{StreamExt, stream::FuturesUnordered};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// Namespace and name; the namespace is empty for cluster-scoped objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    pub(crate) fn of(object: &kube::api::DynamicObject) -> Self {
        Self::new(
            object.metadata.namespace.clone().unwrap_or_default(),
            object.metadata.name.clone().unwrap_or_default(),
        )
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}", self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Keys that wait for work. As many as there are objects at most, because each waits once. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Queue(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    keys: Mutex<(VecDeque<Key>, HashSet<Key>)>,
    added: Notify,
}

impl Queue {
    /// Adds a key unless it waits already.
    pub(crate) fn add(&self, key: Key) {
        let mut keys = self.0.keys.lock();
        if keys.1.insert(key.clone()) {
            keys.0.push_back(key);
            drop(keys);
            self.0.added.notify_one();
        }
    }

    fn take(&self, busy: &HashSet<Key>) -> Option<Key> {
        let mut keys = self.0.keys.lock();
        let at = keys.0.iter().position(|key| !busy.contains(key))?;
        let key = keys.0.remove(at)?;
        keys.1.remove(&key);
        Some(key)
    }
}

/// Works on keys until `stop`; what runs then is finished first.
///
/// `reconcile` returns when to look again without a change, if at all.
pub(crate) async fn run<F, W, E>(name: &'static str, queue: Queue, most: usize, stop: CancellationToken, reconcile: F)
where
    F: Fn(Key) -> W,
    W: Future<Output = Result<Option<Duration>, E>>,
    E: Fault,
{
    let mut busy: HashSet<Key> = HashSet::new();
    let mut attempts: HashMap<Key, u32> = HashMap::new();
    let mut later: BTreeSet<(Instant, Key)> = BTreeSet::new();
    let mut running = FuturesUnordered::new();
    loop {
        let now = clock::instant();
        while let Some(first) = later.first().filter(|(at, _)| *at <= now).cloned() {
            later.remove(&first);
            queue.add(first.1);
        }
        while running.len() < most && !stop.is_cancelled() {
            let Some(key) = queue.take(&busy) else { break };
            busy.insert(key.clone());
            let work = reconcile(key.clone());
            running.push(async move { (key, work.await) });
        }
        if stop.is_cancelled() && running.is_empty() {
            return;
        }
        let wake = later.first().map_or_else(|| now + Duration::from_hours(1), |(at, _)| *at);
        tokio::select! {
            Some((key, result)) = running.next() => {
                busy.remove(&key);
                let again = match result {
                    Ok(again) => {
                        attempts.remove(&key);
                        again
                    }
                    Err(error) => {
                        let attempt = attempts.entry(key.clone()).or_insert(0);
                        let again = error.class().retry_after(*attempt);
                        *attempt += 1;
                        tracing::warn!(controller = name, object = %key, code = error.code(), error = %Chain(&error), retry = ?again, "reconciling failed");
                        again
                    }
                };
                later.retain(|(_, waiting)| *waiting != key);
                if let Some(again) = again {
                    later.insert((clock::instant() + again, key));
                }
            }
            () = queue.0.added.notified() => {}
            () = tokio::time::sleep_until(wake) => {}
            () = stop.cancelled(), if !stop.is_cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use base::fault::Class;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("not yet")]
    struct NotYet;

    impl Fault for NotYet {
        fn class(&self) -> Class {
            Class::Transient
        }
        fn code(&self) -> &'static str {
            "TST0001"
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_comes_back_and_others_go_on() {
        let (queue, stop) = (Queue::default(), CancellationToken::new());
        let (bad, good) = (AtomicUsize::new(0), AtomicUsize::new(0));
        queue.add(Key::new("", "bad"));
        queue.add(Key::new("", "good"));
        queue.add(Key::new("", "good"));
        run("test", queue, 4, stop.clone(), |key| {
            let (bad, good, stop) = (&bad, &good, stop.clone());
            async move {
                if key.name == "good" {
                    good.fetch_add(1, Ordering::SeqCst);
                    return Ok(None);
                }
                if bad.fetch_add(1, Ordering::SeqCst) == 3 {
                    stop.cancel();
                    return Ok(None);
                }
                Err(NotYet)
            }
        })
        .await;
        assert_eq!((bad.into_inner(), good.into_inner()), (4, 1));
    }
}
