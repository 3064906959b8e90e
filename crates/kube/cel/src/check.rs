//! Checks a tree against the types of its variables, and finds the function of each call.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    ast::{Expr, Field, Loop, LoopKind, Node, Select},
    error::Issue,
    functions::find,
    types::{Bindings, Type, join},
    value::Value,
};

/// The type of an object that is made to be laid over another.
pub(crate) const OBJECT: &str = "Object";
/// The type of one step of a JSON patch.
pub(crate) const JSON_PATCH: &str = "JSONPatch";

pub(crate) struct Checker<'a> {
    variables: &'a BTreeMap<String, Type>,
    makes_objects: bool,
    locals: Vec<(String, Type)>,
    pub(crate) issues: Vec<Issue>,
}

const TYPE_NAMES: [&str; 11] =
    ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type", "optional_type"];

impl<'a> Checker<'a> {
    pub(crate) fn new(variables: &'a BTreeMap<String, Type>, makes_objects: bool) -> Self {
        Checker { variables, makes_objects, locals: Vec::new(), issues: Vec::new() }
    }

    fn issue(&mut self, at: usize, message: String) -> Type {
        self.issues.push(Issue::new(at, message));
        Type::Dyn
    }

    fn lookup(&self, name: &str) -> Option<Type> {
        let local = self.locals.iter().rev().find(|(local, _)| local == name).map(|(_, found)| found);
        local.or_else(|| self.variables.get(name)).cloned()
    }

    /// Finds the type of a node, and writes it there.
    pub(crate) fn check(&mut self, expr: &mut Expr) -> Type {
        let found = self.type_of(expr);
        expr.of = found.clone();
        found
    }

    fn type_of(&mut self, expr: &mut Expr) -> Type {
        self.qualify(expr);
        let at = expr.at;
        match &mut expr.node {
            Node::Literal(value) => literal_type(value),
            Node::Name(name) => match self.lookup(name) {
                Some(found) => found,
                None if TYPE_NAMES.contains(&name.as_str()) => {
                    expr.node = Node::Literal(Value::Type(name.as_str().into()));
                    Type::Type
                }
                None => {
                    let message = format!("undeclared reference to '{name}' (in container '')");
                    self.issue(at, message)
                }
            },
            Node::Select { operand, field, how } => {
                let operand = self.check(operand);
                self.select(at, &operand, field, *how)
            }
            Node::Call { .. } => self.call(expr),
            Node::List(items) => {
                let mut joined: Option<Type> = None;
                for item in items {
                    let mut found = self.check(&mut item.value);
                    if item.optional {
                        found = self.inner(item.value.at, found);
                    }
                    joined = Some(self.same(item.value.at, joined, found));
                }
                Type::list(joined.unwrap_or(Type::Dyn))
            }
            Node::Map(pairs) => {
                let (mut keys, mut values) = (None, None);
                for pair in pairs {
                    let key = self.check(&mut pair.key);
                    keys = Some(self.same(pair.key.at, keys, key));
                    let mut value = self.check(&mut pair.value);
                    if pair.optional {
                        value = self.inner(pair.value.at, value);
                    }
                    values = Some(self.same(pair.value.at, values, value));
                }
                Type::Map(Arc::new(keys.unwrap_or(Type::Dyn)), Arc::new(values.unwrap_or(Type::Dyn)))
            }
            Node::Message { name, fields } => self.message(at, name, fields),
            Node::And(terms) | Node::Or(terms) => {
                for term in terms {
                    let found = self.check(term);
                    self.wants_bool(term.at, &found);
                }
                Type::Bool
            }
            Node::Choice(parts) => {
                let [condition, yes, no] = parts.as_mut();
                let (condition, yes, no) = (self.check(condition), self.check(yes), self.check(no));
                let joined = join(&yes, &no).filter(|_| matches!(condition, Type::Bool | Type::Dyn));
                match joined {
                    Some(found) => found,
                    None => self.issue(
                        at,
                        format!("found no matching overload for '_?_:_' applied to '({condition}, {yes}, {no})'"),
                    ),
                }
            }
            Node::Loop(inner) => self.looped(inner),
            Node::Within { operand, variable, body, flat } => {
                let (variable, flat) = (variable.clone(), *flat);
                let found = self.check(operand);
                let inner = self.inner(operand.at, found);
                self.locals.push((variable, inner));
                let found = self.check(body);
                self.locals.pop();
                if flat { found } else { Type::optional(found) }
            }
        }
    }

