//! What operators and their tools see: `/metrics`, `/healthz`, `/readyz`, `/status`; and where they give commands. It reads; what
//! changes something it asks for, over a [`Line`], and `app` answers.
//!
//! - [`server`]: connections and paths. - [`metrics`]: the exposition. - [`status`]: the schema of `/status`.
//! - [`process`]: the process as the kernel sees it.
//! - [`commands`]: a command from the request to the answer; [`reloads`]: the configuration read again, and confirmed; [`guard`]: who may give one; [`request`] and [`answer`]: what is said;
//!   [`socket`]: the way in for those on this machine.
//!
//! It runs on the office's thread: neither a scrape nor a stuck reader delays a worker or the supervisor.
//!
//! Not here: what is counted (`telemetry`, `health`), the commands that print any of it for people (`cli`).

#![warn(clippy::wildcard_enum_match_arm)] // matches on our own enums are exhaustive

pub mod answer;
mod certificates;
pub mod commands;
mod departed;
mod family;
#[cfg(test)]
pub(crate) mod fixture;
pub mod guard;
pub mod metrics;
mod picture;
pub mod process;
pub mod reloads;
pub mod request;
pub mod server;
pub mod socket;
pub mod status;

pub use commands::{Asked, Line, line};
pub use reloads::{AskedReload, ReloadLine, reload_line};
pub use server::serve;
pub use socket::{NoSocket, Socket};

use crate::health::{Published, Recent};
use crate::runtime::clock::Clock;
use crate::telemetry::control::Control;
use crate::telemetry::metrics::Workers;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// All that is shown, and the way to ask for more; handed in by the app.
#[derive(Clone, Debug)]
pub struct State {
    pub published: Arc<Published>,
    pub control: Arc<Control>,
    pub workers: Arc<Workers>,
    pub clock: Clock,
    pub readiness: Readiness,
    pub recent: Arc<Recent>,
    pub line: Line,
    pub reloads: ReloadLine,
}

/// Whether this process should be sent clients. Shared: the app sets it, `/readyz` shows it.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<AtomicU8>);

/// The three parts of a process's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first round of probes runs; nothing is accepted yet.
    Starting,
    Ready,
    /// What runs is finished, nothing new is accepted.
    Draining,
}

impl Phase {
    const ALL: [Phase; 3] = [Phase::Starting, Phase::Ready, Phase::Draining];

    /// The word for it in status.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Draining => "draining",
        }
    }
}

impl Readiness {
    /// [`Phase::Starting`].
    pub fn new() -> Readiness {
        Readiness(Arc::new(AtomicU8::new(Phase::Starting as u8)))
    }

    pub fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Relaxed);
    }

    pub fn get(&self) -> Phase {
        Phase::ALL[usize::from(self.0.load(Relaxed))]
    }
}

impl Default for Readiness {
    fn default() -> Readiness {
        Readiness::new()
    }
}
