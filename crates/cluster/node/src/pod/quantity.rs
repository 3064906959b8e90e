//! Kubernetes quantities (`250m`, `64Mi`) as numbers. It never rounds down to zero what is not zero.

/// Returns the value in thousandths, or `None` if the text is not a quantity.
pub(crate) fn milli(text: &str) -> Option<i64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    // `1e3` and `1E3` are numbers; `1E` and `1Ei` are suffixes.
    let exponent =
        text[at..].starts_with(['e', 'E']) && text[at + 1..].starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let (number, suffix) = if exponent { (text, "") } else { text.split_at(at) };
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "n" => 1e-6,
        "u" => 1e-3,
        "m" => 1.0,
        "" => 1e3,
        "k" => 1e6,
        "M" => 1e9,
        "G" => 1e12,
        "T" => 1e15,
        "P" => 1e18,
        "Ki" => 1024.0 * 1e3,
        "Mi" => 1024f64.powi(2) * 1e3,
        "Gi" => 1024f64.powi(3) * 1e3,
        "Ti" => 1024f64.powi(4) * 1e3,
        "Pi" => 1024f64.powi(5) * 1e3,
        _ => return None,
    };
    Some((number * factor).ceil() as i64)
}

/// Returns the value rounded up to a whole number.
pub(crate) fn whole(text: &str) -> Option<i64> {
    milli(text).map(|milli| milli.div_euclid(1000) + i64::from(milli.rem_euclid(1000) > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_numbers() {
        for (text, expected) in [
            ("250m", Some(250)),
            ("1", Some(1000)),
            ("0.1", Some(100)),
            ("64Mi", Some(67_108_864_000)),
            ("1e3", Some(1_000_000)),
            ("1k", Some(1_000_000)),
            ("100n", Some(1)),
            ("", None),
            ("x", None),
            ("1Xi", None),
        ] {
            assert_eq!(milli(text), expected, "{text}");
        }
        assert_eq!(whole("100m"), Some(1));
    }
}
