//! Where unsafe requests go. Reads may be moved and moved back; writes are the one-way door.
//!
//! - They go to the serving pool alone, if it may take them: `writes`, `writes_after`, an operator.
//! - As soon as they may go to a pool behind the first, it is *diverged*: it may have what the earlier ones lack. Where the
//!   pools share their data (`after_writes = "auto"`), none ever is.
//! - While requests return from a diverged pool they are refused, from the first step to the last; and then until the pool they
//!   returned to says that it lacks nothing, where it can say.
//! - A diverged pool that dies takes its writes with it: they are refused elsewhere until an operator says `ack` or `failback`.
//! - No unsafe request begins at one pool before those begun at another have ended or were left: planned moves wait for them
//!   for `write_drain`, moves by health do not wait.
//!
//! A fence that must be confirmed before the spare takes writes will have its place here, beside `ReadOnly::NotYet`.
//!
//! Not here: which pool serves (`serving`), what happens to one request (`proxy`).

use super::Why;
use super::failback::last_write_elsewhere;
use super::memory::{Diverged, WritesMemory};
use super::pool::Pool;
use super::serving::{How, Scene, Serving};
use super::setup::{AfterWrites, PoolWrites};
use super::snapshot::{ReadOnly, Writes};
use super::transition::Cause;
use super::units::{Moment, PoolIndex};
use std::time::Duration;

/// Where unsafe requests go, and what must happen before they may go elsewhere.
#[derive(Clone, Debug)]
pub(super) struct WritesState {
    /// What was last told.
    pub stands: Writes,
    pub block: WritesMemory,
    pause: Option<Pause>,
}

/// A planned move waits for writes that run elsewhere.
#[derive(Clone, Copy, Debug)]
struct Pause {
    began: Moment,
    until: Moment,
}

/// What was found when the writes were looked at.
#[derive(Debug)]
pub(super) struct Looked {
    pub to: Writes,
    pub cause: Cause,
    /// Pools at which writes were left running.
    pub left: Vec<(usize, u32)>,
}

impl WritesState {
    pub(super) fn new(serving: usize) -> WritesState {
        WritesState { stands: Writes::To(PoolIndex(serving)), block: WritesMemory::AsUsual, pause: None }
    }

    /// The serving pool has moved. Returns whether `from` no longer counts as diverged.
    pub(super) fn moved(&mut self, from: usize, to: usize, how: How, scene: Scene<'_>) -> Diverged {
        let diverged = scene.pools[from].record.diverged;
        let back = scene.pools[to].record.diverged == Diverged::Yes;
        self.pause = match how {
            How::ByHealth => None,
            How::Planned => Some(Pause { began: scene.now, until: scene.now.after(scene.rules.write_drain) }),
        };
        match (diverged, how) {
            (Diverged::No, How::ByHealth | How::Planned) => {
                if back {
                    self.block = WritesMemory::AsUsual; // it has what it took, and what was refused since went nowhere
                }
                Diverged::No
            }
            (Diverged::Yes, How::Planned) if to < from => {
                self.block = match scene.rules.after_writes {
                    AfterWrites::InSync => WritesMemory::UntilInSync,
                    AfterWrites::Manual | AfterWrites::Auto => WritesMemory::AsUsual,
                };
                Diverged::No
            }
            (Diverged::Yes, How::ByHealth | How::Planned) => {
                self.block = WritesMemory::UntilAck;
                Diverged::Yes
            }
        }
    }

