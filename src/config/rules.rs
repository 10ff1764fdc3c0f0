//! The part of a `[[backend]]` that the core decides by: `tally`, `failback`, and a pool's `writes`.
//!
//! Not here: the probe, which decides too (`backend`); what the numbers mean (docs/failover.md).

use super::probe::Probing;
use super::problem::What;
use super::table::Table;
use crate::domain::{AfterWrites, Failback, OnIntermittent, PoolWrites, Rules};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Runs and points: more than a thousand is never.
const RUN: RangeInclusive<u32> = 1..=1_000;
const EJECTION: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(300);
const CONFIRM: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
const HOLD_DOWN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3_600);
/// How far a pool may be behind.
pub(super) const LAG: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(86_400);
/// What a write, or a client, may be made to wait.
pub(super) const WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);

pub(super) struct FailbackRules {
    pub(super) mode: Failback,
    pub(super) stable_for: Duration,
    pub(super) after_writes: AfterWrites,
    pub(super) ramp: Duration,
}

/// `probing` is `None` where the probe could not be read.
pub(super) fn failback(table: &mut Table<'_>, probing: Option<&Probing>) -> Option<FailbackRules> {
    let defaults = Rules::default();
    let reports_lag = probing.is_none_or(|probing| probing.probe.lag_header().is_some());
    let default_after = if reports_lag { AfterWrites::InSync } else { AfterWrites::Manual };
    let modes = [("auto", Failback::Auto), ("manual", Failback::Manual)];
    let after = [("in-sync", AfterWrites::InSync), ("manual", AfterWrites::Manual), ("auto", AfterWrites::Auto)];
    let mode = table.or("mode", defaults.failback, |value| value.choice(&modes));
    let stable_for = table.or("stable_for", defaults.stable_for, |value| value.duration(HOLD_DOWN));
    let after_writes = table.or("after_writes", default_after, |value| value.choice(&after));
    let ramp = table.or("ramp", defaults.ramp, |value| value.duration(HOLD_DOWN));
    if let Some(after) = after_writes.as_ref().filter(|after| after.value == AfterWrites::InSync && !reports_lag) {
        table.note_at(after, What::InSyncWithoutLag);
    }
    if let (Some(Probing { interval, fall, .. }), Some(stable_for)) = (probing, &stable_for)
        && stable_for.value < interval.value.saturating_mul(*fall)
    {
        let what = What::StableFor { stable_for: stable_for.value, fall: *fall, interval: interval.value };
        table.note_at(if stable_for.at.is_some() { stable_for } else { interval }, what);
    }
    Some(FailbackRules {
        mode: mode?.value,
        stable_for: stable_for?.value,
        after_writes: after_writes?.value,
        ramp: ramp?.value,
    })
}

pub(super) struct Tally {
    pub(super) trip: u32,
    pub(super) consecutive: u32,
    pub(super) confirm: Duration,
    pub(super) ejection_time: Duration,
    pub(super) intermittent: u32,
    pub(super) on_intermittent: OnIntermittent,
}

pub(super) fn tally(table: &mut Table<'_>) -> Option<Tally> {
    let defaults = Rules::default();
    let ways = [("report", OnIntermittent::Report), ("eject", OnIntermittent::Eject)];
    let trip = table.or("trip", defaults.trip, |value| value.count(RUN));
    let consecutive = table.or("consecutive", defaults.consecutive, |value| value.count(RUN));
    let confirm = table.or("confirm", defaults.confirm, |value| value.duration(CONFIRM));
    let ejection_time = table.or("ejection_time", defaults.ejection_time, |value| value.duration(EJECTION));
    let intermittent = table.or("intermittent", defaults.intermittent, |value| value.count(RUN));
    let on_intermittent = table.or("on_intermittent", defaults.on_intermittent, |value| value.choice(&ways));
    Some(Tally {
        trip: trip?.value,
        consecutive: consecutive?.value,
        confirm: confirm?.value,
        ejection_time: ejection_time?.value,
        intermittent: intermittent?.value,
        on_intermittent: on_intermittent?.value,
    })
}

/// Whether a pool takes writes: `writes`, `writes_after`.
pub(super) fn writes(table: &mut Table<'_>) -> Option<PoolWrites> {
    let default = PoolWrites::After(Duration::ZERO);
    let choices = [("allow", default), ("refuse", PoolWrites::Refuse)];
    let says = table.or("writes", default, |value| value.choice(&choices));
    let after = table.optional("writes_after", |value| value.duration(HOLD_DOWN));
    let (says, after) = (says?, after?);
    match (says.value, after.value) {
        (PoolWrites::After(_), wait) => Some(PoolWrites::After(wait.unwrap_or_default())),
        (PoolWrites::Refuse, None) => Some(PoolWrites::Refuse),
        (PoolWrites::Refuse, Some(_)) => {
            table.note_at(&after, What::WritesAfterRefuse);
            None
        }
    }
}
