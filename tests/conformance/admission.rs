//! What admission lets through, fills in, refuses and warns of.

mod accounts;
mod classes;
mod hooks;
mod limits;
mod namespaces;
mod policies;
mod quotas;
mod security;

use serde_json::{Value, json};

/// A pod of one container, with more in its spec.
fn pod(name: &str, more: Value) -> Value {
    let mut spec = json!({"containers": [{"name": "c", "image": "i"}]});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    json!({"metadata": {"name": name}, "spec": spec})
}

/// A pod whose container has these resources.
fn sized(name: &str, resources: Value) -> Value {
    pod(name, json!({"containers": [{"name": "c", "image": "i", "resources": resources}]}))
}
