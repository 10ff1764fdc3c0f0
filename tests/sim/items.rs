//! What happens in the world: by the plan, at endpoints, at the prober; and what workers do with a new view.
//!
//! Not here: when it happens (`world`), what requests do (`reads`, `writes`).

use crate::plan::{Fault, Heal, Reload, What};
use crate::requests::Stands;
use crate::watch::{Given, causes_flap};
use crate::world::{Event, World, setup_of};
use hotspare::domain::*;
use std::time::Duration;

/// What probes may find, by number: events are ordered, results are not.
const RESULTS: [ProbeResult; 6] = [
    ProbeResult::Passed,
    ProbeResult::Failed(ProbeFailure::Refused),
    ProbeResult::Failed(ProbeFailure::Timeout),
    ProbeResult::Failed(ProbeFailure::Status(500)),
    ProbeResult::Failed(ProbeFailure::Reset),
    ProbeResult::Void(Illness::Late),
];

impl World {
    pub fn happens(&mut self, event: Event) {
        match event {
            Event::Item(item) => self.item(item),
            Event::FaultEnds(item) => self.fault_ends(item),
            Event::Heals => self.heals(),
            Event::MustBeDown(item) => self.must_be_down(item),
            Event::Probe(index) => self.probe(index),
            Event::ProbeEnds { endpoint, number, result, answered } => {
                self.probe_ends(endpoint, number, RESULTS[result], answered);
            }
            Event::Read { unlucky } => self.read_arrives(unlucky),
            Event::Write { unlucky, long } => self.write_arrives(unlucky, long),
            Event::Hedge(number) => self.hedge(number),
            Event::Paired(number) => self.tell_unpaired(number),
            Event::Confirmed(number, attempt) => self.confirm(number, attempt),
            Event::Answered(number, attempt) => self.attempt_ends(number, attempt, Ok(())),
            Event::Unreachable(number, attempt) => self.attempt_ends(number, attempt, Err(FailureKind::Connect)),
            Event::ClientLeaves(number) => self.client_leaves(number),
            Event::WaitOver(number) => self.wait_over(number),
        }
        if self.rng.chance(0.01) && self.broken.is_none() {
            self.ask_early();
        }
    }

    fn item(&mut self, index: usize) {
        if self.healing.is_some() {
            return;
        }
        match self.plan.items[index].what.clone() {
            What::Fault { fault, hits, until } => {
                let hit: Vec<usize> =
                    (0..self.endpoints.len()).filter(|at| hits.contains(&self.endpoints[*at].place)).collect();
                for at in hit {
                    self.endpoints[at].faults.push((index, fault, self.now));
                    self.endpoints[at].hurt = Some(self.now);
                    if fault == Fault::Crash {
                        self.resets(at);
                    }
                }
                let ends = Moment::at(until.min(self.plan.hurt));
                self.at(ends, Event::FaultEnds(index));
                let known = self.now.after(self.plan.pace.bound(&self.plan.rules) + Duration::from_millis(10));
                let hard = matches!(fault, Fault::Crash | Fault::Freeze | Fault::CutOff);
                if hard && self.plan.traffic.rate == 0.0 && known < ends {
                    self.at(known, Event::MustBeDown(index));
                }
            }
            What::Lag { pool, until } => self.lags.push((pool, self.now, Moment::at(until.min(self.plan.hurt)))),
            What::Order(order) => self.order(order),
            What::Reload(reload) => self.reload(reload),
            What::Restart => self.restart(),
        }
    }

    pub fn order(&mut self, order: Order) {
        self.costs.orders += 1;
        let taken = self.model.consider(&order).is_ok();
        self.apply(Input::Order(order.clone()), Given::Order { order, taken });
    }

    fn reload(&mut self, reload: Reload) {
        match reload {
            Reload::Same => return self.reload_same(),
            Reload::Add { pool } => {
                let new = self.configured[pool].iter().max().map_or(0, |last| last + 1);
                self.configured[pool].push(new);
            }
            Reload::Remove { pool } if self.configured[pool].len() > 1 => {
                self.configured[pool].pop();
            }
            Reload::Remove { .. } => return,
        }
        // Endpoints must be known to the world before a view names them.
        for (pool, endpoints) in self.configured.clone().into_iter().enumerate() {
            for endpoint in endpoints {
                if !self.endpoints.iter().any(|known| known.place == (pool, endpoint)) {
                    let name = crate::plan::endpoint_name(pool, endpoint);
                    self.endpoints.push(crate::endpoint::Endpoint::new((pool, endpoint), name, self.now));
                }
            }
        }
        self.apply(Input::Reconfigure(setup_of(&self.plan, &self.configured)), Given::Reload);
        self.meet_endpoints();
    }

