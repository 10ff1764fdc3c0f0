//! Which pool serves: failover, panic, an operator's preference.
//!
//! Leaving a pool that can't serve is never delayed, except back to one that was left less than `min_dwell` ago, and then
//! only while the present one still answers some: two pools that fail in turn would otherwise throw users to and fro, and
//! panic, which tries both, serves them better. Nobody is moved by itself to a pool that has shown no sign of life since the
//! first evidence against the present one: what looks like the end of one data centre may be the end of our own network.
//!
//! What an operator said comes before what was measured: a hold keeps everything where it is, a preferred pool is gone to and
//! stayed at while it is usable.
//!
//! Everything here is a function of what stands now. A deadline is a moment at which it would decide otherwise, so whoever
//! settles then, or later, misses nothing.
//!
//! Not here: when a pool is usable (`pool`), the way back (`failback`), where writes go (`writes`), telling (`backend`).

use super::Why;
use super::commands::Force;
use super::failback::{self, Ramping};
use super::pool::{Pool, PoolHealth};
use super::setup::Rules;
use super::snapshot::{Drained, Enforced, Lagging};
use super::transition::{Cause, Evidence, Isolation, Routing};
use super::units::{HOUR, Moment};

/// The serving pool of one backend.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub pool: usize,
    pub since: Moment,
    pub routing: Routing,
    /// Safe requests are on their way back.
    pub ramp: Option<Ramping>,
    /// An operator's one-off leave to go back to that pool.
    pub leave: Option<usize>,
}

/// What operators said about one backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Commanded {
    /// Nothing moves, since then.
    pub hold: Option<Moment>,
    /// Unsafe requests are refused, since then.
    pub read_only: Option<Moment>,
    pub prefer: Option<Prefer>,
}

/// The pool that an operator prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefer {
    pub pool: usize,
    pub force: Force,
    pub enforced: Enforced,
}

/// All that a decision may look at.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub now: Moment,
    pub pools: &'a [Pool],
    pub rules: &'a Rules,
    pub commanded: &'a Commanded,
    pub isolation: Isolation,
}

/// What is to be done now.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Move(Move),
    /// Safe requests begin to return to that pool.
    BeginRamp {
        to: usize,
        cause: Cause,
        evidence: Evidence,
    },
    AbortRamp {
        cause: Cause,
        evidence: Evidence,
        flap: Flap,
    },
}

/// A change of the serving pool.
#[derive(Debug, PartialEq)]
pub(super) struct Move {
    pub to: usize,
    pub cause: Cause,
    pub evidence: Evidence,
    pub first_evidence: Option<Moment>,
    pub how: How,
}

/// Whether a move was forced by health, or could be prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    ByHealth,
    Planned,
}

/// Whether a pool is held to have flapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flap {
    Counted,
    NotCounted,
}

impl Serving {
    pub(super) fn new(pool: usize, now: Moment) -> Serving {
        Serving { pool, since: now, routing: Routing::Serving, ramp: None, leave: None }
    }

    /// The next step that is to be made now.
    pub(super) fn decide(&self, scene: Scene<'_>) -> Option<Step> {
        let present = &scene.pools[self.pool];
        if scene.isolation == Isolation::Yes {
            return None;
        }
        if scene.commanded.hold.is_some() {
            return self.ramp.as_ref().map(|_| failback::abandon());
        }
        if let Some(prefer) = self.preferred(scene) {
            return Some(prefer);
        }
        if !present.may_serve() {
            return self.leave_pool(scene);
        }
        failback::decide(self, scene)
    }

    /// The move to the pool that an operator prefers.
    fn preferred(&self, scene: Scene<'_>) -> Option<Step> {
        let Prefer { pool, force, enforced } = scene.commanded.prefer?;
        if pool == self.pool {
            return None;
        }
        let target = &scene.pools[pool];
        let may = target.may_serve() || (force == Force::Yes && target.drained == Drained::No);
        // One that was suspended returns as any other pool would: it may be the one that flaps.
        let waited = match enforced {
            Enforced::Now => true,
            Enforced::Suspended => target.record.has_held(scene.now, scene.rules, target),
        };
        (may && waited).then_some(Step::Move(Move {
            to: pool,
            cause: Cause::Commanded,
            evidence: target.evidence(scene.rules.min_up),
            first_evidence: None,
            how: How::Planned,
        }))
    }

    /// The move away from a pool that can't serve, or may not.
    fn leave_pool(&self, scene: Scene<'_>) -> Option<Step> {
        if self.is_forced(scene) {
            return self.ramp.as_ref().map(|_| failback::abandon());
        }
        let present = &scene.pools[self.pool];
        let how = if present.health.is_usable() { How::Planned } else { How::ByHealth };
        let Some(to) = best(scene.pools, |index| index != self.pool && self.is_open(index, how, scene)) else {
            return self.ramp.as_ref().map(|_| failback::abandon()); // there is nothing to return from any more
        };
        let cause = match how {
            How::Planned => Cause::Commanded,
            How::ByHealth => Cause::PoolUnusable,
        };
        let evidence = present.evidence(scene.rules.min_up);
        Some(Step::Move(Move { to, cause, evidence, first_evidence: present.first_evidence(), how }))
    }

