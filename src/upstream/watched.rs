//! What comes from an endpoint over a connection of HTTP/2, watched on its way to h2: when something last came, what it began with, and
//! what TLS had to say. h2 tells none of that, or not until it is too late to ask.

use super::connect::of_tls;
use crate::domain::Moment;
use crate::runtime::clock::Clock;
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection, and what is noted of it.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    pulse: Rc<Pulse>,
}

/// What is noted.
#[derive(Debug)]
pub(super) struct Pulse {
    pub(super) clock: Clock,
    heard: Cell<Moment>,
    first: Cell<First>,
    tls: RefCell<Option<rustls::Error>>,
}

/// What came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    Nothing,
    /// It may be SETTINGS: the first byte of its length is 0, since no frame may be longer than 16 KiB before that.
    Frame,
    /// No frame: an answer of HTTP/1.1, an alert of TLS.
    Other,
}

impl Pulse {
    pub(super) fn new(clock: Clock) -> Rc<Pulse> {
        let (heard, first) = (Cell::new(clock.now()), Cell::new(First::Nothing));
        Rc::new(Pulse { clock, heard, first, tls: RefCell::default() })
    }

    /// When something last came; when it was opened, if nothing has.
    pub(super) fn heard(&self) -> Moment {
        self.heard.get()
    }

    pub(super) fn first(&self) -> First {
        self.first.get()
    }

    /// What TLS ended it with.
    pub(super) fn tls(&self) -> Option<rustls::Error> {
        self.tls.borrow().clone()
    }

    fn note(&self, came: &[u8]) {
        if let (First::Nothing, Some(first)) = (self.first.get(), came.first()) {
            self.first.set(if *first == 0 { First::Frame } else { First::Other });
        }
        self.heard.set(self.clock.now());
    }
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, pulse: Rc<Pulse>) -> Watched<S> {
        Watched { stream, pulse }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        match &read {
            Ok(()) => self.pulse.note(&buffer.filled()[before..]),
            Err(error) => drop(self.pulse.tls.replace(of_tls(error).cloned())),
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
