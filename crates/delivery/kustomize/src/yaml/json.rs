//! JSON as Go's `encoding/json` writes it, and the way there and back that JSON patches take.

use gotmpl::{gofmt, json::Escape, yaml::scalar::is_base_60};
use serde_json::Value;

use super::{
    node::{Key, Node, Scalar, Style, Tag},
    resolve::{Resolved, finish, resolve},
};

/// Appends a node as `json.Marshal` writes what it decodes to: sorted keys, `<`, `>` and `&` escaped.
pub(crate) fn write(out: &mut String, node: &Node) -> Result<(), String> {
    match node {
        Node::Map(map) => {
            let mut order: Vec<usize> = (0..map.entries.len()).collect();
            order.sort_by(|a, b| map.entries[*a].0.text.cmp(&map.entries[*b].0.text));
            out.push('{');
            for (index, at) in order.into_iter().enumerate() {
                let (key, value) = &map.entries[at];
                if index > 0 {
                    out.push(',');
                }
                string(out, &key.text);
                out.push(':');
                write(out, value)?;
            }
            out.push('}');
        }
        Node::Seq(seq) => {
            out.push('[');
            for (index, item) in seq.items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(out, item)?;
            }
            out.push(']');
        }
        Node::Scalar(scalar) => match finish(scalar)? {
            Resolved::Null => out.push_str("null"),
            Resolved::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Resolved::Int(value) => out.push_str(&value.to_string()),
            Resolved::Uint(value) => out.push_str(&value.to_string()),
            Resolved::Float(value) => out.push_str(&gofmt::float_json(value)),
            Resolved::Time(moment) => string(out, &moment),
            Resolved::Text => string(out, &scalar.value),
        },
    }
    Ok(())
}

/// Appends text as `json.Marshal` quotes it.
pub(crate) fn string(out: &mut String, text: &str) {
    gotmpl::json::string(out, text, Escape::Html);
}

/// Returns what a node decodes to.
pub(crate) fn value(node: &Node) -> Result<Value, String> {
    Ok(match node {
        Node::Map(map) => {
            let mut out = serde_json::Map::new();
            for (key, item) in &map.entries {
                out.insert(key.text.to_string(), value(item)?);
            }
            Value::Object(out)
        }
        Node::Seq(seq) => Value::Array(seq.items.iter().map(value).collect::<Result<_, _>>()?),
        Node::Scalar(scalar) => match finish(scalar)? {
            Resolved::Null => Value::Null,
            Resolved::Bool(value) => Value::Bool(value),
            Resolved::Int(value) => value.into(),
            Resolved::Uint(value) => value.into(),
            Resolved::Float(value) => float(value),
            Resolved::Time(moment) => Value::String(moment),
            Resolved::Text => Value::String(scalar.value.to_string()),
        },
    })
}

fn float(value: f64) -> Value {
    // Whole numbers lose their point in JSON.
    match gofmt::float_json(value).parse::<i64>() {
        Ok(whole) => whole.into(),
        Err(_) => value.into(),
    }
}

/// Returns the node that kyaml makes of JSON: every number went through a float, keys are sorted.
pub(crate) fn node(value: &Value) -> Node {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(Key, Node)> =
                map.iter().map(|(key, item)| (Key::text(key.as_str()), node(item))).collect();
            entries.sort_by(|(a, _), (b, _)| a.text.cmp(&b.text));
            Node::map(entries)
        }
        Value::Array(items) => Node::seq(items.iter().map(node).collect()),
        Value::String(text) => {
            let style = match text.contains('\n') {
                true => Style::Literal,
                false if resolve(text) != Resolved::Text || is_base_60(text) || is_old_bool(text) => Style::Double,
                false => Style::Plain,
            };
            Node::Scalar(Scalar::new(text.as_str(), Tag::Str, style))
        }
        Value::Bool(value) => Node::Scalar(Scalar::new(if *value { "true" } else { "false" }, Tag::Bool, Style::Plain)),
        Value::Number(number) => {
            let text = gofmt::float_g(number.as_f64().unwrap_or_default());
            let tag = resolve(&text).tag();
            Node::Scalar(Scalar::new(text, tag, Style::Plain))
        }
        Value::Null => Node::Scalar(Scalar::new("null", Tag::Null, Style::Plain)),
    }
}

pub(crate) fn is_old_bool(text: &str) -> bool {
    matches!(
        text,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF"
    )
}

/// Appends a node as `json.MarshalIndent` with two spaces.
pub(crate) fn pretty(out: &mut String, node: &Node, depth: usize) -> Result<(), String> {
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    match node {
        Node::Map(map) if !map.entries.is_empty() => {
            let mut order: Vec<usize> = (0..map.entries.len()).collect();
            order.sort_by(|a, b| map.entries[*a].0.text.cmp(&map.entries[*b].0.text));
            out.push('{');
            for (index, at) in order.into_iter().enumerate() {
                let (key, value) = &map.entries[at];
                if index > 0 {
                    out.push(',');
                }
                line(out, depth + 1);
                string(out, &key.text);
                out.push_str(": ");
                pretty(out, value, depth + 1)?;
            }
            line(out, depth);
            out.push('}');
            Ok(())
        }
        Node::Seq(seq) if !seq.items.is_empty() => {
            out.push('[');
            for (index, item) in seq.items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(out, depth + 1);
                pretty(out, item, depth + 1)?;
            }
            line(out, depth);
            out.push(']');
            Ok(())
        }
        node => write(out, node),
    }
}
