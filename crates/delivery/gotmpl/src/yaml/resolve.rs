//! What a plain scalar means in YAML 1.1 as `go-yaml` v2 reads it.

use crate::{Value, template};

/// Returns the value of a plain scalar.
pub fn plain(text: &str) -> Value {
    let Some(&first) = text.as_bytes().first() else { return Value::Nil };
    match text {
        "~" | "null" | "Null" | "NULL" => return Value::Nil,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match first {
        b'.' => go_float(text).map_or_else(|| Value::str(text), Value::Float),
        b'+' | b'-' | b'0'..=b'9' => number(text).unwrap_or_else(|| Value::str(text)),
        _ => Value::str(text),
    }
}

/// Returns whether a plain scalar would be read back as this very text.
pub(super) fn reads_as_text(text: &str) -> bool {
    matches!(plain(text), Value::Str(_)) && !text.is_empty() && !is_timestamp(text)
}

fn number(text: &str) -> Option<Value> {
    if is_timestamp(text) {
        return None;
    }
    let plain = text.replace('_', "");
    if let Some(int) = template::parse_int(&plain) {
        return Some(Value::Int64(int));
    }
    if is_float(&plain) {
        return go_float(&plain).map(Value::Float);
    }
    // Whole numbers of more than 64 bits are kept as floats.
    if plain.bytes().all(|b| b.is_ascii_digit()) && plain.parse::<u64>().is_ok() {
        return plain.parse().ok().map(Value::Float);
    }
    None
}

/// Returns whether a text has the form of a float, which an integer has too:
/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`.
pub fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa_fits && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

fn go_float(text: &str) -> Option<f64> {
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    text.parse().ok().filter(|value: &f64| numeric && value.is_finite())
}

/// Returns whether `go-yaml` would take the text for a timestamp (it gives text back, but quotes it).
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || bytes[4] != b'-' || !bytes[..4].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let (date, rest) = match text[5..].find(['T', 't', ' ']) {
        Some(at) => (&text[5..5 + at], Some((&text[5 + at..=5 + at], &text[6 + at..]))),
        None => (&text[5..], None),
    };
    let part = |text: &str, max: u32, wide: std::ops::RangeInclusive<usize>| {
        wide.contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit())
            && text.parse::<u32>().is_ok_and(|value| value <= max)
    };
    let Some((month, day)) = date.split_once('-') else { return false };
    let real = text[..4].parse::<i16>().ok().zip(month.parse::<i8>().ok()).zip(day.parse::<i8>().ok());
    let date_fits = part(month, 12, 1..=2)
        && part(day, 31, 1..=2)
        && real.is_some_and(|((y, m), d)| jiff::civil::Date::new(y, m, d).is_ok());
    let Some((separator, time)) = rest else { return date_fits };
    let (clock, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => (&time[..at], &time[at..]),
        None => (time, ""),
    };
    let zone_fits = match (separator, zone) {
        (" ", zone) => zone.is_empty(),
        (_, "Z") => true,
        (_, zone) => zone.len() == 6 && zone.as_bytes()[3] == b':',
    };
    let clock = clock
        .split_once('.')
        .map_or(clock, |(clock, fraction)| if fraction.bytes().all(|b| b.is_ascii_digit()) { clock } else { "" });
    let parts: Vec<&str> = clock.split(':').collect();
    date_fits
        && zone_fits
        && matches!(parts.as_slice(), [h, m, s] if part(h, 23, 1..=2) && part(m, 59, 1..=2) && part(s, 59, 1..=2))
}
