//! What admission decides of a write, as functions of values.
//!
//! Each module is one of Kubernetes' admission plugins: it is given the object, the old
//! one and the objects that rules stand in, and returns what to change or why to refuse,
//! in Kubernetes' words. It never looks anything up: that is the API server's part.

pub mod accounts;
pub mod evictions;
pub mod limits;
pub mod matching;
pub mod mutations;
pub mod pods;
pub mod policies;
pub mod priority;
pub mod quotas;
pub mod runtimes;
pub mod security;
pub mod storage;
pub mod tolerations;
pub mod webhooks;

use serde_json::Value;

/// Returns the text of a field, or nothing.
fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Returns the items of a list, or none.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Puts several refusals into one sentence.
fn aggregate(mut list: Vec<String>) -> Option<String> {
    let mut seen = std::collections::HashSet::new();
    list.retain(|text| seen.insert(text.clone()));
    match list.len() {
        0 => None,
        1 => list.pop(),
        _ => Some(format!("[{}]", list.join(", "))),
    }
}
