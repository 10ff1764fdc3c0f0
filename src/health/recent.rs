//! The newest transitions in memory, for `status`. Not here: where they go for good (the log).

use crate::domain::Transition;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// One transition, and the wall time at which it was decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub wall: SystemTime,
    pub transition: Transition,
}

/// How many are kept: an outage with all that followed, of a few dozen endpoints.
const KEPT: usize = 256;

/// Oldest first. The supervisor writes, `status` reads; neither holds the lock for longer than a copy takes.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<Told>>);

impl Recent {
    /// Adds one, and forgets the oldest when there are too many.
    pub fn push(&self, told: Told) {
        let mut ring = self.ring();
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(told);
    }

    /// All that are kept, oldest first.
    pub fn all(&self) -> Vec<Told> {
        self.ring().iter().cloned().collect()
    }

    /// A ring is whole after each step, so one whose holder panicked is still good.
    fn ring(&self) -> MutexGuard<'_, VecDeque<Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Cause, Change, Evidence, Moment, Routing};
    use std::time::Duration;

    #[test]
    fn the_newest_are_kept_in_their_order() {
        let recent = Recent::default();
        for second in 0..1_000 {
            let transition = Transition {
                at: Moment::at(Duration::from_secs(second)),
                backend: Some("sites".into()),
                change: Change::Routing { from: Routing::Serving, to: Routing::Panic },
                cause: Cause::NoPoolUsable,
                evidence: Evidence::Configured,
                first_evidence: None,
            };
            recent.push(Told { wall: SystemTime::UNIX_EPOCH, transition });
        }
        let seconds: Vec<u64> = recent.all().iter().map(|told| told.transition.at.since_start().as_secs()).collect();
        assert_eq!(seconds, (744..1_000).collect::<Vec<_>>());
    }
}
