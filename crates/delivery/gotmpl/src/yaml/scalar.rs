//! How go-yaml writes the text of a scalar: which quotes, which breaks.

use std::fmt::Write as _;

/// Columns after which go-yaml v2 folds a line at the next space.
pub const NARROW: usize = 80;
/// The width of whoever folds nothing, as go-yaml v3 does where Helm and kyaml use it.
pub const WIDE: usize = usize::MAX - 1;

/// Where a scalar stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A value in block style, with the indentation of lines that continue it.
    Value(usize),
    /// A value between brackets.
    Flow(usize),
    /// A key on one line.
    Key,
}

/// How somebody wants it written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Without quotes.
    Plain,
    /// Between single quotes.
    Single,
    /// Between double quotes.
    Double,
    /// As a block that keeps its lines: `|`.
    Literal,
    /// As a block whose lines are folded: `>`.
    Folded,
}

/// Writes a scalar as wished where that is possible; the line is not ended.
pub fn scalar(out: &mut String, text: &str, wish: Wish, place: Place, width: usize) {
    let shape = Shape::of(text);
    let flow = matches!(place, Place::Flow(_));
    let key = place == Place::Key;
    let mut wish = if key && shape.breaks { Wish::Double } else { wish };
    if wish == Wish::Plain {
        let allowed = if flow { shape.flow_plain } else { shape.block_plain };
        if !allowed || (text.is_empty() && (flow || key)) {
            wish = Wish::Single;
        }
    }
    if wish == Wish::Single && !shape.single {
        wish = Wish::Double;
    }
    if matches!(wish, Wish::Literal | Wish::Folded) && (!shape.block || flow || key) {
        wish = Wish::Double;
    }
    let indent = match place {
        Place::Value(indent) | Place::Flow(indent) => indent,
        Place::Key => 0,
    };
    // Keys stay on one line.
    let width = if key { WIDE } else { width };
    match wish {
        Wish::Plain => plain(out, text, indent, width),
        Wish::Single => single(out, text, indent, width),
        Wish::Double => double(out, text, indent, width),
        Wish::Literal => literal(out, text, indent),
        Wish::Folded => folded(out, text, indent, width),
    }
}

/// Returns whether a text without spaces may be written as it is, told by its characters alone.
pub fn is_plain_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'/')
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(b))
}

/// Returns whether a text is a number to the base of 60, which YAML 1.1 has and go-yaml quotes:
/// `^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$`.
pub fn is_base_60(text: &str) -> bool {
    if !text.contains(':') {
        return false;
    }
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

fn column(out: &str) -> usize {
    let line = out.rfind('\n').map_or(0, |at| at + 1);
    out[line..].chars().count()
}

fn indented(out: &mut String, indent: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', indent));
}

fn plain(out: &mut String, text: &str, indent: usize, width: usize) {
    if width == WIDE || !text.contains(' ') || (text.len() < width && column(out) + text.len() <= width) {
        return out.push_str(text);
    }
    let mut column = column(out);
    let mut spaces = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == ' ' {
            if !spaces && column > width && chars.peek() != Some(&' ') {
                indented(out, indent);
                column = indent;
            } else {
                out.push(' ');
                column += 1;
            }
            spaces = true;
        } else {
            out.push(c);
            column += 1;
            spaces = false;
        }
    }
}

fn single(out: &mut String, text: &str, indent: usize, width: usize) {
    out.push('\'');
    let mut column = column(out);
    let (mut spaces, mut breaks) = (false, false);
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == ' ' {
            let last = at == text.len() - 1;
            let next_space = chars.peek().is_some_and(|(_, c)| *c == ' ');
            if !spaces && column > width && at > 0 && !last && !next_space {
                indented(out, indent);
                column = indent;
            } else {
                out.push(' ');
                column += 1;
            }
            spaces = true;
        } else if is_break(c) {
            if !breaks && c == '\n' {
                out.push('\n');
            }
            out.push(c);
            column = 0;
            breaks = true;
        } else {
            if breaks {
                out.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            }
            if c == '\'' {
                out.push('\'');
                column += 1;
            }
            out.push(c);
            column += 1;
            (spaces, breaks) = (false, false);
        }
    }
    out.push('\'');
}

