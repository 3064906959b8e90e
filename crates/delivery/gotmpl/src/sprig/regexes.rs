//! Go's regular expressions (RE2) on a crate whose dialect is nearly theirs.

use regex::{Regex, RegexBuilder};

use super::text;
use crate::Value;

/// The largest program that one expression may become.
const LARGEST: usize = 10 << 20;

/// Compiles a pattern, or says what is wrong with it as Go does.
pub(super) fn regex(pattern: &Value) -> Result<Regex, String> {
    let pattern = text(pattern);
    RegexBuilder::new(&translate(pattern))
        .size_limit(LARGEST)
        .build()
        .map_err(|_cause| format!("error parsing regexp: {}", problem(pattern)))
}

/// Where both dialects differ: `\\z`, `\\Q…\\E`, and a brace that begins no repetition, which Go takes as it stands.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("\\Q") {
            let (literal, after) = after.split_once("\\E").unwrap_or((after, ""));
            out.push_str(&regex::escape(literal));
            rest = after;
            continue;
        }
        if c == '\\' {
            let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            // `\p{L}`, `\x{41}`: the brace belongs to the escape.
            let braced = rest[1..].starts_with(['p', 'P', 'x']) && rest[length..].starts_with('{');
            let length = if braced { rest.find('}').map_or(length, |end| end + 1) } else { length };
            out.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        match c {
            '[' if in_class && !rest.starts_with("[:") => out.push('\\'),
            '[' => in_class = true,
            ']' if !out.ends_with('[') && !out.ends_with("[^") => in_class = false,
            '{' if !in_class && !is_repetition(rest) => out.push('\\'),
            // The crate has operators on classes, Go has not.
            '&' | '~' | '-' if in_class && rest[1..].starts_with(c) => out.push('\\'),
            _ => {}
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

fn is_repetition(rest: &str) -> bool {
    let Some((inside, _)) = rest[1..].split_once('}') else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    !least.is_empty() && least.bytes().all(|b| b.is_ascii_digit()) && most.bytes().all(|b| b.is_ascii_digit())
}

fn problem(pattern: &str) -> String {
    let mut depth = 0_u32;
    let mut chars = pattern.char_indices();
    let mut repeatable = false;
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                None => return "trailing backslash at end of expression: ``".to_owned(),
                Some((_, escaped))
                    if escaped.is_alphanumeric() && !"AabBdDfnrQEsStvwWzxpPC01234567".contains(escaped) =>
                {
                    return format!("invalid escape sequence: `\\{escaped}`");
                }
                Some(_) => repeatable = true,
            },
            '[' => {
                let inside = pattern[at + 1..].trim_start_matches('^');
                let Some(end) = inside.char_indices().skip(1).find(|(_, c)| *c == ']').map(|(end, _)| end) else {
                    return format!("missing closing ]: `{}`", &pattern[at..]);
                };
                let close = pattern.len() - inside.len() + end;
                while chars.clone().next().is_some_and(|(next, _)| next <= close) {
                    chars.next();
                }
                repeatable = true;
            }
            '(' => {
                depth += 1;
                repeatable = false;
            }
            ')' if depth == 0 => return format!("unexpected ): `{pattern}`"),
            ')' => {
                depth -= 1;
                repeatable = true;
            }
            '*' | '+' | '?' if !repeatable && !pattern[..at].ends_with('(') => {
                return format!("missing argument to repetition operator: `{c}`");
            }
            '|' | '^' => repeatable = c == '^',
            _ => repeatable = true,
        }
    }
    if depth > 0 {
        return format!("missing closing ): `{pattern}`");
    }
    format!("invalid expression: `{pattern}`")
}
