//! What this machine charges to a thread that does nothing: interrupts and their packets, whoever they are for, count as the CPU time of the
//! thread they interrupt, unless the kernel was built to tell them apart. Without this a test of CPU time would be one of the neighbours.

use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Looks for so long, in one of so many such spans.
const LOOK: Duration = Duration::from_millis(2);
const OF: u32 = 5;

/// A thread that looks at its own CPU clock, as long as this lives.
pub struct Control(Arc<AtomicU64>);

fn thread_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

impl Control {
    pub fn start() -> Control {
        let longest = Arc::new(AtomicU64::new(0));
        let watched = Arc::downgrade(&longest);
        std::thread::spawn(move || {
            while let Some(longest) = watched.upgrade() {
                let (until, mut before) = (Instant::now() + LOOK, thread_cpu());
                while Instant::now() < until {
                    let now = thread_cpu();
                    longest.fetch_max(u64::try_from((now - before).as_nanos()).unwrap(), Relaxed);
                    before = now;
                }
                drop(longest);
                std::thread::sleep(LOOK * (OF - 1));
            }
        });
        Control(longest)
    }

    /// The most that two looks, one right after the other, were apart.
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }
}
