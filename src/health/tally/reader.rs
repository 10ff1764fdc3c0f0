//! How the supervisor reads a tally: what was added since its last look, and how things stand now.
//!
//! The workers go on counting meanwhile. A run of failures must not be told as longer than it was: five in a row eject an
//! endpoint. So each failure says when it was, each worker when it last had a good answer, and only failures after all of
//! those are in the run. A good answer that is not seen yet can't be later than a failure of the same worker that is.
//!
//! Not here: which tallies to look at (`supervisor`, `signals`).

use super::{Stamped, Tally, TallyCell};
use crate::domain::{Askers, Class, Fingerprint, HeadTimes, Moment, Pending, PerClass, TallyDelta, Variety};
use crate::health::notes::Note;
use std::sync::Arc;
use std::sync::atomic::{Ordering::Acquire, fence};

/// The one who reads a tally's growth, and remembers what it has read. The supervisor has one for each endpoint.
#[derive(Debug)]
pub struct TallyReader {
    tally: Arc<Tally>,
    seen: Box<[Seen]>,
    /// Failures that are to be told with the next look.
    notes: Vec<Note>,
    stood: Stood,
}

/// What was last read of one worker's cell.
#[derive(Debug, Default)]
struct Seen {
    good: PerClass<u64>,
    heads: [u64; HeadTimes::BOUNDS.len() + 1],
}

/// How things stood at the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stood {
    Quiet,
    /// Requests waited for a head, unsafe ones ran, or lost hedges did.
    Busy,
}

impl TallyReader {
    /// Everything counted so far is still to be read.
    pub fn new(tally: Arc<Tally>) -> TallyReader {
        let seen = tally.cells.iter().map(|_| Seen::default()).collect();
        TallyReader { tally, seen, notes: Vec::new(), stood: Stood::Quiet }
    }

    /// Whose tally it reads.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// A failure there. To be added before the look: what the note's worker counted before it can be seen then.
    pub fn add(&mut self, note: Note) {
        self.notes.push(note);
    }

    /// Whether it must be looked at again even if nobody says so.
    pub fn is_busy(&self) -> bool {
        self.stood == Stood::Busy
    }

    /// What was counted since the last look; `None` where nothing was, nothing runs and nothing did.
    pub fn news(&mut self) -> Option<TallyDelta> {
        let before = self.stood;
        let delta = self.look();
        let is_news = before == Stood::Busy || self.stood == Stood::Busy || delta.requests() > 0;
        is_news.then_some(delta)
    }

    /// What was counted since the last look, and how things stand now.
    pub fn look(&mut self) -> TallyDelta {
        let mut delta = TallyDelta::default();
        let mut last_good: PerClass<Option<Moment>> = PerClass::default();
        let mut waiting = Waiting::default();
        for (cell, seen) in self.tally.cells.iter().zip(&mut self.seen) {
            seen.read_heads(cell, &mut delta.heads);
            for class in Class::ALL {
                let good = cell.good[class].get();
                delta.good[class] = delta.good[class].saturating_add(narrow(good.wrapping_sub(seen.good[class])));
                seen.good[class] = good;
            }
            fence(Acquire); // of the answers that were counted, or of later ones: `TallyCell::note_good`
            for class in Class::ALL {
                last_good[class] = last_good[class].max(cell.last_good[class].get());
            }
            delta.last_head = delta.last_head.max(cell.last_head.get());
            waiting.add(cell);
            let writes = u32::try_from(cell.writes.get()).unwrap_or(0);
            delta.writes_running = delta.writes_running.saturating_add(writes);
            let hedges = u32::try_from(cell.open_hedges.get()).unwrap_or(0);
            delta.open_hedges = delta.open_hedges.saturating_add(hedges);
        }
        delta.pending = waiting.told();
        let busy = delta.pending.is_some() || delta.writes_running > 0 || delta.open_hedges > 0;
        self.stood = if busy { Stood::Busy } else { Stood::Quiet };
        if !self.notes.is_empty() {
            self.tell_notes(&mut delta, last_good);
        }
        delta
    }

    /// Those in the run come last, as the delta promises.
    fn tell_notes(&mut self, delta: &mut TallyDelta, last_good: PerClass<Option<Moment>>) {
        let notes = std::mem::take(&mut self.notes);
        let in_run = |note: &&Note| Some(note.at) > last_good[note.failed.class];
        let before = notes.iter().filter(|note| !in_run(note));
        delta.failed.extend(before.chain(notes.iter().filter(in_run)).map(|note| note.failed));
        for note in notes.iter().filter(in_run) {
            delta.trailing[note.failed.class] += 1;
        }
        for class in Class::ALL {
            delta.answered[class] = Variety {
                clients: last_two(self.tally.cells.iter().flat_map(|cell| &cell.answered[class].clients)),
                paths: last_two(self.tally.cells.iter().flat_map(|cell| &cell.answered[class].paths)),
            };
        }
    }
}

impl Seen {
    /// Those of safe requests: what is usual there says when a read is slow (a hedge) and when an endpoint is silent, and a write that
    /// takes long by design must not make it patient with either.
    fn read_heads(&mut self, cell: &TallyCell, heads: &mut HeadTimes) {
        let (counts, _) = cell.head[Class::Safe].read();
        let seen = self.heads.iter_mut().zip(counts);
        heads.add_counts(seen.map(|(seen, count)| narrow(count.wrapping_sub(std::mem::replace(seen, count)))));
    }
}

/// Who waits for a head, over the workers.
#[derive(Debug, Default)]
struct Waiting {
    count: u32,
    oldest: Option<Moment>,
    one: Option<Fingerprint>,
    several: bool,
}

impl Waiting {
    fn add(&mut self, cell: &TallyCell) {
        // One that changes just now is no old one.
        for (who, since) in cell.waiting.iter().filter_map(Stamped::get) {
            self.count += 1;
            self.oldest = Some(self.oldest.map_or(since, |oldest| oldest.min(since)));
            self.several |= *self.one.get_or_insert(who) != who;
        }
        self.count = self.count.saturating_add(u32::try_from(cell.waiting_more.get()).unwrap_or(0));
    }

    fn told(self) -> Option<Pending> {
        let from = if self.several { Askers::Several } else { Askers::One };
        self.oldest.map(|oldest| Pending { count: self.count, oldest, from })
    }
}

/// Of all workers' last two, the last two that differ.
fn last_two<'a>(all: impl Iterator<Item = &'a Stamped>) -> [Option<(Fingerprint, Moment)>; 2] {
    let known: Vec<_> = all.filter_map(Stamped::get).collect();
    let latest =
        |but: Option<Fingerprint>| known.iter().filter(|(who, _)| Some(*who) != but).max_by_key(|(_, at)| *at).copied();
    let first = latest(None);
    [first, first.and_then(|(who, _)| latest(Some(who)))]
}

/// Four billion answers between two looks: more than any machine gives.
fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
