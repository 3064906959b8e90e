//! Arithmetic on whatever looks like a number.

use super::{
    cast::{to_float, to_int},
    int, text,
};
use crate::{
    Value,
    gofmt::verb_v,
    template::{Funcs, parse_int},
};

pub(super) fn add(funcs: &mut Funcs) {
    funcs.add("atoi", "s", |a| {
        let text = text(&a[0]);
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        Ok(Value::Int(if plain { text.trim_start_matches('+').parse().unwrap_or(0) } else { 0 }))
    });
    funcs.add("int", "a", |a| Ok(Value::Int(to_int(&a[0]))));
    funcs.add("int64", "a", |a| Ok(Value::Int64(to_int(&a[0]))));
    funcs.add("float64", "a", |a| Ok(Value::Float(to_float(&a[0]))));
    funcs.add("toDecimal", "a", |a| {
        let text = verb_v(&a[0]);
        Ok(Value::Int64(parse_int(&format!("0o{text}")).unwrap_or(0)))
    });
    funcs.add("add1", "a", |a| Ok(Value::Int64(to_int(&a[0]).wrapping_add(1))));
    funcs.add("add", "a*", |a| Ok(Value::Int64(a.iter().map(to_int).fold(0, i64::wrapping_add))));
    funcs.add("sub", "aa", |a| Ok(Value::Int64(to_int(&a[0]).wrapping_sub(to_int(&a[1])))));
    funcs.add("mul", "aa*", |a| Ok(Value::Int64(a.iter().map(to_int).fold(1, i64::wrapping_mul))));
    funcs.add("div", "aa", |a| divide(&a[0], &a[1], i64::wrapping_div));
    funcs.add("mod", "aa", |a| divide(&a[0], &a[1], i64::wrapping_rem));
    for name in ["max", "biggest"] {
        funcs.add(name, "aa*", |a| Ok(Value::Int64(a.iter().map(to_int).max().unwrap_or(0))));
    }
    funcs.add("min", "aa*", |a| Ok(Value::Int64(a.iter().map(to_int).min().unwrap_or(0))));
    funcs.add("maxf", "aa*", |a| Ok(Value::Float(a.iter().map(to_float).fold(f64::NEG_INFINITY, f64::max))));
    funcs.add("minf", "aa*", |a| Ok(Value::Float(a.iter().map(to_float).fold(f64::INFINITY, f64::min))));
    funcs.add("ceil", "a", |a| Ok(Value::Float(to_float(&a[0]).ceil())));
    funcs.add("floor", "a", |a| Ok(Value::Float(to_float(&a[0]).floor())));
    funcs.add("round", "aif*", |a| {
        let on = a.get(2).map_or(0.5, to_float);
        let power = 10_f64.powi(int(&a[1]) as i32);
        let digit = power * to_float(&a[0]);
        let rounded = if digit.fract() >= on { digit.ceil() } else { digit.floor() };
        Ok(Value::Float(rounded / power))
    });
    funcs.add("add1f", "a", |a| decimal(&[a[0].clone(), Value::Int(1)], Op::Add));
    funcs.add("addf", "a*", |a| {
        let mut all = vec![Value::Float(0.0)];
        all.extend_from_slice(a);
        decimal(&all, Op::Add)
    });
    funcs.add("subf", "aa*", |a| decimal(a, Op::Sub));
    funcs.add("mulf", "aa*", |a| decimal(a, Op::Mul));
    funcs.add("divf", "aa*", |a| decimal(a, Op::Div));
}

fn divide(a: &Value, b: &Value, op: fn(i64, i64) -> i64) -> Result<Value, String> {
    match to_int(b) {
        0 => Err("runtime error: integer divide by zero".to_owned()),
        b => Ok(Value::Int64(op(to_int(a), b))),
    }
}

#[derive(Clone, Copy)]
enum Op {
    Add,
    Sub,
    Mul,
    Div,
}

/// Decimal arithmetic as `shopspring/decimal` does it: the shortest decimals of the floats, exact but for
/// division, which keeps 16 places.
fn decimal(args: &[Value], op: Op) -> Result<Value, String> {
    let mut total = Decimal::of(to_float(&args[0]));
    for arg in &args[1..] {
        let other = Decimal::of(to_float(arg));
        total = match op {
            Op::Add => total.and_then(|a| a.combine(other?, i128::checked_add)),
            Op::Sub => total.and_then(|a| a.combine(other?, i128::checked_sub)),
            Op::Mul => total.and_then(|a| {
                let b = other?;
                Some(Decimal { digits: a.digits.checked_mul(b.digits)?, scale: a.scale + b.scale })
            }),
            Op::Div => {
                if other.is_some_and(|b| b.digits == 0) {
                    return Err("decimal division by 0".to_owned());
                }
                total.and_then(|a| a.divide(other?))
            }
        };
    }
    match total {
        Some(total) => Ok(Value::Float(total.float())),
        None => Err("the numbers are too large for decimal arithmetic".to_owned()),
    }
}

#[derive(Clone, Copy)]
struct Decimal {
    digits: i128,
    scale: u32,
}

impl Decimal {
    fn of(value: f64) -> Option<Self> {
        let text = format!("{value}");
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let digits = format!("{whole}{fraction}").parse().ok()?;
        Some(Self { digits, scale: fraction.len() as u32 })
    }

    fn scaled(self, scale: u32) -> Option<i128> {
        self.digits.checked_mul(10_i128.checked_pow(scale - self.scale)?)
    }

    fn combine(self, other: Self, op: fn(i128, i128) -> Option<i128>) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        Some(Self { digits: op(self.scaled(scale)?, other.scaled(scale)?)?, scale })
    }

    fn divide(self, other: Self) -> Option<Self> {
        const PLACES: u32 = 16;
        let up = 10_i128.checked_pow(PLACES + 1 + other.scale)?;
        let down = other.digits.checked_mul(10_i128.checked_pow(self.scale)?)?;
        let digits = self.digits.checked_mul(up)? / down;
        // Half away from zero on the last place.
        let rounded = (digits + if digits < 0 { -5 } else { 5 }) / 10;
        Some(Self { digits: rounded, scale: PLACES })
    }

    fn float(self) -> f64 {
        format!("{}e-{}", self.digits, self.scale).parse().unwrap_or(f64::NAN)
    }
}
