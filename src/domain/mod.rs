//! The decision core: endpoint and pool health, the serving pool, hold-down. Pure: no clock, no socket, no async, std only.
//!
//! [`Model`] is all of it: [`Input`]s in, [`Transition`]s, a deadline and a [`Snapshot`] out. Below it, each file one job:
//! `backend` puts together what [`endpoint`] (one machine, moved by probes and by what `score` makes of real requests),
//! [`pool`] and `serving` decide; `check` states what is true between two inputs.
//!
//! Same inputs, same outputs, on any machine: time comes in as an argument, arithmetic is in integers, and no hashed map is
//! ever iterated. Nothing ticks: whatever time alone will change has a deadline that knows [`Why`].
//!
//! Not here: when to probe and how (`health::prober`), what workers read (`health::view`), how any of it is printed.

#![warn(clippy::wildcard_enum_match_arm)] // matches on our own enums are exhaustive

mod backend;
mod check;
pub mod commands;
mod configure;
mod consider;
mod deadlines;
mod effect;
pub mod endpoint;
mod errored;
pub mod evidence;
mod failback;
mod findings;
#[cfg(test)]
mod fixtures;
mod introduce;
mod lag;
pub mod memory;
mod model;
mod orders;
mod paint;
pub mod pool;
mod restore;
mod score;
mod serving;
pub mod setup;
mod silence;
pub mod snapshot;
pub mod transition;
pub mod units;
mod usual;
mod writes;

pub use check::Breach;
pub use commands::{Command, Consequence, Force, NothingToDo, Order, PlaceName, Refusal, Scope};
pub use deadlines::Deadlines;
pub use effect::{Effect, EffectVerdict, Explained};
pub use endpoint::{Health, Out, Suspicion, Trial};
pub use evidence::{
    Askers, Elsewhere, FailedRequest, FailureCounts, FailureKind, HeadTimes, Heard, Illness, Lag, Pending,
    ProbeFailure, ProbeReport, ProbeResult, TallyDelta, Variety, Weight,
};
pub use introduce::{Introduced, Stranded};
pub use memory::{BackendMemory, Diverged, Memory, PoolMemory, WritesMemory};
pub use model::Model;
pub use pool::PoolHealth;
pub use setup::{AfterWrites, BackendSetup, Failback, OnIntermittent, PoolSetup, PoolWrites, Rules, Setup};
pub use snapshot::{
    BackendSnapshot, Drained, EndpointSnapshot, Enforced, Lagging, PoolSnapshot, Ramp, ReadOnly, Snapshot, Standing,
    Waiting, Writes,
};
pub use transition::{Cause, Change, CommandStep, Evidence, Isolation, RampStep, Routing, Steadiness, Transition};
pub use units::{Class, EndpointId, Fingerprint, Generation, Moment, Name, PerClass, Percent, PoolIndex};

/// What happens to the model: the only way to change it.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a box would be an allocation for each tally, and inputs are neither moved nor kept"
)]
pub enum Input {
    /// A probe ended. Of an endpoint that is no longer configured: ignored.
    Probe { endpoint: EndpointId, report: ProbeReport },
    /// What real traffic did at an endpoint since the last tally of it, and how things stand there. Likewise.
    Tally { endpoint: EndpointId, delta: TallyDelta },
    /// Time passed; serves every deadline that has come.
    Tick,
    /// An operator's command. One that [`Model::consider`] refuses changes nothing.
    Order(Order),
    /// The configuration changed; what stays as it was keeps its health, score, serving pool and commands.
    Reconfigure(Setup),
    /// What was kept over a restart; right after the first `Reconfigure`, and never later.
    Restore(Memory),
}

/// What the next deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// An ejected endpoint's time is over: its probes may bring it to probation.
    EjectionOver,
    /// Requests have been waiting there, and nobody answered, for so long that it may be stalled.
    SilenceOver,
    /// A stall has lasted `confirm`.
    StallConfirmed,
    /// It is time to ask a silent endpoint by a probe.
    SilenceProbe,
    /// No request came to try an endpoint in probation with: its probes decide.
    NoCandidate,
    /// An intermittent endpoint has been calm for so long that its errored seconds have halved.
    CalmAgain,
    /// An earlier pool's hold-down is over: failback.
    HoldDownOver,
    /// `min_dwell` is over: the pool that was left may be returned to.
    DwellOver,
    /// The ramp has reached everyone.
    RampOver,
    /// `writes_after` is over: the serving pool may take writes.
    WritesAfterOver,
    /// `write_drain` is over: writes that still run are left.
    WriteDrainOver,
    /// A command's `--for` is over.
    CommandOver,
}
