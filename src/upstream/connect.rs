//! A connection to an endpoint, by the one path that traffic and probes share: the socket, TLS where it is asked for, and which HTTP
//! that agreed on.
//!
//! Not here: whom we believe, and the names that certificates must be for (`config::trust`, `config::way`); what is spoken over it
//! (`client`).

use super::failure::{Failure, Sent, Shortage};
use super::proxy_header::ProxyHeader;
use super::wire::{Stream, Wire};
use crate::config::{Address, HttpVersion, Peer, Way};
use crate::runtime::costly::{Cost, Costly};
use rustls::ClientConfig;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// A connected socket, whichever kind an endpoint has.
pub type Socket = Either<TcpStream, UnixStream>;

/// Between two looks at a Unix socket whose queue is full: for TCP the kernel itself tries again.
const FULL: Duration = Duration::from_millis(5);

/// All that there is to do before a request can be sent that way, within `timeout`. Every failure here is [`Sent::Nothing`].
pub async fn open(way: &Way, introduction: Option<ProxyHeader>, timeout: Duration) -> Result<Stream, Failure> {
    let opening = async {
        let wire = Wire::new(reach(&way.address, introduction).await?);
        match &way.tls {
            None => Ok(Either::Left(wire)),
            Some(peer) => {
                // Boxed, so that it takes no room where there is no TLS.
                let client = peer.trust.for_traffic(way.version);
                let shaking = Box::pin(secure(wire, client, peer, way.version));
                let tls = Costly::new(Cost::Keys, shaking).await.map_err(not_agreed)?;
                Ok(Either::Right(Box::new(tls)))
            }
        }
    };
    in_time(timeout, opening).await
}

/// Connects within `timeout`, with Nagle's delay off, and sends the header that says whose the connection is.
pub async fn connect(
    address: &Address,
    introduction: Option<ProxyHeader>,
    timeout: Duration,
) -> Result<Socket, Failure> {
    in_time(timeout, reach(address, introduction)).await
}

/// The whole TLS handshake, to the peer's name, for that version of HTTP. Its time limit is its caller's.
///
/// # Errors
/// The connection broke; or, with a [`rustls::Error`] in it, the two sides did not agree, or the certificate is not one
/// that we believe to be the peer's.
pub async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    client: &Arc<ClientConfig>,
    peer: &Peer,
    version: HttpVersion,
) -> io::Result<TlsStream<S>> {
    let stream = TlsConnector::from(client.clone()).connect(peer.name.clone(), stream).await?;
    match (version, stream.get_ref().1.alpn_protocol()) {
        // Whoever knows nothing of ALPN speaks it.
        (HttpVersion::Http1, _) | (HttpVersion::Http2, Some(b"h2")) => Ok(stream),
        (HttpVersion::Http2, _) => Err(io::Error::other(rustls::Error::NoApplicationProtocol)),
    }
}

/// What TLS has to say of it, if that is what went wrong.
pub fn of_tls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

async fn in_time<T>(timeout: Duration, doing: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, doing).await {
        Ok(done) => done,
        Err(_) => Err(Failure::Connect { error: io::ErrorKind::TimedOut.into() }),
    }
}

async fn reach(address: &Address, introduction: Option<ProxyHeader>) -> Result<Socket, Failure> {
    let mut socket = socket(address).await.map_err(|error| match shortage(&error) {
        Some(shortage) => Failure::Ours(shortage),
        None => Failure::Connect { error },
    })?;
    if let Some(header) = introduction {
        // Before anything else; a new connection has room for it at once.
        let written = socket.write_all(&header.bytes()).await;
        written.map_err(|error| Failure::Connect { error })?;
    }
    Ok(socket)
}

async fn socket(address: &Address) -> io::Result<Socket> {
    match address {
        Address::Tcp(address) => {
            let stream = Costly::new(Cost::Call, TcpStream::connect(address)).await?;
            stream.set_nodelay(true)?;
            Ok(Either::Left(stream))
        }
        Address::Unix(path) => unix(path).await.map(Either::Right),
    }
}

async fn unix(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(FULL).await,
            connected => return connected,
        }
    }
}

fn not_agreed(error: io::Error) -> Failure {
    match of_tls(&error) {
        Some(tls) => Failure::Tls { error: tls.clone(), sent: Sent::Nothing },
        None => Failure::Connect { error },
    }
}

/// Whether the error says that we, not the endpoint, ran out of something.
fn shortage(error: &io::Error) -> Option<Shortage> {
    use rustix::io::Errno;
    match Errno::from_io_error(error)? {
        Errno::MFILE | Errno::NFILE => Some(Shortage::Descriptors),
        Errno::ADDRNOTAVAIL => Some(Shortage::LocalPorts),
        Errno::NOBUFS | Errno::NOMEM => Some(Shortage::Memory),
        _ => None,
    }
}
