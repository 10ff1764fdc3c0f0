//! Scenes of a whole supervisor with 1,000 backends of 10 endpoints: publishing, and a turn in which nothing happened.

use crate::domain::{EndpointId, Input, Lag, ProbeFailure, ProbeReport, ProbeResult};
use crate::scene::Scene;
use hotspare::config::{self, Config};
use hotspare::health::supervisor::steps::Steps;
use std::fmt::Write;
use std::io::ErrorKind;
use std::sync::Arc;

const BACKENDS: usize = 1_000;
/// Two, as on the machines where this is measured; each has its own tallies and marks.
const WORKERS: usize = 2;

fn config() -> Arc<Config> {
    let mut text =
        "[[listener]]\naddress = '127.0.0.1:8080'\n[[site]]\nhosts = ['*']\nbackend = 'sites-0'\n".to_owned();
    for backend in 0..BACKENDS {
        let (high, low) = (backend / 250, backend % 250);
        let pool = |place: usize| {
            let endpoints: Vec<_> = (1..=5).map(|at| format!("'10.{}.{low}.{at}:80'", 2 * high + place)).collect();
            format!("{{ name = 'place-{place}', endpoints = [{}] }}", endpoints.join(", "))
        };
        let (primary, secondary) = (pool(0), pool(1));
        writeln!(text, "[[backend]]\nname = 'sites-{backend}'\nprimary = {primary}\nsecondary = {secondary}")
            .expect("a string takes it");
    }
    let config = config::parse("core.toml", &text, &|_| Err(ErrorKind::NotFound.into()));
    Arc::new(config.unwrap_or_else(|problems| panic!("{problems}")))
}

fn steps() -> Steps {
    Steps::new(config(), WORKERS).expect("the system gives a poller")
}

/// One endpoint has changed, another one each time: the view is published.
pub struct Publish {
    steps: Steps,
    /// Of each backend the first.
    endpoints: Vec<EndpointId>,
    next: usize,
}

impl Publish {
    pub fn new() -> Publish {
        let steps = steps();
        let view = steps.view();
        let first = |backend: &Arc<hotspare::health::BackendView>| backend.snapshot.pools[0].endpoints[0].id;
        let endpoints = view.backends.iter().map(first).collect();
        let mut scene = Publish { steps, endpoints, next: 0 };
        scene.prepare();
        scene.run(&mut ());
        let now = scene.steps.view();
        let changed = view.backends.iter().zip(&now.backends).filter(|(one, other)| !Arc::ptr_eq(one, other));
        assert_eq!(changed.count(), 1, "it is one change that is published");
        scene
    }
}

impl Scene for Publish {
    type Ready = ();

    fn prepare(&mut self) {
        let at = self.next % self.endpoints.len();
        // Down in the first round, up in the second.
        let result = match self.next / self.endpoints.len() % 2 {
            0 => ProbeResult::Failed(ProbeFailure::Refused),
            _ => ProbeResult::Passed,
        };
        self.next += 1;
        for _ in 0..3 {
            let report = ProbeReport { result, began: self.steps.now(), answered_meanwhile: 0, lag: Lag::Unknown };
            self.steps.apply(&Input::Probe { endpoint: self.endpoints[at], report });
        }
    }

    fn run(&mut self, (): &mut ()) {
        self.steps.publish();
    }
}

/// 50 ms have passed, and nobody asked anything of anybody.
pub struct QuietTurn(Steps);

impl QuietTurn {
    pub fn new() -> QuietTurn {
        QuietTurn(steps())
    }
}

impl Scene for QuietTurn {
    type Ready = ();

    fn prepare(&mut self) {}

    fn run(&mut self, (): &mut ()) {
        self.0.turn();
    }
}

/// Every endpoint has answered well since the last look.
pub struct BusyLook(Steps);

impl BusyLook {
    pub fn new() -> BusyLook {
        BusyLook(steps())
    }
}

impl Scene for BusyLook {
    type Ready = ();

    fn prepare(&mut self) {
        self.0.everyone_answers();
    }

    fn run(&mut self, (): &mut ()) {
        self.0.look();
    }
}
