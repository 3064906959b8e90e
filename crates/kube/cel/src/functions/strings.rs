//! Text: CEL's own functions, the strings extension and regular expressions.

use std::sync::Arc;

use regex::Regex;

use super::{Meter, Outcome, Row, take, text};
use crate::{
    error::EvalError,
    text::{show_double, show_duration},
    value::{Key, Value},
};

pub(super) const ROWS: &[Row] = &[
    ("<string>.startsWith(string): bool", |meter, args| {
        take!(args, [Value::String(a), Value::String(b)] => {
            meter.traverse(b.len() as u64)?;
            Ok(Value::Bool(a.starts_with(b.as_ref())))
        })
    }),
    ("<string>.endsWith(string): bool", |meter, args| {
        take!(args, [Value::String(a), Value::String(b)] => {
            meter.traverse(b.len() as u64)?;
            Ok(Value::Bool(a.ends_with(b.as_ref())))
        })
    }),
    ("<string>.contains(string): bool", |meter, args| {
        take!(args, [Value::String(a), Value::String(b)] => {
            meter.charge((a.len() as u64).div_ceil(10).saturating_mul((b.len() as u64).div_ceil(10)))?;
            Ok(Value::Bool(a.contains(b.as_ref())))
        })
    }),
    ("<string>.matches(string): bool", |meter, args| matches(meter, args)),
    ("matches(string, string): bool", |meter, args| matches(meter, args)),
    ("<string>.find(string): string", |meter, args| {
        take!(args, [Value::String(a), Value::String(b)] => {
            text(pattern(meter, a, b)?.find(a).map_or("", |found| found.as_str()))
        })
    }),
    ("<string>.findAll(string): list(string)", |meter, args| {
        take!(args, [Value::String(a), Value::String(b)] => {
            Ok(Value::list(pattern(meter, a, b)?.find_iter(a).map(|found| found.as_str().into()).collect()))
        })
    }),
    ("<string>.findAll(string, int): list(string)", |meter, args| {
        take!(args, [Value::String(a), Value::String(b), Value::Int(most)] => {
            let most = usize::try_from(*most).unwrap_or(usize::MAX);
            Ok(Value::list(pattern(meter, a, b)?.find_iter(a).take(most).map(|found| found.as_str().into()).collect()))
        })
    }),
    ("<string>.charAt(int): string", |meter, args| {
        take!(args, [Value::String(a), Value::Int(at)] => {
            meter.traverse(a.len() as u64)?;
            let length = a.chars().count();
            match usize::try_from(*at) {
                Ok(at) if at == length => text(""),
                Ok(at) if at < length => text(a.chars().skip(at).take(1).collect::<String>()),
                _ => Err(out_of_range(*at)),
            }
        })
    }),
    (
        "<string>.indexOf(string): int",
        |meter, args| take!(args, [Value::String(a), Value::String(b)] => index_of(meter, a, b, 0)),
    ),
    (
        "<string>.indexOf(string, int): int",
        |meter, args| take!(args, [Value::String(a), Value::String(b), Value::Int(from)] => index_of(meter, a, b, *from)),
    ),
    ("<string>.lastIndexOf(string): int", |meter, args| {
        take!(args, [Value::String(a), Value::String(b)] => {
            last_index_of(meter, a, b, None)
        })
    }),
    ("<string>.lastIndexOf(string, int): int", |meter, args| {
        take!(args, [Value::String(a), Value::String(b), Value::Int(to)] => {
            last_index_of(meter, a, b, Some(*to))
        })
    }),
    ("<string>.lowerAscii(): string", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            text(a.to_ascii_lowercase())
        })
    }),
    ("<string>.upperAscii(): string", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            text(a.to_ascii_uppercase())
        })
    }),
    (
        "<string>.replace(string, string): string",
        |meter, args| take!(args, [Value::String(a), Value::String(b), Value::String(c)] => replace(meter, a, b, c, -1)),
    ),
    (
        "<string>.replace(string, string, int): string",
        |meter, args| take!(args, [Value::String(a), Value::String(b), Value::String(c), Value::Int(most)] => replace(meter, a, b, c, *most)),
    ),
    (
        "<string>.split(string): list(string)",
        |meter, args| take!(args, [Value::String(a), Value::String(b)] => split(meter, a, b, -1)),
    ),
    (
        "<string>.split(string, int): list(string)",
        |meter, args| take!(args, [Value::String(a), Value::String(b), Value::Int(most)] => split(meter, a, b, *most)),
    ),
    ("<list(string)>.join(): string", |meter, args| take!(args, [list] => join(meter, list, ""))),
    (
        "<list(string)>.join(string): string",
        |meter, args| take!(args, [list, Value::String(between)] => join(meter, list, between)),
    ),
    (
        "<string>.substring(int): string",
        |meter, args| take!(args, [Value::String(a), Value::Int(from)] => substring(meter, a, *from, None)),
    ),
    (
        "<string>.substring(int, int): string",
        |meter, args| take!(args, [Value::String(a), Value::Int(from), Value::Int(to)] => substring(meter, a, *from, Some(*to))),
    ),
    ("<string>.trim(): string", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            text(a.trim())
        })
    }),
    ("jsonpatch.escapeKey(string): string", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            text(a.replace('~', "~0").replace('/', "~1"))
        })
    }),
    ("strings.quote(string): string", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            text(quote(a))
        })
    }),
    (
        "<string>.format(list(dyn)): string",
        |meter, args| take!(args, [Value::String(a), Value::List(list)] => format(meter, a, &list.items)),
    ),
];

