//! Who is probed, and when the next probe of anyone is due: starts probes as tasks of its own, at most one an endpoint, and
//! hands back their results as they end.
//!
//! A result waits in its task until it is taken: there are never more of them than endpoints, and none is dropped. Those
//! of an endpoint that is no longer configured, or is probed in another way now, are not told.
//!
//! Not here: the rule for when (`schedule`), the probe itself (`probe`), what a result proves (`domain`).

use super::probe::{Target, probe};
use super::schedule::{Pace, Schedule, Spread};
use crate::config::Config;
use crate::domain::{EndpointId, Health, Moment, ProbeResult, Snapshot};
use crate::runtime::clock::Clock;
use crate::upstream::Shortage;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinError, JoinSet};

/// Every endpoint's probes. Belongs to one thread with a local runtime; dropping it stops all that run.
#[derive(Debug)]
pub struct Prober {
    clock: Clock,
    rng: fastrand::Rng,
    watched: BTreeMap<EndpointId, Watched>,
    running: JoinSet<Ended>,
}

#[derive(Debug)]
struct Watched {
    target: Arc<Target>,
    schedule: Schedule,
    task: Option<AbortHandle>,
}

/// A probe that ended.
#[derive(Debug)]
pub struct Ended {
    pub endpoint: EndpointId,
    pub target: Arc<Target>,
    pub outcome: Outcome,
    pub took: Duration,
}

/// What came of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Result(ProbeResult),
    /// We lacked what it takes to make one.
    Short(Shortage),
    /// It panicked: a bug of ours.
    Panicked,
}

impl Prober {
    /// Knows no endpoint yet. `rng` spreads the probes.
    pub fn new(clock: Clock, rng: fastrand::Rng) -> Prober {
        Prober { clock, rng, watched: BTreeMap::new(), running: JoinSet::new() }
    }

    /// From now on these are probed and no others. What stays as it was keeps its schedule; what is reached or asked in
    /// another way is probed at once.
    pub fn watch(&mut self, now: Moment, targets: impl IntoIterator<Item = (EndpointId, Target, Pace)>) {
        let mut before = std::mem::take(&mut self.watched);
        for (endpoint, target, pace) in targets {
            let watched = match before.remove(&endpoint) {
                Some(mut watched) => {
                    watched.schedule.set_pace(now, pace);
                    if *watched.target != target {
                        watched.stop();
                        watched.target = Arc::new(target);
                        watched.schedule.restart(now);
                    }
                    watched
                }
                None => Watched { target: Arc::new(target), schedule: Schedule::new(now, pace), task: None },
            };
            self.watched.insert(endpoint, watched);
        }
        before.into_values().for_each(|mut removed| removed.stop());
    }

    /// When the next probe is due; `None` while all run, or there is no endpoint.
    pub fn next_due(&self) -> Option<Moment> {
        self.watched.values().filter_map(|watched| watched.schedule.due()).min()
    }

    /// Starts what is due.
    pub fn start_due(&mut self, now: Moment) {
        for (endpoint, watched) in &mut self.watched {
            if watched.schedule.due().is_some_and(|due| due <= now) {
                watched.schedule.begin(now);
                let (endpoint, target, clock) = (*endpoint, watched.target.clone(), self.clock);
                watched.task = Some(self.running.spawn_local(async move {
                    let outcome = match probe(&target, clock).await {
                        Ok(result) => Outcome::Result(result),
                        Err(shortage) => Outcome::Short(shortage),
                    };
                    Ended { endpoint, target, outcome, took: clock.now().since(now) }
                }));
            }
        }
    }

    /// The next probe that ends; never returns while none runs. Losing the future loses no result.
    pub async fn next_ended(&mut self) -> Ended {
        loop {
            let ended = match self.running.join_next().await {
                None => std::future::pending().await,
                Some(Ok(ended)) => Some(ended),
                Some(Err(error)) => self.panicked(&error),
            };
            let current = |ended: &Ended| {
                let watched = self.watched.get(&ended.endpoint);
                watched.is_some_and(|watched| Arc::ptr_eq(&watched.target, &ended.target))
            };
            if let Some(ended) = ended.filter(current) {
                return ended;
            }
        }
    }

    /// `None`: it was stopped, not broken.
    fn panicked(&self, error: &JoinError) -> Option<Ended> {
        if !error.is_panic() {
            return None;
        }
        let broken = |task: &AbortHandle| task.id() == error.id();
        let mut all = self.watched.iter();
        let (endpoint, watched) = all.find(|(_, watched)| watched.task.as_ref().is_some_and(broken))?;
        let target = watched.target.clone();
        Some(Ended { endpoint: *endpoint, target, outcome: Outcome::Panicked, took: Duration::ZERO })
    }

    /// Sets when the endpoint's next probe is due, after one ended and `health` is what came of it.
    pub fn reschedule(&mut self, now: Moment, ended: &Ended, health: Health) {
        let spread = Spread::draw(&mut self.rng);
        if let Some(watched) = self.watched.get_mut(&ended.endpoint) {
            watched.task = None;
            match ended.outcome {
                Outcome::Result(result) => watched.schedule.end(now, result, health, spread),
                Outcome::Short(_) | Outcome::Panicked => watched.schedule.void(now, spread),
            }
        }
    }

    /// Somebody waits for a verdict on that endpoint.
    pub fn hurry(&mut self, now: Moment, endpoint: EndpointId) {
        if let Some(watched) = self.watched.get_mut(&endpoint) {
            watched.schedule.hurry(now);
        }
    }

    /// Whether every endpoint has been probed.
    pub fn first_round_over(&self) -> bool {
        self.watched.values().all(|watched| watched.schedule.has_history())
    }
}

