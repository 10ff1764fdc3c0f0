//! Certificates, loaded: chains with the keys that fit them, the names they cover, and which one a client is shown.

use rustls::ServerConfig;
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use std::time::SystemTime;

/// One certificate and its key.
#[derive(Debug)]
pub struct Certificate {
    /// The file it came from, for people and for the `certificate` label of the expiry metric.
    pub file: Box<str>,
    /// DNS names it covers, lower case; `*.example.org` covers one label.
    pub names: Vec<Box<str>>,
    pub not_after: SystemTime,
    pub key: Arc<CertifiedKey>,
}

impl Certificate {
    /// Whether a client that trusts it may use it for `host` (RFC 9525, section 6.3: a wildcard is one whole label).
    pub fn covers(&self, host: &str) -> bool {
        let _ = host;
        todo!()
    }
}

/// The `tls` of one listener.
#[derive(Debug)]
pub struct Tls {
    /// At least one; the first is the default.
    pub certificates: Vec<Arc<Certificate>>,
    /// For `tokio_rustls`, with ALPN and the resolver that shows what [`Tls::shown`] says.
    pub server: Arc<ServerConfig>,
}

impl Tls {
    /// The certificate that a client is shown which asked for `sni`: exact name, then wildcard, then the default.
    pub fn shown(&self, sni: Option<&str>) -> &Arc<Certificate> {
        let _ = sni;
        todo!()
    }
}
