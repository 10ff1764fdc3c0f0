//! What a decision leaves behind: who changed, from what, to what, when, why, and the numbers beside their thresholds.
//! Logs, metrics and `status` print these; nothing else explains a decision.

use super::endpoint::Health;
use super::evidence::{FailureCounts, ProbeFailure};
use super::pool::PoolHealth;
use super::units::{EndpointId, Moment, Name};
use std::time::Duration;

/// One change of one thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    pub at: Moment,
    pub backend: Name,
    pub change: Change,
    pub cause: Cause,
    pub evidence: Evidence,
}

/// What changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Endpoint {
        id: EndpointId,
        pool: Name,
        endpoint: Name,
        from: Health,
        to: Health,
    },
    Pool {
        pool: Name,
        from: PoolHealth,
        to: PoolHealth,
    },
    /// The serving pool: a failover when `to` ranks behind `from`, else a failback or a return.
    Serving {
        from: Name,
        to: Name,
    },
    /// Panic began (`to` is [`Routing::Panic`]) or ended.
    Routing {
        from: Routing,
        to: Routing,
    },
}

/// How new requests find an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// At the up endpoints of the serving pool.
    Serving,
    /// No pool is usable: every endpoint is tried rather than everyone refused.
    Panic,
}

/// Why it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The first probe of an unproven endpoint decides alone.
    FirstProbe,
    /// `fall` probes failed in a row.
    Fall,
    /// `rise` probes passed in a row.
    Rise,
    /// Real requests were refused a connection, `consecutive` in a row.
    Refused,
    /// The score reached `trip`.
    Score,
    /// `consecutive` real requests failed in a row.
    Consecutive,
    /// The ejection time is over and `rise` probes passed.
    TermServed,
    /// Probation was passed.
    Proven,
    /// A failure in probation.
    Relapse,
    /// In panic, the first good answer anywhere makes that endpoint up.
    AnsweredInPanic,
    /// Endpoints of the pool changed.
    EndpointsChanged,
    /// The serving pool is not usable and another is.
    PoolUnusable,
    /// An earlier pool stayed up for its whole hold-down.
    HoldDownOver,
    /// No pool is usable.
    NoPoolUsable,
    /// A pool is usable again.
    PoolUsable,
    /// The configuration changed what there is to choose from.
    Reconfigured,
}

impl Cause {
    /// The word for it in metrics, status and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::FirstProbe => "first_probe",
            Cause::Fall => "fall",
            Cause::Rise => "rise",
            Cause::Refused => "refused",
            Cause::Score => "score",
            Cause::Consecutive => "consecutive",
            Cause::TermServed => "term_served",
            Cause::Proven => "proven",
            Cause::Relapse => "relapse",
            Cause::AnsweredInPanic => "answered_in_panic",
            Cause::EndpointsChanged => "endpoints_changed",
            Cause::PoolUnusable => "pool_unusable",
            Cause::HoldDownOver => "hold_down_over",
            Cause::NoPoolUsable => "no_pool_usable",
            Cause::PoolUsable => "pool_usable",
            Cause::Reconfigured => "reconfigured",
        }
    }
}

/// The numbers a decision rested on, beside their thresholds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Evidence {
    /// Probes in a row; `last` says how the last one failed, if it did.
    Probes { in_a_row: u32, needed: u32, last: Option<ProbeFailure> },
    /// Real requests since `since`, when the score was last zero.
    Requests { failed: FailureCounts, of: u32, since: Moment, score: f64, trip: u32, in_a_row: u32, consecutive: u32 },
    /// A good answer to a real request.
    GoodAnswer,
    /// Endpoints up in the pool that is spoken of.
    Endpoints { up: u32, of: u32, needed: u32 },
    /// How long the pool was up, and how long it had to be.
    HeldDown { up_for: Duration, needed: Duration },
    /// None: the configuration asked for it.
    Configured,
}
