//! How long a client may still keep us waiting: time that waiting uses up and bytes bring back, never more of it than at the start.
//! So one that stands still is given up after all of it, one that goes on below the least rate after a while, and one that is fast
//! again has all of it again.
//!
//! Not here: what is waited for, and what becomes of a client that is too slow (`edge`, `upstream`).

use crate::domain::Moment;
use std::time::Duration;

/// What is left of one client's time.
#[derive(Clone, Copy, Debug)]
pub struct Grace {
    most: Duration,
    left: Duration,
    /// Bytes a second; at 0 any byte brings all of it back.
    min_rate: u64,
    /// Since when the client is waited for; `None`: it is somebody else's turn.
    since: Option<Moment>,
}

impl Grace {
    pub fn new(most: Duration, min_rate: u64) -> Grace {
        Grace { most, left: most, min_rate, since: None }
    }

    /// Until when the client is waited for. The wait begins now, if it has not.
    pub fn due(&mut self, now: impl FnOnce() -> Moment) -> Moment {
        self.since.get_or_insert_with(now).after(self.left)
    }

    /// So many bytes came: the wait, if there was one, is over and paid for.
    pub fn moved(&mut self, now: Moment, bytes: u64) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(now.since(since));
        }
        let earned = match (u128::from(bytes) * 1_000_000_000).checked_div(u128::from(self.min_rate)) {
            Some(nanos) => Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
            None if bytes == 0 => Duration::ZERO,
            None => self.most,
        };
        self.left = self.left.saturating_add(earned).min(self.most);
    }

    /// It is somebody else's turn. What of the wait was the client's nobody knows any more, and it is not charged.
    pub fn pause(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    /// How many seconds a client lasts that sends so many bytes every second, in pieces of so many, of at most 1,000.
    fn seconds_of(bytes: u64, piece: u64, min_rate: u64) -> u64 {
        let mut grace = Grace::new(10 * SECOND, min_rate);
        let pause = SECOND.checked_div(u32::try_from(bytes / piece).unwrap()).unwrap_or(SECOND);
        let mut now = Moment::ZERO;
        while now < at(1_000) && grace.due(|| now) > now.after(pause) {
            now = now.after(pause);
            grace.moved(now, piece.min(bytes));
        }
        now.since(Moment::ZERO).as_secs()
    }

    #[test]
    fn below_the_least_rate_it_ends_sooner_or_later_and_at_it_never() {
        assert_eq!(seconds_of(0, 1, 100), 9);
        assert_eq!(seconds_of(50, 50, 100), 18);
        assert_eq!(seconds_of(90, 90, 100), 90);
        assert_eq!(seconds_of(100, 100, 100), 1_000);
        assert_eq!(seconds_of(1, 1, 0), 1_000, "without a rate any byte will do");
        assert_eq!(seconds_of(0, 1, 0), 9);
    }

    #[test]
    fn small_pieces_count_as_much_as_large_ones() {
        assert_eq!(seconds_of(3 * 1_009, 1, 1_009), 1_000, "a byte at a time, three times the rate");
        assert_eq!(seconds_of(2 << 20, 1_024, 1 << 20), 1_000);
        assert!(seconds_of(504, 1, 1_009).abs_diff(seconds_of(504, 504, 1_009)) <= 1, "half the rate");
    }

    #[test]
    fn what_was_sent_fast_is_not_saved_up() {
        let mut grace = Grace::new(10 * SECOND, 100);
        grace.moved(at(0), u64::MAX);
        assert_eq!(grace.due(|| at(0)), at(10));
        grace.moved(at(11), 0);
        assert_eq!(grace.due(|| at(11)), at(11));
        grace.moved(at(11), 300);
        assert_eq!(grace.due(|| at(11)), at(14));
    }

    #[test]
    fn what_is_not_the_clients_is_not_charged() {
        let mut grace = Grace::new(10 * SECOND, 100);
        assert_eq!(grace.due(|| at(0)), at(10));
        grace.pause();
        assert_eq!(grace.due(|| at(60)), at(70));
        assert_eq!(grace.due(|| at(65)), at(70), "the wait goes on");
    }
}
