//! Scenes of the decision core alone: tallies, probes and a failover in `Model::apply`.
//!
//! It speaks of `crate::domain`, which is the library's in the bench, and the core compiled by itself in tests/instructions.rs.

use crate::domain::{
    Askers, BackendSetup, Change, Class, Elsewhere, EndpointId, FailedRequest, FailureKind, Fingerprint, HeadTimes,
    Input, Lag, Model, Moment, Pending, PerClass, PoolSetup, PoolWrites, ProbeReport, ProbeResult, Rules, Setup,
    TallyDelta, Transition, Variety, Weight,
};
use crate::scene::Scene;
use std::time::Duration;

/// In each of two pools.
const ENDPOINTS: usize = 5;
/// Between two looks at tallies.
const ROUND: Duration = Duration::from_millis(50);

/// A model of some backends, two pools of five endpoints each, all of which passed a probe; and the time there.
#[derive(Clone)]
pub struct World {
    model: Model,
    now: Moment,
    ids: Vec<EndpointId>,
}

impl World {
    pub fn new(backends: usize) -> World {
        let pool = |name: &str| PoolSetup {
            name: name.into(),
            endpoints: (0..ENDPOINTS).map(|at| format!("{name}-{at}:80").into()).collect(),
            writes: PoolWrites::After(Duration::ZERO),
        };
        let backend = |at: usize| BackendSetup {
            name: format!("sites-{at}").into(),
            rules: Rules::default(),
            pools: vec![pool("new-jersey"), pool("oregon")],
        };
        let mut model = Model::new();
        let setup = Setup { backends: (0..backends).map(backend).collect() };
        model.apply(Moment::ZERO, &Input::Reconfigure(setup), &mut Vec::new());
        let snapshot = model.snapshot();
        let pools = snapshot.backends.iter().flat_map(|backend| &backend.pools);
        let ids = pools.flat_map(|pool| pool.endpoints.iter().map(|endpoint| endpoint.id)).collect();
        let mut world = World { model, now: Moment::at(Duration::from_secs(1)), ids };
        for endpoint in world.ids.clone() {
            world.apply(&Input::Probe { endpoint, report: passed(world.now) });
        }
        world
    }

    fn apply(&mut self, input: &Input) -> Vec<Transition> {
        let mut told = Vec::new(); // costs nothing as long as nothing is told
        self.model.apply(self.now, input, &mut told);
        told
    }

    /// That backend's endpoints.
    fn backend(&self, at: usize) -> &[EndpointId] {
        &self.ids[at * 2 * ENDPOINTS..(at + 1) * 2 * ENDPOINTS]
    }
}

fn passed(now: Moment) -> ProbeReport {
    ProbeReport { result: ProbeResult::Passed, began: now, answered_meanwhile: 0, lag: Lag::Unknown }
}

/// A round of a busy endpoint: 40 good answers of both classes, and nine requests of several clients that wait for theirs.
fn busy(now: Moment) -> TallyDelta {
    let mut heads = HeadTimes::default();
    heads.add(Duration::from_micros(800), 25);
    heads.add(Duration::from_millis(4), 14);
    heads.add(Duration::from_millis(90), 1);
    TallyDelta {
        good: PerClass::new(35, 5),
        answered: PerClass::new(somebody(now), somebody(now)),
        pending: Some(Pending { count: 9, oldest: now, from: Askers::Several }),
        last_head: Some(now),
        heads,
        writes_running: 1,
        ..TallyDelta::default()
    }
}

fn somebody(now: Moment) -> Variety {
    let seen = |n| Some((Fingerprint(n), now));
    Variety { clients: [seen(1), seen(2)], paths: [seen(3), seen(4)] }
}

fn failure(n: u64) -> FailedRequest {
    FailedRequest {
        kind: FailureKind::Status,
        class: Class::Safe,
        weight: Weight::Full,
        client: Fingerprint(n),
        path: Fingerprint(n),
        elsewhere: Elsewhere::Unknown,
    }
}

/// The tallies of the ten endpoints of one backend, all well, as they come every 50 ms.
pub struct TenQuiet {
    world: World,
    backend: usize,
    /// When the newest of those made ready come.
    next: Moment,
}

impl TenQuiet {
    pub fn among(backends: usize) -> TenQuiet {
        let world = World::new(backends);
        TenQuiet { next: world.now, world, backend: backends / 2 }
    }
}

impl Scene for TenQuiet {
    type Ready = (Moment, Vec<Input>);

    fn prepare(&mut self) -> (Moment, Vec<Input>) {
        self.next = self.next.after(ROUND);
        let tally = |endpoint: &EndpointId| Input::Tally { endpoint: *endpoint, delta: busy(self.next) };
        (self.next, self.world.backend(self.backend).iter().map(tally).collect())
    }

    fn run(&mut self, (now, inputs): &mut (Moment, Vec<Input>)) {
        self.world.now = *now;
        let mut told = Vec::new();
        for input in inputs {
            self.world.model.apply(*now, input, &mut told);
        }
    }
}

/// One input to a model that is made ready for it.
pub struct One {
    before: World,
    input: Input,
}

/// A copy of the model, and what it tells.
type Copied = (World, Vec<Transition>);

impl Scene for One {
    type Ready = Copied;

    fn prepare(&mut self) -> Copied {
        (self.before.clone(), Vec::new())
    }

    fn run(&mut self, (world, told): &mut Copied) {
        world.model.apply(world.now, &self.input, told);
    }
}

/// A tally of a busy endpoint that is well, in which one request failed.
pub fn one_failed() -> One {
    let before = World::new(1);
    let delta = TallyDelta { failed: vec![failure(7)], ..busy(before.now) };
    One { input: Input::Tally { endpoint: before.ids[0], delta }, before }
}

/// A probe that passed, where all do.
pub fn probed() -> One {
    let before = World::new(1);
    One { input: Input::Probe { endpoint: before.ids[0], report: passed(before.now) }, before }
}

/// Five failures in a row at the third endpoint: it is ejected, its pool falls below `min_up`, and the other serves.
pub fn failover() -> One {
    let mut before = World::new(1);
    let five = |world: &World, at: usize| {
        let delta = TallyDelta {
            failed: (0..5).map(failure).collect(),
            trailing: PerClass::new(5, 0),
            answered: PerClass::new(somebody(world.now), somebody(world.now)),
            ..TallyDelta::default()
        };
        Input::Tally { endpoint: world.ids[at], delta }
    };
    for at in 0..2 {
        let input = five(&before, at);
        before.apply(&input);
    }
    let input = five(&before, 2);
    let moves = |told: &Transition| matches!(told.change, Change::Serving { .. });
    assert!(before.clone().apply(&input).iter().any(moves), "it is a failover that is measured");
    One { before, input }
}
