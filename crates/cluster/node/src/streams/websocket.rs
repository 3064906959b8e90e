//! WebSockets: their messages, and those that carry the bytes of another protocol.

use std::{io, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use futures::{SinkExt, Stream, StreamExt, stream::SplitSink};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

/// How often a client is asked whether it is still there.
pub(super) const PING: Duration = Duration::from_secs(5);

/// Returns a message's bytes, or `None` for one that says nothing.
pub(super) fn bytes(message: Message) -> Option<Bytes> {
    match message {
        Message::Binary(bytes) => Some(bytes),
        Message::Text(text) => Some(text.into()),
        _ => None,
    }
}

/// Ends a conversation as one ends that went well: clients take any other end for an accident.
pub(super) async fn close(sink: &mut SplitSink<WebSocket, Message>) -> io::Result<()> {
    let normal = CloseFrame { code: close_code::NORMAL, reason: "".into() };
    sink.send(Message::Close(Some(normal))).await.map_err(io::Error::other)?;
    sink.close().await.map_err(io::Error::other)
}

/// The messages of a client until it goes.
pub(super) fn received(
    messages: impl Stream<Item = Result<Message, axum::Error>>,
) -> impl Stream<Item = io::Result<Bytes>> {
    messages
        .take_while(|message| std::future::ready(!matches!(message, Ok(Message::Close(_)) | Err(_))))
        .filter_map(|message| std::future::ready(message.ok().and_then(bytes)))
        .map(Ok)
}

/// Returns a WebSocket as the bytes in its messages, both ways.
pub(super) fn tunnel(socket: WebSocket) -> (impl AsyncRead + Send + Unpin, impl AsyncWrite + Send + Unpin) {
    let (sink, stream) = socket.split();
    let sink: SplitSink<WebSocket, Message> = sink;
    let sink = sink
        .sink_map_err(io::Error::other)
        .with(|bytes: Bytes| std::future::ready(Ok::<_, io::Error>(Message::Binary(bytes))));
    (StreamReader::new(received(stream)), SinkWriter::new(CopyToBytes::new(sink)))
}
