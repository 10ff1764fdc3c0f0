//! How far behind an endpoint says it is.
//!
//! Not here: when a pool is stale (`pool`), what follows (`serving`, `failback`).

use super::evidence::Lag;
use super::units::Moment;
use std::time::Duration;

/// So many answers in a row without a number make it unknown.
pub(super) const UNKNOWN_AFTER: u32 = 3;

/// What its probes said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LagSeen {
    known: Option<Reading>,
    /// Answers in a row that did not say.
    silent: u32,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    behind: Duration,
    at: Moment,
}

impl LagSeen {
    /// A probe was answered, and said so.
    pub(super) fn note(&mut self, now: Moment, lag: Lag) {
        match lag {
            Lag::Behind(behind) => *self = LagSeen { known: Some(Reading { behind, at: now }), silent: 0 },
            Lag::Unknown => {
                self.silent = self.silent.saturating_add(1);
                if self.silent >= UNKNOWN_AFTER {
                    self.known = None;
                }
            }
        }
    }

    pub(super) fn behind(&self) -> Option<Duration> {
        self.known.map(|reading| reading.behind)
    }

    /// Whether it has had the chance to say, and did not.
    pub(super) fn is_unknown(&self) -> bool {
        self.known.is_none() && self.silent >= UNKNOWN_AFTER
    }

    /// Whether it said, after `since`, that it is at most so far behind.
    pub(super) fn is_within(&self, most: Duration, since: Option<Moment>) -> bool {
        self.known.is_some_and(|reading| reading.behind <= most && since.is_none_or(|since| reading.at >= since))
    }
}
