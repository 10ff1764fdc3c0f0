//! The supervisor: the one task that owns the [`Model`] and publishes the [`View`](super::View) that every worker reads.
//!
//! In: probe results, tallies, reloads, operators' orders, time. Out: transitions (memory, metrics, log), then one swap of the view; a worker
//! sees all of a transition or nothing of it. Always true between two events:
//! - the published view is the model's latest snapshot, made with the config of the generation in force;
//! - it wakes no later than [`Model::next_deadline`], the next probe that is due, and the next round of tallies;
//! - every transition is in memory before a worker can act on it.
//!
//! Bounds: 16 reloads and orders wait in line, and whoever asks for more waits; probe results are never more than endpoints;
//! tallies are read, not queued, so traffic can't crowd out an operator; 4,096 failures wait to be read, and more are dropped and
//! counted. At most 256 events before it looks at time. It waits for no disk and no socket: a sick disk of ours must not delay
//! a failover.
//!
//! Should the model break one of its own invariants, that is an error in the log and the last view stays: a crash would
//! take user sites down.
//!
//! Not here: what a failure proves and when to move (`domain`), how and when to probe (`prober`), how a view is made
//! (`assembly`).

mod chronicle;
mod handle;
#[doc(hidden)]
pub mod steps;
mod wellness;

pub use chronicle::Records;
pub use handle::{Act, Reconfiguration, Reconfigured, Stopped, Supervisor};

use super::assembly::Assembly;
use super::notes::{self, Note, Notes};
use super::prober::{self, Ended, Outcome, Prober, Sharer, targets};
use super::recent::{Recent, Told};
use super::signals::{Signals, Slot, Slots};
use super::tally::TallyReader;
use super::{BackendView, Published};
use crate::config::Config;
use crate::domain::{
    Breach, Cause, Change, CommandStep, Consequence, Diverged, EndpointId, Force, Generation, Illness, Input,
    Isolation, Lag, Lagging, Model, Moment, Order, PoolHealth, ProbeReport, ProbeResult, RampStep, Refusal, Routing,
    Snapshot, Steadiness, TallyDelta, Transition, Writes,
};
use crate::runtime::clock::Clock;
use crate::telemetry::control::Control;
use crate::telemetry::words;
use chronicle::Chronicle;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{Ordering::SeqCst, fence};
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot, watch};
use wellness::Wellness;

/// What somebody waits for.
enum Asked {
    Reconfigure(Reconfigure),
    Order(Ordered),
}

struct Reconfigure {
    change: Reconfiguration,
    done: oneshot::Sender<Reconfigured>,
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
    chronicle: Chronicle,
    wellness: Wellness,
    config: Arc<Config>,
    generation: Generation,
    model: Model,
    soundness: Soundness,
    assembly: Assembly,
    published: Arc<Published>,
    /// Failures that workers told of.
    notes: Notes,
    readers: BTreeMap<Key, TallyReader>,
    /// Where requests waited or unsafe ones ran at the last look: looked at in each round.
    busy: BTreeSet<Key>,
    /// Touched in this round or at a wake-up since: looked at once more in the next (why: `Marks::mark_unless_seen`).
    again: Slots,
    /// Endpoints of which the model must hear that nothing runs there: writes wait to go elsewhere.
    awaited: BTreeSet<Key>,
    /// The endpoints whose tallies are looked at; empty between two looks, kept for its room.
    looked_at: Vec<Key>,
    /// The generation, and the state of the model, that were last compared with the view: it tells the truth of them.
    compared: Option<(Generation, u64)>,
    next_round: Moment,
    first_round: watch::Sender<FirstRound>,
    first_round_until: Moment,
    /// What came of the newest probe, so that a shortage of ours is told when it begins and not with every probe.
    supply: Supply,
}