    /// Turns `a.b` into the variable `a.b`, and `ns.f(x)` into a call of `ns.f`, where there is one.
    fn qualify(&self, expr: &mut Expr) {
        match &mut expr.node {
            Node::Select { operand, field, how: Select::Plain } => {
                if let Node::Name(name) = &operand.node {
                    let full = format!("{name}.{field}");
                    if self.variables.contains_key(&full) && !self.locals.iter().any(|(local, _)| local == name) {
                        expr.node = Node::Name(full);
                    }
                }
            }
            Node::Call { name, target, .. } => {
                let Some(Node::Name(space)) = target.as_ref().map(|target| &target.node) else { return };
                let full = format!("{space}.{name}");
                if self.lookup(space).is_none() && find(&full).is_some() {
                    *name = full;
                    *target = None;
                }
            }
            _ => {}
        }
    }

    fn select(&mut self, at: usize, operand: &Type, field: &str, how: Select) -> Type {
        let (inner, chained) = match operand {
            Type::Optional(inner) => (inner.as_ref().clone(), true),
            other => (other.clone(), false),
        };
        let found = match &inner {
            Type::Dyn => Type::Dyn,
            Type::Map(_, values) => values.as_ref().clone(),
            Type::Object(object) => match object.fields.get(field) {
                Some(found) => found.clone(),
                None => self.issue(at, format!("undefined field '{field}'")),
            },
            other => self.issue(at, format!("type '{other}' does not support field selection")),
        };
        match how {
            Select::Test => Type::Bool,
            Select::Optional => Type::optional(found),
            Select::Plain if chained => Type::optional(found),
            Select::Plain => found,
        }
    }

    /// Checks an object that is made: one of the parts of an object that is changed, or one step of a JSON patch.
    fn message(&mut self, at: usize, name: &str, fields: &mut [Field]) -> Type {
        let step = name == JSON_PATCH;
        if !self.makes_objects || !(step || name == OBJECT || name.starts_with("Object.")) {
            return self.issue(at, format!("undeclared reference to '{name}' (in container '')"));
        }
        for field in fields {
            let mut found = self.check(&mut field.value);
            if field.optional {
                found = self.inner(field.value.at, found);
            }
            let at = field.value.at;
            match field.name.as_str() {
                "op" | "path" | "from" if step => {
                    if !matches!(found, Type::String | Type::Dyn) {
                        self.issue(
                            at,
                            format!(
                                "expected type of field '{}' is 'string' but provided type is '{found}'",
                                field.name
                            ),
                        );
                    }
                }
                "value" if step => {}
                other if step => {
                    self.issue(at, format!("undefined field '{other}'"));
                }
                other => {
                    let wanted = format!("{name}.{other}");
                    if let Some(given) = part_of(&found).filter(|given| **given != wanted) {
                        let message = format!(
                            "unexpected type name {given:?}, expected {wanted:?}, which matches field name path from root Object type"
                        );
                        self.issue(at, message);
                    }
                }
            }
        }
        Type::object(name, [])
    }

    fn inner(&mut self, at: usize, found: Type) -> Type {
        match found {
            Type::Optional(inner) => inner.as_ref().clone(),
            Type::Dyn => Type::Dyn,
            other => self.issue(at, format!("expected type 'optional_type(dyn)' but found '{other}'")),
        }
    }

    fn same(&mut self, at: usize, before: Option<Type>, found: Type) -> Type {
        let Some(before) = before else { return found };
        // What is checked later only is of no type that another is of.
        let alike = (before == Type::Dyn) == (found == Type::Dyn);
        match join(&before, &found).filter(|_| alike) {
            Some(joined) => joined,
            None => self.issue(at, format!("expected type '{before}' but found '{found}'")),
        }
    }

    fn call(&mut self, expr: &mut Expr) -> Type {
        let at = expr.at;
        let Node::Call { name, target, args, function } = &mut expr.node else { return Type::Dyn };
        let member = target.is_some();
        let mut given: Vec<Type> = target.iter_mut().map(|target| self.check(target)).collect();
        for arg in args.iter_mut() {
            given.push(match &mut arg.node {
                // What `format` is given is of many types, as its template says.
                Node::List(items) if member && name == "format" => {
                    for item in items {
                        self.check(&mut item.value);
                    }
                    Type::list(Type::Dyn)
                }
                _ => self.check(arg),
            });
        }
        check_literal(name, target.as_deref(), args, &mut self.issues);
        let Some(found) = find(name) else {
            let message = format!("undeclared reference to '{name}' (in container '')");
            return self.issue(at, message);
        };
        *function = Some(found);
        let mut result: Option<Type> = None;
        for overload in found.overloads.iter().filter(|overload| overload.member == member) {
            let mut bindings = Bindings::default();
            let fits = overload.params.len() == given.len()
                && overload.params.iter().zip(&given).all(|(wanted, given)| bindings.accepts(wanted, given));
            if fits {
                let this = bindings.fill(&overload.result);
                result = Some(match result {
                    None => this,
                    Some(before) => join(&before, &this).unwrap_or(Type::Dyn),
                });
            }
        }
        result.unwrap_or_else(|| {
            let shown = |types: &[Type]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let applied = match given.split_first() {
                Some((receiver, rest)) if member => format!("{receiver}.({})", shown(rest)),
                _ => format!("({})", shown(&given)),
            };
            let message = format!("found no matching overload for '{name}' applied to '{applied}'");
            self.issue(at, message)
        })
    }

