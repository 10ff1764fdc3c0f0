//! Whether a command is taken, and what would follow from it at once. What would follow is found by doing it to a copy: so
//! what is said beforehand is what happens, as things stand.
//!
//! Not here: what commands mean (`commands`), how they are carried out (`orders`).

use super::backend::Backend;
use super::commands::{Command, Consequence, Force, NothingToDo, Order, PlaceName, Refusal, Scope, Subject};
use super::memory::{Diverged, WritesMemory};
use super::model::Model;
use super::orders::{self, STANDING_MAX};
use super::setup::AfterWrites;
use super::snapshot::{Drained, Writes};
use super::transition::{Change, RampStep, Routing, Transition};
use super::units::Name;

impl Model {
    /// Whether an order would be taken now, and what would follow at once, in the order in which it happens.
    ///
    /// # Errors
    /// Why it is not taken; then `Input::Order` with it changes nothing.
    pub fn consider(&self, order: &Order) -> Result<Vec<Consequence>, Refusal> {
        self.find_faults(order)?;
        let mut copy = self.clone();
        let mut out = Vec::new();
        copy.carry_out(self.now(), order, &mut out);
        if let (Force::No, Command::Drain { .. }) = (order.force, &order.command) {
            let loses = |backend: &&Backend| {
                let serves = |model: &Model| {
                    let of = model.backends().iter().find(|other| other.name == backend.name);
                    of.is_some_and(|backend| backend.pools.iter().any(super::pool::Pool::may_serve))
                };
                serves(self) && !serves(&copy)
            };
            if let Some(backend) = self.backends().iter().find(loses) {
                return Err(Refusal::NoUsablePool { backend: backend.name.clone() });
            }
        }
        Ok(self.consequences(order, &copy, &out))
    }

    fn find_faults(&self, order: &Order) -> Result<(), Refusal> {
        if self.orders().all().len() >= STANDING_MAX {
            return Err(Refusal::TooMany { limit: STANDING_MAX });
        }
        match &order.command {
            Command::Failover { backend, to } => self.fault_of_failover(backend, to.as_ref(), order),
            Command::Failback { backend } => self.fault_of_failback(backend),
            Command::Hold { scope } => self.scope(scope), // given again, it has a new end, like a drain
            Command::ReadOnly { backend } => self.named(backend).map(drop),
            Command::Ack { backend } => {
                let found = self.named(backend)?;
                let others = found.pools.iter().enumerate().filter(|(index, _)| *index != found.serving.pool);
                let diverged = others.into_iter().any(|(_, pool)| pool.record.diverged == Diverged::Yes);
                if found.writes.block == WritesMemory::AsUsual && !diverged {
                    let what = NothingToDo::NothingToAcknowledge { backend: backend.clone() };
                    return Err(Refusal::NothingToDo { what });
                }
                Ok(())
            }
            Command::Release { scope } => self.scope(scope).and_then(|()| self.something_ends(&order.command)),
            Command::Drain { place } => self.named_place(place),
            Command::Undrain { place } => {
                // What is configured no longer can be undrained all the same.
                self.something_ends(&order.command).or_else(|nothing| self.named_place(place).and(Err(nothing)))
            }
        }
    }

    fn fault_of_failover(&self, backend: &Name, to: Option<&Name>, order: &Order) -> Result<(), Refusal> {
        let found = self.named(backend)?;
        if found.pools.len() == 1 {
            return Err(Refusal::NoOtherPool { backend: backend.clone() });
        }
        let target = match to {
            Some(name) => found
                .pools
                .iter()
                .position(|pool| pool.name == *name)
                .ok_or_else(|| Refusal::NoSuchPool { backend: backend.clone(), name: name.clone() })?,
            None => found.next_pool(),
        };
        let pool = &found.pools[target];
        if target == found.serving.pool {
            let (backend, pool) = (backend.clone(), pool.name.clone());
            let resolved = Command::Failover { backend: backend.clone(), to: Some(pool.clone()) };
            return match self.orders().has(&resolved) {
                true => Err(Refusal::NothingToDo { what: NothingToDo::Serves { backend, pool } }),
                false => Ok(()),
            };
        }
        if found.commanded.hold.is_some() {
            return Err(Refusal::Held { backend: backend.clone() });
        }
        if !pool.may_serve() && (order.force == Force::No || pool.drained == Drained::Yes) {
            return Err(Refusal::NotUsable { backend: backend.clone(), pool: pool.name.clone() });
        }
        Ok(())
    }

