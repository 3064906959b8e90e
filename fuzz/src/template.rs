//! Go templates: they end within their bounds, with text or with an error.
#![no_main]

use gotmpl::{Funcs, Limits, Templates, Value, World};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut templates = Templates::new(Funcs::builtins());
    if templates.parse("fuzz", text).is_err() {
        return;
    }
    let data = gotmpl::yaml::read("a: [1, 2.5, x]\nb: {c: true, d: null}\n").unwrap_or(Value::Nil);
    let limits = Limits { depth: 200, steps: 20_000, output: 1 << 20 };
    if let Ok(output) = templates.render("fuzz", &data, &World::default().within(limits)) {
        assert!(output.len() <= limits.output);
    }
});