fn matches(meter: &mut Meter, args: &[Value]) -> Outcome {
    take!(args, [Value::String(a), Value::String(b)] => Ok(Value::Bool(pattern(meter, a, b)?.is_match(a))))
}

/// Compiles a pattern after charging for its use on `subject`.
fn pattern(meter: &mut Meter, subject: &str, pattern: &str) -> Result<Arc<Regex>, EvalError> {
    let (subject, length) = (subject.len() as u64 + 1, pattern.len() as u64);
    meter.charge(subject.div_ceil(10).saturating_mul(length.div_ceil(4)))?;
    compile(pattern).map_err(EvalError::Failed)
}

/// Compiles a pattern within bounds.
pub(crate) fn compile(pattern: &str) -> Result<Arc<Regex>, String> {
    schema::pattern::compile(pattern)
}

fn out_of_range(at: i64) -> EvalError {
    EvalError::failed(format!("index out of range: {at}"))
}

fn letters(text: &str) -> Vec<char> {
    text.chars().collect()
}

fn index_of(meter: &mut Meter, a: &str, b: &str, from: i64) -> Outcome {
    meter.charge(
        (a.len() as u64).div_ceil(10).saturating_mul((b.len() as u64).div_ceil(10)).saturating_add(a.len() as u64 / 10),
    )?;
    let (a, b) = (letters(a), letters(b));
    let start = usize::try_from(from).map_err(|_| out_of_range(from))?;
    if b.is_empty() {
        return Ok(Value::Int(from));
    }
    if start > a.len() {
        return Err(out_of_range(from));
    }
    let found = a[start..].windows(b.len()).position(|window| window == b).map_or(-1, |at| (at + start) as i64);
    Ok(Value::Int(found))
}

fn last_index_of(meter: &mut Meter, a: &str, b: &str, to: Option<i64>) -> Outcome {
    meter.charge(
        (a.len() as u64).div_ceil(10).saturating_mul((b.len() as u64).div_ceil(10)).saturating_add(a.len() as u64 / 10),
    )?;
    let (a, b) = (letters(a), letters(b));
    let last = match to {
        None => a.len(),
        Some(to) => usize::try_from(to).ok().filter(|to| *to < a.len()).ok_or_else(|| out_of_range(to))?,
    };
    if b.is_empty() {
        return Ok(Value::Int(last as i64));
    }
    let found = a.windows(b.len()).enumerate().rev().find(|(at, window)| *at <= last && *window == b);
    Ok(Value::Int(found.map_or(-1, |(at, _)| at as i64)))
}

