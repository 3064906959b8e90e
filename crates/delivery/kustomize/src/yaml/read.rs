//! Text to trees: documents apart, anchors and merge keys resolved as kyaml does on reading.

use std::{collections::HashMap, collections::HashSet, rc::Rc};

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StrInput, StructureStyle};

use super::node::{Key, Map, Node, Scalar, Seq, Style, Tag};
use super::resolve::resolve;

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 200;
/// Values that one document may hold, those of repeated aliases counted each time.
const MAX_NODES: usize = 1_000_000;

/// Text that is not YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "yaml: line {}: {}", self.line, self.message)
    }
}

/// What happens when a mapping names a field twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// The document is refused.
    Refused,
    /// The last one counts.
    LastWins,
}

/// Splits at lines that start with `---`, as kyaml does before it reads anything.
pub(crate) fn split(text: &str) -> Result<Vec<(usize, String)>, String> {
    let unix;
    let text = if text.contains('\r') {
        unix = text.replace("\r\n", "\n");
        &unix
    } else {
        text
    };
    let mut pieces = Vec::new();
    let (mut start, mut from) = (0, 0);
    while let Some(at) = text[from..].find("\n---") {
        let at = from + at;
        let Some(end) = text[at + 1..].find('\n') else { break };
        let end = at + 1 + end + 1;
        let rest = text[at + 4..end].trim();
        if !rest.is_empty() && !rest.starts_with('#') {
            return Err(format!("invalid document separator: {}", text[at..end].trim()));
        }
        pieces.push((start, format!("{}\n", &text[start..at])));
        start = end;
        from = end;
    }
    if !text.is_empty() {
        pieces.push((start, text[start..].to_owned()));
    }
    let (mut line, mut counted) = (0, 0);
    let mut out = Vec::with_capacity(pieces.len());
    for (at, piece) in pieces {
        line += text[counted..at].matches('\n').count();
        counted = at;
        out.push((line, piece));
    }
    Ok(out)
}

/// Reads the first document of a text; nothing but blanks and comments is `None`.
pub(crate) fn document(text: &str, repeated: Repeated) -> Result<Option<Node>, Error> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.simple_key_max_lookahead = 1 << 16;
    let parser = Parser::new_from_str_with_options(text, options);
    Reader { parser, text, anchors: HashMap::new(), words: HashSet::new(), line: 1, nodes: 0, repeated }.document()
}

