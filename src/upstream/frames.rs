//! What comes over one stream of HTTP/2 after its head: DATA, and what follows it. Either side's.
//!
//! Not here: whose it is ([`super::client_body`], [`super::download`]).

use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, header};
use http_body::{Frame, SizeHint};
use std::task::{Context, Poll, ready};

/// One stream's DATA and trailers. What was read of it is given back to its windows as it is asked for, and not before.
#[derive(Debug)]
pub struct Frames {
    stream: RecvStream,
    /// What is to come of it, if that was said. That it is kept to is h2's to see.
    left: Option<u64>,
    /// Of what may follow now.
    data: Data,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    MayFollow,
    IsOver,
    /// And nothing else follows either, whatever becomes of the stream.
    AllIsOver,
}

impl Frames {
    /// Those after a head with those fields.
    pub fn new(stream: RecvStream, fields: &HeaderMap) -> Frames {
        let mut lengths = fields.get_all(header::CONTENT_LENGTH).iter();
        let length = lengths.next().and_then(|length| length.to_str().ok()?.parse().ok());
        // Of two lengths neither is believed.
        let left = length.filter(|_| lengths.next().is_none());
        let data = if stream.is_end_stream() { Data::AllIsOver } else { Data::MayFollow };
        Frames { stream, left, data }
    }

    /// An error is RST_STREAM, with whatever code, or the connection's end: what came is not all of it.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let polled = self.poll_next(cx);
        if self.stream.is_end_stream() || matches!(polled, Poll::Ready(None)) {
            self.data = Data::AllIsOver;
        }
        polled
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if self.data == Data::AllIsOver {
            return Poll::Ready(None);
        }
        if self.data == Data::MayFollow {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(piece)) => {
                    // An error means that the stream is over, and its windows with it.
                    let _ = self.stream.flow_control().release_capacity(piece.len());
                    self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data = Data::IsOver,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }

    /// Whether END_STREAM has come, and all before it was read.
    pub fn is_end_stream(&self) -> bool {
        self.data == Data::AllIsOver || self.stream.is_end_stream()
    }

    pub fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
