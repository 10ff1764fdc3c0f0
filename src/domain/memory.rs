//! What survives a restart: which pools serve, what was commanded, what diverged, how often pools flapped. Ages and remaining
//! times instead of moments, for the next process has another clock.
//!
//! Not here: the file it is kept in (`health::state_file`), what the core makes of it (`restore`).

use super::commands::Command;
use super::setup::Setup;
use super::units::Name;
use std::time::Duration;

/// All that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// In the order of the setup, those that are no longer configured last.
    pub backends: Vec<BackendMemory>,
    /// Commands that stand, with what is left of their `--for`.
    pub commands: Vec<(Command, Option<Duration>)>,
}

impl Memory {
    /// What of it the setup has no more, in words: it is passed over.
    pub fn gone(&self, setup: &Setup) -> Vec<String> {
        let mut gone = Vec::new();
        for BackendMemory { name, serving, pools, .. } in &self.backends {
            let Some(backend) = setup.backends.iter().find(|backend| backend.name == *name) else {
                gone.push(format!("backend {name} was remembered and is configured no longer: passed over"));
                continue;
            };
            let known = |pool: &Name| backend.pools.iter().any(|known| known.name == *pool);
            if !known(serving) {
                let first = &backend.pools[0].name;
                gone.push(format!(
                    "backend {name}: pool {serving} served before and is configured no longer: {first} serves now"
                ));
            }
            for pool in pools.iter().filter(|pool| !known(&pool.name) && pool.diverged == Diverged::Yes) {
                let pool = &pool.name;
                gone.push(format!(
                    "backend {name}: pool {pool} has taken writes that others lack, and is configured no longer: \
                     they are lost unless it was copied"
                ));
            }
        }
        gone
    }
}

/// What is kept of one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendMemory {
    pub name: Name,
    pub serving: Name,
    pub writes: WritesMemory,
    pub pools: Vec<PoolMemory>,
}

/// What is kept of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolMemory {
    pub name: Name,
    /// It may have taken writes that earlier pools lack.
    pub diverged: Diverged,
    /// Failovers away from it since it last served a whole hour without one.
    pub failovers: u32,
    /// One of its endpoints was ejected for its unsafe requests since it last served.
    pub writes_failed: bool,
}

/// Whether a pool may have taken writes that earlier ones lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diverged {
    No,
    Yes,
}

impl Diverged {
    /// The word for it in status and journal.
    pub const fn name(self) -> &'static str {
        match self {
            Diverged::No => "no",
            Diverged::Yes => "yes",
        }
    }
}

/// Where writes stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritesMemory {
    /// As the rules say for the serving pool.
    AsUsual,
    /// Refused until an operator acknowledges: a diverged pool was left because it died.
    UntilAck,
    /// Refused until the serving pool reports no lag.
    UntilInSync,
}