    /// Whether an operator forced users to stay at the present pool although it is not usable.
    fn is_forced(&self, scene: Scene<'_>) -> bool {
        scene.commanded.prefer.is_some_and(|prefer| prefer.pool == self.pool && prefer.force == Force::Yes)
    }

    /// Whether that pool may be gone to now.
    fn is_open(&self, index: usize, how: How, scene: Scene<'_>) -> bool {
        match how {
            How::Planned => true,
            How::ByHealth => !self.is_barred(index, scene) && self.is_alive(index, scene),
        }
    }

    /// Whether that pool was left so short a time ago that it is not returned to. Where the present pool answers nobody,
    /// anything is better.
    fn is_barred(&self, index: usize, scene: Scene<'_>) -> bool {
        let left = scene.pools[index].record.left;
        let just_left = left.is_some_and(|left| scene.now < left.after(scene.rules.min_dwell));
        just_left && scene.pools[self.pool].up() > 0
    }

    /// Whether that pool has shown a sign of life since the first evidence against the present one.
    fn is_alive(&self, index: usize, scene: Scene<'_>) -> bool {
        let since = scene.pools[self.pool].first_evidence();
        since.is_none_or(|since| scene.pools[index].last_well().is_some_and(|well| well >= since))
    }

    /// Pools that could be gone to but for a sign of life: they are to be asked for one.
    pub(super) fn unheard<'a>(&'a self, scene: Scene<'a>) -> impl Iterator<Item = usize> + 'a {
        let present = &scene.pools[self.pool];
        let doubted = present.endpoints.iter().any(|endpoint| endpoint.doubt.since().is_some());
        (0..scene.pools.len())
            .filter(move |index| doubted && *index != self.pool && scene.pools[*index].may_serve())
            .filter(move |index| {
                let since = present.endpoints.iter().filter_map(|endpoint| endpoint.doubt.since()).max();
                since.is_some_and(|since| scene.pools[*index].last_well().is_none_or(|well| well < since))
            })
    }

    /// Makes the move.
    pub(super) fn go(&mut self, now: Moment, step: &Move, pools: &mut [Pool]) {
        let calm = now.since(self.since) >= HOUR;
        let record = &mut pools[self.pool].record;
        record.left = Some(now);
        match step.how {
            How::ByHealth => record.note_failover(calm),
            How::Planned => {}
        }
        self.pool = step.to;
        self.since = now;
        self.ramp = None;
        self.leave = None;
    }

    /// How requests are to be routed, once every step was made.
    pub(super) fn route(&self, scene: Scene<'_>) -> Routing {
        if scene.pools[self.pool].may_serve() {
            Routing::Serving
        } else if scene.commanded.hold.is_some() || self.is_forced(scene) {
            Routing::Held
        } else {
            Routing::Panic
        }
    }

    /// Why requests are routed so, where no pool serves.
    pub(super) fn why_panic(&self, scene: Scene<'_>) -> Cause {
        let mut others = (0..scene.pools.len()).filter(|index| *index != self.pool);
        if others.any(|index| scene.pools[index].may_serve() && !self.is_alive(index, scene)) {
            Cause::NoSignOfLife
        } else {
            Cause::NoPoolUsable
        }
    }

    /// The next moment at which time alone would change something.
    pub(super) fn deadline(&self, scene: Scene<'_>) -> Option<(Moment, Why)> {
        if scene.isolation == Isolation::Yes {
            return None;
        }
        let back = failback::deadline(self, scene);
        if scene.pools[self.pool].may_serve() || scene.commanded.hold.is_some() || self.is_forced(scene) {
            return back;
        }
        let open = (0..scene.pools.len())
            .filter(|index| *index != self.pool && scene.pools[*index].may_serve() && self.is_alive(*index, scene));
        let dwells = open.filter_map(|index| scene.pools[index].record.left);
        let dwells = dwells.map(|left| (left.after(scene.rules.min_dwell), Why::DwellOver));
        back.into_iter().chain(dwells.filter(|(at, _)| *at > scene.now)).min_by_key(|(at, _)| *at)
    }

    /// Whether panic, or being held, is right: the present pool can't serve, and nothing better may be gone to.
    pub(super) fn is_rightly_routed(&self, scene: Scene<'_>) -> bool {
        self.routing == self.route(scene) && self.decide(scene).is_none()
    }

    /// Whether the preferred pool can be followed: `None` where there is no preference.
    pub(super) fn enforced(&self, scene: Scene<'_>) -> Option<Enforced> {
        let prefer = scene.commanded.prefer?;
        let follows = prefer.pool == self.pool;
        Some(if follows { Enforced::Now } else { Enforced::Suspended })
    }
}

/// The first in rank among the up, then among the degraded; those that are behind by too much last.
pub(super) fn best(pools: &[Pool], allowed: impl Fn(usize) -> bool) -> Option<usize> {
    let first = |lagging, health| {
        (0..pools.len()).find(|index| {
            let pool = &pools[*index];
            pool.may_serve() && pool.lagging == lagging && pool.health == health && allowed(*index)
        })
    };
    let of = |lagging| first(lagging, PoolHealth::Up).or_else(|| first(lagging, PoolHealth::Degraded));
    of(Lagging::Fresh).or_else(|| of(Lagging::Stale))
}
