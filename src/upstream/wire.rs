//! The socket to an endpoint that may answer, and leave, before it was told everything.
//!
//! An endpoint that refuses an upload (413, 401) often says so and closes while we still write; the next write fails, and hyper would
//! give up on it with the answer unread in the kernel. So a write that fails because the other side is gone is taken for done, and so
//! is all after it: whether there is an answer is up to reading, which finds it, or the end. (RFC 9112, section 9.6.) Where there is TLS
//! it is between that and the socket, so that records are taken for sent as well.
//!
//! Over TLS an end without close_notify is no end but an error: anybody on the way could have made it, and a body that goes on to the
//! connection's end is cut there.

use super::connect::Socket;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// A connected socket.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    /// The endpoint takes no more.
    deaf: bool,
}

/// What requests go over: without TLS, or with it.
pub type Stream = Either<Wire, Box<TlsStream<Wire>>>;

impl Wire {
    pub fn new(socket: Socket) -> Wire {
        Wire { socket, deaf: false }
    }

    /// `all`: what was to be written.
    fn heard(&mut self, written: Poll<io::Result<usize>>, all: usize) -> Poll<io::Result<usize>> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match written {
            Poll::Ready(Err(error)) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
                self.deaf = true;
                Poll::Ready(Ok(all))
            }
            Poll::Ready(Ok(_) | Err(_)) | Poll::Pending => written,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.heard(written, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = slices.iter().map(|slice| slice.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(all));
        }
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.heard(written, all)
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
