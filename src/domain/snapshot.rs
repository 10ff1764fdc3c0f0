//! The model's picture of itself: what the published view is built from. A backend's part is shared with the snapshot
//! before it (`Arc::ptr_eq`) when nothing in it changed.

use super::commands::Command;
use super::endpoint::{Health, Out};
use super::memory::Diverged;
use super::pool::PoolHealth;
use super::setup::AfterWrites;
use super::transition::{Isolation, Routing, Steadiness};
use super::units::{EndpointId, Moment, Name, PoolIndex};
use std::sync::Arc;
use std::time::Duration;

/// Every backend, in the order of the setup.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub backends: Vec<Arc<BackendSnapshot>>,
    pub isolation: Isolation,
}

/// One backend; pools in the order of the setup.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendSnapshot {
    pub name: Name,
    pub serving: PoolIndex,
    /// Since when that pool serves.
    pub serving_since: Moment,
    pub routing: Routing,
    /// Safe requests are on their way back to an earlier pool.
    pub ramp: Option<Ramp>,
    pub writes: Writes,
    pub pools: Vec<PoolSnapshot>,
    /// What failback waits for, when a pool of lower rank number than the serving one exists.
    pub waiting: Option<Waiting>,
    /// Commands that stand for this backend, and drains of what is in it.
    pub standing: Vec<Standing>,
}

/// A failback under way: the share of safe requests, by client, that go to `to` already grows evenly from 5 % at `began` to
/// all when it has lasted `over`; then `to` becomes the serving pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    pub to: PoolIndex,
    pub began: Moment,
    pub over: Duration,
}

/// Where unsafe requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// To that pool alone.
    To(PoolIndex),
    /// They wait: those that run at the pool they went to before end first, or are left at `until`.
    Pausing { to: PoolIndex, until: Moment },
    /// They get the read-only page.
    Refused(ReadOnly),
}

impl Writes {
    /// The word for it in metrics and status.
    pub const fn name(self) -> &'static str {
        match self {
            Writes::To(_) => "taken",
            Writes::Pausing { .. } => "waiting",
            Writes::Refused(_) => "refused",
        }
    }

    /// Why they are refused, if they are.
    pub const fn reason(self) -> Option<ReadOnly> {
        match self {
            Writes::Refused(why) => Some(why),
            Writes::To(_) | Writes::Pausing { .. } => None,
        }
    }

    /// The moment at which they go on at the latest, where that is known.
    pub const fn until(self) -> Option<Moment> {
        match self {
            Writes::Pausing { until, .. } | Writes::Refused(ReadOnly::NotYet { until }) => Some(until),
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

impl Out {
    /// The word for it in status and journal.
    pub const fn name(self) -> &'static str {
        match self {
            Out::ByProbes { .. } => "probes",
            Out::ByRefusals { .. } => "refusals",
            Out::Ejected { .. } => "ejected",
        }
    }
}

/// Why unsafe requests are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOnly {
    /// An operator said so.
    Commanded,
    /// The serving pool is configured so.
    Pool,
    /// The serving pool takes writes only once it has served until then.
    NotYet { until: Moment },
    /// Requests return from a pool that has taken writes.
    FailingBack,
    /// They have returned, and what was written elsewhere is not all there yet.
    CatchingUp,
    /// The pool that took writes died; what it took is not elsewhere. Until `ack` or `failback`.
    UntilAck,
}

impl ReadOnly {
    /// The word for it in status and journal.
    pub const fn name(self) -> &'static str {
        match self {
            ReadOnly::Commanded => "commanded",
            ReadOnly::Pool => "pool",
            ReadOnly::NotYet { .. } => "not_yet",
            ReadOnly::FailingBack => "failing_back",
            ReadOnly::CatchingUp => "catching_up",
            ReadOnly::UntilAck => "until_ack",
        }
    }
}

