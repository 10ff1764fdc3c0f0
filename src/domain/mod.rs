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
pub mod endpoint;
pub mod evidence;
#[cfg(test)]
mod fixtures;
pub mod memory;
mod model;
pub mod pool;
mod score;
mod serving;
pub mod setup;
pub mod snapshot;
pub mod transition;
pub mod units;

pub use check::Breach;
pub use commands::{Command, Consequence, Force, NothingToDo, Order, PlaceName, Refusal, Scope};
pub use endpoint::{Health, Out};
pub use evidence::{FailureCounts, FailureKind, Lag, ProbeFailure, ProbeResult, TallyDelta};
pub use memory::{BackendMemory, Diverged, Memory, PoolMemory, WritesMemory};
pub use model::Model;
pub use pool::PoolHealth;
pub use setup::{BackendSetup, Failback, PoolSetup, Rules, Setup};
pub use snapshot::{BackendSnapshot, EndpointSnapshot, PoolSnapshot, Snapshot, Waiting};
pub use transition::{Cause, Change, Evidence, Routing, Transition};
pub use units::{Class, EndpointId, Fingerprint, Generation, Moment, Name, PerClass, Percent, PoolIndex};

/// What happens to the model: the only way to change it.
#[derive(Clone, Debug)]
pub enum Input {
    /// A probe ended. Of an endpoint that is no longer configured: ignored.
    Probe { endpoint: EndpointId, result: ProbeResult },
    /// What real traffic did at an endpoint since the last tally of it. Likewise.
    Tally { endpoint: EndpointId, delta: TallyDelta },
    /// Time passed; serves every deadline that has come.
    Tick,
    /// The configuration changed; what stays as it was keeps its health, score and serving pool.
    Reconfigure(Setup),
}

/// What the next deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// An ejected endpoint's time is over: its probes may bring it to probation.
    EjectionOver,
    /// An earlier pool's hold-down is over: failback.
    HoldDownOver,
    /// `min_dwell` is over: the pool that was left may be returned to.
    DwellOver,
}
