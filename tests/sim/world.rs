//! The world: the real [`Model`], and around it everything that feeds it, simulated: endpoints, workers, probes, operators.
//!
//! Time jumps: to the next event, the next round of tallies, or the model's next deadline, whichever is first. Nothing ticks,
//! so a deadline that the model forgets is never served, and what should have happened then does not.
//!
//! Not here: requests (`reads`, `writes`), what happens by the plan (`items`), what must always hold (`watch`).

use crate::costs::Costs;
use crate::endpoint::Endpoint;
use crate::plan::{Plan, endpoint_name, setup};
use crate::requests::{Request, Stands};
use crate::rng::Rng;
use crate::view::View;
use crate::watch::{Broken, Given, Seen, Watch};
use hotspare::domain::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

/// How late the supervisor hears of good answers.
pub const ROUND: Duration = Duration::from_millis(50);
/// One step in so many is looked at whole although nothing seems to have happened in it.
const LOOK_EACH: u64 = 64;

pub struct World {
    pub plan: Plan,
    pub now: Moment,
    pub rng: Rng,
    pub model: Model,
    pub view: View,
    /// The view is another one since the workers last looked.
    pub view_is_new: bool,
    pub endpoints: Vec<Endpoint>,
    /// The endpoints configured in each pool, by their numbers within it.
    pub configured: Vec<Vec<usize>>,
    pub requests: BTreeMap<u64, Request>,
    pub numbers: u64,
    /// Unsafe requests that have not begun.
    pub waiting: BTreeSet<u64>,
    pub wrote: Vec<Option<Moment>>,
    pub retries: Tokens,
    pub hedges: Tokens,
    pub watch: Watch,
    pub costs: Costs,
    /// The first rule that was found broken; the run ends there.
    pub broken: Option<Broken>,
    pub lags: Vec<(usize, Moment, Moment)>,
    pub healing: Option<Moment>,
    /// From when on nothing is wrong, and nothing is held against anyone.
    pub well_from: Moment,
    /// When all must be well at the latest.
    pub due: Moment,
    events: BinaryHeap<Reverse<(Moment, u64, Event)>>,
    planned: u64,
    next_round: Option<Moment>,
    told: Vec<Transition>,
    steps: u64,
    /// What was told so far, in one number: two runs that differ anywhere differ in it.
    pub digest: u64,
    /// Whether transitions are printed.
    pub tells: bool,
}

/// Something that is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    Item(usize),
    FaultEnds(usize),
    Heals,
    /// A hard failure must be known by then.
    MustBeDown(usize),
    Probe(usize),
    ProbeEnds {
        endpoint: usize,
        number: u64,
        result: usize,
        answered: u64,
    },
    Read {
        unlucky: bool,
    },
    Write {
        unlucky: bool,
        long: bool,
    },
    Hedge(u64),
    Paired(u64),
    Confirmed(u64, usize),
    Answered(u64, usize),
    Unreachable(u64, usize),
    ClientLeaves(u64),
    WaitOver(u64),
}

/// What a budget holds, in thousandths of a request.
#[derive(Clone, Debug)]
pub struct Tokens {
    has: u64,
    most: u64,
    a_second: u64,
    at: Moment,
}

impl Tokens {
    /// So much a second, ten seconds of it at most, or `least`.
    pub fn new(a_second: f64, least: u64) -> Tokens {
        let a_second = crate::costs::whole(a_second * 1_000.0);
        let most = (10 * a_second).max(least * 1_000);
        Tokens { has: most, most, a_second, at: Moment::ZERO }
    }

    pub fn take(&mut self, now: Moment) -> bool {
        let passed = u64::try_from(now.since(self.at).as_millis()).unwrap();
        if passed > 0 {
            self.has = (self.has + passed * self.a_second / 1_000).min(self.most);
            self.at = now;
        }
        let enough = self.has >= 1_000;
        if enough {
            self.has -= 1_000;
        }
        enough
    }
}

impl World {
    pub fn new(plan: Plan) -> World {
        let configured: Vec<Vec<usize>> = plan.pools.iter().map(|pool| (0..pool.endpoints).collect()).collect();
        let rate = plan.traffic.rate;
        let now = Moment::at(Duration::from_secs(1));
        let mut model = Model::new();
        let mut told = Vec::new();
        model.apply(now, &Input::Reconfigure(setup_of(&plan, &configured)), &mut told);
        let snapshot = model.snapshot();
        let view = View::new(snapshot.backends[0].clone(), Isolation::No, Vec::new());
        let mut world = World {
            now,
            rng: Rng::new(plan.seed),
            model,
            view,
            view_is_new: false,
            endpoints: Vec::new(),
            configured,
            requests: BTreeMap::new(),
            numbers: 0,
            waiting: BTreeSet::new(),
            wrote: vec![None; plan.traffic.readers + plan.traffic.writers],
            retries: Tokens::new(0.2 * rate + 10.0, 100),
            hedges: Tokens::new(0.05 * rate + 2.0, 20),
            watch: Watch::new(&plan, now),
            costs: Costs::default(),
            broken: None,
            lags: Vec::new(),
            healing: None,
            well_from: now,
            due: now,
            events: BinaryHeap::new(),
            planned: 0,
            next_round: (rate > 0.0).then_some(now),
            told: Vec::new(),
            steps: 0,
            digest: 0,
            tells: std::env::var_os("TELL").is_some(),
            plan,
        };
        world.meet_endpoints();
        for index in 0..world.plan.items.len() {
            let at = Moment::at(world.plan.items[index].at).max(now);
            world.at(at, Event::Item(index));
        }
        let hurt = Moment::at(world.plan.hurt);
        world.at(hurt, Event::Heals);
        world
    }

