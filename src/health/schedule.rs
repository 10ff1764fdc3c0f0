//! When an endpoint's next probe is due. Pure: time, results and randomness are handed in.
//!
//! Not here: what the results prove (`domain`), how a probe is made (`probe`), who starts it (`prober`).

use crate::domain::{Health, Moment, ProbeResult};
use std::time::Duration;

/// The numbers of a backend that set the pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pace {
    /// From start to start, give or take a tenth, while nothing is in doubt.
    pub interval: Duration,
    /// From end to start while a verdict is near; never more than `interval`.
    pub fast_interval: Duration,
    pub fall: u32,
    pub rise: u32,
}

/// A random number from −1 to 1, drawn anew for each probe, that keeps endpoints from being probed in step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread(pub f64);

impl Spread {
    pub fn draw(rng: &mut fastrand::Rng) -> Spread {
        Spread(rng.f64() * 2.0 - 1.0)
    }
}

/// One endpoint's probes: at most one at a time, the first at once.
#[derive(Debug)]
pub struct Schedule {
    pace: Pace,
    phase: Phase,
    history: History,
    /// The side that the last verdict was on.
    side: Side,
    /// Results in a row against it.
    against: u32,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Waiting { due: Moment },
    Running { since: Moment, next: Next },
}

/// When the probe after this one comes.
#[derive(Clone, Copy, Debug)]
enum Next {
    AsUsual,
    /// Somebody asked for a verdict while this one ran.
    Soon,
}

#[derive(Clone, Copy, Debug)]
enum History {
    None,
    LastEnded(Moment),
}

/// What an endpoint's health means to its probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Failures would take it down.
    Up,
    /// Passes would bring it up.
    Down,
    /// It is watched for a while, which hurrying would defeat.
    Probation,
}

impl Side {
    fn of(health: Health) -> Side {
        match health {
            Health::Unproven | Health::Up { .. } | Health::Suspect { .. } => Side::Up,
            Health::Down(_) => Side::Down,
            Health::Probation { .. } => Side::Probation,
        }
    }
}

impl Schedule {
    /// The first probe is due now.
    pub fn new(now: Moment, pace: Pace) -> Schedule {
        let phase = Phase::Waiting { due: now };
        Schedule { pace, phase, history: History::None, side: Side::Up, against: 0 }
    }

    /// When the next probe is due; `None` while one runs.
    pub fn due(&self) -> Option<Moment> {
        match self.phase {
            Phase::Waiting { due } => Some(due),
            Phase::Running { .. } => None,
        }
    }

    /// Whether a probe has ended yet.
    pub fn has_history(&self) -> bool {
        matches!(self.history, History::LastEnded(_))
    }

    pub fn begin(&mut self, now: Moment) {
        self.phase = Phase::Running { since: now, next: Next::AsUsual };
    }

    /// The probe that runs ended; `health` is what the decision core made of it. Quick while a verdict is near: from the
    /// first failure of an endpoint that is up until it is down, from the first pass of one that is down until it is up (or
    /// has passed as often as is needed and still waits for its ejection to end).
    pub fn end(&mut self, now: Moment, result: ProbeResult, health: Health, spread: Spread) {
        let Phase::Running { since, next } = self.phase else { return };
        let side = Side::of(health);
        let needed = match (side, result) {
            (Side::Up, ProbeResult::Failed(_)) => Some(self.pace.fall),
            (Side::Down, ProbeResult::Passed) => Some(self.pace.rise),
            (Side::Up, ProbeResult::Passed)
            | (Side::Down, ProbeResult::Failed(_))
            | (Side::Up | Side::Down, ProbeResult::Void(_))
            | (Side::Probation, _) => None,
        };
        let run = if side == self.side { self.against } else { 0 };
        self.side = side;
        self.against = if needed.is_some() { run.saturating_add(1) } else { 0 };
        let near = needed.is_some_and(|needed| self.against < needed);
        let due = if near { now.after(self.pace.fast_interval) } else { self.usual(since, spread) };
        self.wait(now, next, due);
    }

