//! Lists and sets.

use std::{cmp::Ordering, sync::Arc};

use super::{Meter, Outcome, Row, optional, take};
use crate::{
    error::EvalError,
    value::{List, ListKind, Value, compare},
};

pub(super) const ROWS: &[Row] = &[
    ("<list(A)>.isSorted(): bool", |meter, args| {
        take!(args, [Value::List(list)] => {
            meter.charge(list.items.len() as u64)?;
            let mut sorted = true;
            for pair in list.items.windows(2) {
                sorted &= compare(&pair[0], &pair[1]).ok_or_else(EvalError::overload)?.is_le();
            }
            Ok(Value::Bool(sorted))
        })
    }),
    ("<list(int)>.sum(): int", |meter, args| sum(meter, args, Value::Int(0))),
    ("<list(uint)>.sum(): uint", |meter, args| sum(meter, args, Value::Uint(0))),
    ("<list(double)>.sum(): double", |meter, args| sum(meter, args, Value::Double(0.0))),
    ("<list(duration)>.sum(): duration", |meter, args| sum(meter, args, Value::Duration(0))),
    ("<list(A)>.min(): A", |meter, args| extreme(meter, args, "min", Ordering::Less)),
    ("<list(A)>.max(): A", |meter, args| extreme(meter, args, "max", Ordering::Greater)),
    ("<list(A)>.indexOf(A): int", |meter, args| {
        take!(args, [Value::List(list), item] => {
            meter.charge(list.items.len() as u64)?;
            Ok(Value::Int(list.items.iter().position(|there| there == item).map_or(-1, |at| at as i64)))
        })
    }),
    ("<list(A)>.lastIndexOf(A): int", |meter, args| {
        take!(args, [Value::List(list), item] => {
            meter.charge(list.items.len() as u64)?;
            Ok(Value::Int(list.items.iter().rposition(|there| there == item).map_or(-1, |at| at as i64)))
        })
    }),
    ("<list(A)>.slice(int, int): list(A)", |meter, args| {
        take!(args, [Value::List(list), Value::Int(from), Value::Int(to)] => {
            let length = list.items.len();
            if *from < 0 || *to < 0 {
                return Err(EvalError::failed(format!("cannot slice({from}, {to}), negative indexes not supported")));
            }
            let (start, end) = (usize::try_from(*from).unwrap_or(usize::MAX), usize::try_from(*to).unwrap_or(usize::MAX));
            if start > end {
                return Err(EvalError::failed(format!("cannot slice({from}, {to}), start index must be less than or equal to end index")));
            }
            if end > length {
                return Err(EvalError::failed(format!("cannot slice({from}, {to}), list is length {length}")));
            }
            meter.charge((end - start) as u64)?;
            Ok(Value::list(list.items[start..end].to_vec()))
        })
    }),
    ("<list(A)>.flatten(): list(dyn)", |meter, args| take!(args, [Value::List(list)] => flatten(meter, list, 1))),
    ("<list(A)>.flatten(int): list(dyn)", |meter, args| {
        take!(args, [Value::List(list), Value::Int(depth)] => {
            if *depth < 0 {
                return Err(EvalError::failed("level must be non-negative"));
            }
            flatten(meter, list, *depth)
        })
    }),
    ("lists.range(int): list(int)", |meter, args| {
        take!(args, [Value::Int(length)] => {
            meter.charge(u64::try_from(*length).unwrap_or_default())?;
            Ok(Value::list((0..*length).map(Value::Int).collect()))
        })
    }),
    ("<list(A)>.distinct(): list(A)", |meter, args| {
        take!(args, [Value::List(list)] => {
            let mut found: Vec<Value> = Vec::new();
            for item in &list.items {
                meter.charge(found.len() as u64 + 1)?;
                if !found.contains(item) {
                    found.push(item.clone());
                }
            }
            Ok(Value::list(found))
        })
    }),
    ("<list(A)>.reverse(): list(A)", |meter, args| {
        take!(args, [Value::List(list)] => {
            meter.charge(list.items.len() as u64)?;
            Ok(Value::list(list.items.iter().rev().cloned().collect()))
        })
    }),
    ("<list(A)>.sort(): list(A)", |meter, args| {
        take!(args, [Value::List(list)] => {
            let keys = list.items.clone();
            sort(meter, &list.items, &keys)
        })
    }),
    (
        "<list(A)>.first(): optional(A)",
        |_, args| take!(args, [Value::List(list)] => optional(list.items.first().cloned())),
    ),
    (
        "<list(A)>.last(): optional(A)",
        |_, args| take!(args, [Value::List(list)] => optional(list.items.last().cloned())),
    ),
    ("sets.contains(list(A), list(A)): bool", |meter, args| {
        take!(args, [Value::List(a), Value::List(b)] => {
            Ok(Value::Bool(contains(meter, a, b)?))
        })
    }),
    ("sets.equivalent(list(A), list(A)): bool", |meter, args| {
        take!(args, [Value::List(a), Value::List(b)] => {
            Ok(Value::Bool(contains(meter, a, b)? && contains(meter, b, a)?))
        })
    }),
    ("sets.intersects(list(A), list(A)): bool", |meter, args| {
        take!(args, [Value::List(a), Value::List(b)] => {
            product(meter, a, b)?;
            Ok(Value::Bool(a.items.iter().any(|item| b.items.contains(item))))
        })
    }),
];

