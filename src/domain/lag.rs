//! How far behind an endpoint says it is.
//!
//! Decisions rest on the newest reading. What is *shown* of it follows more slowly: each change of it makes a new view, and a lag
//! is hardly ever the same twice.
//!
//! Not here: when a pool is stale (`pool`), what follows (`serving`, `failback`).

use super::evidence::Lag;
use super::units::Moment;
use std::time::Duration;

/// So many answers in a row without a number make it unknown.
pub(super) const UNKNOWN_AFTER: u32 = 3;

/// What is shown may be off by less than this, or by less than a tenth.
const STEP: Duration = Duration::from_secs(1);

/// What its probes said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LagSeen {
    known: Option<Reading>,
    /// Answers in a row that did not say.
    silent: u32,
    shown: Option<Duration>,
    /// Probes in a row that nobody answered: what was said before is no longer shown then, though it still counts.
    unheard: u32,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    behind: Duration,
    at: Moment,
}

impl LagSeen {
    /// A probe was answered, and said so.
    pub(super) fn note(&mut self, now: Moment, lag: Lag) {
        self.unheard = 0;
        match lag {
            Lag::Behind(behind) => {
                (self.known, self.silent) = (Some(Reading { behind, at: now }), 0);
                self.shown = self.shown.filter(|shown| is_near(*shown, behind)).or(Some(behind));
            }
            Lag::Unknown => {
                self.silent = self.silent.saturating_add(1);
                if self.silent >= UNKNOWN_AFTER {
                    (self.known, self.shown) = (None, None);
                }
            }
        }
    }

    /// A probe was not answered.
    pub(super) fn note_unheard(&mut self) {
        self.unheard = self.unheard.saturating_add(1);
        if self.unheard >= UNKNOWN_AFTER {
            self.shown = None;
        }
    }

    /// For people: to within a second or a tenth, and 0 only if it is.
    pub(super) fn shown(&self) -> Option<Duration> {
        self.shown
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

/// Whether what is shown need not change. Nothing behind is told as just that: writes wait for it.
fn is_near(shown: Duration, behind: Duration) -> bool {
    shown.is_zero() == behind.is_zero() && shown.abs_diff(behind) < STEP.max(shown / 10)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::secs;
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// What is shown after each reading.
    fn shown(readings: &[u64]) -> Vec<Duration> {
        let mut seen = LagSeen::default();
        let note = |behind: &u64| {
            seen.note(secs(1), Lag::Behind(millis(*behind)));
            assert_eq!(seen.behind(), Some(millis(*behind)), "decisions rest on the newest");
            seen.shown().unwrap()
        };
        readings.iter().map(note).collect()
    }

    #[test]
    fn what_is_shown_follows_by_a_second_or_a_tenth_and_nothing_behind_is_told_at_once() {
        assert_eq!(shown(&[400, 1_300, 1_400, 500]), [400, 400, 1_400, 1_400].map(millis));
        assert_eq!(shown(&[0, 5, 900, 0]), [0, 5, 5, 0].map(millis));
        assert_eq!(shown(&[100_000, 109_000, 90_500, 110_000]), [100_000, 100_000, 100_000, 110_000].map(millis));
    }

    #[test]
    fn what_nobody_says_any_more_is_not_shown() {
        let mut seen = LagSeen::default();
        assert_eq!(seen.shown(), None);
        seen.note(secs(1), Lag::Behind(millis(400)));
        (1..UNKNOWN_AFTER).for_each(|_| seen.note_unheard());
        assert_eq!(seen.shown(), Some(millis(400)), "a lost probe is no gap");
        seen.note_unheard();
        assert_eq!((seen.shown(), seen.behind()), (None, Some(millis(400))));
        seen.note(secs(2), Lag::Behind(millis(400)));
        (1..UNKNOWN_AFTER).for_each(|_| seen.note(secs(3), Lag::Unknown));
        assert_eq!(seen.shown(), Some(millis(400)));
        seen.note(secs(4), Lag::Unknown);
        assert_eq!((seen.shown(), seen.behind()), (None, None));
    }
}
