//! YAML to a tree whose nodes know their line and column.
//!
//! A document that is broken is told and left aside; what follows the next `---` is read
//! all the same. Scalars mean what Go's library makes of them.

use std::collections::{HashMap, HashSet};

use gotmpl::{Value, yaml};
use granit_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Value as Json, json};

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 100;
/// Nodes that one file may hold, those of repeated aliases counted each time.
const MAX_NODES: usize = 200_000;
/// Documents of one file that may be broken before the rest is left aside.
const MAX_BROKEN: usize = 20;

/// A place in a file: line and column, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) data: Data,
}

/// What stands there.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A field of a map.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Place,
    pub(crate) value: Node,
}

impl Node {
    /// Returns a field; `null` is none.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        let entry = self.entries().iter().find(|entry| entry.key == key)?;
        (!matches!(entry.value.data, Data::Null)).then_some(&entry.value)
    }

    /// Returns what stands below several fields.
    pub(crate) fn below(&self, keys: &[&str]) -> Option<&Node> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Returns where a field's name stands, or the node itself.
    pub(crate) fn key_at(&self, key: &str) -> Place {
        self.entries().iter().find(|entry| entry.key == key).map_or(self.at, |entry| entry.at)
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Node] {
        match &self.data {
            Data::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn int(&self) -> Option<i64> {
        match &self.data {
            Data::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn bool(&self) -> Option<bool> {
        match &self.data {
            Data::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the text of a field, or nothing.
    pub(crate) fn str(&self, key: &str) -> &str {
        self.get(key).and_then(Node::text).unwrap_or_default()
    }

    pub(crate) fn is_true(&self, key: &str) -> bool {
        self.get(key).and_then(Node::bool) == Some(true)
    }

    /// Returns it without places.
    pub(crate) fn json(&self) -> Json {
        match &self.data {
            Data::Null => Json::Null,
            Data::Bool(value) => json!(value),
            Data::Int(value) => json!(value),
            Data::Float(value) => json!(value),
            Data::Text(text) => json!(text),
            Data::List(items) => items.iter().map(Node::json).collect(),
            Data::Map(entries) => {
                Json::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.json())).collect::<Map<_, _>>())
            }
        }
    }

    /// Returns what people call this type.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.data {
            Data::Null => "null",
            Data::Bool(_) => "a boolean",
            Data::Int(_) => "an integer",
            Data::Float(_) => "a number",
            Data::Text(_) => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "an object",
        }
    }
}

/// A mistake in the text itself.
#[derive(Clone, Debug)]
pub(crate) enum Mistake {
    /// It is no YAML.
    Syntax(Place, String),
    /// A key stands twice: where again, which, and the line it stood on first.
    Twice(Place, String, usize),
    /// A key is read as a truth: where, and as it is written.
    Truth(Place, String),
    /// It is larger than is looked at.
    Bounds(Place, String),
}

/// A file as read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Read {
    pub(crate) documents: Vec<Node>,
    pub(crate) mistakes: Vec<Mistake>,
    /// Comments by line, without `#`.
    pub(crate) comments: Vec<(usize, String)>,
}

/// Reads all documents of a file.
pub(crate) fn read(text: &str) -> Read {
    let mut read = Read::default();
    let (mut offset, mut rest, mut nodes) = (0, text.strip_prefix('\u{feff}').unwrap_or(text), 0);
    for _ in 0..MAX_BROKEN {
        let mut reader = Reader::new(rest, offset, &mut read, nodes);
        let Err(stop) = reader.documents() else { break };
        nodes = reader.nodes;
        let (at, again) = match &stop {
            Mistake::Syntax(at, _) => (*at, true),
            Mistake::Twice(at, ..) | Mistake::Truth(at, _) | Mistake::Bounds(at, _) => (*at, false),
        };
        read.mistakes.push(stop);
        // The next document begins after the place where this one broke.
        let next = again.then(|| next_document(rest, at.line.saturating_sub(offset))).flatten();
        let Some((line, byte)) = next else { break };
        offset += line;
        rest = &rest[byte..];
    }
    read
}

/// Returns the lines and bytes before the first `---` below a line.
fn next_document(text: &str, after: usize) -> Option<(usize, usize)> {
    let mut byte = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if number > 0 && number >= after && line.trim_end() == "---" {
            return Some((number, byte));
        }
        byte += line.len();
    }
    None
}

struct Reader<'a, 'r> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    offset: usize,
    at: Place,
    nodes: usize,
    read: &'r mut Read,
}

impl<'a, 'r> Reader<'a, 'r> {
    fn new(text: &'a str, offset: usize, read: &'r mut Read, nodes: usize) -> Self {
        let parser = Parser::new_from_str(text);
        Self { parser, anchors: HashMap::new(), offset, at: Place { line: offset + 1, column: 1 }, nodes, read }
    }

