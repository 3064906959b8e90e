//! One pass over the lines of a document in plain block style.

use gotmpl::{gofmt, yaml};

use super::{
    HOOK, Head, WEIGHT,
    scalar::{self, Scalar},
};

/// Longest document that is scanned: far fewer values than the parser allows.
const LONGEST: usize = 512 << 10;
/// Longest line with a key or a value on it; the parser has a bound of its own for keys.
const LONGEST_LINE: usize = 1000;
/// Deepest nesting that is scanned.
const DEEPEST: usize = 64;
/// Most comments in a row: the parser holds only so many back.
const MOST_COMMENTS: usize = 60;

/// Returns the head of a document, or nothing if only the parser can tell.
///
/// What is answered is what [`read`](super::read) answers: a document that the parser refuses has no answer here.
pub fn scan(document: &str) -> Option<Head> {
    if document.len() > LONGEST || !document.chars_are_plain() {
        return None;
    }
    let mut scan =
        Scan { rest: document, levels: Vec::with_capacity(16), open: None, comments: 0, found: Found::default() };
    while let Some(line) = scan.next_line() {
        scan.line(line)?;
    }
    // A document of comments alone is left to the parser too.
    (!scan.levels.is_empty()).then(|| scan.found.head())
}

trait Plain {
    /// Returns whether there is nothing but characters that mean the same to every reader: no tab, no other
    /// control, none of the line ends that are not `\n`.
    fn chars_are_plain(&self) -> bool;
}

impl Plain for str {
    fn chars_are_plain(&self) -> bool {
        let controls = self.bytes().any(|byte| byte < b' ' && byte != b'\n' || byte == 0x7f);
        let strange =
            |c: char| matches!(c, '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
        !controls && (self.is_ascii() || !self.chars().any(strange))
    }
}

/// A collection that lines may still go on with.
struct Level {
    /// Where its entries begin.
    column: usize,
    form: Form,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Map,
    List,
}

/// Which value of the document it is, as far as that matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Metadata,
    Annotations,
    Kind,
    Hook,
    Weight,
    Elsewhere,
}

/// What was found; each at most once.
#[derive(Default)]
struct Found<'t> {
    /// The kind; a collection as long as nothing else is known.
    kind: Option<Scalar<'t>>,
    metadata: bool,
    annotations: bool,
    hook: Option<Scalar<'t>>,
    weight: Option<Scalar<'t>>,
}

impl Found<'_> {
    fn head(&self) -> Head {
        let annotation = |found| match found {
            Some(Scalar::Plain(text)) => Some(gofmt::verb_v(&yaml::plain(text))),
            Some(Scalar::Quoted(text)) => Some(text.to_owned()),
            _ => None,
        };
        let kind = match self.kind {
            Some(Scalar::Plain(text)) => yaml::plain(text).as_str().unwrap_or_default().to_owned(),
            Some(Scalar::Quoted(text)) => text.to_owned(),
            _ => String::new(),
        };
        Head { kind, hook: annotation(self.hook), weight: annotation(self.weight) }
    }
}

struct Scan<'t> {
    rest: &'t str,
    levels: Vec<Level>,
    /// The entry of the last level that has no value yet.
    open: Option<Place>,
    /// Comments since the last line with a value.
    comments: usize,
    found: Found<'t>,
}

