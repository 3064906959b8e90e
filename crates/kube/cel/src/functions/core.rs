//! CEL's own operators, conversions and times.

use std::{cmp::Ordering, sync::Arc};

use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::{Meter, Outcome, Row, index, optional, take, text};
use crate::{
    error::EvalError,
    text::{parse_duration, show_double, show_duration},
    value::{Key, Value, compare, join_lists},
};

pub(super) const ROWS: &[Row] = &[
    ("_==_(A, A): bool", |meter, args| equal(meter, args)),
    ("_!=_(A, A): bool", |meter, args| match equal(meter, args)? {
        Value::Bool(same) => Ok(Value::Bool(!same)),
        other => Ok(other),
    }),
    ("!_(bool): bool", |_, args| take!(args, [Value::Bool(value)] => Ok(Value::Bool(!value)))),
    ("-_(int): int", |_, args| take!(args, [Value::Int(a)] => whole(a.checked_neg()))),
    ("-_(double): double", |_, args| take!(args, [Value::Double(a)] => Ok(Value::Double(-a)))),
    ("_+_(int, int): int", |_, args| take!(args, [Value::Int(a), Value::Int(b)] => whole(a.checked_add(*b)))),
    ("_+_(uint, uint): uint", |_, args| take!(args, [Value::Uint(a), Value::Uint(b)] => natural(a.checked_add(*b)))),
    (
        "_+_(double, double): double",
        |_, args| take!(args, [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a + b))),
    ),
    ("_+_(string, string): string", |meter, args| {
        take!(args, [Value::String(a), Value::String(b)] => {
            meter.traverse((a.len() + b.len()) as u64)?;
            text(format!("{a}{b}"))
        })
    }),
    ("_+_(bytes, bytes): bytes", |meter, args| {
        take!(args, [Value::Bytes(a), Value::Bytes(b)] => {
            meter.traverse((a.len() + b.len()) as u64)?;
            Ok(Value::Bytes(a.iter().chain(b.iter()).copied().collect()))
        })
    }),
    ("_+_(list(A), list(A)): list(A)", |meter, args| {
        take!(args, [Value::List(a), Value::List(b)] => {
            meter.traverse((a.items.len() + b.items.len()) as u64)?;
            if a.kind != crate::value::ListKind::Plain {
                meter.charge((a.items.len() * b.items.len()) as u64)?;
            }
            Ok(Value::List(Arc::new(join_lists(a, b))))
        })
    }),
    (
        "_+_(timestamp, duration): timestamp",
        |_, args| take!(args, [Value::Timestamp(a), Value::Duration(b)] => shifted(*a, i128::from(*b))),
    ),
    (
        "_+_(duration, timestamp): timestamp",
        |_, args| take!(args, [Value::Duration(b), Value::Timestamp(a)] => shifted(*a, i128::from(*b))),
    ),
    (
        "_+_(duration, duration): duration",
        |_, args| take!(args, [Value::Duration(a), Value::Duration(b)] => length(a.checked_add(*b))),
    ),
    ("_-_(int, int): int", |_, args| take!(args, [Value::Int(a), Value::Int(b)] => whole(a.checked_sub(*b)))),
    ("_-_(uint, uint): uint", |_, args| take!(args, [Value::Uint(a), Value::Uint(b)] => natural(a.checked_sub(*b)))),
    (
        "_-_(double, double): double",
        |_, args| take!(args, [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a - b))),
    ),
    ("_-_(timestamp, timestamp): duration", |_, args| {
        take!(args, [Value::Timestamp(a), Value::Timestamp(b)] => {
            length(i64::try_from(a.as_nanosecond() - b.as_nanosecond()).ok())
        })
    }),
    (
        "_-_(timestamp, duration): timestamp",
        |_, args| take!(args, [Value::Timestamp(a), Value::Duration(b)] => shifted(*a, -i128::from(*b))),
    ),
    (
        "_-_(duration, duration): duration",
        |_, args| take!(args, [Value::Duration(a), Value::Duration(b)] => length(a.checked_sub(*b))),
    ),
    ("_*_(int, int): int", |_, args| take!(args, [Value::Int(a), Value::Int(b)] => whole(a.checked_mul(*b)))),
    ("_*_(uint, uint): uint", |_, args| take!(args, [Value::Uint(a), Value::Uint(b)] => natural(a.checked_mul(*b)))),
    (
        "_*_(double, double): double",
        |_, args| take!(args, [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a * b))),
    ),
    ("_/_(int, int): int", |_, args| {
        take!(args, [Value::Int(a), Value::Int(b)] => {
            if *b == 0 { Err(EvalError::failed("division by zero")) } else { whole(a.checked_div(*b)) }
        })
    }),
    ("_/_(uint, uint): uint", |_, args| {
        take!(args, [Value::Uint(a), Value::Uint(b)] => {
            if *b == 0 { Err(EvalError::failed("division by zero")) } else { natural(a.checked_div(*b)) }
        })
    }),
    (
        "_/_(double, double): double",
        |_, args| take!(args, [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a / b))),
    ),
    ("_%_(int, int): int", |_, args| {
        take!(args, [Value::Int(a), Value::Int(b)] => {
            if *b == 0 { Err(EvalError::failed("modulus by zero")) } else { whole(a.checked_rem(*b)) }
        })
    }),
    ("_%_(uint, uint): uint", |_, args| {
        take!(args, [Value::Uint(a), Value::Uint(b)] => {
            if *b == 0 { Err(EvalError::failed("modulus by zero")) } else { natural(a.checked_rem(*b)) }
        })
    }),
    ("@in(A, list(A)): bool", |meter, args| {
        take!(args, [item, Value::List(list)] => {
            meter.charge(list.items.len() as u64)?;
            Ok(Value::Bool(list.items.contains(item)))
        })
    }),
    ("@in(A, map(A, B)): bool", |_, args| {
        take!(args, [key, Value::Map(map)] => {
            Ok(Value::Bool(Key::of(key).is_some_and(|key| map.contains_key(&key))))
        })
    }),
    ("_[_](list(A), int): A", at),
    ("_[_](map(A, B), A): B", at),
    ("_[_](optional(list(A)), int): optional(A)", at),
    ("_[_](optional(map(A, B)), A): optional(B)", at),
    ("_[?_](list(A), int): optional(A)", maybe_at),
    ("_[?_](map(A, B), A): optional(B)", maybe_at),
    ("_[?_](optional(list(A)), int): optional(A)", at),
    ("_[?_](optional(map(A, B)), A): optional(B)", at),
    ("size(string): int", size),
    ("size(bytes): int", size),
    ("size(list(A)): int", size),
    ("size(map(A, B)): int", size),
    ("<string>.size(): int", size),
    ("<bytes>.size(): int", size),
    ("<list(A)>.size(): int", size),
    ("<map(A, B)>.size(): int", size),
    ("dyn(A): dyn", |_, args| take!(args, [value] => Ok(value.clone()))),
    ("type(A): type", |_, args| take!(args, [value] => Ok(Value::Type(value.type_name().into())))),
    ("bool(bool): bool", |_, args| take!(args, [value] => Ok(value.clone()))),
    ("bool(string): bool", |_, args| {
        take!(args, [Value::String(value)] => match value.as_ref() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            other => Err(EvalError::failed(format!("strconv.ParseBool: parsing {other:?}: invalid syntax"))),
        })
    }),
    ("int(int): int", |_, args| take!(args, [value] => Ok(value.clone()))),
    ("int(uint): int", |_, args| take!(args, [Value::Uint(a)] => whole(i64::try_from(*a).ok()))),
    ("int(double): int", |_, args| {
        take!(args, [Value::Double(a)] => {
            if a.is_finite() && a.abs() < 9_223_372_036_854_775_808.0 { Ok(Value::Int(*a as i64)) } else { whole(None) }
        })
    }),
    ("int(string): int", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            a.parse().map(Value::Int).map_err(|_| EvalError::failed(format!("strconv.ParseInt: parsing {a:?}: invalid syntax")))
        })
    }),
    ("int(timestamp): int", |_, args| take!(args, [Value::Timestamp(a)] => Ok(Value::Int(a.as_second())))),
    ("int(duration): int", |_, args| take!(args, [Value::Duration(a)] => Ok(Value::Int(*a)))),
    ("uint(uint): uint", |_, args| take!(args, [value] => Ok(value.clone()))),
    ("uint(int): uint", |_, args| take!(args, [Value::Int(a)] => natural(u64::try_from(*a).ok()))),
    ("uint(double): uint", |_, args| {
        take!(args, [Value::Double(a)] => {
            if *a >= 0.0 && *a < 18_446_744_073_709_551_616.0 { Ok(Value::Uint(*a as u64)) } else { natural(None) }
        })
    }),
    ("uint(string): uint", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            a.parse().map(Value::Uint).map_err(|_| EvalError::failed(format!("strconv.ParseUint: parsing {a:?}: invalid syntax")))
        })
    }),
    ("double(double): double", |_, args| take!(args, [value] => Ok(value.clone()))),
    ("double(int): double", |_, args| take!(args, [Value::Int(a)] => Ok(Value::Double(*a as f64)))),
    ("double(uint): double", |_, args| take!(args, [Value::Uint(a)] => Ok(Value::Double(*a as f64)))),
    ("double(string): double", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            a.parse().map(Value::Double).map_err(|_| EvalError::failed(format!("strconv.ParseFloat: parsing {a:?}: invalid syntax")))
        })
    }),
    ("string(string): string", |_, args| take!(args, [value] => Ok(value.clone()))),
    ("string(bool): string", |_, args| take!(args, [Value::Bool(a)] => text(a.to_string()))),
    ("string(int): string", |_, args| take!(args, [Value::Int(a)] => text(a.to_string()))),
    ("string(uint): string", |_, args| take!(args, [Value::Uint(a)] => text(a.to_string()))),
    ("string(double): string", |_, args| take!(args, [Value::Double(a)] => text(show_double(*a)))),
    ("string(bytes): string", |meter, args| {
        take!(args, [Value::Bytes(a)] => {
            meter.traverse(a.len() as u64)?;
            std::str::from_utf8(a).map_or_else(|_| Err(EvalError::failed("invalid UTF-8 in bytes, cannot convert to string")), text)
        })
    }),
    ("string(timestamp): string", |_, args| take!(args, [Value::Timestamp(a)] => text(a.to_string()))),
    ("string(duration): string", |_, args| take!(args, [Value::Duration(a)] => text(show_duration(*a)))),
    ("bytes(bytes): bytes", |_, args| take!(args, [value] => Ok(value.clone()))),
    ("bytes(string): bytes", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            Ok(Value::Bytes(a.as_bytes().into()))
        })
    }),
    ("duration(duration): duration", |_, args| take!(args, [value] => Ok(value.clone()))),
    ("duration(int): duration", |_, args| take!(args, [Value::Int(a)] => Ok(Value::Duration(*a)))),
    ("duration(string): duration", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            parse_duration(a).map(Value::Duration).ok_or_else(|| EvalError::failed(format!("time: invalid duration {a:?}")))
        })
    }),
    ("timestamp(timestamp): timestamp", |_, args| take!(args, [value] => Ok(value.clone()))),
    ("timestamp(int): timestamp", |_, args| {
        take!(args, [Value::Int(a)] => {
            Timestamp::from_second(*a).map(Value::Timestamp).map_err(|_| EvalError::failed("timestamp overflow"))
        })
    }),
    ("timestamp(string): timestamp", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            crate::text::parse_time(a).map(Value::Timestamp).ok_or_else(|| EvalError::failed(format!("parsing time {a:?} as RFC 3339: cannot parse")))
        })
    }),
    ("<timestamp>.getFullYear(): int", |_, args| part(args, |time| i64::from(time.year()))),
    ("<timestamp>.getFullYear(string): int", |_, args| part(args, |time| i64::from(time.year()))),
    ("<timestamp>.getMonth(): int", |_, args| part(args, |time| i64::from(time.month()) - 1)),
    ("<timestamp>.getMonth(string): int", |_, args| part(args, |time| i64::from(time.month()) - 1)),
    ("<timestamp>.getDate(): int", |_, args| part(args, |time| i64::from(time.day()))),
    ("<timestamp>.getDate(string): int", |_, args| part(args, |time| i64::from(time.day()))),
    ("<timestamp>.getDayOfMonth(): int", |_, args| part(args, |time| i64::from(time.day()) - 1)),
    ("<timestamp>.getDayOfMonth(string): int", |_, args| part(args, |time| i64::from(time.day()) - 1)),
    ("<timestamp>.getDayOfYear(): int", |_, args| part(args, |time| i64::from(time.day_of_year()) - 1)),
    ("<timestamp>.getDayOfYear(string): int", |_, args| part(args, |time| i64::from(time.day_of_year()) - 1)),
    ("<timestamp>.getDayOfWeek(): int", |_, args| part(args, |time| i64::from(time.weekday().to_sunday_zero_offset()))),
    ("<timestamp>.getDayOfWeek(string): int", |_, args| {
        part(args, |time| i64::from(time.weekday().to_sunday_zero_offset()))
    }),
    ("<timestamp>.getHours(): int", |_, args| part(args, |time| i64::from(time.hour()))),
    ("<timestamp>.getHours(string): int", |_, args| part(args, |time| i64::from(time.hour()))),
    ("<timestamp>.getMinutes(): int", |_, args| part(args, |time| i64::from(time.minute()))),
    ("<timestamp>.getMinutes(string): int", |_, args| part(args, |time| i64::from(time.minute()))),
    ("<timestamp>.getSeconds(): int", |_, args| part(args, |time| i64::from(time.second()))),
    ("<timestamp>.getSeconds(string): int", |_, args| part(args, |time| i64::from(time.second()))),
    ("<timestamp>.getMilliseconds(): int", |_, args| part(args, |time| i64::from(time.millisecond()))),
    ("<timestamp>.getMilliseconds(string): int", |_, args| part(args, |time| i64::from(time.millisecond()))),
    (
        "<duration>.getHours(): int",
        |_, args| take!(args, [Value::Duration(a)] => Ok(Value::Int(a / 3_600_000_000_000))),
    ),
    ("<duration>.getMinutes(): int", |_, args| take!(args, [Value::Duration(a)] => Ok(Value::Int(a / 60_000_000_000)))),
    ("<duration>.getSeconds(): int", |_, args| take!(args, [Value::Duration(a)] => Ok(Value::Int(a / 1_000_000_000)))),
    (
        "<duration>.getMilliseconds(): int",
        |_, args| take!(args, [Value::Duration(a)] => Ok(Value::Int(a / 1_000_000 % 1000))),
    ),
    ("optional.none(): optional(A)", |_, _| optional(None)),
    ("optional.of(A): optional(A)", |_, args| take!(args, [value] => optional(Some(value.clone())))),
    (
        "optional.ofNonZeroValue(A): optional(A)",
        |_, args| take!(args, [value] => optional(Some(value.clone()).filter(|value| !is_zero(value)))),
    ),
    (
        "<optional(A)>.hasValue(): bool",
        |_, args| take!(args, [Value::Optional(inner)] => Ok(Value::Bool(inner.is_some()))),
    ),
    ("<optional(A)>.value(): A", |_, args| {
        take!(args, [Value::Optional(inner)] => {
            inner.as_deref().cloned().ok_or_else(|| EvalError::failed("optional.none() dereference"))
        })
    }),
    ("<optional(A)>.or(optional(A)): optional(A)", |_, args| {
        take!(args, [first @ Value::Optional(inner), second] => {
            Ok(if inner.is_some() { first.clone() } else { second.clone() })
        })
    }),
    ("<optional(A)>.orValue(A): A", |_, args| {
        take!(args, [Value::Optional(inner), other] => {
            Ok(inner.as_deref().unwrap_or(other).clone())
        })
    }),
];

