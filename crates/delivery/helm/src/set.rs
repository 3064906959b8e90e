//! `--set` in all its forms: `a.b[0].c=x,d={1,2}`.

use std::collections::BTreeMap;

use gotmpl::{
    Value,
    gofmt::quote,
    value::{Elem, Entries},
};

/// How the text of a value is read.
#[derive(Clone, Copy)]
pub(super) enum Typing<'a> {
    /// `true`, `null` and whole numbers are what they look like.
    Guess,
    /// Everything is text.
    Text,
    /// JSON.
    Json,
    /// All that follows `=` is text, commas and backslashes too.
    Literal,
    /// The path of a file that holds the text.
    File(&'a BTreeMap<String, String>),
}

/// Whether more may follow.
#[derive(PartialEq, Eq)]
enum Flow {
    More,
    End,
}

const MAX_INDEX: usize = 65_536;
const MAX_DEPTH: usize = 30;

struct Scanner<'a> {
    text: &'a str,
    typing: Typing<'a>,
}

/// Reads `text` and lays it over the map `to`.
pub(super) fn parse_into(text: &str, to: &Value, typing: Typing<'_>) -> Result<(), String> {
    let mut scanner = Scanner { text, typing };
    while scanner.key(to, 0)? == Flow::More {}
    Ok(())
}

/// Returns the paths that a `--set-file` names.
pub fn set_file_paths(text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut scanner = Scanner { text, typing: Typing::Text };
    while !scanner.text.is_empty() {
        scanner.until(&['=']);
        if scanner.text.starts_with('{') {
            scanner.next();
            loop {
                let (path, last) = scanner.until(&[',', '}']);
                paths.push(path);
                if last != Some(',') {
                    break;
                }
            }
            scanner.skip_comma();
        } else {
            paths.push(scanner.until(&[',']).0);
        }
    }
    paths
}

fn set(to: &Value, key: &str, value: Value) {
    if let (Some(entries), false) = (to.as_map(), key.is_empty()) {
        entries.borrow_mut().insert(key.into(), value);
    }
}

fn not_a<T>(value: &Value, wanted: &str) -> Result<T, String> {
    let is = if value.is_nil() { "nil" } else { value.type_name() };
    Err(format!("unable to parse key: interface conversion: interface {{}} is {is}, not {wanted}"))
}

