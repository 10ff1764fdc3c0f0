//! A worker's counters for one endpoint: at once the evidence of passive health checks and the attempts metric.
//!
//! Good answers are counted; who was answered, when, and who waits stands in cells beside the counts, overwritten as it goes.
//! Failures are rare: each is told on its own (`notes`), and counted here for the metrics.
//!
//! Not here: how the supervisor learns which tallies to read (`signals`), how it reads them (`reader`), what it proves
//! (`domain`).

mod reader;
mod stamps;

pub use reader::TallyReader;

use crate::domain::{Class, EndpointId, FailureKind, Fingerprint, HeadTimes, Moment, PerClass};
use crate::telemetry::cells::{BUCKETS, Counter, Gauge, Histogram, PerWorker};
use stamps::{Stamp, Stamped};
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicU32, fence};
use std::time::Duration;

/// Requests whose wait can be told apart, for each worker; more are only counted. Five are enough for a suspicion.
const TOLD_APART: usize = 8;

/// Good answers of which each worker remembers when they were begun: three are enough to call a probe unlucky.
const BEGINS: usize = 4;

// What is counted by the one is read as the other.
const _: () = {
    assert!(BUCKETS.len() == HeadTimes::BOUNDS.len());
    let mut at = 0;
    while at < BUCKETS.len() {
        assert!(BUCKETS[at] == HeadTimes::BOUNDS[at]);
        at += 1;
    }
};

/// What one worker counts at one endpoint.
#[derive(Debug, Default)]
pub struct TallyCell {
    pub good: PerClass<Counter>,
    /// Indexed by `FailureKind as usize`.
    pub failed: [Counter; FailureKind::ALL.len()],
    /// Attempts whose response has not ended.
    pub in_flight: Gauge,
    /// Those among them that are unsafe and no upgrades.
    pub writes: Gauge,
    /// Those whose request was answered elsewhere first, and of which it is not known yet whether they would have been answered.
    pub open_hedges: Gauge,
    /// From the attempt's begin to the response head, of good answers.
    pub head: PerClass<Histogram>,
    last_good: PerClass<Stamp>,
    /// When each of the last good answers was begun.
    begins: [Stamp; BEGINS],
    answered: PerClass<Answered>,
    last_head: Stamp,
    waiting: [Stamped; TOLD_APART],
    /// Requests without a head that found no place in `waiting`.
    waiting_more: Gauge,
}

/// Who was answered well: of clients and of paths the last two that differ.
#[derive(Debug, Default)]
struct Answered {
    clients: [Stamped; 2],
    paths: [Stamped; 2],
}

/// Who asks for what, in the only form in which it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    pub class: Class,
    pub client: Fingerprint,
    /// Of site and path, without query.
    pub path: Fingerprint,
}

impl Asking {
    /// Stands for client and path together.
    fn both(self) -> Fingerprint {
        Fingerprint(self.client.0.rotate_left(32) ^ self.path.0)
    }
}

/// Every worker's tally of one endpoint. Lives as long as any view or request knows the endpoint.
#[derive(Debug)]
pub struct Tally {
    pub id: EndpointId,
    pub cells: PerWorker<TallyCell>,
    /// When any worker last sent it a request to try it.
    tried: Stamp,
    /// In microseconds; 0: not known.
    pace: AtomicU32,
}

/// A request's place among those that wait for a head.
#[derive(Clone, Copy, Debug)]
#[must_use = "whoever waits stops waiting"]
pub struct Place(Option<usize>);

impl Tally {
    /// An empty one, with a cell for each of `workers`.
    pub fn new(id: EndpointId, workers: usize) -> Tally {
        Tally { id, cells: PerWorker::new(workers), tried: Stamp::default(), pace: AtomicU32::new(0) }
    }

    /// Requests that were answered well, of all workers.
    pub fn good(&self) -> u64 {
        self.cells.sum(|cell| Class::ALL.map(|class| cell.good[class].get()).iter().sum())
    }

    /// Attempts of all workers that have not ended.
    pub fn in_flight(&self) -> i64 {
        self.cells.iter().map(|cell| cell.in_flight.get()).sum()
    }

