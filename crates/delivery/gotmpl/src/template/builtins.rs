//! The functions that Go's `text/template` has by itself.

use std::{cmp::Ordering, fmt::Write as _};

use super::{Call, Funcs};
use crate::{
    Value,
    gofmt::{self, verb_v},
};

pub(super) fn add(funcs: &mut Funcs) {
    funcs.add_call("and", "aa*", Call::Circuit { stop: false });
    funcs.add_call("or", "aa*", Call::Circuit { stop: true });
    funcs.add("not", "a", |args| Ok(Value::Bool(!args[0].truth())));
    funcs.add("len", "a", |args| len(&args[0]));
    funcs.add("index", "aa*", index);
    funcs.add("slice", "aa*", slice);
    funcs.add("eq", "aa*", |args| eq(args).map(Value::Bool));
    funcs.add("ne", "aa", |args| eq(args).map(|equal| Value::Bool(!equal)));
    funcs.add("lt", "aa", |args| less(&args[0], &args[1]).map(Value::Bool));
    funcs.add("le", "aa", |args| less_or_equal(&args[0], &args[1]).map(Value::Bool));
    funcs.add("gt", "aa", |args| less_or_equal(&args[0], &args[1]).map(|le| Value::Bool(!le)));
    funcs.add("ge", "aa", |args| less(&args[0], &args[1]).map(|lt| Value::Bool(!lt)));
    funcs.add("print", "a*", |args| Ok(Value::str(print(args))));
    funcs.add("println", "a*", |args| Ok(Value::str(args.iter().map(verb_v).collect::<Vec<_>>().join(" ") + "\n")));
    funcs.add("printf", "sa*", |args| Ok(Value::str(gofmt::sprintf(args[0].as_str().unwrap_or_default(), &args[1..]))));
    funcs.add("html", "a*", |args| Ok(Value::str(html(&print(args)))));
    funcs.add("js", "a*", |args| Ok(Value::str(js(&print(args)))));
    funcs.add("urlquery", "a*", |args| Ok(Value::str(query(&print(args)))));
    funcs.add_call("call", "aa*", Call::Apply);
}

/// `fmt.Sprint`: a space between operands when neither is a string.
pub(crate) fn print(args: &[Value]) -> String {
    let mut out = String::new();
    for (index, arg) in args.iter().enumerate() {
        let text = |value: &Value| matches!(value, Value::Str(_));
        if index > 0 && !text(arg) && !text(&args[index - 1]) {
            out.push(' ');
        }
        gofmt::write_v(&mut out, arg);
    }
    out
}

fn len(value: &Value) -> Result<Value, String> {
    let count = match value {
        Value::Str(text) => text.len(),
        Value::List(items, _) => items.len(),
        Value::Map(entries, _) => entries.borrow().len(),
        Value::Nil => return Err("len of nil pointer".to_owned()),
        Value::Object(object) => match object.plain() {
            Value::List(items, _) => items.len(),
            Value::Map(entries, _) if object.type_name() == "engine.files" => entries.borrow().len(),
            _ => return Err(format!("len of type {}", object.type_name())),
        },
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(count as i64))
}

fn position(index: &Value, cap: usize) -> Result<usize, String> {
    match index {
        Value::Int(value) | Value::Int64(value) => match usize::try_from(*value) {
            Ok(at) if at <= cap => Ok(at),
            _ => Err(format!("index out of range: {value}")),
        },
        Value::Nil => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!("cannot index slice/array with type {}", other.type_name())),
    }
}

