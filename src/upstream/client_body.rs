//! The body of a client's request as it comes off its connection, whichever HTTP that speaks.
//!
//! Not here: how long it may take and how much of it is kept ([`super::upload`]).

use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

/// A client's body.
#[derive(Debug)]
pub enum ClientBody {
    /// What follows the head is no body.
    None,
    Http1(Incoming),
    Http2(Streamed),
}

/// One stream's DATA and trailers. What was read of it is given back to its windows as it is asked for, and not before.
#[derive(Debug)]
pub struct Streamed {
    stream: RecvStream,
    /// What is to come of it, if that was said. That it is kept to is h2's to see.
    left: Option<u64>,
    /// Of what may follow now.
    data: Data,
    /// Until it was asked for.
    awaited: Option<Rc<Awaited>>,
}

/// A body that its client does not send before it is told to (`Expect: 100-continue`).
#[derive(Debug, Default)]
pub struct Awaited {
    wanted: Cell<bool>,
    whom: RefCell<Option<Waker>>,
}

impl Awaited {
    /// Whoever takes the body waits for it, and nothing of it is there.
    fn want(&self) {
        self.wanted.set(true);
        if let Some(whom) = self.whom.take() {
            whom.wake();
        }
    }

    /// Whether it is wanted since this was last asked; whoever asks is woken when it is.
    pub fn is_wanted(&self, cx: &Context<'_>) -> bool {
        let wanted = self.wanted.take();
        if !wanted {
            self.whom.replace(Some(cx.waker().clone()));
        }
        wanted
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    MayFollow,
    IsOver,
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
#[error("the client's request body broke off")]
pub enum Broken {
    Http1(#[source] hyper::Error),
    Http2(#[source] h2::Error),
}

impl ClientBody {
    /// That of a stream whose head had those fields; and whom to ask whether its client is to be told to send it, if that waits for it.
    pub fn streamed(stream: RecvStream, fields: &HeaderMap) -> (ClientBody, Option<Rc<Awaited>>) {
        let awaits = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        let awaits = !stream.is_end_stream() && fields.get(header::EXPECT).is_some_and(awaits);
        let awaited: Option<Rc<Awaited>> = awaits.then(Rc::default);
        let length = fields.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let streamed = Streamed { stream, left: length, data: Data::MayFollow, awaited: awaited.clone() };
        (ClientBody::Http2(streamed), awaited)
    }
}

impl Streamed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if self.data == Data::MayFollow {
            let Poll::Ready(polled) = self.stream.poll_data(cx) else {
                if let Some(awaited) = self.awaited.take() {
                    awaited.want();
                }
                return Poll::Pending;
            };
            match polled {
                Some(Ok(piece)) => {
                    // An error means that the stream is over, and its windows with it.
                    let _ = self.stream.flow_control().release_capacity(piece.len());
                    self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                // RST_STREAM with whatever code: what came is not all of it.
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data = Data::IsOver,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            ClientBody::None => Poll::Ready(None),
            ClientBody::Http1(incoming) => Pin::new(incoming).poll_frame(cx).map_err(Broken::Http1),
            ClientBody::Http2(streamed) => streamed.poll_frame(cx).map_err(Broken::Http2),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ClientBody::None => true,
            ClientBody::Http1(incoming) => incoming.is_end_stream(),
            ClientBody::Http2(streamed) => streamed.stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ClientBody::None => SizeHint::with_exact(0),
            ClientBody::Http1(incoming) => incoming.size_hint(),
            ClientBody::Http2(streamed) => streamed.size_hint(),
        }
    }
}
