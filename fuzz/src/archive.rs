//! Packed charts: they are unpacked within their bounds, or refused.
#![no_main]

use helm::archive::{Bounds, pack, unpack};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let bounds = Bounds { file: 1 << 16, total: 1 << 18, files: 100 };
    // Plain tar is packed first, so that what is mutated is the archive and not its compression.
    let packed = compressed(bytes);
    for candidate in [bytes, &packed] {
        let Ok(files) = unpack(candidate, bounds) else { continue };
        assert!(files.len() <= bounds.files && files.values().all(|file| file.len() as u64 <= bounds.file));
        for path in files.keys() {
            assert!(!path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{path:?}");
        }
        let again = pack("chart", &files).ok().and_then(|packed| unpack(&packed, Bounds::default()).ok());
        assert!(again.is_none_or(|again| again.len() == files.len()));
    }
});

fn compressed(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}
