//! How workers tell the supervisor that there is something to read or to ask: without a lock or a queue, by a bit for each
//! endpoint, and one wake-up however many ask for it. Failures alone are told one by one, by a channel that never makes
//! anyone wait.
//!
//! Not here: the counts themselves (`tally`), what is done about them (`supervisor`).

use super::fingerprints::Fingerprints;
use super::notes::{self, Note, Notes, Told};
use super::tally::{Asking, Place, Tally};
use crate::domain::{EndpointId, FailureKind, Moment};
use crate::telemetry::cells::{PerWorker, WorkerIndex};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use tokio::sync::{Notify, mpsc};

/// Which bit stands for an endpoint. A bit is a hint where to look: two endpoints may share one, and then both are looked
/// at, which costs a look and no count. So slots need no owner, and a late bit of a removed endpoint does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u16);

/// A bitmap is half a KiB, read whole 20 times a second; ids are given one after the other, so that few endpoints share a
/// bit until there are as many as this.
const SLOTS: u16 = 4_096;
const WORDS: usize = SLOTS as usize / 64;

impl Slot {
    pub(super) fn of(id: EndpointId) -> Slot {
        let bit = id.0 % u32::from(SLOTS);
        Slot(u16::try_from(bit).expect("the remainder of a division by a u16 fits one"))
    }

    fn at(bit: usize) -> Slot {
        Slot(u16::try_from(bit).expect("there are 4,096 bits"))
    }

    fn word(self) -> usize {
        usize::from(self.0 / 64)
    }

    fn mask(self) -> u64 {
        1 << (self.0 % 64)
    }
}

/// Some of the slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slots([u64; WORDS]);

impl Slots {
    pub(super) const NONE: Slots = Slots([0; WORDS]);

    /// Adds those of `more`.
    pub(super) fn add(&mut self, more: &Slots) {
        self.0.iter_mut().zip(&more.0).for_each(|(word, more)| *word |= more);
    }

    /// In their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> {
        let words = self.0.iter().enumerate().filter(|(_, word)| **word != 0);
        words.flat_map(|(at, word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| Slot::at(64 * at + bit))
        })
    }
}

/// Slots that somebody marked and nobody took yet.
#[derive(Debug)]
struct Marks([AtomicU64; WORDS]);