    fn fault_of_failback(&self, backend: &Name) -> Result<(), Refusal> {
        let found = self.named(backend)?;
        if found.serving.pool == 0 {
            if found.writes.block == WritesMemory::AsUsual {
                let what = NothingToDo::Serves { backend: backend.clone(), pool: found.pools[0].name.clone() };
                return Err(Refusal::NothingToDo { what });
            }
            return Ok(());
        }
        if found.commanded.hold.is_some() {
            return Err(Refusal::Held { backend: backend.clone() });
        }
        if !found.pools[..found.serving.pool].iter().any(super::pool::Pool::may_serve) {
            return Err(Refusal::NotUsable { backend: backend.clone(), pool: found.pools[0].name.clone() });
        }
        Ok(())
    }

    fn named(&self, name: &Name) -> Result<&Backend, Refusal> {
        let found = self.backends().iter().find(|backend| backend.name == *name);
        found.ok_or_else(|| Refusal::NoSuchBackend { name: name.clone() })
    }

    fn scope(&self, scope: &Scope) -> Result<(), Refusal> {
        match scope {
            Scope::All => Ok(()),
            Scope::Backend(name) => self.named(name).map(drop),
        }
    }

    fn named_place(&self, place: &PlaceName) -> Result<(), Refusal> {
        let there = self.backends().iter().any(|backend| backend.is_concerned_by(Subject::Place(place)));
        if there { Ok(()) } else { Err(Refusal::NoSuchPlace { place: place.clone() }) }
    }

    fn something_ends(&self, by: &Command) -> Result<(), Refusal> {
        let any = self.orders().all().iter().any(|given| orders::ends(by, &given.command));
        if any { Ok(()) } else { Err(Refusal::NothingToDo { what: NothingToDo::NothingStands }) }
    }

    /// What the copy shows.
    fn consequences(&self, order: &Order, after: &Model, told: &[Transition]) -> Vec<Consequence> {
        let mut found: Vec<Consequence> = told.iter().filter_map(|told| consequence(told, after)).collect();
        if let Command::Drain { place } = &order.command {
            found.extend(self.drained(place));
        }
        let ends = matches!(order.command, Command::Release { .. } | Command::Undrain { .. });
        let concerned = |backend: &&Backend| backend.is_concerned_by(order.command.subject());
        for backend in self.backends().iter().filter(concerned) {
            let moved = found.iter().any(|consequence| consequence.moves(&backend.name));
            if ends {
                found.push(Consequence::RulesDecide { backend: backend.name.clone() });
            } else if !moved && matches!(order.command, Command::Failover { .. } | Command::Hold { .. }) {
                let pool = backend.pools[backend.serving.pool].name.clone();
                found.push(Consequence::Stays { backend: backend.name.clone(), pool });
            }
            // Where requests begin to return gradually, the writes are given up at the end: said before it begins.
            let ramps = found.iter().any(
                |consequence| matches!(consequence, Consequence::Ramps { backend: name, .. } if *name == backend.name),
            );
            let serving = &backend.pools[backend.serving.pool];
            if ramps && serving.record.diverged == Diverged::Yes && backend.rules.after_writes == AfterWrites::Manual {
                found.push(Consequence::GivesUpWrites { backend: backend.name.clone(), pool: serving.name.clone() });
            }
        }
        found
    }

