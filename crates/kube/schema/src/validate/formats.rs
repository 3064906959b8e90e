//! The formats of text that a schema may ask for. What is not known is not checked, as in Kubernetes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The formats of text that are checked, without their hyphens.
const KNOWN: [&str; 26] = [
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "k8sshortname",
    "k8slongname",
];

/// Returns whether a format says anything of values of a type; without a type, of text.
pub fn is_known_format(format: &str, of: &str) -> bool {
    match of {
        "" | "string" => KNOWN.contains(&format.replace('-', "").as_str()),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

/// Returns whether `text` is of that format. Of built-in types only times are checked here.
pub(super) fn holds(format: &str, text: &str, all: bool) -> bool {
    match format {
        "date-time" | "datetime" => is_date_time(text),
        _ if !all => true,
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "duration" => is_duration(text),
        "byte" => is_base64(text),
        "uri" => is_uri(text),
        "email" => is_email(text),
        "hostname" => is_hostname(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uuid" => is_uuid(text, None),
        "uuid3" => is_uuid(text, Some('3')),
        "uuid4" => {
            is_uuid(text, Some('4')) && text.replace('-', "").as_bytes().get(16).is_some_and(|b| b"89abAB".contains(b))
        }
        "uuid5" => {
            is_uuid(text, Some('5')) && text.replace('-', "").as_bytes().get(16).is_some_and(|b| b"89abAB".contains(b))
        }
        "hexcolor" => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        }
        "rgbcolor" => is_rgb(text),
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "ssn" => matches_shape(text, "ddd-dd-dddd") || matches_shape(text, "ddd dd dddd"),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "creditcard" => is_card(text),
        "k8s-short-name" => text.len() <= 63 && is_label(text),
        "k8s-long-name" => text.len() <= 253 && text.split('.').all(is_label),
        _ => true,
    }
}

fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.len() >= 20
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && matches!(bytes[10], b'T' | b't')
        && bytes[13] == b':'
        && bytes[16] == b':'
        && [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18].iter().all(|&at| bytes[at].is_ascii_digit())
}

/// Go's durations, and those that name days and weeks.
fn is_duration(text: &str) -> bool {
    let rest = text.trim_start_matches(['-', '+']);
    if rest == "0" {
        return true;
    }
    let units = [
        "ns", "us", "µs", "ms", "s", "m", "h", "d", "w", "day", "days", "week", "weeks", "hour", "hours", "minute",
        "minutes", "second", "seconds",
    ];
    let mut rest = rest.trim();
    let mut found = false;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let after = after.trim_start();
        let unit_end =
            after.find(|letter: char| letter.is_ascii_digit() || letter == '.' || letter == ' ').unwrap_or(after.len());
        if number.parse::<f64>().is_err() || !units.contains(&&after[..unit_end]) {
            return false;
        }
        found = true;
        rest = after[unit_end..].trim_start();
    }
    found
}

fn is_base64(text: &str) -> bool {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return text.starts_with('/') };
    !text.chars().any(|letter| letter.is_whitespace() || letter.is_control())
        && (text.starts_with('/')
            || (!rest.is_empty()
                && scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.'))))
}

fn is_email(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(user, host)| {
        !user.is_empty()
            && !user.contains([' ', '@', '<', '>', ','])
            && !host.is_empty()
            && !host.contains([' ', '<', '>'])
    })
}

fn is_hostname(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text.trim_end_matches('.').split('.').all(|part| {
            !part.is_empty()
                && part.len() <= 63
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_'))
        })
}

fn is_cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        let most = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        bits.bytes().all(|byte| byte.is_ascii_digit()) && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    })
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-', '.']).collect();
    let pairs = matches!(parts.len(), 6 | 8 | 20) && parts.iter().all(|part| part.len() == 2);
    let fours = matches!(parts.len(), 3 | 4 | 10) && parts.iter().all(|part| part.len() == 4);
    (pairs || fours) && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_uuid(text: &str, version: Option<char>) -> bool {
    let digits: String = text.chars().filter(|letter| *letter != '-').collect();
    matches!(text.len(), 32 | 36)
        && digits.len() == 32
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        && version.is_none_or(|version| digits.chars().nth(12) == Some(version))
}

fn is_rgb(text: &str) -> bool {
    text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')')).is_some_and(|inner| {
        let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
        parts.len() == 3 && parts.iter().all(|part| part.parse::<u8>().is_ok())
    })
}

fn matches_shape(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(found, wanted)| match wanted {
            b'd' => found.is_ascii_digit(),
            other => found == other,
        })
}

fn digits(text: &str) -> String {
    text.chars().filter(|letter| !matches!(letter, '-' | ' ')).collect()
}

fn is_isbn10(text: &str) -> bool {
    let text = digits(text);
    let sum = text.chars().enumerate().try_fold(0, |sum, (at, letter)| match letter {
        'X' | 'x' if at == 9 => Some(sum + 10),
        other => other.to_digit(10).map(|digit| sum + digit * (10 - u32::try_from(at).unwrap_or(10).min(10))),
    });
    text.len() == 10 && sum.is_some_and(|sum| sum % 11 == 0)
}

fn is_isbn13(text: &str) -> bool {
    let text = digits(text);
    let sum = text.chars().enumerate().try_fold(0, |sum, (at, letter)| {
        letter.to_digit(10).map(|digit| sum + digit * if at % 2 == 0 { 1 } else { 3 })
    });
    text.len() == 13 && sum.is_some_and(|sum| sum % 10 == 0)
}

fn is_card(text: &str) -> bool {
    let text = digits(text);
    let sum = text.chars().rev().enumerate().try_fold(0, |sum, (at, letter)| {
        letter.to_digit(10).map(|digit| {
            let doubled = if at % 2 == 1 { digit * 2 } else { digit };
            sum + if doubled > 9 { doubled - 9 } else { doubled }
        })
    });
    (13..=19).contains(&text.len()) && sum.is_some_and(|sum| sum % 10 == 0)
}

fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.bytes().all(|byte| allowed(byte) || byte == b'-')
        && text.bytes().next().is_some_and(allowed)
        && text.bytes().last().is_some_and(allowed)
}