/// Returns whether a text has comments.
pub(crate) fn has_comments(text: &str) -> bool {
    let mut parser = Parser::new_from_str(text);
    while let Some(Ok((event, _))) = parser.next_event() {
        if matches!(event, Event::Comment(..)) {
            return true;
        }
    }
    false
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    anchors: HashMap<usize, (Node, usize)>,
    words: HashSet<Rc<str>>,
    line: usize,
    nodes: usize,
    repeated: Repeated,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(Error { line: self.line, message: message.into() })
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Error> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok((event, span))
            }
            Some(Err(error)) => Err(Error { line: error.marker().line(), message: error.info() }),
            None => {
                let at = granit_parser::Marker::new(0, self.line, 0);
                Ok((Event::StreamEnd, Span::new(at, at)))
            }
        }
    }

    fn document(mut self) -> Result<Option<Node>, Error> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(None),
                (Event::DocumentStart(..), _) => {
                    let (event, span) = self.next()?;
                    let node = self.node(event, span, 0)?;
                    // A broken end is noticed too.
                    if self.text.len() > span.start.index() {
                        self.next()?;
                    }
                    return Ok(Some(node));
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

    fn word(&mut self, text: &str) -> Rc<str> {
        if let Some(word) = self.words.get(text) {
            return word.clone();
        }
        let word: Rc<str> = text.into();
        self.words.insert(word.clone());
        word
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Error> {
        if depth > MAX_DEPTH {
            return self.fail(format!("the document nests more than {MAX_DEPTH} levels"));
        }
        self.count(1)?;
        let before = self.nodes;
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let empty = style == ScalarStyle::Plain && span.start.index() == span.end.index();
                let text = if empty { "" } else { &*text };
                (Node::Scalar(self.scalar(text, style, tag.as_deref())?), anchor)
            }
            Event::SequenceStart(style, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                items.shrink_to_fit();
                (Node::Seq(Rc::new(Seq { items, flow: style == StructureStyle::Flow })), anchor)
            }
            Event::MappingStart(style, anchor, _) => {
                let mut map = self.mapping(depth)?;
                map.flow = style == StructureStyle::Flow;
                map.entries.shrink_to_fit();
                (Node::Map(Rc::new(map)), anchor)
            }
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return self.fail("anchor value contains itself");
                };
                self.count(size)?;
                (node, 0)
            }
            Event::DocumentEnd => (Node::Scalar(Scalar::null()), 0),
            other => return self.fail(format!("unexpected {other:?}")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&granit_parser::Tag>) -> Result<Scalar, Error> {
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::Single,
            ScalarStyle::DoubleQuoted => Style::Double,
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
        };
        let value = if text.len() <= 32 { self.word(text) } else { text.into() };
        let Some(tag) = tag else {
            let tag = if style == Style::Plain { resolve(text).tag() } else { Tag::Str };
            return Ok(Scalar::new(value, tag, style));
        };
        let mut scalar = Scalar::new(value, Tag::Other, style);
        scalar.tagged = true;
        scalar.tag = match tag.core_suffix() {
            Some("str") => Tag::Str,
            Some("null") => Tag::Null,
            Some("bool") => Tag::Bool,
            Some("int") => Tag::Int,
            Some("float") => Tag::Float,
            Some("timestamp") => Tag::Time,
            Some("binary") => Tag::Binary,
            _ => Tag::Other,
        };
        if scalar.tag == Tag::Binary {
            use base64::Engine as _;
            let packed: String = text.split_whitespace().collect();
            let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(packed) else {
                return self.fail("!!binary value contains invalid base64 data");
            };
            return Ok(Scalar::text(String::from_utf8_lossy(&bytes).into_owned()));
        }
        Ok(scalar)
    }

    fn mapping(&mut self, depth: usize) -> Result<Map, Error> {
        let mut map = Map::default();
        let mut merged: Vec<Node> = Vec::new();
        let mut merges = 0;
        loop {
            let (event, span) = match self.next()? {
                (Event::MappingEnd, _) => break,
                next => next,
            };
            let line = self.line;
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if merge {
                merges += 1;
                if merges > 1 {
                    return self.fail("duplicate merge key");
                }
                match value {
                    // The first of a list counts most.
                    Node::Seq(seq) => merged.extend(seq.items.iter().rev().cloned()),
                    value => merged.push(value),
                }
                continue;
            }
            let Node::Scalar(key) = key else {
                return Err(Error { line, message: "invalid map key".to_owned() });
            };
            let at = (map.entries.len() < 16 || self.repeated == Repeated::LastWins)
                .then(|| map.position(&key.value))
                .flatten();
            match at {
                Some(_) if self.repeated == Repeated::Refused => {
                    let message = format!("mapping key {:?} already defined", key.value);
                    return Err(Error { line, message });
                }
                Some(at) => map.entries[at].1 = value,
                None => {
                    let odd = !matches!(key.tag, Tag::Str | Tag::Other | Tag::Binary);
                    map.entries.push((Key { text: key.value, odd, style: key.style }, value));
                }
            }
        }
        if map.entries.len() >= 16 && self.repeated == Repeated::Refused {
            let mut seen = HashSet::with_capacity(map.entries.len());
            if let Some((key, _)) = map.entries.iter().find(|(key, _)| !seen.insert(key.text.clone())) {
                return self.fail(format!("mapping key {:?} already defined", key.text));
            }
        }
        self.merge(&mut map, &merged)?;
        Ok(map)
    }

    /// `<<`: own fields win over merged ones.
    fn merge(&mut self, map: &mut Map, sources: &[Node]) -> Result<(), Error> {
        let own = map.entries.len();
        for source in sources {
            let Node::Map(source) = source else {
                return self.fail("map merge requires map or sequence of maps as the value");
            };
            self.count(source.entries.len())?;
            for (key, value) in &source.entries {
                match map.position(&key.text) {
                    Some(at) if at < own => {}
                    Some(at) => map.entries[at].1 = value.clone(),
                    None => map.entries.push((key.clone(), value.clone())),
                }
            }
        }
        Ok(())
    }
}
