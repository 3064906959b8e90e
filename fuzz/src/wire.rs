//! Binary bodies of stock Go clients: any bytes are an object or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(object) = schema::wire::decode(bytes) {
        assert!(object.is_object());
    }
});
