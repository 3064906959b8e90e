//! The vocabulary of Kubernetes objects: what types look like, how they are
//! checked, patched, merged, selected and printed.
//!
//! Values in, values out: no I/O and no clock. Objects are [`serde_json::Value`]
//! trees walked beside their [`model::Node`]; they never travel through typed
//! structs, which would drop the fields they do not know.

pub mod apply;
pub mod crd;
pub mod decode;
pub mod fields;
pub mod fit;
pub mod jsonpath;
pub mod model;
pub mod names;
pub mod openapi;
pub mod owners;
pub mod patch;
pub mod pattern;
pub mod quantity;
pub mod selector;
pub mod settle;
pub mod validate;
pub mod wire;
