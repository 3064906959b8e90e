//! Records of releases, and what an object becomes: last manifest, new manifest and live object are lines of JSON.
#![no_main]

use std::collections::BTreeMap;

use release::{Release, difference, merge};
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(record) = Release::decode(text.as_bytes(), &BTreeMap::new()) {
        let again = record.encode().map(|text| Release::decode(text.as_bytes(), &BTreeMap::new()));
        assert_eq!(again, Ok(Ok(record)), "what is read is written and read again");
    }
    let lines: Vec<&str> = text.splitn(3, '\n').collect();
    let [before, wanted, live] = lines[..] else { return };
    let _changes = difference::between(before, live, "default", difference::Context(3));
    let read = |text: &str| serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    let (Some(before), Some(wanted), Some(live)) = (read(before), read(wanted), read(live)) else { return };
    let once = merge::desired(Some(&before), &wanted, &live);
    assert_eq!(merge::desired(Some(&wanted), &wanted, &once), once, "applied twice is applied once");
    if let Some(patch) = merge::patch(&live, &once) {
        let _made = schema::patch::merge(&live, &patch);
    }
});
