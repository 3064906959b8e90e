//! The `fieldPath` of a rule, and other ways to a field: `.spec.a`, `['b.c']`.

use schema::model::{Kind, Node};

/// How the steps of a path may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// `.a` alone.
    Dots,
    /// `.a` and `['a']`.
    All,
}

/// Returns the path that messages name for a rule's `fieldPath`, or why it is none.
pub fn field_path(text: &str, node: &Node, notation: Notation) -> Result<String, String> {
    let mut place = node;
    let mut shown = String::new();
    let mut tokens = tokens(text).into_iter();
    let ended = || "unexpected end of JSON path".to_owned();
    while let Some(token) = tokens.next() {
        let name = match token {
            "[" if notation == Notation::Dots => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let quoted = tokens.next().ok_or_else(ended)?;
                let name = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                let name = name.ok_or_else(|| format!("expected single quoted string but got {quoted}"))?;
                name.replace("\\'", "'").replace("\\\\", "\\")
            }
            "." => tokens.next().ok_or_else(ended)?.to_owned(),
            other => return Err(format!("expected [ or . but got: {other}")),
        };
        match (&place.kind, place.properties.get(&name)) {
            (_, Some(field)) => {
                if !shown.is_empty() {
                    shown.push('.');
                }
                shown.push_str(&name);
                place = field;
            }
            (Kind::Map(values), None) if place.properties.is_empty() => {
                shown = format!("{shown}[{name}]");
                place = values;
            }
            _ => return Err("does not refer to a valid field".to_owned()),
        }
        if token == "[" {
            match tokens.next().ok_or_else(ended)? {
                "]" => {}
                other => return Err(format!("expected ] but got {other}")),
            }
        }
    }
    Ok(shown)
}

/// Takes a path apart: dots, brackets, and what stands between them. Quoted, those signs are nothing special.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = if rest.starts_with('\'') {
            quoted_end(rest)
        } else {
            rest.find(['.', '[', ']']).map_or(rest.len(), |at| at.max(1))
        };
        let (token, after) = rest.split_at(end);
        found.push(token);
        rest = after;
    }
    found
}

fn quoted_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let end = (1..bytes.len()).find(|&at| bytes[at] == b'\'' && bytes[at - 1] != b'\\');
    end.map_or(text.len(), |at| at + 1)
}