    /// Runs the plan to its end.
    pub fn run(&mut self) -> Result<(), Broken> {
        let mut served_in_vain = 0;
        while self.broken.is_none() && !self.is_over() {
            let event = self.events.peek().map(|Reverse((at, ..))| *at);
            let input = event.into_iter().chain(self.next_round).min();
            let deadline = self.model.next_deadline();
            if let Some((due, why)) = deadline.filter(|(due, _)| input.is_none_or(|input| *due < input)) {
                if due < self.now {
                    self.breaks("7.1", format!("the deadline of {due} ({why:?}) lies in the past"));
                    break;
                }
                served_in_vain = if due == self.now { served_in_vain + 1 } else { 0 };
                if served_in_vain > 3 {
                    self.breaks("7.1", format!("the deadline of {due} ({why:?}) stays when it is served"));
                    break;
                }
                self.now = due;
                self.apply(Input::Tick, Given::Time);
            } else if event.is_some_and(|event| self.next_round.is_none_or(|round| event <= round)) {
                let Some(Reverse((at, _, event))) = self.events.pop() else { break };
                self.now = self.now.max(at);
                served_in_vain = 0;
                self.happens(event);
            } else if let Some(round) = self.next_round {
                self.now = self.now.max(round);
                served_in_vain = 0;
                self.next_round = Some(round.after(ROUND));
                self.round();
            } else {
                break;
            }
            while std::mem::take(&mut self.view_is_new) && self.broken.is_none() {
                self.workers_look();
            }
        }
        self.broken.take().map_or(Ok(()), Err)
    }

    pub fn at(&mut self, at: Moment, event: Event) {
        self.planned += 1;
        self.events.push(Reverse((at.max(self.now), self.planned, event)));
    }

    pub fn breaks(&mut self, rule: &'static str, what: String) {
        let at = self.now;
        self.broken.get_or_insert(Broken { rule, at, what });
    }

    /// Gives the model an input, as the supervisor does, and looks at what came of it.
    pub fn apply(&mut self, input: Input, given: Given) {
        if self.broken.is_some() {
            return;
        }
        self.steps += 1;
        self.told.clear();
        self.model.apply(self.now, &input, &mut self.told);
        if self.tells {
            for transition in &self.told {
                eprintln!("{} {:?} {:?} {:?}", transition.at, transition.change, transition.cause, transition.evidence);
            }
        }
        let snapshot = self.model.snapshot();
        let backend = &snapshot.backends[0];
        let changed = !Arc::ptr_eq(backend, &self.view.snapshot) || snapshot.isolation != self.view.isolation;
        let dull = matches!(given, Given::GoodAnswers) && !changed && self.told.is_empty();
        if !dull || self.steps.is_multiple_of(LOOK_EACH) {
            let seen = Seen {
                now: self.now,
                given: &given,
                before: &self.view.snapshot,
                after: backend,
                isolation: snapshot.isolation,
                told: &self.told,
                model: &self.model,
            };
            let found = self.watch.look(&seen);
            if let Err(broken) = found {
                self.broken = Some(broken);
                return;
            }
        }
        let told = std::mem::take(&mut self.told);
        for transition in &told {
            self.note(transition);
        }
        self.told = told;
        if changed {
            let endpoints = self.configured_endpoints();
            self.view = View::new(backend.clone(), snapshot.isolation, endpoints);
            self.view_is_new = true;
        }
        for asked in self.model.take_asks() {
            self.hurry(|endpoint| endpoint.id == Some(asked));
        }
    }

    /// Probes those at once, or as soon as may be.
    pub fn hurry(&mut self, whom: impl Fn(&Endpoint) -> bool) {
        for index in 0..self.endpoints.len() {
            let (now, fast) = (self.now, self.plan.pace.fast);
            if whom(&self.endpoints[index]) && self.endpoints[index].probes.hurry(now, fast) {
                let due = self.endpoints[index].probes.due.unwrap_or(now);
                self.at(due, Event::Probe(index));
            }
        }
    }

