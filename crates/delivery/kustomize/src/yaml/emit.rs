//! YAML as kyaml writes a tree back (go-yaml v3): fields in their order, styles kept.
//!
//! Comments are not in the tree; callers refuse texts that have some.

use gotmpl::yaml::scalar::{Place, WIDE, Wish, is_base_60, scalar};

use super::{
    node::{Key, Node, Scalar, Style, Tag},
    resolve::{resolve, tag_name},
};

/// Returns a document.
pub(crate) fn emit(node: &Node) -> String {
    let mut out = String::new();
    block(&mut out, node, 0, false);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

fn block(out: &mut String, node: &Node, indent: usize, in_seq: bool) {
    match node {
        Node::Map(map) if map.flow || map.entries.is_empty() => flow_line(out, node, indent),
        Node::Seq(seq) if seq.flow || seq.items.is_empty() => flow_line(out, node, indent),
        Node::Map(map) => {
            for (index, (key, value)) in map.entries.iter().enumerate() {
                if index > 0 {
                    pad(out, indent);
                }
                self::key(out, key);
                match value {
                    Node::Map(map) if !map.flow && !map.entries.is_empty() => {
                        out.push('\n');
                        pad(out, indent + 2);
                        block(out, value, indent + 2, false);
                    }
                    Node::Seq(seq) if !seq.flow && !seq.items.is_empty() => {
                        out.push('\n');
                        pad(out, indent);
                        block(out, value, indent, false);
                    }
                    Node::Scalar(scalar) if scalar.value.is_empty() && scalar.tag == Tag::Null => out.push('\n'),
                    value => {
                        out.push(' ');
                        block(out, value, indent, false);
                    }
                }
            }
        }
        Node::Seq(seq) => {
            for (index, item) in seq.items.iter().enumerate() {
                if index > 0 {
                    pad(out, indent);
                }
                out.push_str("- ");
                block(out, item, indent + 2, true);
            }
        }
        Node::Scalar(scalar) => {
            text(out, scalar, Place::Value(if in_seq { indent } else { indent + 2 }));
            out.push('\n');
        }
    }
}

fn flow_line(out: &mut String, node: &Node, indent: usize) {
    flow(out, node, indent);
    out.push('\n');
}

fn flow(out: &mut String, node: &Node, indent: usize) {
    match node {
        Node::Map(map) => {
            out.push('{');
            for (index, (key, value)) in map.entries.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                self::key(out, key);
                out.push(' ');
                flow(out, value, indent);
            }
            out.push('}');
        }
        Node::Seq(seq) => {
            out.push('[');
            for (index, item) in seq.items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                flow(out, item, indent);
            }
            out.push(']');
        }
        Node::Scalar(scalar) => text(out, scalar, Place::Flow(indent + 2)),
    }
}

fn key(out: &mut String, key: &Key) {
    let mut scalar = Scalar::new(key.text.clone(), if key.odd { Tag::Empty } else { Tag::Str }, key.style);
    if key.style == Style::Plain && key.odd {
        scalar.tag = Tag::Empty;
    }
    text(out, &scalar, Place::Key);
    out.push(':');
}

fn text(out: &mut String, value: &Scalar, place: Place) {
    let mut forced = false;
    if value.tagged {
        out.push_str(tag_name(value.tag));
        out.push(' ');
    } else if value.style == Style::Plain && value.tag != Tag::Empty {
        let found = resolve(&value.value).tag();
        if found != value.tag && value.tag == Tag::Str {
            forced = true;
        } else if found != value.tag {
            out.push_str(tag_name(value.tag));
            out.push(' ');
        }
        forced |= value.tag == Tag::Str && &*value.value == "<<";
    }
    let wish = match value.style {
        Style::Double => Wish::Double,
        Style::Single => Wish::Single,
        Style::Literal => Wish::Literal,
        Style::Folded => Wish::Folded,
        Style::Plain if value.value.contains('\n') => Wish::Literal,
        Style::Plain if forced => Wish::Double,
        Style::Plain => Wish::Plain,
    };
    scalar(out, &value.value, wish, place, WIDE);
}

/// Returns the style in which go-yaml v3 marshals text that is no node.
pub(crate) fn marshalled(text: &str) -> Wish {
    if text.contains('\n') {
        Wish::Literal
    } else if resolve(text).tag() != Tag::Str || is_base_60(text) || super::json::is_old_bool(text) {
        Wish::Double
    } else {
        Wish::Plain
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}
