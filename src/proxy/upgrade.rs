//! A connection that stopped being HTTP: bytes both ways until either side ends (WebSocket and kin).

use super::exchange::{InFlight, Served};
use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// The endpoint's side of an agreed upgrade. It counts as in flight for as long as it lasts.
#[derive(Debug)]
pub struct Tunnel {
    pub(super) endpoint: OnUpgrade,
    pub(super) in_flight: InFlight,
    pub(super) served: Served,
}

impl Tunnel {
    /// Copies both ways until both directions have ended, or one failed. `early`: bytes of the client that were read along
    /// with its request.
    pub async fn run<C: AsyncRead + AsyncWrite + Unpin>(self, mut client: C, early: Bytes) {
        let Tunnel { endpoint, in_flight: _in_flight, served } = self;
        let Ok(endpoint) = endpoint.await else { return };
        let mut endpoint = TokioIo::new(endpoint);
        if endpoint.write_all(&early).await.is_err() {
            return;
        }
        // An error here is one side going away, which is how most tunnels end.
        if let Ok((from_client, to_client)) = tokio::io::copy_bidirectional(&mut client, &mut endpoint).await {
            served.count_bytes(from_client, to_client);
        }
    }
}
