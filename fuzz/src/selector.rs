//! Label and field selectors as they come in a query.
#![no_main]

use schema::selector::{Fields, Labels};
use serde_json::json;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let object = json!({"metadata": {"name": "n", "labels": {"a": "b"}}});
    if let Ok(labels) = Labels::parse(text) {
        let _taken = labels.matches(object["metadata"]["labels"].as_object());
    }
    if let Ok(fields) = Fields::parse(text) {
        let _taken = fields.matches(&object);
    }
});
