//! The body of a client's request as it comes off its connection, whichever HTTP that speaks.
//!
//! Not here: how long it may take and how much of it is kept ([`super::upload`]).

use super::frames::Frames;
use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A client's body.
#[derive(Debug)]
pub enum ClientBody {
    /// What follows the head is no body.
    None,
    Http1(Incoming),
    Http2(Streamed),
}

/// One stream's.
#[derive(Debug)]
pub struct Streamed {
    frames: Frames,
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
        let streamed = Streamed { frames: Frames::new(stream, fields), awaited: awaited.clone() };
        (ClientBody::Http2(streamed), awaited)
    }
}

impl Streamed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let polled = self.frames.poll_frame(cx);
        if polled.is_pending()
            && let Some(awaited) = self.awaited.take()
        {
            awaited.want();
        }
        polled
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
            ClientBody::Http2(streamed) => streamed.frames.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ClientBody::None => SizeHint::with_exact(0),
            ClientBody::Http1(incoming) => incoming.size_hint(),
            ClientBody::Http2(streamed) => streamed.frames.size_hint(),
        }
    }
}
