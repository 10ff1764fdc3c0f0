//! A worker's counters for one endpoint: at once the evidence of passive health checks and the attempts metric; and how
//! the supervisor reads what was added.
//!
//! Not here: how the supervisor learns which tallies to read (`signals`), what the counts prove (`domain`).

use crate::domain::{Class, Elsewhere, EndpointId, FailedRequest, FailureKind, Fingerprint, TallyDelta, Weight};
use crate::telemetry::cells::{Counter, Gauge, Histogram, PerWorker, WorkerIndex};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

/// What one worker counts at one endpoint.
#[derive(Debug, Default)]
pub struct TallyCell {
    pub good: Counter,
    /// Indexed by `FailureKind as usize`.
    pub failed: [Counter; FailureKind::ALL.len()],
    /// How many failures of all kinds this worker had counted when it counted its last good answer here.
    failed_before_good: AtomicU64,
    /// Attempts whose response has not ended.
    pub in_flight: Gauge,
    /// From the attempt's begin to the response head.
    pub head: Histogram,
}

/// Every worker's tally of one endpoint. Lives as long as any view or request knows the endpoint.
#[derive(Debug)]
pub struct Tally {
    pub id: EndpointId,
    pub cells: PerWorker<TallyCell>,
}

impl Tally {
    /// An empty one, with a cell for each of `workers`.
    pub fn new(id: EndpointId, workers: usize) -> Tally {
        Tally { id, cells: PerWorker::new(workers) }
    }

    /// A good answer at `worker`; its thread alone may say so.
    pub fn note_good(&self, worker: WorkerIndex) {
        let cell = self.cells.of(worker);
        cell.failed_before_good.store(cell.failed().iter().sum(), Relaxed);
        fence(Release); // who sees this good answer sees what is above, and the failures before it: `CellReader::read`
        cell.good.add(1);
    }

    /// A failure at `worker`; its thread alone may say so.
    pub fn note_failure(&self, worker: WorkerIndex, kind: FailureKind) {
        fence(Release); // who sees this failure sees the good answers before it
        self.cells.of(worker).failed[kind as usize].add(1);
    }

    /// An attempt began at `worker`; [`Tally::end`] follows it, whatever becomes of it.
    pub fn begin(&self, worker: WorkerIndex) {
        self.cells.of(worker).in_flight.add(1);
    }

    /// The attempt's response has ended, or there will be none.
    pub fn end(&self, worker: WorkerIndex) {
        self.cells.of(worker).in_flight.add(-1);
    }

    /// Attempts of all workers that have not ended.
    pub fn in_flight(&self) -> i64 {
        self.cells.iter().map(|cell| cell.in_flight.get()).sum()
    }
}

impl TallyCell {
    fn failed(&self) -> Failures {
        std::array::from_fn(|kind| self.failed[kind].get())
    }
}

/// The one who reads a tally's growth, and remembers what it has read. The supervisor has one for each endpoint.
#[derive(Debug)]
pub struct TallyReader {
    tally: Arc<Tally>,
    seen: Box<[CellReader]>,
}

impl TallyReader {
    /// Everything counted so far is still to be read.
    pub fn new(tally: Arc<Tally>) -> TallyReader {
        let seen = tally.cells.iter().map(|_| CellReader::default()).collect();
        TallyReader { tally, seen }
    }