fn replace(meter: &mut Meter, a: &str, b: &str, c: &str, most: i64) -> Outcome {
    meter.traverse(a.len() as u64 * 2)?;
    let found = if b.is_empty() { a.chars().count() + 1 } else { a.matches(b).count() };
    let count = usize::try_from(most).map_or(found, |most| most.min(found));
    meter.traverse((count as u64).saturating_mul(c.len() as u64))?;
    text(a.replacen(b, c, count))
}

fn split(meter: &mut Meter, a: &str, b: &str, most: i64) -> Outcome {
    meter.traverse(a.len() as u64 * 2)?;
    if most == 0 {
        return Ok(Value::list(Vec::new()));
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let parts: Vec<Value> = if b.is_empty() {
        let all = letters(a);
        let single = all.len().min(most.saturating_sub(1));
        let mut parts: Vec<Value> = all[..single].iter().map(|letter| letter.to_string().as_str().into()).collect();
        if single < all.len() {
            parts.push(all[single..].iter().collect::<String>().as_str().into());
        }
        parts
    } else {
        a.splitn(most, b).map(Value::from).collect()
    };
    meter.charge(parts.len() as u64 / 10)?;
    Ok(Value::list(parts))
}

fn join(meter: &mut Meter, list: &Value, between: &str) -> Outcome {
    let Value::List(list) = list else { return Err(EvalError::overload()) };
    let total: usize = list.items.iter().map(|item| item.size() as usize + between.len()).sum();
    meter.traverse(total as u64)?;
    let mut out = String::with_capacity(total);
    for (at, item) in list.items.iter().enumerate() {
        let Value::String(item) = item else { return Err(EvalError::overload()) };
        if at > 0 {
            out.push_str(between);
        }
        out.push_str(item);
    }
    text(out)
}

fn substring(meter: &mut Meter, a: &str, from: i64, to: Option<i64>) -> Outcome {
    meter.traverse(a.len() as u64)?;
    let length = a.chars().count();
    let place = |at: i64| usize::try_from(at).ok().filter(|at| *at <= length).ok_or_else(|| out_of_range(at));
    let start = place(from)?;
    let end = to.map_or(Ok(length), place)?;
    if start > end {
        return Err(EvalError::failed(format!("invalid substring range. start: {start}, end: {end}")));
    }
    text(a.chars().skip(start).take(end - start).collect::<String>())
}

fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

fn format(meter: &mut Meter, template: &str, args: &[Value]) -> Outcome {
    meter.traverse(template.len() as u64)?;
    let mut out = String::new();
    let mut args = args.iter();
    let mut rest = template.chars().peekable();
    while let Some(letter) = rest.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let mut precision = None;
        if rest.peek() == Some(&'%') {
            rest.next();
            out.push('%');
            continue;
        }
        if rest.peek() == Some(&'.') {
            rest.next();
            let mut number = 0_usize;
            while let Some(digit) = rest.peek().and_then(|letter| letter.to_digit(10)) {
                rest.next();
                number = (number * 10 + digit as usize).min(1000);
            }
            if number > 100 {
                return Err(EvalError::failed("error during formatting: precision is too large"));
            }
            precision = Some(number);
        }
        let Some(clause) = rest.next() else {
            return Err(EvalError::failed(
                "error during formatting: could not parse formatting clause: unexpected end of string",
            ));
        };
        let Some(value) = args.next() else {
            return Err(EvalError::failed("error during formatting: index out of range"));
        };
        let piece = clause_text(clause, precision, value)?;
        meter.traverse(piece.len() as u64)?;
        out.push_str(&piece);
    }
    if args.next().is_some() {
        return Err(EvalError::failed("error during formatting: too many arguments supplied to string.format"));
    }
    text(out)
}

