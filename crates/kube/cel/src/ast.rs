//! What an expression is once it has been read: a tree whose macros are nodes of their own.

use crate::{error::Issue, functions::Function, types::Type, value::Value};

/// How deep a tree may be: evaluation recurses no deeper.
const MAX_DEPTH: usize = 100;

/// A node, and the byte of the source that it begins at.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) at: usize,
    pub(crate) node: Node,
    /// What it was found to be of, once it is checked.
    pub(crate) of: Type,
    depth: usize,
}

impl Expr {
    /// Returns a node, or says that the tree below it is too deep.
    pub(crate) fn new(at: usize, node: Node) -> Result<Expr, Issue> {
        let depth = node.children().map(|child| child.depth).max().unwrap_or_default() + 1;
        if depth > MAX_DEPTH { Err(too_deep(at)) } else { Ok(Expr { at, node, of: Type::Dyn, depth }) }
    }
}

/// Says that an expression nests too deep, if `depth` is.
pub(crate) fn check_depth(at: usize, depth: usize) -> Result<(), Issue> {
    if depth > MAX_DEPTH { Err(too_deep(at)) } else { Ok(()) }
}

fn too_deep(at: usize) -> Issue {
    Issue::new(at, format!("expression recursion limit exceeded: {MAX_DEPTH}"))
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Literal(Value),
    Name(String),
    Select {
        operand: Box<Expr>,
        field: String,
        how: Select,
    },
    Call {
        name: String,
        target: Option<Box<Expr>>,
        args: Vec<Expr>,
        function: Option<&'static Function>,
    },
    List(Vec<Item>),
    Map(Vec<Pair>),
    /// `Object.spec{replicas: 1}`: named fields of a type.
    Message {
        name: String,
        fields: Vec<Field>,
    },
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Choice(Box<[Expr; 3]>),
    Loop(Box<Loop>),
    /// `optMap` and `optFlatMap`.
    Within {
        operand: Box<Expr>,
        variable: String,
        body: Box<Expr>,
        flat: bool,
    },
}

impl Node {
    pub(crate) fn children(&self) -> Box<dyn Iterator<Item = &Expr> + '_> {
        match self {
            Node::Literal(_) | Node::Name(_) => Box::new(std::iter::empty()),
            Node::Select { operand, .. } => Box::new(std::iter::once(operand.as_ref())),
            Node::Call { target, args, .. } => Box::new(target.iter().map(AsRef::as_ref).chain(args)),
            Node::List(items) => Box::new(items.iter().map(|item| &item.value)),
            Node::Map(pairs) => Box::new(pairs.iter().flat_map(|pair| [&pair.key, &pair.value])),
            Node::Message { fields, .. } => Box::new(fields.iter().map(|field| &field.value)),
            Node::And(terms) | Node::Or(terms) => Box::new(terms.iter()),
            Node::Choice(parts) => Box::new(parts.iter()),
            Node::Loop(inner) => Box::new([&inner.range, &inner.body].into_iter().chain(inner.filter.as_ref())),
            Node::Within { operand, body, .. } => Box::new([operand.as_ref(), body.as_ref()].into_iter()),
        }
    }
}

/// How a field is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Select {
    /// `a.b`
    Plain,
    /// `has(a.b)`
    Test,
    /// `a.?b`
    Optional,
}

#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) key: Expr,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// One field of an object that is made.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// A macro that goes through a list or map.
#[derive(Clone, Debug)]
pub(crate) struct Loop {
    pub(crate) kind: LoopKind,
    pub(crate) range: Expr,
    /// One name (items or keys), or two (index or key, and value).
    pub(crate) names: Vec<String>,
    pub(crate) filter: Option<Expr>,
    pub(crate) body: Expr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoopKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
    TransformMap,
    TransformMapEntry,
    SortBy,
}
