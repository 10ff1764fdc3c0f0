//! Who is probed, and when the next probe of anyone is due: starts probes as tasks of its own, and hands back their results
//! as they end. Endpoints (of several backends, say) that would be asked the very same question share one probe: it is made
//! when the first of them needs it, and told to all.
//!
//! A result waits in its task until it is taken: there are never more of them than endpoints, and none is dropped. Those
//! of an endpoint that is no longer configured, or is probed in another way now, are not told.
//!
//! Not here: the rule for when (`schedule`), the probe itself (`probe`), what a result proves (`domain`).

use super::probe::lag::Said;
use super::probe::{Heard, Target, probe};
use super::schedule::{Pace, Schedule, Spread};
use crate::config::Config;
use crate::domain::{Deadlines, EndpointId, Health, Lag, Moment, Name, ProbeResult, Snapshot};
use crate::runtime::clock::Clock;
use crate::upstream::Shortage;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinError, JoinSet};

/// Every endpoint's probes. Belongs to one thread with a local runtime; dropping it stops all that run.
#[derive(Debug)]
pub struct Prober {
    clock: Clock,
    rng: fastrand::Rng,
    watched: BTreeMap<Number, Watched>,
    /// Where each endpoint is among them.
    places: BTreeMap<EndpointId, Number>,
    /// How many numbers were given out.
    numbers: u64,
    /// When the next probe of each of `watched` is due, where none runs.
    due: Deadlines<Number>,
    /// Endpoints of which no probe has ended yet.
    unprobed: usize,
    running: JoinSet<Finished>,
}

/// Whose probes are one: a target at a pace. Never given to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Number(u64);

#[derive(Debug)]
struct Watched {
    target: Arc<Target>,
    pace: Pace,
    /// At least one. A probe that runs is the probe of each of them.
    sharing: BTreeMap<EndpointId, Sharing>,
    task: Option<Running>,
    said: Said,
}

/// Who it is, and when it would be probed by itself: the quickest sets the time for all.
#[derive(Debug)]
struct Sharing {
    sharer: Sharer,
    schedule: Schedule,
}

#[derive(Debug)]
struct Running {
    began: Moment,
    task: AbortHandle,
}

/// What a task returns.
#[derive(Debug)]
struct Finished {
    number: Number,
    heard: Result<Heard, Shortage>,
    ended: Moment,
}

/// An endpoint, and what metrics and log call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharer {
    pub endpoint: EndpointId,
    pub backend: Name,
    /// As it is written in the configuration.
    pub name: Name,
}

/// A probe that ended.
#[derive(Debug)]
pub struct Ended {
    number: Number,
    /// Whom it is told; at least one, in the order of their ids.
    pub sharers: Vec<Sharer>,
    pub outcome: Outcome,
    pub began: Moment,
    pub took: Duration,
    /// How long it could have taken at most.
    pub timeout: Duration,
}

/// What came of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Result(Answer),
    /// We lacked what it takes to make one.
    Short(Shortage),
    /// It panicked: a bug of ours.
    Panicked,
}

/// What a probe learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub result: ProbeResult,
    pub lag: Lag,
}

impl Ended {
    /// The backends it is told, each once.
    pub fn backends(&self) -> BTreeSet<&Name> {
        self.sharers.iter().map(|sharer| &sharer.backend).collect()
    }
}

impl Prober {
    /// Knows no endpoint yet. `rng` spreads the probes.
    pub fn new(clock: Clock, rng: fastrand::Rng) -> Prober {
        let (watched, places, due) = (BTreeMap::new(), BTreeMap::new(), Deadlines::default());
        Prober { clock, rng, watched, places, numbers: 0, due, unprobed: 0, running: JoinSet::new() }
    }

