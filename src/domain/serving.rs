//! Which pool serves: failover, panic, failback.
//!
//! Leaving a pool that can't serve is never delayed, except back to one that was left less than `min_dwell` ago, and then
//! only while the present one still answers some: two pools that fail in turn would otherwise throw users to and fro, and
//! panic, which tries both, serves them better. Going back to an earlier pool that is well again waits for its hold-down,
//! which doubles with each failover away from it: a primary that flaps for hours moves its users a handful of times.
//!
//! Everything here is a function of what stands now. A deadline is a moment at which it would decide otherwise, so whoever
//! settles then, or later, misses nothing.
//!
//! Not here: when a pool is usable (`pool`); telling of the moves (`backend`).

use super::Why;
use super::evidence::ProbeResult;
use super::pool::{Pool, PoolHealth};
use super::setup::{Failback, Rules};
use super::snapshot::Waiting;
use super::transition::{Cause, Evidence, Routing};
use super::units::{HOUR, Moment, PoolIndex, doubled};
use std::time::Duration;

/// No hold-down is longer, unless `stable_for` itself is.
const LONGEST_HOLD_DOWN: Duration = HOUR;
/// So many missed probes never keep a pool from serving again.
const MISSES_ALLOWED: u32 = 2;
/// Past those, so many must pass for each one missed: 99 %.
const PASSES_PER_MISS: u64 = 99;

/// What failback remembers of a pool.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// When it last stopped serving.
    left: Option<Moment>,
    /// Failovers away from it since it last served a whole hour without one.
    failovers: u32,
    /// While it ranks before the serving pool and could take its place.
    well: Option<Well>,
}

/// For how long, and how well.
#[derive(Debug)]
struct Well {
    since: Moment,
    passed: u32,
    missed: u32,
}

impl Record {
    pub(super) fn note_probe(&mut self, result: ProbeResult) {
        if let Some(well) = &mut self.well {
            match result {
                ProbeResult::Passed => well.passed = well.passed.saturating_add(1),
                ProbeResult::Failed(_) => well.missed = well.missed.saturating_add(1),
            }
        }
    }

    fn hold_down(&self, rules: &Rules) -> Duration {
        doubled(rules.stable_for, self.failovers, LONGEST_HOLD_DOWN)
    }
}

impl Well {
    /// Whether its probes passed so often that it may serve. A miss extends the wait, it does not restart it.
    fn probes_agree(&self) -> bool {
        self.missed <= MISSES_ALLOWED || u64::from(self.passed) >= PASSES_PER_MISS * u64::from(self.missed)
    }
}

/// The serving pool of one backend.
#[derive(Debug)]
pub(super) struct Serving {
    pub pool: usize,
    pub since: Moment,
    pub routing: Routing,
}

/// A change of the serving pool.
#[derive(Debug, PartialEq)]
pub(super) struct Move {
    pub to: usize,
    pub cause: Cause,
    pub evidence: Evidence,
}

/// An earlier pool that is well.
struct Return {
    pool: usize,
    until: Moment,
    probes_agree: bool,
}

impl Serving {
    pub(super) fn new(pool: usize, now: Moment) -> Serving {
        Serving { pool, since: now, routing: Routing::Serving }
    }

    /// Notes which earlier pools are well, and since when.
    pub(super) fn track(&self, now: Moment, pools: &mut [Pool]) {
        for index in 0..pools.len() {
            let well =
                index < self.pool && pools[index].health.is_usable() && pools[index].is_as_well_as(&pools[self.pool]);
            let record = &mut pools[index].record;
            match (well, &record.well) {
                (true, None) => record.well = Some(Well { since: now, passed: 0, missed: 0 }),
                (true, Some(_)) => {}
                (false, _) => record.well = None,
            }
        }
    }

    /// The move that is to be made now.
    pub(super) fn decide(&self, now: Moment, pools: &[Pool], rules: &Rules) -> Option<Move> {
        let present = &pools[self.pool];
        if !present.health.is_usable() {
            let to = best(pools, |index| !self.is_barred(index, now, pools, rules))?;
            return Some(Move { to, cause: Cause::PoolUnusable, evidence: present.evidence(rules.min_up) });
        }
        match rules.failback {
            Failback::Manual => None,
            Failback::Auto => {
                let back = self.returns(pools, rules).find(|back| back.until <= now && back.probes_agree)?;
                let record = &pools[back.pool].record;
                let up_for = record.well.as_ref().map_or(Duration::ZERO, |well| now.since(well.since));
                let evidence = Evidence::HeldDown { up_for, needed: record.hold_down(rules) };
                Some(Move { to: back.pool, cause: Cause::HoldDownOver, evidence })
            }
        }
    }

    /// Makes the move.
    pub(super) fn go(&mut self, now: Moment, to: usize, cause: Cause, pools: &mut [Pool]) {
        let record = &mut pools[self.pool].record;
        record.left = Some(now);
        if cause == Cause::PoolUnusable {
            let calm = now.since(self.since) >= HOUR;
            record.failovers = if calm { 1 } else { record.failovers.saturating_add(1) };
        }
        self.pool = to;
        self.since = now;
    }

    /// How requests are to be routed, once every move was made.
    pub(super) fn route(&self, pools: &[Pool]) -> Routing {
        if pools[self.pool].health.is_usable() { Routing::Serving } else { Routing::Panic }
    }

