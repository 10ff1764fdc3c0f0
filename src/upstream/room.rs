//! Room for what is kept in memory for requests: so many bytes for all workers together, and nothing is kept past that.
//!
//! The one number that all of them write to is [`Memory`]'s. A worker draws on it by the piece, so that most requests touch only the
//! worker's own; what it has at hand and does not use is less than two pieces for each purpose.
//!
//! Not here: what is kept, and what goes on without it (`upload`, `proxy::held`).

use crate::telemetry::cells::WorkerIndex;
use crate::telemetry::metrics::{Buffered, WorkerCells, Workers};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The most that a worker draws at once beyond what it needs.
const PIECE_MAX: usize = 256 * 1024;

/// Into how many pieces the whole is cut where that makes them smaller.
const PIECES: usize = 64;

/// What all workers may keep: `max_buffered`.
#[derive(Debug)]
pub struct Memory {
    most: AtomicUsize,
    drawn: AtomicUsize,
}

impl Memory {
    /// In bytes.
    pub fn new(most: usize) -> Arc<Memory> {
        Arc::new(Memory { most: AtomicUsize::new(most), drawn: AtomicUsize::new(0) })
    }

    /// After a reload. What is kept already stays.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Relaxed);
    }

    fn piece(&self) -> usize {
        PIECE_MAX.min(self.most.load(Relaxed) / PIECES)
    }

    /// Up to where one may draw for that: responses to slow clients must not cost a request its only other chance.
    fn limit(&self, place: Buffered) -> usize {
        let most = self.most.load(Relaxed);
        match place {
            Buffered::Request => most,
            Buffered::Response => most - most / 4,
        }
    }

    /// So much or somewhat more; `None`: there is not so much left.
    fn draw(&self, place: Buffered, least: usize) -> Option<usize> {
        let (limit, wished) = (self.limit(place), least.max(self.piece()));
        let got = |drawn: usize| limit.checked_sub(drawn).filter(|left| *left >= least).map(|left| left.min(wished));
        let before = self.drawn.fetch_update(Relaxed, Relaxed, |drawn| Some(drawn + got(drawn)?)).ok()?;
        got(before)
    }

    fn give_back(&self, bytes: usize) {
        self.drawn.fetch_sub(bytes, Relaxed);
    }
}

/// A worker's way to it, for one purpose.
#[derive(Debug)]
pub struct Rooms(Rc<Account>);

#[derive(Debug)]
struct Account {
    memory: Arc<Memory>,
    place: Buffered,
    cells: Arc<Workers>,
    worker: WorkerIndex,
    /// Taken, and at hand.
    drawn: Cell<usize>,
    taken: Cell<usize>,
}

/// A part of it, given back when it is dropped.
#[derive(Debug)]
pub struct Room {
    bytes: usize,
    account: Rc<Account>,
}

impl Rooms {
    /// For that worker, which counts in these cells what is taken.
    pub fn new(memory: Arc<Memory>, place: Buffered, cells: Arc<Workers>, worker: WorkerIndex) -> Rooms {
        Rooms(Rc::new(Account { memory, place, cells, worker, drawn: Cell::new(0), taken: Cell::new(0) }))
    }

    /// `None`: there is not so much left, which is counted.
    pub fn take(&self, bytes: usize) -> Option<Room> {
        let account = &self.0;
        let taken = account.taken.get() + bytes;
        if let Some(missing) = taken.checked_sub(account.drawn.get()).filter(|missing| *missing > 0) {
            let Some(more) = account.memory.draw(account.place, missing) else {
                account.cells().not_buffered[account.place as usize].add(1);
                return None;
            };
            account.drawn.set(account.drawn.get() + more);
        }
        account.set_taken(taken);
        Some(Room { bytes, account: account.clone() })
    }

    /// Bytes in use.
    pub fn taken(&self) -> usize {
        self.0.taken.get()
    }
}

impl Account {
    fn cells(&self) -> &WorkerCells {
        self.cells.of(self.worker)
    }

