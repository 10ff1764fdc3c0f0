//! The commands that stand, and what a new one does. Kept apart from what was measured: a command is never undone by a
//! measurement, only suspended.
//!
//! Not here: what a command means (`commands`), whether one is taken (`consider`), what it changes in a backend's decisions
//! (`serving`, `writes`).

use super::backend::Backend;
use super::commands::{Command, Force, Order, PlaceName, Scope};
use super::memory::{Diverged, WritesMemory};
use super::pool::Pool;
use super::serving::{Commanded, Prefer};
use super::snapshot::{Drained, Enforced, Standing};
use super::transition::{Cause, Change, CommandStep, Evidence, Transition};
use super::units::{Moment, Name};

/// So many may stand; each is a few words in the state file and in status.
pub(super) const STANDING_MAX: usize = 256;

/// All commands that stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    /// Oldest first.
    given: Vec<Given>,
    /// When the first of them ends. It is asked for with every input.
    deadline: Option<Moment>,
}

/// A command that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub command: Command,
    pub force: Force,
    pub since: Moment,
    pub ends: Option<Moment>,
}

impl Orders {
    fn of(given: Vec<Given>) -> Orders {
        Orders { deadline: given.iter().filter_map(|given| given.ends).min(), given }
    }

    pub(super) fn all(&self) -> &[Given] {
        &self.given
    }

    /// Whether the very same stands.
    pub(super) fn has(&self, command: &Command) -> bool {
        self.given.iter().any(|given| given.command == *command)
    }

    /// Adds one that stands, in place of an older one that it replaces.
    pub(super) fn add(&mut self, given: Given) {
        let mut all = std::mem::take(&mut self.given);
        all.retain(|before| !replaces(&given.command, &before.command));
        all.push(given);
        *self = Orders::of(all);
    }

    /// Takes out those that `ended` says are over.
    pub(super) fn end(&mut self, ended: impl Fn(&Given) -> bool) -> Vec<Command> {
        let (over, left): (Vec<Given>, Vec<Given>) =
            std::mem::take(&mut self.given).into_iter().partition(|given| ended(given));
        *self = Orders::of(left);
        over.into_iter().map(|given| given.command).collect()
    }

    /// When the next `--for` ends.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.deadline
    }

    /// Tells a backend what was said about it and about what is in it.
    pub(super) fn instruct(&self, backend: &mut Backend) {
        let mut commanded = Commanded::default();
        let before = backend.commanded.prefer;
        let mut standing = Vec::new();
        for pool in &mut backend.pools {
            pool.drained = Drained::No;
            pool.endpoints.iter_mut().for_each(|endpoint| endpoint.drained = Drained::No);
        }
        for Given { command, force, since, ends } in &self.given {
            let mut concerns = true;
            match command {
                Command::Failover { backend: name, to: Some(to) } if *name == backend.name => {
                    match backend.pools.iter().position(|pool| pool.name == *to) {
                        Some(pool) => {
                            let known = before.filter(|before| before.pool == pool).map(|before| before.enforced);
                            let enforced = known.unwrap_or(Enforced::Now);
                            commanded.prefer = Some(Prefer { pool, force: *force, enforced });
                        }
                        None => concerns = false, // configured no longer; it takes effect again if the pool comes back
                    }
                }
                Command::Hold { scope } if covers(scope, &backend.name) => commanded.hold = Some(*since),
                Command::ReadOnly { backend: name } if *name == backend.name => commanded.read_only = Some(*since),
                Command::Drain { place } => concerns = drain(place, &mut backend.pools),
                Command::Failover { .. }
                | Command::Failback { .. }
                | Command::Hold { .. }
                | Command::ReadOnly { .. }
                | Command::Ack { .. }
                | Command::Release { .. }
                | Command::Undrain { .. } => concerns = false,
            }
            if concerns {
                let force = match commanded.prefer {
                    Some(prefer) if matches!(command, Command::Failover { .. }) => prefer.enforced,
                    Some(_) | None => Enforced::Now,
                };
                standing.push(Standing { command: command.clone(), since: *since, ends: *ends, force });
            }
        }
        for pool in &mut backend.pools {
            if pool.endpoints.iter().all(|endpoint| endpoint.drained == Drained::Yes) {
                pool.drained = Drained::Yes;
            }
        }
        backend.commanded = commanded;
        backend.standing = standing;
        backend.told = true;
    }
}

