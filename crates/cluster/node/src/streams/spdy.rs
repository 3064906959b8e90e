//! A SPDY connection: its frames become streams, and what is said on streams becomes frames.
//!
//! It never keeps more of a stream than its reader leaves unread, and opens no stream itself.

use std::{collections::HashMap, io};

use ::streams::spdy::{self as wire, Frame, Headers, Reader, Reset, Writer};
use base::clock;
use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

use super::websocket::PING;

/// A client has at most this many streams at one time.
const MOST_STREAMS: usize = 1000;
/// Pieces of a stream that wait for their reader.
const WAITING: usize = 32;
/// Frames of the connection itself that wait to be sent; a client that reads none of them is let go.
const OWN_WAITING: usize = 256;
const CHUNK: usize = 32 << 10;
/// How long a client may take to hang up after all was said.
const HANG_UP: Duration = Duration::from_secs(5);

/// A stream that the client has begun.
pub(super) struct Stream {
    pub(super) id: u32,
    pub(super) headers: Headers,
    /// What comes on it, until its end.
    pub(super) data: mpsc::Receiver<Bytes>,
    /// Cancelled when the client ends it at once.
    pub(super) reset: CancellationToken,
}

/// Something to say.
#[derive(Debug)]
pub(super) enum Say {
    Data(u32, Bytes),
    /// Nothing more is said on a stream.
    Finish(u32),
    Reset(u32, Reset),
}

/// A connection. When every sender of `say` is gone, it ends.
pub(super) struct Connection {
    pub(super) accepted: mpsc::Receiver<Stream>,
    pub(super) say: mpsc::Sender<Say>,
}

/// What is sent for the connection itself.
enum Own {
    Reply(u32),
    Pong(u32),
    Reset(u32, Reset),
}

/// Returns a connection over bytes, and the work that has to be run for it.
pub(super) fn connection(
    read: impl AsyncRead + Unpin,
    write: impl AsyncWrite + Unpin,
) -> (Connection, impl Future<Output = io::Result<()>>) {
    let (accept, accepted) = mpsc::channel(WAITING);
    let (say, said) = mpsc::channel(WAITING);
    let (own, owned) = mpsc::channel(OWN_WAITING);
    let driver = async move {
        let mut receive = std::pin::pin!(receive(read, accept, own));
        let sent = tokio::select! {
            received = receive.as_mut() => return received,
            sent = send(write, said, owned) => sent,
        };
        // A client that is still writing must be able to read what was said last.
        tokio::time::timeout(HANG_UP, receive).await.ok();
        sent
    };
    (Connection { accepted, say }, driver)
}

async fn receive(
    mut read: impl AsyncRead + Unpin,
    accept: mpsc::Sender<Stream>,
    own: mpsc::Sender<Own>,
) -> io::Result<()> {
    let mut reader = Reader::default();
    let mut streams: HashMap<u32, (mpsc::Sender<Bytes>, CancellationToken)> = HashMap::new();
    let mut newest = 0;
    let mut buffer = vec![0; CHUNK];
    let tell = |what: Own| own.try_send(what).map_err(|_| io::Error::other("the client reads nothing"));
    loop {
        let n = read.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        reader.push(&buffer[..n]);
        while let Some(frame) = reader.frame().map_err(io::Error::other)? {
            match frame {
                Frame::Begin { stream: id, headers, last } => {
                    // Those whose reader has gone are done with.
                    streams.retain(|_, (data, _)| !data.is_closed());
                    if id % 2 == 0 || id <= newest {
                        tell(Own::Reset(id, Reset::Protocol))?;
                        continue;
                    }
                    newest = id;
                    if streams.len() >= MOST_STREAMS {
                        tell(Own::Reset(id, Reset::Refused))?;
                        continue;
                    }
                    let (data, receiver) = mpsc::channel(WAITING);
                    let reset = CancellationToken::new();
                    if !last {
                        streams.insert(id, (data, reset.clone()));
                    }
                    tell(Own::Reply(id))?;
                    if accept.send(Stream { id, headers, data: receiver, reset }).await.is_err() {
                        tell(Own::Reset(id, Reset::Refused))?;
                    }
                }
                Frame::Data { stream: id, bytes, last } => {
                    if let Some((data, _)) = streams.get(&id).filter(|_| !bytes.is_empty()) {
                        // Whoever read it may be gone; the rest is not wanted.
                        data.send(bytes).await.ok();
                    }
                    if last {
                        streams.remove(&id);
                    }
                }
                Frame::Reset { stream: id } => {
                    if let Some((_, reset)) = streams.remove(&id) {
                        reset.cancel();
                    }
                }
                // Numbers of the client are odd; the others answer those of this side.
                Frame::Ping(number) if number % 2 == 1 => tell(Own::Pong(number))?,
                Frame::Ping(_) | Frame::Reply { .. } | Frame::GoAway | Frame::Other => {}
            }
        }
    }
}

