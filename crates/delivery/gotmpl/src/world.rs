//! What a render is told of the world: the time, randomness, the objects of a cluster, how far it may go.

use std::{cell::RefCell, fmt, rc::Rc};

use jiff::{Zoned, tz::TimeZone};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng as _},
};

use crate::{Limits, Value};

/// Finds objects for `lookup`: API version, kind, namespace, name (empty: a list); nothing found is an empty map.
pub type Lookup = Rc<dyn Fn(&str, &str, &str, &str) -> Result<Value, String>>;

/// What a render is told of the world. The same world and the same input give the same output.
#[derive(Clone)]
pub struct World {
    /// What `now` answers; its zone is the local one. Without it, whoever asks for the time is refused.
    pub now: Option<Zoned>,
    /// How far one render may go.
    pub limits: Limits,
    /// What `lookup` asks; without one, nothing is found.
    pub lookup: Option<Lookup>,
    random: Option<RefCell<ChaCha20Rng>>,
}

/// What is said to a template that asks for what its world has not.
const NO_TIME: &str = "this render has to give the same answer twice, so it is not told the time";
const NO_RANDOM: &str =
    "this render has to give the same answer twice, so nothing random is drawn; give the value in the values";

impl World {
    /// Returns a world at a time, whose random numbers follow from a seed.
    pub fn new(now: Zoned, seed: [u8; 32]) -> Self {
        let random = Some(RefCell::new(ChaCha20Rng::from_seed(seed)));
        Self { now: Some(now), limits: Limits::default(), lookup: None, random }
    }

    /// Returns a world without time and chance: templates that ask for either are refused.
    pub fn still() -> Self {
        Self { now: None, limits: Limits::default(), lookup: None, random: None }
    }

    /// Returns the time.
    pub(crate) fn time(&self) -> Result<Zoned, String> {
        self.now.clone().ok_or_else(|| NO_TIME.to_owned())
    }

    /// Returns the local zone; UTC where nobody said another.
    pub(crate) fn zone(&self) -> TimeZone {
        self.now.as_ref().map_or(TimeZone::UTC, |now| now.time_zone().clone())
    }

    /// Refuses what asks for chance where there is none.
    pub(crate) fn check_random(&self) -> Result<(), String> {
        self.random.as_ref().map(|_| ()).ok_or_else(|| NO_RANDOM.to_owned())
    }

    /// Returns the same world with other limits.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Fills `bytes` at random.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.with_random(|random| random.fill_bytes(bytes));
    }

    /// Returns a random number below `bound`, which is not 0.
    pub fn below(&self, bound: u64) -> u64 {
        // The part of the range that would favour small numbers is drawn again.
        let zone = u64::MAX - u64::MAX % bound;
        loop {
            let drawn = self.with_random(RngCore::next_u64);
            if drawn < zone {
                return drawn % bound;
            }
        }
    }

    pub(crate) fn with_random<T>(&self, work: impl FnOnce(&mut ChaCha20Rng) -> T) -> T {
        match &self.random {
            Some(random) => work(&mut random.borrow_mut()),
            // Nobody comes here: what draws is refused before it does.
            None => work(&mut ChaCha20Rng::from_seed([0; 32])),
        }
    }
}

/// The first second of 1970, and always the same random numbers.
impl Default for World {
    fn default() -> Self {
        Self::new(jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC), [0; 32])
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("now", &self.now).field("limits", &self.limits).finish_non_exhaustive()
    }
}
