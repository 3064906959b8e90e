//! Walks a tree over a value, as Go's `exec.go` does.
//!
//! Go tells an invalid value from an interface that holds nil, and charts feel the
//! difference (`(.a).b` is lenient where `.a.b` is not): [`Arg`] carries it here.

mod call;
mod include;

use std::{fmt::Display, rc::Rc};

use super::{
    Run, Templates,
    ast::{Branch, Command, Expr, Node, Pipe, Tree},
    complex::Complex,
};
use crate::{
    Value,
    gofmt::{quote, write_v},
};

/// Why a walk stopped.
enum Flow {
    Break,
    Continue,
    Error(String),
}

type Walk<T> = Result<T, Flow>;

/// An evaluated argument; `boxed` means that Go holds it as an `interface {}`.
struct Arg {
    value: Value,
    boxed: bool,
}

pub(super) struct State<'t, 'o> {
    set: &'t Templates,
    tree: &'t Tree,
    run: &'t Run<'t>,
    vars: Vec<(Rc<str>, Value)>,
    /// What was evaluated last: where Go says that some mistakes are.
    at: Option<&'t Expr>,
    out: &'o mut String,
}

impl<'t, 'o> State<'t, 'o> {
    pub(super) fn new(set: &'t Templates, tree: &'t Tree, run: &'t Run<'t>, data: Value, out: &'o mut String) -> Self {
        State { set, tree, run, vars: vec![("$".into(), data)], at: None, out }
    }

    pub(super) fn run(mut self, dot: &Value) -> Result<(), String> {
        let tree = self.tree;
        match self.walk(dot, &tree.root) {
            Ok(()) => Ok(()),
            Err(Flow::Error(text)) => Err(text),
            Err(Flow::Break | Flow::Continue) => Err("break or continue outside range".to_owned()),
        }
    }

    fn fail<T>(&self, pos: usize, context: &dyn Display, message: impl Display) -> Walk<T> {
        let (location, name) = (self.tree.location(pos), quote(&self.tree.name));
        Err(Flow::Error(format!("template: {location}: executing {name} at <{context}>: {message}")))
    }

    fn fail_expr<T>(&self, expr: &Expr, message: impl Display) -> Walk<T> {
        self.fail(expr.pos(), expr, message)
    }

    /// Fails at the place of what was evaluated last.
    fn fail_last<T>(&self, pipe: &Pipe, message: impl Display) -> Walk<T> {
        match self.at {
            Some(expr) => self.fail_expr(expr, message),
            None => self.fail(pipe.pos, pipe, message),
        }
    }

    fn enter(&self, pos: usize) -> Walk<()> {
        let depth = self.run.depth.get() + 1;
        self.run.depth.set(depth);
        if depth > self.run.world.limits.depth {
            return self.fail(
                pos,
                &"",
                format_args!("the render nests more than {} levels", self.run.world.limits.depth),
            );
        }
        self.step(pos)
    }

    fn leave(&self) {
        self.run.depth.set(self.run.depth.get() - 1);
    }

    fn step(&self, pos: usize) -> Walk<()> {
        let steps = self.run.steps.get() + 1;
        self.run.steps.set(steps);
        if steps > self.run.world.limits.steps {
            return self.fail(
                pos,
                &"",
                format_args!("the render takes more than {} steps", self.run.world.limits.steps),
            );
        }
        Ok(())
    }

    fn write(&mut self, text: &str) -> Walk<()> {
        let written = self.run.output.get() + text.len();
        self.run.output.set(written);
        if written > self.run.world.limits.output {
            return self.fail(
                0,
                &"",
                format_args!("the render writes more than {} bytes", self.run.world.limits.output),
            );
        }
        self.out.push_str(text);
        Ok(())
    }

