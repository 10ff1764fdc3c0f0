//! What survives a restart, out of the model and into it. Hold-downs start anew: the time between is not known to have been
//! well.
//!
//! Not here: the file (`health::state_file`).

use super::backend::Backend;
use super::commands::Force;
use super::memory::{BackendMemory, Memory, PoolMemory};
use super::model::Model;
use super::orders::{Given, STANDING_MAX};
use super::serving::Serving;
use super::transition::{Cause, Change, Evidence, Transition};
use super::units::Moment;

impl Model {
    /// What is to be kept, as of `now`.
    pub fn memory(&self, now: Moment) -> Memory {
        let left = |given: &Given| given.ends.map(|ends| ends.since(now));
        Memory {
            backends: self.backends().iter().map(remember).collect(),
            commands: self.orders().all().iter().map(|given| (given.command.clone(), left(given))).collect(),
        }
    }

    /// Takes in what was kept. Names that are configured no longer are passed over.
    pub(super) fn restore(&mut self, now: Moment, memory: &Memory, out: &mut Vec<Transition>) {
        let kept = memory.commands.iter().take(STANDING_MAX).filter(|(command, _)| command.stands());
        for (command, left) in kept {
            let ends = left.map(|left| now.after(left));
            self.orders_mut().add(Given { command: command.clone(), force: Force::No, since: now, ends });
        }
        for kept in &memory.backends {
            if let Some(backend) = self.backends_mut().iter_mut().find(|backend| backend.name == kept.name) {
                recall(backend, kept, now, out);
            }
        }
        self.instruct(now, out);
    }
}

fn remember(backend: &Backend) -> BackendMemory {
    let pools = backend.pools.iter().map(|pool| PoolMemory {
        name: pool.name.clone(),
        diverged: pool.record.diverged,
        failovers: pool.record.failovers,
        writes_failed: pool.record.writes_failed,
    });
    BackendMemory {
        name: backend.name.clone(),
        serving: backend.pools[backend.serving.pool].name.clone(),
        writes: backend.writes.block,
        pools: pools.collect(),
    }
}

fn recall(backend: &mut Backend, kept: &BackendMemory, now: Moment, out: &mut Vec<Transition>) {
    for PoolMemory { name, diverged, failovers, writes_failed } in &kept.pools {
        if let Some(pool) = backend.pools.iter_mut().find(|pool| pool.name == *name) {
            pool.record.diverged = *diverged;
            pool.record.failovers = *failovers;
            pool.record.writes_failed = *writes_failed;
        }
    }
    backend.writes.block = kept.writes;
    backend.told = true;
    let serving = backend.pools.iter().position(|pool| pool.name == kept.serving);
    if let Some(to) = serving.filter(|to| *to != backend.serving.pool) {
        let name = |index: usize| backend.pools[index].name.clone();
        let change = Change::Serving { from: name(backend.serving.pool), to: name(to) };
        backend.serving = Serving { routing: backend.serving.routing, ..Serving::new(to, now) };
        backend.tell(now, change, Cause::Restored, Evidence::Configured, out);
    }
}
