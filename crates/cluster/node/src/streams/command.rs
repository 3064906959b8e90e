//! Commands and attached containers: between a client's channels or streams and the shim's pieces.

use std::{io, time::Duration};

use ::streams::{
    channel::{self, Message as Said, Protocol},
    outcome::Outcome,
    spdy::Reset,
};
use axum::extract::ws::{Message, WebSocket};
use base::clock;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::mpsc,
};

use super::{
    Transport,
    spdy::{Connection, Say, Stream, connection},
    websocket,
};
use crate::shim::protocol::{Ended, PIECE_LIMIT, Piece, Streams};

pub(super) const WEBSOCKETS: &[Protocol] = channel::COMMANDS;
pub(super) const SPDY: &[&str] = &["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// How long a client may take to open the streams that it asked for (the kubelet's).
const STREAMS_WITHIN: Duration = Duration::from_secs(30);
/// Pieces that wait for the other side.
const WAITING: usize = 16;

/// What a command says.
enum Output {
    Stdout(Bytes),
    Stderr(Bytes),
    Ended(Outcome),
}

/// A client's end of a command: dropping it tells that the client has gone.
struct Client {
    inputs: mpsc::Sender<Piece>,
    outputs: mpsc::Receiver<Output>,
}

/// Carries a command's streams between the client and the shim until one of them ends.
pub(super) async fn serve(
    transport: Transport,
    shim: UnixStream,
    wanted: Streams,
    failing: &'static str,
) -> io::Result<()> {
    let (inputs, from_client) = mpsc::channel(WAITING);
    let (to_client, outputs) = mpsc::channel(WAITING);
    let client = Client { inputs, outputs };
    let serve = Box::pin(async {
        match transport {
            Transport::WebSocket(socket, protocol) => over_websocket(socket, protocol, wanted, client).await,
            Transport::Spdy(io, protocol) => {
                let (read, write) = tokio::io::split(io);
                over_spdy(connection(read, write), protocol, wanted, client).await
            }
            // Commands are not tunnelled: the protocol is refused before.
            Transport::Tunnel(_) => Ok(()),
        }
    });
    let carry = async {
        carry(shim, from_client, to_client, failing).await;
        Ok(())
    };
    // A client that goes takes the connection to the shim with it, even while that takes nothing.
    beside(carry, serve).await
}

/// Carries pieces to and from the shim. Dropping the connection tells the shim that the client has gone.
async fn carry(
    shim: UnixStream,
    mut inputs: mpsc::Receiver<Piece>,
    outputs: mpsc::Sender<Output>,
    failing: &'static str,
) {
    let (mut from, mut to) = shim.into_split();
    let send = async {
        while let Some(piece) = inputs.recv().await {
            if to.write_all(&piece.encode()).await.is_err() {
                // The command has ended; its last words are on their way.
                std::future::pending::<()>().await;
            }
        }
    };
    let receive = async {
        let lost = || Output::Ended(Outcome::Failed(format!("{failing}: the pod's shim went away")));
        loop {
            let Some(piece) = read_piece(&mut from).await else {
                outputs.send(lost()).await.ok();
                return;
            };
            let output = match piece {
                Piece::Stdout(bytes) => Output::Stdout(bytes.into()),
                Piece::Stderr(bytes) => Output::Stderr(bytes.into()),
                Piece::Ended(Ended::Code(0)) => Output::Ended(Outcome::Success),
                Piece::Ended(Ended::Code(code)) => Output::Ended(Outcome::Exit(code)),
                Piece::Ended(Ended::Failed(why)) => Output::Ended(Outcome::Failed(format!("{failing}: {why}"))),
                _ => continue,
            };
            let last = matches!(output, Output::Ended(_));
            if outputs.send(output).await.is_err() || last {
                return;
            }
        }
    };
    tokio::select! {
        () = send => {}
        () = receive => {}
    }
}

async fn read_piece(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<Piece> {
    loop {
        let mut head = [0; 5];
        from.read_exact(&mut head).await.ok()?;
        let mut bytes = vec![0; Piece::length(head)?];
        from.read_exact(&mut bytes).await.ok()?;
        // A newer shim may say more than this node knows.
        if let Some(piece) = Piece::decode(head[0], bytes) {
            return Some(piece);
        }
    }
}

async fn over_websocket(
    socket: WebSocket,
    protocol: &'static Protocol,
    wanted: Streams,
    client: Client,
) -> io::Result<()> {
    let Client { inputs, mut outputs } = client;
    let (mut sink, stream) = socket.split();
    let message = |channel: u8, bytes: &[u8]| {
        let message = protocol.encode(channel, bytes);
        match std::str::from_utf8(&message) {
            Ok(text) if protocol.is_text() => Message::Text(text.into()),
            _ => Message::Binary(message),
        }
    };
    let read = async {
        let mut messages = std::pin::pin!(websocket::received(stream));
        while let Some(Ok(bytes)) = messages.next().await {
            let pieces = match protocol.decode(&bytes) {
                Ok(Some(Said::Data(STDIN, bytes))) if wanted.stdin => stdin(&bytes),
                Ok(Some(Said::Data(RESIZE, bytes))) => resized(&bytes),
                Ok(Some(Said::Close(STDIN))) => vec![Piece::StdinEnd],
                Ok(_) => continue,
                Err(error) => return Err(io::Error::other(error)),
            };
            for piece in pieces {
                if inputs.send(piece).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
        Ok(())
    };
    let write = async {
        // An empty message on the lowest channel tells that the command was begun.
        let first = if wanted.stdout {
            STDOUT
        } else if wanted.stderr {
            STDERR
        } else {
            ERROR
        };
        sink.send(message(first, &[])).await.map_err(io::Error::other)?;
        let mut ping = tokio::time::interval_at(clock::instant() + websocket::PING, websocket::PING);
        loop {
            let next = tokio::select! {
                output = outputs.recv() => match output {
                    Some(Output::Stdout(bytes)) => message(STDOUT, &bytes),
                    Some(Output::Stderr(bytes)) => message(STDERR, &bytes),
                    Some(Output::Ended(outcome)) => {
                        let told = outcome.told(protocol.tells_status);
                        if !told.is_empty() {
                            sink.send(message(ERROR, told.as_bytes())).await.map_err(io::Error::other)?;
                        }
                        return websocket::close(&mut sink).await;
                    }
                    None => return websocket::close(&mut sink).await,
                },
                _ = ping.tick() => Message::Ping(Bytes::new()),
            };
            sink.send(next).await.map_err(io::Error::other)?;
        }
    };
    tokio::select! {
        result = read => result,
        result = write => result,
    }
}

/// The streams of a command over SPDY.
#[derive(Default)]
struct Opened {
    error: Option<u32>,
    stdin: Option<Stream>,
    stdout: Option<u32>,
    stderr: Option<u32>,
    resize: Option<Stream>,
}

async fn over_spdy(
    (mut connection, driver): (Connection, impl Future<Output = io::Result<()>>),
    protocol: &'static str,
    wanted: Streams,
    client: Client,
) -> io::Result<()> {
    let Client { inputs, mut outputs } = client;
    let tells_status = protocol.starts_with("v4.");
    let resizes = wanted.tty && (tells_status || protocol.starts_with("v3."));
    let expected =
        1 + [wanted.stdin, wanted.stdout, wanted.stderr, resizes].into_iter().filter(|wanted| *wanted).count();
    let work = async move {
        let opened = tokio::time::timeout(STREAMS_WITHIN, open(&mut connection, expected)).await;
        let Ok(Some(opened)) = opened else {
            return Err(io::Error::other("timed out waiting for client to create streams"));
        };
        let say = connection.say.clone();
        let stdin = async {
            let Some(mut stream) = opened.stdin else { return };
            // The first version of the protocol closed its input at once; who speaks it expects none.
            while let Some(bytes) = stream.data.recv().await {
                for piece in self::stdin(&bytes) {
                    inputs.send(piece).await.ok();
                }
            }
            inputs.send(Piece::StdinEnd).await.ok();
        };
        let resize = async {
            let Some(mut stream) = opened.resize else { return };
            while let Some(bytes) = stream.data.recv().await {
                for piece in resized(&bytes) {
                    inputs.send(piece).await.ok();
                }
            }
        };
        let write = async {
            while let Some(output) = outputs.recv().await {
                let (stream, bytes) = match output {
                    Output::Stdout(bytes) => (opened.stdout, bytes),
                    Output::Stderr(bytes) => (opened.stderr, bytes),
                    Output::Ended(outcome) => (opened.error, outcome.told(tells_status).into()),
                };
                if let Some(stream) = stream.filter(|_| !bytes.is_empty()) {
                    say.send(Say::Data(stream, bytes)).await.ok();
                }
            }
            for stream in [opened.stdout, opened.stderr, opened.error].into_iter().flatten() {
                say.send(Say::Finish(stream)).await.ok();
            }
        };
        let inputs_over = async {
            tokio::join!(stdin, resize);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = inputs_over => {}
            () = write => {}
        }
        Ok(())
    };
    // When the work is done the driver sends what is left; when the client goes the work is dropped.
    beside(work, driver).await
}

/// Runs `work` beside the connection's driver until both are done, or the client has gone.
pub(super) async fn beside(
    work: impl Future<Output = io::Result<()>>,
    driver: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let mut driver = std::pin::pin!(driver);
    let worked = tokio::select! {
        worked = work => worked,
        gone = driver.as_mut() => return gone,
    };
    driver.await?;
    worked
}

/// Waits for the streams that the client asked for.
async fn open(connection: &mut Connection, expected: usize) -> Option<Opened> {
    let mut opened = Opened::default();
    for _ in 0..expected {
        let stream = loop {
            let stream = connection.accepted.recv().await?;
            if matches!(stream.headers.get("streamtype"), Some("error" | "stdin" | "stdout" | "stderr" | "resize")) {
                break stream;
            }
            connection.say.send(Say::Reset(stream.id, Reset::Refused)).await.ok();
        };
        match stream.headers.get("streamtype") {
            Some("error") => opened.error = Some(stream.id),
            Some("stdin") => opened.stdin = Some(stream),
            Some("stdout") => opened.stdout = Some(stream.id),
            Some("stderr") => opened.stderr = Some(stream.id),
            _ => opened.resize = Some(stream),
        }
    }
    Some(opened)
}

fn stdin(bytes: &[u8]) -> Vec<Piece> {
    bytes.chunks(PIECE_LIMIT).map(|chunk| Piece::Stdin(chunk.to_vec())).collect()
}

/// Reads the sizes in a message; one that makes no sense says nothing.
fn resized(bytes: &[u8]) -> Vec<Piece> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Size {
        width: u16,
        height: u16,
    }
    let sizes = serde_json::Deserializer::from_slice(bytes).into_iter::<Size>();
    sizes.map_while(Result::ok).map(|Size { width, height }| Piece::Resize { width, height }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_nonsense_is_passed_over() {
        let size = |width, height| Piece::Resize { width, height };
        assert_eq!(resized(b"{\"Width\":80,\"Height\":24}\n{\"Width\":1,\"Height\":2}"), [size(80, 24), size(1, 2)]);
        assert_eq!(resized(b"{\"Width\":-1}"), []);
    }

    #[test]
    fn a_large_input_is_cut_into_pieces() {
        let pieces = stdin(&vec![7; PIECE_LIMIT + 1]);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[1], Piece::Stdin(vec![7]));
    }
}
