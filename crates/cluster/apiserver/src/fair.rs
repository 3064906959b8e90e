//! How many requests are worked on at once, and whose is next. The seats are divided among
//! the priority levels; a level that has nothing to do lends what it may lend, and keeps the
//! rest. Within a level flows wait in queues that are served in turn, so that a flood of one
//! client's requests leaves the others their share.
//!
//! Which level and flow a request belongs to is decided in [`crate::flow`].

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Requests that are worked on at once, those of exempt levels aside.
pub(crate) const SEATS: usize = 400;

/// What a priority level may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Its requests wait for nobody and take no seat.
    pub exempt: bool,
    /// Its share of the seats.
    pub nominal: usize,
    /// How many of them others may hold while it has nothing to do.
    pub lendable: usize,
    /// How many it may hold beyond its share; as many as there are, if nothing is said.
    pub borrowable: Option<usize>,
    /// Where requests wait; if nowhere, they are refused.
    pub queuing: Option<Queuing>,
}

/// The queues of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queuing {
    pub queues: usize,
    /// How many of the queues one flow is dealt; it waits in the shortest.
    pub hand: usize,
    /// How many requests wait in one queue.
    pub length: usize,
}

impl Limits {
    /// How many seats it holds at most.
    fn most(&self, seats: usize) -> usize {
        self.borrowable.map_or(seats, |more| self.nominal + more).min(seats).max(1)
    }

    /// How many seats of one flow are held at most: who sends bodies that never end holds no more.
    fn of_one(&self, seats: usize) -> usize {
        self.most(seats).div_ceil(4)
    }

    /// How many seats nobody else may take.
    fn kept(&self) -> usize {
        self.nominal - self.lendable
    }
}

/// The seats and who waits for one.
#[derive(Clone)]
pub(crate) struct Fair {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    seats: usize,
    levels: BTreeMap<String, Level>,
}

#[derive(Default)]
struct Level {
    limits: Limits,
    held: usize,
    /// Seats that each flow holds.
    flows: HashMap<u64, usize>,
    queues: Vec<VecDeque<Waiter>>,
    /// The queue whose turn it is.
    turn: usize,
}

struct Waiter {
    flow: u64,
    give: oneshot::Sender<Seat>,
}

/// A place among those that are worked on; the next gets it when it is dropped.
pub(crate) struct Seat {
    inner: Arc<Mutex<Inner>>,
    level: String,
    flow: u64,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// Too many wait already.
    Queue,
    /// The level lets nobody wait.
    Level,
}

/// What a level does at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub level: String,
    pub nominal: usize,
    pub held: usize,
    pub waiting: usize,
}

impl Default for Fair {
    fn default() -> Fair {
        Fair::new(SEATS)
    }
}

impl Fair {
    fn new(seats: usize) -> Fair {
        Fair { inner: Arc::new(Mutex::new(Inner { seats, levels: BTreeMap::new() })) }
    }

    /// Divides the seats anew. Who holds a seat or waits for one stays; a level that is gone
    /// ends when nobody does.
    pub(crate) fn divide(&self, limits: &BTreeMap<String, Limits>) {
        let given = {
            let mut inner = self.inner.lock();
            inner.levels.retain(|name, level| limits.contains_key(name) || level.held > 0 || level.waits() > 0);
            for (name, limits) in limits {
                inner.levels.entry(name.clone()).or_default().limit(limits.clone());
            }
            inner.give(&self.inner)
        };
        hand_over(given);
    }

    /// Returns a seat once it is this flow's turn; none is needed at an exempt level.
    pub(crate) async fn seat(&self, level: &str, flow: u64) -> Result<Option<Seat>, Full> {
        let wait = {
            let mut inner = self.inner.lock();
            let seats = inner.seats;
            let free = inner.free_for(level);
            let Some(own) = inner.levels.get_mut(level) else { return Ok(None) };
            if own.limits.exempt {
                return Ok(None);
            }
            if free && own.held_by(flow) < own.limits.of_one(seats) {
                own.take(flow);
                return Ok(Some(Seat { inner: self.inner.clone(), level: level.to_owned(), flow }));
            }
            own.wait(flow)?
        };
        wait.await.map(Some).map_err(|_| Full::Queue)
    }

    /// Returns what each level does.
    pub(crate) fn figures(&self) -> Vec<Figures> {
        let inner = self.inner.lock();
        let figures = inner.levels.iter().map(|(name, level)| Figures {
            level: name.clone(),
            nominal: level.limits.nominal,
            held: level.held,
            waiting: level.waits(),
        });
        figures.collect()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let given = {
            let mut inner = self.inner.lock();
            if let Some(level) = inner.levels.get_mut(&self.level) {
                level.leave(self.flow);
            }
            inner.give(&self.inner)
        };
        hand_over(given);
    }
}

/// Gives seats to those whose turn it is. Who no longer waits drops the seat, which goes to the one after.
fn hand_over(given: Vec<(oneshot::Sender<Seat>, Seat)>) {
    for (give, seat) in given {
        drop(give.send(seat));
    }
}

