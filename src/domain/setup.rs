//! What the configuration tells the core: which endpoints there are, and the rules each backend decides by.
//!
//! Not here: what workers need to reach an endpoint (addresses, timeouts), which is `config`'s alone.

use super::units::{Name, Percent};
use std::time::Duration;

/// Every backend, in the order of the configuration. Names are unique: backends in a setup, pools in a backend,
/// endpoints in a pool; no list is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    pub backends: Vec<BackendSetup>,
}

/// One backend: its pools by rank, primary first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendSetup {
    pub name: Name,
    pub rules: Rules,
    pub pools: Vec<PoolSetup>,
}

/// One pool: its endpoints' addresses as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSetup {
    pub name: Name,
    pub endpoints: Vec<Name>,
}

/// The numbers a backend decides by. Their defaults and their meaning are in docs/failover.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Probes failed in a row that take an endpoint down; at least 1.
    pub fall: u32,
    /// Probes passed in a row that bring it back; at least 1.
    pub rise: u32,
    /// The score at which an endpoint is ejected, in whole points; at least 1.
    pub trip: u32,
    /// Failures in a row that eject it whatever the score says; at least 1.
    pub consecutive: u32,
    /// How long the first ejection within an hour lasts.
    pub ejection_time: Duration,
    /// The share of a pool's endpoints that must be up for the pool to be usable.
    pub min_up: Percent,
    /// How long the pool that was just left is not returned to while the present one still answers some.
    pub min_dwell: Duration,
    pub failback: Failback,
    /// How long an earlier pool must stay up before failback, when it has not flapped.
    pub stable_for: Duration,
}

/// Whether failback happens by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failback {
    Auto,
    Manual,
}
