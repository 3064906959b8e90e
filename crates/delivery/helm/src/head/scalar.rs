//! Keys and values that stand on one line.

/// A value of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar<'t> {
    /// Plain text, whose type is still to be told.
    Plain(&'t str),
    /// Quoted text without escapes.
    Quoted(&'t str),
    /// Text of which nothing more is known.
    Other,
    /// A collection in one line.
    Flow,
}

/// Longest key; the parser's own bound is higher.
const LONGEST_KEY: usize = 128;
/// Deepest nesting of collections in one line.
const DEEPEST: usize = 8;

/// Splits `key: value` into both, the key without its quotes; nothing if it is not clearly a key.
pub(super) fn key(content: &str) -> Option<(&str, &str)> {
    let (key, rest) = match content.as_bytes().first()? {
        b'"' | b'\'' => {
            let end = quoted(content)?;
            let key = &content[1..end - 1];
            // What is escaped would have to be read.
            if key.contains(['\\', '\'']) {
                return None;
            }
            (key, &content[end..])
        }
        _ => {
            let end = content.bytes().position(|byte| !is_word(byte))?;
            let key = &content[..end];
            if key.is_empty() || key.starts_with('-') || is_null(key) {
                return None;
            }
            (key, &content[end..])
        }
    };
    let rest = rest.strip_prefix(':').filter(|rest| rest.is_empty() || rest.starts_with(' '))?;
    (key.len() <= LONGEST_KEY).then_some((key, rest))
}

/// Reads the value that a line ends with; a comment may follow it.
pub(super) fn value(text: &str) -> Option<Scalar<'_>> {
    let first = *text.as_bytes().first()?;
    let (value, rest) = match first {
        b'"' | b'\'' => {
            let end = quoted(text)?;
            let inner = &text[1..end - 1];
            let escaped = inner.contains(if first == b'"' { '\\' } else { '\'' });
            (if escaped { Scalar::Other } else { Scalar::Quoted(inner) }, &text[end..])
        }
        b'[' | b'{' => {
            let end = flow(text, 0)?;
            (Scalar::Flow, &text[end..])
        }
        _ => return plain(text).map(Scalar::Plain),
    };
    ends(rest).then_some(value)
}

/// Returns whether nothing but a comment is left.
fn ends(rest: &str) -> bool {
    let after = rest.trim_start_matches(' ');
    after.is_empty() || after.len() < rest.len() && after.starts_with('#')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'-')
}

fn is_null(key: &str) -> bool {
    matches!(key, "null" | "Null" | "NULL")
}

/// Returns where a quoted text ends, its quotes included.
fn quoted(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = bytes[0];
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if quote == b'"' => {
                if !matches!(bytes.get(at + 1)?, b'"' | b'\\' | b'n' | b't') {
                    return None;
                }
                at += 2;
            }
            byte if byte == quote => {
                if quote == b'"' || bytes.get(at + 1) != Some(&quote) {
                    return Some(at + 1);
                }
                at += 2;
            }
            _ => at += 1,
        }
    }
}

/// Returns plain text without the comment behind it.
fn plain(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let begins = match bytes[0] {
        b'-' => bytes.get(1).is_some_and(u8::is_ascii_alphanumeric),
        byte => byte.is_ascii_alphanumeric() || b"_/.$(+~^<=;".contains(&byte),
    };
    if !begins {
        return None;
    }
    let mut end = bytes.len();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b':' if bytes.get(at + 1).is_none_or(|next| *next == b' ') => return None,
            b'#' if bytes[at - 1] == b' ' => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    Some(text[..end].trim_end_matches(' '))
}

/// Returns where a collection in one line ends, if all in it are words and quoted texts.
fn flow(text: &str, depth: usize) -> Option<usize> {
    if depth > DEEPEST {
        return None;
    }
    let bytes = text.as_bytes();
    let (map, close) = if bytes[0] == b'{' { (true, b'}') } else { (false, b']') };
    let mut at = blanks(bytes, 1);
    if *bytes.get(at)? == close {
        return Some(at + 1);
    }
    loop {
        if map {
            let (_, rest) = key(&text[at..])?;
            let behind = text.len() - rest.len();
            at = blanks(bytes, behind);
            // Behind a key, a blank and a value.
            if at == behind {
                return None;
            }
        }
        at = match *bytes.get(at)? {
            b'[' | b'{' => at + flow(&text[at..], depth + 1)?,
            b'"' | b'\'' => at + quoted(&text[at..])?,
            byte if byte.is_ascii_alphanumeric() => at + bytes[at..].iter().position(|byte| !is_word(*byte))?,
            _ => return None,
        };
        at = blanks(bytes, at);
        match *bytes.get(at)? {
            b',' => at = blanks(bytes, at + 1),
            byte if byte == close => return Some(at + 1),
            _ => return None,
        }
    }
}

fn blanks(bytes: &[u8], from: usize) -> usize {
    from + bytes[from..].iter().take_while(|byte| **byte == b' ').count()
}
