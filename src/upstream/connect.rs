//! A TCP connection to an endpoint, by the one path that traffic and probes share.

use super::failure::{Failure, Shortage};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

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
