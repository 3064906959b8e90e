//! Ways into a tree: fields, list items by name or number, fields that are made on the way.

use regex::Regex;

use crate::{
    fail::{Cause, Fail, Step},
    yaml::{Node, Scalar, Seq, Style, Tag, emit},
};

/// Splits at a delimiter that no backslash stands before.
pub(crate) fn split(path: &str, delimiter: char) -> Vec<String> {
    let mut parts: Vec<&str> = path.split(delimiter).collect();
    if parts.len() > 1 && parts[0].is_empty() {
        parts.remove(0);
    }
    let mut out: Vec<String> = vec![parts[0].to_owned()];
    for part in &parts[1..] {
        match out.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.pop();
                last.push(delimiter);
                last.push_str(part);
            }
            _ => out.push((*part).to_owned()),
        }
    }
    out
}

/// Splits a path of a replacement: what stands in brackets stays together.
pub(crate) fn split_fields(path: &str) -> Vec<String> {
    let parts = split(path, '.');
    let mut out = Vec::new();
    let mut at = 0;
    while at < parts.len() {
        let part = &parts[at];
        if part.starts_with('[') && !part.ends_with(']') {
            let mut joined = part.clone();
            while at + 1 < parts.len() {
                at += 1;
                joined.push('.');
                joined.push_str(&parts[at]);
                if parts[at].ends_with(']') {
                    break;
                }
            }
            out.push(if joined.contains('=') { joined } else { joined.trim_matches(['[', ']']).to_owned() });
        } else {
            out.push(part.clone());
        }
        at += 1;
    }
    out
}

/// What is made where nothing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Scalar,
    Map,
    Seq,
}

impl Make {
    pub(crate) fn of(node: &Node) -> Self {
        match node {
            Node::Scalar(_) => Make::Scalar,
            Node::Map(_) => Make::Map,
            Node::Seq(_) => Make::Seq,
        }
    }

    pub(crate) fn node(self) -> Node {
        match self {
            Make::Scalar => Node::Scalar(Scalar::bare("")),
            Make::Map => Node::map(Vec::new()),
            Make::Seq => Node::seq(Vec::new()),
        }
    }

    /// What a part of a path stands for, told by the next one.
    fn before(next: Option<&str>, last: Make) -> Make {
        match next {
            None | Some("") => last,
            Some(next) if is_item(next) || is_index(next) => Make::Seq,
            Some(_) => Make::Map,
        }
    }
}

fn is_item(part: &str) -> bool {
    part.starts_with('[') && part.ends_with(']')
}

fn is_index(part: &str) -> bool {
    part.parse::<usize>().is_ok()
}

fn item(part: &str) -> Step<(&str, &str)> {
    let inner = part.strip_suffix(']').unwrap_or(part);
    let inner = inner.strip_prefix('[').unwrap_or(inner);
    inner
        .split_once('=')
        .ok_or_else(|| Fail::build("list path element must contain fieldName=fieldValue for element to match"))
}

pub(crate) fn wrong_kind(expected: &str, node: &Node) -> Fail {
    Fail::build(format!(
        "wrong node kind: expected {expected} but got {}: node contents:\n{}",
        node.kind_name(),
        emit(node)
    ))
}

/// Looks a place up (`yaml.Lookup`).
pub(crate) fn lookup<'a, S: AsRef<str>>(node: &'a Node, path: &[S]) -> Step<Option<&'a Node>> {
    let mut here = node;
    for part in path.iter().map(|part| part.as_ref().trim()).filter(|part| !part.is_empty()) {
        let next = if let Ok(index) = part.parse::<i64>() {
            if index < 0 {
                return Err(Fail::build(format!("array index {index} cannot be negative")));
            }
            items(here)?.get(index as usize)
        } else if part == "-" {
            items(here)?.last()
        } else if part == "*" {
            return Err(Fail::build("wildcard is not supported in PathGetter"));
        } else if is_item(part) {
            let (name, value) = item(part)?;
            find(items(here)?, name, value)
        } else {
            field(here, part)?
        };
        match next {
            Some(next) => here = next,
            None => return Ok(None),
        }
    }
    Ok(Some(here))
}

fn field<'a>(node: &'a Node, name: &str) -> Step<Option<&'a Node>> {
    match node {
        Node::Map(map) => Ok(map.get(name)),
        node if node.is_null() => Ok(None),
        node => Err(wrong_kind("MappingNode", node)),
    }
}

fn items(node: &Node) -> Step<&[Node]> {
    match node {
        Node::Seq(seq) => Ok(&seq.items),
        node if node.is_null() => Ok(&[]),
        node => Err(wrong_kind("SequenceNode", node)),
    }
}

