//! SPDY/3.1 frames, as far as Kubernetes' clients speak it: streams with headers, data, resets, pings.
//!
//! Flow control is not part of it: the clients' library announces no windows and heeds none.

mod dictionary;
mod headers;

use bytes::{Buf, Bytes, BytesMut};

use headers::{Deflated, Inflated};
pub use headers::{HEADERS_LIMIT, Headers};

/// A control frame is at most this long; those of stock clients have a few hundred bytes.
pub const CONTROL_LIMIT: usize = 64 << 10;
/// The longest piece of data in one frame, by its 24 bits.
const DATA_LIMIT: usize = (1 << 24) - 1;
/// The version in control frames: 3.1 is told apart by the upgrade alone.
const VERSION: u16 = 3;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

const FIN: u8 = 1;

/// Why a stream is reset: one of the draft's status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The frame breaks the protocol.
    Protocol = 1,
    /// No such stream.
    Invalid = 2,
    /// The stream is not wanted.
    Refused = 3,
    /// The sender is done with it.
    Cancel = 5,
    /// The sender is at fault.
    Internal = 6,
}

/// What a peer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A stream begins; with `last` its sender says nothing more on it.
    Begin {
        /// The stream.
        stream: u32,
        /// What it is for.
        headers: Headers,
        /// Its sender has finished with it already.
        last: bool,
    },
    /// A stream was accepted.
    Reply {
        /// The stream.
        stream: u32,
        /// Its sender has finished with it already.
        last: bool,
    },
    /// Bytes of a stream. A long frame comes in pieces.
    Data {
        /// The stream.
        stream: u32,
        /// The bytes.
        bytes: Bytes,
        /// Nothing more comes on it.
        last: bool,
    },
    /// A stream is over at once.
    Reset {
        /// The stream.
        stream: u32,
    },
    /// To be sent back, if its number is the peer's.
    Ping(u32),
    /// The peer begins no more streams.
    GoAway,
    /// Something that needs no answer: settings, windows, later headers.
    Other,
}

/// Why the bytes of a peer make no sense; the connection ends with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another version of the protocol.
    #[error("a frame of SPDY version {0}")]
    Version(u16),
    /// Longer than any frame of its kind.
    #[error("a control frame of {0} bytes")]
    TooLong(usize),
    /// Too short for what its kind holds.
    #[error("a frame of type {0} is cut short")]
    Short(u16),
    /// Stream 0 is the connection.
    #[error("a frame of type {0} names no stream")]
    NoStream(u16),
    /// The header block cannot be read.
    #[error("the headers of a stream cannot be read: {0}")]
    Headers(&'static str),
}

/// Reads frames from bytes as they come.
pub struct Reader {
    held: BytesMut,
    inflated: Inflated,
    /// The data frame that is being read: its stream, bytes to come, and whether it is the last.
    open: Option<(u32, usize, bool)>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { held: BytesMut::new(), inflated: Inflated::new(), open: None }
    }
}

impl Reader {
    /// Takes bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Returns the next frame, or `None` if more bytes must come first.
    ///
    /// Never holds back more than [`CONTROL_LIMIT`] of what was pushed, if it is asked until `None`.
    pub fn frame(&mut self) -> Result<Option<Frame>, Error> {
        if let Some((stream, left, last)) = self.open {
            let take = left.min(self.held.len());
            if take == 0 {
                return Ok(None);
            }
            let bytes = self.held.split_to(take).freeze();
            let ended = take == left;
            self.open = (!ended).then_some((stream, left - take, last));
            return Ok(Some(Frame::Data { stream, bytes, last: last && ended }));
        }
        let Some(head) = self.held.first_chunk::<8>().copied() else { return Ok(None) };
        let length = usize::from(head[5]) << 16 | usize::from(head[6]) << 8 | usize::from(head[7]);
        let flags = head[4];
        if head[0] & 0x80 == 0 {
            let stream = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            if stream == 0 {
                return Err(Error::NoStream(0));
            }
            self.held.advance(8);
            let last = flags & FIN != 0;
            if length == 0 {
                return Ok(Some(Frame::Data { stream, bytes: Bytes::new(), last }));
            }
            self.open = Some((stream, length, last));
            return self.frame();
        }
        let version = u16::from_be_bytes([head[0] & 0x7f, head[1]]);
        if version != VERSION {
            return Err(Error::Version(version));
        }
        if length > CONTROL_LIMIT {
            return Err(Error::TooLong(length));
        }
        if self.held.len() < 8 + length {
            return Ok(None);
        }
        self.held.advance(8);
        let body = self.held.split_to(length).freeze();
        self.control(u16::from_be_bytes([head[2], head[3]]), flags, body).map(Some)
    }

