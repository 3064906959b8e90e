//! Patches on a Deployment: object and patch are two lines of JSON.
#![no_main]

use serde_json::Value;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Some((object, patch)) = text.split_once('\n') else { return };
    let (Ok(object), Ok(patch)) = (serde_json::from_str::<Value>(object), serde_json::from_str::<Value>(patch)) else {
        return;
    };
    let node = schema::model::builtin("io.k8s.api.apps.v1.Deployment").expect("a built-in type");
    let _refused = schema::patch::json(&object, &patch).is_err();
    if let Ok(once) = schema::patch::merge(&object, &patch) {
        let twice = schema::patch::merge(&once, &patch).ok();
        assert_eq!(twice, Some(once), "a merge patch applied twice is applied once");
    }
    let _refused = schema::patch::strategic(&object, &patch, node).is_err();
});
