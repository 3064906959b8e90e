//! Semantic versions and constraints as `Masterminds/semver` v3 reads them.

use std::{cmp::Ordering, rc::Rc};

use super::text;
use crate::{Value, template::Funcs, value::Object};

pub(super) fn add(funcs: &mut Funcs) {
    funcs.add("semver", "s", |args| Ok(Value::Object(Rc::new(Version::parse(text(&args[0]))?))));
    funcs.add("semverCompare", "ss", |args| {
        let constraint = Constraint::parse(text(&args[0]))?;
        let version = Version::parse(text(&args[1]))?;
        Ok(Value::Bool(constraint.admits(&version)))
    });
}

/// A version; missing parts are zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    pre: String,
    metadata: String,
    original: String,
}

impl Version {
    /// Parses a version, a leading `v` allowed.
    pub fn parse(value: &str) -> Result<Self, String> {
        let invalid = || "invalid semantic version".to_owned();
        let body = value.strip_prefix('v').unwrap_or(value);
        let (body, metadata) = body.split_once('+').unwrap_or((body, ""));
        let (numbers, pre) = body.split_once('-').unwrap_or((body, ""));
        let mut parts = [0_u64; 3];
        let given: Vec<&str> = numbers.split('.').collect();
        if given.len() > 3 {
            return Err(invalid());
        }
        for (slot, part) in parts.iter_mut().zip(&given) {
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(invalid());
            }
            *slot = part.parse().map_err(|_| invalid())?;
        }
        let word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        if !word(pre) || !word(metadata) {
            return Err(invalid());
        }
        let [major, minor, patch] = parts;
        Ok(Self { major, minor, patch, pre: pre.into(), metadata: metadata.into(), original: value.into() })
    }

    /// Returns which of two versions comes first; what is built with them does not count.
    pub fn order(&self, other: &Self) -> Ordering {
        (self.major, self.minor, self.patch)
            .cmp(&(other.major, other.minor, other.patch))
            .then_with(|| pre_order(&self.pre, &other.pre))
    }
}

fn pre_order(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        _ => {}
    }
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                _ => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

impl Object for Version {
    fn type_name(&self) -> &'static str {
        "*semver.Version"
    }

    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    fn call(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let other = || match args.first() {
            Some(Value::Object(object)) => object.as_any().and_then(|any| any.downcast_ref::<Version>()),
            _ => None,
        };
        let compared = |fits: fn(Ordering) -> bool| {
            let order = other().map(|other| self.order(other)).ok_or_else(|| format!("{name} needs a version"));
            order.map(|order| Value::Bool(fits(order)))
        };
        let bumped = |bump: fn(&mut Version)| {
            let mut next = self.clone();
            bump(&mut next);
            next.pre.clear();
            next.metadata.clear();
            next.original = next.text();
            Value::Object(Rc::new(next))
        };
        Some(Ok(match name {
            "Major" => Value::Int64(self.major as i64),
            "Minor" => Value::Int64(self.minor as i64),
            "Patch" => Value::Int64(self.patch as i64),
            "Prerelease" => Value::str(&self.pre),
            "Metadata" => Value::str(&self.metadata),
            "Original" => Value::str(&self.original),
            "String" => Value::str(self.text()),
            "IncMajor" => bumped(|next| (next.major, next.minor, next.patch) = (next.major + 1, 0, 0)),
            "IncMinor" => bumped(|next| (next.minor, next.patch) = (next.minor + 1, 0)),
            // A prerelease goes before its own patch.
            "IncPatch" => bumped(|next| next.patch += u64::from(next.pre.is_empty())),
            "Compare" => match other() {
                Some(other) => Value::Int(self.order(other) as i64),
                None => return Some(Err("Compare needs a version".to_owned())),
            },
            "LessThan" => return Some(compared(Ordering::is_lt)),
            "LessThanEqual" => return Some(compared(Ordering::is_le)),
            "GreaterThan" => return Some(compared(Ordering::is_gt)),
            "GreaterThanEqual" => return Some(compared(Ordering::is_ge)),
            "Equal" => return Some(compared(Ordering::is_eq)),
            _ => return None,
        }))
    }

    fn params(&self, name: &str) -> Option<&'static str> {
        match name {
            "Compare" | "LessThan" | "LessThanEqual" | "GreaterThan" | "GreaterThanEqual" | "Equal" => Some("a"),
            _ => Some(""),
        }
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }

    fn text(&self) -> String {
        let mut text = format!("{}.{}.{}", self.major, self.minor, self.patch);
        if !self.pre.is_empty() {
            text = format!("{text}-{}", self.pre);
        }
        if !self.metadata.is_empty() {
            text = format!("{text}+{}", self.metadata);
        }
        text
    }

    fn plain(&self) -> Value {
        Value::str(self.text())
    }
}