/// The orders, and what each says of two values.
pub(super) const ORDERS: [(&str, super::Run); 4] = [
    ("_<_", |meter, args| ordered(meter, args, Ordering::is_lt)),
    ("_<=_", |meter, args| ordered(meter, args, Ordering::is_le)),
    ("_>_", |meter, args| ordered(meter, args, Ordering::is_gt)),
    ("_>=_", |meter, args| ordered(meter, args, Ordering::is_ge)),
];

/// The pairs of types that have an order.
pub(super) const ORDERED: [(&str, &str); 14] = [
    ("bool", "bool"),
    ("int", "int"),
    ("uint", "uint"),
    ("double", "double"),
    ("string", "string"),
    ("bytes", "bytes"),
    ("timestamp", "timestamp"),
    ("duration", "duration"),
    ("int", "uint"),
    ("int", "double"),
    ("uint", "int"),
    ("uint", "double"),
    ("double", "int"),
    ("double", "uint"),
];

fn whole(number: Option<i64>) -> Outcome {
    number.map(Value::Int).ok_or_else(|| EvalError::failed("integer overflow"))
}

fn natural(number: Option<u64>) -> Outcome {
    number.map(Value::Uint).ok_or_else(|| EvalError::failed("unsigned integer overflow"))
}

fn length(nanoseconds: Option<i64>) -> Outcome {
    nanoseconds.map(Value::Duration).ok_or_else(|| EvalError::failed("duration overflow"))
}

