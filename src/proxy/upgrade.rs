//! A connection that stopped being HTTP: bytes both ways until either side ends (WebSocket and kin).

use super::exchange::{InFlight, Served};
use bytes::Bytes;
use futures_util::future::select;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

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
    pub async fn run<C: AsyncRead + AsyncWrite>(self, client: C, early: Bytes) {
        let Tunnel { endpoint, in_flight: _in_flight, served } = self;
        let Ok(endpoint) = endpoint.await else { return };
        let (from_endpoint, to_endpoint) = split(TokioIo::new(endpoint));
        let (from_client, to_client) = split(client);
        let passed = Cell::new(0_u64);
        let note = |from_client, to_client| {
            served.count_bytes(from_client, to_client);
            passed.set(passed.get().wrapping_add(from_client + to_client));
        };
        let there = pin!(pump(AsyncReadExt::chain(&*early, from_client), to_endpoint, |bytes| note(bytes, 0)));
        let back = pin!(pump(from_endpoint, to_client, |bytes| note(0, bytes)));
        let (ended, mut other) = select(there, back).await.factor_first();
        // An error is one side going away, which is how most tunnels end.
        let Ok(()) = ended else { return };
        loop {
            let before = passed.get();
            if tokio::time::timeout(HALF_OPEN, &mut other).await.is_ok() || passed.get() == before {
                return;
            }
        }
    }
}

/// How long one direction may say nothing once the other has ended: whoever is left there may be gone as well.
const HALF_OPEN: Duration = Duration::from_secs(10);

/// Copies until the end, and passes that on, too.
async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, note: impl Fn(u64)) -> io::Result<()> {
    let mut piece = vec![0; 8 * 1024];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..length]).await?;
        to.flush().await?;
        note(length as u64);
    }
}
