//! Resource quantities (`100m`, `1.5Gi`) as exact numbers.

use std::cmp::Ordering;

/// An exact number of nano-units.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
}

const NANO: i128 = 1_000_000_000;

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Quantity {
    /// Returns a quantity of whole units.
    pub fn whole(units: i64) -> Quantity {
        Quantity { nanos: i128::from(units) * NANO }
    }

    /// Reads a quantity. What is finer than a nano-unit is rounded up, as Kubernetes does.
    pub fn parse(text: &str) -> Option<Quantity> {
        let (sign, rest) = match text.as_bytes().first()? {
            b'-' => (-1, &text[1..]),
            b'+' => (1, &text[1..]),
            _ => (1, text),
        };
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 60 {
            return None;
        }
        // value = digits × 10^(−fraction) × factor, in nano-units.
        let digits: i128 = format!("{whole}{fraction}")
            .trim_start_matches('0')
            .parse()
            .or_else(|error| if number.bytes().all(|byte| matches!(byte, b'0' | b'.')) { Ok(0) } else { Err(error) })
            .ok()?;
        let scale = i32::try_from(fraction.len()).ok()?;
        let (factor, exponent): (i128, i32) = match suffix {
            "" => (1, 0),
            "n" => (1, -9),
            "u" => (1, -6),
            "m" => (1, -3),
            "k" => (1, 3),
            "M" => (1, 6),
            "G" => (1, 9),
            "T" => (1, 12),
            "P" => (1, 15),
            "E" => (1, 18),
            "Ki" => (1 << 10, 0),
            "Mi" => (1 << 20, 0),
            "Gi" => (1 << 30, 0),
            "Ti" => (1 << 40, 0),
            "Pi" => (1 << 50, 0),
            "Ei" => (1 << 60, 0),
            _ => {
                let exponent = suffix.strip_prefix(['e', 'E'])?;
                (1, exponent.parse().ok().filter(|exponent: &i32| exponent.abs() < 60)?)
            }
        };
        let power = exponent - scale + 9;
        let value = digits.checked_mul(factor)?;
        let nanos = if power >= 0 {
            value.checked_mul(10_i128.checked_pow(u32::try_from(power).ok()?)?)?
        } else {
            match 10_i128.checked_pow(power.unsigned_abs()) {
                Some(divisor) => value / divisor + i128::from(value % divisor != 0),
                None => i128::from(value != 0),
            }
        };
        Some(Quantity { nanos: sign * nanos })
    }

    /// Returns −1, 0 or 1.
    pub fn sign(self) -> i64 {
        self.nanos.signum() as i64
    }

    /// Returns the sum, if it can be told.
    pub fn plus(self, other: Quantity) -> Option<Quantity> {
        self.nanos.checked_add(other.nanos).map(|nanos| Quantity { nanos })
    }

    /// Returns the difference, if it can be told.
    pub fn minus(self, other: Quantity) -> Option<Quantity> {
        self.nanos.checked_sub(other.nanos).map(|nanos| Quantity { nanos })
    }

    /// Returns the number, if it is whole and fits.
    pub fn integer(self) -> Option<i64> {
        if self.nanos % NANO == 0 { i64::try_from(self.nanos / NANO).ok() } else { None }
    }

    /// Returns the number as nearly as a float can tell.
    pub fn float(self) -> f64 {
        self.nanos as f64 / NANO as f64
    }

    /// Returns how many times `other` goes into it, or nothing for a part of nothing.
    pub fn ratio(self, other: Quantity) -> Option<f64> {
        if other.nanos == 0 { None } else { Some(self.nanos as f64 / other.nanos as f64) }
    }

    /// Writes it as Kubernetes does for sums in the notation of `like`: binary suffixes stay binary.
    pub fn format_like(self, like: &str) -> String {
        if like.ends_with('i') && self.nanos % NANO == 0 {
            let whole = self.nanos / NANO;
            for (suffix, shift) in [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)] {
                let unit = 1_i128 << shift;
                if whole != 0 && whole % unit == 0 {
                    return format!("{}{suffix}", whole / unit);
                }
            }
            return whole.to_string();
        }
        self.to_string()
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let units: [(&str, u32); 10] =
            [("E", 27), ("P", 24), ("T", 21), ("G", 18), ("M", 15), ("k", 12), ("", 9), ("m", 6), ("u", 3), ("n", 0)];
        for (suffix, power) in units {
            let unit = 10_i128.pow(power);
            if self.nanos % unit == 0 {
                return write!(f, "{}{suffix}", self.nanos / unit);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Quantity;

    #[test]
    fn quantities_are_read_exactly_and_written_shortest() {
        for (text, shown) in [
            ("100m", "100m"),
            ("0.1", "100m"),
            ("1.5Gi", "1610612736"),
            ("1e3", "1k"),
            ("12345678901234567890", "12345678901234567890"),
            ("-2k", "-2k"),
            (".5", "500m"),
            ("0", "0"),
            ("0.0000000001", "1n"),
            ("1E", "1E"),
        ] {
            assert_eq!(Quantity::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for text in ["", "1.2.3", "Ki", "1ki", "-", "1 ", "0x1", "."] {
            assert!(Quantity::parse(text).is_none(), "{text}");
        }
        assert_eq!(
            Quantity::parse("3Gi").unwrap().minus(Quantity::parse("1Gi").unwrap()).unwrap().format_like("1Gi"),
            "2Gi"
        );
    }
}
