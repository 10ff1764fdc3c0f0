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
    minutes: [HeadTimes; MINUTES],
    /// Which minute since the start of the process each place holds; the newest.
    newest: u64,
    /// Answers counted since `p99` was made.
    fresh: u32,
    p99: Option<Duration>,
}

impl Usual {
    /// Counts heads.
    pub(super) fn note(&mut self, now: Moment, heads: &HeadTimes) {
        let minute = now.since_start().as_secs() / MINUTE;
        if minute != self.newest {
            self.roll(minute);
        }
        let place = &mut self.minutes[index(minute)].0;
        let mut added = 0u32;
        for (count, more) in place.iter_mut().zip(heads.0) {
            *count = count.saturating_add(more);
            added = added.saturating_add(more);
        }
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
            self.minutes[index(minute - back)] = HeadTimes::default();
        }
        self.newest = minute;
        self.renew();
    }

    fn renew(&mut self) {
        self.fresh = 0;
        let mut sums = [0u64; HeadTimes::BOUNDS.len() + 1];
        for minute in &self.minutes {
            sums.iter_mut().zip(minute.0).for_each(|(sum, count)| *sum += u64::from(count));
        }
        let total: u64 = sums.iter().sum();
        if total < u64::from(ENOUGH) {
            self.p99 = None;
            return;
        }
        let needed = (total * 99).div_ceil(100);
        let mut reached = 0;
        let bucket = sums.iter().position(|count| {
            reached += count;
            reached >= needed
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