fn shifted(time: Timestamp, by: i128) -> Outcome {
    Timestamp::from_nanosecond(time.as_nanosecond() + by)
        .map(Value::Timestamp)
        .map_err(|_| EvalError::failed("timestamp overflow"))
}

fn equal(meter: &mut Meter, args: &[Value]) -> Outcome {
    take!(args, [a, b] => {
        charge_compare(meter, a, b)?;
        Ok(Value::Bool(a == b))
    })
}

fn charge_compare(meter: &mut Meter, a: &Value, b: &Value) -> Result<(), EvalError> {
    let unordered = |value: &Value| matches!(value, Value::List(list) if list.kind != crate::value::ListKind::Plain);
    if unordered(a) || unordered(b) {
        return meter.charge(a.size().saturating_mul(b.size()));
    }
    let smaller = a.size().min(b.size());
    if matches!(a, Value::List(_) | Value::Map(_)) { meter.charge(smaller) } else { meter.traverse(smaller) }
}

fn ordered(meter: &mut Meter, args: &[Value], holds: fn(Ordering) -> bool) -> Outcome {
    take!(args, [a, b] => {
        meter.traverse(a.size().min(b.size()))?;
        match compare(a, b) {
            Some(ordering) => Ok(Value::Bool(holds(ordering))),
            None if matches!((a, b), (Value::Double(_), _) | (_, Value::Double(_))) && a.size() == b.size() => Ok(Value::Bool(false)),
            None => Err(EvalError::overload()),
        }
    })
}

