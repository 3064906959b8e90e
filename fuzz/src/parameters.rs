//! Templates with parameters: they are processed within their bounds, or refused.
#![no_main]

use std::collections::BTreeMap;

use gotmpl::World;
use template::{Template, Unknown};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (text, value) = text.split_once('\u{1f}').unwrap_or((text, "1"));
    let Ok(template) = Template::read(text) else { return };
    let given: BTreeMap<String, String> =
        template.parameters.iter().map(|parameter| (parameter.name.clone(), value.to_owned())).collect();
    if let Ok(processed) = template.process(&given, Unknown::Refused, &World::default()) {
        assert_eq!(processed.values.len(), template.parameters.len());
    }
});
