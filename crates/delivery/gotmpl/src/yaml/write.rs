//! Values to text as `go-yaml` v2 writes it after a pass through JSON.

use std::{cmp::Ordering, rc::Rc};

use super::resolve;
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
            let keys = in_order(entries.iter().collect());
            for (index, (key, value)) in keys.into_iter().enumerate() {
                if index > 0 {
                    pad(out, indent);
                }
                self::key(out, key, indent);
                child(out, value, indent, form);
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

fn key(out: &mut String, key: &str, indent: usize) {
    let start = out.len();
    text(out, key, indent, Place::Key);
    // go-yaml writes long keys in the explicit form.
    if key.len() > 128 || key.contains('\n') {
        let shown = out.split_off(start);
        out.push_str("? ");
        out.push_str(&shown);
        out.push('\n');
        pad(out, indent);
    }
    out.push(':');
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
        Value::Str(value) => {
            text(out, value, indent, if form == Form::Pretty { Place::Unfolded } else { Place::Value });
        }
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

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn text(out: &mut String, text: &str, indent: usize, place: Place) {
    let simple_key = place == Place::Key;
    let shape = analyse(text);
    let plain = resolve::reads_as_text(text) && !is_base_60(text);
    if text.contains('\n') && !simple_key && shape.block_allowed {
        return literal(out, text, indent);
    }
    if plain && !text.contains('\n') && shape.plain_allowed {
        return folded(out, text, indent, place);
    }
    if plain && !text.contains('\n') && shape.single_allowed {
        out.push('\'');
        folded(out, &text.replace('\'', "''"), indent, place);
        out.push('\'');
        return;
    }
    double(out, text, indent, place);
}

/// Where a text stands: go-yaml v2 folds long ones, but not keys, and v3 folds none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Key,
    Value,
    Unfolded,
}

/// The column after which a line is folded.
const WIDTH: usize = 80;

fn column(out: &str) -> usize {
    let start = out.rfind('\n').map_or(0, |at| at + 1);
    out[start..].chars().count()
}

/// Writes text, and ends the line at a single space behind the last column.
fn folded(out: &mut String, text: &str, indent: usize, place: Place) {
    let mut at = column(out);
    if place != Place::Value || at + text.len() <= WIDTH {
        return out.push_str(text);
    }
    let quoted = out.ends_with('\'');
    let (mut spaces, mut chars) = (false, text.char_indices().peekable());
    while let Some((index, c)) = chars.next() {
        let next_is_space = chars.peek().is_some_and(|(_, next)| *next == ' ');
        let inner = !quoted || index > 0 && index + 1 < text.len();
        if c == ' ' && !spaces && at > WIDTH && inner && !next_is_space {
            out.push('\n');
            pad(out, indent);
            at = indent;
        } else {
            out.push(c);
            at += 1;
        }
        spaces = c == ' ';
    }
}

struct Shape {
    plain_allowed: bool,
    single_allowed: bool,
    block_allowed: bool,
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_printable(c: char) -> bool {
    // go-yaml counts nothing beyond the basic plane as printable.
    matches!(c, '\n' | '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

/// `yaml_emitter_analyze_scalar`.
fn analyse(text: &str) -> Shape {
    let mut block_indicators = text.starts_with("---") || text.starts_with("...");
    let (mut special, mut breaks) = (false, false);
    let (mut break_space, mut space_break) = (false, false);
    let (mut after_space, mut after_break) = (false, false);
    let mut preceded_by_blank = true;
    let mut chars = text.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        let followed_by_blank = chars.peek().is_none_or(|c| matches!(c, ' ' | '\t'));
        if first {
            block_indicators |= "#,[]{}&*!|>'\"%@`".contains(c) || (matches!(c, '?' | ':' | '-') && followed_by_blank);
        } else {
            block_indicators |= (c == ':' && followed_by_blank) || (c == '#' && preceded_by_blank);
        }
        special |= !is_printable(c);
        if c == ' ' {
            break_space |= after_break;
            after_space = true;
            after_break = false;
        } else if is_break(c) {
            breaks = true;
            space_break |= after_space;
            after_space = false;
            after_break = true;
        } else {
            after_space = false;
            after_break = false;
        }
        preceded_by_blank = matches!(c, ' ' | '\t') || is_break(c);
        first = false;
    }
    let edge = |c: Option<char>| c.is_some_and(|c| c == ' ' || is_break(c));
    let spaced = edge(text.chars().next()) || edge(text.chars().next_back());
    Shape {
        plain_allowed: !(spaced || break_space || space_break || special || breaks || block_indicators),
        single_allowed: !(break_space || space_break || special),
        block_allowed: !(text.is_empty() || text.ends_with(' ') || space_break || special),
    }
}

fn literal(out: &mut String, text: &str, indent: usize) {
    out.push('|');
    if text.starts_with(' ') || text.starts_with(is_break) {
        out.push('2');
    }
    let mut ends = text.chars().rev();
    match (ends.next().is_some_and(is_break), ends.next()) {
        (false, _) => out.push('-'),
        (true, None) => out.push('+'),
        (true, Some(c)) if is_break(c) => out.push('+'),
        _ => {}
    }
    out.push('\n');
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
    }
    // The caller ends the line; text that ends with a break has done so.
    if text.ends_with('\n') {
        out.pop();
    }
}

fn double(out: &mut String, text: &str, indent: usize, place: Place) {
    use std::fmt::Write as _;
    out.push('"');
    // go-yaml looks for a byte order mark at the start of the text whichever character it is at.
    let marked = text.starts_with('\u{feff}');
    let (mut at, mut spaces) = (column(out), false);
    let mut chars = text.char_indices().peekable();
    while let Some((index, c)) = chars.next() {
        let before = out.len();
        let next_is_space = chars.peek().is_some_and(|(_, next)| *next == ' ');
        if c == ' ' && place == Place::Value && !spaces && at > WIDTH && index > 0 && index + 1 < text.len() {
            out.push('\n');
            pad(out, indent);
            at = indent;
            // A space at the start of a line would be lost.
            if next_is_space {
                out.push('\\');
                at += 1;
            }
            spaces = true;
            continue;
        }
        spaces = c == ' ';
        if is_printable(c) && !is_break(c) && c != '"' && c != '\\' && !marked {
            out.push(c);
            at += 1;
            continue;
        }
        out.push('\\');
        match c {
            '\0' => out.push('0'),
            '\u{7}' => out.push('a'),
            '\u{8}' => out.push('b'),
            '\t' => out.push('t'),
            '\n' => out.push('n'),
            '\u{b}' => out.push('v'),
            '\u{c}' => out.push('f'),
            '\r' => out.push('r'),
            '\u{1b}' => out.push('e'),
            '"' => out.push('"'),
            '\\' => out.push('\\'),
            '\u{85}' => out.push('N'),
            '\u{a0}' => out.push('_'),
            '\u{2028}' => out.push('L'),
            '\u{2029}' => out.push('P'),
            c => {
                let code = c as u32;
                let written = match code {
                    0..=0xff => write!(out, "x{code:02X}"),
                    0x100..=0xffff => write!(out, "u{code:04X}"),
                    _ => write!(out, "U{code:08X}"),
                };
                debug_assert!(written.is_ok(), "writing to a String cannot fail");
            }
        }
        at += out.len() - before;
    }
    out.push('"');
}

/// `^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$`.
fn is_base_60(text: &str) -> bool {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (body, fraction) = body.split_once('.').map_or((body, ""), |(body, fraction)| (body, fraction));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut parts = body.split(':');
    let head = parts.next().unwrap_or_default();
    let mut count = 0;
    let tail = parts.all(|part| {
        count += 1;
        matches!(part.as_bytes(), [b] if b.is_ascii_digit())
            || matches!(part.as_bytes(), [a, b] if (b'0'..=b'5').contains(a) && b.is_ascii_digit())
    });
    count > 0 && tail && digits(fraction) && digits(head) && head.starts_with(|c: char| c.is_ascii_digit())
}

/// Puts entries in go-yaml's order.
///
/// That order goes in circles at times (`x10` before `x1y` before `x2a` before `x10`), and the standard library may
/// panic on such a one; this merges, and ends with some order.
fn in_order<'v>(entries: Vec<(&'v Rc<str>, &'v Value)>) -> Vec<(&'v Rc<str>, &'v Value)> {
    if entries.len() < 2 || entries.windows(2).all(|pair| natural(pair[0].0, pair[1].0) == Ordering::Less) {
        return entries;
    }
    let mut left = entries;
    let right = left.split_off(left.len() / 2);
    let (left, right) = (in_order(left), in_order(right));
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if natural(a.0, b.0) == Ordering::Greater { &mut right } else { &mut left };
        merged.extend(next.next());
    }
    merged.extend(left);
    merged.extend(right);
    merged
}

/// go-yaml's order of keys: letters after other signs, runs of digits by their number.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    for i in 0..a.len().min(b.len()) {
        if a[i] == b[i] {
            continue;
        }
        let (al, bl) = (a[i].is_alphabetic(), b[i].is_alphabetic());
        if al && bl {
            return a[i].cmp(&b[i]);
        }
        if al || bl {
            return if bl { Ordering::Less } else { Ordering::Greater };
        }
        let (mut an, mut bn) = (0_i64, 0_i64);
        if a[i] == '0' || b[i] == '0' {
            for j in (0..i).rev() {
                if !a[j].is_ascii_digit() {
                    break;
                }
                if a[j] != '0' {
                    (an, bn) = (1, 1);
                    break;
                }
            }
        }
        let run = |chars: &[char], mut number: i64| {
            let mut end = i;
            while let Some(digit) = chars.get(end).and_then(|c| c.to_digit(10)) {
                number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
                end += 1;
            }
            (number, end)
        };
        let ((an, ai), (bn, bi)) = (run(&a, an), run(&b, bn));
        return an.cmp(&bn).then(ai.cmp(&bi)).then(a[i].cmp(&b[i]));
    }
    a.len().cmp(&b.len())
}
