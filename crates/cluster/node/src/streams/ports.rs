//! Forwarded ports: each connection of a client becomes one inside of the pod.

use std::{collections::HashMap, io};

use ::streams::{
    channel::{self, Message as Said, Protocol},
    spdy::Reset,
};
use axum::extract::ws::{Message, WebSocket};
use base::clock;
use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::mpsc,
};

use super::{
    Transport,
    command::beside,
    spdy::{Connection, Say, Stream, connection},
    websocket, words,
};
use crate::{sandbox::Shim, shim::protocol::Request};

pub(super) const WEBSOCKETS: &[Protocol] = channel::PORTS;
pub(super) const SPDY: &[&str] = &["portforward.k8s.io"];

const CHUNK: usize = 32 << 10;
const WAITING: usize = 16;

/// The pod whose ports they are.
pub(super) struct Target {
    pub(super) shim: Shim,
    pub(super) uid: String,
}

impl Target {
    async fn connect(&self, port: u16) -> Result<UnixStream, String> {
        let connected = self.shim.streams(&Request::Connect { port }).await;
        connected.map_err(|error| {
            format!("error forwarding port {port} to pod {}, uid {}: {}", self.uid, self.uid, words(&error))
        })
    }
}

/// Returns the protocol within a WebSocket that carries SPDY.
pub(super) fn tunnelled(wish: &str) -> Option<&str> {
    wish.strip_prefix("SPDY/3.1+").filter(|inner| inner.ends_with(".k8s.io"))
}

/// Reads the ports of a request.
pub(super) fn read(asked: &[&str]) -> Result<Vec<u16>, String> {
    if asked.is_empty() {
        return Err("query parameter \"port\" is required".to_owned());
    }
    let mut ports = Vec::new();
    for text in asked {
        if text.is_empty() {
            return Err("query parameter \"port\" cannot be empty".to_owned());
        }
        for port in text.split(',') {
            let port: u16 = port.parse().map_err(|error| format!("unable to parse {text:?} as a port: {error}"))?;
            if port == 0 {
                return Err(format!("port {text:?} must be > 0"));
            }
            ports.push(port);
        }
    }
    Ok(ports)
}

/// Forwards ports until the client goes.
pub(super) async fn serve(transport: Transport, target: Target, ports: Vec<u16>) -> io::Result<()> {
    match transport {
        Transport::WebSocket(socket, protocol) => over_websocket(socket, protocol, &target, &ports).await,
        Transport::Tunnel(socket) => {
            let (read, write) = websocket::tunnel(socket);
            over_spdy(connection(read, write), &target).await
        }
        Transport::Spdy(io, _) => {
            let (read, write) = tokio::io::split(io);
            over_spdy(connection(read, write), &target).await
        }
    }
}

async fn over_spdy(
    (mut connection, driver): (Connection, impl Future<Output = io::Result<()>>),
    target: &Target,
) -> io::Result<()> {
    let work = async move {
        let mut waiting: HashMap<String, Stream> = HashMap::new();
        let mut forwarding = FuturesUnordered::new();
        loop {
            let stream = tokio::select! {
                accepted = connection.accepted.recv() => match accepted {
                    Some(stream) => stream,
                    None => return Ok(()),
                },
                Some(()) = forwarding.next() => continue,
            };
            waiting.retain(|_, other| !other.reset.is_cancelled());
            let say = connection.say.clone();
            let Some((port, request)) = sort(&stream) else {
                say.send(Say::Reset(stream.id, Reset::Cancel)).await.ok();
                continue;
            };
            match waiting.remove(&request) {
                Some(other) if other.headers.get("streamtype") != stream.headers.get("streamtype") => {
                    let (data, error) = if stream.headers.get("streamtype") == Some("data") {
                        (stream, other)
                    } else {
                        (other, stream)
                    };
                    forwarding.push(forward(target, port, data, error, say));
                }
                Some(other) => {
                    let why = format!("error processing stream for request {request}: its stream is already assigned");
                    say.send(Say::Data(stream.id, why.into())).await.ok();
                    say.send(Say::Reset(stream.id, Reset::Cancel)).await.ok();
                    waiting.insert(request, other);
                }
                None => drop(waiting.insert(request, stream)),
            }
        }
    };
    beside(work, driver).await
}

/// Returns a stream's port and which request it belongs to, or `None` if it is of no use.
fn sort(stream: &Stream) -> Option<(u16, String)> {
    let port = stream.headers.get("port")?.parse().ok().filter(|port| *port > 0)?;
    let kind = stream.headers.get("streamtype").filter(|kind| matches!(*kind, "data" | "error"))?;
    let request = match stream.headers.get("requestid") {
        Some(request) => request.to_owned(),
        // Clients of old begin the error stream first, and the data stream directly after it.
        None if kind == "error" => stream.id.to_string(),
        None => stream.id.saturating_sub(2).to_string(),
    };
    Some((port, request))
}

