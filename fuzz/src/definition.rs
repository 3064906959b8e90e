//! Schemas of custom kinds, and objects of such a kind: two lines of JSON.
#![no_main]

use serde_json::Value;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Some((written, object)) = text.split_once('\n') else { return };
    let (Ok(written), Ok(mut object)) = (serde_json::from_str::<Value>(written), serde_json::from_str::<Value>(object))
    else {
        return;
    };
    let schema::crd::Read { node, .. } = schema::crd::read(&written);
    schema::validate::unknown(&mut object, &node, true);
    assert!(schema::validate::unknown(&mut object.clone(), &node, true).is_empty(), "what is pruned stays pruned");
    schema::validate::default(&mut object, &node);
    let _causes = schema::validate::check(&object, &node);
});
