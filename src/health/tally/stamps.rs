//! Moments in cells: one thread writes, any may read, nobody waits.
//!
//! Not here: what they are the moments of (`tally`).

use crate::domain::{Fingerprint, Moment};
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};
use std::time::Duration;

/// A moment, or none.
#[derive(Debug, Default)]
pub(super) struct Stamp(AtomicU64);

impl Stamp {
    pub(super) fn set(&self, at: Moment) {
        self.0.store(encoded(at), Relaxed);
    }

    pub(super) fn get(&self) -> Option<Moment> {
        decoded(self.0.load(Relaxed))
    }

    /// Takes the stamp over from `seen` to `at`, for a moment that several threads write: one of them wins.
    pub(super) fn advance(&self, seen: Option<Moment>, at: Moment) -> bool {
        self.0.compare_exchange(seen.map_or(NONE, encoded), encoded(at), Relaxed, Relaxed).is_ok()
    }
}

/// Who, and when; or nobody. A reader never takes one's moment for another's: it finds nobody while they change.
#[derive(Debug, Default)]
pub(super) struct Stamped {
    at: AtomicU64,
    who: AtomicU64,
}

impl Stamped {
    pub(super) fn set(&self, who: Fingerprint, at: Moment) {
        self.at.store(NONE, Relaxed);
        fence(Release); // whoever sees `who` sees that it belongs to no moment yet
        self.who.store(who.0, Relaxed);
        self.at.store(encoded(at), Release);
    }

    /// The same one again, later.
    pub(super) fn renew(&self, at: Moment) {
        self.at.store(encoded(at), Relaxed);
    }

    pub(super) fn clear(&self) {
        self.at.store(NONE, Relaxed);
    }

    pub(super) fn get(&self) -> Option<(Fingerprint, Moment)> {
        let at = self.at.load(Acquire);
        let who = self.who.load(Relaxed);
        fence(Acquire);
        let unchanged = self.at.load(Relaxed) == at;
        decoded(at).filter(|_| unchanged).map(|at| (Fingerprint(who), at))
    }

    /// For the thread that writes.
    pub(super) fn is(&self, who: Fingerprint) -> bool {
        self.who.load(Relaxed) == who.0 && !self.is_nobody()
    }

    pub(super) fn is_nobody(&self) -> bool {
        self.at.load(Relaxed) == NONE
    }

    /// When, for the thread that writes; nobody is earlier than everybody.
    pub(super) fn when(&self) -> Option<Moment> {
        decoded(self.at.load(Relaxed))
    }
}

const NONE: u64 = 0;

/// Nanoseconds since the start, and one: enough for five centuries.
fn encoded(at: Moment) -> u64 {
    u64::try_from(at.since_start().as_nanos()).map_or(u64::MAX, |nanos| nanos.saturating_add(1))
}

fn decoded(at: u64) -> Option<Moment> {
    Some(Moment::at(Duration::from_nanos(at.checked_sub(1)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn the_start_of_the_process_is_a_moment_too() {
        let stamp = Stamp::default();
        assert_eq!(stamp.get(), None);
        stamp.set(Moment::ZERO);
        assert_eq!(stamp.get(), Some(Moment::ZERO));
    }

    #[test]
    fn nobodys_moment_is_taken_for_another_ones() {
        let stamped = Stamped::default();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=200_000 {
                    stamped.set(Fingerprint(round), Moment::at(Duration::from_nanos(round)));
                    if round % 3 == 0 {
                        stamped.clear();
                    }
                }
                done.store(true, Release);
            });
            while !done.load(Acquire) {
                if let Some((Fingerprint(who), at)) = stamped.get() {
                    assert_eq!(u128::from(who), at.since_start().as_nanos());
                }
            }
        });
    }
}
