//! What is done about a request that takes its time: it is sent elsewhere too, or leaves an endpoint that went out of service, or is
//! given what there is of its answer: failover.md, "Hedge" and "Held responses".
//!
//! Not here: what follows from an attempt's end (`service`, `judge`).

use super::attempt::{Attempt, Reach, Stood};
use super::plan::{Far, Plan};
use super::race::{self, Ended};
use super::service::InHand;
use crate::domain::{Class, EndpointId, Health, Moment};
use crate::health::{BackendView, EndpointView, HeldView};
use tokio::sync::watch;

/// What is known of a request that takes its time.
#[derive(Debug, Default)]
pub struct Slow {
    /// From when on news of other views matter to it.
    changes: Option<watch::Receiver<()>>,
    hedging: Hedging,
}

/// Whether it may still be sent elsewhere beside what runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hedging {
    #[default]
    Possible,
    /// There is no other place, or no budget.
    Over,
}

/// What a look at what runs came to.
pub(super) enum News<'v> {
    None,
    Hedge(&'v EndpointView, Reach),
    /// A newer view takes the endpoints out of service that it is at.
    Moved,
    /// Nothing better is to be had than the answer that comes.
    Release,
}

impl InHand<'_> {
    /// The next attempt that ends; `None` when there is something to look at before that.
    pub(super) async fn race_on(&mut self) -> Option<Ended> {
        let due = self.due().map(|due| self.worker.clock.instant(due));
        match self.race.next(due, self.slow.changes.as_mut()).await {
            Some(ended) => Some(ended),
            None => self.race.take_late(self.worker.clock.now()),
        }
    }

    /// When to look, if no attempt ends before.
    fn due(&self) -> Option<Moment> {
        let pairing = self.pairing.due();
        if !self.can_move() {
            return pairing;
        }
        let Some(newest) = self.race.newest() else { return pairing };
        if self.slow.changes.is_none() {
            let look = newest.began.after(race::LOOK_AFTER); // before a hedge, or a release
            let first = newest.head_due().map_or(look, |due| due.min(look));
            return Some(pairing.map_or(first, |pairing| pairing.min(first)));
        }
        let head = self.race.iter().filter_map(Attempt::head_due).min();
        [pairing, head, self.hedge_due(), self.release_due()].into_iter().flatten().min()
    }

    /// Whether it can be somewhere else too.
    fn can_move(&self) -> bool {
        self.asking.class == Class::Safe && self.exchange.spare().is_some()
    }

    fn hedge_due(&self) -> Option<Moment> {
        let newest = self.race.newest()?;
        match self.slow.hedging {
            Hedging::Possible if self.rescue.hedge => {
                Some(newest.began.after(race::hedge_delay(newest.endpoint().pace())))
            }
            Hedging::Possible | Hedging::Over => None,
        }
    }

    fn release_due(&self) -> Option<Moment> {
        match self.hedge_due() {
            Some(_) => None,
            None => self.race.holding_since().map(|since| since.after(race::RELEASE_AFTER)),
        }
    }

    /// Does what is due.
    pub(super) fn look<'v>(&mut self, view: &HeldView, backend: &BackendView, plan: &mut Plan<'v>) -> News<'v> {
        let worker = self.worker;
        let now = worker.clock.now();
        let is_due = |due: Option<Moment>| due.is_some_and(|due| due <= now);
        if is_due(self.pairing.due()) {
            self.pairing.settle(None); // what waits has waited for long enough
        }
        if !self.can_move() {
            return News::None;
        }
        if self.slow.changes.is_none() {
            self.slow.changes = Some(worker.views.changes());
        }
        let newest = worker.views.view();
        let newest = (!newest.is(view)).then(|| newest.backend(&backend.config.name)).flatten();
        if newest.is_some_and(|newest| self.leaves(newest)) {
            return News::Moved;
        }
        if is_due(self.hedge_due())
            && let Some((place, reach)) = self.hedge(backend, plan, now)
        {
            return News::Hedge(place, reach);
        }
        if is_due(self.release_due()) { News::Release } else { News::None }
    }

    /// Whether each attempt that runs is at an endpoint that was up and is not any more.
    fn leaves(&self, newest: &BackendView) -> bool {
        let left = |attempt: &Attempt| match attempt.stood {
            Stood::Up => is_out(newest, attempt.endpoint().id()),
            Stood::Otherwise => false,
            Stood::Left => true,
        };
        self.race.iter().all(left) && self.race.iter().any(|attempt| attempt.stood == Stood::Up)
    }

    /// Another place for it, paid for by the budget.
    fn hedge<'v>(
        &mut self,
        backend: &BackendView,
        plan: &mut Plan<'v>,
        now: Moment,
    ) -> Option<(&'v EndpointView, Reach)> {
        let wrote = backend.writers.wrote_within(self.asking.client, backend.config.own_writes, now);
        let far = if wrote { Far::ItsPool } else { Far::AnyPool };
        let place = plan.hedge(self.worker.as_ref(), far, self.race.running());
        let budget = self.served.as_ref().map(|served| &served.backend);
        let allowed = place.is_some() && budget.is_some_and(|budget| budget.hedges.spend(now));
        if place.is_some() && !allowed {
            budget.inspect(|budget| budget.cells().hedges_denied.add(1));
        }
        let place = place.filter(|_| allowed);
        if place.is_none() {
            self.slow.hedging = Hedging::Over;
        }
        place
    }
}

/// Whether that endpoint is out of service, so that what has not been answered there is asked elsewhere. One that is drained, or that
/// a reload took away, finishes what it runs.
pub fn is_out(backend: &BackendView, endpoint: EndpointId) -> bool {
    let mut endpoints = backend.snapshot.pools.iter().flat_map(|pool| pool.endpoints.iter());
    endpoints.find(|known| known.id == endpoint).is_some_and(|known| match known.health {
        Health::Suspect { .. } | Health::Down(_) | Health::Probation { .. } => true,
        Health::Unproven | Health::Up { .. } => false,
    })
}