fn double(out: &mut String, text: &str, indent: usize, width: usize) {
    out.push('"');
    let mut column = column(out);
    let mut spaces = false;
    let marked = text.starts_with('\u{feff}');
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if !is_printable(c) || is_break(c) || c == '"' || c == '\\' || marked {
            let before = out.len();
            escape(out, c);
            column += out.len() - before;
            spaces = false;
        } else if c == ' ' {
            if !spaces && column > width && at > 0 && at < text.len() - 1 {
                indented(out, indent);
                column = indent;
                if chars.peek().is_some_and(|(_, c)| *c == ' ') {
                    out.push('\\');
                    column += 1;
                }
            } else {
                out.push(' ');
                column += 1;
            }
            spaces = true;
        } else {
            out.push(c);
            column += 1;
            spaces = false;
        }
    }
    out.push('"');
}

fn escape(out: &mut String, c: char) {
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
}

fn hints(out: &mut String, text: &str) {
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
}

fn literal(out: &mut String, text: &str, indent: usize) {
    out.push('|');
    hints(out, text);
    out.push('\n');
    for line in text.split_inclusive(is_break) {
        if !line.starts_with(is_break) {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str(line);
    }
    // The caller ends the line; text that ends with a break has done so.
    if text.ends_with('\n') {
        out.pop();
    }
}

fn folded(out: &mut String, text: &str, indent: usize, width: usize) {
    out.push('>');
    hints(out, text);
    out.push('\n');
    let (mut breaks, mut leading) = (true, true);
    let mut column = 0;
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if c == '\n' {
            if !breaks && !leading {
                let next = chars[at..].iter().find(|c| **c != '\n');
                if next.is_some_and(|c| !matches!(c, ' ' | '\t')) {
                    out.push('\n');
                }
            }
            out.push('\n');
            column = 0;
            breaks = true;
        } else {
            if breaks {
                out.extend(std::iter::repeat_n(' ', indent));
                column = indent;
                leading = matches!(c, ' ' | '\t');
            }
            if !breaks && c == ' ' && chars.get(at + 1) != Some(&' ') && column > width {
                indented(out, indent);
                column = indent;
            } else {
                out.push(c);
                column += 1;
            }
            breaks = false;
        }
        at += 1;
    }
    if text.ends_with('\n') {
        out.pop();
    }
}

/// Returns whether go-yaml takes a character for the end of a line.
pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_printable(c: char) -> bool {
    // go-yaml counts nothing beyond the basic plane as printable.
    matches!(c, '\n' | '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

/// `yaml_emitter_analyze_scalar`.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Shape {
    breaks: bool,
    block_plain: bool,
    flow_plain: bool,
    single: bool,
    block: bool,
}

impl Shape {
    fn of(text: &str) -> Self {
        let document = text.starts_with("---") || text.starts_with("...");
        let (mut block_signs, mut flow_signs) = (document, document);
        let (mut special, mut breaks) = (false, false);
        let (mut break_space, mut space_break) = (false, false);
        let (mut after_space, mut after_break) = (false, false);
        let mut preceded_by_blank = true;
        let mut chars = text.chars().peekable();
        let mut first = true;
        while let Some(c) = chars.next() {
            let blank_next = chars.peek().is_none_or(|c| matches!(c, ' ' | '\t') || is_break(*c));
            if first {
                let sign = "#,[]{}&*!|>'\"%@`".contains(c);
                block_signs |= sign || (matches!(c, '?' | ':' | '-') && blank_next);
                flow_signs |= sign || matches!(c, '?' | ':') || (c == '-' && blank_next);
            } else {
                block_signs |= (c == ':' && blank_next) || (c == '#' && preceded_by_blank);
                flow_signs |= ",?[]{}".contains(c) || c == ':' || (c == '#' && preceded_by_blank);
            }
            special |= !is_printable(c);
            if c == ' ' {
                break_space |= after_break;
                (after_space, after_break) = (true, false);
            } else if is_break(c) {
                breaks = true;
                space_break |= after_space;
                (after_space, after_break) = (false, true);
            } else {
                (after_space, after_break) = (false, false);
            }
            preceded_by_blank = matches!(c, ' ' | '\t') || is_break(c);
            first = false;
        }
        let edge = |c: Option<char>| c.is_some_and(|c| c == ' ' || is_break(c));
        let spaced = edge(text.chars().next()) || edge(text.chars().next_back());
        let plain = !(spaced || break_space || space_break || special || breaks);
        Shape {
            breaks,
            block_plain: plain && !block_signs,
            flow_plain: plain && !flow_signs && !text.is_empty(),
            single: !(break_space || space_break || special),
            block: !(text.is_empty() || text.ends_with(' ') || space_break || special),
        }
    }
}
