//! Bodies on their way, and the upstream connection that comes back when one has passed.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::pool::Lease;

/// A request's body towards an endpoint.
pub(crate) enum Sent {
    /// What the client sends.
    Streamed(Incoming),
    /// Nothing.
    Empty,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Sent::Streamed(incoming) => Pin::new(incoming).poll_frame(cx),
            Sent::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Sent::Streamed(incoming) => incoming.is_end_stream(),
            Sent::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Sent::Streamed(incoming) => incoming.size_hint(),
            Sent::Empty => SizeHint::with_exact(0),
        }
    }
}

/// An answer's body towards the client.
pub(crate) enum Answered {
    /// What the endpoint sends; its connection goes back to the pool at the end.
    Streamed {
        /// The body.
        incoming: Incoming,
        /// The connection it comes from.
        lease: Option<Lease>,
    },
    /// The proxy's own words.
    Own(Option<Bytes>),
}

impl Body for Answered {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Answered::Streamed { incoming, lease } => {
                let frame = std::task::ready!(Pin::new(&mut *incoming).poll_frame(cx));
                match &frame {
                    Some(Ok(_)) if !incoming.is_end_stream() => {}
                    Some(Err(_)) => *lease = None,
                    Some(Ok(_)) | None => {
                        if let Some(lease) = lease.take() {
                            lease.give_back();
                        }
                    }
                }
                Poll::Ready(frame)
            }
            Answered::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answered::Streamed { incoming, .. } => incoming.is_end_stream(),
            Answered::Own(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answered::Streamed { incoming, .. } => incoming.size_hint(),
            Answered::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}
