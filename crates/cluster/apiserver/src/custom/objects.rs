//! Whether a custom object is what its definition says.

use schema::{
    model::Node,
    validate::{self, Cause},
};
use serde_json::Value;

use crate::registry::{Resource, Subresource};

/// Which part of an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// Its status, which a schema is asked about alone.
    Status,
}

/// Checks a custom object by its schema and then its rules; returns what to warn of.
///
/// A changed object is not refused for what the change leaves as it was.
pub(crate) fn check(
    resource: &Resource,
    part: Part,
    object: &Value,
    old: Option<&Value>,
    causes: &mut Vec<Cause>,
) -> Vec<String> {
    super::embedded::check(object, &resource.node, "", causes);
    counts(resource, object, causes);
    let broken = match (part, resource.node.field("status")) {
        (Part::Status, Some(status)) => status_rules(&object["status"], old.map(|old| &old["status"]), status),
        (Part::Status, None) => Vec::new(),
        (Part::Whole, _) => schema_rules(object, old, &resource.node),
    };
    let Some(validator) = &resource.validator else {
        causes.extend(broken);
        return Vec::new();
    };
    let blocking = ["FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"];
    if broken.iter().any(|cause| blocking.contains(&cause.reason)) {
        causes.extend(broken);
        causes.push(Cause {
            reason: "FieldValueInvalid",
            message: "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation".to_owned(),
            field: "<nil>".to_owned(),
        });
        return Vec::new();
    }
    causes.extend(broken);
    let verdict = validator.validate(object, old);
    causes.extend(verdict.causes);
    verdict.warnings
}

fn schema_rules(object: &Value, old: Option<&Value>, node: &Node) -> Vec<Cause> {
    let broken = validate::check_custom(object, node);
    match old {
        Some(old) => validate::changed(broken, object, old, node),
        None => broken.into_iter().map(|broken| broken.cause).collect(),
    }
}

/// Checks a status by its own schema, whose places are named from there.
fn status_rules(status: &Value, old: Option<&Value>, node: &Node) -> Vec<Cause> {
    if status.is_null() {
        return Vec::new();
    }
    let below = |field: &str| match field {
        "" | "<nil>" => "status".to_owned(),
        field => format!("status.{field}"),
    };
    let causes = schema_rules(status, old, node).into_iter();
    causes.map(|cause| Cause { field: below(&cause.field), ..cause }).collect()
}

/// Checks what an object's `Scale` shows.
fn counts(resource: &Resource, object: &Value, causes: &mut Vec<Cause>) {
    let Some(Subresource::Scale { spec, status, .. }) = resource.subresources.get("scale") else { return };
    for path in [spec, status] {
        let found = path.iter().fold(object, |place, step| &place[step.as_str()]);
        let Some(count) = found.as_i64() else { continue };
        let detail = if count < 0 {
            "should be a non-negative integer".to_owned()
        } else if count > i64::from(i32::MAX) {
            format!("should be less than or equal to {}", i32::MAX)
        } else {
            continue;
        };
        causes.push(Cause::invalid(format!(".{}", path.join(".")), found, &detail));
    }
}

/// Writes numbers without a fraction as whole ones.
#[expect(clippy::cast_possible_truncation, reason = "what has no fraction and fits is asked for first")]
pub(crate) fn whole_numbers(value: &mut Value) {
    /// From here on not every whole number has a form of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            if let Some(number) = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < EXACT) {
                *value = (number as i64).into();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(whole_numbers),
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        _ => {}
    }
}
