//! The score: how real requests' answers at one endpoint add up to a verdict.
//!
//! A CUSUM (Page 1954) that tells 1 % of noise from 20 % broken: each failure adds [`FAILURE`], each good answer takes off
//! [`GOOD`], never below zero nor above `trip`. It needs no window and works at any rate of traffic: 30 % failing trips
//! after about thirty requests, all failing after seven, and 1 % failing never does. Beside it stand the run of failures in
//! a row, and the run of those that are refused connects: both are quicker than the score when nothing is answered.
//!
//! **A delta has no order inside**, so its failures are spread evenly among its good answers. At 5,000 requests a second a
//! delta of 50 ms holds 250 requests; failures first would let a handful of noise climb to `trip` before a good answer
//! counts against it, and good answers first would do the same from zero, for what they take off below zero is lost. Only
//! the failures that are known to have come last (`TallyDelta::trailing`) are put last.
//!
//! Integers in thousandths of a point: the same inputs give the same verdict on any machine.
//!
//! Not here: what a verdict leads to (`endpoint`), and when it has to wait (`backend`).

use super::evidence::{FailureCounts, FailureKind, TallyDelta};
use super::setup::Rules;
use super::transition::Evidence;
use super::units::Moment;

/// What a failure adds, in thousandths of a point.
const FAILURE: u64 = 3_000;
/// What a good answer takes off: the balance lies at one failure in fifteen, between noise and trouble.
const GOOD: u64 = 213;
/// Thousandths in a point.
const POINT: u64 = 1_000;

/// What the counts prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// `consecutive` connects in a row were refused.
    Refused,
    /// `consecutive` requests in a row failed.
    InARow,
    /// The score is at `trip`.
    Tripped,
}

/// One endpoint's score, with the counts it is explained by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Score {
    /// In thousandths of a point, 0 ..= trip.
    points: u64,
    /// Failures since the last good answer.
    in_a_row: u32,
    /// Refused connects since anything else.
    refused_in_a_row: u32,
    /// All requests since `since`, when the score left zero; nothing while it is zero.
    failed: FailureCounts,
    of: u32,
    since: Moment,
}

impl Score {
    /// Counts a delta. A delta that reaches `trip` ends there, whatever good answers may have followed inside it: what was
    /// reached is acted on, as it would have been had the requests been told one by one.
    pub(super) fn note(&mut self, now: Moment, delta: &TallyDelta, rules: &Rules) {
        self.note_runs(delta);
        let failed = delta.failed.total();
        if self.points == 0 {
            if failed == 0 {
                return;
            }
            self.since = now;
        }
        for kind in FailureKind::ALL {
            self.failed.add(kind, delta.failed.of(kind));
        }
        self.of = self.of.saturating_add(delta.good).saturating_add(failed);

        let last = if delta.good == 0 { failed } else { delta.trailing.min(failed) };
        let points = spread(self.points, delta.good.into(), (failed - last).into(), trip_of(rules));
        self.points = (points + FAILURE * u64::from(last)).min(trip_of(rules));
        if self.points == 0 {
            self.failed = FailureCounts::default();
            self.of = 0;
        }
    }

    fn note_runs(&mut self, delta: &TallyDelta) {
        let failed = delta.failed.total();
        let refused = delta.failed.of(FailureKind::Refused);
        let trailing = if delta.good == 0 { failed } else { delta.trailing.min(failed) };
        self.in_a_row = if delta.good == 0 { self.in_a_row.saturating_add(failed) } else { trailing };
        // Among a delta's failures the refusals are taken for the last: nobody listens *now*, while resets and timeouts tell
        // of connections from before. A killed process gives both at once, and it is back as soon as it listens again.
        self.refused_in_a_row = if delta.good == 0 && refused == failed {
            self.refused_in_a_row.saturating_add(refused)
        } else {
            refused.min(trailing)
        };
    }

