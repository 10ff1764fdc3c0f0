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

/// One pool: its endpoints' addresses as configured, and whether it may take writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSetup {
    pub name: Name,
    pub endpoints: Vec<Name>,
    pub writes: PoolWrites,
}

/// Whether unsafe requests may go to a pool while it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolWrites {
    /// Once it has served for so long; `ZERO`: at once. For the first pool always at once.
    After(Duration),
    Refuse,
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
    /// How long a stall lasts before it ejects, and how long a lost hedge is waited for.
    pub confirm: Duration,
    /// How long the first ejection within an hour lasts.
    pub ejection_time: Duration,
    /// Errored seconds that make an endpoint intermittent; at least 1.
    pub intermittent: u32,
    pub on_intermittent: OnIntermittent,
    /// The share of a pool's endpoints that must be up for the pool to be usable.
    pub min_up: Percent,
    /// A pool that is further behind is stale; `None`: none is.
    pub max_lag: Option<Duration>,
    /// How long the pool that was just left is not returned to while the present one still answers some.
    pub min_dwell: Duration,
    pub failback: Failback,
    /// How long an earlier pool must stay up before failback, when it has not flapped.
    pub stable_for: Duration,
    /// What must be true of writes made elsewhere before failback.
    pub after_writes: AfterWrites,
    /// How long safe requests take to return; `ZERO`: all at once.
    pub ramp: Duration,
    /// How long a planned move of writes waits for those that run.
    pub write_drain: Duration,
}

/// The defaults, for a public site.
impl Default for Rules {
    fn default() -> Rules {
        let seconds = Duration::from_secs;
        Rules {
            fall: 3,
            rise: 2,
            trip: 20,
            consecutive: 5,
            confirm: Duration::from_millis(500),
            ejection_time: seconds(10),
            intermittent: 20,
            on_intermittent: OnIntermittent::Report,
            min_up: Percent(50),
            max_lag: None,
            min_dwell: seconds(5),
            failback: Failback::Auto,
            stable_for: seconds(60),
            after_writes: AfterWrites::Manual,
            ramp: seconds(30),
            write_drain: seconds(1),
        }
    }
}

/// Whether failback happens by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failback {
    Auto,
    Manual,
}

/// What an intermittent fault leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnIntermittent {
    Report,
    Eject,
}

/// When a pool may be returned to although the spare has taken writes meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterWrites {
    /// When the returning pool's own probes report a lag within bounds, measured after the last write elsewhere.
    InSync,
    /// When an operator says so.
    Manual,
    /// At once: the pools share their data, and never diverge.
    Auto,
}
