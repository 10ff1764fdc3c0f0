//! Silence is suspicion: an endpoint that has several requests of several askers, and answers nobody.
//!
//! It is *stalled* when at least [`ENOUGH`] requests of more than one (client, path) wait for a head there, the oldest for
//! longer than is allowed, and in that time nothing was answered, neither a request nor a probe. Allowed is eight times what
//! is usual there, so that a slow site is not a stalled one. A probe is sent after a quarter of that time: an endpoint that
//! answers it is slow with those pages, not dead.
//!
//! Not here: what a stall leads to (`endpoint`); who waits (`health::tally` counts).

use super::Why;
use super::evidence::{Askers, Pending};
use super::units::Moment;
use std::time::Duration;

/// Fewer may be a few slow pages.
const ENOUGH: u32 = 5;
/// Never allowed less: a pause of a garbage collector is no stall.
const LEAST: Duration = Duration::from_millis(250);
/// Allowed while nothing is known to be usual.
const UNKNOWN: Duration = Duration::from_secs(1);
/// Times what is usual.
const FACTOR: u32 = 8;

/// Who waits at one endpoint, when it last answered anything, and how long silence is allowed there.
#[derive(Clone, Debug, Default)]
pub(super) struct Silence {
    pub pending: Option<Pending>,
    /// The newest answer of any kind, to a request or to a probe.
    answered: Moment,
    /// When a probe was last asked for.
    asked: Option<Moment>,
    patience: Patience,
}

/// Kept, since it changes far less often than it is asked for.
#[derive(Clone, Copy, Debug)]
struct Patience {
    allowed: Duration,
    /// A probe is asked for after so long.
    quarter: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience::of(None)
    }
}

impl Patience {
    /// Where heads usually take `usual` (99 of 100).
    fn of(usual: Option<Duration>) -> Patience {
        let allowed = usual.map_or(UNKNOWN, |usual| usual.saturating_mul(FACTOR).max(LEAST));
        Patience { allowed, quarter: allowed / 4 }
    }
}

impl Silence {
    /// 99 of 100 heads take at most `usual` now.
    pub(super) fn adopt(&mut self, usual: Option<Duration>) {
        self.patience = Patience::of(usual);
    }

    /// How long silence is allowed.
    pub(super) fn allowed(&self) -> Duration {
        self.patience.allowed
    }

    /// Something was answered.
    pub(super) fn note_answer(&mut self, at: Moment) {
        self.answered = self.answered.max(at);
    }

    /// Since when it has been silent although asked; `None` where too few wait.
    fn since(&self) -> Option<Moment> {
        self.pending.filter(|pending| pending.count >= ENOUGH && pending.from == Askers::Several).map(|pending| {
            let Pending { oldest, .. } = pending;
            oldest.max(self.answered)
        })
    }

    /// When it is stalled if nothing is answered until then.
    pub(super) fn stalls_at(&self) -> Option<Moment> {
        Some(self.since()?.after(self.patience.allowed))
    }

    /// When a probe is due because of the silence; `None` once it was asked for.
    pub(super) fn probe_at(&self) -> Option<Moment> {
        let since = self.since()?;
        (!self.has_asked(since)).then(|| since.after(self.patience.quarter))
    }

    /// What is due next if nothing is answered until then: to ask by a probe, and after that to find it stalled.
    #[inline]
    pub(super) fn deadline(&self) -> Option<(Moment, Why)> {
        let since = self.since()?;
        Some(match self.has_asked(since) {
            false => (since.after(self.patience.quarter), Why::SilenceProbe),
            true => (since.after(self.patience.allowed), Why::SilenceOver),
        })
    }

    fn has_asked(&self, since: Moment) -> bool {
        self.asked.is_some_and(|asked| asked >= since)
    }

    /// A probe was asked for.
    pub(super) fn note_asked(&mut self, now: Moment) {
        self.asked = Some(now);
    }

    /// How many wait, for how long the oldest, how long it has been silent.
    pub(super) fn numbers(&self, now: Moment) -> (u32, Duration, Duration) {
        let waits = self.pending.map_or((0, Duration::ZERO), |pending| (pending.count, now.since(pending.oldest)));
        (waits.0, waits.1, now.since(self.answered))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::secs;
    use super::*;

    fn waiting(count: u32, oldest: u64, from: Askers) -> Silence {
        let pending = Some(Pending { count, oldest: secs(oldest), from });
        Silence { pending, ..Silence::default() }
    }

    #[test]
    fn five_of_several_askers_stall_it_and_four_or_one_asker_do_not() {
        let mut several = waiting(5, 1, Askers::Several);
        several.adopt(Some(Duration::from_millis(5)));
        assert_eq!(several.stalls_at(), Some(secs(1).after(LEAST)));
        assert_eq!(waiting(4, 1, Askers::Several).stalls_at(), None);
        assert_eq!(waiting(500, 1, Askers::One).stalls_at(), None);
    }

    #[test]
    fn any_answer_begins_the_silence_anew() {
        let mut silence = waiting(5, 1, Askers::Several);
        silence.note_answer(secs(3));
        silence.note_answer(secs(2));
        assert_eq!(silence.stalls_at(), Some(secs(4)));
    }

    #[test]
    fn a_slow_site_is_allowed_eight_times_what_is_usual() {
        let allowed = |usual| Patience::of(usual).allowed;
        assert_eq!(allowed(Some(Duration::from_millis(500))), Duration::from_secs(4));
        assert_eq!(allowed(Some(Duration::from_millis(1))), LEAST);
        assert_eq!(allowed(None), UNKNOWN);
    }

    #[test]
    fn a_probe_is_asked_for_once_a_silence_after_a_quarter_of_the_time() {
        let mut silence = waiting(5, 1, Askers::Several);
        assert_eq!(silence.probe_at(), Some(secs(1).after(LEAST)));
        silence.note_asked(secs(2));
        assert_eq!(silence.probe_at(), None);
        silence.note_answer(secs(3));
        assert_eq!(silence.probe_at(), Some(secs(3).after(LEAST)));
    }
}
