//! The score: how real requests' answers at one endpoint, of one class, add up to a verdict.
//!
//! A CUSUM (Page 1954) that tells 1 % of noise from 20 % broken: each failure adds [`FAILURE`], each good answer takes off
//! [`GOOD`], never below zero nor above `trip`. It needs no window and works at any rate of traffic: 30 % failing trips
//! after about thirty requests, all failing after seven, and 1 % failing never does. Beside it stands the run of failures in
//! a row, which is quicker than the score when nothing is answered.
//!
//! **A delta has no order inside**, so its failures are spread evenly among its good answers. At 5,000 requests a second a
//! delta of 50 ms holds 250 requests; failures first would let a handful of noise climb to `trip` before a good answer
//! counts against it, and good answers first would do the same from zero, for what they take off below zero is lost. Only
//! the failures that are known to have come last (`TallyDelta::trailing`) are put last.
//!
//! **Diversity.** Between two zeros one client adds at most half of `trip`, and so does one path; to a run each adds at most
//! two: a single visitor, or a single page, among others, proves nothing about a data centre. Nobody is capped who is alone:
//! where no other client (path) was answered in the last minute, there is nobody to compare with.
//!
//! **Failing statuses of writes** wait until two paths are among them: one form that fails is a form, two are a full disk.
//!
//! Integers in thousandths of a point: the same inputs give the same verdict on any machine.
//!
//! Not here: how much a failure weighs (`findings`), what a verdict leads to (`endpoint`), when it has to wait (`backend`).

use super::evidence::{FailedRequest, FailureCounts, FailureKind, Variety};
use super::setup::Rules;
use super::transition::Evidence;
use super::units::{Class, Fingerprint, Moment};
use std::time::Duration;

/// What a failure adds, in thousandths of a point.
const FAILURE: u64 = 3_000;
/// What a good answer takes off: the balance lies at one failure in fifteen, between noise and trouble.
const GOOD: u64 = 213;
/// Thousandths in a point.
const POINT: u64 = 1_000;
/// What one client or path adds at most to a run, in half failures.
const RUN_CAP: u32 = 4;
/// How long somebody counts as answered lately.
const LATELY: Duration = Duration::from_secs(60);
/// Clients and paths told apart between two zeros: with so many different ones no cap is needed any more.
const TOLD_APART: usize = 32;
/// Failing statuses of writes that wait for a second path.
const HELD: usize = 16;

/// How much a failure counts after it was asked whose fault it was: in half failures, 0 to 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weighed {
    pub request: FailedRequest,
    pub halves: u8,
}

/// One endpoint's score in one class, with the counts it is explained by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Score {
    /// In thousandths of a point, 0 ..= trip.
    points: u64,
    /// Half failures since the last good answer.
    run: u32,
    /// All requests since `since`, when the score left zero; nothing while it is zero.
    failed: FailureCounts,
    unweighted: u32,
    of: u32,
    since: Moment,
    /// Who added what since `since`.
    clients: Vec<Share>,
    paths: Vec<Share>,
    held: Vec<Held>,
    /// Whether failing statuses of two paths were seen since the score was zero.
    statuses: Statuses,
}

/// What one client or path added.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Share {
    who: Fingerprint,
    points: u64,
    run: u32,
}

/// A failing status of a write that waits for another path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    failure: Weighed,
    at: Moment,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Statuses {
    #[default]
    OfOnePath,
    OfSeveral,
}

/// Whether the failure is one of those that certainly came after the last good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InRun {
    No,
    Yes,
}

impl Score {
    /// Counts good answers alone: nearly every call.
    pub(super) fn note_good(&mut self, good: u32) {
        if good == 0 {
            return;
        }
        self.end_run();
        if self.points > 0 {
            self.of = self.of.saturating_add(good);
            self.take_off(GOOD * u64::from(good));
        }
    }

    /// Counts a delta's part of this class: `good` answers, and what failed, of which the last `trailing` came after them. A
    /// delta that reaches `trip` ends there, whatever good answers may have followed inside it: what was reached is acted
    /// on, as it would have been had the requests been told one by one.
    pub(super) fn note(
        &mut self,
        now: Moment,
        good: u32,
        failed: &[Weighed],
        trailing: u32,
        answered: &Variety,
        rules: &Rules,
    ) {
        self.held.retain(|held| now.since(held.at) < LATELY);
        let count = u32::try_from(failed.len()).unwrap_or(u32::MAX);
        if self.points == 0 && count > 0 {
            self.since = now;
        }
        self.of = self.of.saturating_add(good).saturating_add(count);
        let in_order = failed.len() - usize::try_from(trailing.min(count)).unwrap_or(usize::MAX);
        let (spread, last) = failed.split_at(in_order);
        if good > 0 {
            self.end_run();
        }
        let taken_off = GOOD * u64::from(good);
        let gap = taken_off.checked_div(spread.len() as u64).unwrap_or(0);
        let mut left = taken_off;
        for (index, failure) in spread.iter().enumerate() {
            let step = if index == 0 { gap / 2 } else { gap };
            if self.points < trip_of(rules) {
                self.take_off(step);
            }
            left -= step;
            self.add(now, failure, InRun::No, answered, rules);
        }
        if self.points < trip_of(rules) || spread.is_empty() {
            self.take_off(left);
        }
        for failure in last {
            self.add(now, failure, InRun::Yes, answered, rules);
        }
        if self.points == 0 {
            self.forget();
        }
    }

