//! The journal: what was decided and what it rested on, as lines of JSON in `state_dir/journal.jsonl` that outlive the process.
//!
//! Nobody who decides waits for a disk, which may be the failing one: [`Journal::write`] puts a value into a queue and returns;
//! a thread of its own encodes, writes, rotates. While the disk refuses, that thread holds the line and tries again each
//! second; the queue fills meanwhile, and what no longer fits is dropped, counted, and told of by the next line that fits.
//!
//! Bounds: 4,096 lines wait; 5 files of 16 MiB ([`Bounds`]). What a crash of this process can cost is what still waited; what a
//! power failure can cost is what the kernel had not written yet, for only a rotation and the end wait for the disk.
//!
//! Not here: how a line looks (`encode`; docs/journal.md), the files (`file`), the newest transitions in memory
//! (`health::recent`).

pub mod encode;
pub mod file;

use super::files::{FileError, Files, News, RETRY, Trouble};
use crate::domain::{Evidence, FailureCounts, Generation, Moment, Name, Transition};
use file::Lines;
use prometheus::IntCounter;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// One line: when, and what.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub at: SystemTime,
    pub moment: Moment,
    pub entry: Entry,
}

/// What a line tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A process began to decide; all moments after this line, up to the next one of its kind, count from its start.
    Started {
        version: &'static str,
        pid: u32,
    },
    Transition {
        transition: Transition,
        meanwhile: Option<Meanwhile>,
    },
    Evidence(EvidenceSum),
    /// What became of a reload.
    Config {
        step: ConfigStep,
        /// The configuration that is meant: the one in force, or the one that is taken back.
        generation: Generation,
        /// Which backend it broke, and the numbers.
        broke: Option<(Name, Evidence)>,
        words: String,
    },
    /// So many lines that belong here were dropped.
    Lost(u64),
    /// The process ended in order.
    Stopped,
}

/// What becomes of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigStep {
    Accepted,
    Rejected,
    Confirmed,
    TakenBack,
}

impl ConfigStep {
    /// The word for it in the journal.
    pub const fn name(self) -> &'static str {
        match self {
            ConfigStep::Accepted => "accepted",
            ConfigStep::Rejected => "rejected",
            ConfigStep::Confirmed => "confirmed",
            ConfigStep::TakenBack => "taken_back",
        }
    }
}

/// What users met between the first evidence for a decision and the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meanwhile {
    pub since_first_evidence: Duration,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that were rescued.
    pub rescued: u64,
}

/// What real requests did at one endpoint in one second. Written while its score is above zero.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceSum {
    pub backend: Name,
    pub pool: Name,
    pub endpoint: Name,
    pub good: u32,
    pub failed: FailureCounts,
    /// At the second's end.
    pub score: f64,
}

/// How much disk the journal may take: `(kept + 1) × file_size`, and a line more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// In bytes. The line that would pass it begins the next file.
    pub file_size: u64,
    /// Older files, `journal.1.jsonl` the newest of them.
    pub kept: u32,
}

impl Default for Bounds {
    /// At 400 bytes a line 200,000 of them: months with a failover a day, hours of an outage with all of its evidence.
    fn default() -> Bounds {
        Bounds { file_size: 16 << 20, kept: 4 }
    }
}

/// Lines that wait to be written, of some 300 bytes each.
const WAITING: usize = 4_096;

/// The way to the thread that writes. Clones share it.
#[derive(Clone, Debug)]
pub struct Journal(Option<Queue>);

#[derive(Clone, Debug)]
struct Queue {
    items: SyncSender<Item>,
    /// Dropped since the last `Lost` that fitted.
    lost: Arc<AtomicU64>,
    dropped: IntCounter,
    life: Arc<Life>,
}

#[derive(Debug)]
enum Item {
    /// Boxed, because the queue's room for all that may wait is taken at the start.
    Line(Box<Line>),
    /// Nothing: wakes the thread so that it sees that it is to end.
    Wake,
}

/// Where the thread is in its life, and what it and whoever ends it wait on.
#[derive(Debug)]
struct Life {
    phase: Mutex<Phase>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Write what waits, each line with one try, and end.
    Ending,
    Ended,
}

impl Journal {
    /// Keeps nothing.
    pub fn none() -> Journal {
        Journal(None)
    }

