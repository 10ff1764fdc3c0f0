//! A connection that stopped being HTTP: bytes both ways until either side ends (WebSocket and kin), or neither has said anything
//! for too long, or a planned move of writes ends it, since nobody knows what it writes; unless its site says that it only reads.

use super::exchange::{InFlight, Served};
use super::local::Worker;
use crate::config::{Rescue, ResumeFrom};
use crate::domain::{Class, EndpointId, Moment, Name, PoolIndex, Writes};
use crate::health::View;
use crate::runtime::clock::Clock;
use crate::telemetry::metrics::DrainCut;
use bytes::Bytes;
use futures_util::future::{Either, select};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

/// What is done for a request that asks for one, of what its site has done for others: one that reads is sent elsewhere when its
/// endpoint fails, but not for being slow, and nothing of what comes is kept back or gone on with.
pub(super) fn rescue(of_site: Rescue) -> Rescue {
    Rescue { hedge: false, held: false, resume: ResumeFrom::Nowhere, ..of_site }
}

/// The endpoint's side of an agreed upgrade. It counts as in flight for as long as it lasts.
#[derive(Debug)]
pub struct Tunnel {
    pub(super) endpoint: OnUpgrade,
    pub(super) in_flight: InFlight,
    pub(super) served: Served,
    pub(super) worker: Rc<Worker>,
    pub(super) backend: Name,
    /// Of the request that asked for it.
    pub(super) class: Class,
    /// How long it may carry no byte either way.
    pub(super) idle: Duration,
}

impl Tunnel {
    /// Copies both ways until both directions have ended, one failed, nothing came for too long, its endpoint is gone from the
    /// configuration for too long, or, where it may write, writes were moved elsewhere by plan.
    /// `early`: bytes of the client that were read along with its request.
    pub async fn run<C: AsyncRead + AsyncWrite>(self, client: C, early: Bytes) {
        let Tunnel { endpoint: agreed, in_flight, served, worker, backend, class, idle } = self;
        let last = Cell::new(worker.clock.now());
        let copying = pin!(copy(agreed, served, client, early, || last.set(worker.clock.now())));
        let copied = pin!(async {
            match select(copying, pin!(silence(worker.clock, &last, idle))).await {
                Either::Left(((), _)) => {}
                Either::Right(((), _)) => worker.cells().idle_tunnels.add(1),
            }
        });
        let endpoint = in_flight.endpoint();
        let ended = pin!(async {
            match class {
                Class::Safe => copied.await,
                Class::Unsafe => {
                    let moved = pin!(moved_by_plan(&worker, &backend, endpoint.id()));
                    select(copied, moved).await;
                }
            }
        });
        match select(ended, pin!(endpoint.tunnels_cut())).await {
            Either::Left(((), _)) => {}
            Either::Right(((), _)) => worker.cells().drain_cuts[DrainCut::Tunnel as usize].add(1),
        }
    }
}

/// `moved`: called with each piece, whichever way it goes.
async fn copy<C>(endpoint: OnUpgrade, served: Served, client: C, early: Bytes, moved: impl Fn())
where
    C: AsyncRead + AsyncWrite,
{
    let Ok(endpoint) = endpoint.await else { return };
    let (from_endpoint, to_endpoint) = split(TokioIo::new(endpoint));
    let (from_client, to_client) = split(client);
    let passed = Cell::new(0_u64);
    let note = |from_client, to_client| {
        moved();
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

/// Returns when the last piece is so long ago. What is read and not taken by the other side counts for nothing.
async fn silence(clock: Clock, last: &Cell<Moment>, idle: Duration) {
    loop {
        let due = last.get().after(idle);
        if clock.now() >= due {
            return;
        }
        tokio::time::sleep_until(clock.instant(due)).await; // set once, and anew only when it fires
    }
}

/// Returns once a view says that writes go elsewhere although the endpoint's pool is usable: then somebody has planned it. Where
/// health moved them, what runs is left.
async fn moved_by_plan(worker: &Worker, backend: &str, endpoint: EndpointId) {
    let mut changes = worker.views.changes();
    let mut left = false;
    loop {
        match whereabouts(&worker.views.view(), backend, endpoint) {
            Whereabouts::Here => left = false,
            Whereabouts::Usable if !left => return,
            Whereabouts::Unusable => left = true,
            Whereabouts::Usable | Whereabouts::Gone => (),
        }
        if changes.changed().await.is_err() {
            return std::future::pending().await; // the supervisor is gone with the process
        }
    }
}

/// How the pool of an upgrade's endpoint stands to writes.
enum Whereabouts {
    /// They go there, or nowhere.
    Here,
    /// They go elsewhere, and it is usable.
    Usable,
    /// They go elsewhere, and it is not.
    Unusable,
    /// A reload took it away.
    Gone,
}

fn whereabouts(view: &View, backend: &str, endpoint: EndpointId) -> Whereabouts {
    let Some(backend) = view.backend(backend) else { return Whereabouts::Gone };
    let Some(pool) = backend.pool_of(endpoint) else { return Whereabouts::Gone };
    let is_elsewhere = |to: PoolIndex| match (to == pool, backend.pools[pool.0].usable) {
        (true, _) => Whereabouts::Here,
        (false, true) => Whereabouts::Usable,
        (false, false) => Whereabouts::Unusable,
    };
    match backend.snapshot.writes {
        Writes::To(to) | Writes::Pausing { to, .. } => is_elsewhere(to),
        Writes::Refused(_) => Whereabouts::Here,
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