    /// What the counts prove as they stand; refusals first, for they are the plainest.
    pub(super) fn verdict(&self, rules: &Rules) -> Option<Verdict> {
        if self.refused_in_a_row >= rules.consecutive {
            Some(Verdict::Refused)
        } else if self.in_a_row >= rules.consecutive {
            Some(Verdict::InARow)
        } else if self.points >= trip_of(rules) {
            Some(Verdict::Tripped)
        } else {
            None
        }
    }

    /// New rules: a score past a lower `trip` stands at it.
    pub(super) fn adopt(&mut self, rules: &Rules) {
        self.points = self.points.min(trip_of(rules));
    }

    /// The counts beside their thresholds.
    pub(super) fn evidence(&self, rules: &Rules) -> Evidence {
        Evidence::Requests {
            failed: self.failed,
            of: self.of,
            since: self.since,
            score: in_points(self.points),
            trip: rules.trip,
            in_a_row: self.in_a_row,
            consecutive: rules.consecutive,
        }
    }

    /// Whether the points are between zero and `trip`, and counts are kept only above zero.
    pub(super) fn is_sound(&self, rules: &Rules) -> bool {
        self.points <= trip_of(rules) && (self.points > 0 || self.of == 0)
    }

    /// Whether nothing speaks against the endpoint.
    pub(super) fn is_clear(&self) -> bool {
        self.points == 0 && self.in_a_row == 0 && self.refused_in_a_row == 0
    }
}

fn trip_of(rules: &Rules) -> u64 {
    POINT * u64::from(rules.trip)
}

/// Points for people; the few that pass `u32` (a `trip` of millions) are told as its end.
fn in_points(points: u64) -> f64 {
    f64::from(u32::try_from(points).unwrap_or(u32::MAX)) / 1_000.0
}

