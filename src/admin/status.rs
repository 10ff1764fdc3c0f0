//! The picture as data: what `/status` answers, and `hotspare status` reads. Its schema is documented here, field by field.
//!
//! Fields may be added within a [`SCHEMA`]; removing one or changing what it means makes the next. Times are RFC 3339 in UTC,
//! spans are seconds; states are the words of the metrics; what is meant for people is in `problems` and `words`.
//!
//! Not here: how it is filled in (`picture`), how people see it (`cli::status`).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of what follows.
pub const SCHEMA: u32 = 1;

/// How many of the newest transitions are told.
pub const RECENT: usize = 20;

/// How many certificates of a listener are told.
pub const CERTIFICATES: usize = 100;

/// Everything.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The release that runs.
    pub release: String,
    /// When this was written.
    pub now: String,
    pub uptime_seconds: f64,
    /// `starting`, `ready` or `draining`.
    pub readiness: String,
    /// The number of the configuration in force.
    pub generation: u64,
    /// What is not as it should be, in sentences, worst first. Empty: all is well.
    pub problems: Vec<String>,
    /// In the order of the configuration.
    pub backends: Vec<BackendStatus>,
    pub listeners: Vec<ListenerStatus>,
    /// Newest first; at most [`RECENT`].
    pub recent: Vec<TransitionStatus>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct BackendStatus {
    pub name: String,
    /// The pool that new requests go to, and since when.
    pub serving: String,
    pub serving_since: String,
    pub serving_for_seconds: f64,
    /// `serving`: at the serving pool's up endpoints; `panic`: at every endpoint, since no pool is usable; `held`: at every endpoint
    /// of the serving pool, since an operator keeps requests there.
    pub routing: String,
    /// What failback waits for; null while the first pool serves.
    pub waiting: Option<WaitingStatus>,
    /// The pool that safe requests return to bit by bit; null while none do.
    pub ramp_to: Option<String>,
    /// What becomes of unsafe requests.
    pub writes: WritesStatus,
    /// Operators' commands that stand for it.
    pub commands: Vec<CommandStatus>,
    /// Requests whose response has not ended, and unsafe requests that wait for a verdict.
    pub in_flight: i64,
    pub waiting_writes: i64,
    /// By rank, primary first.
    pub pools: Vec<PoolStatus>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct WritesStatus {
    /// `taken`, `waiting` or `refused`.
    pub state: String,
    /// Why they are refused: `commanded`, `pool`, `not_yet`, `failing_back`, `catching_up` or `until_ack`; null unless they are.
    pub reason: Option<String>,
    /// Of a wait that ends by itself.
    pub left_seconds: Option<f64>,
    pub words: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandStatus {
    /// As it is written on the command line.
    pub command: String,
    pub since: String,
    /// Of `--for`; null where none was given.
    pub left_seconds: Option<f64>,
    /// Whether it can't be followed for now.
    pub suspended: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct WaitingStatus {
    /// The pool that failback leads to.
    pub pool: String,
    /// `not_well`, `stale`, `drained`, `hold_down`, `probes`, `intermittent`, `after_writes`, `manual`, `commanded` or `ramp`.
    pub reason: String,
    /// Of the hold-down or the ramp; null for the other reasons.
    pub left_seconds: Option<f64>,
    pub words: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct PoolStatus {
    pub name: String,
    pub serving: bool,
    /// `up`, `degraded` or `down`.
    pub health: String,
    /// Behind by too much.
    pub stale: bool,
    pub drained: bool,
    /// It may have taken writes that earlier pools lack.
    pub diverged: bool,
    pub endpoints: Vec<EndpointStatus>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// Its address as configured.
    pub name: String,
    /// `unproven`, `up`, `suspect`, `down` or `probation`.
    pub health: String,
    /// How it went down: `probes`, `refusals` or `ejected`; null unless down.
    pub out: Option<String>,
    /// The health in words.
    pub words: String,
    pub drained: bool,
    pub intermittent: bool,
    /// How far behind it says it is, to within a second or a tenth; null while that is not known.
    pub lag_seconds: Option<f64>,
    pub since: String,
    pub for_seconds: f64,
    /// Attempts whose response has not ended.
    pub in_flight: i64,
    /// Attempts since it was configured, by outcome: `good`, and each kind of failure.
    pub attempts: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListenerStatus {
    pub address: String,
    pub tls: bool,
    /// Those that need a look first, at most [`CERTIFICATES`]: refused ones, then what expires soonest.
    pub certificates: Vec<CertificateStatus>,
    /// How many there are besides.
    #[serde(default)]
    pub more_certificates: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct CertificateStatus {
    pub file: String,
    pub names: Vec<String>,
    pub not_after: String,
    /// Negative: expired.
    pub left_seconds: f64,
    /// Why this is not the one in the file; null: it is.
    #[serde(default)]
    pub refused: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct TransitionStatus {
    pub at: String,
    pub ago_seconds: f64,
    pub backend: String,
    /// What changed: `endpoint`, `steadiness`, `pool`, `lag`, `diverged`, `serving`, `ramp`, `writes`, `writes_left`, `routing`,
    /// `waiting`, `command`, `isolation` or `probing`.
    pub what: String,
    /// Its name; the backend's for `serving` and `routing`.
    pub who: String,
    pub from: String,
    pub to: String,
    pub cause: String,
    pub words: String,
}