    fn looped(&mut self, inner: &mut Loop) -> Type {
        let range = self.check(&mut inner.range);
        let (keys, values, single) = match &range {
            Type::List(items) => (Type::Int, items.as_ref().clone(), items.as_ref().clone()),
            Type::Map(keys, values) => (keys.as_ref().clone(), values.as_ref().clone(), keys.as_ref().clone()),
            Type::Dyn => (Type::Dyn, Type::Dyn, Type::Dyn),
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.issue(inner.range.at, message);
                (Type::Dyn, Type::Dyn, Type::Dyn)
            }
        };
        let names = match inner.names.as_slice() {
            [one] => vec![(one.clone(), single.clone())],
            [first, second, ..] => vec![(first.clone(), keys.clone()), (second.clone(), values)],
            [] => Vec::new(),
        };
        let count = names.len();
        self.locals.extend(names);
        if let Some(filter) = &mut inner.filter {
            let (at, found) = (filter.at, self.check(filter));
            self.wants_bool_to_choose(at, &found);
        }
        let body = self.check(&mut inner.body);
        self.locals.truncate(self.locals.len() - count);
        let at = inner.body.at;
        match inner.kind {
            LoopKind::All | LoopKind::Exists => {
                self.wants_bool(at, &body);
                Type::Bool
            }
            LoopKind::ExistsOne => {
                self.wants_bool_to_choose(at, &body);
                Type::Bool
            }
            LoopKind::Filter => {
                self.wants_bool_to_choose(at, &body);
                Type::list(single)
            }
            LoopKind::Map => Type::list(body),
            LoopKind::SortBy => Type::list(single),
            LoopKind::TransformMap => Type::Map(Arc::new(keys), Arc::new(body)),
            LoopKind::TransformMapEntry => body,
        }
    }

    fn wants_bool(&mut self, at: usize, found: &Type) {
        if !matches!(found, Type::Bool | Type::Dyn) {
            self.issue(at, format!("expected type 'bool' but found '{found}'"));
        }
    }

    fn wants_bool_to_choose(&mut self, at: usize, found: &Type) {
        if !matches!(found, Type::Bool | Type::Dyn) {
            self.issue(at, format!("found no matching overload for '_?_:_' applied to '(bool, {found})'"));
        }
    }
}

/// Refuses texts that no evaluation could read: patterns, durations and times.
fn check_literal(name: &str, target: Option<&Expr>, args: &[Expr], issues: &mut Vec<Issue>) {
    let text = |expr: Option<&Expr>| match expr.map(|expr| &expr.node) {
        Some(Node::Literal(Value::String(text))) => Some(text.clone()),
        _ => None,
    };
    let at = args.first().map_or(0, |arg| arg.at);
    match (name, target.is_some(), args.len()) {
        ("matches", true, 1) | ("find" | "findAll", true, 1..)
            if text(args.first()).is_some_and(|text| crate::functions::compile(&text).is_err()) =>
        {
            issues.push(Issue::new(at, "invalid matches argument".to_owned()));
        }
        ("duration", false, 1)
            if text(args.first()).is_some_and(|text| crate::text::parse_duration(&text).is_none()) =>
        {
            issues.push(Issue::new(at, "invalid duration argument".to_owned()));
        }
        ("timestamp", false, 1) if text(args.first()).is_some_and(|text| crate::text::parse_time(&text).is_none()) => {
            issues.push(Issue::new(at, "invalid timestamp argument".to_owned()));
        }
        _ => {}
    }
}

fn literal_type(value: &Value) -> Type {
    match value {
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int,
        Value::Uint(_) => Type::Uint,
        Value::Double(_) => Type::Double,
        Value::String(_) => Type::String,
        Value::Bytes(_) => Type::Bytes,
        Value::Type(_) => Type::Type,
        _ => Type::Dyn,
    }
}

/// Returns the name of the part of an object that a value is, or that the items of a list are.
fn part_of(found: &Type) -> Option<&String> {
    match found {
        Type::Object(object) if object.name == OBJECT || object.name.starts_with("Object.") => Some(&object.name),
        Type::List(items) => part_of(items),
        _ => None,
    }
}