    /// Whose tally it reads.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// What was counted since the last look; `None` when nothing was.
    pub fn delta(&mut self) -> Option<TallyDelta> {
        let mut delta = TallyDelta::default();
        // Between two workers there is no telling whose good answer came last, so with two of them no failure is certain
        // to have come after it; nor is a failure at a worker that had no good answer itself.
        let (mut answering, mut after_good) = (0, 0);
        for (cell, seen) in self.tally.cells.iter().zip(&mut self.seen) {
            let growth = seen.read(cell);
            delta.good[Class::Safe] = delta.good[Class::Safe].saturating_add(growth.good);
            for (kind, count) in FailureKind::ALL.into_iter().zip(growth.failed) {
                let nobody = Fingerprint::default();
                let (class, weight, elsewhere) = (Class::Safe, Weight::Full, Elsewhere::Unknown);
                let failed = FailedRequest { kind, class, weight, client: nobody, path: nobody, elsewhere };
                delta.failed.extend(std::iter::repeat_n(failed, usize::try_from(count).unwrap_or(usize::MAX)));
            }
            if growth.good > 0 {
                answering += 1;
                after_good = growth.trailing;
            }
        }
        delta.trailing[Class::Safe] = match answering {
            0 => u32::try_from(delta.failed.len()).unwrap_or(u32::MAX),
            1 => after_good,
            _ => 0,
        };
        (delta.good[Class::Safe] > 0 || !delta.failed.is_empty()).then_some(delta)
    }
}

/// What was last read of one worker's cell.
#[derive(Debug, Default)]
struct CellReader {
    good: u64,
    failed: Failures,
}

#[derive(Default)]
struct Growth {
    good: u32,
    failed: [u32; FailureKind::ALL.len()],
    /// Of `failed`, how many certainly came after the last of `good`.
    trailing: u32,
}

impl CellReader {
    /// Reads while the worker goes on counting, and must not tell a run of failures as longer than it was: five in a row
    /// eject an endpoint. So what is read is how things stood at one moment: the good answers between two looks at the
    /// failures that found the same. What stood before the last good answer is read after the good answers, so that it is of
    /// that one or of a later one, and what is left of the failures certainly came after it.
    ///
    /// A worker that counts a failure within each of a few tries is left for the next look, which comes soon: nothing is
    /// lost by that, and nobody waits.
    fn read(&mut self, cell: &TallyCell) -> Growth {
        let mut failed = cell.failed();
        for _ in 0..TRIES {
            fence(Acquire);
            let good = cell.good.get();
            fence(Acquire);
            let before_good = cell.failed_before_good.load(Relaxed);
            let again = cell.failed();
            if failed == again {
                return self.advance(good, failed, before_good);
            }
            failed = again;
        }
        Growth::default()
    }

    fn advance(&mut self, good: u64, failed: Failures, before_good: u64) -> Growth {
        let growth = Growth {
            good: narrow(good.wrapping_sub(self.good)),
            failed: std::array::from_fn(|kind| narrow(failed[kind].wrapping_sub(self.failed[kind]))),
            trailing: narrow(failed.iter().sum::<u64>().saturating_sub(before_good)),
        };
        (self.good, self.failed) = (good, failed);
        growth
    }
}

/// A try takes some nanoseconds, a request a thousand times that.
const TRIES: u32 = 8;

/// By kind, as `FailureKind as usize`.
type Failures = [u64; FailureKind::ALL.len()];

