//! What a decision leaves behind: who changed, from what, to what, when, why, and the numbers beside their thresholds.
//! Journal, logs, metrics and `status` print these; nothing else explains a decision.

use super::commands::Command;
use super::endpoint::Health;
use super::evidence::{FailureCounts, Illness, ProbeFailure};
use super::memory::Diverged;
use super::pool::PoolHealth;
use super::snapshot::{Lagging, Waiting, Writes};
use super::units::{Class, EndpointId, Moment, Name};
use std::time::Duration;

/// One change of one thing; or, with [`Change::Waiting`], what was not done.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    pub at: Moment,
    /// `None`: of all backends together.
    pub backend: Option<Name>,
    pub change: Change,
    pub cause: Cause,
    pub evidence: Evidence,
    /// When the first of the evidence came that led to it, where there is such a thing.
    pub first_evidence: Option<Moment>,
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
    /// An endpoint fails now and then, or no longer does.
    Steadiness {
        id: EndpointId,
        pool: Name,
        endpoint: Name,
        to: Steadiness,
    },
    Pool {
        pool: Name,
        from: PoolHealth,
        to: PoolHealth,
    },
    Lag {
        pool: Name,
        to: Lagging,
    },
    Diverged {
        pool: Name,
        to: Diverged,
    },
    /// The serving pool: a failover when `to` ranks behind `from`, else a failback or a return.
    Serving {
        from: Name,
        to: Name,
    },
    /// Safe requests begin to return gradually from `from` to `to`, or no longer do so.
    Ramp {
        from: Name,
        to: Name,
        step: RampStep,
    },
    /// Where unsafe requests go; `pool` is the pool that serves.
    Writes {
        pool: Name,
        from: Writes,
        to: Writes,
    },
    /// Writes that still ran at a pool when others began elsewhere: they run on for their clients.
    WritesLeft {
        pool: Name,
        count: u32,
    },
    /// Panic began (`to` is [`Routing::Panic`]) or ended.
    Routing {
        from: Routing,
        to: Routing,
    },
    /// What failback waits for now: what was *not* done.
    Waiting {
        from: Option<Waiting>,
        to: Option<Waiting>,
    },
    Command {
        command: Command,
        step: CommandStep,
    },
    Isolation {
        to: Isolation,
    },
    /// Probes are void (`Some`), or count again.
    Probing {
        to: Option<Illness>,
    },
}

impl Change {
    /// The word for it in status and journal.
    pub const fn name(&self) -> &'static str {
        match self {
            Change::Endpoint { .. } => "endpoint",
            Change::Steadiness { .. } => "steadiness",
            Change::Pool { .. } => "pool",
            Change::Lag { .. } => "lag",
            Change::Diverged { .. } => "diverged",
            Change::Serving { .. } => "serving",
            Change::Ramp { .. } => "ramp",
            Change::Writes { .. } => "writes",
            Change::WritesLeft { .. } => "writes_left",
            Change::Routing { .. } => "routing",
            Change::Waiting { .. } => "waiting",
            Change::Command { .. } => "command",
            Change::Isolation { .. } => "isolation",
            Change::Probing { .. } => "probing",
        }
    }

    /// What it was and what it is now, in status and journal: states by their words, or pools; `None` where that goes without
    /// saying.
    pub fn from_to(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Change::Endpoint { from, to, .. } => (Some(from.name()), Some(to.name())),
            Change::Steadiness { to, .. } => (None, Some(to.name())),
            Change::Pool { from, to, .. } => (Some(from.name()), Some(to.name())),
            Change::Lag { to, .. } => (None, Some(to.name())),
            Change::Diverged { to, .. } => (None, Some(to.name())),
            Change::Serving { from, to } | Change::Ramp { from, to, .. } => (Some(from), Some(to)),
            Change::Writes { from, to, .. } => (Some(from.name()), Some(to.name())),
            Change::WritesLeft { .. } => (None, None),
            Change::Routing { from, to } => (Some(from.name()), Some(to.name())),
            Change::Waiting { from, to } => (from.map(Waiting::name), to.map(Waiting::name)),
            Change::Command { step, .. } => (None, Some(step.name())),
            Change::Isolation { to } => (None, Some(to.name())),
            Change::Probing { to } => (None, Some(to.map_or("sound", Illness::name))),
        }
    }
}

