//! Paths of printer columns and scale subresources.
#![no_main]

use serde_json::json;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let object = json!({"spec": {"replicas": 1, "list": [{"a": "x"}, {"a": "y"}]}, "status": {"s": "t"}});
    if let Ok(path) = schema::jsonpath::Path::parse(text) {
        for found in path.find(&object) {
            let _shown = schema::jsonpath::text(found);
        }
    }
});
