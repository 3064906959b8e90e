//! Parser events to values: tags, anchors, merge keys, keys as text.

use std::{collections::HashMap, rc::Rc};

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::resolve;
use crate::{
    Value,
    gofmt::float_json,
    value::{Elem, Entries},
};

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 200;
/// Values that one document may hold, those of repeated aliases counted each time.
const MAX_NODES: usize = 1_000_000;

/// Text that is not YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("yaml: line {line}: {message}")]
pub struct Error {
    /// The line it went wrong at, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Reads the first document; nothing but blanks and comments is `nil`. A key that is there twice is an error.
pub fn read(text: &str) -> Result<Value, Error> {
    Ok(Reader::new(text).documents(1)?.into_iter().next().unwrap_or(Value::Nil))
}

/// Reads the first document as Go's library does when nobody asks it to be strict: of two equal keys the last counts.
pub fn read_lenient(text: &str) -> Result<Value, Error> {
    let reader = Reader { last_key_counts: true, ..Reader::new(text) };
    Ok(reader.documents(1)?.into_iter().next().unwrap_or(Value::Nil))
}

/// Reads all documents.
pub fn read_all(text: &str) -> Result<Vec<Value>, Error> {
    Reader::new(text).documents(usize::MAX)
}

struct Reader<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, (Value, usize)>,
    line: usize,
    column: usize,
    /// Where the last event ended, and where the text ends if its last line is not ended.
    end: Option<usize>,
    open_end: Option<usize>,
    nodes: usize,
    last_key_counts: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            parser: Parser::new_from_str(text),
            anchors: HashMap::new(),
            line: 1,
            column: 1,
            end: None,
            open_end: (!text.ends_with('\n')).then_some(text.len()),
            nodes: 0,
            last_key_counts: false,
        }
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(Error { line: self.line, column: self.column, message: message.into() })
    }

    fn next(&mut self) -> Result<Event<'a>, Error> {
        loop {
            return match self.parser.next_event() {
                Some(Ok((Event::Comment(..), _))) => continue,
                Some(Ok((event, span))) => {
                    self.line = span.start.line();
                    self.column = span.start.col() + 1;
                    self.end = span.end.byte_offset();
                    Ok(event)
                }
                Some(Err(error)) => {
                    let marker = error.marker();
                    Err(Error { line: marker.line(), column: marker.col() + 1, message: error.info() })
                }
                None => Ok(Event::StreamEnd),
            };
        }
    }

    fn documents(mut self, most: usize) -> Result<Vec<Value>, Error> {
        let mut documents = Vec::new();
        loop {
            match self.next()? {
                Event::StreamEnd => return Ok(documents),
                Event::DocumentStart(..) => {
                    self.anchors.clear();
                    self.nodes = 0;
                    let event = self.next()?;
                    documents.push(self.node(event, 0)?);
                    if documents.len() >= most {
                        // What follows is read too, so that a broken end is noticed, as go-yaml does within a document.
                        if let Event::DocumentEnd = self.next()? {
                            return Ok(documents);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn count(&mut self, nodes: usize) -> Result<(), Error> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return self.fail(format!("the document holds more than {MAX_NODES} values"));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Value, Error> {
        if depth > MAX_DEPTH {
            return self.fail(format!("the document nests more than {MAX_DEPTH} levels"));
        }
        self.count(1)?;
        let before = self.nodes;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (self.scalar(&text, style, tag.as_deref())?, anchor),
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
                (Value::list(items), anchor)
            }
            Event::MappingStart(_, anchor, _) => (self.mapping(depth)?, anchor),
            Event::Alias(anchor) => {
                let Some((value, size)) = self.anchors.get(&anchor).cloned() else {
                    return self.fail("an anchor contains itself");
                };
                self.count(size)?;
                (value.deep_copy(), 0)
            }
            Event::DocumentEnd => (Value::Nil, 0),
            other => return self.fail(format!("unexpected {other:?}")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), self.nodes - before + 1));
        }
        Ok(value)
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, Error> {
        let tag = tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix()));
        let core = tag.as_deref().and_then(|tag| tag.strip_prefix("tag:yaml.org,2002:"));
        match core {
            Some("str") => Ok(Value::str(text)),
            Some("binary") => {
                use base64::Engine as _;
                let packed: String = text.split_whitespace().collect();
                match base64::engine::general_purpose::STANDARD.decode(packed) {
                    Ok(bytes) => Ok(Value::str(String::from_utf8_lossy(&bytes))),
                    Err(_) => self.fail("!!binary value contains invalid base64 data"),
                }
            }
            Some(kind @ ("int" | "float" | "bool" | "null")) => match (kind, resolve::plain(text)) {
                ("int", value @ Value::Int64(_))
                | ("float", value @ Value::Float(_))
                | ("bool", value @ Value::Bool(_))
                | ("null", value @ Value::Nil) => Ok(value),
                ("float", Value::Int64(value)) => Ok(Value::Float(value as f64)),
                _ => self.fail(format!("cannot decode `{text}` as a !!{kind}")),
            },
            _ if style == ScalarStyle::Plain && tag.is_none() => Ok(resolve::plain(text)),
            // Go's library gives a block that runs to the end of the text no line end that is not there.
            _ if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded)
                && self.end.is_some()
                && self.end >= self.open_end
                && self.open_end.is_some() =>
            {
                Ok(Value::str(text.strip_suffix('\n').unwrap_or(text)))
            }
            _ => Ok(Value::str(text)),
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, Error> {
        let mut entries = Entries::new();
        let mut merged: Vec<Value> = Vec::new();
        loop {
            let event = match self.next()? {
                Event::MappingEnd => break,
                event => event,
            };
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, _) if text == "<<");
            let (line, column) = (self.line, self.column);
            let key = self.node(event, depth + 1)?;
            let value_event = self.next()?;
            let value = self.node(value_event, depth + 1)?;
            if merge {
                match value {
                    Value::List(items, _) => merged.extend(items.iter().cloned()),
                    value => merged.push(value),
                }
                continue;
            }
            let key: Rc<str> = self.key(&key)?;
            if !self.last_key_counts && entries.contains_key(&key) {
                let message = format!("key {} already set in map", crate::gofmt::quote(&key));
                return Err(Error { line, column, message });
            }
            entries.insert(key, value);
        }
        for source in merged {
            let Value::Map(source, Elem::Any) = source else {
                return self.fail("map merge requires map or sequence of maps as the value");
            };
            for (key, value) in source.borrow().iter() {
                entries.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        Ok(Value::map(entries))
    }

    fn key(&self, key: &Value) -> Result<Rc<str>, Error> {
        Ok(match key {
            Value::Str(text) => text.clone(),
            Value::Bool(value) => value.to_string().into(),
            Value::Int(value) | Value::Int64(value) => value.to_string().into(),
            Value::Float(value) => float_json(*value).into(),
            other => return self.fail(format!("unsupported map key of type: {}", other.kind())),
        })
    }
}
