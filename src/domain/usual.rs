//! How long an endpoint's heads usually take: the last five minutes while it was up, trouble left out.
//!
//! Counts by bucket for each minute, so that what is old falls off without a list of answers. The percentile is the upper
//! bound of its bucket: it is used as a limit, and erring towards patience is the safe side.
//!
//! Not here: what is done with it (`silence`, and later the delay of hedges).

use super::evidence::HeadTimes;
use super::units::Moment;
use std::time::Duration;

const MINUTE: u64 = 60;
const MINUTES: usize = 5;
/// Fewer answers say nothing.
const ENOUGH: u32 = 100;

#[derive(Clone, Debug, Default)]
pub(super) struct Usual {
    /// By minute since the start of the process, the newest and the four before it.
    minutes: [Counts; MINUTES],
    newest: u64,
    /// Of all those minutes.
    sums: Counts,
    /// Answers counted since `p99` was made.
    fresh: u32,
    p99: Option<Duration>,
}

/// By bucket. They wrap at 2^32: no endpoint gives so many answers in five minutes, and it keeps this loop, which runs with
/// nearly every tally, to a few vector additions.
#[derive(Clone, Copy, Debug, Default)]
struct Counts(HeadTimes);

impl Counts {
    fn add(&mut self, more: &HeadTimes) {
        self.0.0.iter_mut().zip(&more.0).for_each(|(count, more)| *count = count.wrapping_add(*more));
    }
}

impl Usual {
    /// Counts heads.
    pub(super) fn note(&mut self, now: Moment, heads: &HeadTimes) {
        let minute = now.since_start().as_secs() / MINUTE;
        if minute != self.newest {
            self.roll(minute);
        }
        self.minutes[index(minute)].add(heads);
        self.sums.add(heads);
        let added = heads.0.iter().fold(0u32, |sum, count| sum.wrapping_add(*count));
        self.fresh = self.fresh.saturating_add(added);
        if self.fresh >= ENOUGH {
            self.renew();
        }
    }

    /// 99 of 100 heads take at most this long; `None` until enough were seen.
    pub(super) fn p99(&self) -> Option<Duration> {
        self.p99
    }

    fn roll(&mut self, minute: u64) {
        let passed = minute.saturating_sub(self.newest).min(MINUTES as u64);
        for back in 0..passed {
            self.minutes[index(minute - back)] = Counts::default();
        }
        self.newest = minute;
        self.sums = Counts::default();
        self.minutes.iter().for_each(|minute| self.sums.add(&minute.0));
        self.renew();
    }

    fn renew(&mut self) {
        self.fresh = 0;
        let sums = &self.sums.0.0;
        let total: u64 = sums.iter().map(|count| u64::from(*count)).sum();
        if total < u64::from(ENOUGH) {
            self.p99 = None;
            return;
        }
        // From the slowest down: of those there are few.
        let slower = total - (total * 99).div_ceil(100);
        let mut counted = 0;
        let bucket = sums.iter().rposition(|count| {
            counted += u64::from(*count);
            counted > slower
        });
        let past_all = HeadTimes::BOUNDS[HeadTimes::BOUNDS.len() - 1];
        let micros = bucket.and_then(|bucket| HeadTimes::BOUNDS.get(bucket)).copied().unwrap_or(past_all);
        self.p99 = Some(Duration::from_micros(micros));
    }
}

fn index(minute: u64) -> usize {
    usize::try_from(minute % MINUTES as u64).expect("less than five")
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
        usual.note(secs(1), &heads(900, 100));
        assert_eq!(usual.p99(), Some(Duration::from_secs(1)));
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
