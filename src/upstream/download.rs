//! A response's body on its way from an endpoint, and whether it has ended or was cut.
//!
//! Not here: what is done about one that is cut (`proxy::held`, `proxy::resume`).

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a response.
#[derive(Debug)]
pub struct Download {
    incoming: Incoming,
    end: End,
}

/// How its end is known.
#[derive(Clone, Copy, Debug)]
enum End {
    /// hyper says so.
    Said,
    /// The endpoint has marked it (END_STREAM). hyper also says so where the stream was reset with NO_ERROR before that, or left behind by
    /// a GOAWAY with it: half a body that nobody has promised a length of would pass for the whole.
    Marked,
}

/// It breaks off.
#[derive(Debug, thiserror::Error)]
#[error("the endpoint's response body broke off")]
pub struct Broken;

impl Download {
    pub(super) fn of_http1(incoming: Incoming) -> Download {
        Download { incoming, end: End::Said }
    }

    pub(super) fn of_http2(incoming: Incoming) -> Download {
        Download { incoming, end: End::Marked }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Download { incoming, end } = &mut *self;
        Pin::new(&mut *incoming).poll_frame(context).map(|frame| match (frame, end) {
            (Some(frame), _) => Some(frame.map_err(|_| Broken)),
            (None, End::Marked) if !incoming.is_end_stream() => Some(Err(Broken)),
            (None, End::Marked | End::Said) => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.end {
            // A response to HEAD has a length and no body.
            End::Marked if self.incoming.is_end_stream() => SizeHint::with_exact(0),
            End::Marked | End::Said => self.incoming.size_hint(),
        }
    }
}