    /// How many requests that were begun after `began` have been answered well; of each worker only its last few are known.
    pub fn answered_since(&self, began: Moment) -> u32 {
        let begins = self.cells.iter().flat_map(|cell| &cell.begins);
        let count = begins.filter(|begin| begin.get().is_some_and(|begin| begin > began)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// 99 of 100 heads of good answers took at most this long, since the start; `None` while fewer than a hundred are known. Reads and
    /// writes apart: what takes long by design says nothing of the others.
    pub fn usual(&self, class: Class) -> Option<Duration> {
        let mut sums = [0_u64; BUCKETS.len() + 1];
        for cell in self.cells.iter() {
            let (counts, _) = cell.head[class].read();
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        let total: u64 = sums.iter().sum();
        if total < 100 {
            return None;
        }
        let mut reached = 0;
        let bucket = sums.iter().position(|count| {
            reached += count;
            reached * 100 >= total * 99
        });
        let longest = BUCKETS[BUCKETS.len() - 1];
        Some(Duration::from_micros(bucket.and_then(|bucket| BUCKETS.get(bucket)).copied().unwrap_or(longest)))
    }

    /// How long 95 of 100 heads take at most, as the supervisor has it; `None`: not known yet.
    pub fn pace(&self) -> Option<Duration> {
        let micros = self.pace.load(Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }

    /// For the supervisor.
    pub fn set_pace(&self, usual: Option<Duration>) {
        let micros = usual.map_or(0, |usual| u32::try_from(usual.as_micros()).unwrap_or(u32::MAX).max(1));
        self.pace.store(micros, Relaxed);
    }

    /// Whether a request may try this endpoint, which is in probation, and if so takes the turn: at most one a second, whichever
    /// worker; after five seconds the next one that comes, before that if `chosen` says so.
    pub fn take_turn(&self, now: Moment, chosen: impl FnOnce() -> bool) -> bool {
        let last = self.tried.get();
        let since = last.map_or(Duration::MAX, |last| now.since(last));
        (since >= TURN_AT_LATEST || (since >= TURN_AT_SOONEST && chosen())) && self.tried.advance(last, now)
    }
}

/// Between two requests that try an endpoint.
const TURN_AT_SOONEST: Duration = Duration::from_secs(1);
const TURN_AT_LATEST: Duration = Duration::from_secs(5);

/// For the worker's own thread alone.
impl TallyCell {
    /// A good answer's head came: how long after the attempt's begin. (That any head came says [`TallyCell::note_head`].)
    pub fn note_head_time(&self, class: Class, took: Duration) {
        self.head[class].observe(took);
    }

    /// A head came, of whatever kind.
    pub fn note_head(&self, now: Moment) {
        self.last_head.set(now);
    }

    /// A request that was begun at `began` was answered well, to its end.
    pub fn note_good(&self, asking: Asking, began: Moment, now: Moment) {
        let Asking { class, client, path } = asking;
        let Answered { clients, paths } = &self.answered[class];
        remember(clients, client, now);
        remember(paths, path, now);
        let counted = self.good[Class::Safe].get().wrapping_add(self.good[Class::Unsafe].get());
        let place = usize::try_from(counted % BEGINS as u64).expect("less than BEGINS");
        self.begins[place].set(began);
        self.last_good[class].set(now);
        fence(Release); // who sees this good answer counted sees when it was: `TallyReader`
        self.good[class].add(1);
    }

    /// A failure, for the metrics.
    pub fn note_failure(&self, kind: FailureKind) {
        self.failed[kind as usize].add(1);
    }

    /// A request was sent, and waits for a head from now on.
    pub fn begin_waiting(&self, asking: Asking, now: Moment) -> Place {
        let place = self.waiting.iter().position(Stamped::is_nobody);
        match place {
            Some(place) => self.waiting[place].set(asking.both(), now),
            None => self.waiting_more.add(1),
        }
        Place(place)
    }

    /// It does not wait any more.
    pub fn end_waiting(&self, place: Place) {
        match place.0 {
            Some(place) => self.waiting[place].clear(),
            None => self.waiting_more.add(-1),
        }
    }
}

/// Keeps the last two that differ.
fn remember(two: &[Stamped; 2], who: Fingerprint, now: Moment) {
    match two {
        [one, _] if one.is(who) => one.renew(now),
        [_, other] if other.is(who) => other.renew(now),
        [one, other] => {
            let older = if one.when() <= other.when() { one } else { other };
            older.set(who, now);
        }
    }
}

#[cfg(test)]
mod tests;