    fn add(&mut self, now: Moment, failure: &Weighed, in_run: InRun, answered: &Variety, rules: &Rules) {
        let Weighed { request, halves } = *failure;
        self.failed.add(request.kind, 1);
        if halves == 0 {
            self.unweighted = self.unweighted.saturating_add(1);
            return;
        }
        if request.class == Class::Unsafe && request.kind == FailureKind::Status {
            match self.statuses {
                Statuses::OfSeveral => {}
                Statuses::OfOnePath => {
                    let another = self.held.iter().any(|held| held.failure.request.path != request.path);
                    if !another && others(&answered.paths, request.path, now) {
                        if self.held.len() < HELD {
                            self.held.push(Held { failure: *failure, at: now });
                        }
                        self.unweighted = self.unweighted.saturating_add(1);
                        return;
                    }
                    if another {
                        self.statuses = Statuses::OfSeveral;
                    }
                    for held in std::mem::take(&mut self.held) {
                        self.unweighted = self.unweighted.saturating_sub(1);
                        self.weigh(now, &held.failure, in_run, answered, rules);
                    }
                }
            }
        }
        self.weigh(now, failure, in_run, answered, rules);
    }

    fn weigh(&mut self, now: Moment, failure: &Weighed, in_run: InRun, answered: &Variety, rules: &Rules) {
        let Weighed { request, halves } = *failure;
        let (mut points, mut run) = (FAILURE * u64::from(halves) / 2, u32::from(halves));
        if request.kind != FailureKind::Refused {
            let most = trip_of(rules) / 2;
            for (who, shares, known) in [
                (request.client, &mut self.clients, &answered.clients),
                (request.path, &mut self.paths, &answered.paths),
            ] {
                let Some(share) = share_of(shares, who) else { continue };
                if others(known, who, now) {
                    points = points.min(most.saturating_sub(share.points));
                    run = run.min(RUN_CAP.saturating_sub(share.run));
                }
            }
            for (who, shares) in [(request.client, &mut self.clients), (request.path, &mut self.paths)] {
                if let Some(share) = share_of(shares, who) {
                    share.points = share.points.saturating_add(points);
                    share.run = share.run.saturating_add(run);
                }
            }
        }
        self.points = (self.points + points).min(trip_of(rules));
        if in_run == InRun::Yes {
            self.run = self.run.saturating_add(run);
        }
    }

    fn take_off(&mut self, points: u64) {
        if self.points > 0 {
            self.points = self.points.saturating_sub(points);
            if self.points == 0 {
                self.forget();
            }
        }
    }

    fn end_run(&mut self) {
        if self.run > 0 {
            self.run = 0;
            self.clients.iter_mut().chain(&mut self.paths).for_each(|share| share.run = 0);
        }
    }

    /// At zero a new sheet begins; a run of failures too light for a point goes on.
    fn forget(&mut self) {
        self.failed = FailureCounts::default();
        self.unweighted = 0;
        self.of = 0;
        self.statuses = Statuses::OfOnePath;
        if self.run == 0 {
            self.clients.clear();
            self.paths.clear();
        } else {
            self.clients.iter_mut().chain(&mut self.paths).for_each(|share| share.points = 0);
        }
    }

    /// Whether the score is at `trip`.
    pub(super) fn is_tripped(&self, rules: &Rules) -> bool {
        self.points >= trip_of(rules)
    }

    /// Whether `consecutive` failed in a row.
    pub(super) fn is_run_over(&self, rules: &Rules) -> bool {
        self.run >= rules.consecutive.saturating_mul(2)
    }

    /// In thousandths of a point.
    pub(super) fn points(&self) -> u64 {
        self.points
    }

    /// New rules: a score past a lower `trip` stands at it.
    pub(super) fn adopt(&mut self, rules: &Rules) {
        self.points = self.points.min(trip_of(rules));
    }

    /// The counts beside their thresholds.
    pub(super) fn evidence(&self, class: Class, open_hedges: u32, rules: &Rules) -> Evidence {
        Evidence::Requests {
            class,
            failed: self.failed,
            unweighted: self.unweighted,
            of: self.of,
            since: self.since,
            score: in_points(self.points),
            trip: rules.trip,
            in_a_row: self.run / 2,
            consecutive: rules.consecutive,
            open_hedges,
        }
    }

    /// Whether the points are between zero and `trip`, and counts are kept only above zero.
    pub(super) fn is_sound(&self, rules: &Rules) -> bool {
        let bounded = self.clients.len() <= TOLD_APART && self.paths.len() <= TOLD_APART && self.held.len() <= HELD;
        self.points <= trip_of(rules) && (self.points > 0 || self.of == 0) && bounded
    }

    /// Whether nothing speaks against the endpoint.
    pub(super) fn is_clear(&self) -> bool {
        self.points == 0 && self.run == 0 && self.held.is_empty()
    }
}

/// Half of `trip`, in thousandths: enough for a suspicion.
pub(super) fn half_of_trip(rules: &Rules) -> u64 {
    trip_of(rules) / 2
}

/// Points for people; the few that pass `u32` (a `trip` of millions) are told as its end.
pub(super) fn in_points(points: u64) -> f64 {
    f64::from(u32::try_from(points).unwrap_or(u32::MAX)) / 1_000.0
}

fn trip_of(rules: &Rules) -> u64 {
    POINT * u64::from(rules.trip)
}

/// Whether somebody else was answered well in the last minute.
fn others(known: &[Option<(Fingerprint, Moment)>; 2], who: Fingerprint, now: Moment) -> bool {
    known.iter().flatten().any(|(other, at)| *other != who && now.since(*at) < LATELY)
}

/// `None`: so many others added something that one more needs no cap.
fn share_of(shares: &mut Vec<Share>, who: Fingerprint) -> Option<&mut Share> {
    match shares.iter().position(|share| share.who == who) {
        Some(known) => shares.get_mut(known),
        None if shares.len() < TOLD_APART => {
            shares.push(Share { who, points: 0, run: 0 });
            shares.last_mut()
        }
        None => None,
    }
}

#[cfg(test)]
mod tests;
