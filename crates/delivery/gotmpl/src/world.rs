//! What a render is told of the world: the time, randomness, the objects of a cluster, how far it may go.

use std::{cell::RefCell, fmt, rc::Rc};

use jiff::Zoned;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};

use crate::{Limits, Value};

/// Finds objects for `lookup`: API version, kind, namespace, name (empty: a list); nothing found is an empty map.
pub type Lookup = Rc<dyn Fn(&str, &str, &str, &str) -> Result<Value, String>>;

/// What a render is told of the world. The same world and the same input give the same output.
#[derive(Clone)]
pub struct World {
    /// What `now` answers; its zone is the local one.
    pub now: Zoned,
    /// How far one render may go.
    pub limits: Limits,
    /// What `lookup` asks; without one, nothing is found.
    pub lookup: Option<Lookup>,
    random: RefCell<ChaCha20Rng>,
}

impl World {
    /// Returns a world at a time, whose random numbers follow from a seed.
    pub fn new(now: Zoned, seed: [u8; 32]) -> Self {
        let random = RefCell::new(ChaCha20Rng::from_seed(seed));
        Self { now, limits: Limits::default(), lookup: None, random }
    }

    /// Returns the same world with other limits.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Fills `bytes` at random.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.random.borrow_mut().fill_bytes(bytes);
    }

    /// Returns a random number below `bound`, which is not 0.
    pub fn below(&self, bound: u64) -> u64 {
        // The part of the range that would favour small numbers is drawn again.
        let zone = u64::MAX - u64::MAX % bound;
        loop {
            let drawn = self.random.borrow_mut().next_u64();
            if drawn < zone {
                return drawn % bound;
            }
        }
    }

    pub(crate) fn with_random<T>(&self, work: impl FnOnce(&mut ChaCha20Rng) -> T) -> T {
        work(&mut self.random.borrow_mut())
    }
}

/// The first second of 1970, and always the same random numbers.
impl Default for World {
    fn default() -> Self {
        Self::new(jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC), [0; 32])
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("now", &self.now).field("limits", &self.limits).finish_non_exhaustive()
    }
}
