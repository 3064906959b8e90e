//! How much an expression can cost at most, before it is ever evaluated.
//!
//! Kubernetes refuses the definition of a rule that could become too dear. The figures are
//! those of its API server: what is declared of a schema bounds the size of every value,
//! and each operation costs by the sizes of what it goes through. It is a bound from above
//! of a model, not of [`crate::Program::eval`]'s own count.

mod bounds;
mod calls;
mod estimate;
mod steps;
mod terms;

pub use bounds::Bound;
pub(crate) use estimate::most;

/// The estimated cost that one rule of a definition may have.
pub const RULE_LIMIT: u64 = 10_000_000;

/// The estimated cost that all rules of a definition may have together.
pub const DEFINITION_LIMIT: u64 = 100_000_000;

/// The largest request that an object can come in, in bytes.
const MAX_REQUEST: u64 = 3 * 1024 * 1024;

/// Of a text's length, the part that going through it costs.
const TRAVERSAL: f64 = 0.1;
/// Of a pattern's length, the part that applying it costs.
const PATTERN: f64 = 0.25;
const NEW_LIST: u64 = 10;
const NEW_MAP: u64 = 30;
const NEW_OBJECT: u64 = 40;

/// How many characters, bytes or items a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    least: u64,
    most: u64,
}

impl Size {
    const UNKNOWN: Size = Size { least: 0, most: u64::MAX };

    fn exactly(size: u64) -> Size {
        Size { least: size, most: size }
    }

    fn plus(self, other: Size) -> Size {
        Size { least: self.least.saturating_add(other.least), most: self.most.saturating_add(other.most) }
    }

    fn times(self, other: Size) -> Size {
        Size { least: self.least.saturating_mul(other.least), most: self.most.saturating_mul(other.most) }
    }

    fn or(self, other: Size) -> Size {
        Size { least: self.least.min(other.least), most: self.most.max(other.most) }
    }

    /// Returns what going through it costs at most.
    fn by(self, factor: f64) -> u64 {
        scaled(self.most, factor)
    }
}

/// Multiplies, rounding up; what is too large is the largest number.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the model counts in floating point numbers, and a cast saturates"
)]
fn scaled(amount: u64, factor: f64) -> u64 {
    (amount as f64 * factor).ceil() as u64
}

/// Says that an estimate is above its limit, as Kubernetes does.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a factor is told with one digit")]
pub fn exceeds(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}
