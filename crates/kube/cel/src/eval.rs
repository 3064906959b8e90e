//! Evaluates a checked tree, charging for every step.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    ast::{Expr, Field, Item, Loop, LoopKind, Node, Pair, Select},
    error::EvalError,
    functions::{self, Meter},
    value::{Key, Value},
};

/// What an expression's variables stand for.
pub trait Scope {
    /// Returns the value of a declared variable, or why there is none.
    fn variable(&self, name: &str) -> Option<Result<Value, EvalError>>;
}

impl Scope for BTreeMap<String, Value> {
    fn variable(&self, name: &str) -> Option<Result<Value, EvalError>> {
        self.get(name).cloned().map(Ok)
    }
}

pub(crate) struct Frame<'a> {
    pub(crate) scope: &'a dyn Scope,
    pub(crate) meter: Meter,
    locals: Vec<(&'a str, Value)>,
}

type Outcome = Result<Value, EvalError>;

impl<'a> Frame<'a> {
    pub(crate) fn new(scope: &'a dyn Scope, limit: u64) -> Self {
        Frame { scope, meter: Meter::new(limit), locals: Vec::new() }
    }

    pub(crate) fn eval(&mut self, expr: &'a Expr) -> Outcome {
        match &expr.node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Name(name) => self.name(name),
            Node::Select { operand, field, how } => self.select(operand, field, *how),
            Node::Call { target, args, function, .. } => self.call(target.as_deref(), args, *function),
            Node::List(items) => self.list(items),
            Node::Map(pairs) => self.map(pairs),
            Node::Message { fields, .. } => self.message(fields),
            Node::And(terms) => self.logic(terms, false),
            Node::Or(terms) => self.logic(terms, true),
            Node::Choice(parts) => self.choice(parts),
            Node::Loop(inner) => self.looped(inner),
            Node::Within { operand, variable, body, flat } => self.within(operand, variable, body, *flat),
        }
    }

    fn name(&mut self, name: &str) -> Outcome {
        self.meter.charge(1)?;
        if let Some((_, value)) = self.locals.iter().rev().find(|(local, _)| *local == name) {
            return Ok(value.clone());
        }
        self.scope.variable(name).unwrap_or_else(|| Err(EvalError::failed(format!("no such attribute(s): {name}"))))
    }

    #[inline(never)]
    fn select(&mut self, operand: &'a Expr, field: &str, how: Select) -> Outcome {
        let value = self.eval(operand)?;
        if how != Select::Test {
            self.meter.charge(1)?;
        }
        let key = Key::String(field.into());
        match (&value, how) {
            (Value::Map(map), Select::Test) => Ok(Value::Bool(map.contains_key(&key))),
            (Value::Optional(inner), Select::Test) => {
                Ok(Value::Bool(matches!(inner.as_deref(), Some(Value::Map(map)) if map.contains_key(&key))))
            }
            (Value::Map(map), Select::Plain) => {
                map.get(&key).cloned().ok_or_else(|| EvalError::failed(format!("no such key: {field}")))
            }
            (Value::Map(map), Select::Optional) => functions::optional(map.get(&key).cloned()),
            (Value::Optional(inner), _) => match inner.as_deref() {
                Some(Value::Map(map)) => functions::optional(map.get(&key).cloned()),
                Some(_) => Err(EvalError::overload()),
                None => Ok(Value::Optional(None)),
            },
            (Value::List(_), _) => Err(EvalError::overload()),
            // What is nothing, or no structure, has no fields.
            (_, Select::Test) => Ok(Value::Bool(false)),
            (_, Select::Optional) => functions::optional(None),
            (_, Select::Plain) => Err(EvalError::failed(format!("no such key: {field}"))),
        }
    }

    #[inline(never)]
    fn call(
        &mut self,
        target: Option<&'a Expr>,
        args: &'a [Expr],
        function: Option<&'static functions::Function>,
    ) -> Outcome {
        let mut values = Vec::with_capacity(args.len() + 1);
        for arg in target.into_iter().chain(args) {
            values.push(self.eval(arg)?);
        }
        self.meter.charge(1)?;
        function.ok_or_else(EvalError::overload)?.call(&mut self.meter, target.is_some(), &values)
    }

    #[inline(never)]
    fn list(&mut self, items: &'a [Item]) -> Outcome {
        self.meter.charge(10)?;
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            match (self.eval(&item.value)?, item.optional) {
                (value, false) => list.push(value),
                (Value::Optional(inner), true) => list.extend(inner.as_deref().cloned()),
                _ => return Err(EvalError::overload()),
            }
        }
        Ok(Value::list(list))
    }

    #[inline(never)]
    fn map(&mut self, pairs: &'a [Pair]) -> Outcome {
        self.meter.charge(30)?;
        let mut map = BTreeMap::new();
        for pair in pairs {
            let key = self.eval(&pair.key)?;
            let key = Key::of(&key).ok_or_else(|| EvalError::failed("unsupported key type"))?;
            let value = match (self.eval(&pair.value)?, pair.optional) {
                (value, false) => value,
                (Value::Optional(Some(inner)), true) => inner.as_ref().clone(),
                (Value::Optional(None), true) => continue,
                _ => return Err(EvalError::overload()),
            };
            if map.insert(key, value).is_some() {
                return Err(EvalError::failed("Failed with repeated key"));
            }
        }
        Ok(Value::Map(Arc::new(map)))
    }

    #[inline(never)]
    fn message(&mut self, fields: &'a [Field]) -> Outcome {
        self.meter.charge(40)?;
        let mut map = BTreeMap::new();
        for field in fields {
            let value = match (self.eval(&field.value)?, field.optional) {
                (value, false) => value,
                (Value::Optional(Some(inner)), true) => inner.as_ref().clone(),
                (Value::Optional(None), true) => continue,
                _ => return Err(EvalError::overload()),
            };
            map.insert(Key::String(crate::schemas::unescape(&field.name).into()), value);
        }
        Ok(Value::Map(Arc::new(map)))
    }

    /// `&&` and `||`: a term that settles the matter wins over one that fails.
    #[inline(never)]
    fn logic(&mut self, terms: &'a [Expr], settles: bool) -> Outcome {
        let mut failure = None;
        for term in terms {
            match self.eval(term) {
                Ok(Value::Bool(value)) if value == settles => return Ok(Value::Bool(settles)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => failure = failure.or(Some(EvalError::overload())),
                Err(EvalError::CostExceeded) => return Err(EvalError::CostExceeded),
                Err(error) => failure = failure.or(Some(error)),
            }
            self.meter.charge(1)?;
        }
        failure.map_or(Ok(Value::Bool(!settles)), Err)
    }

    #[inline(never)]
    fn choice(&mut self, parts: &'a [Expr; 3]) -> Outcome {
        let [condition, yes, no] = parts;
        let condition = self.eval(condition)?;
        self.meter.charge(1)?;
        match condition {
            Value::Bool(true) => self.eval(yes),
            Value::Bool(false) => self.eval(no),
            _ => Err(EvalError::overload()),
        }
    }

    #[inline(never)]
    fn within(&mut self, operand: &'a Expr, variable: &'a str, body: &'a Expr, flat: bool) -> Outcome {
        let Value::Optional(inner) = self.eval(operand)? else { return Err(EvalError::overload()) };
        self.meter.charge(1)?;
        let Some(inner) = inner else { return Ok(Value::Optional(None)) };
        self.locals.push((variable, inner.as_ref().clone()));
        let found = self.eval(body);
        self.locals.pop();
        match found? {
            value if !flat => functions::optional(Some(value)),
            value @ Value::Optional(_) => Ok(value),
            _ => Err(EvalError::overload()),
        }
    }

    #[inline(never)]
    fn looped(&mut self, inner: &'a Loop) -> Outcome {
        let range = self.eval(&inner.range)?;
        let mut found = Gathered::default();
        match &range {
            Value::List(list) => {
                for (at, item) in list.items.iter().enumerate() {
                    if self.turn(inner, &Value::Int(at as i64), item, item, &mut found)? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, value) in map.iter() {
                    let key = key.value();
                    if self.turn(inner, &key, value, &key, &mut found)? {
                        break;
                    }
                }
            }
            _ => return Err(EvalError::overload()),
        }
        self.gathered(inner.kind, found)
    }

    /// Goes through the body once; returns whether the loop is over.
    fn turn(
        &mut self,
        inner: &'a Loop,
        key: &Value,
        value: &Value,
        single: &Value,
        found: &mut Gathered,
    ) -> Result<bool, EvalError> {
        self.meter.charge(3)?;
        let before = self.locals.len();
        match inner.names.as_slice() {
            [one] => self.locals.push((one, single.clone())),
            [first, second, ..] => {
                self.locals.extend([(first.as_str(), key.clone()), (second.as_str(), value.clone())]);
            }
            [] => {}
        }
        let passes = match &inner.filter {
            None => Ok(Value::Bool(true)),
            Some(filter) => self.eval(filter),
        };
        let outcome = match passes {
            Ok(Value::Bool(false)) => None,
            Ok(Value::Bool(true)) => Some(self.eval(&inner.body)),
            Ok(_) => Some(Err(EvalError::overload())),
            Err(error) => Some(Err(error)),
        };
        self.locals.truncate(before);
        let Some(outcome) = outcome else { return Ok(false) };
        match (inner.kind, outcome) {
            (_, Err(EvalError::CostExceeded)) => Err(EvalError::CostExceeded),
            (LoopKind::All, Ok(Value::Bool(false))) | (LoopKind::Exists, Ok(Value::Bool(true))) => {
                found.settled = true;
                Ok(true)
            }
            (LoopKind::All | LoopKind::Exists, Ok(Value::Bool(_))) => Ok(false),
            (LoopKind::All | LoopKind::Exists, Ok(_)) => {
                found.failure.get_or_insert(EvalError::overload());
                Ok(false)
            }
            (LoopKind::All | LoopKind::Exists, Err(error)) => {
                found.failure.get_or_insert(error);
                Ok(false)
            }
            (_, Err(error)) => Err(error),
            (LoopKind::ExistsOne, Ok(Value::Bool(holds))) => {
                found.count += usize::from(holds);
                Ok(false)
            }
            (LoopKind::Filter, Ok(Value::Bool(holds))) => {
                if holds {
                    found.items.push(single.clone());
                }
                Ok(false)
            }
            (LoopKind::Map, Ok(value)) => {
                self.meter.charge(1)?;
                found.items.push(value);
                Ok(false)
            }
            (LoopKind::SortBy, Ok(value)) => {
                found.items.push(single.clone());
                found.keys.push(value);
                Ok(false)
            }
            (LoopKind::TransformMap, Ok(value)) => {
                let key = Key::of(key).ok_or_else(EvalError::overload)?;
                found.map.insert(key, value);
                Ok(false)
            }
            (LoopKind::TransformMapEntry, Ok(Value::Map(entries))) => {
                self.meter.charge(entries.len() as u64)?;
                for (key, value) in entries.iter() {
                    if found.map.insert(key.clone(), value.clone()).is_some() {
                        return Err(EvalError::failed(format!("insert failed: key {:?} already exists", key.value())));
                    }
                }
                Ok(false)
            }
            (LoopKind::ExistsOne | LoopKind::Filter | LoopKind::TransformMapEntry, Ok(_)) => Err(EvalError::overload()),
        }
    }

    fn gathered(&mut self, kind: LoopKind, found: Gathered) -> Outcome {
        match kind {
            LoopKind::All | LoopKind::Exists => match found.failure {
                Some(error) if !found.settled => Err(error),
                _ => Ok(Value::Bool(found.settled == (kind == LoopKind::Exists))),
            },
            LoopKind::ExistsOne => Ok(Value::Bool(found.count == 1)),
            LoopKind::Filter | LoopKind::Map => Ok(Value::list(found.items)),
            LoopKind::SortBy => functions::sort(&mut self.meter, &found.items, &found.keys),
            LoopKind::TransformMap | LoopKind::TransformMapEntry => Ok(Value::Map(Arc::new(found.map))),
        }
    }
}

#[derive(Default)]
struct Gathered {
    settled: bool,
    failure: Option<EvalError>,
    count: usize,
    items: Vec<Value>,
    keys: Vec<Value>,
    map: BTreeMap<Key, Value>,
}
