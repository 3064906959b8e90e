//! What `kustomize build` prints of a resource: through JSON, then go-yaml v2 with sorted keys.

use std::cmp::Ordering;

use gotmpl::{
    Value, gofmt,
    yaml::{
        order::{in_order, natural},
        scalar::{NARROW, Place, Wish, is_base_60, is_plain_word, scalar},
    },
};

use super::{
    node::{Map, Node, Scalar},
    resolve::{Resolved, finish},
};

/// Appends a resource as a document.
pub(crate) fn document(out: &mut String, node: &Node) -> Result<(), String> {
    if let Node::Scalar(_) = node {
        return Err("a resource is no mapping".to_owned());
    }
    self::node(out, node, 0)?;
    if !out.ends_with('\n') {
        out.push('\n');
    }
    Ok(())
}

/// Writes a node whose first character comes at the present column; `indent` is that of its own lines.
fn node(out: &mut String, node: &Node, indent: usize) -> Result<(), String> {
    match node {
        Node::Map(map) => {
            if map.entries.is_empty() {
                out.push_str("{}\n");
                return Ok(());
            }
            for (index, at) in order(map).into_iter().enumerate() {
                let (key, value) = &map.entries[at];
                if key.odd && indent > 0 {
                    return Err("json: unsupported type: map[interface {}]interface {}".to_owned());
                }
                if index > 0 {
                    pad(out, indent);
                }
                self::key(out, &key.text, indent);
                child(out, value, indent)?;
            }
        }
        Node::Seq(seq) => {
            if seq.items.is_empty() {
                out.push_str("[]\n");
                return Ok(());
            }
            for (index, item) in seq.items.iter().enumerate() {
                if index > 0 {
                    pad(out, indent);
                }
                out.push_str("- ");
                match item {
                    Node::Scalar(scalar) => {
                        value(out, scalar, indent + 2)?;
                        out.push('\n');
                    }
                    item => self::node(out, item, indent + 2)?,
                }
            }
        }
        Node::Scalar(scalar) => {
            value(out, scalar, indent + 2)?;
            out.push('\n');
        }
    }
    Ok(())
}

fn key(out: &mut String, key: &str, indent: usize) {
    if is_plain_word(key) && key.len() <= 128 && key.len() > 5 {
        out.push_str(key);
        out.push(':');
        return;
    }
    let start = out.len();
    text(out, key, Place::Key);
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

fn child(out: &mut String, value: &Node, indent: usize) -> Result<(), String> {
    match value {
        Node::Map(map) if !map.entries.is_empty() => {
            out.push('\n');
            pad(out, indent + 2);
            node(out, value, indent + 2)
        }
        Node::Seq(seq) if !seq.items.is_empty() => {
            out.push('\n');
            pad(out, indent);
            node(out, value, indent)
        }
        value => {
            out.push(' ');
            node(out, value, indent)
        }
    }
}

fn value(out: &mut String, value: &Scalar, indent: usize) -> Result<(), String> {
    match finish(value)? {
        Resolved::Text => text(out, &value.value, Place::Value(indent)),
        Resolved::Null => out.push_str("null"),
        Resolved::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Resolved::Int(value) => out.push_str(&value.to_string()),
        Resolved::Uint(value) => out.push_str(&value.to_string()),
        Resolved::Time(moment) => text(out, &moment, Place::Value(indent)),
        Resolved::Float(value) => {
            if !value.is_finite() {
                return Err(format!("json: unsupported value: {}", gofmt::float_g(value)));
            }
            let json = gofmt::float_json(value);
            // A whole number is a whole number again after the pass through JSON.
            if json.parse::<i64>().is_ok() || json.parse::<u64>().is_ok() {
                out.push_str(&json);
            } else {
                out.push_str(&gofmt::float_g(value));
            }
        }
    }
    Ok(())
}

/// Writes text as go-yaml v2's encoder does.
pub(crate) fn text(out: &mut String, text: &str, place: Place) {
    let wish = if text.contains('\n') {
        Wish::Literal
    } else if reads_as_text(text) {
        Wish::Plain
    } else {
        Wish::Double
    };
    if wish == Wish::Plain && is_plain_word(text) {
        return out.push_str(text);
    }
    scalar(out, text, wish, place, NARROW);
}

/// Returns whether go-yaml v2 would read a plain scalar back as this text.
fn reads_as_text(text: &str) -> bool {
    let Some(first) = text.as_bytes().first() else { return false };
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' => {
            matches!(gotmpl::yaml::plain(text), Value::Str(_))
                && !is_base_60(text)
                && super::resolve::timestamp(text).is_none()
        }
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => {
            text.len() > 5 || matches!(gotmpl::yaml::plain(text), Value::Str(_))
        }
        // The merge key is quoted as the name of something else.
        b'<' => text != "<<",
        _ => true,
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Returns the positions of a mapping's fields in go-yaml's order.
fn order(map: &Map) -> Vec<usize> {
    let name = |at: &usize| &*map.entries[*at].0.text;
    let mut order: Vec<usize> = (0..map.entries.len()).collect();
    // Where go-yaml's order decides nothing, that of the bytes does.
    if order.is_sorted_by(|a, b| natural(name(a), name(b)) == Ordering::Less) {
        return order;
    }
    order.sort_by(|a, b| name(a).cmp(name(b)));
    in_order(order, name)
}
