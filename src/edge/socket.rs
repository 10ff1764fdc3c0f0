//! What a listener accepts: connections of TCP, or those of a Unix socket. Past this both are a [`Socket`].
//!
//! Not here: binding ([`super::listener`]), and what becomes of a connection ([`super::conn`]).

use crate::upstream::Ends;
use socket2::SockRef;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

/// A connection's socket.
pub type Socket = Either<TcpStream, UnixStream>;

/// What the kernel takes of a response before any of it can be sent. Without a limit that is some megabytes, for each slow reader, and
/// long after a client stopped taking anything we would still think that it does. A Unix socket takes some 200 KiB by itself.
const UNSENT_MAX: u32 = 128 << 10;

/// A descriptor to accept from, on any thread.
#[derive(Debug)]
pub enum Listening {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Listening {
    /// On this thread's runtime.
    pub(super) fn ready(self) -> io::Result<Ready> {
        match self {
            Listening::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Ready::Tcp)
            }
            Listening::Unix(listener) => {
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener).map(Ready::Unix)
            }
        }
    }

    /// What waits in the queue, by the kernel's own word; [`io::ErrorKind::WouldBlock`]: nothing.
    pub(super) fn take(&self) -> io::Result<Accepted> {
        match self {
            Listening::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Accepted::Tcp(TcpStream::from_std(stream)?, peer))
            }
            Listening::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Accepted::Unix(UnixStream::from_std(stream)?))
            }
        }
    }
}

/// The same, with this thread waiting for it.
#[derive(Debug)]
pub(super) enum Ready {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Ready {
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Ready::Tcp(listener) => listener.accept().await.map(|(stream, peer)| Accepted::Tcp(stream, peer)),
            Ready::Unix(listener) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }

    pub(super) fn into_listening(self) -> io::Result<Listening> {
        match self {
            Ready::Tcp(listener) => listener.into_std().map(Listening::Tcp),
            Ready::Unix(listener) => listener.into_std().map(Listening::Unix),
        }
    }
}

/// A connection that was accepted.
#[derive(Debug)]
pub enum Accepted {
    /// With the address of its other end.
    Tcp(TcpStream, SocketAddr),
    /// The other end has no address.
    Unix(UnixStream),
}

impl Accepted {
    /// Ready to be served, and its ends where it has any.
    pub(super) fn open(self) -> (Socket, Option<Ends>) {
        match self {
            Accepted::Tcp(tcp, peer) => {
                // Where this fails the connection is gone, which the first read will tell.
                let _ = tcp.set_nodelay(true);
                let _ = SockRef::from(&tcp).set_tcp_notsent_lowat(UNSENT_MAX);
                let at = tcp.local_addr().unwrap_or(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0));
                // A client of a dual-stack socket is still the IPv4 client it is.
                let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
                (Either::Left(tcp), Some(Ends { client: plain(peer), at: plain(at) }))
            }
            Accepted::Unix(unix) => (Either::Right(unix), None),
        }
    }
}
