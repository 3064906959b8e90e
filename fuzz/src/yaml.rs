//! YAML: what is read is written in a form that reads as the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(documents) = render::yaml::read_all(text) else { return };
    for document in documents {
        let written = render::yaml::write(&document);
        let again = render::yaml::read(&written).expect("what is written can be read");
        assert_eq!(render::yaml::write(&again), written);
    }
});