    fn set_taken(&self, taken: usize) {
        self.taken.set(taken);
        self.cells().buffered[self.place as usize].set(i64::try_from(taken).unwrap_or(i64::MAX));
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let account = &self.account;
        account.set_taken(account.taken.get() - self.bytes);
        let (spare, piece) = (account.drawn.get() - account.taken.get(), account.memory.piece());
        if spare >= 2 * piece {
            account.memory.give_back(spare - piece);
            account.drawn.set(account.taken.get() + piece);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.memory.give_back(self.drawn.get());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    impl Rooms {
        /// One worker's, with all of so much to itself.
        pub fn alone(most: usize) -> Rooms {
            of(&Memory::new(most), Buffered::Request, 0)
        }
    }

    fn of(memory: &Arc<Memory>, place: Buffered, worker: usize) -> Rooms {
        Rooms::new(memory.clone(), place, Arc::new(Workers::new(2)), WorkerIndex(worker))
    }

    #[test]
    fn no_more_is_given_than_there_is_and_what_is_dropped_is_there_again() {
        let rooms = Rooms::alone(100);
        let first = rooms.take(60).unwrap();
        assert!(rooms.take(41).is_none());
        let second = rooms.take(40).unwrap();
        assert_eq!(rooms.taken(), 100);
        drop(first);
        assert!(rooms.take(60).is_some());
        drop(second);
        assert_eq!(rooms.taken(), 0);
    }

    #[test]
    fn workers_share_it_and_keep_little_of_it_at_hand() {
        let memory = Memory::new(64 << 20);
        let (one, other) = (of(&memory, Buffered::Request, 0), of(&memory, Buffered::Request, 1));
        let taken: Vec<_> = (0..1_024).map(|_| one.take(64 << 10).unwrap()).collect();
        assert!(one.take(1).is_none() && other.take(1).is_none());
        drop(taken);
        assert_eq!(one.taken(), 0);
        assert!(memory.drawn.load(Relaxed) < 2 * PIECE_MAX);
        let taken: Vec<_> = std::iter::from_fn(|| other.take(64 << 10)).collect();
        assert!(taken.len() * (64 << 10) > (64 << 20) - 2 * PIECE_MAX, "{}", taken.len());
        drop((one, other));
        assert!(memory.drawn.load(Relaxed) >= taken.len() * (64 << 10), "what is taken is not lost with its worker");
        drop(taken);
        assert_eq!(memory.drawn.load(Relaxed), 0, "a worker that ends leaves nothing behind");
    }

    #[test]
    fn responses_leave_a_quarter_for_request_bodies_and_both_are_counted() {
        let (memory, cells) = (Memory::new(1_000), Arc::new(Workers::new(1)));
        let rooms = |place| Rooms::new(memory.clone(), place, cells.clone(), WorkerIndex(0));
        let (responses, requests) = (rooms(Buffered::Response), rooms(Buffered::Request));
        let held = responses.take(750).unwrap();
        assert!(responses.take(1).is_none());
        let kept = requests.take(250).unwrap();
        assert!(requests.take(1).is_none() && requests.take(1).is_none());
        let counts = || {
            let cells = cells.of(WorkerIndex(0));
            (cells.buffered.each_ref().map(|gauge| gauge.get()), cells.not_buffered.each_ref().map(|count| count.get()))
        };
        assert_eq!(counts(), ([250, 750], [2, 1]));
        drop((held, kept));
        assert_eq!(counts(), ([0, 0], [2, 1]));
    }

    #[test]
    fn with_less_than_is_taken_nothing_is_given_until_enough_has_come_back() {
        let memory = Memory::new(1_000);
        let rooms = of(&memory, Buffered::Request, 0);
        let taken: Vec<_> = (0..10).map(|_| rooms.take(100).unwrap()).collect();
        memory.set_most(0);
        assert!(rooms.take(1).is_none());
        drop(taken);
        assert!(rooms.take(1).is_none(), "0 is nothing");
        memory.set_most(1_000);
        assert!(rooms.take(1_000).is_some());
    }

    #[test]
    fn threads_that_draw_at_once_get_no_more_than_there_is() {
        let memory = Memory::new(1 << 20);
        let held = std::sync::Barrier::new(4);
        let got: usize = std::thread::scope(|scope| {
            let ask = || {
                let rooms = of(&memory, Buffered::Request, 0);
                let taken: Vec<_> = std::iter::from_fn(|| rooms.take(1_000)).collect();
                held.wait();
                taken.len()
            };
            let threads = [(); 4].map(|()| scope.spawn(ask));
            threads.map(|thread| thread.join().unwrap()).into_iter().sum()
        });
        assert!(got * 1_000 <= 1 << 20 && got >= 900, "{got}");
        assert_eq!(memory.drawn.load(Relaxed), 0);
    }
}