fn index(args: &[Value]) -> Result<Value, String> {
    let mut item = args[0].clone();
    if item.is_nil() {
        return Err("index of untyped nil".to_owned());
    }
    for key in &args[1..] {
        if let Value::Object(object) = &item {
            item = object.plain();
        }
        item = match &item {
            Value::Nil => return Err("index of nil pointer".to_owned()),
            Value::List(items, _) => {
                let at = position(key, items.len())?;
                items.get(at).cloned().ok_or_else(|| format!("index out of range: {at}"))?
            }
            Value::Str(text) => {
                let at = position(key, text.len())?;
                text.as_bytes()
                    .get(at)
                    .map(|byte| Value::Int(i64::from(*byte)))
                    .ok_or_else(|| format!("index out of range: {at}"))?
            }
            Value::Map(entries, elem) => match key {
                Value::Str(key) => {
                    let zero = if elem.is_any() { Value::Nil } else { Value::str("") };
                    entries.borrow().get(key).cloned().unwrap_or(zero)
                }
                Value::Nil => return Err("value is nil; should be of type string".to_owned()),
                other => return Err(format!("value has type {}; should be string", other.type_name())),
            },
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

fn slice(args: &[Value]) -> Result<Value, String> {
    let item = &args[0];
    let indexes = &args[1..];
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let size = match item {
        Value::Nil => return Err("slice of untyped nil".to_owned()),
        Value::Str(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".to_owned()),
        Value::Str(text) => text.len(),
        Value::List(items, _) => items.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut range = [0, size, size];
    for (slot, index) in range.iter_mut().zip(indexes) {
        *slot = position(index, size)?;
    }
    let [start, end, _] = range;
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    Ok(match item {
        Value::Str(text) => Value::str(String::from_utf8_lossy(&text.as_bytes()[start..end])),
        Value::List(items, elem) => Value::List(items[start..end].to_vec().into(), *elem),
        _ => Value::Nil,
    })
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value) | Value::Int64(value) => Some(*value),
        _ => None,
    }
}

fn eq(args: &[Value]) -> Result<bool, String> {
    let first = &args[0];
    if args.len() < 2 {
        return Err("missing argument for comparison".to_owned());
    }
    for other in &args[1..] {
        let equal = match (first, other) {
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Str(a), Value::Str(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Nil, other) | (other, Value::Nil) => other.is_nil(),
            // A struct of basic types can be compared: instants are the ones that templates meet.
            (Value::Object(a), Value::Object(b)) if a.type_name() == "time.Time" && b.type_name() == "time.Time" => {
                a.text() == b.text()
            }
            (a, b) => match (number(a), number(b)) {
                (Some(a), Some(b)) => a == b,
                _ if basic(a) && basic(b) => {
                    return Err(format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()));
                }
                _ if basic(a) || basic(b) => {
                    return Err(format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()));
                }
                _ if a.kind() != b.kind() => {
                    return Err(format!(
                        "non-comparable types {}: {}, {}: {}",
                        gofmt::sprintf("%s", std::slice::from_ref(a)),
                        a.type_name(),
                        b.type_name(),
                        verb_v(b)
                    ));
                }
                _ => {
                    return Err(format!(
                        "non-comparable type {}: {}",
                        gofmt::sprintf("%s", std::slice::from_ref(b)),
                        b.type_name()
                    ));
                }
            },
        };
        if equal {
            return Ok(true);
        }
    }
    Ok(false)
}

fn basic(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Int64(_) | Value::Float(_) | Value::Str(_))
}

fn less(a: &Value, b: &Value) -> Result<bool, String> {
    compare(a, b).map(|order| order == Some(Ordering::Less))
}

fn less_or_equal(a: &Value, b: &Value) -> Result<bool, String> {
    compare(a, b).map(|order| matches!(order, Some(Ordering::Less | Ordering::Equal)))
}

fn compare(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    if !basic(a) || !basic(b) {
        return Err("invalid type for comparison".to_owned());
    }
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => Ok(Some(a.as_bytes().cmp(b.as_bytes()))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Bool(_), Value::Bool(_)) => Err("invalid type for comparison".to_owned()),
        (a, b) => match (number(a), number(b)) {
            (Some(a), Some(b)) => Ok(Some(a.cmp(&b))),
            _ => Err(format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name())),
        },
    }
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' => out.push_str("\\u003C"),
            '>' => out.push_str("\\u003E"),
            '&' => out.push_str("\\u0026"),
            '=' => out.push_str("\\u003D"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// `url.QueryEscape`.
pub(crate) fn query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => out.push(b as char),
            b => {
                let _ = write!(out, "%{b:02X}");
            }
        }
    }
    out
}