fn product(meter: &mut Meter, a: &List, b: &List) -> Result<(), EvalError> {
    meter.charge((a.items.len() as u64).saturating_mul(b.items.len() as u64))
}

fn contains(meter: &mut Meter, all: &List, some: &List) -> Result<bool, EvalError> {
    product(meter, all, some)?;
    Ok(some.items.iter().all(|item| all.items.contains(item)))
}

fn sum(meter: &mut Meter, args: &[Value], zero: Value) -> Outcome {
    let [Value::List(list)] = args else { return Err(EvalError::overload()) };
    meter.charge(list.items.len() as u64)?;
    let add = crate::functions::find("_+_").ok_or_else(EvalError::overload)?;
    let start = match list.items.first() {
        Some(first) => match first {
            Value::Int(_) => Value::Int(0),
            Value::Uint(_) => Value::Uint(0),
            Value::Double(_) => Value::Double(0.0),
            Value::Duration(_) => Value::Duration(0),
            _ => return Err(EvalError::overload()),
        },
        None => zero,
    };
    list.items.iter().try_fold(start, |total, item| add.call(meter, false, &[total, item.clone()]))
}

fn extreme(meter: &mut Meter, args: &[Value], name: &str, wanted: Ordering) -> Outcome {
    let [Value::List(list)] = args else { return Err(EvalError::overload()) };
    meter.charge(list.items.len() as u64)?;
    let mut items = list.items.iter();
    let mut found = items.next().ok_or_else(|| EvalError::failed(format!("{name} called on empty list")))?;
    for item in items {
        if compare(item, found).ok_or_else(EvalError::overload)? == wanted {
            found = item;
        }
    }
    Ok(found.clone())
}

fn flatten(meter: &mut Meter, list: &List, depth: i64) -> Outcome {
    let mut items = list.items.clone();
    meter.charge(items.len() as u64)?;
    // Values nest no deeper than what made them, so this ends.
    for _ in 0..depth.min(100) {
        if !items.iter().any(|item| matches!(item, Value::List(_))) {
            break;
        }
        let total: u64 = items.iter().map(|item| if let Value::List(_) = item { item.size() } else { 1 }).sum();
        meter.charge(total)?;
        items = items
            .into_iter()
            .flat_map(|item| match item {
                Value::List(inner) => inner.items.clone(),
                other => vec![other],
            })
            .collect();
    }
    Ok(Value::list(items))
}

/// Sorts items by their keys.
pub(crate) fn sort(meter: &mut Meter, items: &[Value], keys: &[Value]) -> Outcome {
    let count = items.len() as u64;
    meter.charge(count.saturating_mul(u64::from(64 - count.leading_zeros())))?;
    for pair in keys.windows(2) {
        compare(&pair[0], &pair[1]).ok_or_else(EvalError::overload)?;
    }
    let mut order: Vec<usize> = (0..items.len().min(keys.len())).collect();
    order.sort_by(|a, b| compare(&keys[*a], &keys[*b]).unwrap_or(Ordering::Equal));
    let items = order.into_iter().map(|at| items[at].clone()).collect();
    Ok(Value::List(Arc::new(List { items, kind: ListKind::Plain })))
}
