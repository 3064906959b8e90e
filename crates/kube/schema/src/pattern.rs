//! Regular expressions as Go reads them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use regex::Regex;

/// How many compiled expressions are kept.
const KEPT: usize = 512;

/// How large a compiled expression may be, in bytes.
const MAX_SIZE: usize = 4 << 20;

/// Compiles an expression of Go's syntax, or says what is wrong with it in Go's words.
pub fn compile(pattern: &str) -> Result<Arc<Regex>, String> {
    static COMPILED: OnceLock<Mutex<HashMap<String, Arc<Regex>>>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(Mutex::default);
    if let Some(found) = compiled.lock().unwrap_or_else(PoisonError::into_inner).get(pattern) {
        return Ok(found.clone());
    }
    let regex = regex::RegexBuilder::new(&translate(pattern))
        .size_limit(MAX_SIZE)
        .build()
        .map_err(|error| go_error(pattern, &error))?;
    let regex = Arc::new(regex);
    let mut compiled = compiled.lock().unwrap_or_else(PoisonError::into_inner);
    if compiled.len() >= KEPT {
        compiled.clear();
    }
    compiled.insert(pattern.to_owned(), regex.clone());
    Ok(regex)
}

fn go_error(pattern: &str, error: &regex::Error) -> String {
    let text = error.to_string();
    let kind = if text.contains("unclosed group") {
        "missing closing )"
    } else if text.contains("unopened group") {
        "unexpected )"
    } else if text.contains("unclosed character class") {
        "missing closing ]"
    } else if text.contains("repetition operator missing expression") {
        "missing argument to repetition operator"
    } else if text.contains("look-around") {
        "invalid or unsupported Perl syntax"
    } else if text.contains("escape") {
        "invalid escape sequence"
    } else if matches!(error, regex::Error::CompiledTooBig(_)) {
        "expression too large"
    } else {
        "invalid expression"
    };
    format!("error parsing regexp: {kind}: `{pattern}`")
}

/// Turns what Go's regular expressions write differently into what is meant: an opening
/// bracket within a class, and `\z`, `\pN` alike in both.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut class = false;
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                out.push('\\');
                if let Some(next) = letters.next() {
                    out.push(next);
                }
                continue;
            }
            '[' if !class => {
                class = true;
                out.push('[');
                if letters.peek() == Some(&'^') {
                    out.push('^');
                    letters.next();
                }
                if letters.peek() == Some(&']') {
                    out.push_str("\\]");
                    letters.next();
                }
                continue;
            }
            // A class in a class: Go takes `[` for itself unless it begins `[:name:]`.
            '[' if letters.peek() != Some(&':') => out.push('\\'),
            '[' => {
                out.push('[');
                for next in letters.by_ref() {
                    out.push(next);
                    if next == ']' {
                        break;
                    }
                }
                continue;
            }
            ']' => class = false,
            // `&&`, `--` and `~~` are no set operations in Go.
            '&' | '~' if class => out.push('\\'),
            _ => {}
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn what_go_writes_differently_means_the_same() {
        for (pattern, text) in [("[[]", "["), ("[a&&b]", "&"), ("^[]a]$", "]"), ("[[:alpha:]]", "x"), (r"\d\z", "1")] {
            assert!(compile(pattern).unwrap().is_match(text), "{pattern}");
        }
        assert_eq!(compile("(").unwrap_err(), "error parsing regexp: missing closing ): `(`");
        assert_eq!(
            compile("a(?!b)").unwrap_err(),
            "error parsing regexp: invalid or unsupported Perl syntax: `a(?!b)`"
        );
    }
}
