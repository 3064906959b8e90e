//! Values to text as `go-yaml` v2 writes it after a pass through JSON.

use super::{
    order::in_order,
    resolve,
    scalar::{self, NARROW, Place, WIDE, Wish, is_base_60, is_break},
};
use crate::{Value, gofmt};

/// The two ways in which Go's YAML libraries lay a document out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Version 2 after a pass through JSON: lists stand under their key.
    Usual,
    /// Version 3: lists are indented, numbers are as Go holds them.
    Pretty,
}

/// Writes a value with a last newline, as `sigs.k8s.io/yaml`'s `Marshal`.
pub fn write(value: &Value) -> String {
    whole(value, Form::Usual)
}

/// Writes a value with a last newline, as `go-yaml` v3 with an indent of 2: lists are indented too.
pub fn write_pretty(value: &Value) -> String {
    whole(value, Form::Pretty)
}

fn whole(value: &Value, form: Form) -> String {
    let mut out = String::new();
    node(&mut out, value, 0, false, form);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Writes a node whose first character comes at the present column; `indent` is that of its own lines.
fn node(out: &mut String, value: &Value, indent: usize, in_sequence: bool, form: Form) {
    match value {
        Value::Object(object) => node(out, &object.plain(), indent, in_sequence, form),
        Value::Map(entries, _) => {
            let entries = entries.borrow();
            if entries.is_empty() {
                return out.push_str("{}\n");
            }
            let keys = in_order(entries.iter().collect(), |(key, _)| key);
            for (index, (key, value)) in keys.into_iter().enumerate() {
                if index > 0 {
                    pad(out, indent);
                }
                entry(out, key, value, indent, form);
            }
        }
        Value::List(items, _) => {
            if items.is_empty() {
                return out.push_str("[]\n");
            }
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    pad(out, indent);
                }
                out.push_str("- ");
                node(out, item, indent + 2, true, form);
            }
        }
        scalar => {
            // In a sequence the text stands deeper than the dash; at the top, block text is not indented less than 2.
            self::scalar(out, scalar, if in_sequence { indent } else { indent.max(2) }, form);
            out.push('\n');
        }
    }
}

fn entry(out: &mut String, key: &str, value: &Value, indent: usize, form: Form) {
    // Long keys, and those of several lines, are written in the explicit form: as an item is.
    if key.len() > 128 || key.contains(is_break) {
        out.push_str("? ");
        text(out, key, Place::Value(indent + 2), form);
        out.push('\n');
        pad(out, indent);
        out.push_str(": ");
        return node(out, value, indent + 2, true, form);
    }
    text(out, key, Place::Key, Form::Usual);
    out.push(':');
    child(out, value, indent, form);
}

fn child(out: &mut String, value: &Value, indent: usize, form: Form) {
    match value {
        Value::Object(object) => child(out, &object.plain(), indent, form),
        Value::Map(entries, _) if !entries.borrow().is_empty() => {
            out.push('\n');
            pad(out, indent + 2);
            node(out, value, indent + 2, false, form);
        }
        Value::List(items, _) if !items.is_empty() => {
            out.push('\n');
            let indent = if form == Form::Pretty { indent + 2 } else { indent };
            pad(out, indent);
            node(out, value, indent, false, form);
        }
        Value::Map(..) | Value::List(..) => {
            out.push(' ');
            node(out, value, indent, false, form);
        }
        scalar => {
            out.push(' ');
            self::scalar(out, scalar, indent + 2, form);
            out.push('\n');
        }
    }
}

fn scalar(out: &mut String, value: &Value, indent: usize, form: Form) {
    match value {
        Value::Nil => out.push_str("null"),
        Value::Str(value) if form == Form::Usual && value.contains(NEXT_LINE) => {
            text(out, &as_json_reads(value), Place::Value(indent), form);
        }
        Value::Str(value) => text(out, value, Place::Value(indent), form),
        Value::Float(value) if form == Form::Pretty => out.push_str(&gofmt::float_yaml(*value)),
        Value::Float(value) => {
            let json = gofmt::float_json(*value);
            // A whole number is a whole number again after the pass through JSON.
            match json.parse::<i64>() {
                Ok(_) => out.push_str(&json),
                Err(_) => out.push_str(&gofmt::float_g(*value)),
            }
        }
        other => gofmt::write_v(out, other),
    }
}

/// The line end that JSON leaves as it is and YAML takes for one.
const NEXT_LINE: char = '\u{85}';

/// What is left of a text on its way through JSON that is read as YAML: a line end becomes a blank, several become one
/// less, and the blanks around them go.
fn as_json_reads(text: &str) -> String {
    let (mut out, mut blanks, mut ends) = (String::with_capacity(text.len()), 0, 0);
    for c in text.chars().map(Some).chain([None]) {
        match c {
            Some(' ') => blanks += usize::from(ends == 0),
            Some(NEXT_LINE) => ends += 1,
            c => {
                match std::mem::take(&mut ends) {
                    0 => pad(&mut out, blanks),
                    1 => out.push(' '),
                    more => out.extend(std::iter::repeat_n('\n', more - 1)),
                }
                blanks = 0;
                out.extend(c);
            }
        }
    }
    out
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn text(out: &mut String, text: &str, place: Place, form: Form) {
    let wish = if text.contains('\n') {
        Wish::Literal
    } else if resolve::reads_as_text(text) && !is_base_60(text) {
        Wish::Plain
    } else {
        Wish::Double
    };
    scalar::scalar(out, text, wish, place, if form == Form::Pretty { WIDE } else { NARROW });
}
