//! `spf13/cast`: what Sprig's arithmetic takes for a number; what is none counts 0.

use crate::{Value, template};

pub(super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Bool(value) => i64::from(*value),
        Value::Int(value) | Value::Int64(value) => *value,
        // What no int holds is the least of them on the processors that charts are rendered on.
        Value::Float(value) if value.is_nan() || value.abs() >= 9_223_372_036_854_775_808.0 => i64::MIN,
        Value::Float(value) => *value as i64,
        Value::Str(text) => text_to_int(text),
        _ => 0,
    }
}

fn text_to_int(text: &str) -> i64 {
    // cast trims a fraction of zeros ("8.0") and leading zeros that are not octal prefixes.
    let trimmed = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() && fraction.bytes().all(|b| b == b'0') => whole,
        _ => text,
    };
    template::parse_int(trimmed).unwrap_or(0)
}

pub(super) fn to_float(value: &Value) -> f64 {
    match value {
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Int(value) | Value::Int64(value) => *value as f64,
        Value::Float(value) => *value,
        Value::Str(text) => text.parse().unwrap_or(0.0),
        _ => 0.0,
    }
}