    fn next(&mut self) -> Result<Event<'a>, Mistake> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::Comment(text, _), span))) => {
                    self.read.comments.push((span.start.line() + self.offset, text.into_owned()));
                }
                Some(Ok((event, span))) => {
                    self.at = Place { line: span.start.line() + self.offset, column: span.start.col() + 1 };
                    return Ok(event);
                }
                Some(Err(error)) => {
                    let marker = error.marker();
                    let at = Place { line: (marker.line() + self.offset).max(1), column: marker.col() + 1 };
                    return Err(Mistake::Syntax(at, error.info()));
                }
                None => return Ok(Event::StreamEnd),
            }
        }
    }

    fn documents(&mut self) -> Result<(), Mistake> {
        loop {
            match self.next()? {
                Event::StreamEnd => return Ok(()),
                Event::DocumentStart(..) => {
                    self.anchors.clear();
                    let event = self.next()?;
                    let node = self.node(event, 0)?;
                    self.read.documents.push(node);
                }
                _ => {}
            }
        }
    }

    fn count(&mut self, nodes: usize) -> Result<(), Mistake> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(Mistake::Bounds(self.at, format!("the file holds more than {MAX_NODES} values")));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Node, Mistake> {
        if depth > MAX_DEPTH {
            return Err(Mistake::Bounds(self.at, format!("the document nests more than {MAX_DEPTH} levels")));
        }
        self.count(1)?;
        let (at, before) = (self.at, self.nodes);
        let (data, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (self.scalar(&text, style, tag.as_deref())?, anchor),
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
                (Data::List(items), anchor)
            }
            Event::MappingStart(_, anchor, _) => (Data::Map(self.mapping(depth)?), anchor),
            Event::Alias(anchor) => {
                let Some(size) = self.anchors.get(&anchor).map(|(_, size)| *size) else {
                    return Err(Mistake::Syntax(at, "an anchor contains itself".to_owned()));
                };
                self.count(size)?;
                let data = self.anchors.get(&anchor).map_or(Data::Null, |(node, _)| node.data.clone());
                return Ok(Node { at, data });
            }
            Event::DocumentEnd => (Data::Null, 0),
            _ => return Err(Mistake::Syntax(at, "a value is expected here".to_owned())),
        };
        let node = Node { at, data };
        if anchor > 0 {
            // What an alias repeats counts before it is copied.
            self.count(self.nodes - before + 1)?;
            self.anchors.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Data, Mistake> {
        let tag = tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix()));
        let core = tag.as_deref().and_then(|tag| tag.strip_prefix("tag:yaml.org,2002:"));
        let plain = || match yaml::plain(text) {
            Value::Nil => Data::Null,
            Value::Bool(value) => Data::Bool(value),
            Value::Int(value) | Value::Int64(value) => Data::Int(value),
            Value::Float(value) => Data::Float(value),
            _ => Data::Text(text.to_owned()),
        };
        match core {
            Some(kind @ ("int" | "float" | "bool" | "null")) => match (kind, plain()) {
                ("int", data @ Data::Int(_))
                | ("float", data @ Data::Float(_))
                | ("bool", data @ Data::Bool(_))
                | ("null", data @ Data::Null) => Ok(data),
                ("float", Data::Int(value)) => Ok(Data::Float(value as f64)),
                _ => Err(Mistake::Syntax(self.at, format!("cannot decode `{text}` as a !!{kind}"))),
            },
            None if style == ScalarStyle::Plain && tag.is_none() => Ok(plain()),
            _ => Ok(Data::Text(text.to_owned())),
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<Entry>, Mistake> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        let mut merged: Vec<Node> = Vec::new();
        loop {
            let event = match self.next()? {
                Event::MappingEnd => break,
                event => event,
            };
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, _) if text == "<<");
            let written = match &event {
                Event::Scalar(text, ..) => text.to_string(),
                _ => String::new(),
            };
            let at = self.at;
            let key = self.node(event, depth + 1)?;
            if matches!(key.data, Data::Bool(_)) && written != "true" && written != "false" {
                self.read.mistakes.push(Mistake::Truth(at, written));
            }
            let value = self.next()?;
            let value = self.node(value, depth + 1)?;
            if merge {
                merged.push(value);
                continue;
            }
            let key = key_text(&key).ok_or_else(|| {
                Mistake::Syntax(at, format!("{} is no key; text that begins with {{{{ needs quotes", key.kind()))
            })?;
            if let Some(first) = lines.get(&key) {
                self.read.mistakes.push(Mistake::Twice(at, key, *first));
                continue;
            }
            lines.insert(key.clone(), at.line);
            entries.push(Entry { key, at, value });
        }
        merge_in(&mut entries, merged)?;
        Ok(entries)
    }
}

fn key_text(key: &Node) -> Option<String> {
    Some(match &key.data {
        Data::Text(text) => text.clone(),
        Data::Bool(value) => value.to_string(),
        Data::Int(value) => value.to_string(),
        Data::Float(value) => value.to_string(),
        Data::Null => "null".to_owned(),
        Data::List(_) | Data::Map(_) => return None,
    })
}

fn merge_in(entries: &mut Vec<Entry>, merged: Vec<Node>) -> Result<(), Mistake> {
    if merged.is_empty() {
        return Ok(());
    }
    let mut known: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    let sources = merged.into_iter().flat_map(|node| match node.data {
        Data::List(items) => items,
        data => vec![Node { at: node.at, data }],
    });
    for source in sources {
        let Data::Map(fields) = source.data else {
            let text = "map merge requires map or sequence of maps as the value".to_owned();
            return Err(Mistake::Syntax(source.at, text));
        };
        for field in fields {
            if known.insert(field.key.clone()) {
                entries.push(field);
            }
        }
    }
    Ok(())
}