impl Inner {
    /// Returns whether a level may take a seat: one that is free, and that no other level keeps for itself.
    fn free_for(&self, name: &str) -> bool {
        let Some(level) = self.levels.get(name) else { return false };
        if level.held >= level.limits.most(self.seats) {
            return false;
        }
        let held: usize = self.levels.values().map(|level| level.held).sum();
        let others = self.levels.iter().filter(|(other, _)| *other != name);
        let kept: usize = others.map(|(_, other)| other.limits.kept().saturating_sub(other.held)).sum();
        // A level's own part is there for it, however the shares were rounded.
        held + kept < self.seats || level.held < level.limits.kept().max(1)
    }

    /// Takes those from their queues who may have a seat now: levels that hold the least of their share come first.
    fn give(&mut self, shared: &Arc<Mutex<Inner>>) -> Vec<(oneshot::Sender<Seat>, Seat)> {
        let mut given = Vec::new();
        loop {
            let mut waiting: Vec<(usize, String)> = self
                .levels
                .iter()
                .filter(|(_, level)| level.waits() > 0)
                .map(|(name, level)| (level.held * 1000 / level.limits.nominal.max(1), name.clone()))
                .collect();
            waiting.sort();
            let seats = self.seats;
            let next = waiting.into_iter().find_map(|(_, name)| {
                if !self.free_for(&name) {
                    return None;
                }
                let waiter = self.levels.get_mut(&name)?.next(seats)?;
                Some((name, waiter))
            });
            let Some((level, waiter)) = next else { return given };
            given.push((waiter.give, Seat { inner: shared.clone(), level, flow: waiter.flow }));
        }
    }
}

impl Level {
    fn limit(&mut self, limits: Limits) {
        let queues = limits.queuing.map_or(0, |queuing| queuing.queues);
        // Those who wait in a queue that is no longer there wait in another.
        let moved: Vec<Waiter> =
            if queues < self.queues.len() { self.queues.drain(queues..).flatten().collect() } else { Vec::new() };
        if queues > 0 {
            self.queues.resize_with(queues, VecDeque::new);
        } else if !moved.is_empty() {
            self.queues.push(VecDeque::new());
        }
        if let Some(first) = self.queues.first_mut() {
            first.extend(moved);
        }
        self.limits = limits;
    }

    fn held_by(&self, flow: u64) -> usize {
        self.flows.get(&flow).copied().unwrap_or_default()
    }

    fn take(&mut self, flow: u64) {
        self.held += 1;
        *self.flows.entry(flow).or_default() += 1;
    }

    fn leave(&mut self, flow: u64) {
        self.held -= 1;
        if let Some(held) = self.flows.get_mut(&flow) {
            *held -= 1;
            if *held == 0 {
                self.flows.remove(&flow);
            }
        }
    }

