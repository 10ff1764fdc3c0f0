//! Counters with one writer: a worker adds to its own cell with plain loads and stores, and whoever scrapes or tallies
//! reads them all. Nothing is locked or flushed, and no worker is asked.
//!
//! Not here: what is counted (`metrics`, `health::tally`), what it is called (`names`).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A count that only grows. One thread writes, any may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        // Not fetch_add: there is one writer, and a locked instruction costs more than the rest of the request's counting.
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number of things that are there now. One thread writes, any may read.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub fn add(&self, n: i64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub fn set(&self, n: i64) {
        self.0.store(n, Relaxed);
    }

    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Durations by bucket. One thread writes, any may read.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [Counter; BUCKETS.len() + 1],
    sum_micros: Counter,
}

/// Upper bounds of the buckets, in microseconds; one more holds the rest.
pub const BUCKETS: [u64; 14] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 60_000_000,
];

impl Histogram {
    pub fn observe(&self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.counts[BUCKETS.partition_point(|bound| *bound < micros)].add(1);
        self.sum_micros.add(micros);
    }

    /// The counts of each bucket (not cumulated; the last is for what is past every bound), and the sum in microseconds.
    pub fn read(&self) -> ([u64; BUCKETS.len() + 1], u64) {
        (std::array::from_fn(|i| self.counts[i].get()), self.sum_micros.get())
    }
}

/// One `T` per worker, a pair of cache lines apart, so that two workers never write to the same line.
#[derive(Debug)]
pub struct PerWorker<T>(Box<[Padded<T>]>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

/// Which worker, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerIndex(pub usize);

impl<T: Default> PerWorker<T> {
    pub fn new(workers: usize) -> PerWorker<T> {
        PerWorker((0..workers).map(|_| Padded::default()).collect())
    }
}

impl<T> PerWorker<T> {
    /// That worker's own: only its thread may write to it.
    pub fn of(&self, worker: WorkerIndex) -> &T {
        &self.0[worker.0].0
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }

    /// The sum over all workers of what `read` reads of each.
    pub fn sum(&self, read: impl Fn(&T) -> u64) -> u64 {
        self.iter().map(read).sum()
    }
}