impl<'t> Scan<'t> {
    /// Takes the next line, without its end.
    fn next_line(&mut self) -> Option<&'t str> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        Some(line)
    }

    fn line(&mut self, line: &'t str) -> Option<()> {
        let (indent, content) = outdented(line);
        if content.is_empty() {
            return Some(());
        }
        if content.starts_with('#') {
            self.comments += 1;
            return (self.comments <= MOST_COMMENTS).then_some(());
        }
        self.comments = 0;
        let marks_document = indent == 0 && (content.starts_with("---") || content.starts_with("..."));
        if line.len() > LONGEST_LINE || marks_document {
            return None;
        }
        let item = content.strip_prefix('-').filter(|rest| rest.is_empty() || rest.starts_with(' '));
        self.enter(indent, if item.is_some() { Form::List } else { Form::Map })?;
        match item {
            Some(rest) => self.item(indent, rest),
            None => self.entry(content),
        }
    }

    /// Makes the collection that the line belongs to the last level.
    fn enter(&mut self, column: usize, form: Form) -> Option<()> {
        while self.levels.last().is_some_and(|level| level.column > column) {
            self.levels.pop();
            self.open = None;
        }
        // A list may stand right below the key that it belongs to; a key at its column ends it.
        if form == Form::Map
            && self.levels.last().is_some_and(|level| level.column == column && level.form == Form::List)
        {
            self.levels.pop();
            self.open = None;
        }
        match self.levels.last() {
            None if column == 0 && form == Form::Map => self.push(Level { column, form, place: Place::Root }),
            None => None,
            Some(level) if level.column == column && level.form == form => Some(()),
            Some(level) if level.column == column && level.form == Form::List => None,
            // What is deeper belongs to an entry without a value; where there is none, the line goes on with a text.
            Some(_) => {
                let place = self.open.take()?;
                let place = if form == Form::List { Place::Elsewhere } else { place };
                self.push(Level { column, form, place })
            }
        }
    }

    fn push(&mut self, level: Level) -> Option<()> {
        self.levels.push(level);
        (self.levels.len() <= DEEPEST).then_some(())
    }

    /// Reads what stands behind the dash of an item.
    fn item(&mut self, column: usize, rest: &'t str) -> Option<()> {
        let (blanks, content) = outdented(rest);
        if content.is_empty() || content.starts_with('#') {
            self.open = Some(Place::Elsewhere);
            return Some(());
        }
        if content == "-" || content.starts_with("- ") {
            return None;
        }
        if scalar::key(content).is_none() {
            return self.value(content, Place::Elsewhere);
        }
        let column = column + 1 + blanks;
        self.push(Level { column, form: Form::Map, place: Place::Elsewhere })?;
        self.entry(content)
    }

    /// Reads `key: value`.
    fn entry(&mut self, content: &'t str) -> Option<()> {
        let (key, rest) = scalar::key(content)?;
        let place = self.place(key)?;
        let (_, value) = outdented(rest);
        if value.is_empty() || value.starts_with('#') {
            if matches!(place, Place::Hook | Place::Weight) {
                return None;
            }
            self.open = Some(place);
            return Some(());
        }
        self.value(value, place)
    }

    /// Returns which value a key names, or nothing if it is named twice.
    fn place(&mut self, key: &str) -> Option<Place> {
        let (place, again) = match (self.levels.last()?.place, key) {
            (Place::Root, "kind") => (Place::Kind, self.found.kind.replace(Scalar::Flow).is_some()),
            (Place::Root, "metadata") => (Place::Metadata, std::mem::replace(&mut self.found.metadata, true)),
            (Place::Metadata, "annotations") => {
                (Place::Annotations, std::mem::replace(&mut self.found.annotations, true))
            }
            (Place::Annotations, HOOK) => (Place::Hook, self.found.hook.is_some()),
            (Place::Annotations, WEIGHT) => (Place::Weight, self.found.weight.is_some()),
            _ => (Place::Elsewhere, false),
        };
        (!again).then_some(place)
    }

    fn value(&mut self, text: &'t str, place: Place) -> Option<()> {
        self.open = None;
        let value = match text.as_bytes().first() {
            Some(b'|' | b'>') => {
                self.block(text)?;
                Scalar::Other
            }
            _ => scalar::value(text)?,
        };
        match (place, value) {
            (Place::Kind, Scalar::Other) | (Place::Hook | Place::Weight, Scalar::Other | Scalar::Flow) => return None,
            // Names stand in a line as they are.
            (Place::Metadata, Scalar::Flow) if text.contains("annotations") => return None,
            (Place::Annotations, Scalar::Flow) if text.contains(HOOK) => return None,
            (Place::Kind, value) => self.found.kind = Some(value),
            (Place::Hook, value) => self.found.hook = Some(value),
            (Place::Weight, value) => self.found.weight = Some(value),
            _ => {}
        }
        Some(())
    }

    /// Passes over the lines of a block of text, whose header is given.
    fn block(&mut self, header: &str) -> Option<()> {
        if !matches!(header[1..].trim_end_matches(' '), "" | "-" | "+") {
            return None;
        }
        let outer = self.levels.last()?.column;
        let (mut inner, mut widest_blank) = (None, 0);
        while !self.rest.is_empty() {
            let before = self.rest;
            let (indent, content) = outdented(self.next_line()?);
            match (content.is_empty(), inner) {
                (true, None) => widest_blank = widest_blank.max(indent),
                (true, Some(_)) => {}
                (false, None) if indent > outer && indent >= widest_blank => inner = Some(indent),
                (false, None) => return None,
                (false, Some(inner)) if indent >= inner => {}
                (false, Some(_)) if indent > outer => return None,
                (false, Some(_)) => {
                    self.rest = before;
                    break;
                }
            }
        }
        inner.map(|_| ())
    }
}

/// Splits a text into the number of blanks before it and what follows, without blanks at its end.
fn outdented(text: &str) -> (usize, &str) {
    let content = text.trim_start_matches(' ');
    (text.len() - content.len(), content.trim_end_matches(' '))
}
