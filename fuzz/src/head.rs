//! Heads of manifests: what is found line by line is what the parser finds.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Some(scanned) = helm::head::scan(text) {
        assert_eq!(helm::head::read(text), Ok(scanned));
    }
});
