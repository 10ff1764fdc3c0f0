//! A client's bytes: the socket, TLS around it or not, and what both tell the connection's [`Pulse`].
//!
//! Reading is noted above TLS, where the bytes are HTTP; sending below it, where bytes are taken by the client's side and
//! not just by a buffer of ours.

use super::pulse::{Protocol, Pulse};
use super::socket::Socket;
use bytes::Bytes;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

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
    /// How many bytes of HTTP/2 were read, as far as its preface is being looked at.
    looked: usize,
    pulse: Rc<Pulse>,
}

/// Where the type of the first frame stands, after the 24 bytes of the preface and the frame's length.
const FIRST_TYPE: usize = 27;

/// Without TLS, or with it. That is boxed: its size would be every plain connection's too.
type Carrier = Either<Wire, Box<TlsStream<Wire>>>;

impl Stream {
    pub fn plain(wire: Wire, early: Bytes) -> Stream {
        Stream { pulse: wire.pulse.clone(), carrier: Either::Left(wire), early, looked: 0 }
    }

    pub fn tls(stream: TlsStream<Wire>) -> Stream {
        let pulse = stream.get_ref().0.pulse.clone();
        Stream { carrier: Either::Right(Box::new(stream)), early: Bytes::new(), looked: 0, pulse }
    }

    pub fn pulse(&self) -> &Rc<Pulse> {
        &self.pulse
    }

    /// The first frame of a client is SETTINGS (RFC 9113, section 3.4), on which h2 does not insist.
    fn look_at(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.pulse.protocol() != Protocol::Http2 || self.looked > FIRST_TYPE {
            return Ok(());
        }
        const SETTINGS: u8 = 4;
        let is_other = bytes.get(FIRST_TYPE - self.looked).is_some_and(|kind| *kind != SETTINGS);
        self.looked = self.looked.saturating_add(bytes.len());
        if is_other { Err(io::Error::new(io::ErrorKind::InvalidData, "no SETTINGS after the preface")) } else { Ok(()) }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        if self.early.is_empty() {
            ready!(Pin::new(&mut self.carrier).poll_read(cx, buffer))?;
        } else {
            let length = self.early.len().min(room);
            buffer.put_slice(&self.early.split_to(length));
        }
        if buffer.filled().len() > before {
            self.look_at(&buffer.filled()[before..])?;
            self.pulse.received();
        } else if room > 0 {
            self.pulse.end();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.carrier).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.carrier).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.carrier.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.carrier).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.carrier).poll_shutdown(cx)
    }
}