async fn send(
    mut write: impl AsyncWrite + Unpin,
    mut said: mpsc::Receiver<Say>,
    mut own: mpsc::Receiver<Own>,
) -> io::Result<()> {
    let mut writer = Writer::default();
    let mut ping = tokio::time::interval_at(clock::instant() + PING, PING);
    let mut number = 0;
    loop {
        let frame = tokio::select! {
            // A stream is accepted before anything is said on it.
            biased;
            Some(own) = own.recv() => match own {
                Own::Reply(stream) => writer.reply(stream),
                Own::Pong(number) => wire::ping(number),
                Own::Reset(stream, why) => wire::reset(stream, why),
            },
            said = said.recv() => match said {
                Some(Say::Data(stream, bytes)) => wire::data(stream, &bytes, false),
                Some(Say::Finish(stream)) => wire::data(stream, &[], true),
                Some(Say::Reset(stream, why)) => wire::reset(stream, why),
                None => {
                    write.write_all(&wire::go_away(0)).await?;
                    write.flush().await?;
                    return write.shutdown().await;
                }
            },
            _ = ping.tick() => {
                number += 2;
                wire::ping(number)
            }
        };
        write.write_all(&frame).await?;
        write.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn frames(io: &mut (impl AsyncRead + Unpin), reader: &mut Reader) -> Frame {
        let mut buffer = [0; 1024];
        loop {
            if let Some(frame) = reader.frame().unwrap() {
                return frame;
            }
            let n = io.read(&mut buffer).await.unwrap();
            assert_ne!(n, 0, "the connection ended");
            reader.push(&buffer[..n]);
        }
    }

    #[tokio::test]
    async fn streams_are_accepted_carried_and_refused_where_they_break_the_protocol() {
        let (client, server) = tokio::io::duplex(1 << 16);
        let (read, write) = tokio::io::split(server);
        let (mut connection, driver) = connection(read, write);
        let client = async {
            let (mut from, mut to) = tokio::io::split(client);
            let (mut reader, mut writer) = (Reader::default(), Writer::default());
            to.write_all(&writer.begin(1, &[("streamtype", "data")])).await.unwrap();
            assert_eq!(frames(&mut from, &mut reader).await, Frame::Reply { stream: 1, last: false });
            to.write_all(&wire::data(1, b"hello", true)).await.unwrap();
            let echo = Frame::Data { stream: 1, bytes: Bytes::from_static(b"hello"), last: false };
            assert_eq!(frames(&mut from, &mut reader).await, echo);
            to.write_all(&writer.begin(2, &[])).await.unwrap();
            assert_eq!(frames(&mut from, &mut reader).await, Frame::Reset { stream: 2 });
            to.write_all(&wire::ping(7)).await.unwrap();
            assert_eq!(frames(&mut from, &mut reader).await, Frame::Ping(7));
        };
        let echo = async {
            let mut stream = connection.accepted.recv().await.unwrap();
            assert_eq!(stream.headers.get("streamtype"), Some("data"));
            while let Some(bytes) = stream.data.recv().await {
                connection.say.send(Say::Data(stream.id, bytes)).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = client => {}
            () = echo => {}
            result = driver => panic!("{result:?}"),
        }
    }
}
