//! How endpoints are reached: where each is, and whom it must prove to be. One owner of that: traffic and probes go by it.
//!
//! Not here: connecting (`upstream::connect`), whom we believe (`trust`), an endpoint's name in logs and metrics, which is its
//! text as written.

use super::Trust;
use rustls::pki_types::ServerName;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// A place that one can connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    Tcp(SocketAddr),
    /// A Unix socket: an absolute path that fits into `sockaddr_un`.
    Unix(Arc<Path>),
}

/// What the endpoints of a pool speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP/1.1 without TLS.
    Http,
    /// HTTP/1.1 over TLS, always verified.
    Https,
    /// HTTP/2 without TLS, with prior knowledge (RFC 9113, section 3.3).
    H2c,
    /// HTTP/2 over TLS, always verified, agreed on by ALPN.
    H2,
}

/// Which HTTP is spoken to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    Http1,
    Http2,
}

/// The way to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    pub address: Address,
    /// `None`: without TLS.
    pub tls: Option<Peer>,
    pub version: HttpVersion,
}

/// Who must be at the other end of TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    pub trust: Trust,
    /// Whom its certificate must be for; told it as SNI where it is no IP address.
    pub name: ServerName<'static>,
}

impl Scheme {
    pub(super) const ALL: [(&'static str, Scheme); 4] =
        [("http", Scheme::Http), ("https", Scheme::Https), ("h2c", Scheme::H2c), ("h2", Scheme::H2)];

    pub fn version(self) -> HttpVersion {
        match self {
            Scheme::Http | Scheme::Https => HttpVersion::Http1,
            Scheme::H2c | Scheme::H2 => HttpVersion::Http2,
        }
    }
}

impl Way {
    /// HTTP/1.1 without TLS.
    pub fn plain(address: impl Into<Address>) -> Arc<Way> {
        Arc::new(Way { address: address.into(), tls: None, version: HttpVersion::Http1 })
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
