//! Go's `fmt` and `strconv` as far as templates reach them: `%v`, `%q`, `%d`, floats.
//!
//! Never rounds or quotes in a way of its own; the peer test compares with Go.

mod printf;

use std::fmt::Write as _;

pub use printf::sprintf;

use crate::value::Value;

/// Formats a float as `strconv.FormatFloat(value, 'g', -1, 64)`.
pub fn float_g(value: f64) -> String {
    float_shortest(value, -4, 6)
}

/// Formats a float as `go-yaml` v3 does.
pub fn float_yaml(value: f64) -> String {
    match float_g(value).as_str() {
        "+Inf" => ".inf".to_owned(),
        "-Inf" => "-.inf".to_owned(),
        "NaN" => ".nan".to_owned(),
        shown => shown.to_owned(),
    }
}

/// Formats a float as `encoding/json` does: plain between 1e-6 and 1e21.
pub fn float_json(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = float_shortest(value, 1, 0);
        // encoding/json writes e-7 where strconv writes e-07.
        if let Some((mantissa, exponent)) = text.split_once("e-0") {
            return format!("{mantissa}e-{exponent}");
        }
        return text;
    }
    format!("{value}").strip_suffix(".0").map_or_else(|| format!("{value}"), str::to_owned)
}

fn float_shortest(value: f64, low: i32, high: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < low || exponent >= high {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}

/// Formats a value as `%v`.
pub fn verb_v(value: &Value) -> String {
    let mut out = String::new();
    write_v(&mut out, value);
    out
}

/// Appends a value as `%v` prints it.
pub fn write_v(out: &mut String, value: &Value) {
    match value {
        Value::Nil => out.push_str("<nil>"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) | Value::Int64(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Float(value) => out.push_str(&float_g(*value)),
        Value::Str(text) => out.push_str(text),
        Value::List(items, _) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                write_v(out, item);
            }
            out.push(']');
        }
        Value::Map(entries, _) => {
            out.push_str("map[");
            for (index, (key, item)) in entries.borrow().iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                out.push_str(key);
                out.push(':');
                write_v(out, item);
            }
            out.push(']');
        }
        Value::Object(object) => out.push_str(&object.text()),
    }
}

/// Quotes text as `strconv.Quote` does.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        quote_char(&mut out, c, '"');
    }
    out.push('"');
    out
}

/// Quotes text as `strconv.QuoteToASCII` does.
fn quote_ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for c in quote(text).chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let code = u32::from(c);
            let _ = if code < 0x10000 { write!(out, "\\u{code:04x}") } else { write!(out, "\\U{code:08x}") };
        }
    }
    out
}

/// Quotes a character as `strconv.QuoteRune`, or `QuoteRuneToASCII`, does.
fn quote_rune(c: char, ascii: bool) -> String {
    let mut out = "'".to_owned();
    if c.is_ascii() || !ascii {
        quote_char(&mut out, c, '\'');
    } else {
        out.push_str(quote_ascii(&c.to_string()).trim_matches('"'));
    }
    out.push('\'');
    out
}

fn quote_char(out: &mut String, c: char, quote: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        c if c == quote => {
            out.push('\\');
            out.push(c);
        }
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if c == ' ' || is_print(c) => out.push(c),
        c if (c as u32) < 0x20 || c as u32 == 0x7f => {
            let _ = write!(out, "\\x{:02x}", c as u32);
        }
        c if (c as u32) < 0x10000 => {
            let _ = write!(out, "\\u{:04x}", c as u32);
        }
        c => {
            let _ = write!(out, "\\U{:08x}", c as u32);
        }
    }
}

/// Returns whether `unicode.IsPrint` would say so, near enough: no control, no separator but the space.
fn is_print(c: char) -> bool {
    !(c.is_control()
        || c.is_whitespace()
        || matches!(c as u32, 0xad | 0xfeff | 0xe000..=0xf8ff | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xfff0..=0xfffb))
}

/// Undoes Go's quoting of `"…"`, `` `…` `` and `'…'`; `None` is `invalid syntax`.
pub fn unquote(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let quote = chars.next()?;
    let body = text.get(1..text.len().checked_sub(1)?)?;
    if !text.ends_with(quote) || text.len() < 2 {
        return None;
    }
    if quote == '`' {
        return Some(body.replace('\r', ""));
    }
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            if c == quote || c == '\n' {
                return None;
            }
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = rest.next()?;
        let mut number = |count: usize, radix: u32, first: Option<char>| -> Option<u32> {
            let mut value = first.map_or(Some(0), |c| c.to_digit(radix))?;
            for _ in 0..count {
                value = value.checked_mul(radix)?.checked_add(rest.next()?.to_digit(radix)?)?;
            }
            Some(value)
        };
        let c = match escape {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' => '\\',
            '\'' | '"' if escape == quote => escape,
            'x' => {
                bytes.push(u8::try_from(number(2, 16, None)?).ok()?);
                continue;
            }
            '0'..='7' => {
                bytes.push(u8::try_from(number(2, 8, Some(escape))?).ok()?);
                continue;
            }
            'u' => char::from_u32(number(4, 16, None)?)?,
            'U' => char::from_u32(number(8, 16, None)?)?,
            _ => return None,
        };
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_strconv_does() {
        for (value, want) in [
            (1.0, "1"),
            (1e6, "1e+06"),
            (123_456.0, "123456"),
            (1_234_567.0, "1.234567e+06"),
            (0.5, "0.5"),
            (0.00001, "1e-05"),
            (0.0001, "0.0001"),
            (1e21, "1e+21"),
            (-2.5, "-2.5"),
            (1_234_567.5, "1.2345675e+06"),
            (8080.0, "8080"),
        ] {
            assert_eq!(float_g(value), want);
        }
        assert_eq!(float_json(1e6), "1000000");
        assert_eq!(float_json(1e21), "1e+21");
        assert_eq!(float_json(1e-7), "1e-7");
    }

    #[test]
    fn verbs_pad_sign_and_complain_as_fmt_does() {
        let s = |text: &str| Value::str(text);
        assert_eq!(sprintf("%s-%d", &[s("a"), Value::Int(3)]), "a-3");
        assert_eq!(
            sprintf("%05d|%-4s|%4s|%+d", &[Value::Int(42), s("x"), s("y"), Value::Int(1)]),
            "00042|x   |   y|+1"
        );
        assert_eq!(
            sprintf("%.2f %5.1f %q", &[Value::Float(1.005), Value::Float(2.25), s("a\"b")]),
            "1.00   2.2 \"a\\\"b\""
        );
        assert_eq!(sprintf("%d", &[s("a")]), "%!d(string=a)");
        assert_eq!(sprintf("%s", &[]), "%!s(MISSING)");
        assert_eq!(sprintf("x", &[Value::Int(1)]), "x%!(EXTRA int=1)");
        assert_eq!(sprintf("%s", &[Value::Int(1)]), "%!s(int=1)");
        assert_eq!(sprintf("%s %v", &[Value::Nil, Value::Nil]), "%!s(<nil>) <nil>");
    }

    #[test]
    fn quoting_round_trips() {
        for text in ["", "a\nb", "\u{1}", "ü", "\"", "\\", "\u{200b}"] {
            assert_eq!(unquote(&quote(text)).as_deref(), Some(text));
        }
        assert_eq!(unquote("`a\\n`").as_deref(), Some("a\\n"));
        assert_eq!(unquote("\"\\q\""), None);
    }
}
