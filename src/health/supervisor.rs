//! The supervisor: the one task that owns the [`Model`] and publishes the [`View`](super::View) that every worker reads.
//!
//! In: probe results, tallies, reloads, operators' orders, time. Out: transitions (memory, metrics, log), then one swap of the view; a worker
//! sees all of a transition or nothing of it. Always true between two events:
//! - the published view is the model's latest snapshot, made with the config of the generation in force;
//! - it wakes no later than [`Model::next_deadline`], the next probe that is due, and the next round of tallies;
//! - every transition is in memory before a worker can act on it.
//!
//! Bounds: 16 reloads and orders wait in line, and whoever asks for more waits; probe results are never more than endpoints;
//! tallies are read, not queued, so traffic can't crowd out an operator. At most 256 events before it looks at time. It waits for no
//! disk and no socket: a sick disk of ours must not delay a failover.
//!
//! Should the model break one of its own invariants, that is an error in the log and the last view stays: a crash would
//! take user sites down.
//!
//! Not here: what a failure proves and when to move (`domain`), how and when to probe (`prober`), how a view is made
//! (`assembly`).

mod handle;
#[doc(hidden)]
pub mod steps;

pub use handle::{Act, Stopped, Supervisor};

use super::Published;
use super::assembly::Assembly;
use super::prober::{Ended, Outcome, Prober, targets};
use super::recent::{Recent, Told};
use super::signals::{Signals, Slot};
use super::tally::TallyReader;
use crate::config::Config;
use crate::domain::{
    Breach, Cause, Change, CommandStep, Consequence, Diverged, EndpointId, Generation, Input, Isolation, Lag, Lagging,
    Model, Moment, Order, PoolHealth, ProbeReport, ProbeResult, RampStep, Refusal, Routing, Snapshot, Steadiness,
    Transition, Writes,
};
use crate::runtime::clock::Clock;
use crate::telemetry::control::Control;
use crate::telemetry::words;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// What somebody waits for.
enum Asked {
    Reconfigure(Reconfigure),
    Order(Ordered),
}

struct Reconfigure {
    config: Arc<Config>,
    done: oneshot::Sender<Generation>,
}

struct Ordered {
    order: Order,
    act: Act,
    answer: oneshot::Sender<Answer>,
}

/// What follows from an order at once, or why it was not taken.
pub type Answer = Result<Vec<Consequence>, Refusal>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstRound {
    Running,
    Over,
}

/// How late the supervisor hears of good answers; of failures it hears at once.
const ROUND: Duration = Duration::from_millis(50);

/// Events in a row before time gets its turn, so that nothing that floods in can hold up a deadline.
const EVENTS_BEFORE_TIME: u32 = 256;

/// A deadline that should stay in the past after it was served must not keep everything else from running.
const LEAST_SLEEP: Duration = Duration::from_millis(1);

/// What the supervisor works with and does not own alone.
struct Tools {
    clock: Clock,
    control: Arc<Control>,
    signals: Arc<Signals>,
    recent: Arc<Recent>,
}

/// All that the supervisor owns.
struct Task {
    tools: Tools,
    config: Arc<Config>,
    generation: Generation,
    model: Model,
    soundness: Soundness,
    assembly: Assembly,
    published: Arc<Published>,
    readers: BTreeMap<(Slot, EndpointId), TallyReader>,
    /// Touched in this round or at a wake-up since: looked at once more in the next (why: `Marks::mark_unless_seen`).
    again: BTreeSet<Slot>,
    next_round: Moment,
    first_round: watch::Sender<FirstRound>,
    first_round_until: Moment,
    /// What came of the newest probe, so that a shortage of ours is told when it begins and not with every probe.
    supply: Supply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Soundness {
    Sound,
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Supply {
    Enough,
    Short,
}

enum Event {
    Asked(Asked),
    /// Nobody holds the handle any more.
    Stop,
    Probe(Ended),
    /// A worker counted a failure or asked for a verdict.
    Woken,
    Time,
}

/// Which looks at tallies count as the second one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Round,
    Between,
}

impl Task {
    fn new(config: Arc<Config>, workers: usize, tools: Tools, first_round: watch::Sender<FirstRound>) -> Task {
        let now = tools.clock.now();
        let mut model = Model::new();
        let mut told = Vec::new();
        model.apply(now, Input::Reconfigure(config.setup()), &mut told);
        told.into_iter().for_each(|transition| tools.tell(transition));
        let snapshot = model.snapshot();
        let mut assembly = Assembly::new(workers, config.clone(), &snapshot);
        let published = Arc::new(Published::new(assembly.make(&snapshot)));
        let longest = config.backends.iter().map(|backend| backend.probe.timeout).max().unwrap_or_default();
        Task {
            tools,
            config,
            generation: Generation(1),
            model,
            soundness: Soundness::Sound,
            assembly,
            published,
            readers: BTreeMap::new(),
            again: BTreeSet::new(),
            next_round: now,
            first_round,
            first_round_until: now.after(longest),
            supply: Supply::Enough,
        }
    }