    fn waits(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    /// Lets a flow wait in the shortest of the queues that it is dealt.
    fn wait(&mut self, flow: u64) -> Result<oneshot::Receiver<Seat>, Full> {
        let Some(queuing) = self.limits.queuing else { return Err(Full::Level) };
        for queue in &mut self.queues {
            queue.retain(|waiter| !waiter.give.is_closed());
        }
        let hand = deal(flow, self.queues.len(), queuing.hand);
        let shortest = hand.into_iter().min_by_key(|index| self.queues[*index].len()).ok_or(Full::Level)?;
        let queue = &mut self.queues[shortest];
        if queue.len() >= queuing.length {
            return Err(Full::Queue);
        }
        let (give, wait) = oneshot::channel();
        queue.push_back(Waiter { flow, give });
        Ok(wait)
    }

    /// Takes who is next: the queues in turn, without those whose first holds its share already.
    fn next(&mut self, seats: usize) -> Option<Waiter> {
        let of_one = self.limits.of_one(seats);
        for step in 0..self.queues.len() {
            let index = (self.turn + step) % self.queues.len();
            let may = self.queues[index].front().is_some_and(|first| self.held_by(first.flow) < of_one);
            if may && let Some(waiter) = self.queues[index].pop_front() {
                self.turn = index + 1;
                self.take(waiter.flow);
                return Some(waiter);
            }
        }
        None
    }
}

/// Returns the queues that a flow is dealt: different ones, the same each time.
fn deal(flow: u64, queues: usize, hand: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..queues).collect();
    let mut rest = flow;
    let mut dealt = Vec::new();
    for _ in 0..hand.min(queues) {
        let among = left.len() as u64;
        dealt.push(left.remove((rest % among) as usize));
        rest /= among;
    }
    dealt
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream::FuturesUnordered};

    use super::*;

    fn level(nominal: usize, lendable: usize) -> Limits {
        let queuing = Some(Queuing { queues: 8, hand: 1, length: 3 });
        Limits { nominal, lendable, queuing, ..Limits::default() }
    }

    fn fair(seats: usize, levels: &[(&str, Limits)]) -> Fair {
        let fair = Fair::new(seats);
        fair.divide(&levels.iter().map(|(name, limits)| ((*name).to_owned(), limits.clone())).collect());
        fair
    }

    async fn take(fair: &Fair, level: &str, flow: u64) -> Seat {
        fair.seat(level, flow).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_flood_leaves_others_their_turn() {
        let fair = fair(1, &[("a", level(1, 0))]);
        let first = take(&fair, "a", 1).await;
        let mut order = FuturesUnordered::new();
        for (flow, index) in [(1, 1), (1, 2), (1, 3), (2, 1)] {
            let fair = fair.clone();
            order.push(async move { (flow, index, fair.seat("a", flow).await.is_ok()) });
        }
        // Each asks before the first seat is free.
        let mut done = Vec::new();
        assert!(futures::poll!(order.next()).is_pending());
        assert_eq!(fair.seat("a", 1).await.err(), Some(Full::Queue), "a flow's queue is bounded");
        assert_eq!(fair.figures()[0].waiting, 4);
        drop(first);
        while let Some((flow, index, seated)) = order.next().await {
            assert!(seated);
            done.push(format!("{flow}-{index}"));
        }
        assert_eq!(done, ["1-1", "2-1", "1-2", "1-3"]);
        assert_eq!(fair.figures()[0].held, 0);
    }

    #[tokio::test]
    async fn who_no_longer_waits_takes_no_seat() {
        let fair = fair(1, &[("a", level(1, 0))]);
        let first = take(&fair, "a", 1).await;
        let mut gone = Box::pin(fair.seat("a", 2));
        assert!(futures::poll!(gone.as_mut()).is_pending());
        drop(gone);
        drop(first);
        assert_eq!(fair.figures()[0].held, 0);
        take(&fair, "a", 3).await;
    }

    #[tokio::test]
    async fn one_flow_never_holds_every_seat() {
        let fair = fair(8, &[("a", level(8, 0))]);
        let (first, _second) = (take(&fair, "a", 1).await, take(&fair, "a", 1).await);
        let mut third = Box::pin(fair.seat("a", 1));
        assert!(futures::poll!(third.as_mut()).is_pending());
        drop(take(&fair, "a", 2).await);
        assert!(futures::poll!(third.as_mut()).is_pending(), "a free seat is not for who holds a share");
        drop(first);
        assert!(third.await.is_ok());
    }

    #[tokio::test]
    async fn a_level_lends_what_it_may_and_keeps_the_rest() {
        let fair = fair(8, &[("busy", level(4, 0)), ("idle", level(4, 2))]);
        let mut held = Vec::new();
        for flow in 0..6 {
            held.push(take(&fair, "busy", flow).await);
        }
        let mut more = Box::pin(fair.seat("busy", 9));
        assert!(futures::poll!(more.as_mut()).is_pending(), "two seats are kept for the other level");
        let _own = (take(&fair, "idle", 1).await, take(&fair, "idle", 2).await);
        let mut third = Box::pin(fair.seat("idle", 3));
        assert!(futures::poll!(third.as_mut()).is_pending(), "what it lent it gets when it is given back");
        held.pop();
        assert!(futures::poll!(third.as_mut()).is_ready(), "and before the level that holds more than its share");
    }

    #[tokio::test]
    async fn a_level_borrows_no_more_than_it_may() {
        let limits = Limits { borrowable: Some(1), queuing: None, ..level(1, 0) };
        let fair = fair(8, &[("a", limits), ("b", level(7, 7))]);
        let _both = (take(&fair, "a", 1).await, take(&fair, "a", 2).await);
        assert_eq!(fair.seat("a", 3).await.err(), Some(Full::Level), "it lets nobody wait");
    }

    #[tokio::test]
    async fn an_exempt_level_takes_no_seats_and_waits_for_none() {
        let fair = fair(1, &[("exempt", Limits { exempt: true, ..level(0, 0) }), ("a", level(1, 0))]);
        let _all = take(&fair, "a", 1).await;
        assert!(fair.seat("exempt", 1).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn who_waits_stays_when_the_seats_are_divided_anew() {
        let fair = fair(1, &[("a", level(1, 0))]);
        let first = take(&fair, "a", 1).await;
        let mut second = Box::pin(fair.seat("a", 2));
        assert!(futures::poll!(second.as_mut()).is_pending());
        let fewer = Limits { queuing: Some(Queuing { queues: 1, hand: 1, length: 1 }), ..level(1, 0) };
        fair.divide(&BTreeMap::from([("a".to_owned(), fewer)]));
        drop(first);
        drop(second.await.unwrap());
        fair.divide(&BTreeMap::new());
        assert!(fair.figures().is_empty());
    }

    #[test]
    fn a_flow_is_dealt_different_queues() {
        for flow in [0, 7, 12_345, u64::MAX] {
            let mut hand = deal(flow, 64, 6);
            assert_eq!(hand, deal(flow, 64, 6));
            hand.sort_unstable();
            hand.dedup();
            assert_eq!(hand.len(), 6);
            assert!(hand.iter().all(|queue| *queue < 64));
        }
        assert_eq!(deal(5, 2, 6).len(), 2);
    }
}