    /// The probe that runs ended without a result, through no doing of the endpoint.
    pub fn void(&mut self, now: Moment, spread: Spread) {
        let Phase::Running { since, next } = self.phase else { return };
        self.wait(now, next, self.usual(since, spread));
    }

    /// Somebody waits for a verdict: the next probe is due now, or `fast_interval` after the last one ended.
    pub fn hurry(&mut self, now: Moment) {
        let earliest = match self.history {
            History::None => now,
            History::LastEnded(ended) => ended.after(self.pace.fast_interval).max(now),
        };
        match &mut self.phase {
            Phase::Waiting { due } => *due = earliest.min(*due),
            Phase::Running { next, .. } => *next = Next::Soon,
        }
    }

    /// The configuration has other numbers now; none of them makes a probe wait for longer than the new interval.
    pub fn set_pace(&mut self, now: Moment, pace: Pace) {
        self.pace = pace;
        if let Phase::Waiting { due } = &mut self.phase {
            *due = now.after(pace.interval).min(*due);
        }
    }

    /// The endpoint is to be probed in another way: what runs no longer counts, and the next probe is due now.
    pub fn restart(&mut self, now: Moment) {
        self.phase = Phase::Waiting { due: now };
    }

    /// An interval after the last start, give or take a tenth; after the very first probe, somewhere in the interval, so
    /// that a first round made all at once is never repeated all at once.
    fn usual(&self, since: Moment, Spread(spread): Spread) -> Moment {
        let interval = match self.history {
            History::None => {
                let slack = self.pace.interval.saturating_sub(self.pace.fast_interval);
                self.pace.fast_interval + slack.mul_f64((1.0 + spread) / 2.0)
            }
            History::LastEnded(_) => self.pace.interval.mul_f64(1.0 + 0.1 * spread),
        };
        since.after(interval)
    }

    fn wait(&mut self, now: Moment, next: Next, due: Moment) {
        let due = match next {
            Next::AsUsual => due,
            Next::Soon => due.min(now.after(self.pace.fast_interval)),
        };
        self.phase = Phase::Waiting { due: due.max(now) };
        self.history = History::LastEnded(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Out, ProbeFailure, Trial};

    const UP: Health = Health::Up { failures: 0 };
    const DOWN: Health = Health::Down(Out::ByProbes { passes: 0 });
    const PASSED: ProbeResult = ProbeResult::Passed;
    const FAILED: ProbeResult = ProbeResult::Failed(ProbeFailure::Timeout);
    const PACE: Pace =
        Pace { interval: Duration::from_secs(1), fast_interval: Duration::from_millis(250), fall: 3, rise: 2 };

    fn at(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(millis))
    }

    /// Begins at `begin`, ends at `end`, and says when the next is due, without jitter.
    fn probe(schedule: &mut Schedule, begin: u64, end: u64, result: ProbeResult, health: Health) -> Moment {
        schedule.begin(at(begin));
        assert_eq!(schedule.due(), None, "one at a time");
        schedule.end(at(end), result, health, Spread(0.0));
        schedule.due().unwrap()
    }

    fn settled() -> Schedule {
        let mut schedule = Schedule::new(at(0), PACE);
        probe(&mut schedule, 0, 10, PASSED, UP);
        schedule
    }

    #[test]
    fn the_first_probe_is_due_at_once_and_the_second_anywhere_in_the_interval() {
        for (spread, due) in [(-1.0, 250), (0.0, 625), (1.0, 1_000)] {
            let mut schedule = Schedule::new(at(0), PACE);
            assert_eq!(schedule.due(), Some(at(0)));
            assert!(!schedule.has_history());
            schedule.begin(at(0));
            schedule.end(at(10), PASSED, UP, Spread(spread));
            assert_eq!(schedule.due(), Some(at(due)));
            assert!(schedule.has_history());
        }
    }

    #[test]
    fn settled_probes_start_an_interval_apart_give_or_take_a_tenth() {
        for (spread, due) in [(-1.0, 1_900), (0.0, 2_000), (1.0, 2_100)] {
            let mut schedule = settled();
            schedule.begin(at(1_000));
            schedule.end(at(1_300), PASSED, UP, Spread(spread));
            assert_eq!(schedule.due(), Some(at(due)));
        }
    }