    fn walk(&mut self, dot: &Value, nodes: &'t [Node]) -> Walk<()> {
        self.enter(0)?;
        for node in nodes {
            match node {
                Node::Text(text) => self.write(text)?,
                Node::Action(pipe) => {
                    let value = self.pipeline(dot, pipe)?;
                    if pipe.decl.is_empty() {
                        let mut text = String::new();
                        match &value {
                            Value::Nil => text.push_str("<no value>"),
                            Value::Str(value) => {
                                self.write(value)?;
                                continue;
                            }
                            value => write_v(&mut text, value),
                        }
                        self.write(&text)?;
                    }
                }
                Node::If(branch) => self.if_or_with(dot, branch, false)?,
                Node::With(branch) => self.if_or_with(dot, branch, true)?,
                Node::Range(branch) => {
                    let mark = self.vars.len();
                    let result = self.range(dot, branch);
                    self.vars.truncate(mark);
                    match result {
                        Err(Flow::Break) => {}
                        other => other?,
                    }
                }
                Node::Template { pos, name, pipe } => self.template(dot, *pos, name, pipe.as_ref())?,
                Node::Break => {
                    self.leave();
                    return Err(Flow::Break);
                }
                Node::Continue => {
                    self.leave();
                    return Err(Flow::Continue);
                }
            }
        }
        self.leave();
        Ok(())
    }

    fn if_or_with(&mut self, dot: &Value, branch: &'t Branch, with: bool) -> Walk<()> {
        let mark = self.vars.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        if value.truth() {
            self.walk(if with { &value } else { dot }, &branch.list)?;
        } else if let Some(list) = &branch.otherwise {
            self.walk(dot, list)?;
        }
        self.vars.truncate(mark);
        Ok(())
    }

    fn range(&mut self, dot: &Value, branch: &'t Branch) -> Walk<()> {
        let value = self.pipeline(dot, &branch.pipe)?;
        let value = match value {
            Value::Object(object) => object.plain(),
            other => other,
        };
        let mut ran = false;
        match &value {
            Value::Nil => {}
            Value::List(items, _) => {
                for (index, item) in items.iter().enumerate() {
                    ran = true;
                    self.iteration(branch, Value::Int(index as i64), item)?;
                }
            }
            Value::Map(entries, _) => {
                let entries = entries.borrow().clone();
                for (key, item) in &entries {
                    ran = true;
                    self.iteration(branch, Value::Str(key.clone()), item)?;
                }
            }
            Value::Int(count) | Value::Int64(count) => {
                if branch.pipe.decl.len() > 1 {
                    let message = format_args!("can't use {count} to iterate over more than one variable");
                    return self.fail_last(&branch.pipe, message);
                }
                for index in 0..*count {
                    ran = true;
                    let item = if matches!(value, Value::Int(_)) { Value::Int(index) } else { Value::Int64(index) };
                    self.iteration(branch, Value::Nil, &item)?;
                }
            }
            other => {
                let message = format!("range can't iterate over {}", crate::gofmt::verb_v(other));
                return self.fail_last(&branch.pipe, message);
            }
        }
        match &branch.otherwise {
            Some(list) if !ran => self.walk(dot, list),
            _ => Ok(()),
        }
    }

    fn iteration(&mut self, branch: &'t Branch, index: Value, item: &Value) -> Walk<()> {
        let decl = &branch.pipe.decl;
        let mark = self.vars.len();
        match (decl.as_slice(), branch.pipe.assign) {
            ([], _) => {}
            ([one], true) => self.assign(&branch.pipe, one, item.clone())?,
            ([_], false) => self.vars[mark - 1].1 = item.clone(),
            ([key, value, ..], true) => {
                self.assign(&branch.pipe, key, index)?;
                self.assign(&branch.pipe, value, item.clone())?;
            }
            (_, false) => {
                self.vars[mark - 1].1 = item.clone();
                self.vars[mark - 2].1 = index;
            }
        }
        let depth = self.run.depth.get();
        let result = self.walk(item, &branch.list);
        self.vars.truncate(mark);
        match result {
            Err(Flow::Continue) => {
                self.run.depth.set(depth);
                Ok(())
            }
            Err(Flow::Break) => {
                self.run.depth.set(depth);
                Err(Flow::Break)
            }
            other => other,
        }
    }

