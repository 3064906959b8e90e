//! Patterns of `.Files.Glob`: `gobwas/glob` with `/` as separator.

use regex::Regex;

/// A pattern for paths.
pub(super) struct Glob(Regex);

impl Glob {
    /// Compiles `*`, `**`, `?`, `[a-z]`, `[!a]`, `{a,b}` and `\`; a broken pattern is taken for `**`, as Helm does.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let compiled = translate(pattern).and_then(|text| Regex::new(&text).ok());
        compiled.or_else(|| Regex::new("").ok()).map(Glob)
    }

    /// Returns whether a path fits the whole pattern.
    pub(super) fn matches(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}

fn translate(pattern: &str) -> Option<String> {
    let mut out = "(?s)^".to_owned();
    let (mut chars, mut open) = (pattern.chars().peekable(), 0_u32);
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.peek() == Some(&'*') => {
                while chars.next_if_eq(&'*').is_some() {}
                out.push_str(".*");
            }
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '\\' => literal(&mut out, chars.next()?),
            '{' => {
                open += 1;
                out.push_str("(?:");
            }
            '}' if open > 0 => {
                open -= 1;
                out.push(')');
            }
            ',' if open > 0 => out.push('|'),
            '[' => {
                let not = chars.next_if_eq(&'!').is_some();
                let inside: String = chars.by_ref().take_while(|c| *c != ']').collect();
                out.push_str(&class(&inside, not)?);
            }
            c => literal(&mut out, c),
        }
    }
    out.push('$');
    (open == 0).then_some(out)
}

/// A class is one range, or a list of characters.
fn class(inside: &str, not: bool) -> Option<String> {
    let mut out = if not { "[^".to_owned() } else { "[".to_owned() };
    let chars: Vec<char> = inside.chars().collect();
    match chars.as_slice() {
        [low, '-', high] if low <= high => {
            literal(&mut out, *low);
            out.push('-');
            literal(&mut out, *high);
        }
        [] | [_, '-', _] => return None,
        list => list.iter().for_each(|c| literal(&mut out, *c)),
    }
    out.push(']');
    Some(out)
}

/// Appends a character that stands for itself.
pub(super) fn literal(out: &mut String, c: char) {
    if c.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(c);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_keep_to_one_folder_unless_they_say_otherwise() {
        for (pattern, path, fits) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "b/a.txt", false),
            ("**.txt", "b/a.txt", true),
            ("b/**", "b/c/d", true),
            ("b?", "b/", false),
            ("[a-c].txt", "b.txt", true),
            ("[!a-c].txt", "b.txt", false),
            ("[xy].txt", "y.txt", true),
            ("{a,b}/*.{yaml,yml}", "b/x.yml", true),
            ("{a,b}/*.{yaml,yml}", "c/x.yml", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("a.b", "axb", false),
            ("{a", "anything", true),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(path), fits, "{pattern} {path}");
        }
    }
}
