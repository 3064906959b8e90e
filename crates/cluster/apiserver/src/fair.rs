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
/// Of them, those of one user: who sends bodies that never end holds no more.
const OF_ONE: usize = 100;
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
    of_one: usize,
    users: HashMap<String, Share>,
    /// Users who wait, in the order of their turns.
    turns: VecDeque<String>,
}

/// What one user has and waits for.
#[derive(Default)]
struct Share {
    held: usize,
    waiting: VecDeque<oneshot::Sender<Seat>>,
}

/// A place among those that are worked on; the next gets it when it is dropped.
pub(crate) struct Seat {
    inner: Arc<Mutex<Inner>>,
    user: String,
}

/// Too many requests of this user wait already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Default for Fair {
    fn default() -> Fair {
        Fair::new(SEATS, OF_ONE, QUEUE)
    }
}

impl Fair {
    fn new(seats: usize, of_one: usize, queue: usize) -> Fair {
        let inner = Inner { free: seats, of_one, users: HashMap::new(), turns: VecDeque::new() };
        Fair { inner: Arc::new(Mutex::new(inner)), queue }
    }

    /// Returns a seat, once it is this user's turn.
    pub(crate) async fn seat(&self, user: &str) -> Result<Seat, Full> {
        let wait = {
            let mut inner = self.inner.lock();
            let (free, of_one) = (inner.free, inner.of_one);
            let share = inner.users.entry(user.to_owned()).or_default();
            if free > 0 && share.held < of_one {
                share.held += 1;
                inner.free -= 1;
                return Ok(Seat { inner: self.inner.clone(), user: user.to_owned() });
            }
            if share.waiting.len() >= self.queue {
                return Err(Full);
            }
            let (give, wait) = oneshot::channel();
            share.waiting.push_back(give);
            if share.waiting.len() == 1 {
                inner.turns.push_back(user.to_owned());
            }
            wait
        };
        wait.await.map_err(|_| Full)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let next = {
            let mut inner = self.inner.lock();
            inner.leave(&self.user);
            inner.next(&self.inner)
        };
        if let Some((give, seat)) = next {
            // Who no longer waits drops the seat, which goes to the one after.
            drop(give.send(seat));
        }
    }
}

impl Inner {
    fn leave(&mut self, user: &str) {
        self.free += 1;
        if let Some(share) = self.users.get_mut(user) {
            share.held -= 1;
            if share.held == 0 && share.waiting.is_empty() {
                self.users.remove(user);
            }
        }
    }

    /// Returns who is next, and their seat: the first in turn who does not hold their share already.
    fn next(&mut self, inner: &Arc<Mutex<Inner>>) -> Option<(oneshot::Sender<Seat>, Seat)> {
        let held = |user: &String| self.users.get(user).map_or(0, |share| share.held);
        let at = self.turns.iter().position(|user| held(user) < self.of_one)?;
        let user = self.turns.remove(at)?;
        let share = self.users.get_mut(&user)?;
        let give = share.waiting.pop_front()?;
        share.held += 1;
        self.free -= 1;
        if !share.waiting.is_empty() {
            self.turns.push_back(user.clone());
        }
        Some((give, Seat { inner: inner.clone(), user }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_leaves_others_their_turn() {
        let fair = Fair::new(1, 1, 3);
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
        let fair = Fair::new(1, 1, 9);
        let first = fair.seat("a").await.unwrap();
        let mut gone = Box::pin(fair.seat("b"));
        assert!(futures::poll!(gone.as_mut()).is_pending());
        drop(gone);
        drop(first);
        assert_eq!(fair.inner.lock().free, 1);
    }

    #[tokio::test]
    async fn one_user_never_holds_every_seat() {
        let fair = Fair::new(3, 2, 9);
        let (first, _second) = (fair.seat("slow").await.unwrap(), fair.seat("slow").await.unwrap());
        let mut third = Box::pin(fair.seat("slow"));
        assert!(futures::poll!(third.as_mut()).is_pending());
        let other = fair.seat("other").await.unwrap();
        drop(other);
        assert!(futures::poll!(third.as_mut()).is_pending(), "a free seat is not for who holds a share");
        drop(first);
        assert!(third.await.is_ok());
    }
}