/// Where `points` stand after `failed` failures spread evenly among `good` answers: half a gap of good answers, a failure, a
/// gap, a failure, …, half a gap. At `trip` if any failure reached it. In closed form: a delta's size is whatever traffic is.
fn spread(points: u64, good: u64, failed: u64, trip: u64) -> u64 {
    let taken_off = GOOD * good;
    let Some(more) = failed.checked_sub(1) else {
        return points.saturating_sub(taken_off);
    };
    let gap = taken_off / failed;
    let first = points.saturating_sub(gap / 2) + FAILURE;
    // From one failure to the next the points move by FAILURE - gap, and after a failure they are never below FAILURE.
    let last = if gap <= FAILURE {
        first + more * (FAILURE - gap)
    } else {
        first.saturating_sub(more * (gap - FAILURE)).max(FAILURE)
    };
    if first.max(last) >= trip { trip } else { last.saturating_sub(taken_off - gap * more - gap / 2) }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{answered, failing, refused, rules};
    use super::*;
    use proptest::prelude::*;

    fn noted(deltas: &[TallyDelta]) -> Score {
        let mut score = Score::default();
        for delta in deltas {
            score.note(Moment::ZERO, delta, &rules());
        }
        score
    }

    fn mixed(good: u32, failed: u32) -> TallyDelta {
        TallyDelta { good, failed: failing(failed).failed, trailing: 0 }
    }

    #[test]
    fn a_failure_weighs_three_points_and_fifteen_good_answers_clear_it() {
        assert_eq!(noted(&[failing(1)]).points, 3_000);
        assert_eq!(noted(&[failing(1), answered(14)]).points, 18);
        assert!(noted(&[failing(1), answered(15)]).is_clear());
    }

    #[test]
    fn the_score_never_leaves_zero_to_trip() {
        assert_eq!(noted(&[answered(u32::MAX)]).points, 0);
        assert_eq!(noted(&[failing(u32::MAX), failing(u32::MAX)]).points, 20_000);
        assert_eq!(noted(&[mixed(u32::MAX, u32::MAX)]).points, 20_000);
    }

    #[test]
    fn seven_failures_trip_and_five_in_a_row_are_a_verdict_before_that() {
        assert_eq!(noted(&[failing(4)]).verdict(&rules()), None);
        assert_eq!(noted(&[failing(2), failing(3)]).verdict(&rules()), Some(Verdict::InARow));
        let apart: Vec<_> = [failing(4), answered(1), failing(4)].into();
        assert_eq!(noted(&apart).verdict(&rules()), Some(Verdict::Tripped));
    }

    #[test]
    fn a_good_answer_ends_the_run_but_for_what_certainly_came_after_it() {
        let ends = TallyDelta { trailing: 1, ..mixed(1, 3) };
        assert_eq!(noted(&[failing(4), ends]).in_a_row, 1);
        assert_eq!(noted(&[failing(4), ends, failing(3)]).in_a_row, 4);
        assert_eq!(noted(&[failing(u32::MAX), failing(2)]).in_a_row, u32::MAX);
    }

    #[test]
    fn refusals_in_a_row_are_told_from_other_failures() {
        assert_eq!(noted(&[refused(5)]).verdict(&rules()), Some(Verdict::Refused));
        assert_eq!(noted(&[refused(4), failing(1)]).verdict(&rules()), Some(Verdict::InARow));
        assert_eq!(noted(&[refused(4), answered(1), refused(4)]).verdict(&rules()), Some(Verdict::Tripped));
    }

    #[test]
    fn a_killed_process_is_refused_though_its_last_connections_were_reset() {
        let mut delta = refused(5);
        delta.failed.add(FailureKind::Reset, 3);
        delta.trailing = 8;
        assert_eq!(noted(&[delta]).verdict(&rules()), Some(Verdict::Refused));
    }

    #[test]
    fn the_counts_begin_when_the_score_leaves_zero() {
        let mut score = Score::default();
        let at = |millis| Moment::at(std::time::Duration::from_millis(millis));
        score.note(at(1), &answered(100), &rules());
        score.note(at(2), &failing(1), &rules());
        score.note(at(3), &answered(15), &rules());
        score.note(at(4), &failing(2), &rules());
        score.note(at(5), &answered(3), &rules());
        let Evidence::Requests { failed, of, since, score, .. } = score.evidence(&rules()) else { panic!() };
        assert_eq!((failed.of(FailureKind::Status), of, since, score), (2, 5, at(4), 5.361));
    }

    #[test]
    fn a_lower_trip_takes_the_score_down_to_it() {
        let mut score = noted(&[failing(4)]);
        score.adopt(&Rules { trip: 2, ..rules() });
        assert_eq!(score.points, 2_000);
    }

    /// The same walk, one request at a time, with the good answers between two failures taken off at once.
    fn walked(points: u64, good: u64, failed: u64, trip: u64) -> u64 {
        let gap = GOOD * good / failed.max(1);
        let mut points = points;
        let mut left = GOOD * good;
        for n in 0..failed {
            let off = if n == 0 { gap / 2 } else { gap };
            left -= off;
            points = points.saturating_sub(off) + FAILURE;
            if points >= trip {
                return trip;
            }
        }
        points.saturating_sub(left)
    }

    proptest! {
        #[test]
        fn the_closed_form_is_the_walk(points in 0u64..=40_000, good in 0u64..400, failed in 0u64..400, trip in 1u64..=40) {
            let trip = trip * POINT;
            let points = points.min(trip);
            prop_assert_eq!(spread(points, good, failed, trip), walked(points, good, failed, trip));
        }

        #[test]
        fn a_delta_of_one_kind_may_be_cut_anywhere(n in 1u32..40, cut in 0u32..40) {
            let cut = cut.min(n);
            prop_assert_eq!(noted(&[failing(n)]).points, noted(&[failing(cut), failing(n - cut)]).points);
            let hurt = failing(5);
            prop_assert_eq!(noted(&[hurt, answered(n)]).points, noted(&[hurt, answered(cut), answered(n - cut)]).points);
        }
    }
}
