//! The way back to an earlier pool: what it waits for, and the ramp.
//!
//! Going back waits for the hold-down, which doubles with each failover away from that pool: a primary that flaps for hours
//! moves its users a handful of times. It waits for the probes of that time, for a fault that keeps coming back to stay away,
//! and, where the present pool has taken writes that the earlier one lacks, for what `after_writes` asks.
//!
//! **The ramp** moves safe requests back bit by bit, by client, and writes all at once at its end. If the returning pool does
//! worse than the one that serves, everyone stays where they are, and that counts as a flap.
//!
//! Not here: leaving a pool that can't serve (`serving`), where writes go meanwhile (`writes`).

use super::Why;
use super::evidence::ProbeResult;
use super::memory::Diverged;
use super::pool::Pool;
use super::serving::{Flap, How, Move, Scene, Serving, Step};
use super::setup::{AfterWrites, Failback, Rules};
use super::snapshot::{Drained, Lagging, Waiting};
use super::transition::{Cause, Evidence, Steadiness};
use super::units::{HOUR, Moment, PoolIndex, doubled};
use std::time::Duration;

/// No hold-down is longer, unless `stable_for` itself is.
const LONGEST_HOLD_DOWN: Duration = HOUR;
/// Reads prove nothing about writes: a pool whose endpoint failed those is waited for this long at least.
const AFTER_FAILED_WRITES: Duration = Duration::from_secs(300);
/// So many missed probes never keep a pool from serving again.
const MISSES_ALLOWED: u32 = 2;
/// Past those, so many must pass for each one missed: 99 %.
const PASSES_PER_MISS: u64 = 99;
/// In sync, where `max_lag` says nothing else.
const IN_SYNC: Duration = Duration::from_secs(1);
/// A ramp is judged by so many requests at the returning pool, and by so many blamed failures among them: at least so many of
/// a hundred, for less is noise.
const JUDGED_BY: u32 = 100;
const BLAMED: u32 = 3;
const BLAMED_PERCENT: u64 = 1;

/// What is remembered of a pool.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// When it last stopped serving.
    pub left: Option<Moment>,
    /// Failovers away from it since it last served a whole hour without one.
    pub failovers: u32,
    /// One of its endpoints was ejected for its unsafe requests since it last began to serve.
    pub writes_failed: bool,
    /// It may have taken writes that earlier pools lack.
    pub diverged: Diverged,
    /// When an unsafe request was last seen to run or end there.
    pub last_write: Option<Moment>,
    /// While it could take the serving pool's place.
    well: Option<Well>,
    /// Requests, and blamed failures, since the ramp began.
    pub ramped: Ramped,
}

/// For how long, and how well.
#[derive(Clone, Debug)]
struct Well {
    since: Moment,
    passed: u32,
    missed: u32,
}

/// What a pool's requests met since the ramp began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ramped {
    pub blamed: u32,
    pub of: u32,
}

/// A failback under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ramping {
    pub to: usize,
    pub began: Moment,
}

impl Default for Record {
    fn default() -> Record {
        Record {
            left: None,
            failovers: 0,
            writes_failed: false,
            diverged: Diverged::No,
            last_write: None,
            well: None,
            ramped: Ramped::default(),
        }
    }
}

impl Record {
    pub(super) fn note_probe(&mut self, result: ProbeResult) {
        if let Some(well) = &mut self.well {
            match result {
                ProbeResult::Passed => well.passed = well.passed.saturating_add(1),
                ProbeResult::Failed(_) => well.missed = well.missed.saturating_add(1),
                ProbeResult::Void(_) => {}
            }
        }
    }

    /// A failover away from it, after it had served `calm`ly for a whole hour or not.
    pub(super) fn note_failover(&mut self, calm: bool) {
        self.failovers = if calm { 1 } else { self.failovers.saturating_add(1) };
    }

    /// Its wait begins anew.
    pub(super) fn restart(&mut self) {
        self.well = None;
    }

    fn hold_down(&self, rules: &Rules) -> Duration {
        let stable_for = if self.writes_failed { rules.stable_for.max(AFTER_FAILED_WRITES) } else { rules.stable_for };
        doubled(stable_for, self.failovers, LONGEST_HOLD_DOWN)
    }

    /// When the hold-down is over, if it stays well.
    fn held_at(&self, rules: &Rules) -> Option<Moment> {
        Some(self.well.as_ref()?.since.after(self.hold_down(rules)))
    }