    /// Where they go as things stand. Ends pauses and blocks whose reason is gone.
    pub(super) fn look(&mut self, serving: &Serving, scene: Scene<'_>) -> Looked {
        let mut cause = Cause::ServingChanged;
        if scene.rules.after_writes == AfterWrites::Auto {
            self.block = WritesMemory::AsUsual; // the pools share their data
        }
        if self.block == WritesMemory::UntilInSync {
            let pool = &scene.pools[serving.pool];
            if pool.is_in_sync(Duration::ZERO, last_write_elsewhere(serving.pool, scene.pools)) {
                self.block = WritesMemory::AsUsual;
                cause = Cause::InSync;
            }
        }
        if let Some(refused) = self.refused(serving, scene) {
            if let ReadOnly::Commanded = refused {
                cause = Cause::Commanded;
            }
            return Looked { to: Writes::Refused(refused), cause, left: Vec::new() };
        }
        match self.stands {
            Writes::Refused(ReadOnly::NotYet { .. }) => cause = Cause::TimeOver,
            Writes::Refused(ReadOnly::Commanded | ReadOnly::UntilAck) => cause = Cause::Commanded,
            Writes::To(_)
            | Writes::Pausing { .. }
            | Writes::Refused(ReadOnly::Pool | ReadOnly::FailingBack | ReadOnly::CatchingUp) => {}
        }
        let to = PoolIndex(serving.pool);
        if self.stands == Writes::To(to) {
            self.pause = None;
            return Looked { to: self.stands, cause, left: Vec::new() };
        }
        let running: Vec<(usize, u32)> = elsewhere(serving.pool, scene.pools).filter(|(_, count)| *count > 0).collect();
        let Some(pause) = self.pause else {
            return Looked { to: Writes::To(to), cause, left: running };
        };
        let known = scene.pools.iter().enumerate().filter(|(index, _)| *index != serving.pool);
        let known = known.filter_map(|(_, pool)| pool.writes_running().1).min().is_none_or(|at| at > pause.began);
        if known && running.is_empty() {
            self.pause = None;
            return Looked { to: Writes::To(to), cause: Cause::WritesEnded, left: running };
        }
        if pause.until <= scene.now {
            self.pause = None;
            return Looked { to: Writes::To(to), cause: Cause::TimeOver, left: running };
        }
        Looked { to: Writes::Pausing { to, until: pause.until }, cause, left: Vec::new() }
    }

    /// Why they are refused, if they are.
    fn refused(&self, serving: &Serving, scene: Scene<'_>) -> Option<ReadOnly> {
        if scene.commanded.read_only.is_some() {
            return Some(ReadOnly::Commanded);
        }
        match self.block {
            WritesMemory::UntilAck => return Some(ReadOnly::UntilAck),
            WritesMemory::UntilInSync => return Some(ReadOnly::CatchingUp),
            WritesMemory::AsUsual => {}
        }
        let pool = &scene.pools[serving.pool];
        let shared = scene.rules.after_writes == AfterWrites::Auto;
        // Whether or not it has diverged yet: a door that opened now would let in what `after_writes` was not asked about.
        if serving.ramp.is_some() && !shared {
            return Some(ReadOnly::FailingBack);
        }
        match pool.writes {
            PoolWrites::Refuse => Some(ReadOnly::Pool),
            PoolWrites::After(_) if serving.pool == 0 => None,
            PoolWrites::After(wait) => {
                let until = serving.since.after(wait);
                (until > scene.now).then_some(ReadOnly::NotYet { until })
            }
        }
    }

    /// When time alone will change it.
    pub(super) fn deadline(&self) -> Option<(Moment, Why)> {
        match self.stands {
            Writes::Refused(ReadOnly::NotYet { until }) => Some((until, Why::WritesAfterOver)),
            Writes::Pausing { until, .. } => Some((until, Why::WriteDrainOver)),
            Writes::To(_)
            | Writes::Refused(
                ReadOnly::Commanded
                | ReadOnly::Pool
                | ReadOnly::FailingBack
                | ReadOnly::CatchingUp
                | ReadOnly::UntilAck,
            ) => None,
        }
    }
}

/// Unsafe requests that run at other pools.
fn elsewhere(serving: usize, pools: &[Pool]) -> impl Iterator<Item = (usize, u32)> {
    let others = pools.iter().enumerate().filter(move |(index, _)| *index != serving);
    others.map(|(index, pool)| (index, pool.writes_running().0))
}