fn at(_: &mut Meter, args: &[Value]) -> Outcome {
    take!(args, [container, key] => index(container, key))
}

fn maybe_at(_: &mut Meter, args: &[Value]) -> Outcome {
    take!(args, [container, key] => optional(index(container, key).ok()))
}

fn size(_: &mut Meter, args: &[Value]) -> Outcome {
    take!(args, [value] => {
        let size = if let Value::String(text) = value { text.chars().count() as u64 } else { value.size() };
        Ok(Value::Int(size as i64))
    })
}

fn part(args: &[Value], of: fn(&Zoned) -> i64) -> Outcome {
    let (time, zone) = match args {
        [Value::Timestamp(time)] => (time, TimeZone::UTC),
        [Value::Timestamp(time), Value::String(name)] => (time, zone(name)?),
        _ => return Err(EvalError::overload()),
    };
    Ok(Value::Int(of(&time.to_zoned(zone))))
}

/// Reads `+01:00`, `-02:00` or a zone's name.
fn zone(name: &str) -> Result<TimeZone, EvalError> {
    let unknown = || EvalError::failed(format!("unknown time zone {name}"));
    if let Some((hours, minutes)) = name.split_once(':') {
        let sign = if hours.starts_with('-') { -1 } else { 1 };
        let hours: i32 = hours.trim_start_matches(['+', '-']).parse().map_err(|_| unknown())?;
        let minutes: i32 = minutes.parse().map_err(|_| unknown())?;
        if !(0..24).contains(&hours) || !(0..60).contains(&minutes) {
            return Err(unknown());
        }
        let offset = jiff::tz::Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).map_err(|_| unknown())?;
        return Ok(TimeZone::fixed(offset));
    }
    TimeZone::get(name).map_err(|_| unknown())
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null
        | Value::Bool(false)
        | Value::Int(0)
        | Value::Uint(0)
        | Value::Duration(0)
        | Value::Optional(None) => true,
        Value::Double(number) => *number == 0.0,
        Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) => value.size() == 0,
        _ => false,
    }
}
