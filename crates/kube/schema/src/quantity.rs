//! Kubernetes quantities (`250m`, `64Mi`, `1e3`): exact values, compared and written the
//! one way that Kubernetes writes them. Nothing here is rounded but what lies below a
//! thousand-millionth, which Kubernetes rounds up.

use std::fmt;

/// How many units make one: values are counted in thousand-millionths.
const ONE: i128 = 1_000_000_000;

/// How a quantity was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Binary,
    Decimal,
    Exponent,
}

/// A quantity.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nano: i128,
    form: Form,
}

const DECIMAL: &[(&str, i32)] =
    &[("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: &[&str] = &["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl Quantity {
    /// Reads a quantity; `None` if the text is none.
    pub fn parse(text: &str) -> Option<Quantity> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        let (form, factor) = scale(suffix)?;
        let digits = format!("{whole}{fraction}");
        let mantissa: i128 = if digits.len() > 30 { return None } else { digits.parse().ok()? };
        let divisor = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let (up, down) = factor;
        let top = mantissa.checked_mul(up)?;
        let bottom = divisor.checked_mul(down)?;
        let nano = top / bottom + i128::from(top % bottom != 0);
        let nano = nano.min(i128::from(i64::MAX) * ONE);
        Some(Quantity { nano: if negative { -nano } else { nano }, form })
    }

    /// Returns a quantity of so many whole units.
    pub fn of(units: i64) -> Quantity {
        Quantity { nano: i128::from(units) * ONE, form: Form::Decimal }
    }

    /// Returns the sum in the first one's form, if it can be told.
    pub fn plus(self, other: Quantity) -> Option<Quantity> {
        self.nano.checked_add(other.nano).map(|nano| Quantity { nano, ..self })
    }

    /// Returns the difference in the first one's form, if it can be told.
    pub fn minus(self, other: Quantity) -> Option<Quantity> {
        self.nano.checked_sub(other.nano).map(|nano| Quantity { nano, ..self })
    }

    /// Returns the number, if it is whole and fits.
    pub fn integer(self) -> Option<i64> {
        if self.is_whole() { i64::try_from(self.nano / ONE).ok() } else { None }
    }

    /// Returns the number as nearly as a float can tell.
    pub fn float(self) -> f64 {
        self.nano as f64 / ONE as f64
    }

    /// Returns the value rounded up to a whole number.
    pub fn whole(self) -> i64 {
        i64::try_from(self.nano.div_euclid(ONE) + i128::from(self.nano.rem_euclid(ONE) > 0)).unwrap_or(i64::MAX)
    }

    /// Returns the value in thousandths, rounded up.
    pub fn milli(self) -> i128 {
        let unit = ONE / 1000;
        self.nano.div_euclid(unit) + i128::from(self.nano.rem_euclid(unit) > 0)
    }

    /// Returns the value rounded up to thousandths.
    #[must_use]
    pub fn in_thousandths(self) -> Quantity {
        Quantity { nano: self.milli() * (ONE / 1000), ..self }
    }

    /// Returns whether the value is a whole number.
    pub fn is_whole(self) -> bool {
        self.nano % ONE == 0
    }

    /// Returns the quantity of one.
    pub fn one() -> Quantity {
        Quantity { nano: ONE, form: Form::Decimal }
    }

    /// Returns -1, 0 or 1.
    pub fn sign(self) -> i128 {
        self.nano.signum()
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nano.cmp(&other.nano)
    }
}

/// Returns how a suffix writes, and what a number before it is multiplied with and divided by.
fn scale(suffix: &str) -> Option<(Form, (i128, i128))> {
    if let Some(power) = BINARY.iter().skip(1).position(|known| *known == suffix) {
        return Some((Form::Binary, (ONE << (10 * (power + 1)), 1)));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(known, _)| *known == suffix) {
        return Some((Form::Decimal, tens(*power)?));
    }
    let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((Form::Exponent, tens(power)?))
}

fn tens(power: i32) -> Option<(i128, i128)> {
    let power = power.checked_add(9)?;
    if power >= 0 {
        Some((10_i128.checked_pow(u32::try_from(power).ok()?)?, 1))
    } else {
        Some((1, 10_i128.checked_pow(u32::try_from(power.checked_neg()?).ok()?)?))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        if self.form == Form::Binary && self.is_whole() && self.nano.abs() >= 1024 * ONE {
            let (mut value, mut power) = (self.nano / ONE, 0);
            while value % 1024 == 0 && power + 1 < BINARY.len() {
                value /= 1024;
                power += 1;
            }
            return write!(f, "{value}{}", BINARY[power]);
        }
        let (mut value, mut power) = (self.nano, 0);
        while value % 1000 == 0 && power + 1 < DECIMAL.len() {
            value /= 1000;
            power += 1;
        }
        let (suffix, exponent) = DECIMAL[power];
        match self.form {
            Form::Exponent if exponent == 0 => write!(f, "{value}"),
            Form::Exponent => write!(f, "{value}e{exponent}"),
            _ => write!(f, "{value}{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        Quantity::parse(text).map_or_else(|| "-".to_owned(), |quantity| quantity.to_string())
    }

    #[test]
    fn quantities_are_written_as_kubernetes_writes_them() {
        for (text, expected) in [
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("0.5Ki", "512"),
            ("100000", "100k"),
            ("128974848", "128974848"),
            ("1e3", "1e3"),
            ("12E6", "12e6"),
            ("0", "0"),
            ("-250m", "-250m"),
            ("0.0000000001", "1n"),
            ("", "-"),
            ("1Xi", "-"),
            ("1.2.3", "-"),
            (".", "-"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(number in 0_i64..1_000_000_000, suffix in "(|m|k|M|G|Ki|Mi|Gi|e3)") {
            let one = Quantity::parse(&format!("{number}{suffix}")).unwrap();
            let two = Quantity::parse(&one.to_string()).unwrap();
            prop_assert_eq!(one, two);
            prop_assert_eq!(one.to_string(), two.to_string());
        }
    }
}