/// Four billion answers between two looks: more than any machine gives.
fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    const A: WorkerIndex = WorkerIndex(0);
    const B: WorkerIndex = WorkerIndex(1);

    fn tally() -> (Arc<Tally>, TallyReader) {
        let tally = Arc::new(Tally::new(EndpointId(1), 2));
        (tally.clone(), TallyReader::new(tally))
    }

    fn failures(kinds: &[FailureKind]) -> FailureCounts {
        let mut counts = FailureCounts::default();
        kinds.iter().for_each(|kind| counts.add(*kind, 1));
        counts
    }

    #[test]
    fn each_look_tells_only_what_is_new() {
        let (tally, mut reader) = tally();
        assert_eq!(reader.delta(), None);
        tally.note_good(A);
        tally.note_failure(B, FailureKind::Reset);
        tally.note_failure(B, FailureKind::Cut);
        let failed = failures(&[FailureKind::Reset, FailureKind::Cut]);
        assert_eq!(reader.delta(), Some(TallyDelta { good: 1, failed, trailing: 0 }));
        assert_eq!(reader.delta(), None);
    }

    #[test]
    fn without_a_good_answer_every_failure_is_trailing() {
        let (tally, mut reader) = tally();
        tally.note_good(A);
        reader.delta();
        tally.note_failure(A, FailureKind::Refused);
        tally.note_failure(B, FailureKind::Timeout);
        assert_eq!(reader.delta().unwrap().trailing, 2);
    }

    #[test]
    fn with_one_worker_answering_its_failures_since_are_trailing() {
        let (tally, mut reader) = tally();
        tally.note_failure(A, FailureKind::Status);
        tally.note_good(A);
        tally.note_failure(A, FailureKind::Status);
        tally.note_failure(A, FailureKind::Status);
        tally.note_failure(B, FailureKind::Status); // before or after A's good answer: nobody knows
        let delta = reader.delta().unwrap();
        assert_eq!((delta.good, delta.failed.total(), delta.trailing), (1, 4, 2));
    }

    #[test]
    fn with_two_workers_answering_no_failure_is_certainly_trailing() {
        let (tally, mut reader) = tally();
        for worker in [A, B] {
            tally.note_good(worker);
            tally.note_failure(worker, FailureKind::Status);
        }
        assert_eq!(reader.delta().unwrap().trailing, 0);
    }

    #[test]
    fn failures_told_before_are_not_trailing_again() {
        let (tally, mut reader) = tally();
        tally.note_good(A);
        tally.note_failure(A, FailureKind::Status);
        assert_eq!(reader.delta().unwrap().trailing, 1);
        tally.note_good(A);
        assert_eq!(reader.delta().unwrap().trailing, 0);
    }

    /// Each worker repeats: one good answer, then two failures. Whatever the reader catches of it, no count is lost or told
    /// twice, and no more than two failures ever trail a good answer.
    #[test]
    fn a_reader_beside_busy_writers_loses_nothing_and_overstates_nothing() {
        const ROUNDS: u32 = 50_000;
        let (tally, mut reader) = tally();
        let done = AtomicBool::new(false);
        let mut sum = TallyDelta::default();
        let mut add = |delta: TallyDelta| {
            assert!(delta.trailing <= delta.failed.total());
            assert!(delta.good == 0 || delta.trailing <= 2, "{delta:?}");
            sum.good += delta.good;
            FailureKind::ALL.iter().for_each(|kind| sum.failed.add(*kind, delta.failed.of(*kind)));
        };
        std::thread::scope(|scope| {
            let writers = [A, B].map(|worker| {
                let tally = &tally;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        tally.begin(worker);
                        tally.note_good(worker);
                        tally.note_failure(worker, FailureKind::Status);
                        tally.note_failure(worker, FailureKind::ALL[round as usize % FailureKind::ALL.len()]);
                        tally.end(worker);
                    }
                })
            });
            scope.spawn(|| {
                writers.into_iter().for_each(|writer| writer.join().unwrap());
                done.store(true, Release);
            });
            while !done.load(Acquire) {
                reader.delta().into_iter().for_each(&mut add);
            }
        });
        reader.delta().into_iter().for_each(&mut add);
        assert_eq!((sum.good, sum.failed.total(), tally.in_flight()), (2 * ROUNDS, 4 * ROUNDS, 0));
    }

    /// A run of failures that good answers interrupt is never told as longer than it was, whenever the looks fall.
    #[test]
    fn a_run_is_never_told_longer_than_it_was() {
        let tally = Arc::new(Tally::new(EndpointId(1), 1));
        let mut reader = TallyReader::new(tally.clone());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..200_000_u32 {
                    tally.note_good(A);
                    tally.note_failure(A, FailureKind::Status);
                    tally.note_failure(A, FailureKind::Reset);
                    (0..round % 64).for_each(|_| std::hint::spin_loop()); // so that looks fall between and within
                }
                done.store(true, Release);
            });
            let mut run = 0;
            while !done.load(Acquire) {
                let Some(delta) = reader.delta() else { continue };
                run = if delta.good == 0 { run + delta.trailing } else { delta.trailing };
                assert!(run <= 2, "{run} in a row after {delta:?}");
            }
        });
    }
}
