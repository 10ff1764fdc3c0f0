//! How long an endpoint's heads usually take: the last five minutes while it was up, trouble left out.
//!
//! Counts by bucket for each minute, so that what is old falls off without a list of answers. The percentile is the upper
//! bound of its bucket: it is used as a limit, and erring towards patience is the safe side.
//!
//! Not here: what is done with it (`silence`; the delay of hedges, `proxy::race`).

use super::evidence::HeadTimes;
use super::units::Moment;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const MINUTES: usize = 5;
/// Fewer answers say nothing.
const ENOUGH: u32 = 100;
/// What is known to be usual is looked at no more often: busy endpoints give so many answers with every few tallies.
const REST: Duration = Duration::from_secs(1);

/// Counts wrap at 2^32: no endpoint gives so many answers in five minutes.
#[derive(Clone, Debug)]
pub(super) struct Usual {
    /// The present minute, and when it ends.
    newest: HeadTimes,
    ends: Moment,
    /// The minutes before it, the latest first, and all of them together.
    before: [HeadTimes; MINUTES - 1],
    sums: HeadTimes,
    /// Answers counted since `most` was last looked at, and until when it is not looked at again.
    fresh: u32,
    rests: Moment,
    most: Option<Most>,
}

/// What most heads take at most, by the numbers of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Most {
    p95: usize,
    p99: usize,
}

/// Whether something else is usual now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    No,
    Yes,
}

impl Default for Usual {
    fn default() -> Usual {
        let (newest, before, sums) = (HeadTimes::default(), Default::default(), HeadTimes::default());
        Usual { newest, ends: Moment::at(MINUTE), before, sums, fresh: 0, rests: Moment::ZERO, most: None }
    }
}

impl Usual {
    /// Counts heads. This runs with nearly every tally: no more than is needed.
    #[inline]
    pub(super) fn note(&mut self, now: Moment, heads: &HeadTimes) -> Changed {
        if now >= self.ends {
            self.begin_minute(now);
        }
        self.newest.wrapping_add(heads);
        self.fresh = self.fresh.saturating_add(heads.total());
        if self.fresh < ENOUGH || now < self.rests {
            return Changed::No;
        }
        let most = self.find_most();
        self.fresh = 0;
        self.rests = if most.is_some() { now.after(REST) } else { now };
        if std::mem::replace(&mut self.most, most) == most { Changed::No } else { Changed::Yes }
    }

    /// 99 of 100 heads take at most this long, as of the last second; `None` until enough were seen.
    pub(super) fn p99(&self) -> Option<Duration> {
        self.most.map(|most| bound(most.p99))
    }

    /// 95 of 100, likewise.
    pub(super) fn p95(&self) -> Option<Duration> {
        self.most.map(|most| bound(most.p95))
    }

    /// Minutes are those since the start of the process.
    fn begin_minute(&mut self, now: Moment) {
        let passed = now.since(self.ends).as_secs() / MINUTE.as_secs();
        for _ in 0..=passed.min(MINUTES as u64) {
            self.before.rotate_right(1);
            self.before[0] = std::mem::take(&mut self.newest);
        }
        self.ends = self.ends.after(MINUTE * u32::try_from(passed + 1).unwrap_or(u32::MAX));
        self.sums = HeadTimes::default();
        self.before.iter().for_each(|minute| self.sums.wrapping_add(minute));
        (self.fresh, self.rests) = (ENOUGH, now); // what fell off changes it too
    }

    fn find_most(&self) -> Option<Most> {
        let mut sums = self.sums;
        sums.wrapping_add(&self.newest);
        if sums.total() < ENOUGH {
            return None;
        }
        // From the slowest down: of those there are few.
        let (total, counts) = (sums.total(), sums.by_bound());
        let mut counted = 0u32;
        let mut p99 = None;
        for (at, count) in counts.iter().enumerate().rev() {
            counted = counted.saturating_add(*count);
            if counted > total / 100 {
                p99 = p99.or(Some(at));
            }
            if counted > total / 20 {
                return p99.map(|p99| Most { p95: at, p99 });
            }
        }
        None
    }
}

/// Past all bounds it is the last.
fn bound(at: usize) -> Duration {
    let last = HeadTimes::BOUNDS.len() - 1;
    Duration::from_micros(HeadTimes::BOUNDS[at.min(last)])
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::secs;
    use super::*;

    fn heads(millis: u64, count: u32) -> HeadTimes {
        let mut heads = HeadTimes::default();
        heads.add(Duration::from_millis(millis), count);
        heads
    }

    #[test]
    fn nothing_is_usual_before_a_hundred_answers() {
        let mut usual = Usual::default();
        usual.note(secs(1), &heads(3, 99));
        assert_eq!(usual.p99(), None);
        usual.note(secs(2), &heads(3, 1));
        assert_eq!(usual.p99(), Some(Duration::from_millis(5)));
    }

    #[test]
    fn one_slow_answer_in_a_hundred_is_not_usual_and_two_are() {
        let mut usual = Usual::default();
        usual.note(secs(1), &heads(3, 99));
        usual.note(secs(1), &heads(900, 1));
        assert_eq!(usual.p99(), Some(Duration::from_millis(5)));
        usual.note(secs(2), &heads(900, 100));
        assert_eq!(usual.p99(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_is_known_is_looked_at_again_after_a_second_and_a_hundred_answers() {
        let mut usual = Usual::default();
        usual.note(secs(1), &heads(3, 100));
        usual.note(secs(1), &heads(900, 100));
        assert_eq!(usual.p99(), Some(Duration::from_millis(5)), "not yet a second");
        usual.note(secs(2), &heads(3, 1));
        assert_eq!(usual.p99(), Some(Duration::from_secs(1)));
        usual.note(secs(4), &heads(20_000, 99));
        assert_eq!(usual.p99(), Some(Duration::from_secs(1)), "not yet a hundred");
        usual.note(secs(4), &heads(20_000, 1));
        assert_eq!(usual.p99(), Some(Duration::from_secs(60)));
    }

    #[test]
    fn of_a_hundred_answers_five_may_be_slow_before_the_95th_is() {
        let mut usual = Usual::default();
        usual.note(secs(1), &heads(3, 95));
        usual.note(secs(1), &heads(900, 5));
        assert_eq!((usual.p95(), usual.p99()), (Some(Duration::from_millis(5)), Some(Duration::from_secs(1))));
        usual.note(secs(2), &heads(3, 94));
        usual.note(secs(2), &heads(900, 6));
        assert_eq!(usual.p95(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_is_older_than_five_minutes_is_forgotten() {
        let mut usual = Usual::default();
        usual.note(secs(1), &heads(900, 500));
        usual.note(secs(4 * 60 + 1), &heads(3, 500));
        assert_eq!(usual.p99(), Some(Duration::from_secs(1)));
        usual.note(secs(5 * 60 + 1), &heads(3, 500));
        assert_eq!(usual.p99(), Some(Duration::from_millis(5)));
        usual.note(secs(3_600), &heads(3, 1));
        assert_eq!(usual.p99(), None);
    }
}
