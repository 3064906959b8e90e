//! TOML as BurntSushi's encoder writes it: plain keys first, then tables, each sorted and indented by its depth.

use std::fmt::Write as _;

use crate::{Value, gofmt, value::Entries};

/// What a key's value is to TOML.
enum Kind {
    Nothing,
    Plain,
    Table,
    Tables,
}

/// Writes a value: a map as a document, anything else as the element that it would be in one.
pub fn write(value: &Value) -> Result<String, String> {
    let value = plain(value);
    let mut out = String::new();
    match &value {
        Value::Map(entries, _) => table(&mut out, &mut Vec::new(), &entries.borrow())?,
        // No document of TOML's, but what the encoder makes of it.
        other => element(&mut out, other)?,
    }
    Ok(out)
}

/// Reads a document into a map.
pub fn read(text: &str) -> Result<Value, String> {
    let document: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        format!("toml: line {line}: {}", error.message())
    })?;
    Ok(from(&toml::Value::Table(document)))
}

fn from(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::str(text),
        toml::Value::Integer(number) => Value::Int64(*number),
        toml::Value::Float(number) => Value::Float(*number),
        toml::Value::Boolean(value) => Value::Bool(*value),
        toml::Value::Datetime(at) => instant(&at.to_string()),
        toml::Value::Array(items) => Value::list(items.iter().map(from).collect()),
        toml::Value::Table(entries) => Value::pairs(entries.iter().map(|(key, value)| (key, from(value)))),
    }
}

fn instant(text: &str) -> Value {
    let utc = jiff::tz::TimeZone::UTC;
    ["2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02", "15:04:05"]
        .iter()
        .find_map(|layout| crate::time::parse(layout, text, &utc).ok())
        .map_or_else(|| Value::str(text), crate::time::Time::value)
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Object(object) if crate::time::of(value).is_none() => object.plain(),
        other => other.clone(),
    }
}

fn kind(value: &Value) -> Result<Kind, String> {
    Ok(match value {
        Value::Nil => Kind::Nothing,
        Value::Map(..) => Kind::Table,
        Value::List(items, _) => {
            if items.iter().any(Value::is_nil) {
                return Err("toml: cannot encode array with nil element".to_owned());
            }
            if !items.is_empty() && items.iter().all(|item| matches!(plain(item), Value::Map(..))) {
                Kind::Tables
            } else {
                Kind::Plain
            }
        }
        _ => Kind::Plain,
    })
}

fn table(out: &mut String, path: &mut Vec<String>, entries: &Entries) -> Result<(), String> {
    let mut below = Vec::new();
    for (key, value) in entries {
        let value = plain(value);
        match kind(&value)? {
            Kind::Nothing => {}
            Kind::Plain => {
                let _infallible = write!(out, "{}{} = ", "  ".repeat(path.len()), quoted_key(key));
                element(out, &value)?;
                out.push('\n');
            }
            Kind::Table | Kind::Tables => below.push((key.to_string(), value)),
        }
    }
    for (key, value) in below {
        path.push(key);
        tables(out, path, &value)?;
        path.pop();
    }
    Ok(())
}

fn tables(out: &mut String, path: &mut Vec<String>, value: &Value) -> Result<(), String> {
    let indent = "  ".repeat(path.len() - 1);
    let name = path.iter().map(|key| quoted_key(key)).collect::<Vec<_>>().join(".");
    match value {
        Value::Map(entries, _) => {
            if path.len() == 1 && !out.is_empty() {
                out.push('\n');
            }
            let _infallible = writeln!(out, "{indent}[{name}]");
            table(out, path, &entries.borrow())
        }
        Value::List(items, _) => {
            for item in items.iter() {
                if !out.is_empty() {
                    out.push('\n');
                }
                let _infallible = writeln!(out, "{indent}[[{name}]]");
                if let Value::Map(entries, _) = plain(item) {
                    table(out, path, &entries.borrow())?;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn element(out: &mut String, value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) => quoted(out, text),
        Value::Float(number) if number.is_nan() => out.push_str("nan"),
        Value::Float(number) if number.is_infinite() => out.push_str(if *number < 0.0 { "-inf" } else { "inf" }),
        Value::Float(number) => {
            let shown = gofmt::float_g(*number);
            out.push_str(&shown);
            if !shown.contains(['.', 'e']) {
                out.push_str(".0");
            }
        }
        Value::List(items, _) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                element(out, &plain(item))?;
            }
            out.push(']');
        }
        Value::Map(entries, _) => inline(out, &entries.borrow())?,
        Value::Object(_) => match crate::time::of(value) {
            Some(time) => out.push_str(&crate::time::format(&time.0, "2006-01-02T15:04:05.999999999Z07:00")),
            None => element(out, &plain(value))?,
        },
        other => gofmt::write_v(out, other),
    }
    Ok(())
}

fn inline(out: &mut String, entries: &Entries) -> Result<(), String> {
    let (mut direct, mut below) = (Vec::new(), Vec::new());
    for (key, value) in entries {
        let value = plain(value);
        match kind(&value)? {
            Kind::Nothing | Kind::Plain => direct.push((key, value)),
            Kind::Table | Kind::Tables => below.push((key, value)),
        }
    }
    out.push('{');
    let last = direct.len() + below.len();
    for (index, (key, value)) in direct.into_iter().chain(below).enumerate() {
        if value.is_nil() {
            continue;
        }
        let _infallible = write!(out, "{} = ", quoted_key(key));
        element(out, &value)?;
        if index + 1 < last {
            out.push_str(", ");
        }
    }
    out.push('}');
    Ok(())
}

fn quoted_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.chars().all(bare) {
        return key.to_owned();
    }
    let mut out = String::new();
    quoted(&mut out, key);
    out
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => {
                let _infallible = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