    fn configured_endpoints(&self) -> Vec<Vec<usize>> {
        let number = |pool: usize, endpoint: &usize| {
            self.endpoints.iter().position(|known| known.place == (pool, *endpoint)).unwrap()
        };
        let all = self.configured.iter().enumerate();
        all.map(|(pool, endpoints)| endpoints.iter().map(|endpoint| number(pool, endpoint)).collect()).collect()
    }

    /// Learns the ids of what is configured now; what is new is probed at once.
    pub fn meet_endpoints(&mut self) {
        for (pool, endpoints) in self.configured.iter().enumerate() {
            for endpoint in endpoints {
                if !self.endpoints.iter().any(|known| known.place == (pool, *endpoint)) {
                    let name = endpoint_name(pool, *endpoint);
                    self.endpoints.push(Endpoint::new((pool, *endpoint), name, self.now));
                }
            }
        }
        let snapshot = self.model.snapshot();
        let backend = &snapshot.backends[0];
        for index in 0..self.endpoints.len() {
            let (pool, name) = (self.endpoints[index].place.0, self.endpoints[index].name.clone());
            let shown = backend.pools[pool].endpoints.iter().find(|shown| shown.name == name);
            let (before, id) = (self.endpoints[index].id, shown.map(|shown| shown.id));
            self.endpoints[index].id = id;
            if before.is_none() && id.is_some() {
                self.endpoints[index].probes = crate::probes::Schedule::new(self.now);
                self.at(self.now, Event::Probe(index));
            }
        }
        self.view = View::new(backend.clone(), snapshot.isolation, self.configured_endpoints());
        self.view_is_new = true;
    }

    /// Requests that an endpoint has and has not answered.
    fn pending(&mut self, index: usize) -> Option<Pending> {
        let requests = &self.requests;
        let waits = |(number, attempt): &(u64, usize)| {
            requests.get(number).filter(|request| match request.attempts[*attempt].stands {
                Stands::Waits | Stands::Lost | Stands::Left => true,
                Stands::Connects | Stands::Well | Stands::Failed { .. } | Stands::Over => false,
            })
        };
        let endpoint = &mut self.endpoints[index];
        while endpoint.running.front().is_some_and(|first| waits(first).is_none()) {
            endpoint.running.pop_front();
        }
        let first = endpoint.running.front().and_then(waits)?;
        let oldest = first.attempts.iter().find(|attempt| attempt.at == index).map(|attempt| attempt.sent)?;
        let another = endpoint
            .running
            .iter()
            .filter_map(waits)
            .any(|other| (other.client, other.path) != (first.client, first.path));
        let from = if another { Askers::Several } else { Askers::One };
        Some(Pending { count: endpoint.pending, oldest, from })
    }

    /// Tells the model what was counted of an endpoint.
    pub fn tell(&mut self, index: usize) {
        let pending = self.pending(index);
        let endpoint = &mut self.endpoints[index];
        let delta = endpoint.counted.take((pending, endpoint.open_hedges, endpoint.writes));
        let Some(id) = endpoint.id else { return };
        let given = self.watch.tallied(id, endpoint.place.0, &delta);
        self.apply(Input::Tally { endpoint: id, delta }, given);
    }

    /// Whoever looks before the deadline must find nothing to do. A reload of the same looks at everything; a tick would only
    /// look at what has a deadline.
    pub fn ask_early(&mut self) {
        let latest = self.model.next_deadline().map_or(self.now.after(Duration::from_secs(100)), |(due, _)| due);
        let early = self.now.after(latest.since(self.now).mul_f64(0.999 * self.rng.unit()));
        // Cut off, nothing moves, and what failback waits for is told when that has ended.
        if early >= latest || self.view.isolation == Isolation::Yes {
            return;
        }
        let mut copy = self.model.clone();
        let mut told = Vec::new();
        copy.apply(early, &Input::Reconfigure(setup_of(&self.plan, &self.configured)), &mut told);
        // A write that ends is quiet; what it does to `after_writes` is told with the next probe.
        let of_writes = |waiting: &Option<Waiting>| matches!(waiting, Some(Waiting::AfterWrites { .. }));
        let may_be_late = |told: &Transition| match &told.change {
            Change::Waiting { from, to } => of_writes(from) || of_writes(to),
            _ => false,
        };
        if told.iter().all(may_be_late) && !told.is_empty() {
            return;
        }
        if !told.is_empty() || copy.snapshot().backends[0] != self.view.snapshot {
            let deadline = self.model.next_deadline();
            self.breaks("7.1", format!("no deadline for what a look at {early} finds: {told:?} (next: {deadline:?})"));
        }
    }
}

pub fn setup_of(plan: &Plan, configured: &[Vec<usize>]) -> Setup {
    let pools: Vec<_> = configured.iter().cloned().zip(plan.pools.iter().map(|pool| pool.writes)).collect();
    setup(plan.rules, &pools)
}
