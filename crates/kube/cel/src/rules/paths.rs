//! The `fieldPath` of a rule: `.spec.a`, `['b.c']`.

use schema::model::{Kind, Node};

/// Returns the path that messages name for a rule's `fieldPath`, or why it is none.
pub fn field_path(text: &str, node: &Node) -> Result<String, String> {
    let mut place = node;
    let mut shown = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let name;
        if let Some(after) = rest.strip_prefix("['") {
            let end = quoted_end(after).ok_or("unexpected end of JSON path")?;
            name = after[..end].replace("\\'", "'").replace("\\\\", "\\");
            rest = after[end + 1..].strip_prefix(']').ok_or("expected ]")?;
        } else if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            name = after[..end].to_owned();
            rest = &after[end..];
        } else {
            return Err(format!("expected [ or . but got: {rest}"));
        }
        match (&place.kind, place.properties.get(&name)) {
            (_, Some(field)) => {
                if !shown.is_empty() {
                    shown.push('.');
                }
                shown.push_str(&name);
                place = field;
            }
            (Kind::Map(values), None) => {
                shown = format!("{shown}[{name}]");
                place = values;
            }
            _ => return Err("does not refer to a valid field".to_owned()),
        }
    }
    Ok(shown)
}

fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, letter)| {
        let end = letter == '\'' && !escaped;
        escaped = letter == '\\' && !escaped;
        end.then_some(at)
    })
}