impl Default for Marks {
    fn default() -> Marks {
        Marks(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Marks {
    /// Certain to be taken after this: the write joins the order of all writes to that word.
    fn mark(&self, slot: Slot) {
        self.0[slot.word()].fetch_or(slot.mask(), AcqRel);
    }

    /// Mostly only reads. When the mark is taken just as it is seen to be there, what was counted before this may be missed
    /// by that look; the supervisor looks at each marked slot a second time, one round later.
    fn mark_unless_seen(&self, slot: Slot) {
        if self.0[slot.word()].load(Relaxed) & slot.mask() == 0 {
            self.mark(slot);
        }
    }

    fn take(&self, slots: &mut Slots) {
        for (taken, word) in slots.0.iter_mut().zip(&self.0) {
            if word.load(Relaxed) != 0 {
                *taken |= word.swap(0, Acquire);
            }
        }
    }
}

/// What all workers and the supervisor share.
#[derive(Debug)]
pub struct Signals {
    touched: PerWorker<Marks>,
    asked: Marks,
    notes: notes::Sender,
    /// One permit: many wake-ups before the supervisor comes to it are one.
    wake: Notify,
    fingerprints: Fingerprints,
}

impl Signals {
    /// Those of so many workers, and where the supervisor reads their notes.
    pub fn new(workers: usize) -> (Signals, Notes) {
        let (notes, read) = mpsc::channel(notes::WAITING);
        let signals = Signals {
            touched: PerWorker::new(workers),
            asked: Marks::default(),
            notes,
            wake: Notify::new(),
            fingerprints: Fingerprints::default(),
        };
        (signals, read)
    }

    /// Slots in which some worker counted something since the last call.
    pub(super) fn take_touched(&self) -> Slots {
        let mut slots = Slots::NONE;
        self.touched.iter().for_each(|marks| marks.take(&mut slots));
        slots
    }

    /// Slots for which a verdict was asked since the last call.
    pub(super) fn take_asked(&self) -> Slots {
        let mut slots = Slots::NONE;
        self.asked.take(&mut slots);
        slots
    }

    /// Returns when a worker has told of a failure or asked for a verdict since it last returned.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }
}

/// A worker's line to the supervisor: it counts, and says that there is something to read.
#[derive(Debug)]
pub struct Reporter {
    pub worker: WorkerIndex,
    signals: Arc<Signals>,
}

impl Reporter {
    /// For that worker's thread alone. From a running supervisor: `Supervisor::reporter`.
    pub fn new(worker: WorkerIndex, signals: Arc<Signals>) -> Reporter {
        Reporter { worker, signals }
    }

    /// What tells clients and paths apart, the same for all workers.
    pub fn fingerprints(&self) -> &Fingerprints {
        &self.signals.fingerprints
    }

    /// A real request, begun at `began`, was answered well there.
    pub fn good(&self, tally: &Tally, asking: Asking, began: Moment, now: Moment) {
        tally.cells.of(self.worker).note_good(asking, began, now);
        self.touch(tally);
    }

    /// A real request failed there: for the metrics. The evidence follows in a note.
    pub fn failed(&self, tally: &Tally, kind: FailureKind) {
        tally.cells.of(self.worker).note_failure(kind);
    }

    /// Passes a failure on as evidence, and wakes the supervisor (many at once wake it once).
    pub fn tell(&self, note: Note) -> Told {
        let told = match self.signals.notes.try_send(note) {
            Ok(()) => Told::Passed,
            Err(_) => Told::Lost, // or the supervisor is gone with the process
        };
        self.signals.touched.of(self.worker).mark(Slot::of(note.endpoint));
        self.signals.wake.notify_one();
        told
    }

    /// A request was sent there, and waits for a head.
    pub fn waits(&self, tally: &Tally, asking: Asking, now: Moment) -> Place {
        let place = tally.cells.of(self.worker).begin_waiting(asking, now);
        self.touch(tally);
        place
    }

    /// Something was begun there that the supervisor must know of while it runs.
    pub fn touch(&self, tally: &Tally) {
        self.signals.touched.of(self.worker).mark_unless_seen(Slot::of(tally.id));
    }

    /// A request waits until it is known whether this endpoint is down: probe it now. Bounded: asking twice is asking once,
    /// and probes that were asked for keep the pace of `fast_interval`.
    pub fn ask_verdict(&self, tally: &Tally) {
        self.signals.asked.mark(Slot::of(tally.id));
        self.signals.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Class, Fingerprint};
    use crate::health::tally::TallyReader;
    use std::sync::atomic::{AtomicBool, Ordering::Release};

    const ASKING: Asking = Asking { class: Class::Safe, client: Fingerprint(1), path: Fingerprint(2) };

    fn good(reporter: &Reporter, tally: &Tally) {
        reporter.good(tally, ASKING, Moment::ZERO, Moment::ZERO);
    }

    #[test]
    fn a_mark_is_taken_once_whoever_made_it() {
        let signals = Arc::new(Signals::new(2).0);
        let reporters = [0, 1].map(|worker| Reporter::new(WorkerIndex(worker), signals.clone()));
        let tallies = [0, 63, 64, 4_095, 4_097].map(|id| Tally::new(EndpointId(id), 2));
        for (at, tally) in tallies.iter().enumerate() {
            good(&reporters[at % 2], tally);
        }
        let slots: Vec<u16> = signals.take_touched().iter().map(|slot| slot.0).collect();
        assert_eq!(slots, [0, 1, 63, 64, 4_095]); // 4,097 shares the bit of 1
        assert_eq!((signals.take_touched(), signals.take_asked()), (Slots::NONE, Slots::NONE));
    }

    /// The marks alone must lead a reader to every count: nothing is read that is not marked, or was in the last round.
    #[test]
    fn no_count_stays_unread_behind_a_mark_that_was_taken() {
        const ROUNDS: u32 = 100_000;
        let signals = Arc::new(Signals::new(1).0);
        let tally = Arc::new(Tally::new(EndpointId(7), 1));
        let mut reader = TallyReader::new(tally.clone());
        let reporter = Reporter::new(WorkerIndex(0), signals.clone());
        let done = AtomicBool::new(false);
        let mut count = 0;
        let mut look = |again: &mut Slots| {
            let touched = signals.take_touched();
            again.add(&touched);
            if *again != Slots::NONE {
                count += reader.news().map_or(0, |delta| delta.good[Class::Safe]);
            }
            *again = touched;
        };
        std::thread::scope(|scope| {
            let done = &done;
            scope.spawn(move || {
                (0..ROUNDS).for_each(|_| good(&reporter, &tally));
                done.store(true, Release);
            });
            let mut again = Slots::NONE;
            while !done.load(Acquire) {
                look(&mut again);
            }
            look(&mut again);
            look(&mut again);
        });
        assert_eq!(count, ROUNDS);
    }
}