impl Evidence {
    /// The word for it in the journal.
    pub const fn name(&self) -> &'static str {
        match self {
            Evidence::Probes { .. } => "probes",
            Evidence::Requests { .. } => "requests",
            Evidence::Stall { .. } => "stall",
            Evidence::GoodAnswer => "good_answer",
            Evidence::GoodAnswers { .. } => "good_answers",
            Evidence::ErroredSeconds { .. } => "errored_seconds",
            Evidence::Endpoints { .. } => "endpoints",
            Evidence::Lag { .. } => "lag",
            Evidence::HeldDown { .. } => "held_down",
            Evidence::Ramp { .. } => "ramp",
            Evidence::Asked { .. } => "asked",
            Evidence::Configured => "configured",
        }
    }
}

impl Steadiness {
    /// The word for it in status and journal.
    pub const fn name(self) -> &'static str {
        match self {
            Steadiness::Steady => "steady",
            Steadiness::Intermittent => "intermittent",
        }
    }
}

impl Isolation {
    /// The word for it in status and journal.
    pub const fn name(self) -> &'static str {
        match self {
            Isolation::No => "no",
            Isolation::Yes => "yes",
        }
    }
}

impl RampStep {
    /// The word for it in metrics and journal.
    pub const fn name(self) -> &'static str {
        match self {
            RampStep::Began => "began",
            RampStep::Aborted => "aborted",
        }
    }
}

impl CommandStep {
    /// The word for it in the journal.
    pub const fn name(self) -> &'static str {
        match self {
            CommandStep::Given => "given",
            CommandStep::Suspended => "suspended",
            CommandStep::Resumed => "resumed",
            CommandStep::Ended => "ended",
        }
    }
}

/// How new requests find an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// At the up endpoints of the serving pool.
    Serving,
    /// No pool is usable, or none has shown a sign of life since the serving one is not: every endpoint is tried rather than
    /// everyone refused.
    Panic,
    /// An operator keeps requests at a pool that is not usable: every endpoint of it is tried.
    Held,
}

impl Routing {
    /// The word for it in status and journal.
    pub const fn name(self) -> &'static str {
        match self {
            Routing::Serving => "serving",
            Routing::Panic => "panic",
            Routing::Held => "held",
        }
    }
}

/// Whether an endpoint's failures keep coming back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steadiness {
    Steady,
    Intermittent,
}