    fn template(&mut self, dot: &Value, pos: usize, name: &Rc<str>, pipe: Option<&'t Pipe>) -> Walk<()> {
        let Some(tree) = self.set.tree(name) else {
            let data = pipe.map(|pipe| format!(" {pipe}")).unwrap_or_default();
            let context = format!("{{{{template {}{data}}}}}", quote(name));
            return self.fail(pos, &context, format_args!("template {} not defined", quote(name)));
        };
        let data = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Nil,
        };
        self.enter(pos)?;
        let inner = State::new(self.set, tree, self.run, data.clone(), self.out);
        inner.run(&data).map_err(Flow::Error)?;
        self.leave();
        Ok(())
    }

    fn assign(&mut self, pipe: &Pipe, name: &str, value: Value) -> Walk<()> {
        match self.vars.iter_mut().rev().find(|(known, _)| **known == *name) {
            Some(var) => {
                var.1 = value;
                Ok(())
            }
            None => self.fail_last(pipe, format_args!("undefined variable: {name}")),
        }
    }

    fn pipeline(&mut self, dot: &Value, pipe: &'t Pipe) -> Walk<Value> {
        self.enter(pipe.pos)?;
        let mut value: Option<Value> = None;
        for cmd in &pipe.cmds {
            value = Some(self.command(dot, cmd, value.take())?.value);
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipe.decl {
            if pipe.assign {
                self.assign(pipe, name, value.clone())?;
            } else {
                self.vars.push((name.clone(), value.clone()));
            }
        }
        self.leave();
        Ok(value)
    }

    fn command(&mut self, dot: &Value, cmd: &'t Command, last: Option<Value>) -> Walk<Arg> {
        let first = &cmd.args[0];
        self.step(first.pos())?;
        self.at = Some(first);
        match first {
            Expr::Field(_, names) => self.chain(dot, dot.clone(), first, names, &cmd.args[1..], last),
            Expr::Chain(_, node, names) => {
                let receiver = self.chain_base(dot, first, node)?;
                self.chain(dot, receiver, self.at.unwrap_or(first), names, &cmd.args[1..], last)
            }
            Expr::Ident(_, name) => {
                let value = self.call(dot, first, cmd.pos, cmd, name, &cmd.args[1..], last)?;
                Ok(Arg { value, boxed: false })
            }
            Expr::Pipe(pipe) => {
                self.not_a_function(cmd, last.as_ref())?;
                Ok(Arg { value: self.pipeline(dot, pipe)?, boxed: false })
            }
            Expr::Variable(_, names) => {
                let receiver = self.variable(&names[0]);
                if names.len() == 1 {
                    self.not_a_function(cmd, last.as_ref())?;
                    return Ok(Arg { value: receiver, boxed: false });
                }
                self.chain(dot, receiver, first, &names[1..], &cmd.args[1..], last)
            }
            _ => {
                self.not_a_function(cmd, last.as_ref())?;
                let value = match first {
                    Expr::Bool(_, value) => Value::Bool(*value),
                    Expr::Dot(_) => dot.clone(),
                    Expr::Number(..) => self.ideal(first)?,
                    Expr::Str(_, _, text) => Value::Str(text.clone()),
                    _ => return self.fail_expr(first, "nil is not a command"),
                };
                Ok(Arg { value, boxed: false })
            }
        }
    }

    fn not_a_function(&self, cmd: &Command, last: Option<&Value>) -> Walk<()> {
        if cmd.args.len() > 1 || last.is_some() {
            let first = &cmd.args[0];
            return self.fail_expr(first, format_args!("can't give argument to non-function {first}"));
        }
        Ok(())
    }

    fn ideal(&self, expr: &Expr) -> Walk<Value> {
        let Expr::Number(_, number) = expr else { return Ok(Value::Nil) };
        if let Some((re, im)) = number.complex {
            return Ok(Value::Object(Rc::new(Complex { re, im })));
        }
        match (number.int, number.float) {
            (_, Some(float)) if number.looks_float() => Ok(Value::Float(float)),
            (Some(int), _) => Ok(Value::Int(int)),
            _ => self.fail_expr(expr, format_args!("{} overflows int", number.text)),
        }
    }

    fn variable(&self, name: &str) -> Value {
        // The parser has refused unknown names.
        self.vars.iter().rev().find(|(known, _)| **known == *name).map_or(Value::Nil, |(_, value)| value.clone())
    }

    fn chain_base(&mut self, dot: &Value, chain: &'t Expr, node: &'t Expr) -> Walk<Value> {
        self.at = Some(node);
        match node {
            Expr::Nil(_) => self.fail_expr(chain, format_args!("indirection through explicit nil in {chain}")),
            Expr::Pipe(pipe) => self.pipeline(dot, pipe),
            Expr::Ident(pos, name) => self.call(dot, node, *pos, node, name, &[], None),
            other => self.fail_expr(other, format_args!("can't evaluate command {}", quote(&other.to_string()))),
        }
    }

    fn chain(
        &mut self,
        dot: &Value,
        receiver: Value,
        node: &'t Expr,
        names: &'t [Rc<str>],
        args: &'t [Expr],
        last: Option<Value>,
    ) -> Walk<Arg> {
        let mut receiver = Arg { value: receiver, boxed: false };
        let (final_name, leading) = names.split_last().expect("the parser makes no empty chain");
        for name in leading {
            receiver = self.field(dot, node, name, &receiver, &[], None)?;
        }
        self.field(dot, node, final_name, &receiver, args, last)
    }

    fn field(
        &mut self,
        dot: &Value,
        node: &'t Expr,
        name: &str,
        receiver: &Arg,
        args: &'t [Expr],
        last: Option<Value>,
    ) -> Walk<Arg> {
        let has_args = !args.is_empty() || last.is_some();
        match &receiver.value {
            Value::Nil if receiver.boxed => {
                self.fail_expr(node, format_args!("nil pointer evaluating interface {{}}.{name}"))
            }
            Value::Nil => Ok(Arg { value: Value::Nil, boxed: false }),
            Value::Map(entries, elem) => {
                if has_args {
                    return self.fail_expr(node, format_args!("{name} is not a method but has arguments"));
                }
                let value = entries.borrow().get(name).cloned();
                let boxed = elem.is_any();
                let zero = if boxed { Value::Nil } else { Value::str("") };
                Ok(Arg { value: value.unwrap_or(zero), boxed })
            }
            Value::Object(object) => {
                let object = object.clone();
                if let Some(value) = object.field(name) {
                    if has_args {
                        let message = format_args!("{name} has arguments but cannot be invoked as function");
                        return self.fail_expr(node, message);
                    }
                    return Ok(Arg { value, boxed: false });
                }
                let params = object.params(name);
                let values = self.method_arguments(dot, node, name, params, args, last)?;
                match object.call(name, &values) {
                    Some(Ok(value)) => Ok(Arg { value, boxed: false }),
                    Some(Err(message)) => self.fail_expr(node, format_args!("error calling {name}: {message}")),
                    None => {
                        let shown = if receiver.boxed { "interface {}" } else { object.type_name() };
                        self.fail_expr(node, format_args!("can't evaluate field {name} in type {shown}"))
                    }
                }
            }
            other => {
                let shown = if receiver.boxed { "interface {}" } else { other.type_name() };
                self.fail_expr(node, format_args!("can't evaluate field {name} in type {shown}"))
            }
        }
    }
}
