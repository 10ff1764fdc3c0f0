//! Intermittency: a fault that comes and goes is remembered after the next good answer.
//!
//! An *errored second* has two weighted failures (or nothing else), and at least 2 % failing (after ITU-T G.826's errored
//! seconds). Each adds one to a count that halves every 30 minutes; the seconds of an outage that led to a failover count as ten
//! together. At the threshold the endpoint is intermittent, until the count has halved. Two, because at 20 requests a second one
//! failure is 5 %, and a thousandth of noise would add up to 52.
//!
//! Integers throughout: the decay is by whole seconds, with a factor in 2⁻³² per second.
//!
//! Not here: what intermittency leads to (`endpoint`, `failback`).

use super::transition::{Evidence, Steadiness};
use super::units::Moment;
use std::time::Duration;

/// One errored second.
const ONE: u64 = 1_000;
/// An outage that led to a failover.
const OUTAGE: u64 = 10 * ONE;
/// Failing, of a hundred.
const PERCENT: u64 = 2;
/// 2^(−1/1800) in 2⁻³²: halves in 1,800 s.
const A_SECOND: u64 = 4_293_313_701;

#[derive(Clone, Debug, Default)]
pub(super) struct Errored {
    /// In thousandths, as of the second `at`.
    count: u64,
    at: u64,
    second: Second,
    steadiness: Option<Intermittent>,
    /// The count when the present trouble began.
    before: Option<u64>,
}

/// The second that is being counted.
#[derive(Clone, Debug, Default)]
struct Second {
    number: u64,
    weighted: u32,
    of: u32,
}

/// Since it was found to be intermittent: the count that it must be down to.
#[derive(Clone, Copy, Debug)]
struct Intermittent {
    until_below: u64,
}

impl Errored {
    /// Counts requests: how many failed with weight, of how many. `Some`: it has become intermittent.
    pub(super) fn note(&mut self, now: Moment, weighted: u32, of: u32, threshold: u32) -> Option<Evidence> {
        let number = now.since_start().as_secs();
        let found = if number == self.second.number { None } else { self.close(number, threshold) };
        if weighted > 0 && self.before.is_none() {
            self.before = Some(self.value(number));
        }
        self.second.weighted = self.second.weighted.saturating_add(weighted);
        self.second.of = self.second.of.saturating_add(of);
        found
    }

    /// Nothing speaks against the endpoint any more: the present trouble, if there was any, led to nothing.
    pub(super) fn note_clear(&mut self) {
        self.before = None;
    }

    /// The present trouble led to a failover. `Some`: it has become intermittent.
    pub(super) fn note_outage(&mut self, now: Moment, threshold: u32) -> Option<Evidence> {
        let number = now.since_start().as_secs();
        let before = self.before.take().unwrap_or_else(|| self.value(number));
        let together = before + OUTAGE;
        // A failover never makes an endpoint steady that was found to be intermittent in the very trouble.
        let count = if self.steadiness.is_some() { together.max(self.value(number)) } else { together };
        (self.count, self.at) = (count, number);
        self.second = Second { number, ..Second::default() };
        self.judge(threshold)
    }

    fn close(&mut self, number: u64, threshold: u32) -> Option<Evidence> {
        let Second { number: then, weighted, of } =
            std::mem::replace(&mut self.second, Second { number, weighted: 0, of: 0 });
        let several = weighted >= 2 || weighted == of;
        if weighted == 0 || !several || u64::from(weighted) * 100 < PERCENT * u64::from(of) {
            return None;
        }
        (self.count, self.at) = (self.value(then) + ONE, then);
        self.judge(threshold)
    }

    fn judge(&mut self, threshold: u32) -> Option<Evidence> {
        if self.steadiness.is_some() || self.count < ONE * u64::from(threshold) {
            // A new errored second while it is intermittent puts off the end: it must halve from where it stands now.
            if let Some(found) = &mut self.steadiness {
                found.until_below = found.until_below.max(self.count / 2);
            }
            return None;
        }
        self.steadiness = Some(Intermittent { until_below: self.count / 2 });
        Some(self.evidence(threshold))
    }

    pub(super) fn steadiness(&self) -> Steadiness {
        if self.steadiness.is_some() { Steadiness::Intermittent } else { Steadiness::Steady }
    }

