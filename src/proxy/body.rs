//! The body of a response to a client: an endpoint's, passed through, or a small one of ours.

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A response body on its way to a client.
#[derive(Debug)]
pub enum Body {
    Empty,
    Full(Option<Bytes>),
}

/// The body ended before its end: the client's must be cut too.
#[derive(Debug, thiserror::Error)]
#[error("the endpoint's response body ended early")]
pub struct BodyCut;

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        todo!()
    }

    fn size_hint(&self) -> SizeHint {
        todo!()
    }
}
