//! A connection to an endpoint, by the one path that traffic and probes share: TCP, and TLS where it is asked for.
//!
//! Not here: whom we believe, and the names that certificates must be for (`config::trust`).

use super::failure::{Failure, Shortage};
use super::proxy_header::ProxyHeader;
use crate::config::Trust;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Connects within `timeout`, with Nagle's delay off. Every failure here is [`super::Sent::Nothing`].
pub async fn connect(address: SocketAddr, timeout: Duration) -> Result<TcpStream, Failure> {
    let failed = |error: io::Error| match shortage(&error) {
        Some(shortage) => Failure::Ours(shortage),
        None => Failure::Connect { error, after: timeout },
    };
    let stream = match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(failed)?,
        Err(_) => return Err(Failure::Connect { error: io::ErrorKind::TimedOut.into(), after: timeout }),
    };
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

/// Sends the header that says whose the connection is, before anything else; a new one has room for it at once.
pub async fn introduce(stream: &mut TcpStream, header: ProxyHeader, timeout: Duration) -> Result<(), Failure> {
    let bytes = header.bytes();
    let failed = |error: io::Error| Failure::Connect { error, after: timeout };
    match tokio::time::timeout(timeout, stream.write_all(&bytes)).await {
        Ok(written) => written.map_err(failed),
        Err(_) => Err(failed(io::ErrorKind::TimedOut.into())),
    }
}

/// The whole TLS handshake. Its time limit is its caller's.
///
/// # Errors
/// The connection broke; or, with a [`rustls::Error`] in it, the two sides did not agree, or the certificate is not one
/// that we believe to be `name`'s.
pub async fn secure(stream: TcpStream, trust: &Trust, name: ServerName<'static>) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(trust.client.clone()).connect(name, stream).await
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
