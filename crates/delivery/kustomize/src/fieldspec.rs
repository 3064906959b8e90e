//! Field specifications: which field of which kind a transformer writes to.

use std::rc::Rc;

use crate::{
    fail::{Fail, Step},
    id::Gvk,
    path::{Make, split},
    yaml::{Map, Node, Scalar, Seq, Tag, emit},
};

/// One field of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldSpec {
    pub(crate) gvk: Gvk,
    pub(crate) path: String,
    pub(crate) create: bool,
    parts: Rc<[String]>,
}

impl FieldSpec {
    pub(crate) fn new(gvk: Gvk, path: impl Into<String>, create: bool) -> Self {
        let path = path.into();
        let parts = split(&path, '/').into();
        Self { gvk, path, create, parts }
    }

    /// A field of every kind.
    pub(crate) fn any(path: &str, create: bool) -> Self {
        Self::new(Gvk::default(), path, create)
    }
}

/// Adds a specification unless one that it selects is there.
pub(crate) fn merge_one(list: &mut Vec<FieldSpec>, spec: &FieldSpec) -> Step<()> {
    match list.iter().find(|known| known.path == spec.path && spec.gvk.selects_gvk(&known.gvk)) {
        Some(known) if known.create != spec.create => Err(Fail::said("conflicting fieldspecs")),
        Some(_) => Ok(()),
        None => {
            list.push(spec.clone());
            Ok(())
        }
    }
}

/// Adds specifications one after the other.
pub(crate) fn merge_all(list: &mut Vec<FieldSpec>, specs: &[FieldSpec]) -> Step<()> {
    specs.iter().try_for_each(|spec| merge_one(list, spec))
}

/// What is made where a specification says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Creation {
    pub(crate) make: Option<Make>,
    pub(crate) tag: Tag,
}

impl Creation {
    pub(crate) const NONE: Self = Self { make: None, tag: Tag::Empty };
    pub(crate) const MAP: Self = Self { make: Some(Make::Map), tag: Tag::Empty };

    pub(crate) const fn scalar(tag: Tag) -> Self {
        Self { make: Some(Make::Scalar), tag }
    }
}

/// What happens to a field.
pub(crate) type Set<'a> = dyn FnMut(&mut Node) -> Step<()> + 'a;

/// Applies a specification to a resource, if it is of its kind.
pub(crate) fn apply(spec: &FieldSpec, node: &mut Node, creation: Creation, set: &mut Set<'_>) -> Step<()> {
    let kind = node.get("kind").map_or("", Node::value);
    let api = node.get("apiVersion").map_or("", Node::value);
    if !spec.gvk.selects(api, kind) {
        return Ok(());
    }
    // A field that is missing and not made is no reason to write to the way there.
    if (!spec.create || creation.make.is_none()) && !reaches(node, &spec.parts) {
        return Ok(());
    }
    walk(spec, node, &spec.parts, creation, set).map_err(|fail| {
        fail.under(format!("considering field '{}' of object {}", spec.path, crate::resource::id_text(node)))
    })
}

/// Shows the fields that a specification means, without making any.
pub(crate) fn visit(spec: &FieldSpec, node: &Node, see: &mut dyn FnMut(&Node)) {
    look(node, &spec.parts, see);
}

fn look(node: &Node, path: &[String], see: &mut dyn FnMut(&Node)) {
    let Some((part, rest)) = path.split_first() else { return see(node) };
    match node {
        Node::Seq(seq) => seq.items.iter().for_each(|item| look(item, path, see)),
        Node::Map(map) => {
            if let Some(inner) = map.get(part.strip_suffix("[]").unwrap_or(part)) {
                look(inner, rest, see);
            }
        }
        Node::Scalar(_) => {}
    }
}

/// Returns whether applying a specification would find something, or fail.
fn reaches(node: &Node, path: &[String]) -> bool {
    let Some((part, rest)) = path.split_first() else { return true };
    match node {
        Node::Seq(seq) => seq.items.iter().any(|item| reaches(item, path)),
        Node::Map(map) => {
            let name = part.strip_suffix("[]").unwrap_or(part);
            name.is_empty() || map.get(name).is_some_and(|inner| reaches(inner, rest) || inner.is_null())
        }
        Node::Scalar(scalar) => scalar.tag != Tag::Null,
    }
}

fn walk(spec: &FieldSpec, node: &mut Node, path: &[String], creation: Creation, set: &mut Set<'_>) -> Step<()> {
    let Some((part, rest)) = path.split_first() else { return set(node) };
    match node {
        node if node.is_null() => Ok(()),
        Node::Seq(seq) => {
            for item in &mut Rc::make_mut(seq).items {
                walk(spec, item, path, creation, set)
                    .map_err(|fail| fail.under(format!("visit traversal on path: [{}]", path.join(" "))))?;
            }
            Ok(())
        }
        Node::Map(map) => field(spec, Rc::make_mut(map), part, rest, creation, set),
        Node::Scalar(_) => Err(Fail::build("expected sequence or mapping node")),
    }
}

fn field(
    spec: &FieldSpec,
    map: &mut Map,
    part: &str,
    rest: &[String],
    creation: Creation,
    set: &mut Set<'_>,
) -> Step<()> {
    let (name, is_seq) = match part.strip_suffix("[]") {
        Some(name) => (name, true),
        None => (part, false),
    };
    if name.is_empty() {
        return Err(Fail::build("cannot set or create an empty field name"));
    }
    let (make, tag) = match creation.make {
        Some(make) if spec.create && !is_seq => {
            if rest.is_empty() {
                (Some(make), creation.tag)
            } else {
                (Some(Make::Map), Tag::Empty)
            }
        }
        _ => (None, Tag::Empty),
    };
    if map.get(name).is_none() {
        let Some(make) = make else { return Ok(()) };
        map.push(name, make.node());
    }
    let Some(inner) = map.get_mut(name) else { return Ok(()) };
    if inner.is_null() {
        match make.or(is_seq.then_some(Make::Seq)) {
            Some(Make::Map) => *inner = Node::map(Vec::new()),
            Some(Make::Seq) => *inner = Node::Seq(Rc::new(Seq::default())),
            Some(Make::Scalar) => {
                if let Some(scalar) = inner.as_scalar_mut() {
                    scalar.tag = tag;
                }
            }
            None => {}
        }
    }
    walk(spec, inner, rest, creation, set)
}

/// Sets one entry of the mapping that a specification leads to.
pub(crate) fn set_entry(place: &mut Node, name: &str, value: Scalar) -> Step<()> {
    match place {
        Node::Map(map) => {
            // Nothing is written where it would stay as it is.
            if let Some(Node::Scalar(old)) = map.get(name)
                && old.value == value.value
                && old.tag == value.tag
                && old.group == 0
            {
                return Ok(());
            }
            crate::path::set_field(Rc::make_mut(map), name, Node::Scalar(value));
            Ok(())
        }
        place if place.is_null() => Ok(()),
        place => Err(Fail::build(format!(
            "wrong node kind: expected MappingNode but got {}: node contents:\n{}",
            place.kind_name(),
            emit(place)
        ))),
    }
}
