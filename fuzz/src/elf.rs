//! Executables that are packed to images.
#![no_main]

use std::io::Write;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("roadstead-fuzz-elf-{}", std::process::id()));
    let written = std::fs::File::create(&path).and_then(|mut file| file.write_all(bytes));
    written.expect("the temporary folder can be written");
    let _refused = images::pack::interpreter(&path).is_err();
    std::fs::remove_file(&path).expect("it is there");
});
