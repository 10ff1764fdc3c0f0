//! A model on the bench: it is driven by hand, and whatever must hold between any two inputs is checked after each.

use hotspare::domain::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The defaults, but for pools that share their data, and no ramp.
pub fn rules() -> Rules {
    Rules { after_writes: AfterWrites::Auto, ramp: Duration::ZERO, ..Rules::default() }
}

/// One backend, with a pool of that many endpoints for each number: "p0" of "p0e0", "p0e1" …
pub fn setup(rules: Rules, pools: &[usize]) -> Setup {
    let pool = |(index, endpoints): (usize, &usize)| PoolSetup {
        name: format!("p{index}").into(),
        endpoints: (0..*endpoints).map(|endpoint| format!("p{index}e{endpoint}").into()).collect(),
        writes: PoolWrites::After(Duration::ZERO),
    };
    let pools = pools.iter().enumerate().map(pool).collect();
    Setup { backends: vec![BackendSetup { name: "sites".into(), rules, pools }] }
}

pub const PASSED: ProbeResult = ProbeResult::Passed;
/// Answered badly.
pub const FAILED: ProbeResult = ProbeResult::Failed(ProbeFailure::Status(503));
/// Not answered.
pub const SILENT: ProbeResult = ProbeResult::Failed(ProbeFailure::Timeout);

/// What a probe found that took no time.
pub fn report(now: Moment, result: ProbeResult) -> ProbeReport {
    ProbeReport { result, began: now, answered_meanwhile: 0, lag: Lag::Unknown }
}

/// A tally of reads: answered well, then failed in that way, each at another client's other page.
pub fn tally(good: u32, failed: u32, kind: FailureKind) -> TallyDelta {
    let failure = |n: u32| FailedRequest {
        kind,
        class: Class::Safe,
        weight: Weight::Full,
        client: Fingerprint(n.into()),
        path: Fingerprint(n.into()),
        elsewhere: Elsewhere::Unknown,
    };
    TallyDelta {
        good: PerClass::new(good, 0),
        failed: (0..failed).map(failure).collect(),
        trailing: PerClass::new(if good == 0 { failed } else { 0 }, 0),
        ..TallyDelta::default()
    }
}

/// The same of writes.
pub fn writes(good: u32, failed: u32, kind: FailureKind) -> TallyDelta {
    let mut delta = tally(good, failed, kind);
    delta.failed.iter_mut().for_each(|failure| failure.class = Class::Unsafe);
    let turned = |counts: PerClass<u32>| PerClass::new(0, counts[Class::Safe]);
    TallyDelta { good: turned(delta.good), trailing: turned(delta.trailing), ..delta }
}

/// (pool, endpoint), by rank.
pub type At = (usize, usize);

/// Whether two snapshots are one.
fn same(one: &Snapshot, other: &Snapshot) -> bool {
    let backends = one.backends.len() == other.backends.len() && one.isolation == other.isolation;
    backends && one.backends.iter().zip(&other.backends).all(|(one, other)| Arc::ptr_eq(one, other))
}

pub struct Bench {
    pub model: Model,
    pub setup: Setup,
    pub now: Moment,
    /// All that was told.
    pub told: Vec<Transition>,
    pub reference: FailbackReference,
    /// Endpoints whose newest probe passed: when the model asks for a probe there, it passes again at once.
    answering: BTreeSet<EndpointId>,
}

impl Bench {
    pub fn new(rules: Rules, pools: &[usize]) -> Bench {
        let setup = setup(rules, pools);
        let mut model = Model::new();
        let mut told = Vec::new();
        model.apply(Moment::ZERO, &Input::Reconfigure(setup.clone()), &mut told);
        assert_eq!(told, [], "nothing is told at the start");
        let reference = FailbackReference::new(pools.len());
        Bench { model, setup, now: Moment::ZERO, told, reference, answering: BTreeSet::new() }
    }

    pub fn rules(&self) -> Rules {
        self.setup.backends[0].rules
    }

