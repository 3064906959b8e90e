//! Server-side apply on a Deployment: live object and configuration are two lines of JSON.
#![no_main]

use schema::{apply, owners::Writer};
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Some((live, config)) = text.split_once('\n') else { return };
    let (Ok(live), Ok(config)) = (serde_json::from_str::<Value>(live), serde_json::from_str::<Value>(config)) else {
        return;
    };
    if !live.is_object() || !config.is_object() {
        return;
    }
    let node = schema::model::builtin("io.k8s.api.apps.v1.Deployment").expect("a built-in type");
    let writer = || Writer { name: "fuzz", api_version: "apps/v1", subresource: "", time: "2026-01-01T00:00:00Z", reset: &[] };
    let Ok(once) = apply::apply(&live, &config, node, writer(), true) else { panic!("force met a conflict") };
    let Ok(twice) = apply::apply(&once, &config, node, writer(), false) else { panic!("its own fields conflict") };
    assert_eq!(once, twice, "applied twice is applied once");
});
