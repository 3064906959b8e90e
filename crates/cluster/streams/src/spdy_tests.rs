//! Tests of SPDY frames.

use proptest::prelude::*;

use super::*;

fn read_all(reader: &mut Reader) -> Vec<Frame> {
    std::iter::from_fn(|| reader.frame().unwrap()).collect()
}

#[test]
fn streams_begin_with_their_headers_and_the_dictionary_is_shared() {
    let (mut writer, mut reader) = (Writer::default(), Reader::default());
    for stream in [1, 3, 5] {
        let frame = writer.begin(stream, &[("streamtype", "stdin"), ("port", "80")]);
        reader.push(&frame);
        let [Frame::Begin { stream: got, headers, last: false }] = &read_all(&mut reader)[..] else { panic!() };
        assert_eq!((*got, headers.get("streamtype"), headers.get("port")), (stream, Some("stdin"), Some("80")));
        assert_eq!(headers.iter().count(), 2);
    }
    let likely = [("content-type", "text/html"), ("accept-encoding", "gzip,deflate"), ("if-modified-since", "")];
    let first = Writer::default().begin(1, &likely).len();
    let plain: usize = likely.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(first < plain, "the dictionary is used: {first} of {plain}");
    reader.push(&writer.reply(1));
    assert_eq!(read_all(&mut reader), [Frame::Reply { stream: 1, last: false }]);
}

#[test]
fn a_block_of_a_stock_library_is_read() {
    // What Go's compress/zlib writes for {Streamtype: [error], Port: [8080]} with the draft's dictionary, as
    // moby/spdystream frames it: a header of 8 bytes, stream 1, no association, and the block.
    let frame = include_bytes!("spdy/stock.bin");
    let mut reader = Reader::default();
    reader.push(frame);
    let [Frame::Begin { stream: 1, headers, .. }, Frame::Begin { stream: 3, headers: second, .. }] =
        &read_all(&mut reader)[..]
    else {
        panic!()
    };
    assert_eq!((headers.get("streamtype"), headers.get("port")), (Some("error"), Some("8080")));
    assert_eq!((second.get("streamtype"), second.get("requestid")), (Some("data"), Some("7")));
}

#[test]
fn a_long_frame_comes_in_pieces_and_ends_once() {
    let mut reader = Reader::default();
    let frame = data(7, &[1; 100], true);
    reader.push(&frame[..50]);
    let Some(Frame::Data { bytes, last: false, .. }) = reader.frame().unwrap() else { panic!() };
    assert_eq!(bytes.len(), 42);
    assert_eq!(reader.frame(), Ok(None));
    reader.push(&frame[50..]);
    let Some(Frame::Data { bytes, last: true, .. }) = reader.frame().unwrap() else { panic!() };
    assert_eq!(bytes.len(), 58);
    assert_eq!(data(7, &[], true), [0, 0, 0, 7, 1, 0, 0, 0]);
}

#[test]
fn what_breaks_the_protocol_is_an_error() {
    let error = |bytes: &[u8]| {
        let mut reader = Reader::default();
        reader.push(bytes);
        reader.frame().unwrap_err()
    };
    assert_eq!(error(&[0x80, 2, 0, 1, 0, 0, 0, 0]), Error::Version(2));
    assert_eq!(error(&[0x80, 3, 0, 1, 0, 1, 0, 1]), Error::TooLong(65537));
    assert_eq!(error(&[0x80, 3, 0, 1, 0, 0, 0, 0]), Error::Short(1));
    assert_eq!(error(&[0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]), Error::NoStream(3));
    assert_eq!(error(&[0, 0, 0, 0, 0, 0, 0, 0]), Error::NoStream(0));
    let garbage = control(SYN_STREAM, 0, &[&[0, 0, 0, 1][..], &[0; 6], b"no zlib at all"].concat());
    assert!(matches!(error(&garbage), Error::Headers(_)));
}

#[test]
fn headers_that_unpack_without_end_are_refused() {
    let large = "x".repeat(HEADERS_LIMIT);
    let frame = Writer::default().begin(1, &[("a", &large)]);
    assert!(frame.len() < 1000);
    let mut reader = Reader::default();
    reader.push(&frame);
    assert_eq!(reader.frame(), Err(Error::Headers("they are too long")));
}

#[test]
fn small_frames_are_what_they_were() {
    let mut reader = Reader::default();
    for frame in [ping(5), reset(3, Reset::Cancel), go_away(0), vec![0x80, 3, 0, 9, 0, 0, 0, 0]] {
        reader.push(&frame);
    }
    assert_eq!(read_all(&mut reader), [Frame::Ping(5), Frame::Reset { stream: 3 }, Frame::GoAway, Frame::Other]);
}

proptest! {
    #[test]
    fn any_cut_of_the_bytes_gives_the_same_frames(
        pieces in prop::collection::vec((1_u32..9, prop::collection::vec(any::<u8>(), 0..200), any::<bool>()), 1..8),
        cut in 1_usize..64,
    ) {
        let mut writer = Writer::default();
        let mut bytes = Vec::new();
        for (stream, body, last) in &pieces {
            bytes.extend(writer.begin(*stream, &[("n", &body.len().to_string())]));
            bytes.extend(data(*stream, body, *last));
        }
        let mut reader = Reader::default();
        let mut bodies: Vec<(u32, Vec<u8>, bool)> = Vec::new();
        for part in bytes.chunks(cut) {
            reader.push(part);
            for frame in read_all(&mut reader) {
                match frame {
                    Frame::Begin { stream, headers, .. } => {
                        prop_assert!(headers.get("n").is_some());
                        bodies.push((stream, Vec::new(), false));
                    }
                    Frame::Data { bytes, last, .. } => {
                        let body = bodies.last_mut().unwrap();
                        body.1.extend_from_slice(&bytes);
                        body.2 |= last;
                    }
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
        prop_assert_eq!(bodies, pieces);
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(bytes: Vec<u8>) {
        let mut reader = Reader::default();
        reader.push(&bytes);
        while let Ok(Some(_)) = reader.frame() {}
    }
}