    pub fn snapshot(&self) -> Arc<BackendSnapshot> {
        self.model.snapshot().backends[0].clone()
    }

    pub fn id(&self, (pool, endpoint): At) -> EndpointId {
        self.snapshot().pools[pool].endpoints[endpoint].id
    }

    pub fn health(&self, (pool, endpoint): At) -> Health {
        self.snapshot().pools[pool].endpoints[endpoint].health
    }

    pub fn serving(&self) -> usize {
        self.snapshot().serving.0
    }

    pub fn all(&self) -> Vec<At> {
        let pools = &self.setup.backends[0].pools;
        (0..pools.len())
            .flat_map(|pool| (0..pools[pool].endpoints.len()).map(move |endpoint| (pool, endpoint)))
            .collect()
    }

    /// Applies an input now, checks all that must hold, and returns what was told; then answers what was asked for.
    pub fn apply(&mut self, input: Input) -> Vec<Transition> {
        if let Input::Probe { endpoint, report } = &input {
            match report.result {
                ProbeResult::Passed => drop(self.answering.insert(*endpoint)),
                ProbeResult::Failed(_) => drop(self.answering.remove(endpoint)),
                ProbeResult::Void(_) => {}
            }
        }
        let mut told = self.apply_one(input);
        for _ in 0..8 {
            let asks = self.model.take_asks();
            for endpoint in asks.iter().copied() {
                if self.answering.contains(&endpoint) {
                    let report = report(self.now, PASSED);
                    told.extend(self.apply_one(Input::Probe { endpoint, report }));
                }
            }
            if asks.is_empty() {
                break;
            }
        }
        told
    }

    fn apply_one(&mut self, input: Input) -> Vec<Transition> {
        let before = self.snapshot();
        let probed = match &input {
            Input::Probe { endpoint, report } => {
                let pool = before.pools.iter().position(|pool| pool.endpoints.iter().any(|e| e.id == *endpoint));
                Some((pool.unwrap(), report.result))
            }
            _ => None,
        };
        if let Input::Reconfigure(setup) = &input
            && *setup != self.setup
        {
            self.setup = setup.clone();
            self.reference = FailbackReference::new(setup.backends[0].pools.len());
        }
        let mut told = Vec::new();
        let stood = (self.model.snapshot(), self.model.changes());
        self.model.apply(self.now, &input, &mut told);
        self.model.check().unwrap();
        assert!(
            same(&stood.0, &self.model.snapshot()) || stood.1 != self.model.changes(),
            "a change that is not counted"
        );
        if let (Some((pool, result)), Isolation::No) = (probed, self.model.snapshot().isolation) {
            self.reference.probed(pool, result);
        }
        let after = self.snapshot();
        assert_eq!(*before == *after, Arc::ptr_eq(&before, &after), "a snapshot is shared when nothing in it changed");
        self.follow(&before, &told, &after);
        self.told.extend(told.iter().cloned());
        told
    }

    /// The serving pool changes only by what is told, never to a pool that is not usable, and back only by the rules.
    fn follow(&mut self, before: &BackendSnapshot, told: &[Transition], after: &BackendSnapshot) {
        let mut serving = &before.pools[before.serving.0].name;
        let index_of = |name: &Name| after.pools.iter().position(|pool| pool.name == *name);
        for transition in told {
            assert_eq!(transition.at, self.now);
            if let Change::Ramp { from, to, step } = &transition.change {
                let (from, to) = (index_of(from).unwrap(), index_of(to).unwrap());
                self.reference.ramped(self.now, &self.setup.backends[0].rules, from, to, *step, transition.cause);
            }
            let Change::Serving { from, to } = &transition.change else { continue };
            assert_eq!(serving, from, "a move begins where the last one ended");
            let index = index_of(to).unwrap();
            let commanded = transition.cause == Cause::Commanded; // some are forced
            assert!(
                commanded || after.pools[index].health.is_usable(),
                "{transition:?} moves users to a pool that is not usable"
            );
            if let Some(from) = index_of(from) {
                self.reference.moved(self.now, &self.setup.backends[0].rules, from, index, transition.cause);
            }
            serving = to;
        }
        assert_eq!(*serving, after.pools[after.serving.0].name, "the serving pool changes only through a transition");
        self.reference.look(self.now, after);
    }

