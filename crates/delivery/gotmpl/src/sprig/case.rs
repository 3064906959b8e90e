//! Case: of letters as Go's `unicode` maps them, of words as `xstrings` splits them.

/// Returns the upper case of a letter; Go knows only those that are one letter too.
pub(super) fn upper(c: char) -> char {
    single(c.to_uppercase()).unwrap_or(c)
}

/// Returns the lower case of a letter.
pub(super) fn lower(c: char) -> char {
    // The dotted capital I is the one letter whose lower case is two in Unicode and one in Go.
    if c == '\u{130}' { 'i' } else { single(c.to_lowercase()).unwrap_or(c) }
}

fn single(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}

/// `strings.Title`: the first letter of each word in title case.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = true;
    for c in text.chars() {
        out.push(if start { titled(c) } else { c });
        // What separates words is anything but letters, digits and underscores; of other signs, spaces alone.
        start = if c.is_ascii() { !(c.is_alphanumeric() || c == '_') } else { c.is_whitespace() };
    }
    out
}

fn titled(c: char) -> char {
    match c {
        // Letters of two characters have a title case of their own.
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        c => upper(c),
    }
}

/// Sprig's `untitle`: the first letter of each word in lower case.
pub(super) fn untitle(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = true;
    for c in text.chars() {
        out.push(if start && !c.is_whitespace() { lower(c) } else { c });
        start = c.is_whitespace();
    }
    out
}

/// Upper case for lower case and the other way round.
pub(super) fn swapped(text: &str) -> String {
    text.chars().map(|c| if c.is_uppercase() { lower(c) } else { upper(c) }).collect()
}

fn is_connector(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

/// `xstrings.ToPascalCase`: connectors at the start stay, others are replaced by an upper-case letter.
pub(super) fn pascal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    let mut last = None;
    let mut in_capitals = false;
    for c in rest.by_ref() {
        if !is_connector(c) {
            in_capitals = c.is_uppercase();
            last = Some(upper(c));
            break;
        }
        out.push(c);
    }
    let Some(mut before) = last else { return out };
    let mut remaining = rest.peekable();
    if remaining.peek().is_none() {
        out.push(before);
        return out;
    }
    for c in remaining {
        if is_connector(c) && is_connector(before) {
            out.push(before);
            before = c;
            continue;
        }
        let mut next = c;
        if is_connector(before) {
            in_capitals = c.is_uppercase();
            next = upper(c);
        } else {
            if in_capitals {
                // A run of capitals is one word.
                if c.is_uppercase() {
                    next = lower(c);
                } else {
                    in_capitals = false;
                }
            }
            out.push(before);
        }
        before = next;
    }
    out.push(before);
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    None,
    Number,
    Upper,
    Letters,
    Connector,
    Signs,
    Other,
}

/// A letter that has a lower case, or none at all and stands in a word.
fn is_letter(c: char) -> bool {
    c.is_alphabetic() && !matches!(c as u32, 0x0E00..=0x0EFF | 0x1780..=0x17FF | 0x2E80..=0x9FFF | 0xAC00..=0xD7AF)
}

fn is_sign(c: char) -> bool {
    c.is_ascii_punctuation() && !"$+<=>^`|~".contains(c)
}

/// Splits the next word off.
fn next_word(text: &str) -> (Word, &str, &str) {
    let Some(first) = text.chars().next() else { return (Word::None, "", "") };
    let run = |fits: &dyn Fn(char) -> bool| text.find(|c| !fits(c)).unwrap_or(text.len());
    let (kind, end) = if is_connector(first) {
        (Word::Connector, run(&is_connector))
    } else if is_sign(first) {
        (Word::Signs, run(&is_sign))
    } else if first.is_uppercase() {
        (Word::Upper, upper_word(text, first))
    } else if is_letter(first) {
        (Word::Letters, run(&|c| is_letter(c) && !c.is_uppercase()))
    } else if first.is_numeric() {
        (Word::Number, run(&char::is_numeric))
    } else {
        let other = |c: char| !(is_connector(c) || is_letter(c) || c.is_numeric() || is_sign(c));
        (Word::Other, run(&other))
    };
    (kind, &text[..end], &text[end..])
}

fn upper_word(text: &str, first: char) -> usize {
    let after = &text[first.len_utf8()..];
    let Some(second) = after.chars().next() else { return text.len() };
    if second.is_uppercase() {
        let end = text.find(|c: char| !c.is_uppercase()).unwrap_or(text.len());
        // The last capital of `HTTPStatus` begins the next word.
        let begins_word = text[end..].chars().next().is_some_and(is_letter);
        let last = text[..end].chars().next_back().map_or(0, char::len_utf8);
        return if begins_word { end - last } else { end };
    }
    if is_letter(second) {
        let rest = after.find(|c: char| !is_letter(c) || c.is_uppercase()).unwrap_or(after.len());
        return first.len_utf8() + rest;
    }
    first.len_utf8()
}

/// `xstrings.ToSnakeCase` and `ToKebabCase`: lower-case words with a connector between them.
pub(super) fn joined(text: &str, connector: char) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    let put = |out: &mut String, kind: Word, word: &str| match kind {
        Word::None => {}
        Word::Connector => out.extend(word.chars().map(|_| connector)),
        Word::Letters | Word::Upper => out.extend(word.chars().map(lower)),
        _ => out.push_str(word),
    };
    let (mut kind, mut word, mut rest) = next_word(text);
    while !rest.is_empty() {
        if kind != Word::Connector {
            put(&mut out, kind, word);
        }
        let (before, last) = (kind, word);
        (kind, word, rest) = next_word(rest);
        match before {
            Word::Number => {
                while matches!(kind, Word::Letters | Word::Number) {
                    put(&mut out, kind, word);
                    (kind, word, rest) = next_word(rest);
                }
                if !matches!(kind, Word::None | Word::Signs | Word::Connector) {
                    out.push(connector);
                }
            }
            Word::Connector => put(&mut out, before, last),
            Word::Signs => {}
            _ if kind != Word::Number => {
                if !matches!(kind, Word::Connector | Word::Signs) {
                    out.push(connector);
                }
            }
            _ if rest.is_empty() => {}
            _ => {
                let number = word;
                (kind, word, rest) = next_word(rest);
                if kind == Word::Letters {
                    // `HTTP2xx` is `http_2xx`.
                    out.push(connector);
                    put(&mut out, Word::Number, number);
                    while matches!(kind, Word::Letters | Word::Number) {
                        put(&mut out, kind, word);
                        (kind, word, rest) = next_word(rest);
                    }
                    if !matches!(kind, Word::None | Word::Connector | Word::Signs) {
                        out.push(connector);
                    }
                } else {
                    // `Bld4Floor` is `bld4_floor`.
                    put(&mut out, Word::Number, number);
                    if !matches!(kind, Word::Connector | Word::Signs) {
                        out.push(connector);
                    }
                }
            }
        }
    }
    put(&mut out, kind, word);
    out
}