    async fn run(mut self, mut prober: Prober, mut asked: mpsc::Receiver<Asked>) {
        self.watch_endpoints(&mut prober);
        prober.start_due(self.now());
        let mut events = 0;
        loop {
            let event = match events {
                EVENTS_BEFORE_TIME => Event::Time,
                _ => self.next_event(&mut prober, &mut asked).await,
            };
            events += 1;
            match event {
                Event::Stop => return,
                Event::Asked(Asked::Reconfigure(Reconfigure { config, done })) => {
                    self.reconfigure(config, &mut prober);
                    // Whoever asked may have gone; the config is in force all the same.
                    let _ = done.send(self.published.load().generation);
                }
                Event::Asked(Asked::Order(Ordered { order, act, answer })) => {
                    let follows = self.order(&order, act);
                    self.publish();
                    // Whoever asked may have gone; what was carried out stays carried out.
                    let _ = answer.send(follows);
                }
                Event::Probe(ended) => self.probe_ended(&ended, &mut prober),
                Event::Woken => self.read_workers(Look::Between, &mut prober),
                Event::Time => {
                    events = 0;
                    self.serve_time(&mut prober);
                }
            }
        }
    }

    /// Whatever comes in first, then time.
    async fn next_event(&self, prober: &mut Prober, asked: &mut mpsc::Receiver<Asked>) -> Event {
        let wake = self.tools.clock.instant(self.wake_at(prober));
        tokio::select! {
            biased;
            asked = asked.recv() => asked.map_or(Event::Stop, Event::Asked),
            ended = prober.next_ended() => Event::Probe(ended),
            () = self.tools.signals.woken() => Event::Woken,
            () = tokio::time::sleep_until(wake) => Event::Time,
        }
    }

    fn wake_at(&self, prober: &Prober) -> Moment {
        let first_round = (*self.first_round.borrow() == FirstRound::Running).then_some(self.first_round_until);
        let deadline = self.model.next_deadline().map(|(deadline, _why)| deadline);
        let wake = [prober.next_due(), deadline, first_round].into_iter().flatten().fold(self.next_round, Moment::min);
        wake.max(self.now().after(LEAST_SLEEP))
    }

    /// Deadlines that have come, probes that are due, the round of tallies.
    fn serve_time(&mut self, prober: &mut Prober) {
        let now = self.now();
        if self.model.next_deadline().is_some_and(|(deadline, _why)| deadline <= now) {
            self.apply(Input::Tick);
        }
        if self.next_round <= now {
            self.next_round = now.after(ROUND);
            self.read_workers(Look::Round, prober);
        }
        prober.start_due(now);
        if self.first_round_until <= now {
            self.first_round.send_replace(FirstRound::Over);
        }
        self.publish();
    }

    fn probe_ended(&mut self, ended: &Ended, prober: &mut Prober) {
        let Ended { endpoint, target, outcome, took } = ended;
        match outcome {
            Outcome::Result(result) => {
                let word = match result {
                    ProbeResult::Passed => "passed",
                    ProbeResult::Failed(failure) => failure.name(),
                    ProbeResult::Void(illness) => illness.name(),
                };
                self.tools.control.probe(&target.backend, word, *took);
                self.supply = Supply::Enough;
                let began = Moment::at(self.now().since_start().saturating_sub(*took));
                let report = ProbeReport { result: *result, began, answered_meanwhile: 0, lag: Lag::Unknown };
                self.apply(Input::Probe { endpoint: *endpoint, report });
            }
            Outcome::Short(shortage) => {
                self.tools.control.void_probe();
                if self.supply == Supply::Enough {
                    tracing::warn!(?shortage, "short of something of our own: probes are void until that ends");
                }
                self.supply = Supply::Short;
            }
            Outcome::Panicked => {
                self.tools.control.void_probe();
                let (backend, endpoint) = (&target.backend, &target.name);
                tracing::error!(%backend, %endpoint, "a probe panicked; it counts for nothing");
            }
        }
        self.publish();
        if let Some(health) = self.model.health(*endpoint) {
            prober.reschedule(self.now(), ended, health);
        }
        if prober.first_round_over() {
            self.first_round.send_replace(FirstRound::Over);
        }
    }

    /// Reads the tallies that workers touched, and passes on which verdicts they wait for.
    fn read_workers(&mut self, look: Look, prober: &mut Prober) {
        let touched = self.tools.signals.take_touched();
        let slots: BTreeSet<Slot> = match look {
            Look::Between => {
                self.again.extend(&touched);
                touched
            }
            Look::Round => {
                let before = std::mem::replace(&mut self.again, touched.clone());
                touched.union(&before).copied().collect()
            }
        };
        for slot in slots {
            let grown = self.readers.range_mut(all_of(slot));
            let deltas: Vec<_> =
                grown.filter_map(|((_, endpoint), reader)| Some((*endpoint, reader.delta()?))).collect();
            for (endpoint, delta) in deltas {
                self.apply(Input::Tally { endpoint, delta });
            }
        }
        let now = self.now();
        for slot in self.tools.signals.take_asked() {
            self.readers.range(all_of(slot)).for_each(|((_, endpoint), _)| prober.hurry(now, *endpoint));
        }
        self.publish();
    }