    pub fn probe(&mut self, at: At, result: ProbeResult) -> Vec<Transition> {
        self.apply(Input::Probe { endpoint: self.id(at), report: report(self.now, result) })
    }

    pub fn probes(&mut self, at: At, result: ProbeResult, times: u32) {
        (0..times).for_each(|_| drop(self.probe(at, result)));
    }

    pub fn tally(&mut self, at: At, delta: TallyDelta) -> Vec<Transition> {
        self.apply(Input::Tally { endpoint: self.id(at), delta })
    }

    /// That many requests answered badly, and none well.
    pub fn fails(&mut self, at: At, times: u32) -> Vec<Transition> {
        self.tally(at, tally(0, times, FailureKind::Status))
    }

    /// An operator's command.
    pub fn order(&mut self, command: Command) -> Vec<Transition> {
        let order = Order { command, lasts: None, force: Force::No };
        self.model.consider(&order).unwrap_or_else(|refusal| panic!("{order:?}: {refusal:?}"));
        self.apply(Input::Order(order))
    }

    /// Goes to `to`, and acts at every deadline on the way.
    pub fn jump_to(&mut self, to: Moment) {
        while let Some((due, why)) = self.model.next_deadline().filter(|(due, _)| *due <= to) {
            assert!(due > self.now, "{why:?} was due at {due}, and it is {}", self.now);
            self.now = due;
            self.apply(Input::Tick);
        }
        self.now = to;
    }

    pub fn wait(&mut self, span: Duration) {
        self.jump_to(self.now.after(span));
    }

    pub fn wait_secs(&mut self, secs: u64) {
        self.wait(Duration::from_secs(secs));
    }

    /// What became of the serving pool so far: "p1 by pool_unusable" …
    pub fn moves(&self) -> Vec<String> {
        let told = |transition: &Transition| match &transition.change {
            Change::Serving { to, .. } => Some(format!("{to} by {}", transition.cause.name())),
            _ => None,
        };
        self.told.iter().filter_map(told).collect()
    }

    /// The newest change of the serving pool.
    pub fn moved(&self) -> Option<Transition> {
        self.told.iter().rev().find(|told| matches!(told.change, Change::Serving { .. })).cloned()
    }

    /// The newest transition with that cause.
    pub fn told_by(&self, cause: Cause) -> Option<&Transition> {
        self.told.iter().rev().find(|told| told.cause == cause)
    }

    /// From now on, what the model asks of that endpoint comes to this (or to nothing that counts).
    pub fn answering(&mut self, at: At, result: ProbeResult) {
        let id = self.id(at);
        match result {
            ProbeResult::Passed => drop(self.answering.insert(id)),
            ProbeResult::Failed(_) | ProbeResult::Void(_) => drop(self.answering.remove(&id)),
        }
    }

    /// A probe that passed, and said how far behind it is.
    pub fn lag(&mut self, at: At, behind: Duration) {
        let report = ProbeReport { lag: Lag::Behind(behind), ..report(self.now, PASSED) };
        self.apply(Input::Probe { endpoint: self.id(at), report });
    }

    /// The causes told so far of what endpoints, pools and the serving pool did, and forgets them.
    pub fn causes(&mut self) -> Vec<Cause> {
        let drives = |told: &Transition| {
            matches!(
                told.change,
                Change::Endpoint { .. } | Change::Pool { .. } | Change::Serving { .. } | Change::Routing { .. }
            )
        };
        self.told.drain(..).filter(drives).map(|transition| transition.cause).collect()
    }
}

