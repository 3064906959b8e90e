//! Header blocks: names and values, compressed over the whole life of a connection.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Error, dictionary::DICTIONARY};

/// A header block is at most this long when it is unpacked: a small frame must not grow without bound.
pub const HEADERS_LIMIT: usize = 64 << 10;

/// Names in small letters, and their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Returns the first value of a header; `name` is in small letters.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.split('\0').next().unwrap_or_default())
    }

    /// Returns the names with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn read(block: &[u8]) -> Result<Headers, Error> {
        let mut rest = block;
        let count = number(&mut rest)?;
        let mut headers = Vec::new();
        for _ in 0..count {
            let name = text(&mut rest)?;
            let value = text(&mut rest)?;
            headers.push((name.to_ascii_lowercase(), value));
        }
        Ok(Headers(headers))
    }
}

fn number(rest: &mut &[u8]) -> Result<usize, Error> {
    let (head, tail) = rest.split_first_chunk::<4>().ok_or(Error::Headers("they are cut short"))?;
    *rest = tail;
    Ok(u32::from_be_bytes(*head) as usize)
}

fn text(rest: &mut &[u8]) -> Result<String, Error> {
    let length = number(rest)?;
    let (head, tail) = rest.split_at_checked(length).ok_or(Error::Headers("they are cut short"))?;
    *rest = tail;
    String::from_utf8(head.to_vec()).map_err(|_| Error::Headers("they are no text"))
}

/// The blocks that a peer sends.
pub(super) struct Inflated(Decompress);

impl Inflated {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    pub(super) fn read(&mut self, packed: &[u8]) -> Result<Headers, Error> {
        let mut block = Vec::with_capacity(4096);
        let begun = self.0.total_in();
        loop {
            let rest = &packed[(self.0.total_in() - begun) as usize..];
            let (before_in, before_out) = (self.0.total_in(), self.0.total_out());
            match self.0.decompress_vec(rest, &mut block, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => break,
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(DICTIONARY).map_err(|_| Error::Headers("they need another dictionary"))?;
                    continue;
                }
                Err(_) => return Err(Error::Headers("they are not compressed as agreed")),
            }
            if block.len() > HEADERS_LIMIT {
                return Err(Error::Headers("they are too long"));
            }
            if block.len() == block.capacity() {
                block.reserve(block.capacity());
            } else if (self.0.total_in(), self.0.total_out()) == (before_in, before_out)
                || self.0.total_in() - begun == packed.len() as u64
            {
                break;
            }
        }
        Headers::read(&block)
    }
}

/// The blocks that are sent to a peer.
pub(super) struct Deflated(Compress);

impl Deflated {
    pub(super) fn new() -> Self {
        let mut compress = Compress::new(Compression::default(), true);
        // It fails only on a stream that has begun.
        compress.set_dictionary(DICTIONARY).ok();
        Self(compress)
    }

    pub(super) fn write(&mut self, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut block = (headers.len() as u32).to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            block.extend_from_slice(&(text.len() as u32).to_be_bytes());
            block.extend_from_slice(text.as_bytes());
        }
        let mut packed = Vec::with_capacity(block.len() + 64);
        let begun = self.0.total_in();
        loop {
            let rest = &block[(self.0.total_in() - begun) as usize..];
            // Bytes in memory are always taken; a full buffer is made larger.
            if self.0.compress_vec(rest, &mut packed, FlushCompress::Sync).is_err() {
                return packed;
            }
            if packed.len() < packed.capacity() {
                return packed;
            }
            packed.reserve(packed.capacity());
        }
    }
}