/// Alternatives (`||`) of bounds that must all hold.
#[derive(Clone, Debug)]
pub struct Constraint(Vec<Vec<Bound>>);

#[derive(Clone, Debug)]
struct Bound {
    operator: String,
    version: Version,
    /// How many of major, minor, patch are given.
    given: usize,
}

impl Constraint {
    /// Parses `>=1.2.0-0 <2 || ~3.1`.
    pub fn parse(value: &str) -> Result<Self, String> {
        let mut alternatives = Vec::new();
        for alternative in value.split("||") {
            let mut bounds = Vec::new();
            let alternative = match alternative.split_once(" - ") {
                Some((from, to)) => format!(">={} <={}", from.trim(), to.trim()),
                None => alternative.to_owned(),
            };
            let spaced = alternative.replace(',', " ");
            let mut words = spaced.split_whitespace().peekable();
            while let Some(word) = words.next() {
                let at = word.find(|c: char| !"=!<>~^".contains(c)).unwrap_or(word.len());
                let (operator, version) = word.split_at(at);
                let version = if version.is_empty() { words.next().unwrap_or_default() } else { version };
                bounds.push(bound(operator, version).ok_or_else(|| format!("improper constraint: {value:?}"))?);
            }
            if bounds.is_empty() {
                return Err(format!("improper constraint: {value:?}"));
            }
            alternatives.push(bounds);
        }
        Ok(Self(alternatives))
    }

    /// Returns whether `version` lies within.
    pub fn admits(&self, version: &Version) -> bool {
        self.0.iter().any(|bounds| bounds.iter().all(|bound| bound.admits(version)))
    }
}

fn bound(operator: &str, version: &str) -> Option<Bound> {
    if !matches!(operator, "" | "=" | "==" | "!=" | ">" | "<" | ">=" | "=>" | "<=" | "=<" | "~" | "~>" | "^") {
        return None;
    }
    let body = version.strip_prefix('v').unwrap_or(version);
    let (numbers, rest) = match body.find(['-', '+']) {
        Some(at) => body.split_at(at),
        None => (body, ""),
    };
    let parts: Vec<&str> = numbers.split('.').collect();
    let wild = |part: &&str| matches!(*part, "x" | "X" | "*");
    let given = parts.iter().position(wild).unwrap_or(parts.len()).min(3);
    let plain: Vec<&str> = parts.iter().map(|part| if wild(part) { "0" } else { part }).collect();
    let version = Version::parse(&format!("{}{rest}", plain.join("."))).ok()?;
    Some(Bound { operator: operator.to_owned(), version, given })
}

impl Bound {
    fn admits(&self, other: &Version) -> bool {
        let bound = &self.version;
        // A pre-release is only looked at where the bound names one.
        if !other.pre.is_empty() && bound.pre.is_empty() {
            return self.operator == "!=" && other.order(bound) != Ordering::Equal;
        }
        let order = other.order(bound);
        let same_minor = other.major == bound.major && other.minor == bound.minor;
        match self.operator.as_str() {
            "" | "=" | "==" if self.given < 3 => self.tilde(other),
            "" | "=" | "==" => order == Ordering::Equal,
            "!=" if self.given < 3 => match self.given {
                0 => false,
                1 => other.major != bound.major,
                _ => !same_minor,
            },
            "!=" => order != Ordering::Equal,
            ">" => match self.given {
                3 => order == Ordering::Greater,
                2 => other.major > bound.major || (other.major == bound.major && other.minor > bound.minor),
                1 => other.major > bound.major,
                _ => false,
            },
            "<" => order == Ordering::Less,
            ">=" | "=>" => order != Ordering::Less,
            "<=" | "=<" => match self.given {
                3 => order != Ordering::Greater,
                2 => other.major < bound.major || (other.major == bound.major && other.minor <= bound.minor),
                1 => other.major <= bound.major,
                _ => true,
            },
            "~" | "~>" => self.tilde(other),
            _ => self.caret(other),
        }
    }

    fn tilde(&self, other: &Version) -> bool {
        let bound = &self.version;
        if other.order(bound) == Ordering::Less {
            return false;
        }
        match self.given {
            0 => true,
            1 => other.major == bound.major,
            _ => other.major == bound.major && other.minor == bound.minor,
        }
    }

    fn caret(&self, other: &Version) -> bool {
        let bound = &self.version;
        if other.order(bound) == Ordering::Less {
            return false;
        }
        if bound.major > 0 || self.given < 2 {
            return self.given == 0 || other.major == bound.major;
        }
        if other.major != 0 {
            return false;
        }
        if bound.minor > 0 || self.given < 3 {
            return other.minor == bound.minor;
        }
        other.minor == 0 && other.patch == bound.patch
    }
}
