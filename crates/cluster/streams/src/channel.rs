//! Channels in WebSocket messages: `channel.k8s.io` and its later versions, binary or in base64.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

/// The first byte of a message that closes the channel that its second byte names.
const CLOSE: u8 = 255;

/// One of the protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name in `Sec-WebSocket-Protocol`; empty if the client asks for none.
    pub name: &'static str,
    form: Form,
    /// A client may close one channel and go on with the others.
    half_close: bool,
    /// A command's end comes as a `Status` in JSON, and not as a sentence.
    pub tells_status: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Binary,
    Base64,
}

/// The protocols of commands: exec and attach.
pub const COMMANDS: &[Protocol] = &[
    Protocol { name: "v5.channel.k8s.io", form: Form::Binary, half_close: true, tells_status: true },
    Protocol { name: "v4.channel.k8s.io", form: Form::Binary, half_close: false, tells_status: true },
    Protocol { name: "v4.base64.channel.k8s.io", form: Form::Base64, half_close: false, tells_status: true },
    Protocol { name: "channel.k8s.io", form: Form::Binary, half_close: false, tells_status: false },
    Protocol { name: "base64.channel.k8s.io", form: Form::Base64, half_close: false, tells_status: false },
    Protocol { name: "", form: Form::Binary, half_close: false, tells_status: false },
];

/// The protocols of forwarded ports: two channels for each, data and error.
pub const PORTS: &[Protocol] = &[
    Protocol { name: "v4.channel.k8s.io", form: Form::Binary, half_close: false, tells_status: false },
    Protocol { name: "v4.base64.channel.k8s.io", form: Form::Base64, half_close: false, tells_status: false },
    Protocol { name: "", form: Form::Binary, half_close: false, tells_status: false },
];

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Bytes for a channel.
    Data(u8, Bytes),
    /// Nothing more will come on a channel.
    Close(u8),
}

/// Why a message makes no sense; the connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The close signal is followed by exactly one byte.
    #[error("a close signal names one channel, and here are {0} bytes")]
    Close(usize),
    /// A client of the base64 form sent something else.
    #[error("the bytes of channel {0} are not in base64")]
    Base64(u8),
}

impl Protocol {
    /// Returns the first of the client's wishes that is among `known`, or `None` if it wishes for others alone.
    pub fn choose(known: &'static [Protocol], wishes: &[String]) -> Option<&'static Protocol> {
        if wishes.is_empty() {
            return known.iter().find(|protocol| protocol.name.is_empty());
        }
        wishes.iter().find_map(|wish| known.iter().find(|protocol| protocol.name == wish && !wish.is_empty()))
    }

    /// Reads a message; an empty one says nothing.
    pub fn decode(&self, message: &Bytes) -> Result<Option<Message>, Error> {
        let Some(&first) = message.first() else { return Ok(None) };
        if self.half_close && first == CLOSE {
            return match message.len() {
                2 => Ok(Some(Message::Close(message[1]))),
                other => Err(Error::Close(other - 1)),
            };
        }
        let rest = message.slice(1..);
        Ok(Some(match self.form {
            Form::Binary => Message::Data(first, rest),
            Form::Base64 => {
                let channel = first.wrapping_sub(b'0');
                let bytes = STANDARD.decode(&rest).map_err(|_| Error::Base64(channel))?;
                Message::Data(channel, bytes.into())
            }
        }))
    }

    /// Returns the message that carries `bytes` on `channel`.
    pub fn encode(&self, channel: u8, bytes: &[u8]) -> Bytes {
        match self.form {
            Form::Binary => {
                let mut message = Vec::with_capacity(bytes.len() + 1);
                message.push(channel);
                message.extend_from_slice(bytes);
                message.into()
            }
            Form::Base64 => {
                let mut message = vec![b'0'.wrapping_add(channel)];
                message.extend_from_slice(STANDARD.encode(bytes).as_bytes());
                message.into()
            }
        }
    }

    /// Returns whether its messages are text.
    pub fn is_text(&self) -> bool {
        self.form == Form::Base64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(name: &str) -> &'static Protocol {
        COMMANDS.iter().find(|protocol| protocol.name == name).unwrap()
    }

    #[test]
    fn the_clients_order_decides_and_what_is_unknown_is_passed_over() {
        let choose = |wishes: &[&str]| {
            let wishes: Vec<String> = wishes.iter().map(|&wish| wish.to_owned()).collect();
            Protocol::choose(COMMANDS, &wishes).map(|protocol| protocol.name)
        };
        assert_eq!(choose(&["v9.channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"]), Some("v4.channel.k8s.io"));
        assert_eq!(choose(&[]), Some(""));
        assert_eq!(choose(&["", "nothing"]), None);
    }

    #[test]
    fn only_the_fifth_version_closes_a_channel() {
        let close = Bytes::from_static(&[255, 0]);
        assert_eq!(named("v5.channel.k8s.io").decode(&close), Ok(Some(Message::Close(0))));
        let data = Message::Data(255, Bytes::from_static(&[0]));
        assert_eq!(named("v4.channel.k8s.io").decode(&close), Ok(Some(data)));
        assert_eq!(named("v5.channel.k8s.io").decode(&Bytes::from_static(&[255])), Err(Error::Close(0)));
        assert_eq!(named("v5.channel.k8s.io").decode(&Bytes::new()), Ok(None));
    }

    #[test]
    fn base64_names_its_channel_with_a_digit() {
        let protocol = named("v4.base64.channel.k8s.io");
        assert_eq!(protocol.encode(1, b"foo\n"), "1Zm9vCg==");
        let told = protocol.decode(&Bytes::from_static(b"0Zm9vCg=="));
        assert_eq!(told, Ok(Some(Message::Data(0, Bytes::from_static(b"foo\n")))));
        assert_eq!(protocol.decode(&Bytes::from_static(b"0!")), Err(Error::Base64(0)));
    }

    proptest! {
        #[test]
        fn what_is_said_is_understood(channel in 0_u8..10, bytes: Vec<u8>) {
            for protocol in COMMANDS.iter().chain(PORTS) {
                let told = protocol.decode(&protocol.encode(channel, &bytes)).unwrap();
                prop_assert_eq!(told, Some(Message::Data(channel, bytes.clone().into())));
            }
        }
    }
}