fn clause_text(clause: char, precision: Option<usize>, value: &Value) -> Result<String, EvalError> {
    let bad = |name: &str, what: &str| {
        EvalError::failed(format!(
            "error during formatting: {name} clause can only be used on {what}, was given {}",
            value.type_name()
        ))
    };
    Ok(match (clause, value) {
        ('s', value) => shown(value)?,
        ('d', Value::Int(number)) => number.to_string(),
        ('d', Value::Uint(number)) => number.to_string(),
        ('d', Value::Double(number)) if !number.is_finite() => show_double(*number),
        ('f', Value::Double(number)) => fixed(*number, precision.unwrap_or(6)),
        ('f', Value::Int(number)) => fixed(*number as f64, precision.unwrap_or(6)),
        ('f', Value::Uint(number)) => fixed(*number as f64, precision.unwrap_or(6)),
        ('e', Value::Double(number)) => scientific(*number, precision.unwrap_or(6)),
        ('e', Value::Int(number)) => scientific(*number as f64, precision.unwrap_or(6)),
        ('b', Value::Bool(value)) => u8::from(*value).to_string(),
        ('b', Value::Int(number)) => signed(*number, &format!("{:b}", number.unsigned_abs())),
        ('b', Value::Uint(number)) => format!("{number:b}"),
        ('o', Value::Int(number)) => signed(*number, &format!("{:o}", number.unsigned_abs())),
        ('o', Value::Uint(number)) => format!("{number:o}"),
        ('x', Value::Int(number)) => signed(*number, &format!("{:x}", number.unsigned_abs())),
        ('X', Value::Int(number)) => signed(*number, &format!("{:X}", number.unsigned_abs())),
        ('x', Value::Uint(number)) => format!("{number:x}"),
        ('X', Value::Uint(number)) => format!("{number:X}"),
        ('x', Value::String(text)) => hex(text.as_bytes()),
        ('X', Value::String(text)) => hex(text.as_bytes()).to_uppercase(),
        ('x', Value::Bytes(bytes)) => hex(bytes),
        ('X', Value::Bytes(bytes)) => hex(bytes).to_uppercase(),
        ('d', _) => return Err(bad("decimal", "integers")),
        ('f', _) => return Err(bad("fixed-point", "doubles")),
        ('e', _) => return Err(bad("scientific", "doubles")),
        ('b', _) => return Err(bad("binary", "integers and bools")),
        ('o', _) => return Err(bad("octal", "integers")),
        ('x' | 'X', _) => return Err(bad("hex", "integers, byte buffers, and strings")),
        (other, _) => {
            return Err(EvalError::failed(format!(
                "error during formatting: could not parse formatting clause: unrecognized formatting clause {other:?}"
            )));
        }
    })
}

fn signed(number: i64, digits: &str) -> String {
    if number < 0 { format!("-{digits}") } else { digits.to_owned() }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to text cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn fixed(number: f64, precision: usize) -> String {
    if number.is_finite() { format!("{number:.precision$}") } else { show_double(number) }
}

fn scientific(number: f64, precision: usize) -> String {
    if !number.is_finite() {
        return show_double(number);
    }
    let text = format!("{number:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(("+", exponent), |rest| ("-", rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// Writes a value as `%s` does.
fn shown(value: &Value) -> Result<String, EvalError> {
    Ok(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => show_double(*value),
        Value::String(value) | Value::Type(value) => value.to_string(),
        Value::Bytes(value) => String::from_utf8_lossy(value).into_owned(),
        Value::Duration(value) => show_duration(*value),
        Value::Timestamp(value) => value.to_string(),
        Value::List(list) => {
            let items = list.items.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
            format!("[{}]", items.join(", "))
        }
        Value::Map(map) => {
            let pairs = map
                .iter()
                .map(|(key, value)| Ok(format!("{}: {}", shown_key(key), shown(value)?)))
                .collect::<Result<Vec<_>, EvalError>>()?;
            format!("{{{}}}", pairs.join(", "))
        }
        other => {
            return Err(EvalError::failed(format!(
                "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given {}",
                other.type_name()
            )));
        }
    })
}

fn shown_key(key: &Key) -> String {
    match key {
        Key::Bool(value) => value.to_string(),
        Key::Int(value) => value.to_string(),
        Key::Uint(value) => value.to_string(),
        Key::String(value) => value.to_string(),
    }
}
