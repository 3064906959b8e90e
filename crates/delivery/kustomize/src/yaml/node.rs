//! The tree: what go-yaml's `Node` keeps of a document, as far as it shows in the end.
//!
//! Children are shared until they are written to, so a copy of a resource costs one count.

use std::rc::Rc;

/// What a scalar was said or found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// Nothing was said: the text decides when it is read again.
    Empty,
    Str,
    Null,
    Bool,
    Int,
    Float,
    Time,
    Binary,
    /// A tag of somebody's own: text.
    Other,
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Single,
    Double,
    Literal,
    Folded,
}

/// A scalar with its text.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) value: Rc<str>,
    pub(crate) tag: Tag,
    pub(crate) style: Style,
    /// The tag was written out (`!!str 1`) and stays.
    pub(crate) tagged: bool,
    /// A `null` that a patch found in its target and keeps.
    pub(crate) keep: bool,
    /// Not 0: the places of one resource that were set together; writing one writes them all.
    pub(crate) group: u16,
    /// Written to since the group was last settled.
    pub(crate) written: bool,
}

impl Scalar {
    pub(crate) fn new(value: impl Into<Rc<str>>, tag: Tag, style: Style) -> Self {
        Self { value: value.into(), tag, style, tagged: false, keep: false, group: 0, written: false }
    }

    /// Text without a tag: what it is shows when it is read again.
    pub(crate) fn bare(value: impl Into<Rc<str>>) -> Self {
        Self::new(value, Tag::Empty, Style::Plain)
    }

    /// Text for certain (`SetString`).
    pub(crate) fn text(value: impl Into<Rc<str>>) -> Self {
        let value = value.into();
        let style = if value.contains('\n') { Style::Literal } else { Style::Plain };
        Self::new(value, Tag::Str, style)
    }

    pub(crate) fn null() -> Self {
        Self::new("", Tag::Null, Style::Plain)
    }

    /// Returns whether it was said to be text or nothing was said (`IsYNodeString`).
    pub(crate) fn is_stringish(&self) -> bool {
        matches!(self.tag, Tag::Str | Tag::Empty)
    }

    /// Returns its value for text, nothing for null (`GetValue`).
    pub(crate) fn get(&self) -> &str {
        if self.tag == Tag::Null { "" } else { &self.value }
    }
}

/// The name of a field.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) text: Rc<str>,
    /// `1:` or `true:` rather than text.
    pub(crate) odd: bool,
    pub(crate) style: Style,
}

impl Key {
    /// A name that is written without quotes, whatever it looks like.
    pub(crate) fn new(text: impl Into<Rc<str>>) -> Self {
        let text = text.into();
        let odd = super::resolve::resolve(&text) != super::resolve::Resolved::Text;
        Self { text, odd, style: Style::Plain }
    }

    /// A name that is text for certain.
    pub(crate) fn text(text: impl Into<Rc<str>>) -> Self {
        Self { text: text.into(), odd: false, style: Style::Double }
    }
}

/// A mapping in the order it was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    pub(crate) entries: Vec<(Key, Node)>,
    pub(crate) flow: bool,
}

impl Map {
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.entries.iter().position(|(key, _)| &*key.text == name)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.entries.iter().find(|(key, _)| &*key.text == name).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.entries.iter_mut().find(|(key, _)| &*key.text == name).map(|(_, value)| value)
    }

    pub(crate) fn push(&mut self, name: impl Into<Rc<str>>, value: Node) {
        self.entries.push((Key::new(name), value));
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Node> {
        self.position(name).map(|at| self.entries.remove(at).1)
    }
}

/// A sequence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seq {
    pub(crate) items: Vec<Node>,
    pub(crate) flow: bool,
}

/// One place in a document.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Scalar(Scalar),
    Seq(Rc<Seq>),
    Map(Rc<Map>),
}

impl Node {
    pub(crate) fn map(entries: Vec<(Key, Node)>) -> Self {
        Node::Map(Rc::new(Map { entries, flow: false }))
    }

    pub(crate) fn seq(items: Vec<Node>) -> Self {
        Node::Seq(Rc::new(Seq { items, flow: false }))
    }

    pub(crate) fn text(value: impl Into<Rc<str>>) -> Self {
        Node::Scalar(Scalar::text(value))
    }

    pub(crate) fn bare(value: impl Into<Rc<str>>) -> Self {
        Node::Scalar(Scalar::bare(value))
    }

    pub(crate) fn as_map(&self) -> Option<&Map> {
        match self {
            Node::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn as_map_mut(&mut self) -> Option<&mut Map> {
        match self {
            Node::Map(map) => Some(Rc::make_mut(map)),
            _ => None,
        }
    }

    pub(crate) fn as_seq(&self) -> Option<&[Node]> {
        match self {
            Node::Seq(seq) => Some(&seq.items),
            _ => None,
        }
    }

    pub(crate) fn as_seq_mut(&mut self) -> Option<&mut Vec<Node>> {
        match self {
            Node::Seq(seq) => Some(&mut Rc::make_mut(seq).items),
            _ => None,
        }
    }

    pub(crate) fn as_scalar(&self) -> Option<&Scalar> {
        match self {
            Node::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    pub(crate) fn as_scalar_mut(&mut self) -> Option<&mut Scalar> {
        match self {
            Node::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.as_map().and_then(|map| map.get(name))
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Node::Scalar(Scalar { tag: Tag::Null, .. }))
    }

    pub(crate) fn is_empty_map(&self) -> bool {
        self.as_map().is_some_and(|map| map.entries.is_empty())
    }

    /// Null, `{}` or `[]` (`IsNilOrEmpty`).
    pub(crate) fn is_nil_or_empty(&self) -> bool {
        match self {
            Node::Scalar(scalar) => scalar.tag == Tag::Null,
            Node::Seq(seq) => seq.items.is_empty(),
            Node::Map(map) => map.entries.is_empty(),
        }
    }

    /// The text of a scalar; nothing for anything else (`YNode().Value`).
    pub(crate) fn value(&self) -> &str {
        match self {
            Node::Scalar(scalar) => &scalar.value,
            _ => "",
        }
    }

    pub(crate) fn kind_name(&self) -> &'static str {
        match self {
            Node::Scalar(_) => "ScalarNode",
            Node::Seq(_) => "SequenceNode",
            Node::Map(_) => "MappingNode",
        }
    }
}