    /// Whether it was well for its whole hold-down.
    pub(super) fn has_held(&self, now: Moment, rules: &Rules, pool: &Pool) -> bool {
        pool.may_serve() && self.held_at(rules).is_some_and(|at| at <= now)
    }

    /// Whether its probes passed so often that it may serve. A miss extends the wait, it does not restart it.
    fn probes_agree(&self) -> bool {
        self.well.as_ref().is_some_and(|well| {
            well.missed <= MISSES_ALLOWED || u64::from(well.passed) >= PASSES_PER_MISS * u64::from(well.missed)
        })
    }
}

/// Notes which pools are well enough to take the serving pool's place, and since when.
pub(super) fn track(now: Moment, serving: &Serving, prefer: Option<usize>, pools: &mut [Pool]) {
    for index in 0..pools.len() {
        let is_asked = index < serving.pool || (prefer == Some(index) && index != serving.pool);
        let well = is_asked && pools[index].may_serve() && pools[index].is_as_well_as(&pools[serving.pool]);
        let record = &mut pools[index].record;
        match (well, &record.well) {
            (true, None) => record.well = Some(Well { since: now, passed: 0, missed: 0 }),
            (true, Some(_)) => {}
            (false, _) => record.well = None,
        }
    }
}

/// The step back that is to be made now, while the serving pool may serve.
pub(super) fn decide(serving: &Serving, scene: Scene<'_>) -> Option<Step> {
    if let Some(ramp) = serving.ramp {
        return step_on(serving, ramp, scene);
    }
    if let Some(to) = serving.leave.filter(|to| scene.pools[*to].may_serve()) {
        return Some(begin(to, Cause::Commanded, scene));
    }
    if scene.rules.failback == Failback::Manual || scene.commanded.prefer.is_some() {
        return None;
    }
    let to = (0..serving.pool).find(|index| obstacle(*index, serving, scene).is_none())?;
    Some(begin(to, Cause::HoldDownOver, scene))
}

fn begin(to: usize, cause: Cause, scene: Scene<'_>) -> Step {
    let record = &scene.pools[to].record;
    let up_for = record.well.as_ref().map_or(Duration::ZERO, |well| scene.now.since(well.since));
    let evidence = Evidence::HeldDown { up_for, needed: record.hold_down(scene.rules) };
    if scene.rules.ramp.is_zero() {
        Step::Move(Move { to, cause, evidence, first_evidence: None, how: How::Planned })
    } else {
        Step::BeginRamp { to, cause, evidence }
    }
}

/// An operator wants it otherwise.
pub(super) fn abandon() -> Step {
    Step::AbortRamp { cause: Cause::Commanded, evidence: Evidence::Configured, flap: Flap::NotCounted }
}

/// The end of a ramp, one way or the other.
fn step_on(serving: &Serving, ramp: Ramping, scene: Scene<'_>) -> Option<Step> {
    let (to, from) = (&scene.pools[ramp.to], &scene.pools[serving.pool]);
    if scene.commanded.prefer.is_some() {
        return Some(abandon());
    }
    if to.drained == Drained::Yes {
        return Some(abandon());
    }
    if !to.may_serve() {
        let evidence = to.evidence(scene.rules.min_up);
        return Some(Step::AbortRamp { cause: Cause::RampLost, evidence, flap: Flap::Counted });
    }
    let (at_to, at_from) = (to.record.ramped, from.record.ramped);
    let worse =
        u64::from(at_to.blamed) * u64::from(at_from.of.max(1)) >= 2 * u64::from(at_from.blamed) * u64::from(at_to.of);
    let evidence =
        Evidence::Ramp { blamed: at_to.blamed, of: at_to.of, blamed_serving: at_from.blamed, of_serving: at_from.of };
    let noise = u64::from(at_to.blamed) * 100 < BLAMED_PERCENT * u64::from(at_to.of);
    if at_to.of >= JUDGED_BY && at_to.blamed >= BLAMED && worse && !noise {
        return Some(Step::AbortRamp { cause: Cause::RampFailures, evidence, flap: Flap::Counted });
    }
    let over = ramp.began.after(scene.rules.ramp) <= scene.now;
    over.then_some(Step::Move(Move {
        to: ramp.to,
        cause: Cause::RampOver,
        evidence,
        first_evidence: None,
        how: How::Planned,
    }))
}

