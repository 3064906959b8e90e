//! What a plain scalar is to go-yaml v3, which reads resources.

use gotmpl::yaml::is_float;

use super::node::{Scalar, Style, Tag};

/// The value of a scalar in the end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Resolved {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    /// A moment as JSON shows it.
    Time(String),
    Text,
}

impl Resolved {
    pub(crate) fn tag(&self) -> Tag {
        match self {
            Resolved::Null => Tag::Null,
            Resolved::Bool(_) => Tag::Bool,
            Resolved::Int(_) | Resolved::Uint(_) => Tag::Int,
            Resolved::Float(_) => Tag::Float,
            Resolved::Time(_) => Tag::Time,
            Resolved::Text => Tag::Str,
        }
    }
}

/// Returns what a plain scalar without a tag is.
pub(crate) fn resolve(text: &str) -> Resolved {
    let Some(&first) = text.as_bytes().first() else { return Resolved::Null };
    match first {
        b'0'..=b'9'
        | b'+'
        | b'-'
        | b'.'
        | b'y'
        | b'Y'
        | b'n'
        | b'N'
        | b't'
        | b'T'
        | b'f'
        | b'F'
        | b'o'
        | b'O'
        | b'~' => {}
        _ => return Resolved::Text,
    }
    match text {
        "true" | "True" | "TRUE" => return Resolved::Bool(true),
        "false" | "False" | "FALSE" => return Resolved::Bool(false),
        "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        ".nan" | ".NaN" | ".NAN" => return Resolved::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Resolved::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match first {
        b'.' => float(text).map_or(Resolved::Text, Resolved::Float),
        b'0'..=b'9' | b'+' | b'-' => number(text),
        _ => Resolved::Text,
    }
}

/// Returns what a scalar is once it was written and read again, or go-yaml's complaint.
pub(crate) fn finish(scalar: &Scalar) -> Result<Resolved, String> {
    let quoted = scalar.style != Style::Plain || scalar.value.contains('\n');
    match scalar.tag {
        Tag::Str | Tag::Other | Tag::Binary => Ok(Resolved::Text),
        Tag::Empty if quoted => Ok(Resolved::Text),
        Tag::Empty => Ok(resolve(&scalar.value)),
        tag => {
            let found = resolve(&scalar.value);
            if found.tag() == tag {
                // The tag goes without saying, so quotes make it text.
                return Ok(if quoted && !scalar.tagged { Resolved::Text } else { found });
            }
            match (tag, found) {
                (Tag::Float, Resolved::Int(value)) => Ok(Resolved::Float(value as f64)),
                (_, found) => Err(format!(
                    "yaml: cannot decode {} `{}` as a {}",
                    tag_name(found.tag()),
                    scalar.value,
                    tag_name(tag)
                )),
            }
        }
    }
}

pub(crate) fn tag_name(tag: Tag) -> &'static str {
    match tag {
        Tag::Str | Tag::Empty | Tag::Other => "!!str",
        Tag::Null => "!!null",
        Tag::Bool => "!!bool",
        Tag::Int => "!!int",
        Tag::Float => "!!float",
        Tag::Time => "!!timestamp",
        Tag::Binary => "!!binary",
    }
}

fn number(text: &str) -> Resolved {
    if let Some(moment) = timestamp(text) {
        return Resolved::Time(moment);
    }
    let stripped;
    let plain = if text.contains('_') {
        stripped = text.replace('_', "");
        &stripped
    } else {
        text
    };
    if let Some(value) = int_base_0(plain) {
        return value;
    }
    if is_float(plain)
        && let Some(value) = float(plain)
    {
        return Resolved::Float(value);
    }
    Resolved::Text
}

/// `strconv.ParseInt(text, 0, 64)`, then `ParseUint`.
fn int_base_0(text: &str) -> Option<Resolved> {
    let (negative, signed, body) = match text.as_bytes().first()? {
        b'-' => (true, true, &text[1..]),
        b'+' => (false, true, &text[1..]),
        _ => (false, false, text),
    };
    let lower = body.as_bytes().get(1).map(u8::to_ascii_lowercase);
    let (base, digits) = match (body.as_bytes().first()?, lower) {
        (b'0', Some(b'x')) => (16, &body[2..]),
        (b'0', Some(b'o')) => (8, &body[2..]),
        (b'0', Some(b'b')) => (2, &body[2..]),
        (b'0', Some(_)) => (8, &body[1..]),
        _ => (10, body),
    };
    if digits.is_empty() || !digits.bytes().all(|b| (b as char).is_digit(base)) {
        return None;
    }
    let value = u64::from_str_radix(digits, base).ok()?;
    if negative {
        return (value <= 1 << 63).then(|| Resolved::Int((value as i64).wrapping_neg()));
    }
    match i64::try_from(value) {
        Ok(value) => Some(Resolved::Int(value)),
        Err(_) if signed => None,
        Err(_) => Some(Resolved::Uint(value)),
    }
}

fn float(text: &str) -> Option<f64> {
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE_".contains(&b));
    text.parse().ok().filter(|value: &f64| numeric && value.is_finite())
}

/// A timestamp in go-yaml's four forms, as `time.Time` looks in JSON.
pub(crate) fn timestamp(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || bytes[4] != b'-' || !bytes[..4].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (date, time) = match text[5..].find(['T', 't', ' ']) {
        Some(at) => (&text[5..5 + at], Some((bytes[5 + at], &text[6 + at..]))),
        None => (&text[5..], None),
    };
    let year: u32 = text[..4].parse().ok()?;
    let (month, day) = date.split_once('-')?;
    let (month, day) = (short(month, 12)?, short(day, 31)?);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if month == 0 || day == 0 || day > days {
        return None;
    }
    let Some((separator, rest)) = time else { return Some(format!("{year:04}-{month:02}-{day:02}T00:00:00Z")) };
    let (clock, zone) = match (separator, rest.find(['Z', '+', '-'])) {
        (b' ', None) => (rest, "Z".to_owned()),
        (b' ', Some(_)) | (_, None) => return None,
        (_, Some(at)) => (&rest[..at], self::zone(&rest[at..])?),
    };
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (second, fraction) = match second.split_once(['.', ',']) {
        Some((second, fraction)) if !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit()) => {
            (second, &fraction[..fraction.len().min(9)])
        }
        Some(_) => return None,
        None => (second, ""),
    };
    let (hour, minute, second) = (short(hour, 23)?, short(minute, 59)?, short(second, 59)?);
    let fraction = fraction.trim_end_matches('0');
    let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"))
}

/// `Z07:00`.
fn zone(text: &str) -> Option<String> {
    if text == "Z" {
        return Some(text.to_owned());
    }
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (short(hours, 24)?, short(minutes, 60)?);
    Some(if hours == 0 && minutes == 0 { "Z".to_owned() } else { text.to_owned() })
}

fn short(text: &str, most: u32) -> Option<u32> {
    let fits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|value| fits && *value <= most)
}
