//! The only place that reads a clock. Everything else is handed a [`Clock`], or the [`Moment`] it said.
#![allow(clippy::disallowed_methods, reason = "this is the one place that may read a clock")]

use crate::domain::Moment;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant, SystemTime};

/// The process's monotonic clock, and wall time beside it. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts a clock: now is [`Moment::ZERO`].
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// Monotonic time.
    pub fn now(&self) -> Moment {
        Moment::at(self.start.elapsed())
    }

    /// Wall time: for people, certificates and files, never for deciding.
    pub fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    /// The deadline `moment` as tokio's timers take it.
    pub fn instant(&self, moment: Moment) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + moment.since_start())
    }
}

/// CPU time that this thread has used, in user and in system mode.
pub fn thread_cpu() -> Duration {
    // What the kernel says fits, and is never negative: `timespec` counts from the thread's start.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