impl Watched {
    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// What is to be probed: `snapshot` is of a model that was told of this config, in the same order.
pub(super) fn targets<'a>(
    config: &'a Config,
    snapshot: &'a Snapshot,
) -> impl Iterator<Item = (EndpointId, Target, Pace)> + 'a {
    let backends = config.backends.iter().zip(&snapshot.backends);
    backends.flat_map(|(backend, seen)| {
        let pace = Pace {
            interval: backend.probe.interval,
            fast_interval: backend.probe.fast_interval,
            fall: backend.rules.fall,
            rise: backend.rules.rise,
        };
        let pools = backend.pools.iter().zip(&seen.pools);
        let endpoints = pools.flat_map(|(pool, seen)| pool.endpoints.iter().zip(&seen.endpoints));
        endpoints.map(move |(endpoint, seen)| {
            let target = Target {
                backend: backend.name.clone(),
                name: endpoint.name.clone(),
                address: endpoint.address,
                kind: backend.probe.kind.clone(),
                timeout: backend.probe.timeout,
            };
            (seen.id, target, pace)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProbeKind;
    use crate::domain::ProbeFailure;
    use crate::health::scripted::{Endpoint, Script, refusing_address};
    use std::net::SocketAddr;
    use tokio::runtime::{Builder, LocalOptions};

    const PACE: Pace =
        Pace { interval: Duration::from_secs(3_600), fast_interval: Duration::from_secs(3_600), fall: 3, rise: 2 };
    const UP: Health = Health::Up { failures: 0 };

    fn target(path: &str, address: SocketAddr) -> Target {
        let kind = ProbeKind::Http { path: path.into(), host: None };
        Target { backend: "sites".into(), name: "nj:80".into(), address, kind, timeout: Duration::from_secs(30) }
    }

    fn at(id: u32, target: Target) -> (EndpointId, Target, Pace) {
        (EndpointId(id), target, PACE)
    }

    /// Runs the test as the supervisor would; no longer than half a minute.
    fn with_prober<F: Future<Output = ()>>(test: impl FnOnce(Prober, Clock) -> F) {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        let clock = Clock::start();
        let prober = Prober::new(clock, fastrand::Rng::with_seed(1));
        let run = async { tokio::time::timeout(Duration::from_secs(30), test(prober, clock)).await };
        runtime.block_on(run).expect("ends in time");
    }

    #[test]
    fn everyone_is_probed_at_once_and_one_at_a_time() {
        with_prober(async |mut prober, clock| {
            let alive = Endpoint::start(Script::Answer { status: 200, promised: 0, sent: 0 });
            prober.watch(clock.now(), [at(1, target("/", alive.address)), at(2, target("/", refusing_address()))]);
            assert!(prober.next_due().is_some_and(|due| due <= clock.now()));
            prober.start_due(clock.now());
            assert_eq!(prober.next_due(), None);
            prober.hurry(clock.now(), EndpointId(1));
            prober.start_due(clock.now());
            let mut outcomes = BTreeMap::new();
            for _ in 0..2 {
                assert!(!prober.first_round_over());
                let ended = prober.next_ended().await;
                prober.reschedule(clock.now(), &ended, UP);
                outcomes.insert(ended.endpoint, ended.outcome);
            }
            assert!(prober.first_round_over() && prober.running.is_empty());
            let refused = ProbeResult::Failed(ProbeFailure::Refused);
            assert_eq!(outcomes[&EndpointId(1)], Outcome::Result(ProbeResult::Passed));
            assert_eq!(outcomes[&EndpointId(2)], Outcome::Result(refused));
        });
    }

    #[test]
    fn a_probe_of_what_is_gone_or_moved_is_not_told() {
        with_prober(async |mut prober, clock| {
            let silent = Endpoint::start(Script::Silent);
            let moving = |address| at(1, target("/", address));
            prober.watch(clock.now(), [moving(silent.address), at(2, target("/", silent.address))]);
            prober.start_due(clock.now());
            prober.watch(clock.now(), [moving(refusing_address())]);
            prober.start_due(clock.now());
            let ended = prober.next_ended().await;
            let refused = Outcome::Result(ProbeResult::Failed(ProbeFailure::Refused));
            assert_eq!((ended.endpoint, ended.outcome), (EndpointId(1), refused));
            prober.reschedule(clock.now(), &ended, UP);
            while let Some(stopped) = prober.running.join_next().await {
                assert!(stopped.is_err_and(|error| error.is_cancelled()));
            }
        });
    }

    #[test]
    fn what_stays_as_it_was_is_not_disturbed() {
        with_prober(async |mut prober, clock| {
            let alive = Endpoint::start(Script::Answer { status: 200, promised: 0, sent: 0 });
            let same = || [at(1, target("/", alive.address))];
            prober.watch(clock.now(), same());
            prober.start_due(clock.now());
            prober.watch(clock.now(), same());
            let ended = prober.next_ended().await;
            prober.reschedule(clock.now(), &ended, UP);
            let due = prober.next_due();
            prober.watch(clock.now(), same());
            assert_eq!(prober.next_due(), due);
        });
    }

    #[test]
    fn a_probe_that_panics_is_told_and_does_not_end_its_endpoints_probes() {
        with_prober(async |mut prober, clock| {
            let alive = Endpoint::start(Script::Silent);
            prober.watch(clock.now(), [at(1, target("not a path", alive.address))]);
            prober.start_due(clock.now());
            let ended = prober.next_ended().await;
            assert_eq!((ended.endpoint, ended.outcome), (EndpointId(1), Outcome::Panicked));
            prober.reschedule(clock.now(), &ended, UP);
            assert!(prober.next_due().is_some());
        });
    }
}
