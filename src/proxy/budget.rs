//! How many retries and hedges a backend may cost: a storm of them must not finish a struggling pool. Worker-local integers, no lock.

use crate::domain::Moment;
use std::cell::Cell;
use std::time::Duration;

/// A bucket of tokens that requests and time fill and retries empty. It holds ten seconds of what it earns, at least its
/// floor, and starts full.
#[derive(Debug)]
pub struct Budget {
    rates: Rates,
    /// Thousandths of a token.
    level: Cell<u64>,
    /// Until when time was counted in.
    filled: Cell<Moment>,
    window: Cell<Window>,
}

/// What a bucket earns, in thousandths of a token.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    per_request: u64,
    per_second: u64,
    floor: u64,
}

/// What requests earned in the window that runs and in the one before it.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: Moment,
    earned: u64,
    before: u64,
}

const WINDOW: Duration = Duration::from_secs(10);

impl Budget {
    /// 0.2 a request and 10 a second; at least 100.
    pub const RETRIES: Rates = Rates { per_request: 200, per_second: 10_000, floor: 100_000 };

    /// 0.05 a request and 2 a second; at least 20.
    pub const HEDGES: Rates = Rates { per_request: 50, per_second: 2_000, floor: 20_000 };

    /// One of `workers` equal shares; what requests earn is each worker's own.
    pub fn new(rates: Rates, workers: usize, now: Moment) -> Budget {
        let share = workers.max(1) as u64;
        let rates = Rates { per_second: rates.per_second / share, floor: rates.floor / share, ..rates };
        Budget {
            rates,
            level: Cell::new(rates.floor),
            filled: Cell::new(now),
            window: Cell::new(Window { began: now, earned: 0, before: 0 }),
        }
    }

    /// A request came.
    pub fn earn(&self, now: Moment) {
        self.fill(now, self.rates.per_request);
    }

    /// Takes a token, if there is one.
    pub fn spend(&self, now: Moment) -> bool {
        self.fill(now, 0);
        let Some(left) = self.level.get().checked_sub(1_000) else { return false };
        self.level.set(left);
        true
    }

    fn fill(&self, now: Moment, by_request: u64) {
        // Whole milliseconds only; the rest is counted next time.
        let millis = u64::try_from(now.since(self.filled.get()).as_millis()).unwrap_or(u64::MAX);
        self.filled.set(self.filled.get().after(Duration::from_millis(millis)));
        let earned = by_request.saturating_add(self.rates.per_second.saturating_mul(millis) / 1_000);
        let mut window = self.window.get();
        let elapsed = now.since(window.began);
        if elapsed >= WINDOW {
            let before = if elapsed < 2 * WINDOW { window.earned } else { 0 };
            window = Window { began: now, earned: 0, before };
        }
        window.earned = window.earned.saturating_add(by_request);
        self.window.set(window);
        let ten_seconds = (self.rates.per_second * WINDOW.as_secs()).saturating_add(window.before.max(window.earned));
        let most = self.rates.floor.max(ten_seconds);
        self.level.set(self.level.get().saturating_add(earned).min(most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(millis))
    }

    fn spent(budget: &Budget, now: Moment) -> usize {
        std::iter::from_fn(|| budget.spend(now).then_some(())).count()
    }

    #[test]
    fn it_starts_full_and_is_used_up() {
        let budget = Budget::new(Budget::RETRIES, 2, at(0));
        assert_eq!(spent(&budget, at(0)), 50);
        assert!(!budget.spend(at(0)));
    }

    #[test]
    fn time_earns_ten_a_second_over_all_workers() {
        let budget = Budget::new(Budget::RETRIES, 2, at(0));
        spent(&budget, at(0));
        assert_eq!(spent(&budget, at(1_000)), 5);
    }

    #[test]
    fn looking_often_loses_no_time() {
        let budget = Budget::new(Budget::RETRIES, 1, at(0));
        spent(&budget, at(0));
        for millis in 1..=999 {
            budget.fill(at(millis), 0);
        }
        assert_eq!(spent(&budget, at(1_000)), 10);
    }

    #[test]
    fn five_requests_earn_one_retry() {
        let budget = Budget::new(Budget::RETRIES, 1, at(0));
        spent(&budget, at(0));
        for _ in 0..5 {
            budget.earn(at(0));
        }
        assert_eq!(spent(&budget, at(0)), 1);
    }

    #[test]
    fn a_busy_backend_saves_ten_seconds_worth_and_no_more() {
        let budget = Budget::new(Budget::RETRIES, 1, at(0));
        for millis in 0..30_000 {
            budget.earn(at(millis)); // 1,000 requests/s earn 210 a second
        }
        let saved = spent(&budget, at(30_000));
        assert!((2_000..=2_101).contains(&saved), "{saved}");
    }

    #[test]
    fn a_quiet_backend_saves_its_floor() {
        let budget = Budget::new(Budget::RETRIES, 1, at(0));
        budget.earn(at(3_600_000));
        assert_eq!(spent(&budget, at(3_600_000)), 100);
    }
}