/// An endpoint under the bit that workers mark for it.
type Key = (Slot, EndpointId);

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
    fn new(
        config: Arc<Config>,
        workers: usize,
        tools: Tools,
        notes: Notes,
        records: Records,
        first_round: watch::Sender<FirstRound>,
    ) -> Task {
        let now = tools.clock.now();
        let mut model = Model::new();
        let mut told = Vec::new();
        model.apply(now, &Input::Reconfigure(config.setup()), &mut told);
        let Records { journal, state, memory } = records;
        if let Some(memory) = memory {
            memory.gone(&config.setup()).iter().for_each(|gone| tracing::warn!("{gone}"));
            model.apply(now, &Input::Restore(memory), &mut told);
        }
        let snapshot = model.snapshot();
        let mut assembly = Assembly::new(workers, config.clone(), &snapshot);
        let published = Arc::new(Published::new(assembly.make(&snapshot)));
        let chronicle = Chronicle::new(journal, state, tools.clock);
        chronicle.save(&told, || model.memory(now));
        for transition in told {
            let wall = tools.tell(&transition);
            chronicle.tell(wall, &transition, &published.load());
        }
        let wellness = Wellness::new(now, tools.clock.wall());
        let longest = config.backends.iter().map(|backend| backend.probe.timeout).max().unwrap_or_default();
        Task {
            tools,
            chronicle,
            wellness,
            config,
            generation: Generation(1),
            model,
            soundness: Soundness::Sound,
            assembly,
            published,
            notes,
            readers: BTreeMap::new(),
            busy: BTreeSet::new(),
            again: Slots::NONE,
            awaited: BTreeSet::new(),
            looked_at: Vec::new(),
            compared: None,
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
            let wake = self.wake_at(&prober);
            let event = match events {
                EVENTS_BEFORE_TIME => Event::Time,
                _ => self.next_event(wake, &mut prober, &mut asked).await,
            };
            self.wellness.look(self.now(), self.tools.clock.wall(), wake);
            events += 1;
            match event {
                Event::Stop => return,
                Event::Asked(Asked::Reconfigure(Reconfigure { change, done })) => {
                    let reconfigured = self.reconfigure(change, &mut prober);
                    // Whoever asked may have gone; the config is in force all the same.
                    let _ = done.send(reconfigured);
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
            self.pass_on_asks(&mut prober);
        }
    }

    /// Whatever comes in first, then time.
    async fn next_event(&self, wake: Moment, prober: &mut Prober, asked: &mut mpsc::Receiver<Asked>) -> Event {
        let wake = self.tools.clock.instant(wake);
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
        let is_due = |model: &Model| model.next_deadline().is_some_and(|(deadline, _why)| deadline <= now);
        // What was answered by now comes before what time alone would decide.
        if self.next_round <= now || is_due(&self.model) {
            self.next_round = now.after(ROUND);
            self.read_workers(Look::Round, prober);
        }
        if is_due(&self.model) {
            self.apply(&Input::Tick);
        }
        prober.start_due(now);
        if self.chronicle.second_is_over(now) {
            let view = self.published.load();
            self.chronicle.close_second(now, &view, |endpoint| self.model.scores(endpoint));
        }
        if self.first_round_until <= now {
            self.first_round.send_replace(FirstRound::Over);
        }
        self.publish();
    }

    fn probe_ended(&mut self, ended: &Ended, prober: &mut Prober) {
        match ended.outcome {
            Outcome::Result(prober::Answer { result, lag }) => {
                let result = self.wellness.judge(ended.began, ended.timeout, result);
                if let ProbeResult::Void(_) = result {
                    self.tools.control.void_probe();
                }
                let word = match result {
                    ProbeResult::Passed => "passed",
                    ProbeResult::Failed(failure) => failure.name(),
                    ProbeResult::Void(illness) => illness.name(),
                };
                ended.backends().into_iter().for_each(|backend| self.tools.control.probe(backend, word, ended.took));
                self.supply = Supply::Enough;
                for sharer in &ended.sharers {
                    let endpoint = sharer.endpoint;
                    let reader = self.readers.get(&(Slot::of(endpoint), endpoint));
                    let answered_meanwhile = reader.map_or(0, |reader| reader.tally().answered_since(ended.began));
                    self.apply(&Input::Probe {
                        endpoint,
                        report: ProbeReport { result, began: ended.began, answered_meanwhile, lag },
                    });
                }
            }
            Outcome::Short(shortage) => {
                self.tools.control.void_probe();
                if self.supply == Supply::Enough {
                    tracing::warn!(?shortage, "short of something of our own: probes are void until that ends");
                }
                self.supply = Supply::Short;
                let result = ProbeResult::Void(Illness::Short);
                let report = ProbeReport { result, began: ended.began, answered_meanwhile: 0, lag: Lag::Unknown };
                for sharer in &ended.sharers {
                    self.apply(&Input::Probe { endpoint: sharer.endpoint, report });
                }
            }
            Outcome::Panicked => {
                self.tools.control.void_probe();
                for Sharer { backend, name: endpoint, .. } in &ended.sharers {
                    tracing::error!(%backend, %endpoint, "a probe panicked; it counts for nothing");
                }
            }
        }
        self.publish();
        prober.reschedule(self.now(), ended, |endpoint| self.model.health(endpoint));
        if prober.first_round_over() {
            self.first_round.send_replace(FirstRound::Over);
        }
    }

    /// Reads the tallies that workers touched, and passes on which verdicts they wait for.
    fn read_workers(&mut self, look: Look, prober: &mut Prober) {
        let mut due = std::mem::take(&mut self.looked_at);
        self.take_notes(&mut due); // before the tallies: what their workers counted before them is there then
        let awaited = self.awaited.clone(); // as of now: it may change with every tally
        let touched = self.tools.signals.take_touched();
        let mut slots = touched.clone();
        match look {
            Look::Between => self.again.add(&touched),
            Look::Round => {
                due.extend(&self.busy);
                due.extend(&awaited);
                slots.add(&std::mem::replace(&mut self.again, touched));
            }
        }
        for slot in slots.iter() {
            due.extend(self.readers.range(all_of(slot)).map(|(key, _)| *key));
        }
        due.sort_unstable();
        due.dedup();
        for key in due.drain(..) {
            let Some(reader) = self.readers.get_mut(&key) else { continue };
            let delta = if awaited.contains(&key) { Some(reader.look()) } else { reader.news() };
            if reader.is_busy() {
                self.busy.insert(key);
            } else {
                self.busy.remove(&key);
            }
            if let Some(delta) = delta {
                let tally = reader.tally().clone();
                self.write_down(key.1, &delta);
                self.apply(&Input::Tally { endpoint: key.1, delta });
                tally.set_pace(self.model.pace(key.1));
                self.publish(); // before the next look: a move of writes must be told before it is asked what runs
            }
        }
        self.looked_at = due;
        let now = self.now();
        for slot in self.tools.signals.take_asked().iter() {
            self.readers.range(all_of(slot)).for_each(|((_, endpoint), _)| prober.hurry(now, *endpoint));
        }
        self.publish();
    }

    /// Hands the failures that workers told of to their readers, and adds whose they are to `of`. At most as many as can wait,
    /// so that a storm of them gets its next turn after the deadlines.
    fn take_notes(&mut self, of: &mut Vec<Key>) {
        for _ in 0..notes::WAITING {
            let Ok(note) = self.notes.try_recv() else { break };
            let Note { endpoint, .. } = note;
            let key = (Slot::of(endpoint), endpoint);
            // One that is no longer configured is nobody's concern.
            if let Some(reader) = self.readers.get_mut(&key) {
                reader.add(note);
                of.push(key);
            }
        }
    }

    /// One swap: who is new is known to answer, or not to, before anybody can be sent there.
    fn reconfigure(&mut self, change: Reconfiguration, prober: &mut Prober) -> Reconfigured {
        let Reconfiguration { config, introduced, force, watch } = change;
        let setup = config.setup();
        let stranded = match force {
            Force::Yes => Vec::new(),
            Force::No => self.model.stranded(&setup, &introduced),
        };
        if !stranded.is_empty() {
            return Err(stranded);
        }
        self.apply(&Input::Reconfigure(setup));
        let snapshot = self.model.snapshot();
        let new = introduced.iter().filter_map(|introduced| Some((introduced.id(&snapshot)?, introduced.report)));
        new.for_each(|(endpoint, report)| self.apply(&Input::Probe { endpoint, report }));
        self.generation = Generation(self.generation.0 + 1);
        self.assembly.adopt(self.generation, config.clone(), &self.model.snapshot(), watch);
        self.config = config;
        self.publish();
        self.watch_endpoints(prober);
        prober.start_due(self.now());
        Ok(self.generation)
    }

    /// Whom the model wants probed at once.
    fn pass_on_asks(&mut self, prober: &mut Prober) {
        let now = self.now();
        self.model.take_asks().into_iter().for_each(|endpoint| prober.hurry(now, endpoint));
    }

    /// Keeps what a tally held for the journal, where something speaks against the endpoint.
    fn write_down(&mut self, endpoint: EndpointId, delta: &TallyDelta) {
        if !delta.failed.is_empty() {
            let view = self.published.load();
            let of = |backend: &&Arc<BackendView>| {
                backend.snapshot.pools.iter().any(|pool| pool.endpoints.iter().any(|known| known.id == endpoint))
            };
            if let Some(backend) = view.backends.iter().find(of) {
                self.chronicle.mark(self.tools.clock.now(), backend);
            }
        }
        if !delta.failed.is_empty() || self.model.scores(endpoint).is_some() {
            self.chronicle.note(endpoint, delta);
        }
    }

    /// What an operator asks for: considered, or carried out. Time first: what is said beforehand is as of now.
    fn order(&mut self, order: &Order, act: Act) -> Answer {
        self.apply(&Input::Tick);
        let consequences = self.model.consider(order)?;
        match act {
            Act::Consider => {}
            Act::CarryOut => self.apply(&Input::Order(order.clone())),
        }
        Ok(consequences)
    }

    /// Those of the config in force are read and probed, and no others.
    fn watch_endpoints(&mut self, prober: &mut Prober) {
        self.busy.clear();
        let mut before = std::mem::take(&mut self.readers);
        for tally in self.assembly.tallies() {
            let key = (Slot::of(tally.id), tally.id);
            let reader = before.remove(&key).unwrap_or_else(|| TallyReader::new(tally.clone()));
            if reader.is_busy() {
                self.busy.insert(key);
            }
            self.readers.insert(key, reader);
        }
        let snapshot = self.model.snapshot();
        prober.watch(self.now(), targets(&self.config, &snapshot));
    }

    fn apply(&mut self, input: &Input) {
        let mut told = Vec::new();
        self.model.apply(self.now(), input, &mut told);
        if !told.is_empty() {
            let view = self.published.load();
            for transition in &told {
                let wall = self.tools.tell(transition);
                self.chronicle.tell(wall, transition, &view);
            }
            self.chronicle.save(&told, || self.model.memory(self.tools.clock.now()));
        }
        if cfg!(debug_assertions) {
            let found = self.model.check();
            self.note_soundness(found);
        }
    }

    /// Stores the next view if something changed and the model is sound in that. Nearly always nothing did.
    fn publish(&mut self) {
        let present = Some((self.generation, self.model.changes()));
        if self.compared == present {
            return;
        }
        let snapshot = self.model.snapshot();
        self.awaited = awaited(&snapshot);
        let changed = self.assembly.changed(&snapshot);
        if changed.is_empty() {
            self.compared = present;
        } else if self.examine(&changed) == Soundness::Sound {
            self.compared = present;
            self.published.store(self.assembly.make(&snapshot));
            // A worker says that a write runs before it looks whether it may; we say where writes go before we look whether
            // any runs. With a fence between the two on both sides at least one of us sees the other: `proxy::begin`.
            fence(SeqCst);
        }
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
    /// Memory, metrics, log: all before the view is swapped. Returns when, for people.
    fn tell(&self, transition: &Transition) -> SystemTime {
        self.control.transition(transition);
        let sentence = words::transition(transition);
        if is_good_news(transition) {
            tracing::info!("{sentence}");
        } else {
            tracing::warn!("{sentence}");
        }
        let wall = self.clock.wall();
        self.recent.push(Told { wall, transition: transition.clone() });
        wall
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

/// The endpoints of backends in which writes wait to go elsewhere.
fn awaited(snapshot: &Snapshot) -> BTreeSet<Key> {
    let pausing = snapshot.backends.iter().filter(|backend| matches!(backend.writes, Writes::Pausing { .. }));
    let endpoints = pausing.flat_map(|backend| &backend.pools).flat_map(|pool| &pool.endpoints);
    endpoints.map(|endpoint| (Slot::of(endpoint.id), endpoint.id)).collect()
}

/// The keys of every endpoint that shares the slot.
fn all_of(slot: Slot) -> std::ops::RangeInclusive<Key> {
    (slot, EndpointId(0))..=(slot, EndpointId(u32::MAX))
}

#[cfg(test)]
mod tests;
