//! The parsed form of a template, and its text as Go prints it in errors.

use std::{fmt, rc::Rc};

use super::number::Number;

/// One named template of a parsed file.
#[derive(Debug)]
pub(super) struct Tree {
    /// Its name: a file's path, or what `define` says.
    pub(super) name: Rc<str>,
    /// The file it was parsed from.
    pub(super) file: Rc<str>,
    /// The file's text, to tell lines and columns by.
    pub(super) text: Rc<str>,
    pub(super) root: Vec<Node>,
}

impl Tree {
    /// Returns `file:line:column` of a position as Go counts: line from 1, column in bytes from 0.
    pub(super) fn location(&self, pos: usize) -> String {
        let before = &self.text[..pos.min(self.text.len())];
        let line = 1 + before.matches('\n').count();
        let column = before.rfind('\n').map_or(before.len(), |at| before.len() - at - 1);
        format!("{}:{line}:{column}", self.file)
    }
}

/// Returns whether nodes hold nothing but white space (comments are gone already).
pub(super) fn is_empty(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

#[derive(Debug)]
pub(super) enum Node {
    Text(Rc<str>),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { pos: usize, name: Rc<str>, pipe: Option<Pipe> },
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) list: Vec<Node>,
    pub(super) otherwise: Option<Vec<Node>>,
}

#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) pos: usize,
    pub(super) decl: Vec<Rc<str>>,
    pub(super) assign: bool,
    pub(super) cmds: Vec<Command>,
}

#[derive(Debug)]
pub(super) struct Command {
    pub(super) pos: usize,
    pub(super) args: Vec<Expr>,
}

#[derive(Debug)]
pub(super) enum Expr {
    Ident(usize, Rc<str>),
    Dot(usize),
    Nil(usize),
    Variable(usize, Vec<Rc<str>>),
    Field(usize, Vec<Rc<str>>),
    Chain(usize, Box<Expr>, Vec<Rc<str>>),
    Bool(usize, bool),
    Number(usize, Number),
    Str(usize, Rc<str>, Rc<str>),
    Pipe(Pipe),
}

impl Expr {
    pub(super) fn pos(&self) -> usize {
        match self {
            Expr::Ident(pos, _)
            | Expr::Dot(pos)
            | Expr::Nil(pos)
            | Expr::Variable(pos, _)
            | Expr::Field(pos, _)
            | Expr::Chain(pos, ..)
            | Expr::Bool(pos, _)
            | Expr::Number(pos, _)
            | Expr::Str(pos, ..) => *pos,
            Expr::Pipe(pipe) => pipe.pos,
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Ident(_, name) => f.write_str(name),
            Expr::Dot(_) => f.write_str("."),
            Expr::Nil(_) => f.write_str("nil"),
            Expr::Variable(_, names) => f.write_str(&names.join(".")),
            Expr::Field(_, names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            Expr::Chain(_, node, names) => {
                match &**node {
                    Expr::Pipe(pipe) => write!(f, "({pipe})")?,
                    other => write!(f, "{other}")?,
                }
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
            Expr::Bool(_, value) => write!(f, "{value}"),
            Expr::Number(_, number) => f.write_str(&number.text),
            Expr::Str(_, quoted, _) => f.write_str(quoted),
            Expr::Pipe(pipe) => write!(f, "({pipe})"),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arg) in self.args.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{arg}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.decl.is_empty() {
            f.write_str(&self.decl.join(", "))?;
            f.write_str(if self.assign { " = " } else { " := " })?;
        }
        for (index, cmd) in self.cmds.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{cmd}")?;
        }
        Ok(())
    }
}
