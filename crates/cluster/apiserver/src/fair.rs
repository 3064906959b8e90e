//! How many requests are worked on at once, and whose is next: one queue for each user,
//! served in turn, so that a flood of one client's requests leaves the others their share.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Requests that are worked on at once.
const SEATS: usize = 400;
/// Requests of one user that may wait.
const QUEUE: usize = 200;

/// The seats and who waits for one.
#[derive(Clone)]
pub(crate) struct Fair {
    inner: Arc<Mutex<Inner>>,
    queue: usize,
}

struct Inner {
    free: usize,
    waiting: HashMap<String, VecDeque<oneshot::Sender<Seat>>>,
    /// Users who wait, in the order of their turns.
    turns: VecDeque<String>,
}

/// A place among those that are worked on; the next gets it when it is dropped.
pub(crate) struct Seat(Option<Arc<Mutex<Inner>>>);

/// Too many requests of this user wait already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Default for Fair {
    fn default() -> Fair {
        Fair::new(SEATS, QUEUE)
    }
}

impl Fair {
    fn new(seats: usize, queue: usize) -> Fair {
        let inner = Inner { free: seats, waiting: HashMap::new(), turns: VecDeque::new() };
        Fair { inner: Arc::new(Mutex::new(inner)), queue }
    }

    /// Returns a seat, once it is this user's turn.
    pub(crate) async fn seat(&self, user: &str) -> Result<Seat, Full> {
        let wait = {
            let mut inner = self.inner.lock();
            if inner.free > 0 {
                inner.free -= 1;
                return Ok(Seat(Some(self.inner.clone())));
            }
            let queue = inner.waiting.entry(user.to_owned()).or_default();
            if queue.len() >= self.queue {
                return Err(Full);
            }
            let (give, wait) = oneshot::channel();
            queue.push_back(give);
            if queue.len() == 1 {
                inner.turns.push_back(user.to_owned());
            }
            wait
        };
        wait.await.map_err(|_| Full)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(inner) = self.0.take() else { return };
        let mut seat = Seat(Some(inner.clone()));
        loop {
            let next = {
                let mut inner = inner.lock();
                let Some(next) = inner.next() else {
                    inner.free += 1;
                    seat.0 = None;
                    return;
                };
                next
            };
            // Who no longer waits gives the seat back.
            match next.send(seat) {
                Ok(()) => return,
                Err(back) => seat = back,
            }
        }
    }
}

impl Inner {
    fn next(&mut self) -> Option<oneshot::Sender<Seat>> {
        let user = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&user)?;
        let next = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&user);
        } else {
            self.turns.push_back(user);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_leaves_others_their_turn() {
        let fair = Fair::new(1, 3);
        let first = fair.seat("flood").await.unwrap();
        let mut order = futures::stream::FuturesUnordered::new();
        for (user, index) in [("flood", 1), ("flood", 2), ("flood", 3), ("other", 1)] {
            let fair = fair.clone();
            order.push(async move { (user, index, fair.seat(user).await.is_ok()) });
        }
        // Each asks before the first seat is free.
        let mut done = Vec::new();
        assert!(futures::poll!(futures::StreamExt::next(&mut order)).is_pending());
        assert_eq!(fair.seat("flood").await.err(), Some(Full), "a user's queue is bounded");
        drop(first);
        while let Some((user, index, seated)) = futures::StreamExt::next(&mut order).await {
            assert!(seated);
            done.push(format!("{user}{index}"));
        }
        assert_eq!(done, ["flood1", "other1", "flood2", "flood3"]);
        assert_eq!(fair.inner.lock().free, 1);
    }

    #[tokio::test]
    async fn who_no_longer_waits_takes_no_seat() {
        let fair = Fair::new(1, 9);
        let first = fair.seat("a").await.unwrap();
        let mut gone = Box::pin(fair.seat("b"));
        assert!(futures::poll!(gone.as_mut()).is_pending());
        drop(gone);
        drop(first);
        assert_eq!(fair.inner.lock().free, 1);
    }
}