/// What stands between the backend and its earlier pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Waiting {
    /// That pool is not usable, or has a smaller share of its endpoints up than the serving pool.
    NotWell {
        pool: PoolIndex,
    },
    /// It is behind by too much.
    Stale {
        pool: PoolIndex,
    },
    Drained {
        pool: PoolIndex,
    },
    /// That pool is well; failback comes (or, where it is manual, is advised) at `until` if it stays so.
    HoldDown {
        pool: PoolIndex,
        until: Moment,
    },
    /// Too many of its probes failed meanwhile: it comes when 99 % of them have passed.
    Probes {
        pool: PoolIndex,
    },
    /// An endpoint of it is intermittent.
    Intermittent {
        pool: PoolIndex,
    },
    /// Writes made elsewhere: what is asked of them.
    AfterWrites {
        pool: PoolIndex,
        rule: AfterWrites,
    },
    /// That pool has been well for long enough; failback is manual.
    Manual {
        pool: PoolIndex,
    },
    /// An operator prefers the serving pool, or holds it.
    Commanded {
        pool: PoolIndex,
    },
    /// It is under way.
    Ramp {
        pool: PoolIndex,
        until: Moment,
    },
}

impl Waiting {
    /// The pool that is waited for.
    pub const fn pool(self) -> PoolIndex {
        match self {
            Waiting::NotWell { pool }
            | Waiting::Stale { pool }
            | Waiting::Drained { pool }
            | Waiting::HoldDown { pool, .. }
            | Waiting::Probes { pool }
            | Waiting::Intermittent { pool }
            | Waiting::AfterWrites { pool, .. }
            | Waiting::Manual { pool }
            | Waiting::Commanded { pool }
            | Waiting::Ramp { pool, .. } => pool,
        }
    }

    /// The word for it in status and journal.
    pub const fn name(self) -> &'static str {
        match self {
            Waiting::NotWell { .. } => "not_well",
            Waiting::Stale { .. } => "stale",
            Waiting::Drained { .. } => "drained",
            Waiting::HoldDown { .. } => "hold_down",
            Waiting::Probes { .. } => "probes",
            Waiting::Intermittent { .. } => "intermittent",
            Waiting::AfterWrites { .. } => "after_writes",
            Waiting::Manual { .. } => "manual",
            Waiting::Commanded { .. } => "commanded",
            Waiting::Ramp { .. } => "ramp",
        }
    }

    /// The moment at which it may be over, where that is known.
    pub const fn until(self) -> Option<Moment> {
        match self {
            Waiting::HoldDown { until, .. } | Waiting::Ramp { until, .. } => Some(until),
            Waiting::NotWell { .. }
            | Waiting::Stale { .. }
            | Waiting::Drained { .. }
            | Waiting::Probes { .. }
            | Waiting::Intermittent { .. }
            | Waiting::AfterWrites { .. }
            | Waiting::Manual { .. }
            | Waiting::Commanded { .. } => None,
        }
    }

    /// Whether it waits for the same thing, if perhaps until another moment.
    pub fn is_like(self, other: Waiting) -> bool {
        self.name() == other.name() && self.pool() == other.pool()
    }
}

/// A command that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub command: Command,
    pub since: Moment,
    /// When `--for` ends.
    pub ends: Option<Moment>,
    pub force: Enforced,
}

/// Whether a command is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforced {
    Now,
    /// A failover whose pool is not usable while another is.
    Suspended,
}

/// One pool; endpoints in the order of the setup.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSnapshot {
    pub name: Name,
    pub health: PoolHealth,
    pub lagging: Lagging,
    pub drained: Drained,
    pub diverged: Diverged,
    pub endpoints: Vec<EndpointSnapshot>,
}

/// Whether a pool is behind by too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lagging {
    Fresh,
    Stale,
}

impl Lagging {
    /// The word for it in status and journal.
    pub const fn name(self) -> &'static str {
        match self {
            Lagging::Fresh => "fresh",
            Lagging::Stale => "stale",
        }
    }
}

/// Whether an operator keeps new requests away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    No,
    Yes,
}

/// One endpoint. Counters inside `health` that change with every probe are not told: they stand at zero here, so that a
/// passed probe does not make a new view.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSnapshot {
    pub id: EndpointId,
    pub name: Name,
    pub health: Health,
    /// Since when it is in that state.
    pub since: Moment,
    pub drained: Drained,
    pub steadiness: Steadiness,
    /// Up from probation: gets its full share of requests only from then on, and a growing one from `since`.
    pub warm_at: Option<Moment>,
    /// How far behind it says it is, to within a second or a tenth, so that not each probe makes a new view; `None` if it does not
    /// say, or is not heard any more.
    pub lag: Option<Duration>,
}

impl PoolSnapshot {
    /// Whether the rules may send requests there: usable, and not drained.
    pub fn may_serve(&self) -> bool {
        self.health.is_usable() && self.drained == Drained::No
    }
}