/// What stands between the serving pool and an earlier one; `None`: nothing.
fn obstacle(index: usize, serving: &Serving, scene: Scene<'_>) -> Option<Waiting> {
    let (target, pool) = (&scene.pools[index], PoolIndex(index));
    let record = &target.record;
    if target.drained == Drained::Yes {
        return Some(Waiting::Drained { pool });
    }
    let Some(until) = record.held_at(scene.rules) else { return Some(Waiting::NotWell { pool }) };
    if target.lagging == Lagging::Stale && scene.pools[serving.pool].lagging == Lagging::Fresh {
        return Some(Waiting::Stale { pool });
    }
    if until > scene.now {
        return Some(Waiting::HoldDown { pool, until });
    }
    if !record.probes_agree() {
        return Some(Waiting::Probes { pool });
    }
    if target.endpoints.iter().any(|endpoint| endpoint.errored.steadiness() == Steadiness::Intermittent) {
        return Some(Waiting::Intermittent { pool });
    }
    after_writes(index, serving, scene)
}

/// What `after_writes` has to say, where the serving pool has diverged.
fn after_writes(index: usize, serving: &Serving, scene: Scene<'_>) -> Option<Waiting> {
    let rule = scene.rules.after_writes;
    let diverged = scene.pools[serving.pool].record.diverged == Diverged::Yes;
    let agrees = match rule {
        AfterWrites::Auto => true,
        AfterWrites::Manual => !diverged,
        AfterWrites::InSync => {
            let most = scene.rules.max_lag.unwrap_or(IN_SYNC);
            !diverged || scene.pools[index].is_in_sync(most, last_write_elsewhere(index, scene.pools))
        }
    };
    (!agrees).then_some(Waiting::AfterWrites { pool: PoolIndex(index), rule })
}

/// When an unsafe request was last seen at any other pool.
pub(super) fn last_write_elsewhere(index: usize, pools: &[Pool]) -> Option<Moment> {
    let others = pools.iter().enumerate().filter(|(other, _)| *other != index);
    others.filter_map(|(_, pool)| pool.record.last_write).max()
}

/// What failback waits for, in the order in which one would ask.
pub(super) fn waiting(serving: &Serving, scene: Scene<'_>) -> Option<Waiting> {
    if serving.pool == 0 {
        return None;
    }
    if let Some(ramp) = serving.ramp {
        return Some(Waiting::Ramp { pool: PoolIndex(ramp.to), until: ramp.began.after(scene.rules.ramp) });
    }
    if scene.commanded.hold.is_some() || scene.commanded.prefer.is_some() {
        return Some(Waiting::Commanded { pool: PoolIndex(0) });
    }
    let all = (0..serving.pool)
        .map(|index| obstacle(index, serving, scene).unwrap_or(Waiting::Manual { pool: PoolIndex(index) }));
    all.min_by_key(nearness)
}

/// The nearest to a failback first; of equals the first in rank.
fn nearness(waiting: &Waiting) -> (u8, Moment) {
    match waiting {
        Waiting::Manual { .. } => (0, Moment::ZERO),
        Waiting::AfterWrites { .. } => (1, Moment::ZERO),
        Waiting::HoldDown { until, .. } => (2, *until),
        Waiting::Probes { .. } => (3, Moment::ZERO),
        Waiting::Intermittent { .. } => (4, Moment::ZERO),
        Waiting::Stale { .. } => (5, Moment::ZERO),
        Waiting::NotWell { .. } | Waiting::Drained { .. } | Waiting::Commanded { .. } | Waiting::Ramp { .. } => {
            (6, Moment::ZERO)
        }
    }
}

/// The next moment at which time alone would change something.
pub(super) fn deadline(serving: &Serving, scene: Scene<'_>) -> Option<(Moment, Why)> {
    if scene.commanded.hold.is_some() {
        return None;
    }
    let ramp = serving.ramp.map(|ramp| (ramp.began.after(scene.rules.ramp), Why::RampOver));
    // Where failback is manual, whether an operator may go back is told all the same.
    let earlier = (0..serving.pool).filter(|_| scene.commanded.prefer.is_none());
    let wanted = scene.commanded.prefer.map(|prefer| prefer.pool).filter(|pool| *pool != serving.pool);
    let holds = earlier.chain(wanted).filter_map(|index| scene.pools[index].record.held_at(scene.rules));
    let holds = holds.map(|at| (at, Why::HoldDownOver)).filter(|(at, _)| *at > scene.now);
    ramp.into_iter().chain(holds).min_by_key(|(at, _)| *at)
}

#[cfg(test)]
mod tests;