/// Forwards one connection.
async fn forward(target: &Target, port: u16, mut data: Stream, error: Stream, say: mpsc::Sender<Say>) {
    let connected = match target.connect(port).await {
        Ok(connected) => connected,
        Err(why) => {
            say.send(Say::Data(error.id, why.into())).await.ok();
            for stream in [error.id, data.id] {
                say.send(Say::Finish(stream)).await.ok();
            }
            // The client's half is of no use either.
            say.send(Say::Reset(data.id, Reset::Cancel)).await.ok();
            return;
        }
    };
    let (mut from, mut to) = connected.into_split();
    let there = async {
        while let Some(bytes) = data.data.recv().await {
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        to.shutdown().await.ok();
        std::future::pending::<()>().await;
    };
    let back = async {
        let mut buffer = BytesMut::with_capacity(CHUNK);
        while from.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
            if say.send(Say::Data(data.id, buffer.split().freeze())).await.is_err() {
                return;
            }
            buffer.reserve(CHUNK);
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
        () = data.reset.cancelled() => {}
        () = error.reset.cancelled() => {}
    }
    for stream in [data.id, error.id] {
        say.send(Say::Finish(stream)).await.ok();
    }
}

/// Two channels for each port, data and error; the first message on each is the port's number.
async fn over_websocket(
    socket: WebSocket,
    protocol: &'static Protocol,
    target: &Target,
    ports: &[u16],
) -> io::Result<()> {
    let (mut sink, stream) = socket.split();
    let (say, mut said) = mpsc::channel::<(u8, Bytes)>(WAITING);
    let mut inputs = Vec::new();
    let forwarding = FuturesUnordered::new();
    for (index, port) in ports.iter().enumerate() {
        let (input, data) = mpsc::channel::<Bytes>(WAITING);
        inputs.push(input);
        let channel = (index * 2) as u8;
        for channel in [channel, channel + 1] {
            let first = protocol.encode(channel, &port.to_le_bytes());
            sink.send(message(protocol, first)).await.map_err(io::Error::other)?;
        }
        forwarding.push(forward_channel(target, *port, channel, data, say.clone()));
    }
    drop(say);
    let read = async {
        let mut messages = std::pin::pin!(websocket::received(stream));
        while let Some(Ok(bytes)) = messages.next().await {
            match protocol.decode(&bytes) {
                Ok(Some(Said::Data(channel, bytes))) if channel % 2 == 0 => {
                    if let Some(input) = inputs.get(usize::from(channel) / 2) {
                        input.send(bytes).await.ok();
                    }
                }
                Ok(_) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(())
    };
    let write = async {
        let mut ping = tokio::time::interval_at(clock::instant() + websocket::PING, websocket::PING);
        loop {
            let next = tokio::select! {
                said = said.recv() => match said {
                    Some((channel, bytes)) => message(protocol, protocol.encode(channel, &bytes)),
                    None => return websocket::close(&mut sink).await,
                },
                _ = ping.tick() => Message::Ping(Bytes::new()),
            };
            sink.send(next).await.map_err(io::Error::other)?;
        }
    };
    let forward = async {
        forwarding.collect::<Vec<()>>().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = read => result,
        result = write => result,
        () = forward => Ok(()),
    }
}

fn message(protocol: &Protocol, bytes: Bytes) -> Message {
    match std::str::from_utf8(&bytes) {
        Ok(text) if protocol.is_text() => Message::Text(text.into()),
        _ => Message::Binary(bytes),
    }
}

async fn forward_channel(
    target: &Target,
    port: u16,
    channel: u8,
    mut data: mpsc::Receiver<Bytes>,
    say: mpsc::Sender<(u8, Bytes)>,
) {
    let connected = match target.connect(port).await {
        Ok(connected) => connected,
        Err(why) => {
            say.send((channel + 1, why.into())).await.ok();
            return;
        }
    };
    let (mut from, mut to) = connected.into_split();
    let there = async {
        while let Some(bytes) = data.recv().await {
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let back = async {
        let mut buffer = BytesMut::with_capacity(CHUNK);
        while from.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
            if say.send((channel, buffer.split().freeze())).await.is_err() {
                return;
            }
            buffer.reserve(CHUNK);
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_the_kubelet_reads_them() {
        assert_eq!(read(&["80,8080", "1"]), Ok(vec![80, 8080, 1]));
        for (asked, why) in [(&[][..], "required"), (&[""], "empty"), (&["x"], "unable to parse"), (&["0"], "> 0")] {
            assert!(read(asked).unwrap_err().contains(why), "{asked:?}");
        }
        assert!(read(&["65536"]).is_err());
    }

    #[test]
    fn only_kubernetes_own_protocols_are_tunnelled() {
        assert_eq!(tunnelled("SPDY/3.1+portforward.k8s.io"), Some("portforward.k8s.io"));
        assert_eq!(tunnelled("SPDY/3.1+other"), None);
        assert_eq!(tunnelled("v4.channel.k8s.io"), None);
    }
}
