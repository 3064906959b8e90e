//! A worker: one thread, one runtime, its own listeners and its own connections to endpoints.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::FutureExt;
use http::Request;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use routes::Scheme;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::{
    forward::{Origin, handle, tunnel},
    live::Shared,
    metrics::Meter,
    pool::Pool,
    sockets::Listening,
};

/// How often idle connections to endpoints are looked through.
const SWEEP: Duration = Duration::from_secs(5);
/// How long to wait when the system has no descriptor left for a connection.
const BREATHER: Duration = Duration::from_millis(20);
/// The most streams of one HTTP/2 connection at a time.
const STREAMS: u32 = 256;

/// What the tasks of one thread share.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Rc<Pool>,
    pub(crate) meter: Arc<Meter>,
    /// The destination of requests that have none.
    pub(crate) nowhere: Arc<str>,
    acceptor: TlsAcceptor,
    tracker: TaskTracker,
}

impl Worker {
    /// Joins the two sides of an upgraded connection.
    pub(crate) fn join(&self, ours: hyper::upgrade::OnUpgrade, theirs: hyper::upgrade::OnUpgrade) {
        self.tracker.spawn_local(async move {
            if let Err(error) = tunnel(ours, theirs).await {
                tracing::debug!(%error, "an upgraded connection ended");
            }
        });
    }
}

impl Shared {
    /// Counts a request that had to be sent again.
    pub(crate) fn count_retry(&self) {
        self.counters.retried.fetch_add(1, Ordering::Relaxed);
    }
}

/// Serves `listening` until the process leaves and every connection has ended.
pub(crate) async fn run(
    shared: Arc<Shared>,
    tls: Arc<rustls::ServerConfig>,
    listening: Vec<Listening>,
) -> std::io::Result<()> {
    let meter = Arc::new(Meter::default());
    shared.meters.lock().push(meter.clone());
    let worker = Rc::new(Worker {
        shared: shared.clone(),
        pool: Rc::new(Pool::default()),
        meter,
        nowhere: "-/-".into(),
        acceptor: TlsAcceptor::from(tls),
        tracker: TaskTracker::new(),
    });
    let listeners = listening
        .into_iter()
        .map(|one| {
            one.listener.set_nonblocking(true)?;
            Ok((one.scheme, TcpListener::from_std(one.listener)?))
        })
        .collect::<std::io::Result<Vec<_>>>()?;
    let accepting =
        futures::future::join_all(listeners.into_iter().map(|(scheme, listener)| accept(&worker, scheme, listener)));
    let mut accepting = pin!(accepting.fuse());
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            _ = &mut accepting => break,
            _ = sweep.tick() => worker.pool.sweep(),
        }
    }
    worker.tracker.close();
    worker.tracker.wait().await;
    Ok(())
}

async fn accept(worker: &Rc<Worker>, scheme: Scheme, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = worker.shared.leaving.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(worker, scheme, stream, peer),
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
    // With a successor the queue is the successor's. Without one, who is queued has been let in by the system already.
    while !worker.shared.succeeded.is_cancelled() {
        match listener.accept().now_or_never() {
            Some(Ok((stream, peer))) => admit(worker, scheme, stream, peer),
            _ => break,
        }
    }
}

fn admit(worker: &Rc<Worker>, scheme: Scheme, stream: TcpStream, peer: SocketAddr) {
    let counters = &worker.shared.counters;
    counters.accepted.fetch_add(1, Ordering::Relaxed);
    if worker.tracker.len() >= worker.shared.limits.connections {
        counters.turned_away.fetch_add(1, Ordering::Relaxed);
        return;
    }
    counters.open.fetch_add(1, Ordering::Relaxed);
    let open = Open(worker.clone());
    worker.tracker.spawn_local(async move {
        let worker = &open.0;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "a connection ended before it began");
            return;
        }
        let origin = Origin { peer, scheme };
        match scheme {
            Scheme::Http => http1_connection(worker, origin, stream).await,
            Scheme::Https => secure(worker, origin, stream).await,
        }
    });
}

/// Counts a connection for as long as it lives.
struct Open(Rc<Worker>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.shared.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn secure(worker: &Rc<Worker>, origin: Origin, stream: TcpStream) {
    let handshake = tokio::time::timeout(worker.shared.limits.handshake, worker.acceptor.accept(stream));
    let stream = match handshake.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            worker.shared.counters.handshakes_failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(peer = %origin.peer, %error, "a TLS handshake failed");
            return;
        }
        Err(_) => {
            worker.shared.counters.handshakes_failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2_connection(worker, origin, stream).await;
    } else {
        http1_connection(worker, origin, stream).await;
    }
}

async fn http1_connection(
    worker: &Rc<Worker>,
    origin: Origin,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let limits = worker.shared.limits;
    let service =
        service_fn(
            |request: Request<Incoming>| async move { Ok::<_, Infallible>(handle(worker, origin, request).await) },
        );
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = worker.shared.closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %origin.peer, %error, "a connection ended early");
    }
}

async fn http2_connection(
    worker: &Rc<Worker>,
    origin: Origin,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let limits = worker.shared.limits;
    let service = service_fn(|request: Request<Incoming>| {
        let worker = worker.clone();
        async move { Ok::<_, Infallible>(handle(&worker, origin, request).await) }
    });
    let connection = http2::Builder::new(Local)
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(limits.head)
        .adaptive_window(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = worker.shared.leaving.cancelled() => {
            // HTTP/2 has a farewell that loses no request.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %origin.peer, %error, "a connection ended early");
    }
}

/// Runs what HTTP/2 streams need on the worker's own thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