    #[test]
    fn a_probe_that_took_the_whole_interval_is_followed_at_once_never_in_the_past() {
        assert_eq!(probe(&mut settled(), 1_000, 2_500, PASSED, UP), at(2_500));
    }

    #[test]
    fn probes_hurry_from_the_first_failure_until_the_verdict() {
        let mut schedule = settled();
        assert_eq!(probe(&mut schedule, 1_000, 1_100, FAILED, UP), at(1_350));
        assert_eq!(probe(&mut schedule, 1_350, 1_450, FAILED, UP), at(1_700));
        assert_eq!(probe(&mut schedule, 1_700, 1_800, FAILED, DOWN), at(2_700));
        assert_eq!(probe(&mut schedule, 2_700, 2_800, FAILED, DOWN), at(3_700), "settled down");
    }

    #[test]
    fn one_failure_that_was_nothing_ends_the_hurry() {
        let mut schedule = settled();
        probe(&mut schedule, 1_000, 1_100, FAILED, UP);
        assert_eq!(probe(&mut schedule, 1_350, 1_360, PASSED, UP), at(2_350));
    }

    #[test]
    fn probes_hurry_from_the_first_pass_while_coming_up() {
        let mut schedule = settled();
        probe(&mut schedule, 1_000, 1_100, FAILED, DOWN);
        assert_eq!(probe(&mut schedule, 2_000, 2_010, PASSED, DOWN), at(2_260));
        assert_eq!(probe(&mut schedule, 2_260, 2_270, PASSED, UP), at(3_260));
    }

    #[test]
    fn an_ejected_endpoint_that_passes_is_not_hurried_until_its_time_is_over() {
        let ejected = Health::Down(Out::Ejected { until: at(60_000), passes: 0 });
        let mut schedule = settled();
        assert_eq!(probe(&mut schedule, 1_000, 1_010, PASSED, ejected), at(1_260));
        assert_eq!(probe(&mut schedule, 1_260, 1_270, PASSED, ejected), at(2_260), "rise passes: nothing to hurry for");
        assert_eq!(probe(&mut schedule, 2_260, 2_270, PASSED, ejected), at(3_260));
        assert_eq!(
            probe(&mut schedule, 3_260, 3_270, PASSED, Health::Probation { trial: Trial::default() }),
            at(4_260)
        );
    }

    #[test]
    fn a_verdict_asked_for_is_due_now_but_never_sooner_than_the_fast_interval() {
        let mut schedule = settled(); // ended at 10, due at 625
        schedule.hurry(at(20));
        assert_eq!(schedule.due(), Some(at(260)));
        schedule.hurry(at(300));
        assert_eq!(schedule.due(), Some(at(260)), "asking twice is asking once");
        let mut schedule = settled();
        schedule.hurry(at(400));
        assert_eq!(schedule.due(), Some(at(400)));
    }

    #[test]
    fn a_verdict_asked_for_while_a_probe_runs_brings_the_next_one_soon() {
        let mut schedule = settled();
        schedule.begin(at(1_000));
        schedule.hurry(at(1_010));
        schedule.end(at(1_100), PASSED, UP, Spread(0.0));
        assert_eq!(schedule.due(), Some(at(1_350)));
        assert_eq!(probe(&mut schedule, 1_350, 1_360, PASSED, UP), at(2_350), "once");
    }

    #[test]
    fn a_void_probe_changes_no_run() {
        let mut schedule = settled();
        probe(&mut schedule, 1_000, 1_100, FAILED, UP);
        schedule.begin(at(1_350));
        schedule.void(at(1_360), Spread(0.0));
        assert_eq!(schedule.due(), Some(at(2_350)));
        assert_eq!(probe(&mut schedule, 2_350, 2_360, FAILED, UP), at(2_610), "the second of three");
    }

    #[test]
    fn a_shorter_interval_counts_from_now_on() {
        let mut schedule = settled();
        probe(&mut schedule, 1_000, 1_010, PASSED, UP);
        schedule.set_pace(at(1_100), Pace { interval: Duration::from_millis(300), ..PACE });
        assert_eq!(schedule.due(), Some(at(1_400)));
    }
}
