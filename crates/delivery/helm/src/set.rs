//! `--set` and `--set-string`: `a.b[0].c=x,d={1,2}`.

use gotmpl::{Value, value::Entries};

/// How the text of a value is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Typing {
    /// `true`, `null` and whole numbers are what they look like.
    Guess,
    /// Everything is text.
    Text,
}

const MAX_INDEX: usize = 65_536;
const MAX_DEPTH: usize = 30;

struct Scanner {
    chars: Vec<char>,
    at: usize,
    typing: Typing,
}

/// Reads `text` and lays it over the map `to`.
pub(super) fn parse_into(text: &str, to: &Value, typing: Typing) -> Result<(), String> {
    let mut scanner = Scanner { chars: text.chars().collect(), at: 0, typing };
    while scanner.at < scanner.chars.len() {
        scanner.key(to, 0)?;
    }
    Ok(())
}

fn set(to: &Value, key: &str, value: Value) {
    if let (Some(entries), false) = (to.as_map(), key.is_empty()) {
        entries.borrow_mut().insert(key.into(), value);
    }
}

impl Scanner {
    fn until(&mut self, stop: &[char]) -> (String, Option<char>) {
        let mut text = String::new();
        while let Some(&c) = self.chars.get(self.at) {
            self.at += 1;
            if stop.contains(&c) {
                return (text, Some(c));
            }
            if c == '\\' {
                if let Some(&next) = self.chars.get(self.at) {
                    text.push(next);
                    self.at += 1;
                }
            } else {
                text.push(c);
            }
        }
        (text, None)
    }

    fn key(&mut self, to: &Value, depth: usize) -> Result<(), String> {
        let (key, last) = self.until(&['=', '[', ',', '.']);
        match last {
            None if key.is_empty() => Ok(()),
            None => Err(format!("key {key:?} has no value")),
            Some('[') => {
                let index = self.index()?;
                let list = match to.get(&key) {
                    None => Vec::new(),
                    Some(Value::List(items, _)) => items.to_vec(),
                    Some(other) => return Err(format!("unable to parse key: {key:?} is a {}", other.kind())),
                };
                let list = self.item(list, index, depth)?;
                set(to, &key, Value::list(list));
                Ok(())
            }
            Some('=') => {
                let value = self.value()?;
                set(to, &key, value);
                Ok(())
            }
            Some(',') => Err(format!("key {key:?} has no value (cannot end with ,)")),
            Some(_) => {
                if depth >= MAX_DEPTH {
                    return Err(format!(
                        "value name nested level is greater than maximum supported nested level of {MAX_DEPTH}"
                    ));
                }
                let inner = match to.get(&key) {
                    None | Some(Value::Nil) => Value::map(Entries::new()),
                    Some(map @ Value::Map(..)) => map,
                    Some(other) => return Err(format!("unable to parse key: {key:?} is a {}", other.kind())),
                };
                self.key(&inner, depth + 1)?;
                if !inner.truth() {
                    return Err(format!("key map {key:?} has no value"));
                }
                set(to, &key, inner);
                Ok(())
            }
        }
    }

    fn index(&mut self) -> Result<usize, String> {
        let (text, _) = self.until(&[']']);
        match text.parse::<i64>() {
            Ok(index) if index < 0 => Err(format!("negative {index} index not allowed")),
            Ok(index) if index as usize > MAX_INDEX => {
                Err(format!("index of {index} is greater than maximum supported index of {MAX_INDEX}"))
            }
            Ok(index) => Ok(index as usize),
            Err(_) => Err(format!("error parsing index: {text:?} is no number")),
        }
    }

    fn item(&mut self, mut list: Vec<Value>, index: usize, depth: usize) -> Result<Vec<Value>, String> {
        let (text, last) = self.until(&['[', '.', '=']);
        if !text.is_empty() {
            return Err(format!("unexpected data at end of array index: {text:?}"));
        }
        let present = list.get(index).cloned();
        let value = match last {
            None => return Ok(list),
            Some('=') => self.value()?,
            Some('[') => {
                let next = self.index()?;
                let inner = present.and_then(|value| value.items()).map(|items| items.to_vec()).unwrap_or_default();
                Value::list(self.item(inner, next, depth + 1)?)
            }
            Some(_) => {
                let inner = match present {
                    Some(map @ Value::Map(..)) => map,
                    _ => Value::map(Entries::new()),
                };
                self.key(&inner, depth + 1)?;
                inner
            }
        };
        if list.len() <= index {
            list.resize(index + 1, Value::Nil);
        }
        list[index] = value;
        Ok(list)
    }

    fn value(&mut self) -> Result<Value, String> {
        if self.chars.get(self.at) != Some(&'{') {
            let (text, _) = self.until(&[',']);
            return Ok(self.typed(&text));
        }
        self.at += 1;
        let mut items = Vec::new();
        loop {
            let (text, last) = self.until(&[',', '}']);
            match last {
                None => return Err("list must terminate with '}'".to_owned()),
                Some('}') => {
                    items.push(self.typed(&text));
                    if self.chars.get(self.at) == Some(&',') {
                        self.at += 1;
                    }
                    return Ok(Value::list(items));
                }
                Some(_) => items.push(self.typed(&text)),
            }
        }
    }

    fn typed(&self, text: &str) -> Value {
        if self.typing == Typing::Text {
            return Value::str(text);
        }
        match text.to_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Nil,
            "0" => Value::Int64(0),
            _ if !text.starts_with('0') => match text.parse() {
                Ok(number) => Value::Int64(number),
                Err(_) => Value::str(text),
            },
            _ => Value::str(text),
        }
    }
}