fn find<'a>(items: &'a [Node], name: &str, value: &str) -> Option<&'a Node> {
    if name.is_empty() {
        return items.iter().find(|item| item.value() == value);
    }
    items.iter().find(|item| item.get(name).is_some_and(|field| field.value() == value))
}

/// Sets a field as kyaml's `FieldSetter` does: the style of what stood there stays, null clears.
pub(crate) fn set_field(map: &mut crate::yaml::Map, name: &str, mut value: Node) {
    if let Node::Scalar(scalar) = &mut value {
        quote_if_not_text(scalar);
        if scalar.tag == Tag::Null && !scalar.keep {
            map.remove(name);
            return;
        }
    }
    match map.get_mut(name) {
        Some(place) => overwrite(place, value),
        None => map.push(name, value),
    }
}

/// Sets a scalar in its place (`FieldSetter` without a name).
pub(crate) fn set_scalar(place: &mut Node, mut value: Scalar) -> Step<()> {
    quote_if_not_text(&mut value);
    match place {
        Node::Scalar(scalar) => {
            if value.tag != Tag::Null {
                overwrite(place, Node::Scalar(value));
            } else if scalar.tag == Tag::Null {
                scalar.written = false;
            }
            Ok(())
        }
        place => Err(wrong_kind("ScalarNode", place)),
    }
}

/// Overwrites a place, keeping its style and what it is written together with.
pub(crate) fn overwrite(place: &mut Node, mut value: Node) {
    let (style, group) = match place {
        Node::Scalar(old) => (old.style, old.group),
        _ => (Style::Plain, 0),
    };
    if let Node::Scalar(new) = &mut value {
        new.style = style;
        new.group = group;
        new.written = group != 0;
    }
    *place = value;
}

/// Returns whether a scalar is text, or may be, that looks like something else.
pub(crate) fn wants_quotes(scalar: &Scalar) -> bool {
    scalar.is_stringish() && scalar.style == Style::Plain && is_not_text(&scalar.value)
}

pub(crate) fn quote_if_not_text(scalar: &mut Scalar) {
    if wants_quotes(scalar) {
        scalar.style = Style::Double;
    }
}

/// Returns whether YAML 1.1 takes a text for something else (`IsValueNonString`).
fn is_not_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let may = match bytes.first() {
        Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'~') => true,
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O') => bytes.len() <= 5,
        _ => false,
    };
    may && !text.contains('\n') && !matches!(gotmpl::yaml::plain(text), gotmpl::Value::Str(_))
}

/// Returns the mapping at a path of fields, made where it is missing.
pub(crate) fn map_at<'a>(node: &'a mut Node, path: &[&str]) -> Option<&'a mut crate::yaml::Map> {
    let mut here = node.as_map_mut()?;
    for part in path {
        if here.get(part).is_none() {
            here.push(*part, Node::map(Vec::new()));
        }
        here = here.get_mut(part)?.as_map_mut()?;
    }
    Some(here)
}

/// A way to a node: positions of fields and items.
pub(crate) type Way = Vec<usize>;

/// Follows a way.
pub(crate) fn at<'a>(node: &'a mut Node, way: &[usize]) -> Option<&'a mut Node> {
    let mut here = node;
    for step in way {
        here = match here {
            Node::Map(map) => &mut std::rc::Rc::make_mut(map).entries.get_mut(*step)?.1,
            Node::Seq(seq) => std::rc::Rc::make_mut(seq).items.get_mut(*step)?,
            Node::Scalar(_) => return None,
        };
    }
    Some(here)
}

/// What a search found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Ways to what was found.
    pub(crate) ways: Vec<Way>,
    /// How many were found in text that only reads as YAML: they cannot be written to.
    pub(crate) detached: usize,
}

/// Finds every place that a path matches (`PathMatcher`), making what is missing if asked.
pub(crate) fn matches(node: &mut Node, path: &[String], make: Option<Make>) -> Step<Found> {
    let mut found = Found::default();
    search(node, path, make, &mut Vec::new(), &mut found)?;
    Ok(found)
}

fn search(node: &mut Node, path: &[String], make: Option<Make>, way: &mut Way, found: &mut Found) -> Step<()> {
    let Some((part, rest)) = path.split_first() else {
        found.ways.push(way.clone());
        return Ok(());
    };
    if is_index(part) {
        return search_index(node, part, rest, make, way, found);
    }
    if is_item(part) {
        return search_items(node, part, rest, make, way, found);
    }
    if part == "*" {
        for index in 0..items(node)?.len() {
            way.push(index);
            if let Some(inner) = at(node, &[index]) {
                search(inner, rest, make, way, found)?;
            }
            way.pop();
        }
        return Ok(());
    }
    search_field(node, part, rest, make, way, found)
}

