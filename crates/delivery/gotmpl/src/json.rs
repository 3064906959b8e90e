//! JSON as Go's `encoding/json` writes it: sorted keys, `<`, `>` and `&` escaped.

use std::fmt::Write as _;

use crate::{Value, gofmt};

/// How text is escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// `json.Marshal`: `<`, `>`, `&` as `\u003c`, …
    Html,
    /// `SetEscapeHTML(false)`.
    Raw,
}

/// Writes a value on one line.
pub fn compact(value: &Value, escape: Escape) -> String {
    let mut out = String::new();
    write(&mut out, value, escape, None, 0);
    out
}

/// Writes a value as `json.MarshalIndent(value, "", "  ")`.
pub fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, Escape::Html, Some(2), 0);
    out
}

/// Reads JSON into a value whose numbers are floats, as `json.Unmarshal` into `interface{}`.
///
/// The error is in Go's words as far as one character says it all.
pub fn read(text: &str) -> Result<Value, String> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => Ok(Value::from_json(&json).floats()),
        Err(error) if error.is_eof() => Err("unexpected end of JSON input".to_owned()),
        Err(error) => {
            let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
            let at = line.char_indices().map(|(at, _)| at).take_while(|at| *at < error.column()).last().unwrap_or(0);
            let odd = line[at..].chars().next().unwrap_or_default();
            let place = if error.to_string().starts_with("trailing") {
                "after top-level value"
            } else {
                "looking for beginning of value"
            };
            Err(format!("invalid character '{odd}' {place}"))
        }
    }
}

fn write(out: &mut String, value: &Value, escape: Escape, indent: Option<usize>, depth: usize) {
    let newline = |out: &mut String, depth: usize| {
        if let Some(width) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', width * depth));
        }
    };
    match value {
        Value::Nil => out.push_str("null"),
        Value::Float(value) => out.push_str(&gofmt::float_json(*value)),
        Value::Str(text) => string(out, text, escape),
        Value::List(items, _) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                newline(out, depth + 1);
                write(out, item, escape, indent, depth + 1);
            }
            if !items.is_empty() {
                newline(out, depth);
            }
            out.push(']');
        }
        Value::Map(entries, _) => {
            let entries = entries.borrow();
            out.push('{');
            for (index, (key, item)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                newline(out, depth + 1);
                string(out, key, escape);
                out.push(':');
                if indent.is_some() {
                    out.push(' ');
                }
                write(out, item, escape, indent, depth + 1);
            }
            if !entries.is_empty() {
                newline(out, depth);
            }
            out.push('}');
        }
        Value::Object(object) => write(out, &object.plain(), escape, indent, depth),
        other => gofmt::write_v(out, other),
    }
}

/// Appends text between quotes.
pub fn string(out: &mut String, text: &str, escape: Escape) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' if escape == Escape::Html => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_as_encoding_json_does() {
        let value = Value::pairs([("b", Value::str("<a>")), ("a", Value::list(vec![Value::Float(1.0), Value::Nil]))]);
        assert_eq!(compact(&value, Escape::Html), r#"{"a":[1,null],"b":"\u003ca\u003e"}"#);
        assert_eq!(compact(&value, Escape::Raw), r#"{"a":[1,null],"b":"<a>"}"#);
        assert_eq!(pretty(&value), "{\n  \"a\": [\n    1,\n    null\n  ],\n  \"b\": \"\\u003ca\\u003e\"\n}");
    }
}
