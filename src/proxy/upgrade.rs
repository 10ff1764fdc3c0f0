//! A connection that stopped being HTTP: bytes both ways until either side ends (WebSocket and kin).

use hyper::upgrade::Upgraded;
use tokio::io::{AsyncRead, AsyncWrite};

/// The endpoint's side of an agreed upgrade.
#[derive(Debug)]
pub struct Tunnel {
    pub endpoint: Upgraded,
}

impl Tunnel {
    /// Copies both ways until both directions have ended, or one failed. `early`: bytes of the client that were read along with its
    /// request.
    pub async fn run<C: AsyncRead + AsyncWrite + Unpin>(self, client: C, early: bytes::Bytes) {
        let _ = (self.endpoint, client, early);
        todo!()
    }
}
