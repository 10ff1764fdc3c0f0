//! How long a client may still keep us waiting: time that waiting uses up and bytes bring back, never more of it than at the start.
//! So one that stands still is given up after all of it, one that goes on below the least rate after a while, and one that is fast
//! again has all of it again.
//!
//! Not here: what is waited for, and what becomes of a client that is too slow (`edge`, `upstream`).

use std::time::Duration;

/// What is left of one client's time.
#[derive(Clone, Copy, Debug)]
pub struct Grace {
    most: Duration,
    left: Duration,
    /// Bytes a second; at 0 any byte brings all of it back.
    min_rate: u64,
}

impl Grace {
    pub fn new(most: Duration, min_rate: u64) -> Grace {
        Grace { most, left: most, min_rate }
    }

    pub fn left(&self) -> Duration {
        self.left
    }

    pub fn waited(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }

    pub fn moved(&mut self, bytes: u64) {
        let earned = match bytes.saturating_mul(1_000).checked_div(self.min_rate) {
            Some(millis) => Duration::from_millis(millis),
            None if bytes == 0 => Duration::ZERO,
            None => self.most,
        };
        self.left = self.left.saturating_add(earned).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How often a client that sends so many bytes every second is waited for before it is given up, of at most 1,000 times.
    fn seconds_of(bytes: u64, min_rate: u64) -> u32 {
        let mut grace = Grace::new(10 * SECOND, min_rate);
        (0..1_000)
            .take_while(|_| {
                grace.waited(SECOND);
                let is_left = !grace.left().is_zero();
                grace.moved(bytes);
                is_left
            })
            .count()
            .try_into()
            .unwrap()
    }

    #[test]
    fn below_the_least_rate_it_ends_sooner_or_later_and_at_it_never() {
        assert_eq!(seconds_of(0, 100), 9);
        assert_eq!(seconds_of(50, 100), 18);
        assert_eq!(seconds_of(90, 100), 90);
        assert_eq!(seconds_of(100, 100), 1_000);
        assert_eq!(seconds_of(1, 0), 1_000, "without a rate any byte will do");
        assert_eq!(seconds_of(0, 0), 9);
    }

    #[test]
    fn what_was_sent_fast_is_not_saved_up() {
        let mut grace = Grace::new(10 * SECOND, 100);
        grace.moved(u64::MAX);
        assert_eq!(grace.left(), 10 * SECOND);
        grace.waited(11 * SECOND);
        assert_eq!(grace.left(), Duration::ZERO);
        grace.moved(300);
        assert_eq!(grace.left(), 3 * SECOND);
    }
}
