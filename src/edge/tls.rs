//! Before HTTP: the TLS handshake, or on a plain listener a look at the first bytes. Says which HTTP follows.
//!
//! Not here: which certificate is shown (`config::tls`).

use super::pulse::Protocol;
use super::stream::{Stream, Wire};
use super::watchdog::Watchdog;
use crate::config::{Protocols, Tls};
use crate::proxy::Secure;
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;

/// What a client of HTTP/2 sends first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The whole handshake. Its time limit is its caller's.
///
/// # Errors
/// The client failed it, went away, or agreed on no protocol that the listener speaks.
pub async fn handshake(wire: Wire, tls: Arc<Tls>, protocols: Protocols) -> io::Result<(Stream, Protocol, Secure)> {
    let stream = TlsAcceptor::from(tls.server.clone()).accept(wire).await?;
    let session = stream.get_ref().1;
    let protocol = match session.alpn_protocol() {
        Some(b"h2") if protocols.h2 => Protocol::Http2,
        // A client that names nothing speaks HTTP/1.1 (RFC 7301 leaves it open; every server does this).
        Some(b"http/1.1") | None if protocols.http1 => Protocol::Http1,
        Some(_) | None => return Err(io::Error::new(io::ErrorKind::InvalidData, "no protocol in common")),
    };
    let sni = session.server_name().map(Box::from);
    Ok((Stream::tls(stream), protocol, Secure { sni, tls }))
}

/// Which HTTP a client without TLS speaks, by its first bytes where both are spoken. One that has not made it clear in time
/// is left to HTTP/1.1, which has words for that.
///
/// # Errors
/// The client went away.
pub async fn sniff(mut wire: Wire, protocols: Protocols, watchdog: &mut Watchdog) -> io::Result<(Stream, Protocol)> {
    match protocols {
        Protocols { http1: true, h2: true } => {}
        Protocols { http1: false, h2: true } => return Ok((Stream::plain(wire, Bytes::new()), Protocol::Http2)),
        Protocols { h2: false, .. } => return Ok((Stream::plain(wire, Bytes::new()), Protocol::Http1)),
    }
    let mut first = [0; PREFACE.len()];
    let mut length = 0;
    let look = async {
        // The first byte that differs decides: most requests do with their first.
        while length < PREFACE.len() && first[..length] == PREFACE[..length] {
            match wire.read(&mut first[length..]).await? {
                0 => break,
                more => length += more,
            }
        }
        io::Result::Ok(())
    };
    if let Ok(looked) = watchdog.guard(look).await {
        looked?;
    }
    let protocol = if first == *PREFACE { Protocol::Http2 } else { Protocol::Http1 };
    Ok((Stream::plain(wire, Bytes::copy_from_slice(&first[..length])), protocol))
}