    /// The next moment at which time alone would change something.
    pub(super) fn deadline(&self, now: Moment, pools: &[Pool], rules: &Rules) -> Option<(Moment, Why)> {
        let usable = pools[self.pool].health.is_usable();
        // In panic nothing fails back; whether an operator may, changes all the same.
        let failback_counts = usable || rules.failback == Failback::Manual;
        let back = self.next_return(pools, rules).filter(|back| failback_counts && back.probes_agree);
        let back = back.map(|back| (back.until, Why::HoldDownOver));
        let barred = |index: &usize| !usable && pools[*index].health.is_usable();
        let dwells = (0..pools.len()).filter(barred).filter_map(|index| pools[index].record.left);
        let dwells = dwells.map(|left| (left.after(rules.min_dwell), Why::DwellOver));
        back.into_iter().chain(dwells).filter(|(at, _)| *at > now).min_by_key(|(at, _)| *at)
    }

    /// What failback waits for.
    pub(super) fn waiting(&self, now: Moment, pools: &[Pool], rules: &Rules) -> Option<Waiting> {
        if self.pool == 0 {
            return None;
        }
        let Some(next) = self.next_return(pools, rules) else {
            return Some(Waiting::NotWell { pool: PoolIndex(0) });
        };
        let pool = PoolIndex(next.pool);
        let over = next.until <= now && next.probes_agree;
        match rules.failback {
            Failback::Manual if over => Some(Waiting::Manual { pool }),
            Failback::Manual | Failback::Auto => Some(Waiting::HoldDown { pool, until: next.until }),
        }
    }

    /// Of the earlier pools that are well the one to be returned to first.
    fn next_return(&self, pools: &[Pool], rules: &Rules) -> Option<Return> {
        self.returns(pools, rules).min_by_key(|back| (!back.probes_agree, back.until))
    }

    /// The earlier pools that are well, by rank.
    fn returns<'a>(&self, pools: &'a [Pool], rules: &'a Rules) -> impl Iterator<Item = Return> + 'a {
        pools[..self.pool].iter().enumerate().filter_map(|(pool, Pool { record, .. })| {
            let well = record.well.as_ref()?;
            let until = well.since.after(record.hold_down(rules));
            Some(Return { pool, until, probes_agree: well.probes_agree() })
        })
    }

    /// Whether that pool was left so short a time ago that it is not returned to. Where the present pool answers nobody,
    /// anything is better.
    fn is_barred(&self, index: usize, now: Moment, pools: &[Pool], rules: &Rules) -> bool {
        let just_left = pools[index].record.left.is_some_and(|left| now < left.after(rules.min_dwell));
        just_left && pools[self.pool].up() > 0
    }

    /// Whether panic is right: the present pool is not usable, and no other is but those barred.
    pub(super) fn panic_is_right(&self, now: Moment, pools: &[Pool], rules: &Rules) -> bool {
        let others = |index: &usize| *index == self.pool || !self.is_barred(*index, now, pools, rules);
        !(0..pools.len()).filter(others).any(|index| pools[index].health.is_usable())
    }
}

/// The first in rank among the up, then among the degraded.
pub(super) fn best(pools: &[Pool], allowed: impl Fn(usize) -> bool) -> Option<usize> {
    let first = |health| (0..pools.len()).find(|index| pools[*index].health == health && allowed(*index));
    first(PoolHealth::Up).or_else(|| first(PoolHealth::Degraded))
}

#[cfg(test)]
mod tests {
    use super::super::evidence::ProbeFailure;
    use super::super::fixtures::{rules, secs};
    use super::*;

    fn well(passed: u32, missed: u32) -> bool {
        let mut record = Record { well: Some(Well { since: Moment::ZERO, passed: 0, missed: 0 }), ..Record::default() };
        (0..passed).for_each(|_| record.note_probe(ProbeResult::Passed));
        (0..missed).for_each(|_| record.note_probe(ProbeResult::Failed(ProbeFailure::Timeout)));
        record.well.unwrap().probes_agree()
    }

    #[test]
    fn two_misses_are_forgiven_and_each_more_wants_ninety_nine_percent() {
        assert_eq!([well(0, 0), well(0, 2), well(296, 3), well(297, 3)], [true, true, false, true]);
    }

    #[test]
    fn the_hold_down_doubles_with_each_failover_up_to_an_hour() {
        let held = |failovers| Record { failovers, ..Record::default() }.hold_down(&rules()).as_secs();
        assert_eq!([0, 1, 2, 3, 6, 7, 40].map(held), [60, 60, 120, 240, 1_920, 3_600, 3_600]);
    }

    #[test]
    fn failovers_are_forgotten_after_a_whole_hour_of_serving() {
        let record_after = |served: u64, cause| {
            let mut pools = [0, 1].map(|n| Pool {
                name: format!("p{n}").into(),
                endpoints: Vec::new(),
                health: PoolHealth::Down,
                record: Record { failovers: 4, ..Record::default() },
            });
            let mut serving = Serving::new(0, secs(100));
            serving.go(secs(100 + served), 1, cause, &mut pools);
            assert_eq!((serving.pool, serving.since), (1, secs(100 + served)));
            assert_eq!(pools[0].record.left, Some(secs(100 + served)));
            pools[0].record.failovers
        };
        assert_eq!(record_after(3_599, Cause::PoolUnusable), 5);
        assert_eq!(record_after(3_600, Cause::PoolUnusable), 1);
        assert_eq!(record_after(10, Cause::HoldDownOver), 4);
    }
}