/// What a command does to a backend once, besides standing: one-off leaves.
pub(super) fn carry_out_once(order: &Order, backend: &mut Backend, now: Moment, out: &mut Vec<Transition>) {
    match &order.command {
        Command::Failback { backend: name } if *name == backend.name => {
            give_up_writes(backend, now, out);
            let earlier = (0..backend.serving.pool).find(|index| backend.pools[*index].may_serve());
            backend.serving.leave = earlier;
        }
        Command::Ack { backend: name } if *name == backend.name => give_up_writes(backend, now, out),
        Command::Failover { .. }
        | Command::Failback { .. }
        | Command::Hold { .. }
        | Command::Drain { .. }
        | Command::ReadOnly { .. }
        | Command::Ack { .. }
        | Command::Release { .. }
        | Command::Undrain { .. } => {}
    }
}

/// What other pools took and the serving one lacks is not waited for any longer.
fn give_up_writes(backend: &mut Backend, now: Moment, out: &mut Vec<Transition>) {
    backend.writes.block = WritesMemory::AsUsual;
    for index in (0..backend.pools.len()).filter(|index| *index != backend.serving.pool).collect::<Vec<_>>() {
        backend.set_diverged(now, index, Diverged::No, Cause::Commanded, out);
    }
}

/// What a command says, told of the backends it concerns, or of all.
pub(super) fn told(command: &Command, step: CommandStep, cause: Cause, at: Moment) -> Transition {
    let backend: Option<Name> = match command {
        Command::Failover { backend, .. }
        | Command::Failback { backend }
        | Command::ReadOnly { backend }
        | Command::Ack { backend }
        | Command::Hold { scope: Scope::Backend(backend) }
        | Command::Release { scope: Scope::Backend(backend) } => Some(backend.clone()),
        Command::Hold { scope: Scope::All }
        | Command::Release { scope: Scope::All }
        | Command::Drain { .. }
        | Command::Undrain { .. } => None,
    };
    let change = Change::Command { command: command.clone(), step };
    Transition { at, backend, change, cause, evidence: Evidence::Configured, first_evidence: None }
}

/// Whether a command that stands is ended by another.
pub(super) fn ends(by: &Command, standing: &Command) -> bool {
    match (by, standing) {
        (
            Command::Release { scope: Scope::All },
            Command::Failover { .. } | Command::Hold { .. } | Command::ReadOnly { .. },
        ) => true,
        (
            Command::Release { scope: Scope::Backend(name) },
            Command::Failover { backend, .. }
            | Command::ReadOnly { backend }
            | Command::Hold { scope: Scope::Backend(backend) },
        ) => name == backend,
        (Command::Failback { backend: name }, Command::Failover { backend, .. }) => name == backend,
        (Command::Undrain { place }, Command::Drain { place: drained }) => place == drained,
        (
            Command::Failover { .. }
            | Command::Failback { .. }
            | Command::Hold { .. }
            | Command::Drain { .. }
            | Command::ReadOnly { .. }
            | Command::Ack { .. }
            | Command::Release { .. }
            | Command::Undrain { .. },
            _,
        ) => false,
    }
}

fn replaces(new: &Command, old: &Command) -> bool {
    match (new, old) {
        (Command::Failover { backend, .. }, Command::Failover { backend: before, .. }) => backend == before,
        (
            Command::Failover { .. }
            | Command::Failback { .. }
            | Command::Hold { .. }
            | Command::Drain { .. }
            | Command::ReadOnly { .. }
            | Command::Ack { .. }
            | Command::Release { .. }
            | Command::Undrain { .. },
            old,
        ) => new == old,
    }
}

fn covers(scope: &Scope, backend: &Name) -> bool {
    match scope {
        Scope::All => true,
        Scope::Backend(name) => name == backend,
    }
}

/// Whether there is such a place.
fn drain(place: &PlaceName, pools: &mut [Pool]) -> bool {
    let mut found = false;
    for pool in pools {
        match place {
            PlaceName::Pool(name) if *name == pool.name => {
                pool.endpoints.iter_mut().for_each(|endpoint| endpoint.drained = Drained::Yes);
                found = true;
            }
            PlaceName::Endpoint(name) => {
                for endpoint in pool.endpoints.iter_mut().filter(|endpoint| endpoint.name == *name) {
                    endpoint.drained = Drained::Yes;
                    found = true;
                }
            }
            PlaceName::Pool(_) => {}
        }
    }
    found
}