    /// Starts the writer for `directory`, which it creates where it is missing; `None` keeps no journal.
    ///
    /// The disk is touched by the writer alone, from the first line on, so this neither waits for it nor fails because of it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(directory: Option<&Path>, bounds: Bounds, files: &Files) -> io::Result<Journal> {
        let Some(directory) = directory else { return Ok(Journal(None)) };
        let (items, waiting) = sync_channel(WAITING);
        let life = Arc::new(Life { phase: Mutex::new(Phase::Running), changed: Condvar::new() });
        let (dropped, lost) = (files.lines_dropped.clone(), Arc::new(AtomicU64::new(0)));
        let writer = Writer {
            lines: Lines::new(directory, bounds),
            trouble: Trouble::none(files.journal.clone()),
            dropped_before: 0,
            dropped: dropped.clone(),
            life: life.clone(),
        };
        std::thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run(waiting))?;
        Ok(Journal(Some(Queue { items, lost, dropped, life })))
    }

    /// Puts a line into the queue, or drops and counts it. Never waits.
    pub fn write(&self, line: Line) {
        let Some(queue) = &self.0 else { return };
        let lost = queue.lost.swap(0, Relaxed);
        if lost > 0 {
            let told = Line { at: line.at, moment: line.moment, entry: Entry::Lost(lost) };
            if queue.items.try_send(Item::Line(Box::new(told))).is_err() {
                queue.lost.fetch_add(lost, Relaxed);
            }
        }
        if queue.items.try_send(Item::Line(Box::new(line))).is_err() {
            queue.lost.fetch_add(1, Relaxed);
            queue.dropped.inc();
        }
    }

    /// Ends the journal with a last line: waits until all is on disk, but no longer than `at_most`. What is written later by
    /// other holders is dropped.
    pub fn finish(&self, last: Line, at_most: Duration) {
        self.write(last);
        self.end(at_most);
    }

    fn end(&self, at_most: Duration) {
        let Some(queue) = &self.0 else { return };
        queue.life.end();
        // Does not fit: then the thread is not waiting for anything to come, and looks at its phase when the queue is empty.
        let _ = queue.items.try_send(Item::Wake);
        if queue.life.ended_within(at_most) == Phase::Ended {
            return;
        }
        tracing::error!("the journal was not finished within {at_most:?}: the disk hangs, its last lines are lost");
    }
}

impl Life {
    /// Each step leaves a whole value, so one whose holder panicked is still good.
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase) {
        *self.phase() = phase;
        self.changed.notify_all();
    }

    fn end(&self) {
        let mut phase = self.phase();
        if *phase == Phase::Running {
            *phase = Phase::Ending;
        }
        self.changed.notify_all();
    }

    /// Waits so long, or until there is something else to do than to wait.
    fn rest(&self, span: Duration) -> Phase {
        let waited = self.changed.wait_timeout_while(self.phase(), span, |phase| *phase == Phase::Running);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn ended_within(&self, span: Duration) -> Phase {
        let waited = self.changed.wait_timeout_while(self.phase(), span, |phase| *phase != Phase::Ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The thread that writes, with what it owns.
struct Writer {
    lines: Lines,
    trouble: Trouble,
    dropped: IntCounter,
    /// What `dropped` was when the trouble began.
    dropped_before: u64,
    life: Arc<Life>,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Written,
    /// The process ends and the disk refuses.
    GivenUp,
}

impl Writer {
    fn run(mut self, waiting: Receiver<Item>) {
        let _ended = Ended(self.life.clone());
        let waiting = waiting; // goes before that is said, so that whatever is written afterwards is known to be dropped
        while let Some(item) = self.next(&waiting) {
            let Item::Line(line) = item else { continue };
            if self.write(&encode::line(&line)) == Fate::GivenUp {
                let rest = waiting.try_iter().filter(|item| matches!(item, Item::Line(_))).count();
                self.give_up(1 + u64::try_from(rest).unwrap_or(u64::MAX));
                return;
            }
        }
        if let Err(error) = self.lines.sync() {
            self.complain(&error);
        }
    }

    /// The next item; `None` once there is nothing left to come.
    fn next(&self, waiting: &Receiver<Item>) -> Option<Item> {
        let phase = *self.life.phase();
        match phase {
            Phase::Running => waiting.recv().ok(),
            Phase::Ending | Phase::Ended => waiting.try_recv().ok(),
        }
    }

    /// Writes the line whole, however long the disk refuses, unless the process ends meanwhile.
    fn write(&mut self, line: &[u8]) -> Fate {
        loop {
            match self.lines.append(line) {
                Ok(()) => {
                    self.rejoice();
                    return Fate::Written;
                }
                Err(error) => self.complain(&error),
            }
            match self.life.rest(RETRY) {
                Phase::Running => {}
                Phase::Ending | Phase::Ended => match self.lines.append(line) {
                    Ok(()) => {
                        self.rejoice();
                        return Fate::Written;
                    }
                    Err(_) => return Fate::GivenUp,
                },
            }
        }
    }

    fn complain(&mut self, error: &FileError) {
        match self.trouble.failed() {
            News::Begins => {
                self.dropped_before = self.dropped.get();
                tracing::error!(
                    "the journal can't be written: {error}; decisions go on, {WAITING} lines wait meanwhile, and it is tried \
                     again each second"
                );
            }
            News::GoesOn => {}
        }
    }

    fn rejoice(&mut self) {
        if let Some(failed) = self.trouble.over() {
            let dropped = self.dropped.get().saturating_sub(self.dropped_before);
            tracing::warn!("the journal is written again; {failed} tries had failed, and {dropped} lines were dropped");
        }
    }

    fn give_up(&mut self, lines: u64) {
        self.dropped.inc_by(lines);
        tracing::error!("the last {lines} lines of the journal are lost: it can't be written");
    }
}

/// Says that the thread has ended, however that came.
struct Ended(Arc<Life>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.set(Phase::Ended);
    }
}

#[cfg(test)]
mod tests;