/// Whether anybody at all answers this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    #[default]
    No,
    /// The newest probe of every endpoint of every backend heard nothing: it is us who are cut off, and nothing moves.
    Yes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RampStep {
    Began,
    /// The returning pool is left where it was.
    Aborted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandStep {
    Given,
    /// Cannot be followed for now.
    Suspended,
    Resumed,
    Ended,
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
    /// Requests wait and nobody has answered for too long.
    Stalled,
    /// The stall has lasted `confirm`.
    StallConfirmed,
    /// The score and the open hedges are half of `trip` or more.
    Doubted,
    /// The endpoint answers again, or what spoke against it has come to nothing.
    Cleared,
    /// The ejection time is over and `rise` probes passed.
    TermServed,
    /// Probation was passed.
    Proven,
    /// A failure in probation.
    Relapse,
    /// In panic, the first good answer anywhere makes that endpoint up.
    AnsweredInPanic,
    /// Errored seconds reached `intermittent`.
    ErroredSeconds,
    /// They have halved since.
    CalmAgain,
    /// Endpoints of the pool changed.
    EndpointsChanged,
    /// Its lag passed `max_lag`, either way, or is not known.
    Lag,
    /// The serving pool is not usable and another is.
    PoolUnusable,
    /// An earlier pool stayed up for its whole hold-down.
    HoldDownOver,
    /// The ramp has reached everyone.
    RampOver,
    /// The pool that requests returned to fails more of them than the serving one.
    RampFailures,
    /// The pool that requests returned to may not be returned to any more.
    RampLost,
    /// No pool is usable.
    NoPoolUsable,
    /// No other pool has shown a sign of life since the first evidence against the serving one.
    NoSignOfLife,
    /// A pool is usable again.
    PoolUsable,
    /// The serving pool changed.
    ServingChanged,
    /// Writes are possible there now.
    WritesPossible,
    /// Those begun elsewhere have ended.
    WritesEnded,
    /// A deadline of the configuration came: `writes_after`, `write_drain`.
    TimeOver,
    /// The serving pool reports no lag any more.
    InSync,
    /// What failback waits for is another thing now.
    WaitChanged,
    /// An operator said so.
    Commanded,
    /// `--for` has ended.
    TimeGiven,
    /// The newest probe of every endpoint heard nothing.
    NobodyAnswers,
    /// Somebody answered.
    SomebodyAnswered,
    /// This process was ill, or is well again.
    Illness,
    /// The configuration changed what there is to choose from.
    Reconfigured,
    /// It stood so before the restart.
    Restored,
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
            Cause::Stalled => "stalled",
            Cause::StallConfirmed => "stall_confirmed",
            Cause::Doubted => "doubted",
            Cause::Cleared => "cleared",
            Cause::TermServed => "term_served",
            Cause::Proven => "proven",
            Cause::Relapse => "relapse",
            Cause::AnsweredInPanic => "answered_in_panic",
            Cause::ErroredSeconds => "errored_seconds",
            Cause::CalmAgain => "calm_again",
            Cause::EndpointsChanged => "endpoints_changed",
            Cause::Lag => "lag",
            Cause::PoolUnusable => "pool_unusable",
            Cause::HoldDownOver => "hold_down_over",
            Cause::RampOver => "ramp_over",
            Cause::RampFailures => "ramp_failures",
            Cause::RampLost => "ramp_lost",
            Cause::NoPoolUsable => "no_pool_usable",
            Cause::NoSignOfLife => "no_sign_of_life",
            Cause::PoolUsable => "pool_usable",
            Cause::ServingChanged => "serving_changed",
            Cause::WritesPossible => "writes_possible",
            Cause::WritesEnded => "writes_ended",
            Cause::TimeOver => "time_over",
            Cause::InSync => "in_sync",
            Cause::WaitChanged => "wait_changed",
            Cause::Commanded => "commanded",
            Cause::TimeGiven => "time_given",
            Cause::NobodyAnswers => "nobody_answers",
            Cause::SomebodyAnswered => "somebody_answered",
            Cause::Illness => "illness",
            Cause::Reconfigured => "reconfigured",
            Cause::Restored => "restored",
        }
    }
}

/// The numbers a decision rested on, beside their thresholds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Evidence {
    /// Probes in a row; `last` says how the last one failed, if it did.
    Probes { in_a_row: u32, needed: u32, last: Option<ProbeFailure> },
    /// Real requests of that class since `since`, when the score was last zero. `score` and `trip` in points; `in_a_row` and
    /// `consecutive` in weighted failures. `unweighted`: of `failed`, how many had no weight (shared, or held back by a cap).
    Requests {
        class: Class,
        failed: FailureCounts,
        unweighted: u32,
        of: u32,
        since: Moment,
        score: f64,
        trip: u32,
        in_a_row: u32,
        consecutive: u32,
        open_hedges: u32,
    },
    /// Requests wait: how many, for how long the oldest, how long nothing was answered, and how long is allowed.
    Stall { pending: u32, oldest: Duration, silent: Duration, allowed: Duration },
    /// A good answer to a real request.
    GoodAnswer,
    /// Good answers in a row while in probation.
    GoodAnswers { in_a_row: u32, needed: u32 },
    /// Errored seconds, halving every 30 minutes, in whole ones.
    ErroredSeconds { count: u32, threshold: u32 },
    /// Endpoints up in the pool that is spoken of.
    Endpoints { up: u32, of: u32, needed: u32 },
    /// How far behind it is (`None`: not known), and may be.
    Lag { behind: Option<Duration>, most: Duration },
    /// How long the pool was up, and how long it had to be.
    HeldDown { up_for: Duration, needed: Duration },
    /// Blamed failures of so many requests, at the returning pool and at the serving one.
    Ramp { blamed: u32, of: u32, blamed_serving: u32, of_serving: u32 },
    /// How many endpoints were asked.
    Asked { endpoints: u32 },
    /// None: the configuration, an operator or the memory says so.
    Configured,
}
