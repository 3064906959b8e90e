//! What a client goes on sending after it was answered: read on and thrown away, within bounds.
//!
//! A connection that is closed while its client still writes is reset, and a client that
//! reads when it has written never sees why: the refusal of a body that is too large
//! would be lost. Nothing that is thrown away is kept in memory.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::HttpBody;
use bytes::Bytes;
use http::{Request, Version, header};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::sync::mpsc;

/// How many bytes more of one body are read; then the connection is closed.
const AT_MOST: usize = 16 << 20;
/// How long they are read.
const WITHIN: Duration = Duration::from_secs(5);

/// A request's body; what is not read of it when it is dropped goes to its connection's [`Rest`].
pub(super) struct Received {
    body: Option<Incoming>,
    /// `None` where what is not read may be dropped: HTTP/2 ends one stream, not the connection, and
    /// who waits to be told to go on has sent nothing.
    left: Option<mpsc::Sender<Incoming>>,
}

/// Reads what is left of the bodies of one connection.
pub(super) struct Rest(mpsc::Receiver<Incoming>);

/// Returns what a connection's requests leave their bodies to, and what reads them on.
pub(super) fn rest() -> (mpsc::Sender<Incoming>, Rest) {
    // HTTP/1 reads one body after the other.
    let (left, rest) = mpsc::channel(1);
    (left, Rest(rest))
}

/// Lets what is not read of a request's body be read on.
pub(super) fn receive(request: Request<Incoming>, left: &mpsc::Sender<Incoming>) -> Request<Received> {
    let reads_on = request.version() < Version::HTTP_2 && !request.headers().contains_key(header::EXPECT);
    request.map(|body| Received { body: Some(body), left: reads_on.then(|| left.clone()) })
}

impl Rest {
    /// Reads on, one body after the other, and never ends: the connection does.
    pub(super) async fn read(mut self) -> std::convert::Infallible {
        while let Some(body) = self.0.recv().await {
            // Dropped here, what is still to come closes the connection.
            let _ = tokio::time::timeout(WITHIN, discard(body, AT_MOST)).await;
        }
        std::future::pending().await
    }
}

/// Reads a body to its end, or until more than `most` bytes came.
async fn discard(mut body: impl HttpBody<Data = Bytes> + Unpin, most: usize) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > most {
            return;
        }
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let body = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Some(left)) = (body, &self.left) {
            // Full, or the connection has ended: then there is nobody to read on for.
            let _ = left.try_send(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::body::Body;
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn a_body_without_end_is_read_on_as_far_as_is_allowed() {
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = sent.clone();
        let endless = stream::repeat_with(move || {
            counted.fetch_add(1000, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(&[0; 1000]))
        });
        discard(Body::from_stream(endless), 64_500).await;
        assert_eq!(sent.load(Ordering::Relaxed), 65_000);
    }

    #[tokio::test]
    async fn a_short_body_is_read_to_its_end() {
        let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
        let sending = async move {
            for _ in 0..5 {
                sender.send(Ok(Bytes::from_static(b"more"))).await.unwrap();
            }
        };
        let body = Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receiver));
        let ((), ()) = tokio::join!(sending, discard(body, 1 << 20));
    }
}
