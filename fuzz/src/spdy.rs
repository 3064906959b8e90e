//! Bytes of clients that speak SPDY or channels: any of them are frames or an error, within bounds.
#![no_main]

use streams::{channel, spdy};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut reader = spdy::Reader::default();
    // Cut where the first byte says: the frames must not depend on it.
    let (cut, rest) = bytes.split_first().map_or((1, bytes), |(cut, rest)| (usize::from(*cut).max(1), rest));
    let mut read = 0;
    'frames: for part in rest.chunks(cut) {
        reader.push(part);
        loop {
            match reader.frame() {
                Ok(Some(spdy::Frame::Data { bytes, .. })) => read += bytes.len(),
                Ok(Some(spdy::Frame::Begin { headers, .. })) => {
                    let length: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
                    assert!(length <= 2 * spdy::HEADERS_LIMIT);
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => break 'frames,
            }
        }
    }
    assert!(read <= rest.len());
    let message = bytes.to_vec().into();
    for protocol in channel::COMMANDS.iter().chain(channel::PORTS) {
        if let Ok(Some(channel::Message::Data(number, data))) = protocol.decode(&message) {
            assert!(number == bytes[0] || protocol.is_text());
            assert!(data.len() < bytes.len());
        }
    }
});