    /// From now on these are probed and no others. What stays as it was keeps its schedule; what is reached or asked in
    /// another way is probed at once.
    #[allow(
        clippy::mutable_key_type,
        reason = "targets are told apart by bytes of headers and digests, which never change"
    )]
    pub fn watch(&mut self, now: Moment, targets: impl IntoIterator<Item = (Sharer, Target, Pace)>) {
        let (mut before, places) = (std::mem::take(&mut self.watched), std::mem::take(&mut self.places));
        let known = before.iter().map(|(number, watched)| ((watched.target.clone(), watched.pace), *number));
        let mut numbers: HashMap<_, _> = known.collect();
        for (sharer, target, pace) in targets {
            let endpoint = sharer.endpoint;
            let earlier = places.get(&endpoint).and_then(|number| before.get_mut(number));
            let schedule = earlier.and_then(|watched| watched.give_up(endpoint, &target, pace, now));
            let schedule = schedule.unwrap_or_else(|| Schedule::new(now, pace));
            let question = (Arc::new(target), pace);
            let number = *numbers.entry(question.clone()).or_insert_with(|| {
                self.numbers += 1;
                Number(self.numbers)
            });
            let watched = self.watched.entry(number).or_insert_with(|| Watched::new(question));
            watched.sharing.insert(endpoint, Sharing { sharer, schedule });
            self.places.insert(endpoint, number);
        }
        (self.due, self.unprobed) = (Deadlines::default(), 0);
        for (number, watched) in &mut self.watched {
            watched.carry_on(before.remove(number), now);
            self.due.set(*number, watched.due());
            self.unprobed += watched.unprobed();
        }
        before.into_values().for_each(Watched::stop);
    }

    /// When the next probe is due; `None` while all run, or there is no endpoint.
    pub fn next_due(&self) -> Option<Moment> {
        self.due.first().map(|(due, _)| due)
    }

    /// Starts what is due.
    pub fn start_due(&mut self, now: Moment) {
        while let Some((_, number)) = self.due.first().filter(|(due, _)| *due <= now) {
            self.due.set(number, None); // while it runs, and so this comes to an end
            let Some(watched) = self.watched.get_mut(&number) else { continue };
            watched.sharing.values_mut().for_each(|sharing| sharing.schedule.begin(now));
            let (target, clock) = (watched.target.clone(), self.clock);
            let task = self.running.spawn_local(async move {
                let heard = probe(&target, clock).await;
                Finished { number, heard, ended: clock.now() }
            });
            watched.task = Some(Running { began: now, task });
        }
    }

    /// The next probe that ends; never returns while none runs. Losing the future loses no result.
    pub async fn next_ended(&mut self) -> Ended {
        loop {
            let ended = match self.running.join_next().await {
                None => std::future::pending().await,
                Some(Ok(finished)) => self.finished(finished),
                Some(Err(error)) => self.panicked(&error),
            };
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    /// `None`: nobody is to be told any more.
    fn finished(&mut self, Finished { number, heard, ended }: Finished) -> Option<Ended> {
        let watched = self.watched.get_mut(&number)?;
        let outcome = match heard {
            Ok(Heard { result, lag }) => {
                if let Some(garbage) = watched.said.hear(&lag) {
                    for Sharing { sharer: Sharer { backend, name: endpoint, .. }, .. } in watched.sharing.values() {
                        tracing::warn!(%backend, %endpoint, %garbage, "the lag is not a number of seconds: it is unknown");
                    }
                }
                Outcome::Result(Answer { result, lag: lag.lag() })
            }
            Err(shortage) => Outcome::Short(shortage),
        };
        watched.ended(number, outcome, ended)
    }

    /// `None`: it was stopped, not broken.
    fn panicked(&self, error: &JoinError) -> Option<Ended> {
        if !error.is_panic() {
            return None;
        }
        let broken = |running: &Running| running.task.id() == error.id();
        let mut all = self.watched.iter();
        let (number, watched) = all.find(|(_, watched)| watched.task.as_ref().is_some_and(broken))?;
        watched.ended(*number, Outcome::Panicked, self.clock.now())
    }

    /// Sets when the next probe is due, after one ended and `health` is what came of it.
    pub fn reschedule(&mut self, now: Moment, ended: &Ended, health: impl Fn(EndpointId) -> Option<Health>) {
        let spread = Spread::draw(&mut self.rng);
        let Some(watched) = self.watched.get_mut(&ended.number) else { return };
        watched.task = None;
        self.unprobed -= watched.unprobed();
        for (endpoint, Sharing { schedule, .. }) in &mut watched.sharing {
            match (ended.outcome, health(*endpoint)) {
                (Outcome::Result(answer), Some(health)) => schedule.end(now, answer.result, health, spread),
                (Outcome::Result(_) | Outcome::Short(_) | Outcome::Panicked, _) => schedule.void(now, spread),
            }
        }
        self.unprobed += watched.unprobed();
        self.due.set(ended.number, watched.due());
    }

    /// Somebody waits for a verdict on that endpoint.
    pub fn hurry(&mut self, now: Moment, endpoint: EndpointId) {
        let Some(number) = self.places.get(&endpoint) else { return };
        let Some(watched) = self.watched.get_mut(number) else { return };
        if let Some(sharing) = watched.sharing.get_mut(&endpoint) {
            sharing.schedule.hurry(now);
            self.due.set(*number, watched.due());
        }
    }

    /// Whether every endpoint has been probed.
    pub fn first_round_over(&self) -> bool {
        self.unprobed == 0
    }
}

impl Watched {
    fn new((target, pace): (Arc<Target>, Pace)) -> Watched {
        Watched { target, pace, sharing: BTreeMap::new(), task: None, said: Said::default() }
    }

    fn due(&self) -> Option<Moment> {
        self.sharing.values().filter_map(|sharing| sharing.schedule.due()).min()
    }

    /// Of how many that share it no probe has ended yet.
    fn unprobed(&self) -> usize {
        self.sharing.values().filter(|sharing| !sharing.schedule.has_history()).count()
    }

    /// The endpoint's schedule, for where it goes on.
    fn give_up(&mut self, endpoint: EndpointId, target: &Target, pace: Pace, now: Moment) -> Option<Schedule> {
        let Sharing { mut schedule, .. } = self.sharing.remove(&endpoint)?;
        schedule.set_pace(now, pace);
        if *self.target != *target {
            schedule.restart(now);
        }
        Some(schedule)
    }

    /// Takes over the probe that runs, and makes it the probe of all that share it now.
    fn carry_on(&mut self, before: Option<Watched>, now: Moment) {
        if let Some(before) = before {
            (self.task, self.said) = (before.task, before.said);
        }
        for Sharing { schedule, .. } in self.sharing.values_mut() {
            match (&self.task, schedule.due()) {
                (Some(_), Some(_)) => schedule.begin(now),
                // Its probe was another one's, and goes on without it or not at all.
                (None, None) => schedule.restart(now),
                (Some(_), None) | (None, Some(_)) => {}
            }
        }
    }

    fn ended(&self, number: Number, outcome: Outcome, ended: Moment) -> Option<Ended> {
        let began = self.task.as_ref()?.began;
        let sharers = self.sharing.values().map(|sharing| sharing.sharer.clone()).collect();
        Some(Ended { number, sharers, outcome, began, took: ended.since(began), timeout: self.target.timeout })
    }

    fn stop(self) {
        if let Some(running) = self.task {
            running.task.abort();
        }
    }
}

/// What is to be probed: `snapshot` is of a model that was told of this config, in the same order.
pub(super) fn targets<'a>(
    config: &'a Config,
    snapshot: &'a Snapshot,
) -> impl Iterator<Item = (Sharer, Target, Pace)> + 'a {
    let backends = config.backends.iter().zip(&snapshot.backends);
    backends.flat_map(|(backend, seen)| {
        let pace = Pace {
            interval: backend.probe.interval,
            fast_interval: backend.probe.fast_interval,
            fall: backend.rules.fall,
            rise: backend.rules.rise,
        };
        let pools = backend.pools.iter().zip(&seen.pools);
        pools.flat_map(move |(pool, seen)| {
            pool.endpoints.iter().zip(&seen.endpoints).map(move |(endpoint, seen)| {
                let (backend_name, name) = (backend.name.clone(), endpoint.name.clone());
                let sharer = Sharer { endpoint: seen.id, backend: backend_name, name };
                (sharer, Target::of(backend, endpoint), pace)
            })
        })
    })
}

#[cfg(test)]
mod tests;
