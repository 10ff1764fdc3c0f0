//! What the core's unit tests are made of. Compiled for tests only.

use super::evidence::{FailureCounts, FailureKind, TallyDelta};
use super::setup::{Failback, Rules};
use super::units::{Moment, Percent};
use std::time::Duration;

/// The defaults.
pub(super) fn rules() -> Rules {
    Rules {
        fall: 3,
        rise: 2,
        trip: 20,
        consecutive: 5,
        ejection_time: Duration::from_secs(10),
        min_up: Percent(50),
        min_dwell: Duration::from_secs(5),
        failback: Failback::Auto,
        stable_for: Duration::from_secs(60),
    }
}

pub(super) fn secs(secs: u64) -> Moment {
    Moment::at(Duration::from_secs(secs))
}

fn failed(kind: FailureKind, count: u32) -> TallyDelta {
    let mut failed = FailureCounts::default();
    failed.add(kind, count);
    TallyDelta { good: 0, failed, trailing: count }
}

/// That many failing statuses in a row.
pub(super) fn failing(count: u32) -> TallyDelta {
    failed(FailureKind::Status, count)
}

/// That many refused connects in a row.
pub(super) fn refused(count: u32) -> TallyDelta {
    failed(FailureKind::Refused, count)
}

/// That many good answers.
pub(super) fn answered(good: u32) -> TallyDelta {
    TallyDelta { good, ..TallyDelta::default() }
}
