//! The state file: what survives a restart, in `state_dir/state.json`. A restart in an outage must not send users back to the
//! broken primary.
//!
//! [`StateFile::save`] puts a [`Memory`] where the newest belongs and returns: nobody who decides waits for a disk, which may be
//! the failing one. A thread of its own writes the newest there is, skips those that were overtaken, and while the disk
//! refuses tries again each second until the newest is on it. [`read`] is for the start.
//!
//! The file on disk is always whole: it is written beside, synced, and renamed over the old one. Should it be damaged all
//! the same, it is set aside for whoever wants to look, and everything begins anew; half of a memory is never used.
//!
//! Not here: what is remembered and what the core makes of it (`domain::memory`), how it is spelt (`schema`), files (`disk`).

mod disk;
#[cfg(test)]
mod fixtures;
pub mod schema;

pub use disk::{Lost, Remembered, read};

use crate::domain::Memory;
use crate::telemetry::files::{FileError, Files, News, RETRY, Trouble};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// The way to the thread that writes. Clones share it; when the last is dropped the thread writes what there is, and ends.
#[derive(Clone, Debug)]
pub struct StateFile(Option<Arc<Handle>>);

#[derive(Debug)]
struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
}

/// What is between those who save and the thread that writes: one memory at most.
#[derive(Debug)]
struct Slot {
    newest: Option<Saved>,
    phase: Phase,
}

/// A memory, and the wall time at which what is left of its commands was right.
#[derive(Clone, Debug)]
struct Saved {
    memory: Memory,
    at: SystemTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing to write.
    Idle,
    /// The newest that was taken is not on disk yet.
    Writing,
    /// Try once to write what there is, and end.
    Ending,
    Ended,
}

/// Whether the newest memory is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum OnDisk {
    Yes,
    No,
}

impl StateFile {
    /// Keeps nothing.
    pub fn none() -> StateFile {
        StateFile(None)
    }

    /// Starts the writer for `directory`, which it creates where it is missing; `None` keeps no state.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(directory: Option<&Path>, files: &Files) -> io::Result<StateFile> {
        let Some(directory) = directory else { return Ok(StateFile(None)) };
        let slot = Mutex::new(Slot { newest: None, phase: Phase::Idle });
        let shared = Arc::new(Shared { slot, changed: Condvar::new() });
        let writer = Writer {
            directory: directory.to_owned(),
            trouble: Trouble::none(files.state.clone()),
            shared: shared.clone(),
        };
        std::thread::Builder::new().name("state".to_owned()).spawn(move || writer.run())?;
        Ok(StateFile(Some(Arc::new(Handle(shared)))))
    }

    fn shared(&self) -> Option<&Shared> {
        self.0.as_ref().map(|handle| &*handle.0)
    }

    /// Has `memory`, as it is at the wall time `at`, written in place of every earlier one. Waits for no disk: the lock is held
    /// by nobody for longer than it takes to move a value.
    pub fn save(&self, memory: Memory, at: SystemTime) {
        let Some(shared) = self.shared() else { return };
        let overtaken = shared.slot().newest.replace(Saved { memory, at });
        shared.changed.notify_all();
        drop(overtaken); // after the lock
    }

    /// Waits until the newest memory is on disk, but no longer than `at_most`.
    pub fn settle(&self, at_most: Duration) -> OnDisk {
        let Some(shared) = self.shared() else { return OnDisk::Yes };
        let is_open = |slot: &mut Slot| match slot.phase {
            Phase::Idle => slot.newest.is_some(),
            Phase::Writing | Phase::Ending => true,
            Phase::Ended => false,
        };
        let slot = shared.changed.wait_timeout_while(shared.slot(), at_most, is_open);
        let slot = slot.unwrap_or_else(PoisonError::into_inner).0;
        match slot.phase {
            Phase::Idle | Phase::Ended if slot.newest.is_none() => OnDisk::Yes,
            Phase::Idle | Phase::Writing | Phase::Ending | Phase::Ended => OnDisk::No,
        }
    }

    /// Ends the writer, once the newest memory is on disk or the disk has refused it; waits no longer than `at_most`.
    pub fn finish(&self, at_most: Duration) -> OnDisk {
        let Some(shared) = self.shared() else { return OnDisk::Yes };
        shared.end();
        let on_disk = self.settle(at_most);
        if on_disk == OnDisk::No {
            tracing::error!("the newest state is not on disk: after a restart an older one is remembered");
        }
        on_disk
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Shared {
    /// Each step leaves a whole value, so one whose holder panicked is still good.
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        let mut slot = self.slot();
        if slot.phase != Phase::Ended {
            slot.phase = Phase::Ending;
        }
        self.changed.notify_all();
    }

    /// Waits for a memory to write; `None`: there is none, and there is to be an end.
    fn next(&self) -> Option<Saved> {
        let is_idle = |slot: &mut Slot| slot.newest.is_none() && slot.phase == Phase::Idle;
        let mut slot = self.changed.wait_while(self.slot(), is_idle).unwrap_or_else(PoisonError::into_inner);
        let newest = slot.newest.take()?;
        if slot.phase == Phase::Idle {
            slot.phase = Phase::Writing;
        }
        Some(newest)
    }

    /// What was taken is on disk.
    fn written(&self) {
        let mut slot = self.slot();
        if slot.phase == Phase::Writing {
            slot.phase = Phase::Idle;
        }
        self.changed.notify_all();
    }

    /// What was taken could not be written: it is the newest again, unless there is a newer one. Waits until the next try.
    fn refused(&self, saved: Saved) -> Phase {
        let mut slot = self.slot();
        slot.newest.get_or_insert(saved);
        if slot.phase == Phase::Writing {
            let is_running = |slot: &mut Slot| slot.phase == Phase::Writing;
            let waited = self.changed.wait_timeout_while(slot, RETRY, is_running);
            slot = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if slot.phase == Phase::Writing {
            slot.phase = Phase::Idle;
        }
        slot.phase
    }
}

/// The thread that writes, with what it owns.
struct Writer {
    directory: PathBuf,
    trouble: Trouble,
    shared: Arc<Shared>,
}

/// How often a memory is tried once the end has come.
const LAST_TRIES: u32 = 2;

impl Writer {
    fn run(mut self) {
        let _ended = Ended(self.shared.clone());
        let mut last_tries = 0;
        while let Some(saved) = self.shared.next() {
            match disk::write(&self.directory, &schema::encode(&saved.memory, saved.at)) {
                Ok(()) => {
                    self.rejoice();
                    self.shared.written();
                }
                Err(error) => {
                    self.complain(&error);
                    match self.shared.refused(saved) {
                        Phase::Idle | Phase::Writing => {}
                        Phase::Ending | Phase::Ended => last_tries += 1,
                    }
                    if last_tries == LAST_TRIES {
                        return;
                    }
                }
            }
        }
    }

    fn complain(&mut self, error: &FileError) {
        match self.trouble.failed() {
            News::Begins => tracing::error!(
                "the state can't be written: {error}; decisions go on, but a restart would remember an older state. It is tried \
                 again each second"
            ),
            News::GoesOn => {}
        }
    }

    fn rejoice(&mut self) {
        if let Some(failed) = self.trouble.over() {
            tracing::warn!("the state is written again, the newest is on disk; {failed} tries had failed");
        }
    }
}

/// Says that the thread has ended, however that came.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.slot().phase = Phase::Ended;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
