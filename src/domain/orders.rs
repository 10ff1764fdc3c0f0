//! The commands that stand, and what a new one does. Kept apart from what was measured: a command is never undone by a
//! measurement, only suspended.
//!
//! Not here: what a command means (`commands`), whether one is taken (`consider`), what it changes in a backend's decisions
//! (`serving`, `writes`).

use super::backend::Backend;
use super::commands::{Command, Force, Order, PlaceName, Scope, Subject};
use super::memory::{Diverged, WritesMemory};
use super::pool::Pool;
use super::serving::{Commanded, Prefer};
use super::snapshot::{Drained, Enforced, Standing};
use super::transition::{Cause, Change, CommandStep, Evidence, Transition};
use super::units::Moment;

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
            if !backend.is_concerned_by(command.subject()) {
                continue;
            }
            let mut enforced = Enforced::Now;
            match command {
                Command::Failover { to: Some(to), .. } => {
                    // One that is configured no longer takes effect again if it comes back.
                    let Some(pool) = backend.pools.iter().position(|pool| pool.name == *to) else { continue };
                    enforced = before.filter(|before| before.pool == pool).map_or(enforced, |before| before.enforced);
                    commanded.prefer = Some(Prefer { pool, force: *force, enforced });
                }
                Command::Hold { .. } => commanded.hold = Some(*since),
                Command::ReadOnly { .. } => commanded.read_only = Some(*since),
                Command::Drain { place } => drain(place, &mut backend.pools),
                Command::Failover { to: None, .. } // stands with the pool that it meant when it was given
                | Command::Failback { .. }
                | Command::Ack { .. }
                | Command::Release { .. }
                | Command::Undrain { .. } => continue,
            }
            standing.push(Standing { command: command.clone(), since: *since, ends: *ends, force: enforced });
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
    let (Command::Failback { backend: name } | Command::Ack { backend: name }) = &order.command else { return };
    if *name != backend.name {
        return;
    }
    give_up_writes(backend, now, out);
    if let Command::Failback { .. } = order.command {
        let earlier = (0..backend.serving.pool).find(|index| backend.pools[*index].may_serve());
        backend.serving.leave = earlier;
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
    let backend = match command.subject() {
        Subject::Backend(backend) => Some(backend.clone()),
        Subject::AllBackends | Subject::Place(_) => None,
    };
    let change = Change::Command { command: command.clone(), step };
    Transition { at, backend, change, cause, evidence: Evidence::Configured, first_evidence: None }
}

/// Whether a command that stands is ended by another.
pub(super) fn ends(by: &Command, standing: &Command) -> bool {
    let undo = standing.undo();
    if let Command::Release { scope: Scope::All } = by {
        return matches!(undo, Some(Command::Release { .. }));
    }
    if let (Command::Failback { backend: name }, Command::Failover { backend, .. }) = (by, standing) {
        return name == backend;
    }
    undo.as_ref() == Some(by)
}

/// Whether a command takes the place of one that stands.
fn replaces(new: &Command, old: &Command) -> bool {
    if let (Command::Failover { backend, .. }, Command::Failover { backend: before, .. }) = (new, old) {
        return backend == before;
    }
    new == old
}

impl Backend {
    /// Whether a command about that is about this backend, or about something in it.
    pub(super) fn is_concerned_by(&self, subject: Subject<'_>) -> bool {
        match subject {
            Subject::Backend(name) => *name == self.name,
            Subject::AllBackends => true,
            Subject::Place(PlaceName::Pool(name)) => self.pools.iter().any(|pool| pool.name == *name),
            Subject::Place(PlaceName::Endpoint(name)) => {
                self.pools.iter().any(|pool| pool.endpoints.iter().any(|endpoint| endpoint.name == *name))
            }
        }
    }
}

fn drain(place: &PlaceName, pools: &mut [Pool]) {
    for pool in pools {
        let all = matches!(place, PlaceName::Pool(name) if *name == pool.name);
        for endpoint in &mut pool.endpoints {
            if all || matches!(place, PlaceName::Endpoint(name) if *name == endpoint.name) {
                endpoint.drained = Drained::Yes;
            }
        }
    }
}
