//! Kubernetes' dialect of the Common Expression Language.
//!
//! An [`Env`] declares variables; [`Env::compile`] reads an expression and checks it
//! against their types, [`Program::eval`] evaluates it within a cost limit. Everything is
//! bounded: source, depth, and through the cost every step, character and item.
//! [`rules`] applies the `x-kubernetes-validations` of a custom resource.
//!
//! Values in, values out: no I/O and no clock. All libraries of Kubernetes 1.36 are here.

mod ast;
pub mod authorizer;
mod check;
pub mod cost;
mod error;
mod eval;
mod formats;
mod functions;
mod lexer;
mod parser;
pub mod rules;
pub mod schemas;
mod text;
mod types;
mod value;

use std::collections::BTreeMap;

pub use error::{CompileError, EvalError, Issue};
pub use eval::Scope;
pub use text::{Url, parse_duration};
pub use types::{ObjectType, Type};
pub use value::{Key, List, ListKind, Value};

/// The cost that one evaluation may have.
pub const CALL_LIMIT: u64 = 1_000_000;

/// The cost that all rules of one object, or all expressions of one policy, may have together.
pub const BUDGET: u64 = 10_000_000;

/// The cost that the match conditions of one object may have together.
pub const CONDITIONS_BUDGET: u64 = 2_500_000;

/// The variables that an expression may name.
#[derive(Clone, Debug, Default)]
pub struct Env {
    variables: BTreeMap<String, Type>,
    makes_objects: bool,
}

impl Env {
    /// Returns an environment without variables.
    pub fn new() -> Env {
        Env::default()
    }

    /// Declares a variable. A name with a dot (`authorizer.requestResource`) is one variable.
    #[must_use]
    pub fn with(mut self, name: &str, of: Type) -> Env {
        self.variables.insert(name.to_owned(), of);
        self
    }

    /// Lets expressions make objects to change others with: `Object{…}`, its parts (`Object.spec{…}`) and `JSONPatch{…}`.
    #[must_use]
    pub fn with_objects(self) -> Env {
        Env { makes_objects: true, ..self }
    }

    /// Reads and checks an expression.
    pub fn compile(&self, source: &str) -> Result<Program, CompileError> {
        let mut expr = parser::parse(source).map_err(|issue| CompileError::new(source, vec![issue]))?;
        let mut checker = check::Checker::new(&self.variables, self.makes_objects);
        let result = checker.check(&mut expr);
        if !checker.issues.is_empty() {
            let mut issues = std::mem::take(&mut checker.issues);
            issues.sort_by_key(|issue| issue.at);
            return Err(CompileError::new(source, issues));
        }
        let mut names = Vec::new();
        used(&expr, &mut names);
        Ok(Program { expr, result, names })
    }
}

/// A checked expression.
#[derive(Clone, Debug)]
pub struct Program {
    expr: ast::Expr,
    result: Type,
    names: Vec<String>,
}

impl Program {
    /// Returns the type of what it evaluates to.
    pub fn result(&self) -> &Type {
        &self.result
    }

    /// Returns whether it names a variable.
    pub fn uses(&self, variable: &str) -> bool {
        self.names.iter().any(|name| name == variable)
    }

    /// Returns what it can cost at most where `bound` says how large its variables can be: an
    /// estimate by Kubernetes' model, without evaluating anything.
    pub fn estimate(&self, bound: &cost::Bound) -> u64 {
        cost::most(&self.expr, bound)
    }

    /// Evaluates it. Returns the value or why there is none, and what that cost.
    pub fn eval(&self, scope: &dyn Scope, limit: u64) -> (Result<Value, EvalError>, u64) {
        let mut frame = eval::Frame::new(scope, limit);
        let outcome = frame.eval(&self.expr);
        (outcome, frame.meter.used())
    }
}

fn used(expr: &ast::Expr, names: &mut Vec<String>) {
    let mut left = vec![expr];
    while let Some(expr) = left.pop() {
        if let ast::Node::Name(name) = &expr.node
            && !names.contains(name)
        {
            names.push(name.clone());
        }
        left.extend(expr.node.children());
    }
}
