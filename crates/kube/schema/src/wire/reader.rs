//! Splits protobuf bytes into numbered items. It knows nothing of types: what a
//! number means stands in the table.

use super::Error;

/// One value as it travels.
#[derive(Debug)]
pub(super) enum Item<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
    /// A form that no type here has.
    Other,
}

impl<'a> Item<'a> {
    /// Returns the text that stands there.
    pub(super) fn text(&self, field: &str) -> Result<&'a str, Error> {
        match self {
            Item::Bytes(bytes) => text(field, bytes),
            _ => Err(Error::Field { field: field.to_owned(), why: "the bytes are of another type".into() }),
        }
    }
}

/// The bytes that are still to be read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// Returns the number that stands next.
    pub(super) fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Error::End)?;
            self.0 = rest;
            if shift == 63 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::Malformed("a number is longer than 64 bits"))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Error> {
        let length = usize::try_from(length).map_err(|_| Error::End)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Error::End)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Returns the next field's number and value; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Item<'a>)>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number >= 1 << 29 {
            return Err(Error::Malformed("a field number that does not exist"));
        }
        let item = match tag & 7 {
            0 => Item::Number(self.varint()?),
            1 => {
                let bytes = self.take(8)?;
                Item::Fixed(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
            }
            2 => {
                let length = self.varint()?;
                Item::Bytes(self.take(length)?)
            }
            3 => {
                self.skip_group()?;
                Item::Other
            }
            5 => {
                self.take(4)?;
                Item::Other
            }
            _ => return Err(Error::Malformed("a wire type that does not exist")),
        };
        Ok(Some((number, item)))
    }

    /// Passes over a group, of which no type here has one, to its end.
    fn skip_group(&mut self) -> Result<(), Error> {
        let mut open = 1_usize;
        while open > 0 {
            let tag = self.varint()?;
            match tag & 7 {
                0 => _ = self.varint()?,
                1 => _ = self.take(8)?,
                2 => {
                    let length = self.varint()?;
                    self.take(length)?;
                }
                3 => open += 1,
                4 => open -= 1,
                5 => _ = self.take(4)?,
                _ => return Err(Error::Malformed("a wire type that does not exist")),
            }
        }
        Ok(())
    }
}

/// Returns text, if the bytes are.
pub(super) fn text<'a>(field: &str, bytes: &'a [u8]) -> Result<&'a str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::Field { field: field.to_owned(), why: "not UTF-8".into() })
}

/// Returns the last item of a number in a small message.
pub(super) fn last(bytes: &[u8], wanted: u64) -> Result<Option<Item<'_>>, Error> {
    let mut reader = Reader(bytes);
    let mut found = None;
    while let Some((number, item)) = reader.next()? {
        if number == wanted {
            found = Some(item);
        }
    }
    Ok(found)
}