fn search_field(
    node: &mut Node,
    part: &str,
    rest: &[String],
    make: Option<Make>,
    way: &mut Way,
    found: &mut Found,
) -> Step<()> {
    if field(node, part)?.is_none() {
        let (Some(make), Some(map)) = (make, node.as_map_mut()) else { return Ok(()) };
        map.push(part, Make::before(rest.first().map(String::as_str), make).node());
    }
    let Some(index) = node.as_map().and_then(|map| map.position(part)) else { return Ok(()) };
    let Some(inner) = at(node, &[index]) else { return Ok(()) };
    if let Node::Scalar(scalar) = &*inner
        && !rest.is_empty()
    {
        let Some(mut parsed) = parse_inner(&scalar.value)? else { return Ok(()) };
        found.detached += matches(&mut parsed, rest, make)?.ways.len();
        return Ok(());
    }
    way.push(index);
    search(inner, rest, make, way, found)?;
    way.pop();
    Ok(())
}

/// Reads a scalar's text as a document.
pub(crate) fn parse_inner(text: &str) -> Step<Option<Node>> {
    crate::yaml::read::document(text, crate::yaml::read::Repeated::LastWins)
        .map_err(|error| Fail::new(Cause::Yaml, error.to_string()))
}

fn search_index(
    node: &mut Node,
    part: &str,
    rest: &[String],
    make: Option<Make>,
    way: &mut Way,
    found: &mut Found,
) -> Step<()> {
    let index: usize = part.parse().unwrap_or(usize::MAX);
    let count = items(node)?.len();
    if count == index
        && let Some(make) = make
        && let Some(items) = node.as_seq_mut()
    {
        items.push(Make::before(rest.first().map(String::as_str), make).node());
    }
    let count = items(node)?.len();
    if index >= count {
        return Err(Fail::build(format!("index {index} specified but only {count} elements found")));
    }
    way.push(index);
    if let Some(inner) = at(node, &[index]) {
        search(inner, rest, make, way, found)?;
    }
    way.pop();
    Ok(())
}

fn search_items(
    node: &mut Node,
    part: &str,
    rest: &[String],
    make: Option<Make>,
    way: &mut Way,
    found: &mut Found,
) -> Step<()> {
    let (name, pattern) = item(part)?;
    let regex = Matcher::new(pattern)?;
    let before = found.ways.len() + found.detached;
    for index in 0..items(node)?.len() {
        let Some(inner) = at(node, &[index]) else { continue };
        let text = if name.is_empty() { Some(emit(inner)) } else { inner.get(name).map(emit) };
        if !text.is_some_and(|text| regex.is_match(text.trim())) {
            continue;
        }
        way.push(index);
        // Items that are matched by their own text are the end of the path.
        let rest: &[String] = if name.is_empty() { &[] } else { rest };
        search(inner, rest, make, way, found)?;
        way.pop();
    }
    if found.ways.len() + found.detached > before || make.is_none() {
        return Ok(());
    }
    let value = Node::bare(pattern);
    let made = if name.is_empty() { value } else { Node::map(vec![(crate::yaml::Key::new(name), value)]) };
    if node.is_null() {
        *node = Node::Seq(std::rc::Rc::new(Seq { items: vec![made], flow: false }));
    } else if let Some(items) = node.as_seq_mut() {
        items.push(made);
    } else {
        return Ok(());
    }
    if !regex.is_match(pattern) {
        return Err(Fail::build(format!("failed to create element for {part:?}")));
    }
    search_items(node, part, rest, make, way, found)
}

/// A pattern, compared as text where it is one.
pub(crate) enum Matcher {
    Contains(String),
    Pattern(Regex),
}

impl Matcher {
    pub(crate) fn new(pattern: &str) -> Step<Self> {
        if pattern.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'/') {
            return Ok(Matcher::Contains(pattern.to_owned()));
        }
        regex(pattern).map(Matcher::Pattern)
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        match self {
            Matcher::Contains(part) => text.contains(part.as_str()),
            Matcher::Pattern(regex) => regex.is_match(text),
        }
    }
}

/// Reads a pattern.
pub(crate) fn regex(pattern: &str) -> Step<Regex> {
    Regex::new(pattern).map_err(|error| Fail::said(format!("error parsing regexp: {error}")))
}
