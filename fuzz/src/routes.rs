//! Routes: objects of all kinds that are read, one JSON object a line, make a table whatever they hold.
#![no_main]

use routes::{Kind, Objects, Placement};
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut objects = Objects::default();
    for (at, line) in text.lines().take(64).enumerate() {
        let Ok(object) = serde_json::from_str::<Value>(line) else { return };
        let named = Kind::ALL.into_iter().find(|kind| object["kind"] == kind.resource().2);
        objects.apply(named.unwrap_or(Kind::ALL[at % Kind::ALL.len()]), object);
    }
    let placement = Placement { addresses: vec!["127.0.0.1".into()], http: true };
    let compiled = routes::compile(&objects, &placement, "2026-01-01T00:00:00Z");
    let _rules = compiled.snapshot.rules();
});