    fn drained(&self, place: &PlaceName) -> Vec<Consequence> {
        let mut drained = Vec::new();
        for backend in self.backends() {
            for pool in &backend.pools {
                let whole =
                    Consequence::Drains { backend: backend.name.clone(), pool: pool.name.clone(), endpoint: None };
                match place {
                    PlaceName::Pool(name) if *name == pool.name => drained.push(whole),
                    PlaceName::Endpoint(name) if pool.endpoints.iter().any(|endpoint| endpoint.name == *name) => {
                        let (backend, pool) = (backend.name.clone(), pool.name.clone());
                        drained.push(Consequence::Drains { backend, pool, endpoint: Some(name.clone()) });
                    }
                    PlaceName::Pool(_) | PlaceName::Endpoint(_) => {}
                }
            }
        }
        drained
    }

    /// The order as it is kept: without `to` it would mean another pool tomorrow.
    pub(super) fn resolved(&self, order: &Order) -> Order {
        let Command::Failover { backend, to: None } = &order.command else { return order.clone() };
        let to = self.named(backend).ok().map(|found| found.pools[found.next_pool()].name.clone());
        Order { command: Command::Failover { backend: backend.clone(), to }, ..order.clone() }
    }
}

impl Backend {
    /// Where a failover without a name goes: from the first pool to the next that may serve; from any other, nowhere: it stays.
    fn next_pool(&self) -> usize {
        if self.serving.pool > 0 {
            return self.serving.pool;
        }
        super::serving::best(&self.pools, |index| index > 0).unwrap_or(1)
    }
}

impl Consequence {
    fn moves(&self, name: &Name) -> bool {
        match self {
            Consequence::Moves { backend, .. } | Consequence::Ramps { backend, .. } => backend == name,
            Consequence::Diverges { .. }
            | Consequence::GivesUpWrites { .. }
            | Consequence::RefusesWrites { .. }
            | Consequence::TakesWritesAgain { .. }
            | Consequence::NoUsablePool { .. }
            | Consequence::Drains { .. }
            | Consequence::RulesDecide { .. }
            | Consequence::Stays { .. } => false,
        }
    }
}

/// What a transition means to an operator who asks beforehand.
fn consequence(told: &Transition, after: &Model) -> Option<Consequence> {
    let backend = told.backend.clone()?;
    let found = after.backends().iter().find(|found| found.name == backend)?;
    match &told.change {
        Change::Serving { from, to } => Some(Consequence::Moves { backend, from: from.clone(), to: to.clone() }),
        Change::Ramp { from, to, step: RampStep::Began } => {
            Some(Consequence::Ramps { backend, from: from.clone(), to: to.clone(), over: found.rules.ramp })
        }
        Change::Diverged { pool, to: Diverged::Yes } => Some(Consequence::Diverges { backend, pool: pool.clone() }),
        Change::Diverged { pool, to: Diverged::No } => Some(Consequence::GivesUpWrites { backend, pool: pool.clone() }),
        Change::Writes { to: Writes::Refused(_), .. } => Some(Consequence::RefusesWrites { backend }),
        Change::Writes {
            from: Writes::Refused(_), to: Writes::To(pool) | Writes::Pausing { to: pool, .. }, ..
        } => Some(Consequence::TakesWritesAgain { backend, pool: found.pools[pool.0].name.clone() }),
        // The spare will take writes as soon as those that run at the first pool have ended.
        Change::Writes { to: Writes::Pausing { to, .. }, .. }
            if to.0 > 0 && found.rules.after_writes != AfterWrites::Auto =>
        {
            Some(Consequence::Diverges { backend, pool: found.pools[to.0].name.clone() })
        }
        Change::Routing { to: Routing::Panic, .. } => Some(Consequence::NoUsablePool { backend }),
        Change::Writes { .. }
        | Change::Ramp { step: RampStep::Aborted, .. }
        | Change::Routing { to: Routing::Serving | Routing::Held, .. }
        | Change::Endpoint { .. }
        | Change::Steadiness { .. }
        | Change::Pool { .. }
        | Change::Lag { .. }
        | Change::WritesLeft { .. }
        | Change::Waiting { .. }
        | Change::Command { .. }
        | Change::Isolation { .. }
        | Change::Probing { .. } => None,
    }
}
