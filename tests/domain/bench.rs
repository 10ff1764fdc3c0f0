//! A model on the bench: it is driven by hand, and whatever must hold between any two inputs is checked after each.

use hotspare::domain::*;
use std::sync::Arc;
use std::time::Duration;

/// The defaults.
pub fn rules() -> Rules {
    Rules {
        fall: 3,
        rise: 2,
        trip: 20,
        consecutive: 5,
        ejection_time: Duration::from_secs(10),
        min_up: Percent(50),
        min_dwell: Duration::from_secs(5),
        failback: Failback::Auto,
        stable_for: Duration::from_secs(60),
    }
}

/// One backend, with a pool of that many endpoints for each number: "p0" of "p0e0", "p0e1" …
pub fn setup(rules: Rules, pools: &[usize]) -> Setup {
    let pool = |(index, endpoints): (usize, &usize)| PoolSetup {
        name: format!("p{index}").into(),
        endpoints: (0..*endpoints).map(|endpoint| format!("p{index}e{endpoint}").into()).collect(),
    };
    let pools = pools.iter().enumerate().map(pool).collect();
    Setup { backends: vec![BackendSetup { name: "sites".into(), rules, pools }] }
}

pub const PASSED: ProbeResult = ProbeResult::Passed;
pub const FAILED: ProbeResult = ProbeResult::Failed(ProbeFailure::Timeout);

/// A tally: answered well, then failed in that way.
pub fn tally(good: u32, failed: u32, kind: FailureKind) -> TallyDelta {
    let mut counts = FailureCounts::default();
    counts.add(kind, failed);
    TallyDelta { good, failed: counts, trailing: if good == 0 { failed } else { 0 } }
}

/// (pool, endpoint), by rank.
pub type At = (usize, usize);

pub struct Bench {
    pub model: Model,
    pub setup: Setup,
    pub now: Moment,
    /// All that was told.
    pub told: Vec<Transition>,
    pub reference: FailbackReference,
}

impl Bench {
    pub fn new(rules: Rules, pools: &[usize]) -> Bench {
        let setup = setup(rules, pools);
        let mut model = Model::new();
        let mut told = Vec::new();
        model.apply(Moment::ZERO, Input::Reconfigure(setup.clone()), &mut told);
        assert_eq!(told, [], "nothing is told at the start");
        let reference = FailbackReference::new(pools.len());
        Bench { model, setup, now: Moment::ZERO, told, reference }
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

    /// Applies an input now, checks all that must hold, and returns what was told.
    pub fn apply(&mut self, input: Input) -> Vec<Transition> {
        let before = self.snapshot();
        if let Input::Probe { endpoint, result } = input {
            let pool = before.pools.iter().position(|pool| pool.endpoints.iter().any(|e| e.id == endpoint));
            self.reference.probed(pool.unwrap(), result);
        }
        if let Input::Reconfigure(setup) = &input
            && *setup != self.setup
        {
            self.setup = setup.clone();
            self.reference = FailbackReference::new(setup.backends[0].pools.len());
        }
        let mut told = Vec::new();
        self.model.apply(self.now, input, &mut told);
        self.model.check().unwrap();
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
            let Change::Serving { from, to } = &transition.change else { continue };
            assert_eq!(serving, from, "a move begins where the last one ended");
            let index = index_of(to).unwrap();
            assert!(after.pools[index].health.is_usable(), "{transition:?} moves users to a pool that is not usable");
            if let Some(from) = index_of(from) {
                self.reference.moved(self.now, &self.setup.backends[0].rules, from, index, transition.cause);
            }
            serving = to;
        }
        assert_eq!(*serving, after.pools[after.serving.0].name, "the serving pool changes only through a transition");
        self.reference.look(self.now, after);
    }

    pub fn probe(&mut self, at: At, result: ProbeResult) -> Vec<Transition> {
        self.apply(Input::Probe { endpoint: self.id(at), result })
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

    /// Goes to `to`, and acts at every deadline on the way: each must bring something about.
    pub fn jump_to(&mut self, to: Moment) {
        while let Some((due, why)) = self.model.next_deadline().filter(|(due, _)| *due <= to) {
            assert!(due > self.now, "{why:?} was due at {due}, and it is {}", self.now);
            self.now = due;
            let before = self.snapshot();
            self.apply(Input::Tick);
            assert_ne!(before, self.snapshot(), "{why:?} at {due} brought nothing about");
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
            Change::Endpoint { .. } | Change::Pool { .. } | Change::Routing { .. } => None,
        };
        self.told.iter().filter_map(told).collect()
    }

    /// The causes told so far, and forgets them.
    pub fn causes(&mut self) -> Vec<Cause> {
        self.told.drain(..).map(|transition| transition.cause).collect()
    }
}

/// When failback is allowed, kept by other means than the model's: by looking at the snapshots.
pub struct FailbackReference {
    pools: Vec<Seen>,
    since: Moment,
}

#[derive(Clone, Default)]
struct Seen {
    failovers: u32,
    /// Since when, probes passed, probes missed.
    well: Option<(Moment, u64, u64)>,
}

impl FailbackReference {
    fn new(pools: usize) -> FailbackReference {
        FailbackReference { pools: vec![Seen::default(); pools], since: Moment::ZERO }
    }

    fn probed(&mut self, pool: usize, result: ProbeResult) {
        if let Some((_, passed, missed)) = &mut self.pools[pool].well {
            match result {
                ProbeResult::Passed => *passed += 1,
                ProbeResult::Failed(_) => *missed += 1,
            }
        }
    }

    fn moved(&mut self, now: Moment, rules: &Rules, from: usize, to: usize, cause: Cause) {
        if cause == Cause::HoldDownOver {
            assert!(to < from && rules.failback == Failback::Auto);
            // Well only since this very moment is never enough, unless no hold-down is asked for.
            let (since, passed, missed) = self.pools[to].well.unwrap_or((now, 0, 0));
            let (up_for, needed) = (now.since(since), self.hold_down(to, rules));
            assert!(up_for >= needed, "failback after {up_for:?} of {needed:?}");
            assert!(
                missed <= 2 || missed * 100 <= passed + missed,
                "failback with {missed} of {} missed",
                passed + missed
            );
        } else if now.since(self.since) >= Duration::from_secs(3_600) {
            self.pools[from].failovers = 1;
        } else {
            self.pools[from].failovers += 1;
        }
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
            let well =
                index < seen.serving.0 && seen.pools[index].health.is_usable() && share(index) >= share(seen.serving.0);
            pool.well = if well { pool.well.or(Some((now, 0, 0))) } else { None };
        }
    }
}