    fn reconfigure(&mut self, config: Arc<Config>, prober: &mut Prober) {
        self.apply(Input::Reconfigure(config.setup()));
        self.generation = Generation(self.generation.0 + 1);
        self.assembly.adopt(self.generation, config.clone(), &self.model.snapshot());
        self.config = config;
        self.publish();
        self.watch_endpoints(prober);
        prober.start_due(self.now());
    }

    /// What an operator asks for: considered, or carried out. Time first: what is said beforehand is as of now.
    fn order(&mut self, order: &Order, act: Act) -> Answer {
        self.apply(Input::Tick);
        let consequences = self.model.consider(order)?;
        match act {
            Act::Consider => {}
            Act::CarryOut => self.apply(Input::Order(order.clone())),
        }
        Ok(consequences)
    }

    /// Those of the config in force are read and probed, and no others.
    fn watch_endpoints(&mut self, prober: &mut Prober) {
        let mut before = std::mem::take(&mut self.readers);
        for tally in self.assembly.tallies() {
            let key = (Slot::of(tally.id), tally.id);
            let reader = before.remove(&key).unwrap_or_else(|| TallyReader::new(tally.clone()));
            self.readers.insert(key, reader);
        }
        let snapshot = self.model.snapshot();
        prober.watch(self.now(), targets(&self.config, &snapshot));
    }

    fn apply(&mut self, input: Input) {
        let mut told = Vec::new();
        self.model.apply(self.now(), input, &mut told);
        told.into_iter().for_each(|transition| self.tools.tell(transition));
        if cfg!(debug_assertions) {
            let found = self.model.check();
            self.note_soundness(found);
        }
    }

    /// Stores the next view if something changed and the model is sound in that; returns what the model says now.
    fn publish(&mut self) -> Snapshot {
        let snapshot = self.model.snapshot();
        let changed = self.assembly.changed(&snapshot);
        if !changed.is_empty() && self.examine(&changed) == Soundness::Sound {
            self.published.store(self.assembly.make(&snapshot));
        }
        snapshot
    }

    /// What is about to be published, and no more: nothing else of the view is new.
    fn examine(&mut self, backends: &[usize]) -> Soundness {
        let found = backends.iter().try_for_each(|backend| self.model.check_backend(*backend));
        self.note_soundness(found)
    }

    fn note_soundness(&mut self, found: Result<(), Breach>) -> Soundness {
        let before = self.soundness;
        self.soundness = match found {
            Ok(()) => Soundness::Sound,
            Err(breach) => {
                if before == Soundness::Sound {
                    tracing::error!(%breach, "the model broke an invariant of its own: the last view stays");
                }
                Soundness::Broken
            }
        };
        self.soundness
    }

    fn now(&self) -> Moment {
        self.tools.clock.now()
    }
}

impl Tools {
    /// Memory, metrics, log: all before the view is swapped.
    fn tell(&self, transition: Transition) {
        self.control.transition(&transition);
        let sentence = words::transition(&transition);
        if is_good_news(&transition) {
            tracing::info!("{sentence}");
        } else {
            tracing::warn!("{sentence}");
        }
        self.recent.push(Told { wall: self.clock.wall(), transition });
    }
}

/// Whether nobody has to be woken for it: something is back to how it should be.
fn is_good_news(transition: &Transition) -> bool {
    match &transition.change {
        Change::Endpoint { to, .. } => to.counts_as_up(),
        Change::Pool { from, to, .. } => to.is_usable() && (*to == PoolHealth::Up || !from.is_usable()),
        Change::Serving { .. } => transition.cause != Cause::PoolUnusable,
        Change::Routing { to, .. } => *to == Routing::Serving,
        Change::Steadiness { to, .. } => *to == Steadiness::Steady,
        Change::Lag { to, .. } => *to == Lagging::Fresh,
        Change::Diverged { to, .. } => *to == Diverged::No,
        Change::Ramp { step, .. } => *step == RampStep::Began,
        Change::Writes { to, .. } => !matches!(to, Writes::Refused(_)),
        Change::WritesLeft { .. } => false,
        Change::Waiting { .. } => true,
        Change::Command { step, .. } => *step != CommandStep::Suspended,
        Change::Isolation { to } => *to == Isolation::No,
        Change::Probing { to } => to.is_none(),
    }
}

/// The keys of every endpoint that shares the slot.
fn all_of(slot: Slot) -> std::ops::RangeInclusive<(Slot, EndpointId)> {
    (slot, EndpointId(0))..=(slot, EndpointId(u32::MAX))
}

#[cfg(test)]
mod tests;