    /// When it has halved, if nothing more comes.
    pub(super) fn calm_at(&self) -> Option<Moment> {
        let Intermittent { until_below } = self.steadiness?;
        // At most 30 minutes for a halving, and a second for rounding; the decay falls with time, so halving the span finds it.
        let (mut low, mut high) = (0, 2 * 1_800);
        while low < high {
            let middle = (low + high) / 2;
            if decayed(self.count, middle) <= until_below { high = middle } else { low = middle + 1 }
        }
        Some(Moment::at(Duration::from_secs(self.at + low)))
    }

    /// Ends the intermittency.
    pub(super) fn calm(&mut self, threshold: u32) -> Evidence {
        self.steadiness = None;
        self.evidence(threshold)
    }

    fn value(&self, number: u64) -> u64 {
        decayed(self.count, number.saturating_sub(self.at))
    }

    pub(super) fn evidence(&self, threshold: u32) -> Evidence {
        Evidence::ErroredSeconds { count: u32::try_from(self.count / ONE).unwrap_or(u32::MAX), threshold }
    }
}

/// What is left of `count` after so many seconds.
fn decayed(count: u64, seconds: u64) -> u64 {
    let (mut factor, mut base, mut left) = (1u128 << 32, u128::from(A_SECOND), seconds);
    while left > 0 {
        if left & 1 == 1 {
            factor = (factor * base) >> 32;
        }
        base = (base * base) >> 32;
        left >>= 1;
    }
    u64::try_from((u128::from(count) * factor) >> 32).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::secs;
    use super::*;

    /// A second with so many weighted failures of so many requests, and the begin of the next.
    fn second(errored: &mut Errored, number: u64, weighted: u32, of: u32) -> Option<Evidence> {
        errored.note(secs(number), weighted, of, 20);
        errored.note(secs(number + 1), 0, 0, 20)
    }

    #[test]
    fn it_halves_in_half_an_hour() {
        assert!((499..=500).contains(&decayed(1_000, 1_800)), "{}", decayed(1_000, 1_800));
        assert!((249..=250).contains(&decayed(1_000, 3_600)), "{}", decayed(1_000, 3_600));
        assert_eq!((decayed(1_000, 0), decayed(7, u64::MAX)), (1_000, 0));
    }

    #[test]
    fn a_second_counts_with_two_percent_failing_and_not_with_less() {
        let mut errored = Errored::default();
        second(&mut errored, 1, 2, 100);
        assert_eq!(errored.count, ONE);
        second(&mut errored, 3, 2, 101);
        second(&mut errored, 5, 0, 51);
        assert_eq!(errored.count, ONE);
        second(&mut errored, 7, 1, 20);
        assert_eq!(errored.count, ONE, "one among others is noise");
        second(&mut errored, 9, 1, 1);
        assert!(errored.count > ONE);
    }

    #[test]
    fn twenty_errored_seconds_make_it_intermittent_until_they_have_halved() {
        let mut errored = Errored::default();
        let found = (0..30).find_map(|n| second(&mut errored, 2 * n, 10, 100).map(|_| n));
        assert_eq!(found, Some(20), "twenty, and one for what decays meanwhile");
        let calm = errored.calm_at().unwrap();
        assert!((1_795..=1_805).contains(&calm.since(secs(40)).as_secs()), "{calm}");
        errored.calm(20);
        assert_eq!((errored.steadiness(), errored.calm_at()), (Steadiness::Steady, None));
    }

    #[test]
    fn a_failover_does_not_make_an_intermittent_endpoint_steady() {
        let mut errored = Errored::default();
        for n in 0..50 {
            errored.note(secs(n), 5, 5, 20);
        }
        assert_eq!(errored.steadiness(), Steadiness::Intermittent);
        errored.note_outage(secs(50), 20);
        assert!(errored.calm_at() > Some(secs(50)), "{errored:?}");
    }

    #[test]
    fn an_outage_counts_as_ten_however_long_it_was_seen() {
        for seen in [0, 3, 15] {
            let mut errored = Errored::default();
            for n in 0..seen {
                assert_eq!(errored.note(secs(n), 5, 5, 20), None);
            }
            assert_eq!(errored.note_outage(secs(seen), 20), None);
            assert_eq!(errored.count, OUTAGE, "{seen} seconds");
        }
    }
}
