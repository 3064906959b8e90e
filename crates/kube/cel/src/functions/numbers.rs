//! Quantities and semantic versions.

use std::sync::Arc;

use schema::quantity::Quantity;

use super::{Outcome, Row, take, text};
use crate::{error::EvalError, value::Value};

pub(super) const ROWS: &[Row] = &[
    ("quantity(string): quantity", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            quantity(Quantity::parse(a))
        })
    }),
    ("isQuantity(string): bool", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            Ok(Value::Bool(Quantity::parse(a).is_some()))
        })
    }),
    ("<quantity>.sign(): int", |_, args| take!(args, [Value::Quantity(a)] => Ok(Value::Int(a.sign() as i64)))),
    (
        "<quantity>.isGreaterThan(quantity): bool",
        |_, args| take!(args, [Value::Quantity(a), Value::Quantity(b)] => Ok(Value::Bool(a > b))),
    ),
    (
        "<quantity>.isLessThan(quantity): bool",
        |_, args| take!(args, [Value::Quantity(a), Value::Quantity(b)] => Ok(Value::Bool(a < b))),
    ),
    (
        "<quantity>.compareTo(quantity): int",
        |_, args| take!(args, [Value::Quantity(a), Value::Quantity(b)] => Ok(Value::Int(a.cmp(b) as i64))),
    ),
    (
        "<quantity>.asApproximateFloat(): double",
        |_, args| take!(args, [Value::Quantity(a)] => Ok(Value::Double(a.float()))),
    ),
    ("<quantity>.asInteger(): int", |_, args| {
        take!(args, [Value::Quantity(a)] => {
            a.integer().map(Value::Int).ok_or_else(|| EvalError::failed("cannot convert value to integer"))
        })
    }),
    (
        "<quantity>.isInteger(): bool",
        |_, args| take!(args, [Value::Quantity(a)] => Ok(Value::Bool(a.integer().is_some()))),
    ),
    (
        "<quantity>.add(quantity): quantity",
        |_, args| take!(args, [Value::Quantity(a), Value::Quantity(b)] => quantity(a.plus(*b))),
    ),
    (
        "<quantity>.add(int): quantity",
        |_, args| take!(args, [Value::Quantity(a), Value::Int(b)] => quantity(a.plus(Quantity::of(*b)))),
    ),
    (
        "<quantity>.sub(quantity): quantity",
        |_, args| take!(args, [Value::Quantity(a), Value::Quantity(b)] => quantity(a.minus(*b))),
    ),
    (
        "<quantity>.sub(int): quantity",
        |_, args| take!(args, [Value::Quantity(a), Value::Int(b)] => quantity(a.minus(Quantity::of(*b)))),
    ),
    ("semver(string): semver", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            version(a, Leniency::Exact)
        })
    }),
    ("semver(string, bool): semver", |meter, args| {
        take!(args, [Value::String(a), Value::Bool(normal)] => {
            meter.traverse(a.len() as u64)?;
            version(a, if *normal { Leniency::Normalized } else { Leniency::Exact })
        })
    }),
    ("isSemver(string): bool", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            Ok(Value::Bool(version(a, Leniency::Exact).is_ok()))
        })
    }),
    ("isSemver(string, bool): bool", |meter, args| {
        take!(args, [Value::String(a), Value::Bool(normal)] => {
            meter.traverse(a.len() as u64)?;
            Ok(Value::Bool(version(a, if *normal { Leniency::Normalized } else { Leniency::Exact }).is_ok()))
        })
    }),
    (
        "<semver>.isGreaterThan(semver): bool",
        |_, args| take!(args, [Value::Semver(a), Value::Semver(b)] => Ok(Value::Bool(a.cmp_precedence(b).is_gt()))),
    ),
    (
        "<semver>.isLessThan(semver): bool",
        |_, args| take!(args, [Value::Semver(a), Value::Semver(b)] => Ok(Value::Bool(a.cmp_precedence(b).is_lt()))),
    ),
    (
        "<semver>.compareTo(semver): int",
        |_, args| take!(args, [Value::Semver(a), Value::Semver(b)] => Ok(Value::Int(a.cmp_precedence(b) as i64))),
    ),
    ("<semver>.major(): int", |_, args| take!(args, [Value::Semver(a)] => Ok(Value::Int(a.major as i64)))),
    ("<semver>.minor(): int", |_, args| take!(args, [Value::Semver(a)] => Ok(Value::Int(a.minor as i64)))),
    ("<semver>.patch(): int", |_, args| take!(args, [Value::Semver(a)] => Ok(Value::Int(a.patch as i64)))),
    ("string(quantity): string", |_, args| take!(args, [Value::Quantity(a)] => text(a.to_string()))),
];

fn quantity(value: Option<Quantity>) -> Outcome {
    value.map(Value::Quantity).ok_or_else(|| {
        EvalError::failed("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    })
}

/// How a version may be written.
#[derive(Clone, Copy)]
enum Leniency {
    Exact,
    /// A leading `v`, missing parts and leading zeros are put right.
    Normalized,
}

fn version(text: &str, leniency: Leniency) -> Outcome {
    let normal = match leniency {
        Leniency::Exact => text.to_owned(),
        Leniency::Normalized => {
            let text = text.strip_prefix('v').unwrap_or(text);
            let end = text.find(['-', '+']).unwrap_or(text.len());
            let (core, rest) = text.split_at(end);
            let mut parts: Vec<&str> = core
                .split('.')
                .map(|part| {
                    let short = part.trim_start_matches('0');
                    if short.is_empty() && !part.is_empty() { "0" } else { short }
                })
                .collect();
            parts.resize(parts.len().max(3), "0");
            format!("{}{rest}", parts.join("."))
        }
    };
    semver::Version::parse(&normal)
        .map(|version| Value::Semver(Arc::new(version)))
        .map_err(|_| EvalError::failed(format!("Invalid semantic version {text:?}")))
}
