//! Numeric constants as Go's `strconv` and `text/template/parse` read them.

use std::rc::Rc;

use crate::gofmt::quote;

/// A constant, as each type that can hold it.
#[derive(Clone, Debug)]
pub(super) struct Number {
    pub(super) text: Rc<str>,
    pub(super) int: Option<i64>,
    pub(super) float: Option<f64>,
    pub(super) complex: Option<(f64, f64)>,
}

impl Number {
    /// Reads the text of a number token, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut number = Number { text: text.into(), int: None, float: None, complex: None };
        if let Some(parts) = text.strip_suffix('i') {
            number.complex = Some(complex(parts).ok_or_else(|| format!("illegal number syntax: {}", quote(text)))?);
            return Ok(number);
        }
        match parse_integer(text) {
            Some(integer) => {
                number.int = i64::try_from(integer).ok();
                number.float = Some(integer as f64);
                // One that fits no integer type at all is no constant.
                if number.int.is_none() && u64::try_from(integer).is_err() {
                    return Err(format!("integer overflow: {}", quote(text)));
                }
            }
            None => {
                number.float = parse_float(text);
                let Some(float) = number.float else {
                    return Err(format!("illegal number syntax: {}", quote(text)));
                };
                if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                    return Err(format!("integer overflow: {}", quote(text)));
                }
                number.int = (float.fract() == 0.0 && float.abs() < 9.2e18).then_some(float as i64);
            }
        }
        Ok(number)
    }

    /// Returns the constant that a character stands for.
    pub(super) fn of_char(text: &str, c: char) -> Self {
        let code = i64::from(u32::from(c));
        Number { text: text.into(), int: Some(code), float: Some(code as f64), complex: None }
    }

    /// Returns whether the text by itself means a float.
    pub(super) fn looks_float(&self) -> bool {
        let hex = self.text.starts_with("0x") || self.text.starts_with("0X");
        let hex_int = hex && !self.text.contains(['p', 'P']);
        !hex_int && !self.text.starts_with('\'') && self.text.contains(['.', 'e', 'E', 'p', 'P'])
    }
}

fn complex(parts: &str) -> Option<(f64, f64)> {
    let split = parts
        .char_indices()
        .skip(1)
        .filter(|(at, c)| matches!(c, '+' | '-') && !matches!(parts.as_bytes()[at - 1], b'e' | b'E' | b'p' | b'P'));
    match split.last() {
        Some((at, _)) => Some((parse_float(&parts[..at])?, parse_float(&parts[at..])?)),
        None => Some((0.0, parse_float(parts)?)),
    }
}

/// Parses an integer as `strconv.ParseInt(text, 0, 64)`.
pub(crate) fn parse_int(text: &str) -> Option<i64> {
    parse_integer(text).and_then(|integer| i64::try_from(integer).ok())
}

fn parse_integer(text: &str) -> Option<i128> {
    if !underscores_separate_digits(text) {
        return None;
    }
    let (negative, body) = match text.strip_prefix(['+', '-']) {
        Some(body) => (text.starts_with('-'), body),
        None => (false, text),
    };
    let lower = body.to_ascii_lowercase();
    let (radix, digits) = if let Some(digits) = lower.strip_prefix("0x") {
        (16, digits)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (2, digits)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (8, digits)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    let digits = digits.replace('_', "");
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(&digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

/// Parses a float as `strconv.ParseFloat(text, 64)`.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    if !underscores_separate_digits(text) {
        return None;
    }
    let plain = text.replace('_', "").to_ascii_lowercase();
    let (negative, body) = match plain.strip_prefix(['+', '-']) {
        Some(body) => (plain.starts_with('-'), body),
        None => (false, plain.as_str()),
    };
    let value = match body.strip_prefix("0x") {
        Some(hex) => hex_float(hex)?,
        None => body
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite() || !body.starts_with(|c: char| c.is_ascii_digit()))?,
    };
    Some(if negative { -value } else { value })
}

fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0_f64;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    Some(value * 2.0_f64.powi(shift))
}

/// Go's rule: an underscore stands between digits, or between a base prefix and a digit.
fn underscores_separate_digits(text: &str) -> bool {
    if !text.contains('_') {
        return true;
    }
    let body = text.strip_prefix(['+', '-']).unwrap_or(text).as_bytes();
    let prefixed = matches!(body, [b'0', b'b' | b'B' | b'o' | b'O' | b'x' | b'X', ..]);
    let hex = matches!(body, [b'0', b'x' | b'X', ..]);
    // What stood before: a digit, an underscore, or something else.
    let mut before = if prefixed { b'0' } else { b'^' };
    for &byte in &body[if prefixed { 2 } else { 0 }..] {
        if byte.is_ascii_digit() || hex && byte.is_ascii_hexdigit() {
            before = b'0';
        } else if byte == b'_' {
            if before != b'0' {
                return false;
            }
            before = b'_';
        } else {
            if before == b'_' {
                return false;
            }
            before = b'!';
        }
    }
    before != b'_'
}
