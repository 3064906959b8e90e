//! Whether a custom object is what its definition says.

use schema::validate::{self, Cause};
use serde_json::Value;

use crate::registry::Resource;

/// Checks a custom object by its schema and then its rules; returns what to warn of.
///
/// A changed object is not refused for what the change leaves as it was.
pub(crate) fn check(resource: &Resource, object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) -> Vec<String> {
    let broken = validate::check_custom(object, &resource.node);
    let broken = match old {
        Some(old) => validate::changed(broken, object, old, &resource.node),
        None => broken,
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
