//! A stream of HTTP/2 that carries bytes and no HTTP: the client's side of a tunnel (RFC 8441, section 5). END_STREAM ends one
//! direction; dropped before both have ended, it is reset.
//!
//! Not here: who is at the other end (`proxy::upgrade`).

use crate::edge::pulse::{Running, Tunnelling};
use crate::proxy::upgrade::Tunnel;
use bytes::Bytes;
use futures_util::future::select;
use h2::{RecvStream, SendStream};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Joins the client's side with the endpoint's until the tunnel is over, or the client has reset its stream: whoever waits for the
/// endpoint alone, which takes nothing or says nothing, would not hear of that.
pub(super) async fn run(tunnel: Tunnel, from: RecvStream, to: SendStream<Bytes>, running: Running) {
    let to = Rc::new(RefCell::new(to));
    let joined = pin!(tunnel.run(Pipe::new(from, to.clone(), running), Bytes::new()));
    select(joined, poll_fn(|cx| to.borrow_mut().poll_reset(cx))).await;
}

/// Both directions.
#[derive(Debug)]
struct Pipe {
    from: RecvStream,
    /// Read and not asked for yet.
    rest: Bytes,
    to: Rc<RefCell<SendStream<Bytes>>>,
    /// It counts among what runs, and the client may be behind in taking what goes to it.
    running: Running,
    /// As what it counts there.
    _tunnelling: Tunnelling,
}

impl Pipe {
    fn new(from: RecvStream, to: Rc<RefCell<SendStream<Bytes>>>, mut running: Running) -> Pipe {
        running.our_turn();
        let _tunnelling = running.tunnels();
        Pipe { from, rest: Bytes::new(), to, running, _tunnelling }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.from.poll_data(cx)) {
                Some(piece) => self.rest = piece.map_err(io::Error::other)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest.split_to(length));
        // An error means that the stream is over, which the next read tells.
        let _ = self.from.flow_control().release_capacity(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Pipe { to, running, .. } = self.get_mut();
        let mut to = to.borrow_mut();
        to.reserve_capacity(bytes.len());
        while to.capacity() == 0 && !bytes.is_empty() {
            let Poll::Ready(room) = to.poll_capacity(cx) else {
                running.clients_turn();
                return Poll::Pending;
            };
            room.ok_or(io::ErrorKind::BrokenPipe)?.map_err(io::Error::other)?;
        }
        running.our_turn();
        let length = to.capacity().min(bytes.len());
        to.send_data(Bytes::copy_from_slice(&bytes[..length]), false).map_err(io::Error::other)?;
        Poll::Ready(Ok(length))
    }

    /// What is handed over is sent with the connection's next turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.to.borrow_mut().send_data(Bytes::new(), true).map_err(io::Error::other))
    }
}
