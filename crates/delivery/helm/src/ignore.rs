//! `.helmignore`: which files of a folder belong to no chart.

use regex::Regex;

use super::{Error, glob::literal};

struct Rule {
    negated: bool,
    folders_only: bool,
    /// Matched against the whole path rather than the last part of it.
    whole_path: bool,
    pattern: Regex,
}

/// Whether a path is a file's or a folder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder: what is below it goes with it.
    Folder,
}

/// The rules of one folder.
pub struct Ignore(Vec<Rule>);

impl Ignore {
    /// Reads rules; hidden files in `templates/` are always ignored.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut rules = Vec::new();
        for line in text.trim_start_matches('\u{feff}').lines().chain(["templates/.?*"]) {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                rules.push(rule(line)?);
            }
        }
        Ok(Self(rules))
    }

    /// Returns whether one path, relative to the chart, is ignored by itself.
    pub fn matches(&self, path: &str, kind: Kind) -> bool {
        for rule in &self.0 {
            let name = if rule.whole_path { path } else { path.rsplit('/').next().unwrap_or(path) };
            let fits = rule.pattern.is_match(name);
            let folder_missed = rule.folders_only && kind == Kind::File;
            // A negated rule decides for everything that it does not name.
            match rule.negated {
                true if folder_missed || !fits => return true,
                false if fits && !folder_missed => return true,
                _ => {}
            }
        }
        false
    }

    /// Returns whether a file, or a folder on the way to it, is ignored.
    pub fn hides(&self, path: &str) -> bool {
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        folders.into_iter().any(|folder| self.matches(folder, Kind::Folder)) || self.matches(path, Kind::File)
    }
}

fn rule(line: &str) -> Result<Rule, Error> {
    let fail = |why: &str| Err(Error::Load { reason: format!(".helmignore: {line:?}: {why}") });
    if line.contains("**") {
        let reason = "double-star (**) syntax is not supported".to_owned();
        return Err(Error::Load { reason });
    }
    let (negated, rest) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
    let (folders_only, rest) = rest.strip_suffix('/').map_or((false, rest), |rest| (true, rest));
    let whole_path = rest.contains('/');
    let Some(pattern) = file_pattern(rest.strip_prefix('/').unwrap_or(rest)) else {
        return fail("syntax error in pattern");
    };
    Ok(Rule { negated, folders_only, whole_path, pattern })
}

/// Returns Go's `filepath.Match` as a regular expression, or nothing if the pattern is broken.
pub fn file_pattern(pattern: &str) -> Option<Regex> {
    let mut out = "(?s)^".to_owned();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '[' => {
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                let mut empty = true;
                loop {
                    match chars.next()? {
                        ']' if !empty => break,
                        '\\' => literal(&mut out, chars.next()?),
                        '-' if !empty => out.push('-'),
                        c => literal(&mut out, c),
                    }
                    empty = false;
                }
                out.push(']');
            }
            '\\' => literal(&mut out, chars.next()?),
            c => literal(&mut out, c),
        }
    }
    out.push('$');
    Regex::new(&out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(rules: &str, path: &str) -> bool {
        Ignore::parse(rules).unwrap().hides(path)
    }

    #[test]
    fn rules_name_files_folders_and_what_is_below_them() {
        for (rules, path, fits) in [
            ("*.bak", "a/b.bak", true),
            ("/*.bak", "a/b.bak", false),
            ("/*.bak", "b.bak", true),
            ("docs/", "docs/a/b.md", true),
            ("docs/", "docs", false),
            ("a/*.md", "a/x.md", true),
            ("a/*.md", "b/a/x.md", false),
            ("[ab].txt", "a.txt", true),
            ("[^ab].txt", "a.txt", false),
            ("# comment\n\n x.txt ", "x.txt", true),
            ("", "templates/.hidden", true),
            ("", "templates/a.yaml", false),
            ("!*.yaml", "a.yaml", false),
            ("!*.yaml", "a.txt", true),
        ] {
            assert_eq!(hidden(rules, path), fits, "{rules:?} {path}");
        }
        assert!(Ignore::parse("a/**").is_err());
        assert!(Ignore::parse("[a").is_err());
    }
}
