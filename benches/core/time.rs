//! CPU time of this thread: what else the machine does counts only as far as it empties the caches.

use crate::scene::{Scene, measured};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Goes. The least of them is what it takes where nothing disturbs it.
const GOES: usize = 300;

#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub least: Duration,
    pub middle: Duration,
}

/// Of one run, in goes of `batch` runs each.
pub fn of(scene: &mut impl Scene, batch: usize) -> Times {
    let mut all: Vec<Duration> = (0..GOES).map(|_| go(scene, batch)).collect();
    all.sort_unstable();
    Times { least: all[0], middle: all[GOES / 2] }
}

fn go<S: Scene>(scene: &mut S, batch: usize) -> Duration {
    let mut ready: Vec<S::Ready> = (0..batch).map(|_| scene.prepare()).collect();
    let before = now();
    measured(scene, &mut ready);
    let took = now() - before;
    took / u32::try_from(batch).expect("batches are small")
}

fn now() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).expect("CPU time is not negative")
}