/// When failback is allowed, kept by other means than the model's: by looking at the snapshots.
pub struct FailbackReference {
    pools: Vec<Seen>,
    since: Moment,
    ramp: Option<Moment>,
}

#[derive(Clone, Default)]
struct Seen {
    failovers: u32,
    /// Since when, probes passed, probes missed.
    well: Option<(Moment, u64, u64)>,
}

impl FailbackReference {
    fn new(pools: usize) -> FailbackReference {
        FailbackReference { pools: vec![Seen::default(); pools], since: Moment::ZERO, ramp: None }
    }

    fn probed(&mut self, pool: usize, result: ProbeResult) {
        if let Some((_, passed, missed)) = &mut self.pools[pool].well {
            match result {
                ProbeResult::Passed => *passed += 1,
                ProbeResult::Failed(_) => *missed += 1,
                ProbeResult::Void(_) => {}
            }
        }
    }

    /// A return by itself may begin.
    fn may_return(&self, now: Moment, rules: &Rules, from: usize, to: usize) {
        assert!(to < from && rules.failback == Failback::Auto);
        // Well only since this very moment is never enough, unless no hold-down is asked for.
        let (since, passed, missed) = self.pools[to].well.unwrap_or((now, 0, 0));
        let (up_for, needed) = (now.since(since), self.hold_down(to, rules));
        assert!(up_for >= needed, "failback after {up_for:?} of {needed:?}");
        assert!(missed <= 2 || missed * 100 <= passed + missed, "failback with {missed} of {} missed", passed + missed);
    }

    fn ramped(&mut self, now: Moment, rules: &Rules, from: usize, to: usize, step: RampStep, cause: Cause) {
        match (step, cause) {
            (RampStep::Began, Cause::HoldDownOver) => self.may_return(now, rules, from, to),
            (RampStep::Began, _) => {}
            (RampStep::Aborted, cause) => {
                self.pools[to].well = None;
                self.pools[to].failovers += u32::from(cause != Cause::Commanded);
            }
        }
        self.ramp = (step == RampStep::Began).then_some(now);
    }

    fn moved(&mut self, now: Moment, rules: &Rules, from: usize, to: usize, cause: Cause) {
        match cause {
            Cause::HoldDownOver => self.may_return(now, rules, from, to),
            Cause::RampOver => {
                let began = self.ramp.expect("a ramp that is over was begun");
                assert!(
                    now.since(began) >= rules.ramp,
                    "a ramp of {:?} is over after {:?}",
                    rules.ramp,
                    now.since(began)
                );
            }
            Cause::Commanded | Cause::Reconfigured | Cause::Restored => {}
            _ if now.since(self.since) >= Duration::from_secs(3_600) => self.pools[from].failovers = 1,
            _ => self.pools[from].failovers += 1,
        }
        self.ramp = None;
        self.since = now;
    }

    pub fn hold_down(&self, pool: usize, rules: &Rules) -> Duration {
        let hour = Duration::from_secs(3_600).max(rules.stable_for);
        (1..self.pools[pool].failovers).fold(rules.stable_for, |span, _| (span * 2).min(hour))
    }

    /// Probes missed in the time that counts for that pool's failback.
    pub fn missed(&self, pool: usize) -> u64 {
        self.pools[pool].well.map_or(0, |(_, _, missed)| missed)
    }

    fn look(&mut self, now: Moment, seen: &BackendSnapshot) {
        let share = |pool: usize| {
            let endpoints = &seen.pools[pool].endpoints;
            let up = endpoints.iter().filter(|endpoint| endpoint.health.counts_as_up()).count();
            up * 1_000_000 / endpoints.len()
        };
        for (index, pool) in self.pools.iter_mut().enumerate() {
            let well = index < seen.serving.0 && seen.pools[index].may_serve() && share(index) >= share(seen.serving.0);
            pool.well = if well { pool.well.or(Some((now, 0, 0))) } else { None };
        }
    }
}
