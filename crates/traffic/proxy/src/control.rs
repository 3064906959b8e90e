//! The control socket: status, metrics, stop, and the hand-over of the listeners to a successor.
//!
//! One JSON line asks, one answers. The socket lies in the data folder, which only its owner may enter.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::{fd::AsFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use routes::Scheme;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest},
    net::{UnixListener, UnixStream},
};
use tokio_util::sync::CancellationToken;

use crate::{
    error::Error,
    feed::Link,
    live::Shared,
    metrics::{exposition, totals},
    sockets::{Listening, descriptors, receive, send},
};

/// How long the other side may take for a line.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest line.
const LONGEST: u64 = 64 << 10;

/// What a proxy says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its process.
    pub pid: u32,
    /// Address of plain HTTP.
    pub http: Option<SocketAddr>,
    /// Address of HTTPS.
    pub https: Option<SocketAddr>,
    /// Counts the snapshots that this process put in force.
    pub generation: u64,
    /// Rules in force.
    pub rules: usize,
    /// Service ports that rules send to.
    pub backends: usize,
    /// What is known of the control plane.
    pub control_plane: Link,
    /// Connections that are open.
    pub connections: usize,
    /// Requests answered.
    pub requests: u64,
    /// Of these, with 500 and above.
    pub errors: u64,
    /// Requests that were sent again, or to another endpoint.
    pub retried: u64,
    /// Connections turned away because there were too many.
    pub turned_away: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "ask")]
enum Question {
    Status,
    Metrics,
    Stop,
    TakeOver,
}

/// The line that comes with the listeners.
#[derive(Serialize, Deserialize)]
struct Handed {
    listeners: Vec<Scheme>,
}

fn socket(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// What the control socket can do to the process.
pub(crate) struct Control {
    pub(crate) shared: Arc<Shared>,
    pub(crate) link: Arc<Mutex<Link>>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) https: Option<SocketAddr>,
    /// Second handles of the listeners, to give away.
    pub(crate) listening: Vec<Listening>,
    /// Ends the process's work.
    pub(crate) stop: CancellationToken,
    /// Is cancelled when the process is about to exit.
    pub(crate) gone: CancellationToken,
}

/// Takes the control socket's path; whoever had it keeps its own connections only.
pub(crate) fn bind(data: &Path) -> Result<UnixListener, Error> {
    let path = socket(data);
    let temporary = data.join(format!("control.{}", std::process::id()));
    let failed = |source| Error::BindControl { path: path.clone(), source };
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&temporary).map_err(failed)?;
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&temporary, &path).map_err(failed)?;
    Ok(listener)
}

/// Removes the socket's path; only for a process that has no successor.
pub(crate) fn unbind(data: &Path) {
    if let Err(error) = std::fs::remove_file(socket(data)) {
        tracing::debug!(%error, "failed to remove the control socket");
    }
}

