//! A client's bytes: the socket, TLS around it or not, and what both tell the connection's [`Pulse`].
//!
//! Reading is noted above TLS, where the bytes are HTTP; sending below it, where bytes are taken by the client's side and
//! not just by a buffer of ours.

use super::frames::Frames;
use super::pulse::Pulse;
use super::socket::Socket;
use crate::proxy::Interims;
use crate::upstream::interim::Interim;
use bytes::{Buf, Bytes};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

/// Bytes that are read at once where no buffer is kept: most heads.
const HEARD: usize = 2 * 1024;

/// The socket.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    /// Bytes that came together with a PROXY header and are read first.
    early: Bytes,
    pulse: Rc<Pulse>,
}

impl Wire {
    pub fn new(socket: Socket, pulse: Rc<Pulse>) -> Wire {
        Wire { socket, early: Bytes::new(), pulse }
    }

    /// What was read so far was a proxy's; `rest` is the first of what its client says.
    pub fn introduced(&mut self, rest: Bytes) {
        self.pulse.was_introduced();
        self.early = rest;
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(taken) => self.pulse.took(*taken.as_ref().unwrap_or(&0)),
            Poll::Pending => self.pulse.block(),
        }
        written
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // What a Unix socket's other end has not taken is in its own queue.
        if self.pulse.is_spoilt()
            && let Either::Left(tcp) = &self.socket
        {
            // An error means that the connection is gone already.
            let _ = tcp.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.early.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        } else {
            let length = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early.split_to(length));
        }
        if buffer.filled().len() > before {
            self.pulse.spoke();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// The stream that HTTP runs on.
#[derive(Debug)]
pub struct Stream {
    carrier: Carrier,
    /// Bytes that were looked at already and come first.
    early: Bytes,
    /// Those of HTTP/2, where it is spoken.
    frames: Option<Frames>,
    interjection: Interjection,
    pulse: Rc<Pulse>,
}

/// Interim responses of HTTP/1.1, which hyper has no way to send: they are written between what it writes.
#[derive(Debug, Default)]
struct Interjection {
    interims: Option<Rc<Interims>>,
    /// Of one that is being written.
    rest: Bytes,
}

/// Without TLS, or with it. That is boxed: its size would be every plain connection's too.
type Carrier = Either<Wire, Box<TlsStream<Wire>>>;

impl Stream {
    pub fn plain(wire: Wire, early: Bytes) -> Stream {
        Stream {
            pulse: wire.pulse.clone(),
            carrier: Either::Left(wire),
            early,
            frames: None,
            interjection: Interjection::default(),
        }
    }

    pub fn tls(stream: TlsStream<Wire>) -> Stream {
        let pulse = stream.get_ref().0.pulse.clone();
        let (carrier, interjection) = (Either::Right(Box::new(stream)), Interjection::default());
        Stream { carrier, early: Bytes::new(), frames: None, interjection, pulse }
    }

    pub fn pulse(&self) -> &Rc<Pulse> {
        &self.pulse
    }

    /// Waits for what the client says next, or its end, with no buffer kept meanwhile. Whoever reads then is given it first.
    ///
    /// # Errors
    /// The connection broke off.
    pub async fn hear(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            let mut room = [MaybeUninit::uninit(); HEARD];
            let mut buffer = ReadBuf::uninit(&mut room);
            ready!(Pin::new(&mut *self).poll_read(cx, &mut buffer))?;
            self.early = Bytes::copy_from_slice(buffer.filled());
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Bytes that were read and not used; whoever reads next is given them first.
    pub fn unread(&mut self, bytes: Bytes) {
        self.early = if self.early.is_empty() { bytes } else { [&bytes[..], &self.early[..]].concat().into() };
    }

    /// HTTP/2 is spoken: its frames are looked at from now on.
    #[must_use]
    pub fn counting_frames(mut self) -> Stream {
        self.frames = Some(Frames::new(self.pulse.now()));
        self
    }

    /// HTTP/1.1 is spoken: these are written as soon as hyper has nothing of its own to write.
    #[must_use]
    pub fn interjecting(mut self, interims: Rc<Interims>) -> Stream {
        self.interjection.interims = Some(interims);
        self
    }

    /// Writes those that wait. Only for when hyper has written all it has: it flushes its stream then and no sooner, and between a
    /// response that it has written and the one that waits for these there is nothing.
    fn poll_interject(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_rest(cx))?;
            let Some(interims) = &self.interjection.interims else { return Poll::Ready(Ok(())) };
            match interims.take_next() {
                Some(interim) => self.interjection.rest = head(&interim),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Writes the rest of one that was begun.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Interjection { interims, rest } = &mut self.interjection;
        if rest.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !rest.is_empty() {
            let taken = ready!(Pin::new(&mut self.carrier).poll_write(cx, rest))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            rest.advance(taken);
        }
        if interims.as_ref().is_none_or(|interims| interims.is_empty()) {
            cx.waker().wake_by_ref(); // a response may wait for it
        }
        Poll::Ready(Ok(()))
    }

    fn sent(&mut self, taken: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Some(frames), Poll::Ready(Ok(bytes))) = (&mut self.frames, &taken) {
            frames.sent(*bytes);
        }
        taken
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.pulse.wrong().is_some() {
            return Poll::Pending; // nothing more is read of it
        }
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        if self.early.is_empty() {
            ready!(Pin::new(&mut self.carrier).poll_read(cx, buffer))?;
        } else {
            let length = self.early.len().min(room);
            buffer.put_slice(&self.early.split_to(length));
        }
        if buffer.filled().len() > before {
            let Stream { frames, pulse, .. } = &mut *self;
            if let Some(frames) = frames
                && let Err(wrong) = frames.came(&buffer.filled()[before..], || pulse.now())
            {
                // Whoever polls the connection looks there after it.
                pulse.goes_wrong(wrong);
                buffer.set_filled(before);
                return Poll::Pending;
            }
            self.pulse.received();
        } else if room > 0 {
            self.pulse.end();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        let taken = Pin::new(&mut self.carrier).poll_write(cx, bytes);
        self.sent(taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        let taken = Pin::new(&mut self.carrier).poll_write_vectored(cx, slices);
        self.sent(taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.carrier.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interject(cx))?;
        Pin::new(&mut self.carrier).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.carrier).poll_shutdown(cx)
    }
}

/// An interim response as HTTP/1.1 has it.
fn head(interim: &Interim) -> Bytes {
    let Interim { status, fields } = interim;
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in fields {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.into()
}