    /// With nothing changed, nothing changes.
    fn reload_same(&mut self) {
        let scores = |world: &World| -> Vec<_> {
            world.endpoints.iter().filter_map(|endpoint| world.model.scores(endpoint.id?)).collect()
        };
        let healths = |world: &World| -> Vec<_> {
            world.endpoints.iter().filter_map(|endpoint| world.model.health(endpoint.id?)).collect()
        };
        self.apply(Input::Tick, Given::Time); // whatever is due now belongs to before
        let before = (self.view.snapshot.clone(), scores(self), healths(self), self.model.memory(self.now));
        let deadline = self.model.next_deadline();
        self.apply(Input::Reconfigure(setup_of(&self.plan, &self.configured)), Given::ReloadOfSame);
        let after =
            (self.model.snapshot().backends[0].clone(), scores(self), healths(self), self.model.memory(self.now));
        if before != after {
            self.breaks("7.9", format!("a reload of the same changed\n  {before:?}\nto\n  {after:?}"));
        }
        let found = self.model.next_deadline();
        if found.is_none() && deadline.is_some() {
            self.breaks("7.1", format!("after a reload of the same the deadline {deadline:?} is {found:?}"));
        }
    }

    /// Another process, with what was kept.
    fn restart(&mut self) {
        self.costs.restarts += 1;
        let memory = self.model.memory(self.now);
        let before = self.view.snapshot.clone();
        self.requests.clear();
        self.waiting.clear();
        for endpoint in &mut self.endpoints {
            endpoint.running.clear();
            (endpoint.pending, endpoint.open_hedges, endpoint.writes) = (0, 0, 0);
            endpoint.counted = crate::endpoint::Counted::default();
            endpoint.id = None;
        }
        self.model = Model::new();
        self.watch.restarts(self.now);
        let mut told = Vec::new();
        self.model.apply(self.now, &Input::Reconfigure(setup_of(&self.plan, &self.configured)), &mut told);
        self.meet_endpoints();
        self.apply(Input::Restore(memory.clone()), Given::Restore);
        let after = self.view.snapshot.clone();
        let place = |of: &BackendSnapshot| of.pools[of.serving.0].name.clone();
        // Commands are given again at once, and one of them may say otherwise than where requests were.
        if place(&before) != place(&after) && memory.commands.is_empty() {
            self.breaks("4 (memory)", format!("a restart moved users from {} to {}", place(&before), place(&after)));
        }
        let kept = |memory: &Memory| (memory.commands.iter().map(|(command, _)| command.clone()).collect::<Vec<_>>(),);
        if kept(&memory) != kept(&self.model.memory(self.now)) {
            self.breaks("4 (memory)", format!("{memory:?} became {:?}", self.model.memory(self.now)));
        }
        self.meet_endpoints();
    }

    fn fault_ends(&mut self, item: usize) {
        for index in 0..self.endpoints.len() {
            let before = self.endpoints[index].faults.len();
            self.endpoints[index].faults.retain(|(of, ..)| *of != item);
            if self.endpoints[index].faults.len() < before {
                self.endpoints[index].hurt = Some(self.now);
                self.wakes(index);
            }
        }
    }

    fn heals(&mut self) {
        for index in 0..self.endpoints.len() {
            self.endpoints[index].faults.clear();
            self.wakes(index);
        }
        self.healing = Some(self.now);
        self.watch.heals(self.now);
        if self.plan.heal == Heal::Release {
            let order = |command| Order { command, lasts: None, force: Force::No };
            let standing: Vec<Command> = self.view.snapshot.standing.iter().map(|of| of.command.clone()).collect();
            self.order(order(Command::Release { scope: Scope::All }));
            for command in standing {
                if let Command::Drain { place } = command {
                    self.order(order(Command::Undrain { place }));
                }
            }
        }
    }

    fn probe(&mut self, index: usize) {
        let endpoint = &mut self.endpoints[index];
        if endpoint.id.is_none() || endpoint.probes.due.is_none_or(|due| due > self.now) {
            return; // hurried, or configured no longer
        }
        let number = endpoint.probes.begin(self.now);
        let (timeout, lost) = (self.plan.pace.timeout, self.plan.pace.lost);
        let (ends, result) = self.endpoints[index].probed(self.now, timeout, lost, &mut self.rng);
        let result = RESULTS.iter().position(|known| *known == result).unwrap();
        let answered = self.endpoints[index].answered;
        self.at(ends, Event::ProbeEnds { endpoint: index, number, result, answered });
    }