/// Answers questions, one after the other, until the listeners are handed over.
pub(crate) async fn serve(listener: UnixListener, control: Control) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match tokio::time::timeout(PATIENCE, answer(stream, &control)).await {
                Ok(Ok(Next::Serve)) => {}
                Ok(Ok(Next::HandedOver)) => {
                    tracing::info!("a successor has the listeners; draining");
                    control.shared.succeeded.cancel();
                    control.stop.cancel();
                    return;
                }
                Ok(Ok(Next::Stop(stream))) => {
                    control.stop.cancel();
                    // Who asked learns of the end by the end of the connection.
                    control.gone.cancelled().await;
                    drop(stream);
                    return;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a control connection ended early"),
                Err(_) => tracing::debug!("a control connection took too long"),
            },
            Err(error) => {
                tracing::warn!(%error, "failed to accept on the control socket");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

enum Next {
    Serve,
    HandedOver,
    Stop(UnixStream),
}

async fn answer(stream: UnixStream, control: &Control) -> io::Result<Next> {
    let mut stream = BufReader::new(stream);
    let question = line(&mut stream).await?;
    match serde_json::from_str(&question)? {
        Question::Status => {
            let mut text = serde_json::to_vec(&control.status())?;
            text.push(b'\n');
            stream.write_all(&text).await?;
            Ok(Next::Serve)
        }
        Question::Metrics => {
            let text = exposition(&control.shared.meters.lock());
            stream.write_all(text.as_bytes()).await?;
            Ok(Next::Serve)
        }
        Question::Stop => Ok(Next::Stop(stream.into_inner())),
        Question::TakeOver => {
            let mut text =
                serde_json::to_vec(&Handed { listeners: control.listening.iter().map(|one| one.scheme).collect() })?;
            text.push(b'\n');
            let socket = stream.get_ref();
            socket
                .async_io(Interest::WRITABLE, || send(socket.as_fd(), &text, &descriptors(&control.listening)))
                .await?;
            // Only now do they belong to the other: if it fails before, this process goes on.
            line(&mut stream).await?;
            Ok(Next::HandedOver)
        }
    }
}

async fn line(stream: &mut BufReader<UnixStream>) -> io::Result<String> {
    let mut text = String::new();
    stream.take(LONGEST).read_line(&mut text).await?;
    if text.ends_with('\n') { Ok(text) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

impl Control {
    fn status(&self) -> Status {
        let live = self.shared.live();
        let (requests, errors) = totals(&self.shared.meters.lock());
        let counters = &self.shared.counters;
        Status {
            pid: std::process::id(),
            http: self.http,
            https: self.https,
            generation: live.generation,
            rules: live.snapshot.rules(),
            backends: live.snapshot.backends.len(),
            control_plane: self.link.lock().clone(),
            connections: counters.open.load(Ordering::Relaxed),
            requests,
            errors,
            retried: counters.retried.load(Ordering::Relaxed),
            turned_away: counters.turned_away.load(Ordering::Relaxed),
            handshakes_failed: counters.handshakes_failed.load(Ordering::Relaxed),
        }
    }
}

async fn ask(data: &Path, question: &Question) -> Result<UnixStream, Error> {
    let path = socket(data);
    let failed = |source: io::Error| Error::Ask { path: path.clone(), source };
    let mut text = serde_json::to_vec(question).map_err(|source| Error::Understand { path: path.clone(), source })?;
    text.push(b'\n');
    let mut stream = UnixStream::connect(&path).await.map_err(failed)?;
    stream.write_all(&text).await.map_err(failed)?;
    Ok(stream)
}

async fn rest(data: &Path, mut stream: UnixStream) -> Result<String, Error> {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.map_err(|source| Error::Ask { path: socket(data), source })?;
    Ok(text)
}

/// Returns what the proxy of this data folder says of itself.
pub async fn status(data: &Path) -> Result<Status, Error> {
    let text = rest(data, ask(data, &Question::Status).await?).await?;
    serde_json::from_str(&text).map_err(|source| Error::Understand { path: socket(data), source })
}

/// Returns the metrics of the proxy of this data folder, as Prometheus text.
pub async fn metrics(data: &Path) -> Result<String, Error> {
    rest(data, ask(data, &Question::Metrics).await?).await
}

/// Stops the proxy of this data folder: it drains; returns when it has ended.
pub async fn stop(data: &Path) -> Result<(), Error> {
    rest(data, ask(data, &Question::Stop).await?).await.map(|_| ())
}

/// Listeners on their way from a predecessor.
pub(crate) struct Takeover {
    stream: UnixStream,
    pub(crate) listening: Vec<Listening>,
}

/// Asks a predecessor with the same data folder for its listeners; `None` if there is none.
pub(crate) async fn take_over(data: &Path) -> Option<Takeover> {
    let stream = ask(data, &Question::TakeOver).await.ok()?;
    let mut buffer = vec![0; LONGEST as usize];
    let received = stream.async_io(Interest::READABLE, || receive(stream.as_fd(), &mut buffer));
    match tokio::time::timeout(PATIENCE, received).await {
        Ok(Ok((bytes, sockets))) => {
            let handed: Handed = serde_json::from_slice(&buffer[..bytes])
                .ok()
                .filter(|handed: &Handed| handed.listeners.len() == sockets.len())?;
            let listening = handed
                .listeners
                .into_iter()
                .zip(sockets)
                .map(|(scheme, socket)| Listening { scheme, listener: TcpListener::from(socket) });
            Some(Takeover { stream, listening: listening.collect() })
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "failed to take over from the running proxy");
            None
        }
        Err(_) => {
            tracing::warn!("the running proxy does not answer");
            None
        }
    }
}

impl Takeover {
    /// Tells the predecessor that this process accepts now.
    pub(crate) async fn confirm(mut self, data: &Path) -> Result<(), Error> {
        self.stream.write_all(b"\"taken\"\n").await.map_err(|source| Error::Ask { path: socket(data), source })
    }
}