impl Scanner<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.text.chars().next()?;
        self.text = &self.text[c.len_utf8()..];
        Some(c)
    }

    fn skip_comma(&mut self) {
        self.text = self.text.strip_prefix(',').unwrap_or(self.text);
    }

    fn until(&mut self, stop: &[char]) -> (String, Option<char>) {
        let escapes = !matches!(self.typing, Typing::Literal);
        let mut text = String::new();
        while let Some(c) = self.next() {
            if stop.contains(&c) {
                return (text, Some(c));
            }
            if c == '\\' && escapes {
                text.extend(self.next());
            } else {
                text.push(c);
            }
        }
        (text, None)
    }

    fn key(&mut self, to: &Value, depth: usize) -> Result<Flow, String> {
        let stops: &[char] =
            if matches!(self.typing, Typing::Literal) { &['=', '[', '.'] } else { &['=', '[', '.', ','] };
        let (key, last) = self.until(stops);
        match last {
            None if key.is_empty() => Ok(Flow::End),
            None => Err(format!("key {} has no value", quote(&key))),
            Some('[') => {
                let index = self.index()?;
                let list = match to.get(&key) {
                    None => Vec::new(),
                    Some(Value::List(items, Elem::Any)) => items.to_vec(),
                    Some(other) => return not_a(&other, "[]interface {}"),
                };
                let (list, flow) = self.item(list, index, depth)?;
                set(to, &key, Value::list(list));
                Ok(flow)
            }
            Some('=') => {
                let value = self.value()?;
                set(to, &key, value);
                Ok(Flow::More)
            }
            Some(',') => Err(format!("key {} has no value (cannot end with ,)", quote(&key))),
            Some(_) => self.inner(to, &key, depth + 1),
        }
    }

    fn inner(&mut self, to: &Value, key: &str, depth: usize) -> Result<Flow, String> {
        if depth > MAX_DEPTH {
            let message = "value name nested level is greater than maximum supported nested level of";
            return Err(format!("{message} {MAX_DEPTH}"));
        }
        let inner = match to.get(key) {
            None => Value::map(Entries::new()),
            Some(map @ Value::Map(..)) => map,
            Some(other) => return not_a(&other, "map[string]interface {}"),
        };
        let flow = self.key(&inner, depth)?;
        if inner.truth() {
            set(to, key, inner);
        } else if flow == Flow::More {
            return Err(format!("key map {} has no value", quote(key)));
        }
        Ok(flow)
    }

    fn index(&mut self) -> Result<i64, String> {
        match self.until(&[']']) {
            (_, None) => Err("error parsing index: EOF".to_owned()),
            (text, _) => text.parse().map_err(|_not_one| {
                format!("error parsing index: strconv.Atoi: parsing {}: invalid syntax", quote(&text))
            }),
        }
    }

    fn item(&mut self, mut list: Vec<Value>, index: i64, depth: usize) -> Result<(Vec<Value>, Flow), String> {
        let at = usize::try_from(index).map_err(|_negative| format!("negative {index} index not allowed"))?;
        let (text, last) = self.until(&['[', '.', '=']);
        if !text.is_empty() {
            return Err(format!("unexpected data at end of array index: {}", quote(&text)));
        }
        let present = list.get(at).cloned();
        let value = match last {
            None => return Ok((list, Flow::End)),
            Some('=') => self.value()?,
            Some('[') => {
                let next = self.index()?;
                let inner = match present {
                    None | Some(Value::Nil) => Vec::new(),
                    Some(Value::List(items, _)) => items.to_vec(),
                    Some(other) => return not_a(&other, "[]interface {}"),
                };
                Value::list(self.item(inner, next, depth)?.0)
            }
            Some(_) => {
                let inner = match present {
                    Some(map @ Value::Map(..)) => map,
                    _ => Value::map(Entries::new()),
                };
                if self.key(&inner, depth)? == Flow::End && !inner.truth() {
                    return Ok((list, Flow::End));
                }
                inner
            }
        };
        if at > MAX_INDEX {
            return Err(format!("index of {index} is greater than maximum supported index of {MAX_INDEX}"));
        }
        if list.len() <= at {
            list.resize(at + 1, Value::Nil);
        }
        list[at] = value;
        Ok((list, Flow::More))
    }

    fn value(&mut self) -> Result<Value, String> {
        match self.typing {
            Typing::Json => return self.json(),
            Typing::Literal => return Ok(Value::str(std::mem::take(&mut self.text))),
            _ => {}
        }
        if self.text.is_empty() {
            return Ok(Value::str(""));
        }
        if !self.text.starts_with('{') {
            let (text, _) = self.until(&[',']);
            return self.typed(&text);
        }
        self.next();
        let mut items = Vec::new();
        loop {
            let (text, last) = self.until(&[',', '}']);
            match last {
                None => return Err("list must terminate with '}'".to_owned()),
                Some('}') => {
                    items.push(self.typed(&text)?);
                    self.skip_comma();
                    return Ok(Value::list(items));
                }
                Some(_) => items.push(self.typed(&text)?),
            }
        }
    }

    /// Reads one JSON value and the comma behind it; nothing at all is null.
    fn json(&mut self) -> Result<Value, String> {
        let rest = self.text.trim_start();
        if rest.is_empty() || rest.starts_with(',') {
            self.text = rest.strip_prefix(',').unwrap_or(rest);
            return Ok(Value::Nil);
        }
        let mut stream = serde_json::Deserializer::from_str(self.text).into_iter::<serde_json::Value>();
        let json = match stream.next() {
            Some(Ok(json)) => json,
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("EOF".to_owned()),
        };
        let rest = self.text[stream.byte_offset()..].trim_start();
        self.text = rest.strip_prefix(',').unwrap_or(rest);
        Ok(Value::from_json(&json).floats())
    }

    fn typed(&self, text: &str) -> Result<Value, String> {
        match self.typing {
            Typing::File(contents) => {
                return contents
                    .get(text)
                    .map(Value::str)
                    .ok_or_else(|| format!("open {text}: no such file or directory"));
            }
            Typing::Guess => {}
            _ => return Ok(Value::str(text)),
        }
        Ok(match text.to_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Nil,
            "0" => Value::Int64(0),
            _ if !text.starts_with('0') => match text.parse() {
                Ok(number) => Value::Int64(number),
                Err(_) => Value::str(text),
            },
            _ => Value::str(text),
        })
    }
}