    fn control(&mut self, kind: u16, flags: u8, mut body: Bytes) -> Result<Frame, Error> {
        let last = flags & FIN != 0;
        let needs = match kind {
            SYN_STREAM => 10,
            RST_STREAM => 8,
            SYN_REPLY | HEADERS | PING => 4,
            _ => 0,
        };
        if body.len() < needs {
            return Err(Error::Short(kind));
        }
        if needs == 0 {
            return Ok(if kind == GOAWAY { Frame::GoAway } else { Frame::Other });
        }
        let stream = body.get_u32() & 0x7fff_ffff;
        if kind == PING {
            return Ok(Frame::Ping(stream));
        }
        if stream == 0 {
            return Err(Error::NoStream(kind));
        }
        Ok(match kind {
            SYN_STREAM => {
                body.advance(6);
                Frame::Begin { stream, headers: self.inflated.read(&body)?, last }
            }
            // All blocks are one compressed stream: those that say nothing new are read too.
            SYN_REPLY => {
                self.inflated.read(&body)?;
                Frame::Reply { stream, last }
            }
            HEADERS => {
                self.inflated.read(&body)?;
                Frame::Other
            }
            _ => Frame::Reset { stream },
        })
    }
}

/// Writes frames; header blocks depend on those before them, so one writer is for one connection.
pub struct Writer {
    deflated: Deflated,
}

impl Default for Writer {
    fn default() -> Self {
        Self { deflated: Deflated::new() }
    }
}

impl Writer {
    /// Returns the frame that begins a stream.
    pub fn begin(&mut self, stream: u32, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut body = stream.to_be_bytes().to_vec();
        body.extend_from_slice(&[0; 6]);
        body.extend(self.deflated.write(headers));
        control(SYN_STREAM, 0, &body)
    }

    /// Returns the frame that accepts a stream.
    pub fn reply(&mut self, stream: u32) -> Vec<u8> {
        let mut body = stream.to_be_bytes().to_vec();
        body.extend(self.deflated.write(&[]));
        control(SYN_REPLY, 0, &body)
    }
}

/// Returns the frames that carry `bytes` on a stream; with `last`, nothing follows.
pub fn data(stream: u32, bytes: &[u8], last: bool) -> Vec<u8> {
    let mut frames = Vec::with_capacity(bytes.len() + 8);
    let mut rest = bytes;
    loop {
        let (piece, after) = rest.split_at(rest.len().min(DATA_LIMIT));
        frames.extend_from_slice(&(stream & 0x7fff_ffff).to_be_bytes());
        let fin = if last && after.is_empty() { FIN } else { 0 };
        frames.extend_from_slice(&length(fin, piece.len()));
        frames.extend_from_slice(piece);
        rest = after;
        if rest.is_empty() {
            return frames;
        }
    }
}

/// Returns the frame that ends a stream at once.
pub fn reset(stream: u32, why: Reset) -> Vec<u8> {
    let mut body = stream.to_be_bytes().to_vec();
    body.extend_from_slice(&(why as u32).to_be_bytes());
    control(RST_STREAM, 0, &body)
}

/// Returns the answer to a ping.
pub fn ping(number: u32) -> Vec<u8> {
    control(PING, 0, &number.to_be_bytes())
}

/// Returns the frame that says that no stream begins after `last`.
pub fn go_away(last: u32) -> Vec<u8> {
    let mut body = last.to_be_bytes().to_vec();
    body.extend_from_slice(&[0; 4]);
    control(GOAWAY, 0, &body)
}

fn control(kind: u16, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(8 + body.len());
    frame.extend_from_slice(&(0x8000 | VERSION).to_be_bytes());
    frame.extend_from_slice(&kind.to_be_bytes());
    frame.extend_from_slice(&length(flags, body.len()));
    frame.extend_from_slice(body);
    frame
}

fn length(flags: u8, length: usize) -> [u8; 4] {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    [flags, a, b, c]
}

#[cfg(test)]
#[path = "spdy_tests.rs"]
mod tests;