    fn probe_ends(&mut self, index: usize, number: u64, result: ProbeResult, answered: u64) {
        let endpoint = &self.endpoints[index];
        let Some(id) = endpoint.id.filter(|_| endpoint.probes.number == number) else { return };
        let meanwhile = u32::try_from(endpoint.answered - answered).unwrap_or(u32::MAX);
        let lag = match self.plan.reports_lag {
            crate::plan::ReportsLag::Yes if result == ProbeResult::Passed => Lag::Behind(self.lag(endpoint.place.0)),
            crate::plan::ReportsLag::Yes | crate::plan::ReportsLag::No => Lag::Unknown,
        };
        let report = ProbeReport { result, began: endpoint.probes.began(), answered_meanwhile: meanwhile, lag };
        let pool = endpoint.place.0;
        self.apply(Input::Probe { endpoint: id, report }, Given::Probe { id, pool, report });
        let Some(health) = self.model.health(id) else { return };
        let (pace, rules) = (self.plan.pace, self.plan.rules);
        let probes = &mut self.endpoints[index].probes;
        probes.end(self.now, result, health, &pace, &rules, &mut self.rng);
        let due = probes.due.unwrap_or(self.now);
        self.at(due, Event::Probe(index));
    }

    pub fn lag(&self, pool: usize) -> Duration {
        let of = self.lags.iter().filter(|(of, ..)| *of == pool).map(|(_, from, until)| {
            let grown = self.now.min(*until).since(*from);
            grown.saturating_sub(self.now.since(*until) * 5)
        });
        let usual = if pool == 0 { Duration::ZERO } else { Duration::from_millis(200) };
        of.max().unwrap_or(Duration::ZERO).max(usual)
    }

    /// Workers see the new view: what waits may go on, and who waits at a place that is doubted is sent elsewhere.
    pub fn workers_look(&mut self) {
        let waiting: Vec<u64> = self.waiting.iter().copied().collect();
        for number in waiting {
            self.write_goes_on(number);
        }
        let doubted: Vec<bool> = (0..self.endpoints.len()).map(|index| self.is_doubted(index)).collect();
        if !doubted.iter().any(|doubted| *doubted) {
            return;
        }
        let stuck = self.requests.values().filter(|request| {
            let waits = |stands| stands == Stands::Waits || stands == Stands::Connects;
            let stuck = |attempt: &crate::requests::Attempt| waits(attempt.stands) && doubted[attempt.at];
            let mut running = request.attempts.iter().filter(|attempt| waits(attempt.stands)).peekable();
            request.class == Class::Safe && running.peek().is_some() && running.all(stuck)
        });
        let stuck: Vec<u64> = stuck.map(|request| request.number).collect();
        for number in stuck {
            self.send_elsewhere(number);
        }
    }

    pub fn is_doubted(&self, index: usize) -> bool {
        let (pool, _) = self.endpoints[index].place;
        let id = self.endpoints[index].id;
        let shown = self.view.snapshot.pools[pool].endpoints.iter().find(|shown| Some(shown.id) == id);
        shown.is_none_or(|shown| shown.health.is_suspect() || !shown.health.counts_as_up())
    }

    /// Counts what was told.
    pub fn note(&mut self, told: &Transition) {
        for byte in format!("{told:?}").bytes().take(if self.plan.seed.is_multiple_of(8) { 400 } else { 0 }) {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        match &told.change {
            Change::Serving { from, .. } => {
                self.costs.changes += 1;
                if causes_flap(told.cause) {
                    self.costs.first_failover.get_or_insert(told.at);
                    let lately = |at: Moment| told.at.since(at) < Duration::from_secs(5);
                    let pool = self.view.snapshot.pools.iter().position(|pool| pool.name == *from);
                    let hurt = self.endpoints.iter().any(|endpoint| {
                        let touched = !endpoint.is_well() || endpoint.hurt.is_some_and(lately);
                        Some(endpoint.place.0) == pool && touched
                    });
                    self.costs.false_failovers += u64::from(!hurt);
                } else {
                    self.costs.failbacks += 1;
                }
            }
            Change::Endpoint { to: Health::Down(Out::Ejected { .. }), .. } => self.costs.ejections += 1,
            Change::Steadiness { to: Steadiness::Intermittent, .. } => {
                self.costs.intermittent_at.get_or_insert(told.at);
            }
            Change::Routing { to: Routing::Panic, .. } => self.costs.panics += 1,
            Change::Ramp { step: RampStep::Began, .. } => self.costs.ramps += 1,
            Change::WritesLeft { .. } => self.costs.left += 1,
            Change::Isolation { to: Isolation::Yes } => self.costs.isolations += 1,
            Change::Writes { to, .. } => self.writes_move(*to, told.cause),
            Change::Endpoint { .. }
            | Change::Steadiness { .. }
            | Change::Pool { .. }
            | Change::Lag { .. }
            | Change::Diverged { .. }
            | Change::Ramp { .. }
            | Change::Routing { .. }
            | Change::Waiting { .. }
            | Change::Command { .. }
            | Change::Isolation { .. }
            | Change::Probing { .. } => {}
        }
    }
}
