//! The functions and operators that expressions can call: one table of declarations,
//! which calls are checked against and found by.

mod core;
mod lists;
mod network;
mod numbers;
mod policy;
mod strings;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use crate::{
    error::EvalError,
    types::{Type, read, split},
    value::{Key, Value},
};

/// What an evaluation may still cost.
#[derive(Debug)]
pub(crate) struct Meter {
    left: u64,
    used: u64,
}

impl Meter {
    pub(crate) fn new(limit: u64) -> Meter {
        Meter { left: limit, used: 0 }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    pub(crate) fn charge(&mut self, cost: u64) -> Result<(), EvalError> {
        self.used = self.used.saturating_add(cost);
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(EvalError::CostExceeded)
            }
        }
    }

    /// Charges for going through so many characters: a tenth each.
    pub(crate) fn traverse(&mut self, characters: u64) -> Result<(), EvalError> {
        self.charge(characters.div_ceil(10))
    }
}

pub(crate) type Outcome = Result<Value, EvalError>;
pub(crate) type Run = fn(&mut Meter, &[Value]) -> Outcome;
/// A declaration such as `<string>.indexOf(string): int`, and what runs.
pub(crate) type Row = (&'static str, Run);

/// Every overload of one name.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) overloads: Vec<Overload>,
}

#[derive(Debug)]
pub(crate) struct Overload {
    /// The first parameter stands before the dot.
    pub(crate) member: bool,
    pub(crate) params: Vec<Type>,
    pub(crate) result: Type,
    run: Run,
}

/// Returns the function of that name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    static TABLE: OnceLock<HashMap<String, Function>> = OnceLock::new();
    TABLE.get_or_init(table).get(name)
}

fn table() -> HashMap<String, Function> {
    let mut table: HashMap<String, Function> = HashMap::new();
    let libraries =
        [core::ROWS, strings::ROWS, lists::ROWS, numbers::ROWS, network::ROWS, policy::ROWS].into_iter().flatten();
    let orders = core::ORDERS
        .iter()
        .flat_map(|(name, run)| core::ORDERED.iter().map(move |(a, b)| (format!("{name}({a}, {b}): bool"), *run)));
    let plain = libraries.map(|(declaration, run)| ((*declaration).to_owned(), *run));
    for (declaration, run) in plain.chain(orders) {
        let (name, overload) = declared(&declaration, run);
        table.entry(name.to_owned()).or_insert_with(|| Function { overloads: Vec::new() }).overloads.push(overload);
    }
    table
}

fn declared(declaration: &str, run: Run) -> (&str, Overload) {
    let (head, result) = declaration.rsplit_once(": ").unwrap_or((declaration, "dyn"));
    let (receiver, rest) = match head.strip_prefix('<').and_then(|rest| rest.split_once(">.")) {
        Some((receiver, rest)) => (Some(receiver), rest),
        None => (None, head),
    };
    let (name, params) = rest.split_once('(').unwrap_or((rest, ")"));
    let params = params.strip_suffix(')').unwrap_or(params);
    let params = receiver.into_iter().chain(split(params)).map(read).collect();
    (name, Overload { member: receiver.is_some(), params, result: read(result), run })
}

impl Function {
    /// Calls the overload that takes these values.
    pub(crate) fn call(&self, meter: &mut Meter, member: bool, args: &[Value]) -> Outcome {
        let overload = self.overloads.iter().find(|overload| {
            overload.member == member
                && overload.params.len() == args.len()
                && overload.params.iter().zip(args).all(|(param, arg)| fits(param, arg))
        });
        overload.map_or_else(|| Err(EvalError::overload()), |overload| (overload.run)(meter, args))
    }
}

fn fits(param: &Type, value: &Value) -> bool {
    match (param, value) {
        (Type::Dyn | Type::Param(_), _)
        | (Type::Null, Value::Null)
        | (Type::Bool, Value::Bool(_))
        | (Type::Int, Value::Int(_))
        | (Type::Uint, Value::Uint(_))
        | (Type::Double, Value::Double(_))
        | (Type::String, Value::String(_))
        | (Type::Bytes, Value::Bytes(_))
        | (Type::Duration, Value::Duration(_))
        | (Type::Timestamp, Value::Timestamp(_))
        | (Type::Map(..) | Type::Object(_), Value::Map(_))
        | (Type::Optional(_), Value::Optional(_))
        | (Type::Type, Value::Type(_)) => true,
        (Type::List(items), Value::List(list)) => list.items.first().is_none_or(|first| fits(items, first)),
        (Type::Opaque(name), value) => value.type_name() == *name,
        _ => false,
    }
}

/// Takes the arguments apart as a function's declaration promises them.
macro_rules! take {
    ($args:expr, $pattern:pat => $body:expr) => {
        match $args {
            $pattern => $body,
            _ => Err(crate::error::EvalError::overload()),
        }
    };
}
pub(crate) use lists::sort;
pub(crate) use strings::compile;
pub(crate) use take;

#[expect(clippy::unnecessary_wraps, reason = "every function of the table has this outcome")]
pub(crate) fn text(text: impl AsRef<str>) -> Outcome {
    Ok(Value::String(text.as_ref().into()))
}

#[expect(clippy::unnecessary_wraps, reason = "every function of the table has this outcome")]
pub(crate) fn optional(value: Option<Value>) -> Outcome {
    Ok(Value::Optional(value.map(Arc::new)))
}

/// Returns what stands at an index or key, or why nothing does.
pub(crate) fn index(container: &Value, at: &Value) -> Outcome {
    match (container, at) {
        (Value::List(list), at) => {
            let Some(Key::Int(position)) = Key::of(at).filter(|_| !matches!(at, Value::String(_))) else {
                return Err(EvalError::failed(format!("unsupported index type '{}' in list", at.type_name())));
            };
            usize::try_from(position)
                .ok()
                .and_then(|position| list.items.get(position).cloned())
                .ok_or_else(|| EvalError::failed(format!("index out of bounds: {position}")))
        }
        (Value::Map(map), at) => {
            let key = Key::of(at).ok_or_else(EvalError::overload)?;
            map.get(&key).cloned().ok_or_else(|| EvalError::failed(format!("no such key: {}", show_key(&key))))
        }
        (Value::Optional(inner), at) => match inner {
            Some(inner) => optional(index(inner, at).ok()),
            None => optional(None),
        },
        _ => Err(EvalError::overload()),
    }
}

fn show_key(key: &Key) -> String {
    match key {
        Key::Bool(value) => value.to_string(),
        Key::Int(value) => value.to_string(),
        Key::Uint(value) => value.to_string(),
        Key::String(value) => value.to_string(),
    }
}
